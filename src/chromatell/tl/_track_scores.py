"""Predicted tracks beside an observed one in the bins of a part: scores with their changes in each replicate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from chromatell._validate import ChromatellError
from chromatell.data.tracks import RAW, BinnedTracks
from chromatell.metrics.tracks import Changes, Observed, ScoredBins, best_cut, block_weights, peak_scores
from chromatell.tl._track_predictions import TrackPredictor

SMOOTHED, RAW_VIEW, PEAKS = "smoothed", "raw", "peaks"
VIEWS = (SMOOTHED, RAW_VIEW, PEAKS)
ALL = "all"  # chromosomes together
THRESHOLD = "threshold"  # of the prediction, a row beside the scores
LOWER_IS_BETTER = frozenset({"rmse"})
Key = tuple[str, str, int, str]  # chromosome, view, resolution, metric
Score = tuple[float, np.ndarray, int]  # value, its change in each replicate, bins
Scores = dict[Key, Score]


def is_smoothed(tracks: BinnedTracks, target: str) -> bool:
    """Return whether a target's raw values are kept beside its smoothed ones."""
    return target in tracks.layers.get(RAW, [])


@dataclass(frozen=True)
class How:
    """What is scored: views, resolutions in bp, ascending, threshold of each target's peaks, bp of a block."""

    views: tuple[str, ...]
    resolutions: tuple[int, ...]
    threshold: Mapping[str, float]
    block: int
    n_bootstrap: int


@dataclass
class Part:
    """An observed target in the usable bins of a part, pooled over chromosomes at each resolution.

    Parameters
    ----------
    tracks, target, chroms, split
        Which track, in which bins; those where it is NaN are left out.
    how
        Views, resolutions and blocks.
    seed
        Of the bootstrap; the same for each prediction, so that differences between them are paired.
    """

    tracks: BinnedTracks
    target: str
    chroms: Sequence[str]
    split: str
    how: How
    seed: np.random.SeedSequence
    _tests: list[tuple[str, str, int, slice, Observed]] = field(default_factory=list)

    def __post_init__(self) -> None:
        layers = {SMOOTHED: None, RAW_VIEW: RAW} if is_smoothed(self.tracks, self.target) else {RAW_VIEW: None}
        values = {
            v: [self.tracks.values(c, self.target, layer=layer)[0] for c in self.chroms] for v, layer in layers.items()
        }
        self.keep = [
            self.tracks.usable(c, self.split) & np.isfinite(x)
            for c, x in zip(self.chroms, values[RAW_VIEW], strict=True)
        ]
        size = self.tracks.bin_size
        self.bins = {r: ScoredBins(self.keep, r // size, self.how.block // r) for r in self.how.resolutions}
        finest = min(self.how.resolutions)
        raw = self.bins[finest].pool(values[RAW_VIEW])
        self.peak = raw > self.how.threshold[self.target] if PEAKS in self.how.views else np.zeros(raw.size, dtype=bool)
        self._weights = self._draw()
        for view in self.how.views:
            if view in values:
                for resolution, bins in self.bins.items():
                    x = bins.pool(values[view])
                    for chrom, where, first, weights in self._scopes(bins):
                        observed = Observed(x[where], bins.where[where] - first, weights)
                        self._tests.append((chrom, view, resolution, where, observed))

    @property
    def n_bins(self) -> int:
        """Number of bins scored at the finest resolution."""
        return int(self.peak.size)

    def read(self, predictor: TrackPredictor) -> dict[int, np.ndarray]:
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
                f"{self.n_bins:,} {self.split} bins. Predict these chromosomes too, ctl.tl.predict(tracks, model=...), "
                "or leave it out: models=[...]."
            )
        return {r: bins.pool(values) for r, bins in self.bins.items()}

    def cut(self, predicted: Mapping[int, np.ndarray]) -> float:
        """Return the threshold of a prediction with the best F1 here; NaN without peaks."""
        return best_cut(self.peak, predicted[min(predicted)])

    def score(self, predicted: Mapping[int, np.ndarray], cut: float) -> Scores:
        """Return the scores of a prediction: over all chromosomes and in each."""
        found: Scores = {}
        for chrom, view, resolution, where, observed in self._tests:
            add(found, (chrom, view, resolution), observed.compare(predicted[resolution][where]), observed.x.size)
        if PEAKS in self.how.views:
            finest = min(self.how.resolutions)
            bins = self.bins[finest]
            for chrom, where, first, weights in self._scopes(bins):
                y, block = predicted[finest][where], bins.where[where] - first
                add(found, (chrom, PEAKS, finest), peak_scores(self.peak[where], y, cut, block, weights), y.size)
                found[chrom, PEAKS, finest, THRESHOLD] = cut, np.empty(0), y.size
        if len(self.chroms) == 1:
            found |= {(self.chroms[0], *key[1:]): score for key, score in found.items()}
        return found

    def _draw(self) -> list[np.ndarray]:
        """Return the weights of blocks: of all chromosomes together, then of each."""
        per_block = self.how.block // self.tracks.bin_size
        groups = [self.keep, *([k] for k in self.keep)]
        seeds = self.seed.spawn(len(groups))
        return [block_weights(g, per_block, self.how.n_bootstrap, s) for g, s in zip(groups, seeds, strict=True)]

    def _scopes(self, bins: ScoredBins) -> list[tuple[str, slice, int, np.ndarray]]:
        """Return for all chromosomes, and each of several: name, its bins, its first block, weights of its blocks."""
        found = [(ALL, slice(None), 0, self._weights[0])]
        if len(self.chroms) == 1:
            return found
        first = 0
        for i, chrom in enumerate(self.chroms):
            where = slice(int(bins.bounds[i]), int(bins.bounds[i + 1]))
            found.append((chrom, where, first, self._weights[i + 1]))
            first += self._weights[i + 1].shape[1]
        return found


def add(scores: Scores, at: tuple[str, str, int], changes: Changes, n: int) -> None:
    """Put the scores of one comparison into a table."""
    for metric, (value, change) in changes.items():
        scores[(*at, metric)] = value, change, n
