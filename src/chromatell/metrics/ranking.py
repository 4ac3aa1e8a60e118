"""AUROC and average precision of many columns or rows at once, equal to scikit-learn's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.sparse as sp

from chromatell._docs import documented
from chromatell._validate import ChromatellError
from chromatell.metrics._sorted_scores import SortedScores
from chromatell.metrics._sorting import ordered_bits

BLOCK = 1 << 18  # values sorted at a time: they stay in the cache
N_POINTS = 200  # of a precision-recall curve
_SHORT = 6000  # scores of a row up to which rows are looked up together


@documented("ranking")
def auroc(y: Any, score: np.ndarray, axis: int | None = None) -> Any:
    """Area under the receiver operating characteristic curve, for each column, each row or all pairs.

    Returns
    -------
    float, or numpy.ndarray float64 (m,) or (n,)
        NaN where a class is absent. Tied scores count one half, as in scikit-learn.

    Raises
    ------
    ChromatellError
        The shapes differ, or a score is NaN or infinite.

    Notes
    -----
    The Mann-Whitney form: Hanley & McNeil, Radiology 143 (1982). Each column is sorted once and only the positives are
    looked up in it, so sparse labels are fast.

    Examples
    --------
    >>> import numpy as np
    >>> y = np.array([[0, 1], [1, 0], [1, 1]])
    >>> auroc(y, np.array([[0.1, 0.5], [0.4, 0.5], [0.8, 0.9]]), axis=0)
    array([1.  , 0.75])
    """
    return _areas(y, score, axis, ap=False)[0]


@documented("ranking")
def average_precision(y: Any, score: np.ndarray, axis: int | None = None) -> Any:
    """Average precision for each column, each row or all pairs: the sum of precision x step in recall.

    Returns
    -------
    float, or numpy.ndarray float64 (m,) or (n,)
        NaN where a class is absent (scikit-learn gives 0 or 1 there).

    Raises
    ------
    ChromatellError
        The shapes differ, or a score is NaN or infinite.

    Notes
    -----
    Without interpolation: Davis & Goadrich, ICML 2006. The value of a random score is the prevalence: see
    :func:`normalised_ap`.

    Examples
    --------
    >>> import numpy as np
    >>> float(average_precision(np.array([0, 1, 1]), np.array([0.5, 0.4, 0.8])).round(4))
    0.8333
    """
    return auroc_and_ap(y, score, axis)[1]


def auroc_and_ap(y: Any, score: np.ndarray, axis: int | None = None) -> tuple[Any, Any]:
    """AUROC and average precision from one sort; parameters as in :func:`auroc`.

    Returns
    -------
    tuple of two floats, or of two numpy.ndarray float64 (m,) or (n,)

    Examples
    --------
    >>> import numpy as np
    >>> a, p = auroc_and_ap(np.array([0, 1, 1]), np.array([0.5, 0.4, 0.8]))
    >>> float(a), float(p.round(4))
    (0.5, 0.8333)
    """
    return _areas(y, score, axis)


def _areas(y: Any, score: np.ndarray, axis: int | None, *, ap: bool = True) -> tuple[Any, Any]:
    """Return AUROC, and average precision where it is asked for."""
    score = _check(y, score, axis)
    if axis is None:
        area, precision = SortedScores.of(finite(score.reshape(-1)), flat_positives(y)).areas()
        return np.float64(area), np.float64(precision)
    areas = []
    for block, pointer, where in _blocks(y, score, axis):
        if block.dtype == np.float32 and block.shape[1] <= _SHORT:
            areas.append(_areas_together(block, pointer, where, ap=ap))
        else:
            rows = [SortedScores.of(row, where[pointer[i] : pointer[i + 1]]).areas() for i, row in enumerate(block)]
            areas.append(np.array(rows, dtype=np.float64).reshape(-1, 2))
    table = np.concatenate([np.zeros((0, 2)), *areas])
    return table[:, 0], table[:, 1]


def normalised_ap(ap: Any, prevalence: Any) -> Any:
    """Average precision on a scale where 0 is a random score and 1 a perfect one: ``(AP - p) / (1 - p)``.

    Parameters
    ----------
    ap, prevalence
        Numbers or arrays of one shape, each within 0 to 1.

    Returns
    -------
    float or numpy.ndarray
        NaN where the prevalence is 1.

    Examples
    --------
    >>> round(normalised_ap(0.55, 0.1), 6)
    0.5
    """
    rest = 1.0 - np.asarray(prevalence, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        result = np.where(rest > 0, (np.asarray(ap, dtype=np.float64) - prevalence) / rest, np.nan)
    return float(result) if result.ndim == 0 else result


def pr_curve(y: Any, score: np.ndarray, n_points: int = N_POINTS) -> np.ndarray:
    """Precision against recall over all pairs, thinned to a few points that are evenly spaced in recall.

    Parameters
    ----------
    y, score
        As in :func:`auroc`.
    n_points
        At most so many points.

    Returns
    -------
    numpy.ndarray, float32 (2, k)
        Row 0 recall (ascending), row 1 precision; k = 0 where there is no positive.

    Examples
    --------
    >>> import numpy as np
    >>> pr_curve(np.array([0, 1, 1]), np.array([0.5, 0.4, 0.8])).round(2).tolist()
    [[0.5, 1.0], [1.0, 0.6700000166893005]]
    """
    return sorted_scores(y, score).pr_curve(n_points)


def closed_pairs(score: np.ndarray, seen: sp.csr_matrix, removed: sp.csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    """Return whether each pair that was not seen is a removed bin, bool (pairs,), and its score, (pairs,).

    Parameters
    ----------
    score
        (cells, bins).
    seen, removed
        CSR (cells, bins): the open bins that were read, and those that were taken out.

    Examples
    --------
    >>> import numpy as np
    >>> import scipy.sparse as sp
    >>> seen, removed = sp.csr_matrix([[1, 0, 0]]), sp.csr_matrix([[0, 0, 1]])
    >>> [x.tolist() for x in closed_pairs(np.array([[0.9, 0.2, 0.4]]), seen, removed)]
    [[False, True], [0.2, 0.4]]
    """
    closed = np.ones(score.shape, dtype=bool)
    closed[seen.nonzero()] = False
    truth = np.zeros(score.shape, dtype=bool)
    truth[removed.nonzero()] = True
    return truth[closed], score[closed]


def sorted_scores(y: Any, score: np.ndarray) -> SortedScores:
    """Sort the scores of all pairs, for several metrics; parameters as in :func:`auroc`."""
    score = _check(y, score, None)
    return SortedScores.of(finite(score.reshape(-1)), flat_positives(y))


def _areas_together(block: np.ndarray, pointer: np.ndarray, where: np.ndarray, *, ap: bool) -> np.ndarray:
    """AUROC and AP of rows of float32 scores, float64 (m, 2), all sought at once: of short rows it takes a fourth.

    A score stands behind the number of its row in one whole number, so that all rows in a row are sorted.
    """
    m, n = block.shape
    k = np.diff(pointer).astype(np.int64)
    row = np.arange(m, dtype=np.uint64) << np.uint64(32)
    bits = ordered_bits(block)
    own = np.repeat(np.arange(m), k)
    positive = row[own] | bits[own, where[pointer[0] : pointer[-1]]]
    positive.sort()
    bits.sort(axis=1)
    ranked = (bits | row[:, None]).ravel()
    left = np.searchsorted(ranked, positive) - own * n
    right = np.searchsorted(ranked, positive, side="right") - own * n
    table = np.full((m, 2), np.nan)
    both = (k > 0) & (k < n)
    wins = np.bincount(own, left + right, minlength=m)[both]
    p = k[both]
    table[both, 0] = ((wins + p) / 2 - p * (p + 1) / 2) / (p * (n - p))
    if ap:
        true = np.cumsum(k)[own] - np.searchsorted(positive, positive)  # positives at or above each positive's score
        table[both, 1] = np.bincount(own, true / (n - left), minlength=m)[both] / p
    return table


def aligned(y: Any, values: np.ndarray, name: str) -> np.ndarray:
    """Return values as float32 or float64, of the shape of the labels."""
    values = np.asarray(values)
    if values.dtype not in (np.float32, np.float64):
        values = values.astype(np.float64)
    if np.shape(y) != values.shape:
        raise ChromatellError(
            f"y has shape {np.shape(y)} and {name} {values.shape}; they must be the same. Align them first."
        )
    return values


def _check(y: Any, score: np.ndarray, axis: int | None) -> np.ndarray:
    score = aligned(y, score, "score")
    if axis not in (None, 0, 1) or (axis is not None and score.ndim != 2):
        raise ChromatellError(
            f"axis={axis!r} does not fit scores of shape {score.shape}; use None, or 0 or 1 for two dimensions."
        )
    return score


def _blocks(y: Any, score: np.ndarray, axis: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield blocks of columns (axis 0) or rows (1): scores (m, n), and the places of the positives of each as CSR's."""
    major = score.T if axis == 0 else score
    step = max(1, BLOCK // max(major.shape[1], 1))
    labels = (sp.csc_matrix(y).T if axis == 0 else sp.csr_matrix(y)) if sp.issparse(y) else None
    if labels is not None and (labels.data.size and not labels.data.all()):
        labels = labels.copy()
        labels.eliminate_zeros()
    for start in range(0, major.shape[0], step):
        block = finite(np.ascontiguousarray(major[start : start + step]))
        if labels is not None:
            pointer, where = labels.indptr[start : start + step + 1], labels.indices
        else:
            dense = np.asarray(y)
            part = (dense.T if axis == 0 else dense)[start : start + step] != 0
            rows, where = np.nonzero(part)
            pointer = np.searchsorted(rows, np.arange(len(part) + 1))
        yield block, pointer, where


def flat_positives(y: Any) -> np.ndarray:
    """Return the places of the positives in the flattened labels, int64, ascending."""
    if not sp.issparse(y):
        return np.flatnonzero(np.asarray(y))
    csr = sp.csr_matrix(y)
    if not csr.has_canonical_format:
        csr = csr.astype(bool)  # repeated entries join; a sum may wrap to 0 in a narrow dtype
        csr.sum_duplicates()
    row = np.repeat(np.arange(csr.shape[0], dtype=np.int64), np.diff(csr.indptr))
    return (row * csr.shape[1] + csr.indices)[csr.data != 0]


def finite(score: np.ndarray) -> np.ndarray:
    """Return the scores, none of which may be NaN or infinite."""
    if score.size and not (np.isfinite(score.min()) and np.isfinite(score.max())):
        raise ChromatellError(
            f"{int((~np.isfinite(score)).sum())} scores are NaN or infinite; each must be a finite number. "
            "Set them first: np.nan_to_num(score)."
        )
    return score
