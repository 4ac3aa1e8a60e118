"""What 'transfer' predicts is smoothed along the chromosome: over what width, and block by block as if whole."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from chromatell.data._tracks_smooth import TRUNCATE, smooth

if TYPE_CHECKING:
    from chromatell.models.nascent._evaluation import Predictor

PIECE = 4096  # validation bins in a row
MOST = 10_000  # bins: no stored width is larger
_TRIED = (0, 125, 250, 500, 750, 1000)  # standard deviations in bp
_UNCHOSEN = 0.5  # without validation bins: of the width of the target's own smoothing


def tried_widths(bin_size: int) -> list[float]:
    """Return the standard deviations that are tried, in bins; those under half a bin smooth nothing.

    Examples
    --------
    >>> tried_widths(50), tried_widths(500)
    ([0.0, 2.5, 5.0, 10.0, 15.0, 20.0], [0.0, 0.5, 1.0, 1.5, 2.0])
    """
    return [bp / bin_size for bp in _TRIED if bp == 0 or 2 * bp >= bin_size]


def unchosen_widths(sigmas: Sequence[float]) -> np.ndarray:
    """Return widths in bins where no validation bin says which: half of what each target was smoothed over."""
    return _UNCHOSEN * np.array(sigmas, dtype=np.float64)


def chosen(every: np.ndarray, unchanged: np.ndarray) -> np.ndarray:
    """Return of each target which choice has the least loss, the first of equal ones, int64 (targets,).

    One that loses in the sample as it is, beside the first choice, is not taken.

    Parameters
    ----------
    every, unchanged
        (targets, choices): losses in all samples, and in the one as it is.
    """
    return np.where(unchanged > unchanged[:, :1], np.inf, every).argmin(axis=1)


def width_losses(
    predicted: np.ndarray, targets: np.ndarray, at: np.ndarray, plain: np.ndarray, tried: Sequence[float], loss: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return the loss of validation bins with each width, in all samples and in the one as it is, (targets, widths).

    Parameters
    ----------
    predicted
        float32 (targets, bins): what is predicted, as it leaves the model.
    targets
        float32 (targets, bins), NaN where unknown.
    at
        int64 (bins,): where each lies; those of one piece are of one sample and chromosome.
    plain
        bool (bins,): which are of the sample as it is.
    tried
        Widths, in bins.
    loss
        'mse', 'logistic' or 'hinge'.
    """
    every, unchanged = np.zeros((2, len(predicted), len(tried)))
    for rows in _pieces(at):
        for i, y in enumerate(targets[:, rows]):
            of = np.isfinite(y)
            losses = [_loss(_smoothed(predicted[i, rows], at[rows] % PIECE, w)[of], y[of], loss) for w in tried]
            every[i] += losses
            unchanged[i] += np.array(losses) * plain[rows[0]]
    return every, unchanged


def smoothed_pieces(values: np.ndarray, at: np.ndarray, width: float) -> np.ndarray:
    """Return values (bins,) smoothed within pieces, float32; `at` as for `width_losses`, `width` in bins."""
    smoothed = values.astype(np.float32)
    for rows in _pieces(at) if width > 0 else ():
        smoothed[rows] = _smoothed(values[rows], at[rows] % PIECE, width)
    return smoothed


def _pieces(at: np.ndarray) -> list[np.ndarray]:
    """Return the rows of each piece."""
    piece = at // PIECE
    return [np.flatnonzero(piece == x) for x in np.unique(piece)]


def _smoothed(values: np.ndarray, place: np.ndarray, width: float) -> np.ndarray:
    """Return the values of one piece smoothed, given where in it they lie."""
    whole, known = np.zeros(PIECE, dtype=np.float32), np.zeros(PIECE, dtype=bool)
    whole[place], known[place] = values, True
    return smooth(whole, known, width)[place]


def _loss(value: np.ndarray, y: np.ndarray, loss: str) -> float:
    value = value.astype(np.float64)
    if loss == "hinge":
        return float(((value > 0) != (y > 0)).sum())
    if loss == "logistic":
        p = np.clip(value, 1e-6, 1 - 1e-6)
        return float(-np.where(y > 0, np.log(p), np.log1p(-p)).sum())
    return float(((value - y) ** 2).sum())


def smoothed_predictor(predict: Predictor, widths: np.ndarray, n_bins: int) -> Predictor:
    """Return what predicts some bins smoothed; a few more on each side are predicted, so that blocks join.

    Near a chromosome's ends the Gaussian is over the bins that are there.
    """
    if not widths.any():
        return predict
    reach = math.ceil(TRUNCATE * float(widths.max())) + 1

    def smoothed(columns: slice) -> np.ndarray:
        first, behind = max(columns.start - reach, 0), min(columns.stop + reach, n_bins)
        block, known = predict(slice(first, behind)), np.ones(behind - first, dtype=bool)
        mine = slice(columns.start - first, columns.stop - first)
        return np.stack([smooth(x, known, w)[mine] for x, w in zip(block, widths, strict=True)])

    return smoothed
