"""What the stack of an `XChrom` is fitted on: training regions in some training and validation cells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from mudata import MuData
from scipy.special import expit

from chromatell._keys import ATAC, RNA, TRAIN, VAL
from chromatell._rows import matrix
from chromatell.data.accessibility import selected
from chromatell.data.cells import row_blocks, subset
from chromatell.models.stack._fit import fit_stack, known_cells, refitted, some_validation_cells, thinned
from chromatell.models.stack._regressions import CELLS, Cells, Embed
from chromatell.models.stack._weights import Stack
from chromatell.models.xchrom._module import XChromModule
from chromatell.models.xchrom._stages import cell_vectors
from chromatell.models.xchrom._training import TrainingData

_ROWS, _COLUMNS = 512, 16_384  # cells and regions of a block


def stack_of(
    mdata: MuData, data: TrainingData, module: XChromModule, setup: Mapping[str, Any], seed: int
) -> Stack | None:
    """Return the stack of trained towers, for the training regions; None without validation cells."""
    vectors = data.fitted.vectors[data.fitted.seen]
    fitted, atac, regions = data.fitted, mdata.mod[ATAC], np.flatnonzero(selected(mdata.mod[ATAC]))[data.fitted.seen]
    val = some_validation_cells(np.flatnonzero(data.cell_split == VAL), seed)
    if not len(val):
        return None
    rows = np.flatnonzero(data.cell_split == TRAIN)
    rows = np.sort(np.random.default_rng(seed).permutation(rows)[:CELLS])
    rows = rows[thinned(len(rows), data.share_open * len(regions))]
    z, embedding = data.dataset.cells[:, : fitted.embedding.n_components], fitted.embedding
    depth = fitted.depth_model.depth_of(fitted.depth_model.predict(z, data.sizes))
    depth_mean = max(float(depth[rows].mean()), 1e-6)

    def cells(some: np.ndarray) -> Cells:
        scores, ratio = z[some] * embedding.spread, depth[some] / depth_mean
        more = np.zeros((len(some), 0), dtype=np.float32)  # no other modality is read
        own = {"scores": scores, "more": more, "sizes": data.sizes[some], "ratio": ratio}
        return known_cells(atac, some, regions, setup["depth_key"], **own)

    def network() -> Iterator[tuple[slice, slice, np.ndarray]]:
        v = cell_vectors(module, data.dataset.cells[val], data.dataset.predicted_depth[val])
        for of_cells in row_blocks(len(v), _ROWS):
            for of_regions in row_blocks(len(vectors), _COLUMNS):
                yield of_cells, of_regions, expit(v[of_cells] @ vectors[of_regions].T)

    train = cells(rows)
    return fit_stack(
        train,
        cells(val),
        network(),
        components=np.diag(embedding.spread),
        depth_mean=depth_mean,
        embed=_embed(mdata, data, train.scores, rows, seed),
        seed=seed,
    )


def _embed(mdata: MuData, data: TrainingData, scores: np.ndarray, rows: np.ndarray, seed: int) -> Embed:
    """Return how some training cells give others their scores: by components of their own, or as the user's are."""
    expression, rna = data.fitted.embedding.expression, mdata.mod[RNA]
    if expression is None:
        return lambda fitted_on, asked: scores[asked]
    return refitted(expression, subset(matrix(rna), rows, selected(rna)), scores.shape[1], seed)
