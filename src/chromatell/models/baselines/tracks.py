"""What a model of tracks must beat: least squares on the signal nearby, the mean, and the other targets."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from chromatell._keys import REGION_SPLIT_HOW, TRAIN, VAL
from chromatell._validate import ChromatellError, examples
from chromatell.data._tracks_table import ASSAY, INPUT, SAMPLE, TARGET
from chromatell.data.tracks import BinnedTracks
from chromatell.models._least_squares import least_squares
from chromatell.models.baselines.protocol import Axis, Baseline, Data, Listed, Losses, Option, oracles, register

NARROW = 5000  # bp
_WIDEST = 2561  # bins
# they are shares of the mean over bins, and go from least squares to the mean
_PENALTIES = Axis(tuple(10.0**e for e in range(-6, 4)), 1e-4, (True, True))
_BLOCK = 1 << 15
_MOST = 500_000  # bins that weights are fitted to
Features = Callable[[np.ndarray | slice], np.ndarray]  # bins to (features, bins)


class TrackBaseline(Baseline):
    """A linear baseline of target tracks, fitted on the usable training bins.

    `predict` takes a chromosome and bins, places or a slice, and gives all targets, float32 (targets, bins). What is
    tuned is chosen for each target; an empty option stands for that.
    """

    of = "tracks"
    needs: ClassVar[str] = ""  # what the tracks must hold, in words
    data: TrackBaselines

    @property
    def features(self) -> Callable[[str], Features] | None:
        """From a chromosome to its features; None for none."""
        return None

    def fit(self) -> None:
        """Sum the products of features and targets over the training bins in which a target is known."""
        self._moments = self.data.moments(self.features, TRAIN)

    def weights(self, option: Option) -> np.ndarray:
        """Return intercept and weights of each target, (targets, 1 + features), under one option."""
        penalty = option[0] if option else 0.0
        each = [least_squares(m, len(of), penalty) for of, m in zip(self.data.together, self._moments, strict=True)]
        return self.data.in_order(each)

    @cached_property
    def _chosen(self) -> np.ndarray:
        each = [self.weights(self.ready(target))[i] for i, target in enumerate(self.data.targets)]
        return np.stack(each).astype(np.float32)

    def predict(self, rows: str, cols: Any, option: Any) -> np.ndarray:
        """Return the fitted values, none below the least training value of its target."""
        weights = self.weights(option).astype(np.float32) if option else self._chosen
        low = self.data.low[:, np.newaxis].astype(np.float32)
        at = np.arange(cols.start, cols.stop) if isinstance(cols, slice) else cols
        features = None if self.features is None else self.features(rows)
        fitted = np.empty((len(weights), at.size), dtype=np.float32)
        for first in range(0, at.size, _BLOCK):
            part = slice(first, min(first + _BLOCK, at.size))
            rest = 0.0 if features is None else weights[:, 1:] @ features(at[part])
            fitted[:, part] = np.maximum(weights[:, :1] + rest, low)
        return fitted


@register
class Mean(TrackBaseline):
    """The target's mean over the training bins."""

    name, about = "mean", "the target's mean over the training bins, the same everywhere"


@register
class LogSignal(TrackBaseline):
    """Least squares on the log of all input signal in 5 kb around the bin."""

    name, about = "log_signal", "least squares on the log of all input signal in 5 kb around the bin"
    needs = "tracks of role 'input'"

    @classmethod
    def possible(cls, data: TrackBaselines) -> bool:
        """Inputs are needed."""
        return bool(data.inputs)

    @property
    def features(self) -> Callable[[str], Features]:
        """The log sum of the signal."""
        half = NARROW // self.data.tracks.bin_size // 2
        return lambda chrom: _log_sums(self.data.signal(chrom).sum(axis=0, dtype=np.float64), half)


@register
class SignalRidge(LogSignal):
    """Ridge regression on the features that the boosted trees read."""

    name, tuned = "ridge", ("penalty",)
    about = "ridge regression on the features that the boosted trees read: log sums of the signal around the bin"

    def axes(self) -> Sequence[Axis]:
        """Penalties, of the mean over bins."""
        return (_PENALTIES,)

    @property
    def features(self) -> Callable[[str], Features]:
        """Log sums of the signal around the bin."""
        from chromatell.models.nascent._signal import Signal

        return lambda chrom: Signal(self.data.signal(chrom), self.data.window).features


@register
class OtherTargets(TrackBaseline):
    """The mean of the other targets in the bin, in standard deviations: it reads what is to be predicted."""

    name, is_oracle, needs = "other_targets", True, "another target"
    about = "reference: the mean of the other targets in the bin, in standard deviations"

    @classmethod
    def possible(cls, data: TrackBaselines) -> bool:
        """Two targets are needed."""
        return len(data.targets) > 1

    def predict(self, rows: str, cols: Any, option: Any) -> np.ndarray:
        """Return the mean of the others, on the scale of each target in the training bins."""
        data = self.data
        mean = data.in_order([m[0, 1:] / m[0, 0] for m in self._moments])
        square = data.in_order([np.diag(m)[1:] / m[0, 0] for m in self._moments])
        deviation = np.sqrt(np.maximum(square - mean**2, 0))[:, np.newaxis]
        mean = mean[:, np.newaxis]
        scaled = (data.tracks.values(rows, data.targets)[:, cols] - mean) / np.maximum(deviation, 1e-12)
        known = np.isfinite(scaled)
        scaled[~known] = 0
        total, count = scaled.sum(axis=0), known.sum(axis=0)
        return (mean + deviation * (total - scaled) / np.maximum(count - known, 1)).astype(np.float32)


TRACK_BASELINES = Listed("tracks")
TRACK_ORACLES = oracles("tracks")  # shown, but never the best baseline


class TrackBaselines(Data):
    """Simple predictors of target tracks, fitted on the usable training bins, predicted in every bin.

    Parameters
    ----------
    tracks
        Tracks of role 'input' (of one sample) and 'target'.
    targets
        Names of those to predict; None takes those of the role.
    also
        Names of more targets, which come in where a training bin knows them.

    Attributes
    ----------
    targets, inputs
        Names.
    low
        The least training value of each target.

    Raises
    ------
    ChromatellError
        No target, a target that is known in no usable training bin, or inputs of several samples.

    Notes
    -----
    Each target is fitted where it is known, whatever the others are. The window of ridge is that for which the bins
    were split (``ctl.pp.split_regions(width=)``), at most 128 kb in bins of 50 bp; its penalty is for each target the
    one with the least squared error on the validation bins, and a small one without. Where there are more
    than 500,000 training bins, every second, third, ... gives the weights, since neighbours tell the same.
    Predictions do not fall below the least training value, as those of `Nascent`. Normal equations add up over blocks
    of bins: no matrix of bins x window is made. Peak memory: about 40 bytes a bin and input of one chromosome, and 4
    bytes a target and bin that is predicted.
    """

    of = "tracks"

    def __init__(
        self, tracks: BinnedTracks, targets: str | Sequence[str] | None = None, also: Sequence[str] = ()
    ) -> None:
        super().__init__()
        self.tracks = tracks
        asked = tracks.check_names(targets, TARGET)
        known = {t for t in (*asked, *also) if _known_in_training(tracks, t)}
        self.targets = [*asked, *(t for t in also if t in known and t not in asked)]
        self.inputs = [n for n in tracks.names_of(role=INPUT) if n not in self.targets]
        samples = tracks.table.loc[self.inputs, SAMPLE].unique()
        if len(samples) > 1:
            raise ChromatellError(
                f"The inputs are of several samples ({examples(samples)}). Take one: "
                f"tracks = tracks.select(sample={samples[0]!r})."
            )
        if unknown := [t for t in asked if t not in known]:
            raise ChromatellError(
                f"There is no usable training bin in which {examples(unknown)} are known: nothing to fit a "
                "baseline to. Split so that there is one, ctl.pp.split_regions(tracks, by='blocks'), name other "
                f"targets, targets={[t for t in asked if t in known]}, or leave the baselines out, "
                "baselines=None."
            )
        self.low = np.min([self._lowest(c) for c in tracks.chroms], axis=0)

    def check(self, kind: str) -> None:
        """Raise where these tracks do not allow a baseline."""
        baseline = self.baseline(kind)
        if kind not in self.possible():
            needs = getattr(baseline, "needs", "")
            raise ChromatellError(f"kind={kind!r} needs {needs}; there is none. Choose one of {self.possible()}.")

    def predict(self, kind: str, chrom: str, bins: np.ndarray | None = None) -> np.ndarray:
        """Return a baseline's predictions on a chromosome, float32 (targets, bins); None is all bins."""
        self.check(kind)
        baseline = self.baseline(kind)
        baseline.ready()
        return baseline.predict(chrom, slice(0, self.tracks.n_bins_of(chrom)) if bins is None else bins, ())

    def chosen(self, kind: str, name: str) -> dict[str, Any]:
        """Return what was chosen of one thing that is tuned, for each target."""
        baseline = self.baseline(kind)
        at = baseline.tuned.index(name)
        return {target: baseline.ready(target)[at] for target in self.targets}

    def losses(self, baseline: Baseline) -> Losses | None:
        """Return the squared error of an option on the validation bins, by target."""
        assert isinstance(baseline, TrackBaseline)  # no other is registered for tracks
        moments = self.moments(baseline.features, VAL)
        if not any(m[0, 0] for m in moments):
            return None

        def losses(option: Option) -> dict[str, float]:
            weights = baseline.weights(option)
            each = [
                _squared_error(m, weights[of]) if m[0, 0] else np.zeros(len(of))  # no bin chooses: the usual one stays
                for of, m in zip(self.together, moments, strict=True)
            ]
            return dict(zip(self.targets, self.in_order(each).tolist(), strict=True))

        return losses

    # ---- bins and features

    @cached_property
    def together(self) -> list[list[int]]:
        """Places of the targets, in groups that are known in the same bins."""
        digests = [hashlib.sha256() for _ in self.targets]
        for chrom in self.tracks.chroms:
            for digest, known in zip(digests, np.isfinite(self.tracks.values(chrom, self.targets)), strict=True):
                digest.update(np.packbits(known & self.tracks.usable(chrom)).tobytes())
        groups: dict[bytes, list[int]] = {}
        for i, digest in enumerate(digests):
            groups.setdefault(digest.digest(), []).append(i)
        return list(groups.values())

    def in_order(self, each: Sequence[np.ndarray]) -> np.ndarray:
        """Return the rows of each group of targets as rows of all targets."""
        return np.concatenate(each)[np.argsort(np.concatenate(self.together))]

    def moments(self, features: Callable[[str], Features] | None, split: str) -> list[np.ndarray]:
        """Return the products of (1, features, targets) with themselves, summed over the bins of a part, float64.

        There is one matrix for each group of targets, over the bins in which these are known.
        """
        return [self._moments(features, split, [self.targets[i] for i in group]) for group in self.together]

    def _moments(self, features: Callable[[str], Features] | None, split: str, targets: list[str]) -> np.ndarray:
        total: np.ndarray | None = None
        known = {c: _known(self.tracks, c, split, targets[0]) for c in self.tracks.chroms}
        step = 1 if features is None else max(1, -(-sum(at.size for at in known.values()) // _MOST))
        for chrom, every in known.items():
            at = every[::step]
            if at.size == 0:
                continue
            read = None if features is None else features(chrom)
            y = self.tracks.values(chrom, targets)
            for first in range(0, at.size, _BLOCK):
                bins = at[first : first + _BLOCK]
                x = [] if read is None else [read(bins)]
                z = np.concatenate([np.ones((1, bins.size)), *x, y[:, bins]]).astype(np.float64)
                total = z @ z.T if total is None else total + z @ z.T
        return np.zeros((1 + len(targets),) * 2) if total is None else total

    def signal(self, chrom: str) -> np.ndarray:
        """Return the inputs over their mean in the training bins, float32 (inputs, bins)."""
        from chromatell.data._tracks_inputs import input_values

        return input_values(self.tracks, chrom, self.inputs) / self._scale

    @cached_property
    def _scale(self) -> np.ndarray:
        from chromatell.models.nascent._signal import mean_signal

        assays = [str(a) for a in self.tracks.table.loc[self.inputs, ASSAY]]
        return mean_signal(self.tracks, self.inputs, assays, TRAIN)[:, np.newaxis].astype(np.float32)

    @property
    def window(self) -> int:
        """Bins of ridge's window, odd: no wider than the split allows for."""
        said = self.tracks.uns.get(REGION_SPLIT_HOW, {})
        width = said.get("width") if isinstance(said, dict) else None
        bins = _WIDEST if not isinstance(width, int) else width // self.tracks.bin_size
        bins = max(1, min(bins, _WIDEST))
        return bins - 1 + bins % 2

    def _lowest(self, chrom: str) -> np.ndarray:
        values = self.tracks.values(chrom, self.targets)[:, self.tracks.usable(chrom, TRAIN)]
        return np.nanmin(values, axis=1, initial=np.inf).astype(np.float64)


def _known_in_training(tracks: BinnedTracks, target: str) -> bool:
    """Return whether a target is known in any usable training bin."""
    return any(_known(tracks, chrom, TRAIN, target).size for chrom in tracks.chroms)


def _known(tracks: BinnedTracks, chrom: str, split: str, target: str) -> np.ndarray:
    """Return the usable bins of a part in which a target is known."""
    at = np.flatnonzero(tracks.usable(chrom, split))
    return at[np.isfinite(tracks.values(chrom, [target])[0, at])] if at.size else at


def _log_sums(values: np.ndarray, half: int) -> Features:
    """Return log(1 + sum) over `half` bins on each side of bins."""
    sums = np.concatenate([[0.0], np.cumsum(values)])

    def features(bins: np.ndarray | slice) -> np.ndarray:
        at = np.arange(bins.start, bins.stop) if isinstance(bins, slice) else bins
        around = sums[np.minimum(at + half + 1, values.size)] - sums[np.maximum(at - half, 0)]
        return np.log1p(np.maximum(around, 0))[np.newaxis]

    return features


def _squared_error(moments: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the summed squared error of each target from summed products."""
    last = weights.shape[1]
    own = np.diag(moments)[last:]
    crossed = np.einsum("tf,ft->t", weights, moments[:last, last:])
    return own - 2 * crossed + np.einsum("tf,fg,tg->t", weights, moments[:last, :last], weights)
