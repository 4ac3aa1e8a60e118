"""What the stack of a `Dense` is fitted on: some training and validation cells, and the network's predictions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from mudata import MuData

from chromatell._keys import ATAC, RNA, VAL
from chromatell._rows import matrix
from chromatell._validate import split_of
from chromatell.data.accessibility import selected
from chromatell.data.cells import subset
from chromatell.models.dense._fitted import Fitted, Training
from chromatell.models.stack._fit import fit_stack, known_cells, refitted, some_validation_cells, thinned
from chromatell.models.stack._regressions import FEW, Cells
from chromatell.models.stack._weights import Stack

Blocks = Callable[..., Iterator[tuple[slice, Any, Any]]]  # `Dense._blocks`


def stack_of(
    data: MuData, fitted: Fitted, training: Training, blocks: Blocks, *, depth_key: str | None, seed: int
) -> Stack | None:
    """Return the stack of a trained network; None without validation cells."""
    rna, atac, genes, regions = data.mod[RNA], data.mod[ATAC], selected(data.mod[RNA]), selected(data.mod[ATAC])
    val = some_validation_cells(np.flatnonzero(split_of(data) == VAL), seed)
    if not len(val):
        return None
    (rows, scores, sizes), components = training.some, training.components
    read = thinned(len(rows), float(np.sum(training.share_open(atac, rows[:1000], regions))))
    rows, scores, sizes = rows[read], scores[read], sizes[read]
    x = subset(matrix(rna), val, genes)
    expression = fitted.expression
    parts = [(z @ components, expression.sizes(library, x[block])) for block, z, library in expression.blocks(x)]
    held = np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])
    train, val_cells, depth_mean = _sides(data, fitted, components, depth_key, (rows, scores, sizes), (val, *held))
    known = subset(matrix(rna), rows, genes) if len(val) < FEW else x

    def as_it_is(*_: Any) -> Any:
        return lambda block, regions: block

    covariates, position = fitted.beside_expression(data, val), np.arange(len(fitted.regions))
    return fit_stack(
        train,
        val_cells,
        blocks(x, None, covariates, position, None, finish=as_it_is),
        components=components,
        depth_mean=depth_mean,
        embed=refitted(expression, known, scores.shape[1], seed),
        inputs=fitted.inputs.widths,
        seed=seed,
    )


def _sides(
    data: MuData, fitted: Fitted, components: np.ndarray, depth_key: str | None, *sides: tuple[np.ndarray, ...]
) -> tuple[Cells, Cells, float]:
    """Return what the regressions read of training and of validation cells, and the mean of the predicted depth.

    Each side is (rows, scores, sizes); depths are over their mean in the training cells, which come first.
    """
    atac, regions, d = data.mod[ATAC], selected(data.mod[ATAC]), fitted.depth_model
    cells, depth_mean = [], 0.0
    for some, own, sizes in sides:
        depth = d.depth_of(d.from_score(own @ (components.T @ d.of_genes), sizes))
        depth_mean = depth_mean or max(float(depth.mean()), 1e-6)
        more, ratio = fitted.inputs.transform(data, some) / fitted.inputs.units, depth / depth_mean
        cells.append(known_cells(atac, some, regions, depth_key, scores=own, more=more, sizes=sizes, ratio=ratio))
    return cells[0], cells[1], depth_mean
