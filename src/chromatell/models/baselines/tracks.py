"""What a model of tracks must beat: least squares on the signal nearby, the mean, and the other targets."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from chromatell._keys import TRAIN, VAL
from chromatell._validate import ChromatellError, examples, one_of
from chromatell.data._tracks_table import ASSAY, INPUT, SAMPLE, TARGET
from chromatell.data.tracks import BinnedTracks

TRACK_BASELINES: dict[str, str] = {
    "mean": "the target's mean over the training bins, the same everywhere",
    "log_signal": "least squares on the log of all input signal in 5 kb around the bin",
    "ridge": "ridge regression on the features that the boosted trees read: log sums of the signal around the bin",
    "other_targets": "reference: the mean of the other targets in the bin, in standard deviations",
}
TRACK_REFERENCES = frozenset({"other_targets"})  # it reads what is to be predicted: shown, but never the best baseline
NARROW = 5000  # bp
_WIDEST = 2561  # bins
_PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # of the mean over bins; the first without validation bins
_BLOCK = 1 << 15
_MOST = 500_000  # bins that weights are fitted to
Features = Callable[[np.ndarray | slice], np.ndarray]  # bins to (features, bins)


class TrackBaselines:
    """Simple predictors of target tracks, fitted on the usable training bins, predicted in every bin.

    Parameters
    ----------
    tracks
        Tracks of role 'input' (of one sample) and 'target'.
    targets
        Names of those to predict; None takes those of the role.

    Attributes
    ----------
    targets, inputs
        Names.
    penalties : dict
        The penalty of ridge that was chosen for each target, after a prediction.

    Raises
    ------
    ChromatellError
        No target, no usable training bin in which all targets are known, or inputs of several samples.

    Notes
    -----
    The window of ridge is that for which the bins were split (``ctl.pp.split_regions(width=)``), at most 128 kb in bins
    of 50 bp; its penalty is the one with the least squared error on the validation bins, and a small one without. Of
    more than 500,000 training bins every second, third, ... gives the weights, since neighbours tell the same.
    Predictions do not fall below the least training value, as those of `Nascent`. Normal equations add up over blocks
    of bins: no matrix of bins x window is made. Peak memory: about 40 bytes a bin and input of one chromosome, and 4
    bytes a target and bin that is predicted.
    """

    def __init__(self, tracks: BinnedTracks, targets: str | Sequence[str] | None = None) -> None:
        self.tracks = tracks
        self.targets = tracks.check_names(targets, TARGET if targets is None else None)
        self.inputs = [n for n in tracks.names_of(role=INPUT) if n not in self.targets]
        samples = tracks.table.loc[self.inputs, SAMPLE].unique()
        if len(samples) > 1:
            raise ChromatellError(
                f"The inputs are of several samples ({examples(samples)}). Take one: tracks.select(sample=...)."
            )
        self.penalties: dict[str, float] = {}
        self._fits: dict[str, np.ndarray] = {}
        self._scale: np.ndarray | None = None
        self._stats = self._moments(None, TRAIN)
        if not self._stats[0, 0]:
            raise ChromatellError(
                f"There is no usable training bin in which {examples(self.targets)} are known: nothing to fit a "
                "baseline to. Run ctl.pp.split_regions(tracks, by='blocks'), or leave baselines out."
            )
        self._low = np.min([self._lowest(c) for c in tracks.chroms], axis=0)

    @property
    def kinds(self) -> list[str]:
        """The baselines that these tracks allow."""
        without = {"log_signal", "ridge"} if not self.inputs else set()
        without |= {"other_targets"} if len(self.targets) < 2 else set()
        return [kind for kind in TRACK_BASELINES if kind not in without]

    def predict(self, kind: str, chrom: str, bins: np.ndarray | None = None) -> np.ndarray:
        """Return a baseline's predictions on a chromosome, float32 (targets, bins); None is all bins."""
        one_of(kind, TRACK_BASELINES, "kind")
        if kind not in self.kinds:
            needed = "another target" if kind == "other_targets" else "tracks of role 'input'"
            raise ChromatellError(f"kind={kind!r} needs {needed}; there is none. Choose one of {self.kinds}.")
        n = self.tracks.n_bins_of(chrom) if bins is None else bins.size
        if kind == "other_targets":
            return self._others(chrom, slice(None) if bins is None else bins).astype(np.float32)
        weights = self._fit(kind).astype(np.float32)
        low = self._low[:, np.newaxis].astype(np.float32)
        features = self._features(kind, chrom)
        found = np.empty((len(self.targets), n), dtype=np.float32)
        for first in range(0, n, _BLOCK):
            part = slice(first, min(first + _BLOCK, n))
            x = features(part if bins is None else bins[part])
            found[:, part] = np.maximum(weights[:, :1] + weights[:, 1:] @ x, low)
        return found

    # ---- fit

    def _fit(self, kind: str) -> np.ndarray:
        """Return intercept and weights of each target, (targets, 1 + features)."""
        if kind not in self._fits:
            train = self._moments(kind, TRAIN)
            penalties = _PENALTIES if kind == "ridge" else (0.0,)
            options = np.stack([_least_squares(train, len(self.targets), p) for p in penalties])
            best = np.zeros(len(self.targets), dtype=np.int64)
            if kind == "ridge":
                validation = self._moments(kind, VAL)
                if validation[0, 0]:
                    best = np.argmin([_squared_error(validation, o) for o in options], axis=0)
                self.penalties = dict(zip(self.targets, np.take(penalties, best).tolist(), strict=True))
            self._fits[kind] = options[best, np.arange(len(self.targets))]
        return self._fits[kind]

    def _moments(self, kind: str | None, split: str) -> np.ndarray:
        """Return the products of (1, features, targets) with themselves, summed over the bins of a part, float64."""
        total: np.ndarray | None = None
        step = 1 if kind is None else -(-sum(self._known(c, split).size for c in self.tracks.chroms) // _MOST)
        for chrom in self.tracks.chroms:
            at = self._known(chrom, split)[:: max(1, step)]
            if at.size == 0:
                continue
            features = self._features(kind, chrom)
            y = self.tracks.values(chrom, self.targets)
            for first in range(0, at.size, _BLOCK):
                bins = at[first : first + _BLOCK]
                z = np.concatenate([np.ones((1, bins.size)), features(bins), y[:, bins]]).astype(np.float64)
                total = z @ z.T if total is None else total + z @ z.T
        return np.zeros((1 + len(self.targets),) * 2) if total is None else total

    def _known(self, chrom: str, split: str) -> np.ndarray:
        at = np.flatnonzero(self.tracks.usable(chrom, split))
        if at.size == 0:
            return at
        return at[np.isfinite(self.tracks.values(chrom, self.targets)[:, at]).all(axis=0)]

    def _lowest(self, chrom: str) -> np.ndarray:
        at = self._known(chrom, TRAIN)
        return self.tracks.values(chrom, self.targets)[:, at].min(axis=1, initial=np.inf).astype(np.float64)

    # ---- features

    def _features(self, kind: str | None, chrom: str) -> Features:
        if kind in ("log_signal", "ridge"):
            from chromatell.models.nascent._signal import Signal, input_values, mean_signal

            assays = [str(a) for a in self.tracks.table.loc[self.inputs, ASSAY]]
            if self._scale is None:
                self._scale = mean_signal(self.tracks, self.inputs, assays, TRAIN)[:, np.newaxis].astype(np.float32)
            values = input_values(self.tracks, chrom, self.inputs) / self._scale
            if kind == "ridge":
                return Signal(values, self._window()).features
            return _log_sums(values.sum(axis=0, dtype=np.float64), NARROW // self.tracks.bin_size // 2)
        return lambda bins: np.empty(
            (0, bins.stop - bins.start if isinstance(bins, slice) else bins.size), dtype=np.float32
        )

    def _window(self) -> int:
        """Return the bins of ridge's window, odd: no wider than the split allows for."""
        said = self.tracks.uns.get("region_split", {})
        width = said.get("width") if isinstance(said, dict) else None
        bins = _WIDEST if not isinstance(width, int) else width // self.tracks.bin_size
        bins = max(1, min(bins, _WIDEST))
        return bins - 1 + bins % 2

    def _others(self, chrom: str, bins: np.ndarray | slice) -> np.ndarray:
        """Return the mean of the other targets in standard deviations of training, on each target's own scale."""
        n = self._stats[0, 0]
        mean = self._stats[0, 1:] / n
        deviation = np.sqrt(np.maximum(np.diag(self._stats)[1:] / n - mean**2, 0))
        scaled = (self.tracks.values(chrom, self.targets)[:, bins] - mean[:, np.newaxis]) / np.maximum(
            deviation, 1e-12
        )[:, None]
        known = np.isfinite(scaled)
        scaled[~known] = 0
        total, count = scaled.sum(axis=0), known.sum(axis=0)
        others = (total - scaled) / np.maximum(count - known, 1)
        return mean[:, np.newaxis] + deviation[:, np.newaxis] * others


def _log_sums(values: np.ndarray, half: int) -> Features:
    """Return log(1 + sum) over `half` bins on each side of bins."""
    sums = np.concatenate([[0.0], np.cumsum(values)])

    def features(bins: np.ndarray | slice) -> np.ndarray:
        at = np.arange(bins.start, bins.stop) if isinstance(bins, slice) else bins
        around = sums[np.minimum(at + half + 1, values.size)] - sums[np.maximum(at - half, 0)]
        return np.log1p(np.maximum(around, 0))[np.newaxis]

    return features


def _least_squares(moments: np.ndarray, n_targets: int, penalty: float) -> np.ndarray:
    """Return intercept and weights (targets, 1 + features) from summed products; features are standardised first."""
    n, last = moments[0, 0], len(moments) - n_targets
    mean = moments[0, 1:] / n
    cov = moments[1:, 1:] / n - np.outer(mean, mean)
    k = last - 1
    spread = np.sqrt(np.maximum(np.diag(cov)[:k], 0))
    held = spread > 1e-6 * (1 + np.abs(mean[:k]))  # one that does not vary has no weight
    scale = spread[held]
    inner = cov[:k, :k][np.ix_(held, held)] / np.outer(scale, scale) + penalty * np.eye(int(held.sum()))
    found = np.zeros((n_targets, last))
    if held.any():
        found[:, 1:][:, held] = (np.linalg.solve(inner, cov[:k, k:][held] / scale[:, np.newaxis]).T) / scale
    found[:, 0] = mean[k:] - found[:, 1:] @ mean[:k]
    return found


def _squared_error(moments: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the summed squared error of each target from summed products."""
    last = weights.shape[1]
    own = np.diag(moments)[last:]
    crossed = np.einsum("tf,ft->t", weights, moments[:last, last:])
    return own - 2 * crossed + np.einsum("tf,fg,tg->t", weights, moments[:last, :last], weights)
