"""How what stands beside a network is fitted, and how the weights of all are chosen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from anndata import AnnData

from chromatell._settings import logger
from chromatell.data.accessibility import open_matrix, true_depth
from chromatell.data.expression import Embedding, Expression
from chromatell.data.sparse_expression import projected
from chromatell.models.stack._matched import Watched
from chromatell.models.stack._regressions import DEPTH, ENTRIES, FEW, MEMBERS, NETWORK, Cells, Embed, fit_regressions
from chromatell.models.stack._weights import VAL_CELLS, WORDS, Moments, Stack, choose_weights

FAILED = 1.05  # a network whose loss is above so many times that of mean x predicted depth did not learn


def some_validation_cells(rows: np.ndarray, seed: int) -> np.ndarray:
    """Return at most 2,000 of the validation cells; none, with a log line, where there are too few to choose by."""
    if len(rows) < 2:
        logger.info("No validation cells: the network predicts alone.")
        return rows[:0]
    return np.sort(np.random.default_rng(seed).permutation(rows)[:VAL_CELLS])


def thinned(n_cells: int, n_open: float) -> slice:
    """Return which of so many training cells the regressions read, where each has so many open regions."""
    return slice(None, None, -(-n_cells // max(1000, int(ENTRIES / max(n_open, 1)))))


def known_cells(
    atac: AnnData,
    rows: np.ndarray,
    regions: np.ndarray,
    depth_key: str | None,
    *,
    scores: np.ndarray,
    more: np.ndarray,
    sizes: np.ndarray,
    ratio: np.ndarray,
) -> Cells:
    """Return what the regressions read of cells, with their true depth and open regions."""
    return Cells(scores, more, sizes, true_depth(atac, depth_key)[rows], ratio, open_matrix(atac, rows, regions))


def refitted(expression: Expression, known: Any, width: int, seed: int) -> Embed:
    """Return what finds components of some of the cells `known` (cells x genes), and the scores of others on them."""

    def embed(fitted_on: np.ndarray, asked: np.ndarray) -> np.ndarray:
        own = Embedding.fit(expression, known[fitted_on], width, seed=seed).components
        scores = projected(expression, known[asked], own)[0]
        return np.pad(scores, ((0, 0), (0, width - scores.shape[1])))  # few cells have fewer components

    return embed


def fit_stack(
    train: Cells,
    val: Cells,
    network: Iterator[tuple[slice, Any, np.ndarray]],
    *,
    components: np.ndarray,
    depth_mean: float,
    embed: Embed,
    seed: int,
    inputs: Mapping[str, int] | None = None,
) -> Stack:
    """Fit the regressions on training cells, and choose the weights on cells that are held out.

    Parameters
    ----------
    network
        Yields (rows, columns, block): the network's predictions for the validation cells, at predicted depth.
    components, depth_mean, embed, inputs
        As in `fit_regressions`.
    """
    n_val = len(val.scores)
    simple, apart = fit_regressions(
        train, val, components=components, depth_mean=depth_mean, embed=embed, inputs=inputs, seed=seed
    )
    n_apart = len(train.scores) if n_val < FEW else 0
    moments = Moments(n_val + n_apart, simple.mean, n_val)
    for one in apart:
        moments.add(n_val + one.rows, one.cols, one.members, one.truth, len(simple.mean) / len(one.cols))
    design = simple.design_of(val)
    watched = Watched(simple.mean, val.truth, val.depth, len(MEMBERS)) if n_val >= FEW else None
    truth = val.truth.tocsc()
    for cells, cols, block in network:
        predicted = [simple.predict(m, design[cells], val.ratio[cells], cols) for m in MEMBERS[:-1]]
        moments.add(cells, cols, [*predicted, block], truth[:, cols][cells].toarray())
        if watched is not None:
            watched.add(cells, cols, [*predicted, block])
    weights, loss = choose_weights(moments, watched)
    stack = Stack(weights, simple, loss, n_val)
    logger.info(f"Predicts with {stack.described()}.")
    if loss[NETWORK] > FAILED * loss[DEPTH]:
        logger.warning(
            f"The network did not learn: alone it is worse in {n_val} validation cells (weighted squared "
            f"error {loss[NETWORK]:.5g}) than {WORDS[DEPTH]} ({loss[DEPTH]:.5g}). Try a lower learning rate, "
            "train_kwargs=dict(lr=...), or more epochs."
        )
    return stack
