"""How expression was normalised, and whether a query was normalised as the training cells were."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from anndata import AnnData

from chromatell._rows import read
from chromatell._values import kept_counts

_LOOKED_AT = 1000  # cells, evenly spread
_CONSTANT = 2e-3  # spread of the totals, over their mean, that rounding leaves
MOST_LOGGED = 60.0  # exp of more is no count of any kind
_SAME = 0.01
WARN, REFUSE = 3.0, 10.0  # sd of the training cells' log total: the query's median lies beyond
_BEYOND = 0.05  # share of the query's values above the largest of training: the rest of the scale is another too
_SHALLOW = 3.0  # fold


@dataclass(frozen=True)
class Scale:
    """Values are counts over the cell's total, times `total`; then log1p where `log`.

    `total` 0 says that the values are none of these: smoothed, corrected, or of a part of the genes.
    """

    log: bool
    total: float
    largest: float = np.inf  # the largest training value that the model reads

    def __str__(self) -> str:
        return f"log1p of counts per {self.total:g}" if self.log else f"counts per {self.total:g}, not logged"

    def is_as(self, other: Scale) -> bool:
        """Return whether both are the same scale."""
        return self.log == other.log and abs(self.total - other.total) <= _SAME * other.total

    def to(self, other: Scale, x: Any) -> Any:
        """Return values of this scale, in memory, on another: exactly, since both are known."""
        if sp.issparse(x):
            x = sp.csr_matrix(x, dtype=np.float32, copy=True)
            x.data = self.to(other, x.data)
            return x
        plain = np.expm1(x) if self.log else np.asarray(x)
        plain = plain * (other.total / self.total)
        return (np.log1p(plain) if other.log else plain).astype(np.float32)

    def recipe(self) -> str:
        """Return the calls that bring counts to this scale."""
        calls = "sc.pp.normalize_total(rna"
        calls += f", target_sum={self.total:g})" if self.total else ")"
        return calls + ("; sc.pp.log1p(rna)" if self.log or not self.total else "")


def find_scale(x: Any) -> Scale | None:
    """Return the scale of normalised values, cells x all genes; None where totals differ between cells."""
    n = x.shape[0]
    if n < 3:  # any one cell has a total
        return None
    rows = np.unique(np.linspace(0, n - 1, min(n, _LOOKED_AT)).astype(int))
    part: Any = read(x[rows])
    part = sp.csr_matrix(part, dtype=np.float64) if sp.issparse(part) else np.asarray(part, dtype=np.float64)
    data: Any = part.data if sp.issparse(part) else part
    if not data.size or data.min() < 0:
        return None
    for log in (True, False):
        if log and data.max() > MOST_LOGGED:
            continue
        if sp.issparse(part):
            plain: Any = part.copy()
            plain.data = np.expm1(part.data) if log else part.data
        else:
            plain = np.expm1(part) if log else part
        total = np.asarray(plain.sum(axis=1)).ravel()
        if total.mean() > 0 and total.std() < _CONSTANT * total.mean():
            return Scale(log, float(total.mean()))
    return None


def far_off(
    x: Any, rna: AnnData, mass: float, mean: float, sd: float, scale: Scale | None, *, counts: bool
) -> tuple[str, bool] | None:
    """Return what is wrong with a query's scale, and whether it is beyond use; None where nothing is.

    Parameters
    ----------
    x
        The model's genes that are there, (cells, present); some cells are looked at.
    rna
        The query, which may keep its counts beside X.
    mass
        Share of the training total in these genes.
    mean, sd
        Mean and sd of the log total of the training cells.
    scale
        Scale of the training cells.
    """
    rows = np.unique(np.linspace(0, x.shape[0] - 1, min(x.shape[0], _LOOKED_AT)).astype(int))
    part = read(x[rows])
    total = np.asarray(part.sum(axis=1), dtype=np.float64).ravel() / max(mass, 1e-6)
    median, usual = float(np.median(np.log1p(np.maximum(total, 0)))), mean
    off = (median - usual) / sd
    fold = float(np.exp(abs(median - usual)))
    told = (
        f"a median of {np.expm1(median):,.4g} a cell over the model's genes, the training cells {np.expm1(usual):,.4g}"
    )
    if counts:
        if fold < _SHALLOW or abs(off) < 2:
            return None
        word = "shallower" if off < 0 else "deeper"
        return (
            f"The query is {fold:.1f} times {word} than the training cells: counts sum to {told}. Predicted depth "
            "lies at the edge of what the model has seen; depth='fixed' predicts all cells at the training mean.",
            False,
        )
    v = np.asarray(part.data if sp.issparse(part) else part).ravel()
    v = v[v > 0]
    beyond = float(np.mean(v > 1.25 * scale.largest)) if scale is not None and v.size else 0.0
    if abs(off) < WARN and beyond < _BEYOND:
        return None
    kept = kept_counts(rna, "rna") or "rna.X = the counts"
    cure = f"{kept}; {(scale or Scale(True, 0.0)).recipe()}"
    looks = " It looks not log-transformed: sc.pp.log1p(rna)." if beyond >= _BEYOND and off > 0 else ""
    return (
        f"The query is not on the scale of the training cells: its values sum to {told} ({abs(off):.0f} sd of theirs), "
        f"and {beyond:.0%} of them are larger than any there.{looks} Normalise it as they were: {cure}.",
        beyond >= _BEYOND or abs(off) > REFUSE,
    )
