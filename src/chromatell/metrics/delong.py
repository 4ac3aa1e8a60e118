"""AUROC of each region over cells, plain or inside strata of cells, with each cell's share in its sampling error."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from chromatell._validate import ChromatellError
from chromatell.metrics._comparing import compared_auroc, few_open
from chromatell.metrics._ranked_regions import RankedRegions
from chromatell.metrics.ranking import auroc, auroc_and_ap, finite

_STRATA_A_BLOCK = 10
_IN_CACHE = 1 << 16  # values of a block of which many numbers are computed
_COLUMNS = 64  # regions whose scores are gathered together


@dataclass(frozen=True)
class RegionScores:
    """A ranking score of each region and its mean over regions.

    Attributes
    ----------
    score
        float64 (m,); NaN where no stratum of the region holds both classes.
    influence
        float64 (n,): what one more copy of each cell would add to the mean over regions, to first order. ``(w - 1) @
        influence`` is the change of the mean when cell i counts ``w[i]`` times; None where it was not asked for.
    """

    score: np.ndarray
    influence: np.ndarray | None

    @property
    def mean(self) -> float:
        """Mean over the regions that have a score; NaN where none has."""
        held = np.isfinite(self.score)
        return float(self.score[held].mean()) if held.any() else float("nan")

    @property
    def n(self) -> int:
        """Number of regions that have a score."""
        return int(np.isfinite(self.score).sum())


def region_auroc(
    y: Any,
    score: np.ndarray,
    strata: np.ndarray | None = None,
    *,
    by_size: bool = False,
    left_out: Any = None,
    regions: np.ndarray | None = None,
    influence: bool = True,
) -> RegionScores:
    """AUROC of each region over cells; with strata, the mean over the strata that hold both classes.

    Parameters
    ----------
    y
        Labels, (cells, regions), dense or scipy sparse (CSC is fastest).
    score
        float32 (cells, regions); other types are cast to it.
    strata
        int (cells,): the stratum of each cell, -1 leaves a cell out; None makes one stratum of all.
    by_size
        Weigh a stratum of k open and n closed cells by ``k n / (k + n)``, as Mantel and Haenszel do, so that each open
        cell counts about the same however many small strata there are; False weighs all alike.
    left_out
        Pairs of cell and region that are not compared, such as those that were read: as `y`, None for none. None of
        them is open in `y`.
    regions
        int, ascending: score these alone, the others are NaN; None scores all.
    influence
        Compute the influence of the cells.

    Returns
    -------
    RegionScores

    Notes
    -----
    The influence is built from DeLong's structural components (DeLong, DeLong & Clarke-Pearson, Biometrics 44, 1988):
    for an open cell the share of closed cells below it, for a closed cell the share of open cells above it, each minus
    its expectation, divided by the size of its class; it is the infinitesimal jackknife of Efron (1982). Corrected
    for strata and regions with few open cells, where a component minus its own stratum's mean is near zero by
    construction: components are centred at the mean of the region over its strata, those of the k open cells of a
    region are scaled by ``sqrt(k / (k - 1))`` as in DeLong's covariance, and a region with one open cell is centred
    at the mean over all regions. Weights of strata are taken as given (Mantel & Haenszel, J. Natl. Cancer Inst. 22,
    1959).

    Examples
    --------
    >>> import numpy as np
    >>> y = np.array([[0], [1], [0], [1]])
    >>> s = np.array([[0.1], [0.2], [0.4], [0.7]])
    >>> region_auroc(y, s).score.tolist(), region_auroc(y, s[::-1], np.array([0, 0, 1, 1])).score.tolist()
    ([0.75], [0.0])
    """
    n, m = _same_shape(y, score)
    cells, starts = _layout(strata, n)
    held = np.arange(m) if regions is None else regions
    full = np.full(m, np.nan)
    if (opened := few_open(y, cells, starts, slice(None) if regions is None else regions)) is not None:
        how = {"by_size": by_size, "influence": influence}
        full[held], change = compared_auroc(opened, score, cells, starts, held, left_out, **how)
        return _finish(full, change, cells, n)
    if strata is None and left_out is None and regions is None and not influence:
        return RegionScores(auroc(y, np.asarray(score, dtype=np.float32), axis=0), None)
    block = _IN_CACHE * max(1, (starts.size - 1) // _STRATA_A_BLOCK)  # many small strata are slow in small blocks
    blocks = _region_blocks(y, score, cells, block, held, left_out)
    areas = [
        RankedRegions(labels, values, starts, out).auroc(by_size=by_size, influence=influence)
        for labels, values, out in blocks
    ]
    scores = _auroc_of(areas, cells, n, influence=influence)
    full[held] = scores.score
    return RegionScores(full, scores.influence)


def region_ap(y: Any, score: np.ndarray, *, influence: bool = True) -> RegionScores:
    """Average precision of each region over cells; parameters and result as in :func:`region_auroc`, without strata.

    Notes
    -----
    The influence is the derivative of the weighted average precision with respect to each cell's weight (Efron's
    infinitesimal jackknife), scaled by ``sqrt(k / (k - 1))`` for the k open cells of a region.

    Examples
    --------
    >>> import numpy as np
    >>> region_ap(np.array([[0], [1], [1]]), np.array([[0.5], [0.4], [0.8]])).score.round(4).tolist()
    [0.8333]
    """
    cells, starts = _layout(None, np.shape(y)[0])
    blocks = _region_blocks(y, score, cells, _IN_CACHE)
    aps = [RankedRegions(labels, values, starts).ap(influence=influence) for labels, values, _ in blocks]
    return _ap_of(aps, cells, np.shape(y)[0], influence=influence)


def region_areas(y: Any, score: np.ndarray, *, influence: bool = True) -> tuple[RegionScores, RegionScores]:
    """Return what `region_auroc` and `region_ap` do without strata, from one sort of each region.

    Examples
    --------
    >>> import numpy as np
    >>> area, ap = region_areas(np.array([[0], [1], [1]]), np.array([[0.5], [0.4], [0.8]]))
    >>> area.score.tolist(), ap.score.round(4).tolist()
    ([0.5], [0.8333])
    """
    n = np.shape(y)[0]
    cells, starts = _layout(None, n)
    if not influence:
        area, ap = auroc_and_ap(y, np.asarray(score, dtype=np.float32), axis=0)
        return RegionScores(area, None), RegionScores(ap, None)
    areas, aps = [], []
    for labels, values, _ in _region_blocks(y, score, cells, _IN_CACHE):
        ranked = RankedRegions(labels, values, starts)
        areas.append(ranked.auroc(by_size=False, influence=True))
        aps.append(ranked.ap(influence=True))
    return _auroc_of(areas, cells, n, influence=True), _ap_of(aps, cells, n, influence=True)


def paired_auroc_test(
    y: Any, score: np.ndarray, other: np.ndarray, *, min_class: int = 5
) -> tuple[np.ndarray, np.ndarray]:
    """By how much each region's AUROC is above another prediction's on the same cells, and the one-sided p-value.

    Parameters
    ----------
    y
        Labels, (cells, regions), dense or scipy sparse.
    score, other
        float32 (cells, regions), the two predictions.
    min_class
        Regions with fewer open or fewer closed cells get no test.

    Returns
    -------
    gain : numpy.ndarray, float64 (regions,)
        AUROC of `score` minus AUROC of `other`; NaN where a class is absent.
    p : numpy.ndarray, float64 (regions,)
        p-value of "no better than `other`"; 1 where there is no test.

    Notes
    -----
    DeLong's paired test (1988), with Student's t for k - 1 degrees of freedom, k the smaller class, since regions are
    open in few cells.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> y = rng.random((200, 1)) < 0.3
    >>> gain, p = paired_auroc_test(y, y + rng.normal(size=y.shape), rng.random(y.shape))
    >>> bool(gain[0] > 0.1), bool(p[0] < 0.01)
    (True, True)
    """
    from scipy import stats

    cells, starts = _layout(None, np.shape(y)[0])
    gains, ps = [np.zeros(0)], [np.zeros(0)]
    for (labels, a, _), (_, b, _) in zip(
        *(_region_blocks(y, x, cells, _IN_CACHE) for x in (score, other)), strict=True
    ):
        one, two = (RankedRegions(labels, x, starts) for x in (a, b))
        gain = np.where(one.both, one.area - two.area, np.nan).ravel()
        part_a, part_b = one.components(), two.components()
        n_open = labels.sum(axis=1)
        n_closed = labels.shape[1] - n_open
        off = (part_a - part_b - np.nan_to_num(gain)[:, None]) ** 2
        variance = np.zeros(len(labels))
        for group, size in ((labels, n_open), (~labels, n_closed)):
            variance += (off * group).sum(axis=1) / np.maximum(size, 1) / np.maximum(size - 1, 1)
        k = np.minimum(n_open, n_closed)
        testable = (k >= max(min_class, 2)) & (variance > 0)
        t = np.divide(gain, np.sqrt(variance), out=np.zeros_like(variance), where=testable)
        ps.append(np.where(testable, stats.t.sf(t, np.maximum(k - 1, 1)), 1.0))
        gains.append(gain)
    return np.concatenate(gains), np.concatenate(ps)


def _auroc_of(of_blocks: list[Any], cells: np.ndarray, n_cells: int, *, influence: bool) -> RegionScores:
    """Return what blocks of regions give together; a region of one open cell is centred at the mean over all."""
    score, total, alone = _together(of_blocks, 3, cells.size)
    if influence:
        total = total - np.nan_to_num(RegionScores(score, None).mean) * alone
    return _finish(score, total if influence else None, cells, n_cells)


def _ap_of(of_blocks: list[Any], cells: np.ndarray, n_cells: int, *, influence: bool) -> RegionScores:
    score, total = _together(of_blocks, 2, cells.size)
    return _finish(score, total if influence else None, cells, n_cells)


def _together(of_blocks: list[Any], parts: int, n: int) -> tuple[np.ndarray, ...]:
    """Return the scores of all blocks, and the sums over them of what is there for each cell."""
    if not of_blocks:
        return np.zeros(0), *(np.zeros(n) for _ in range(parts - 1))
    scores, *sums = zip(*of_blocks, strict=True)
    return np.concatenate(scores), *(np.sum(x, axis=0) for x in sums)


def _finish(score: np.ndarray, total: np.ndarray | None, cells: np.ndarray, n_cells: int) -> RegionScores:
    if total is None:
        return RegionScores(score, None)
    influence = np.zeros(n_cells)
    influence[cells] = total / max(int(np.isfinite(score).sum()), 1)
    return RegionScores(score, influence)


def _layout(strata: np.ndarray | None, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the cells sorted by stratum, and where each stratum starts (with the end)."""
    if strata is None:
        return np.arange(n), np.array([0, n])
    strata = np.asarray(strata)
    if strata.shape != (n,):
        raise ChromatellError(f"strata has shape {strata.shape}; one whole number a cell is needed: ({n},).")
    cells = np.argsort(strata, kind="stable")
    cells = cells[np.searchsorted(strata[cells], 0) :]
    codes = strata[cells]
    return cells, np.append(np.flatnonzero(np.diff(codes, prepend=-1)), codes.size)


def _same_shape(y: Any, score: np.ndarray) -> tuple[int, int]:
    if np.shape(y) != np.shape(score):
        raise ChromatellError(
            f"y has shape {np.shape(y)} and score {np.shape(score)}; they must be the same. Align them first."
        )
    n, m = np.shape(y)
    return n, m


def _region_blocks(
    y: Any,
    score: np.ndarray,
    cells: np.ndarray,
    block: int,
    regions: np.ndarray | None = None,
    left_out: Any = None,
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray | None]]:
    """Yield labels (bool), scores (float32) and what is left out (bool) of blocks of regions, (regions, cells)."""
    n, m = _same_shape(y, score)
    regions = np.arange(m) if regions is None else regions
    step = max(1, block // max(cells.size, 1))
    together = step * max(1, _COLUMNS // step)  # columns that lie beside each other are read at once
    place = np.full(n, -1)
    place[cells] = np.arange(cells.size)
    y, left_out = (sp.csc_matrix(x) if sp.issparse(x) else x for x in (y, left_out))
    for a in range(0, regions.size, together):
        some = regions[a : a + together]
        cols = slice(some[0], some[-1] + 1) if some[-1] - some[0] == some.size - 1 else some
        values = score[:, cols] if _all(cells, n) else score[:, cols][cells]
        values = finite(np.ascontiguousarray(values.T, dtype=np.float32))
        labels, out = (None if x is None else _labels(x, some, place, cells) for x in (y, left_out))
        assert labels is not None
        for i in range(0, some.size, step):
            here = slice(i, i + step)
            yield labels[here], values[here], None if out is None else out[here]


def _labels(y: Any, regions: np.ndarray, place: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Return labels, bool (regions, cells); `y` is CSC or dense, `place` each cell's among `cells`, -1 for none."""
    if not sp.issparse(y):
        return np.ascontiguousarray(np.asarray(y)[:, regions][cells].T != 0)
    part = y[:, regions]
    labels = np.zeros((regions.size, cells.size), dtype=bool)
    row, at = np.repeat(np.arange(regions.size), np.diff(part.indptr)), place[part.indices]
    held = (at >= 0) & (part.data != 0)
    labels[row[held], at[held]] = True
    return labels


def _all(cells: np.ndarray, n: int) -> bool:
    """Return whether these are all cells in their order, which spares a copy."""
    return cells.size == n and bool((np.diff(cells) == 1).all())
