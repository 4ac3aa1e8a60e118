"""How much a trained `Dense` disagrees with itself: its members, or the same network with dropout left on.

What stands beside the network (`fitted.stack`) is the same in all draws.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from torch import nn

from chromatell._keys import RNA
from chromatell._validate import ChromatellError, expressed, in_range, nonnegative, one_of
from chromatell.data.cells import CellBatch, row_blocks
from chromatell.models.dense._module import DenseModule

if TYPE_CHECKING:
    from chromatell.models.dense._model import Dense

METHODS = ("members", "dropout")
_COLUMNS = 4096  # regions at a time


def draw_blocks(
    model: Dense, data: MuData | AnnData, regions: pd.Index, *, method: str, n_draws: int, seed: int
) -> Iterator[tuple[slice, slice, np.ndarray]]:
    """Yield (rows, columns, float32 (draws, rows, columns)): probabilities by each member, or with dropout left on.

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
    rna = data.mod[RNA] if isinstance(data, MuData) else data
    nonnegative(rna, RNA, smoothed=True)
    expressed(rna)
    x, present = model.fitted.expression.align(rna)
    covariates = model.fitted.beside_expression(data, np.arange(rna.n_obs))
    position = model.regions.get_indexer(regions)

    def decode(module: DenseModule, batch: CellBatch, position: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        with torch.no_grad():
            if method == "members":
                states = [module.encode(batch)]
            else:
                with _dropping(dropouts):
                    states = [module.encode(batch) for _ in range(n_draws)]
            for cols in row_blocks(len(position), _COLUMNS):
                wanted = position[cols]
                first, last = int(wanted.min()), int(wanted.max()) + 1
                each = [_probabilities(module, z, batch, first, last)[:, :, wanted - first] for z in states]
                yield cols, each[0] if method == "members" else np.stack([one.mean(axis=0) for one in each])

    with torch.random.fork_rng([model.device] if model.device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield from model._blocks(x, present, covariates, position, None, decode)


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


def _probabilities(module: DenseModule, z: torch.Tensor, batch: CellBatch, start: int, stop: int) -> np.ndarray:
    """Return the probability by each member, float32 (members, cells, stop - start)."""
    logits = module.decode(z, batch, start, stop).float()
    p = -torch.expm1(-logits.exp()) if module.config.likelihood == "poisson" else logits.sigmoid()
    return p.cpu().numpy()


def group_draws(
    model: Dense,
    data: MuData | AnnData,
    regions: pd.Index,
    codes: np.ndarray,
    n_groups: int,
    *,
    method: str = "members",
    n_draws: int = 20,
    seed: int = 0,
) -> np.ndarray:
    """Return the mean probability of each group's cells by each draw, float64 (draws, n_groups, regions)."""
    out: np.ndarray | None = None
    for rows, cols, block in draw_blocks(model, data, regions, method=method, n_draws=n_draws, seed=seed):
        if out is None:
            out = np.zeros((block.shape[0], n_groups, len(regions)))
        of = np.zeros((n_groups, block.shape[1]), dtype=np.float32)
        here = codes[rows]
        of[here[here >= 0], np.flatnonzero(here >= 0)] = 1.0
        out[:, :, cols] += of @ block
    assert out is not None
    n = np.bincount(codes[codes >= 0], minlength=n_groups)
    return out / np.where(n > 0, n, np.nan)[:, None]
