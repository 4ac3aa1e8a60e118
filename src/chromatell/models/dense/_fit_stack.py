"""How what stands beside the network of a `Dense` is fitted, and how the weights of all are chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from mudata import MuData

from chromatell._keys import ATAC, RNA, VAL
from chromatell._rows import matrix
from chromatell._settings import logger
from chromatell._validate import split_of
from chromatell.data.accessibility import open_matrix, selected, true_depth
from chromatell.data.cells import subset
from chromatell.data.expression import Embedding
from chromatell.data.sparse_expression import projected
from chromatell.models.dense._fitted import Fitted, Training
from chromatell.models.dense._regressions import ENTRIES, FEW, MEMBERS, Cells, fit_regressions
from chromatell.models.dense._stack import VAL_CELLS, Moments, Stack, choose_weights

Blocks = Callable[..., Iterator[tuple[slice, Any, Any]]]  # `Dense._blocks`


def fit_stack(
    data: MuData, fitted: Fitted, training: Training, blocks: Blocks, *, depth_key: str | None, seed: int
) -> Stack | None:
    """Fit the regressions on training cells, and choose the weights on cells that are held out; None without any."""
    rna, atac, genes, regions = data.mod[RNA], data.mod[ATAC], selected(data.mod[RNA]), selected(data.mod[ATAC])
    val = np.flatnonzero(split_of(data) == VAL)
    val = np.sort(np.random.default_rng(seed).permutation(val)[:VAL_CELLS])
    if len(val) < 2:
        logger.info("No validation cells: the network predicts alone.")
        return None
    (rows, scores, library), components = training.some, training.components
    n_open = float(np.sum(training.share_open(atac, rows[:1000], regions)))  # a cell's open regions
    n = max(1000, int(ENTRIES / max(n_open, 1)))
    step = -(-len(rows) // n)
    rows, scores, library = rows[::step], scores[::step], library[::step]
    x = subset(matrix(rna), val, genes)
    parts = [(z @ components, size) for _, z, size in fitted.expression.blocks(x)]
    held = np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])
    train, val_cells, depth_mean = _sides(data, fitted, components, depth_key, (rows, scores, library), (val, *held))
    known, expression = subset(matrix(rna), rows, genes) if len(val) < FEW else x, fitted.expression

    def embed(fitted_on: np.ndarray, asked: np.ndarray) -> np.ndarray:
        own = Embedding.fit(expression, known[fitted_on], scores.shape[1], seed=seed).components
        found = projected(expression, known[asked], own)[0]
        return np.pad(found, ((0, 0), (0, scores.shape[1] - found.shape[1])))  # few cells have fewer components

    simple, apart = fit_regressions(
        train, val_cells, components=components, depth_mean=depth_mean, embed=embed, seed=seed
    )
    n_apart = len(rows) if len(val) < FEW else 0
    moments = Moments(len(val) + n_apart, simple.mean, len(val))
    for one in apart:
        moments.add(len(val) + one.rows, one.cols, one.members, one.truth, len(simple.mean) / len(one.cols))
    of_block: dict[str, Any] = {}

    def members(z: np.ndarray, library: np.ndarray, more: np.ndarray, _: Any) -> Any:
        of_block["design"] = simple.design(z, library, more)
        of_block["ratio"] = fitted.depth_ratio(z, library, simple)
        return lambda block, regions: block

    covariates, position = fitted.beside_expression(data, val), np.arange(len(fitted.regions))
    for cells, cols, block in blocks(x, None, covariates, position, None, finish=members):
        predicted = [simple.predict(m, of_block["design"], of_block["ratio"], cols) for m in MEMBERS[:-1]]
        moments.add(cells, cols, [*predicted, block], val_cells.truth[cells][:, cols].toarray())
    weights, loss = choose_weights(moments)
    stack = Stack(weights, simple, loss, len(val))
    logger.info(f"Predicts with {stack.described()}.")
    return stack


def _sides(
    data: MuData, fitted: Fitted, components: np.ndarray, depth_key: str | None, *sides: tuple[np.ndarray, ...]
) -> tuple[Cells, Cells, float]:
    """Return what the regressions read of training and of validation cells, and the mean of the predicted depth.

    Each side is (rows, scores, log totals); depths are over their mean in the training cells, which come first.
    """
    atac, regions, d = data.mod[ATAC], selected(data.mod[ATAC]), fitted.depth_model
    found, depth_mean = [], 0.0
    for some, own, size in sides:
        expected = d.from_score(own @ (components.T @ d.coef[:-1]), size).astype(np.float64)
        depth = np.expm1(expected * d.sd + d.mean)
        depth_mean = depth_mean or max(float(depth.mean()), 1e-6)
        more = fitted.inputs.transform(data, some) / fitted.inputs.units
        truth, true = open_matrix(atac, some, regions), true_depth(atac, depth_key)[some]
        found.append(Cells(own, np.column_stack([more, size]), true, depth / depth_mean, truth))
    return found[0], found[1], depth_mean
