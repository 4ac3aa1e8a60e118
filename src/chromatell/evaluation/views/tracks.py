"""Views of tracks: a predicted track beside an observed one, at several resolutions, and as peaks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from chromatell._keys import RAW
from chromatell._validate import ChromatellError
from chromatell.data.tracks import BinnedTracks
from chromatell.evaluation.predictors import Prediction, Predictor
from chromatell.evaluation.views.registry import ALL, Score, Truth, view
from chromatell.metrics.tracks import Changes, Observed, ScoredBins, best_threshold, block_weights, peak_scores

PEAKS, SMOOTHED, RAW_VIEW = "peaks", "smoothed", "raw"
THRESHOLD = "threshold"  # the prediction's threshold is a row beside its scores


def is_smoothed(tracks: BinnedTracks, target: str) -> bool:
    """Return whether a target's raw values are kept beside its smoothed ones."""
    return target in tracks.layers.get(RAW, [])


@dataclass
class TrackBins(Truth):
    """An observed target in the usable bins of a part, pooled over chromosomes at each resolution.

    Parameters
    ----------
    tracks, target, chroms, split
        Which track, in which bins; those where it is NaN are left out.
    resolutions
        In bp, ascending.
    peak_above
        A bin is a peak where the raw target is above; None scores no peaks.
    block
        In bp, of the windows that are resampled.
    n_bootstrap, seed
        Replicates, the same for each prediction, so that differences between them are paired.
    """

    tracks: BinnedTracks
    target: str
    chroms: Sequence[str]
    split: str
    resolutions: tuple[int, ...]
    peak_above: float | None
    block: int
    n_bootstrap: int
    seed: np.random.SeedSequence
    _observed: dict[str, list[tuple[str, int, slice, Observed]]] = field(default_factory=dict)
    of = "tracks"
    chooses_threshold = True

    def __post_init__(self) -> None:
        self._layers = {SMOOTHED: None, RAW_VIEW: RAW} if is_smoothed(self.tracks, self.target) else {RAW_VIEW: None}
        raw = self._values(RAW_VIEW)
        usable = (self.tracks.usable(c, self.split) for c in self.chroms)
        self.keep = [u & np.isfinite(x) for u, x in zip(usable, raw, strict=True)]
        size = self.tracks.bin_size
        self.bins = {r: ScoredBins(self.keep, r // size, self.block // r) for r in self.resolutions}
        finest = self.bins[self.finest].pool(raw)
        self.peak = np.zeros(finest.size, dtype=bool) if self.peak_above is None else finest > self.peak_above
        groups = [self.keep, *([k] for k in self.keep)]  # all chromosomes together, then each
        seeds = self.seed.spawn(len(groups))
        self._weights = [
            block_weights(g, self.block // size, self.n_bootstrap, s) for g, s in zip(groups, seeds, strict=True)
        ]

    @property
    def finest(self) -> int:
        """The finest resolution."""
        return min(self.resolutions)

    def _values(self, name: str) -> list[np.ndarray]:
        return [self.tracks.values(c, self.target, layer=self._layers[name])[0] for c in self.chroms]

    def read(self, predictor: Predictor) -> Prediction:
        """Return a prediction in the scored bins at each resolution, float64; it must be known there."""
        values, unknown = [], 0
        for chrom, keep in zip(self.chroms, self.keep, strict=True):
            at = np.flatnonzero(keep)
            full = np.full(keep.size, np.nan, dtype=np.float32)
            full[at] = predictor.predict(self.target, chrom, at)
            unknown += int((~np.isfinite(full[at])).sum())
            values.append(full)
        if unknown:
            raise ChromatellError(
                f"The prediction {predictor.name!r} of {self.target!r} is NaN or infinite in {unknown:,} of "
                f"{self.peak.size:,} {self.split} bins. Predict these chromosomes too, tracks = "
                "ctl.tl.predict(tracks, model=...), or leave it out: models=[...]."
            )
        pooled = {r: bins.pool(values) for r, bins in self.bins.items()}
        best = partial(best_threshold, self.peak, pooled[self.finest])  # by F1; NaN without peaks
        return Prediction(predictor.name, pooled, best_threshold=best)

    def observed(self, name: str) -> list[tuple[str, int, slice, Observed]]:
        """Return chromosome, resolution, bins and observed values of a view; made once for all predictions."""
        if name not in self._observed:
            values = self._values(name)
            self._observed[name] = []
            for resolution, bins in self.bins.items():
                x = bins.pool(values)
                for chrom, where, first, weights in self.scopes(bins):
                    seen = Observed(x[where], bins.where[where] - first, weights)
                    self._observed[name].append((chrom, resolution, where, seen))
        return self._observed[name]

    def scopes(self, bins: ScoredBins) -> list[tuple[str, slice, int, np.ndarray]]:
        """Return for all chromosomes, and each of several: name, its bins, its first block, weights of its blocks."""
        scopes = [(ALL, slice(None), 0, self._weights[0])]
        first = 0
        for i, chrom in enumerate(self.chroms if len(self.chroms) > 1 else ()):
            where = slice(int(bins.bounds[i]), int(bins.bounds[i + 1]))
            scopes.append((chrom, where, first, self._weights[i + 1]))
            first += self._weights[i + 1].shape[1]
        return scopes

    def named(self, name: str, chrom: str, resolution: int, changes: Changes, n: int) -> Iterator[Score]:
        """Yield scores of one comparison; those of a lone chromosome under its own name too."""
        for metric, (value, change) in changes.items():
            score = Score(name, metric, value, n, change, chrom, resolution)
            yield score
            if len(self.chroms) == 1:
                yield replace(score, chrom=self.chroms[0])


@view(SMOOTHED, of="tracks", needs=["smoothed"], lower_is_better=["rmse"])
def smoothed(truth: TrackBins, prediction: Prediction) -> Iterator[Score]:
    """Pearson, Spearman and RMSE against the target as ``ctl.pp.smooth_tracks`` left it."""
    yield from _compared(truth, prediction, SMOOTHED)


@view(RAW_VIEW, of="tracks", lower_is_better=["rmse"])
def raw(truth: TrackBins, prediction: Prediction) -> Iterator[Score]:
    """Pearson, Spearman and RMSE against the values before smoothing."""
    yield from _compared(truth, prediction, RAW_VIEW)


def _compared(truth: TrackBins, prediction: Prediction, name: str) -> Iterator[Score]:
    values: Mapping[int, np.ndarray] = prediction.values
    for chrom, resolution, where, observed in truth.observed(name):
        yield from truth.named(name, chrom, resolution, observed.compare(values[resolution][where]), observed.x.size)


@view(PEAKS, of="tracks", aside=["prevalence", "precision", "recall", THRESHOLD])
def peaks(truth: TrackBins, prediction: Prediction) -> Iterator[Score]:
    """Average precision for bins that are peaks; precision, recall and F1 where a bin is called above the threshold."""
    bins, threshold = truth.bins[truth.finest], prediction.threshold
    for chrom, where, first, weights in truth.scopes(bins):
        y, block = prediction.values[truth.finest][where], bins.where[where] - first
        scores = peak_scores(truth.peak[where], y, threshold, block, weights)
        yield from truth.named(PEAKS, chrom, truth.finest, {**scores, THRESHOLD: (threshold, np.empty(0))}, y.size)
