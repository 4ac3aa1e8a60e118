"""The stack of 'transfer': for samples like that of training, trees of its own bins and ridge beside what carries over.

What carries over costs accuracy in the sample of training: the log signal has a share, and an eighth of the bins that
trees see is unchanged. A query that is like that sample is therefore predicted by more: second trees, which see bins as
they are alone and also read what a ridge regression says, and that regression itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from chromatell._keys import TRAIN
from chromatell._validate import ChromatellError
from chromatell.data._tracks_inputs import input_values
from chromatell.metrics import average_precision
from chromatell.models._least_squares import least_squares
from chromatell.models.nascent._bins import draw_bins
from chromatell.models.nascent._carry import Assay, Sample
from chromatell.models.nascent._signal import Signal
from chromatell.models.nascent._smoothing import smoothed_pieces
from chromatell.models.nascent._trees import Trees

if TYPE_CHECKING:
    from chromatell.models.nascent._batches import Source

ALIKE = ("as it is", "thin 0.1", "thin 0.03")  # samples that might have been, in which shares are chosen
PART = 4  # of `max_bins`, one in so many is drawn for the second trees
ROUNDS = 60  # of the second trees at most
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)  # of ridge, that are tried
_PENALTY = 0.01  # of the mean over bins
_MOST = 500_000  # bins that ridge is fitted to
_BLOCK = 1 << 15
_FLOOR = 1e-3  # standard deviations above the least value: no geometric mean is lower


@dataclass(frozen=True)
class Stack:
    """What is said of samples like that of training.

    Attributes
    ----------
    trees
        Second trees: they read what the first ones read, and then what ridge says of each target.
    ridge
        float64 (targets, 1 + features): intercept and weights on log sums of the signal.
    low
        float64 (targets,): the least value of each in training, at most 0, in standard deviations.
    share
        float64 (targets,): of ridge in the geometric mean of it and the mean of both trees, from 0 to 1.
    used
        float64 (targets,): 1 where the target is predicted so, 0 where as in other samples.
    """

    trees: Trees
    ridge: np.ndarray
    low: np.ndarray
    share: np.ndarray
    used: np.ndarray

    def said(self, signal: Signal, bins: slice | np.ndarray) -> np.ndarray:
        """Return what ridge says, float32 (targets, bins); `signal` as :func:`ridge_signal` gives it."""
        return ridge_says(self.ridge, self.low, signal, bins)

    def joined(self, trees: np.ndarray, ridge: np.ndarray, share: np.ndarray | None = None) -> np.ndarray:
        """Return the geometric mean of values of trees and of ridge over the least one, float32 (targets, bins)."""
        share = (self.share if share is None else share)[:, np.newaxis]
        low = self.low[:, np.newaxis]
        over = [np.maximum(x - low, _FLOOR) for x in (trees, ridge)]
        mean = low + over[0] ** (1 - share) * over[1] ** share
        return np.where(share > 0, mean, trees).astype(np.float32)

    def apply(self, value: np.ndarray, trees: np.ndarray, ridge: np.ndarray) -> np.ndarray:
        """Return what is predicted, given what other samples would have, float32 (targets, bins)."""
        return np.where(self.used[:, np.newaxis] > 0, self.joined(trees, ridge), value)

    def chosen(self, held: Held, width: np.ndarray) -> Stack:
        """Return the stack with the shares that validation bins choose, and whether they choose it at all.

        The best is that with the highest sum of r and the average precision of peaks, the mean over the samples; it
        must be above what other samples have in the mean and in the sample as it is. A target of which no bin tells
        is predicted as in other samples. `width` is what each prediction is smoothed over, in bins.
        """
        n, share, used = len(width), np.zeros(len(width)), np.zeros(len(width))
        tried = [held.value, *(self.joined(held.trees, held.ridge, np.full(n, s)) for s in SHARES)]
        for i in range(n):
            scores = np.array([held.score(x[i], i, width[i]) for x in tried])  # (choices, samples)
            if not np.isfinite(scores).any():
                continue
            mean, own = np.nanmean(scores, axis=1), scores[:, 0]
            best = 1 + int(mean[1:].argmax())
            share[i] = SHARES[best - 1]
            used[i] = float(mean[best] > mean[0] and not own[best] < own[0])
        return replace(self, share=share, used=used)

    def described(self, targets: Sequence[str]) -> dict[str, float | None]:
        """Return of each target the share of ridge, None where the stack does not predict it."""
        every = zip(targets, self.share.tolist(), self.used.tolist(), strict=True)
        return {name: share if used else None for name, share, used in every}

    # ---- the record

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the fields by name."""
        own = {name: getattr(self, name) for name in ("ridge", "low", "share", "used")}
        return own | {f"trees.{name}": array for name, array in self.trees.arrays().items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], n_read: int, n_ridge: int, n_targets: int) -> Stack:
        """Return it of stored fields; raise where they are not of so many features, of trees and of ridge."""
        own = {name: array for name, array in arrays.items() if not name.startswith("trees.")}
        trees = Trees(**{k.removeprefix("trees."): array for k, array in arrays.items() if k not in own})
        trees.check(n_read + n_targets, n_targets)
        for name, array in own.items():
            shape = (n_targets, 1 + n_ridge) if name == "ridge" else (n_targets,)
            if array.shape != shape or array.dtype != np.float64 or not np.isfinite(array).all():
                raise ChromatellError(f"The stored stack has a wrong {name!r}. Ask for the file again, or train anew.")
        stack = cls(trees=trees, **own)
        shares = np.concatenate([stack.share, stack.used])
        if shares.min() < 0 or shares.max() > 1 or stack.low.max() > 0:
            raise ChromatellError("The stored stack is out of range. Ask for the file again, or train anew.")
        return stack


@dataclass(frozen=True)
class Held:
    """Validation bins as samples that might have been see them, and what is said of them.

    Attributes
    ----------
    targets, peaks
        float32 and bool (targets, bins): scaled, NaN where unknown; where the unsmoothed value is above the threshold.
    at, kinds
        int64 (bins,): where each lies, as `CarriedBins` has it, and which sample it is of, as it is first.
    value
        float32 (targets, bins): what would be predicted in other samples.
    trees, ridge
        float32 (targets, bins): values of both trees, and of ridge.
    """

    targets: np.ndarray
    peaks: np.ndarray
    at: np.ndarray
    kinds: np.ndarray
    value: np.ndarray
    trees: np.ndarray
    ridge: np.ndarray

    def score(self, value: np.ndarray, i: int, width: float) -> list[float]:
        """Return the sum of r and average precision in each sample of values (bins,) of target `i`, once smoothed."""
        smoothed, y, peaks = smoothed_pieces(value, self.at, width), self.targets[i], self.peaks[i]
        sums = []
        for kind in np.unique(self.kinds):
            at = np.flatnonzero((self.kinds == kind) & np.isfinite(y))
            told = at.size > 1 and y[at].std() > 0
            if not told:
                sums.append(np.nan)
                continue
            x = smoothed[at].astype(np.float64)
            r = float(np.corrcoef(x, y[at])[0, 1]) if x.std() > 0 else 0.0
            ap = float(average_precision(peaks[at], x))
            sums.append(r + (ap if np.isfinite(ap) else 0.0))
        return sums


def ridge_signal(values: np.ndarray, assays: Sequence[Assay], sample: Sample, window: int) -> Signal:
    """Return what ridge reads of inputs of one chromosome (inputs, bins), not scaled: over the mean of their sample."""
    scaled = np.empty_like(values, dtype=np.float32)
    for assay, (_, mean, _) in zip(assays, sample.scale, strict=True):
        rows = list(assay.rows)
        scaled[rows] = values[rows] * (len(rows) / mean)
    return Signal(scaled, window)


def ridge_says(weights: np.ndarray, low: np.ndarray, signal: Signal, bins: slice | np.ndarray) -> np.ndarray:
    """Return fitted values, none below the least value in training, float32 (targets, bins)."""
    # in float64, rounded: trees read it, and the sum of a block of another size may be otherwise in its last bit
    fitted = weights[:, :1] + weights[:, 1:] @ signal.features(bins).astype(np.float64)
    return np.maximum(fitted, low[:, np.newaxis]).astype(np.float32)


def fit_ridge(source: Source, assays: Sequence[Assay], seed: np.random.SeedSequence) -> np.ndarray:
    """Return intercept and weights of each target, (targets, 1 + features), from training bins in which it is known."""
    sample = source.sample
    if sample is None:
        raise ChromatellError("The scale of the sample is not known: fit it first.")
    at, _ = draw_bins(source.data, TRAIN, _MOST, seed, say=False)
    total: dict[tuple[int, ...], Any] = {}  # of targets that are known in the same bins of a block
    n_targets, n_features = len(source.targets), 0
    for chrom, every in at.items():
        own = input_values(source.data, chrom, source.inputs)
        signal, y = ridge_signal(own, assays, sample, source.options.window), source.y(chrom)
        for first in range(0, every.size, _BLOCK):
            bins = every[first : first + _BLOCK]
            x, block = signal.features(bins), y[:, bins]
            n_features, known = len(x), np.isfinite(block)
            groups = [tuple(range(n_targets))] if known.all() else [(i,) for i in range(n_targets)]
            for group in groups:
                rows = known[list(group)].all(axis=0)
                z = np.concatenate([np.ones((1, int(rows.sum()))), x[:, rows], block[list(group)][:, rows]])
                total[group] = total.get(group, 0) + z.astype(np.float64) @ z.T.astype(np.float64)
    return np.concatenate([_weights(i, total, n_features) for i in range(n_targets)])


def _weights(i: int, total: Mapping[tuple[int, ...], np.ndarray], n_features: int) -> np.ndarray:
    """Return the weights of one target, from the products of all groups that it is in, (1, 1 + features)."""
    k = 1 + n_features
    own = np.zeros((k + 1, k + 1))
    for group, moments in total.items():
        if i in group:
            at = [*range(k), k + group.index(i)]
            own += moments[np.ix_(at, at)]
    return least_squares(own, 1, _PENALTY) if own[0, 0] > 0 else np.zeros((1, k))
