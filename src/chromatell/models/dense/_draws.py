"""How much a trained `Dense` disagrees with itself: its members, or the same network with dropout left on.

What stands beside the network (`fitted.stack`) is the same in all draws.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from anndata import AnnData
from mudata import MuData
from torch import Tensor, nn

from chromatell._keys import RNA
from chromatell._validate import ChromatellError, examples, in_range, modality, one_of
from chromatell._values import query_expression
from chromatell.data.cells import CellBatch
from chromatell.models.dense._module import DenseModule

if TYPE_CHECKING:
    from chromatell.models.dense._model import Dense

METHODS = ("members", "dropout")
_COLUMNS = 512  # regions at a time: a draw of a block of cells fits the cache


@dataclass(frozen=True)
class Block:
    """Draws of a block of cells and regions: ``scale * network + rest``.

    Attributes
    ----------
    network
        Iterates over the draws of the network, each a float32 tensor (rows, columns) to be used before the next.
    scale, rest
        What the stack makes of them: the weight of the network, and the weighted sum of its other members, float32
        (rows, columns); 1 and None where the network stands alone.
    """

    network: Iterator[Tensor]
    scale: float = 1.0
    rest: np.ndarray | None = None


def draw_blocks(
    model: Dense, data: MuData | AnnData, regions: pd.Index, *, method: str, n_draws: int, seed: int
) -> Iterator[tuple[slice, np.ndarray, Block]]:
    """Yield (rows, columns, block): probabilities by each member, or with dropout left on.

    Raises
    ------
    ChromatellError
        The model has one member where members are asked for, or no dropout.
    """
    module = model.module
    dropouts = [m for m in module.modules() if isinstance(m, nn.Dropout) and m.p > 0]
    several = module.config.n_members > 1
    if one_of(method, METHODS, "method") == "members" and not several:
        other = "Take method='dropout', or train" if dropouts else "Train"
        raise ChromatellError(
            f"The model has one member, so its members cannot differ. {other} several: "
            "ctl.tl.dense(mdata, n_members=5)."
        )
    if method == "dropout":
        n_draws = in_range(n_draws, 2, 1000, "n_draws")
        if not dropouts:
            other = "Take method='members', or train" if several else "Train"
            raise ChromatellError(f"The model has no dropout. {other} one that has: ctl.tl.dense(mdata, dropout=0.2).")
    rna = query_expression(data)
    x, present = model.fitted.expression.align(rna)
    covariates = model.fitted.beside_expression(data, np.arange(rna.n_obs))
    position = model.regions.get_indexer(regions)
    order = np.argsort(position, kind="stable")
    starts = np.arange(0, len(model.regions) + _COLUMNS, _COLUMNS)
    edges = np.searchsorted(position[order], starts)

    def decode(module: DenseModule, batch: CellBatch, position: np.ndarray) -> Iterator[tuple[np.ndarray, Any]]:
        with torch.no_grad(), _dropping(dropouts if method == "dropout" else []):
            states = [module.encode(batch) for _ in range(n_draws if method == "dropout" else 1)]
        for start, first, last in zip(starts, edges, edges[1:], strict=False):
            if first < last:
                cols = order[first:last]
                yield cols, _each(module, states, batch, int(start), position[cols] - start, method)

    def finish(*known: Any) -> Callable[[Iterator[Tensor], np.ndarray], Block]:
        stack = model.fitted.stack
        if stack is None:
            return lambda network, _: Block(network)
        beside, n = model.fitted.stacked(*known), len(known[0])
        return lambda network, regions: Block(
            network, stack.network_weight, beside(np.zeros((n, len(regions)), dtype=np.float32), regions)
        )

    with torch.random.fork_rng([model.device] if model.device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield from model._blocks(x, present, covariates, position, None, decode, finish)


class _dropping:
    """Dropout on, and nothing else: norms stay as they predict."""

    def __init__(self, layers: list[nn.Dropout]) -> None:
        self.layers = layers

    def __enter__(self) -> None:
        for layer in self.layers:
            layer.train()

    def __exit__(self, *_: Any) -> None:
        for layer in self.layers:
            layer.eval()


def _each(
    module: DenseModule, states: list[Tensor], batch: CellBatch, start: int, wanted: np.ndarray, method: str
) -> Iterator[Tensor]:
    """Yield the draws of neighbouring regions, float32 (cells, regions wanted)."""
    whole = bool(np.array_equal(wanted, np.arange(len(wanted))))
    stop = start + int(wanted[-1]) + 1
    for z in states:
        with torch.no_grad():
            p = module.probabilities(z, batch, start, stop)
            p = p if whole else p[:, :, torch.from_numpy(wanted)]
            yield from p if method == "members" else [p[0] if len(p) == 1 else p.mean(dim=0)]


@dataclass(frozen=True)
class Draws:
    """What sets of cells have in each draw, and how far the draws lie apart.

    Attributes
    ----------
    means
        float64 (draws, sets, regions): mean probability of the cells of each set; NaN for a set of none.
    cells, regions
        float64 (cells,) and (regions,): variance over the draws, mean over regions and over cells; NaN where it was not
        asked for.
    """

    means: np.ndarray
    cells: np.ndarray
    regions: np.ndarray


def draws_of_sets(
    model: Dense,
    data: MuData | AnnData,
    regions: pd.Index,
    sets: sp.csr_matrix,
    *,
    method: str = "members",
    n_draws: int = 20,
    seed: int = 0,
    spread: bool = False,
) -> Draws:
    """Return the mean of each set of cells by each draw, and with `spread` the variance of the draws.

    `sets` is float32 CSR (sets, cells), 1 where a cell of `data` is of a set. Peak memory: draws x sets x regions.

    Raises
    ------
    ChromatellError
        A cell of a set has no expression.
    """
    at = _rows_of_expression(data, sets)
    sets = sets[:, at]
    n = model.network.n_members if method == "members" else n_draws
    total = np.zeros((n, sets.shape[0], len(regions)))
    cells, regional = np.zeros(sets.shape[1]), np.zeros(len(regions))  # cells as they stand in the expression
    for rows, cols, block in draw_blocks(model, data, regions, method=method, n_draws=n_draws, seed=seed):
        here = sets[:, rows].tocsc()
        some = np.flatnonzero(np.diff(here.indptr))
        of = torch.from_numpy(here[:, some].toarray())
        change = 0.0 if block.rest is None else of.numpy() @ block.rest[some]
        picked = torch.from_numpy(some)
        first = summed = squared = None
        for i, p in enumerate(block.network):
            if len(some):
                total[i][:, cols] += block.scale * (of @ p[picked].cpu()).numpy() + change
            if not spread:
                continue
            if first is None or summed is None or squared is None:
                first, summed, squared = p.clone(), torch.zeros_like(p), torch.zeros_like(p)
            else:  # differences from the first draw: sums of squares of the draws themselves would lose digits
                away = p - first
                summed += away
                squared.addcmul_(away, away)
        if summed is not None and squared is not None:
            variance = (squared - summed.square_() / n).mul_(block.scale**2 / (n - 1)).clamp_(min=0).cpu()
            cells[rows] += variance.sum(dim=1, dtype=torch.float64).numpy()
            regional[cols] += variance.sum(dim=0, dtype=torch.float64).numpy()
    size = np.asarray(sets.sum(axis=1)).ravel()
    means = total / np.where(size > 0, size, np.nan)[:, None]
    asked = 1.0 if spread else np.nan
    of_cells = np.full(data.n_obs, np.nan)
    of_cells[at] = asked * cells / max(len(regions), 1)
    return Draws(means, of_cells, asked * regional / max(sets.shape[1], 1))


def _rows_of_expression(data: MuData | AnnData, sets: sp.csr_matrix) -> np.ndarray:
    """Return where the cells of the expression stand in `data`, int64; raise where a set has a cell without."""
    rna = modality(data, RNA) if isinstance(data, MuData) else data
    at = data.obs_names.get_indexer(rna.obs_names)
    without = np.ones(data.n_obs, dtype=bool)
    without[at] = False
    if without.any() and np.asarray(sets[:, without].sum()) > 0:
        raise ChromatellError(
            f"{int(without.sum()):,} of the {data.n_obs:,} cells of mdata have no expression to predict from (such as "
            f"{examples(data.obs_names[without])}). Keep those that have: mdata = "
            "mdata[mdata.mod['rna'].obs_names].copy()."
        )
    return at
