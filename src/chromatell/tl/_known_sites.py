"""The threshold of ``ctl.tl.call_regions`` by known sites, and how far what it calls is from chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chromatell._keys import CHROM, END, START, TRAIN, VAL
from chromatell._settings import logger
from chromatell._validate import ChromatellError, examples, warn
from chromatell.data._tracks_smooth import smooth
from chromatell.data.tracks import BinnedTracks
from chromatell.genome.bed import read_regions
from chromatell.genome.regions import normalise_chrom, plain_chrom

_FEWEST_SITES = 10
_STEPS = 400  # thresholds that are tried
_SITES_EACH = 2  # regions that hold more sites than that, on average, are several grown together


def known_sites(tracks: BinnedTracks, calibrate: Any) -> dict[str, np.ndarray]:
    """Return the known sites in the bins to look at, int64 (sites, 2) of bins: first and behind; by chromosome."""
    table = read_regions(calibrate, "calibrate").drop_duplicates([CHROM, START, END])
    plain = normalise_chrom(table[CHROM])
    sites, left = {}, 0
    for chrom in tracks.chroms:
        mine = table[(plain == plain_chrom(chrom)).to_numpy()]
        if not len(mine):
            continue
        bins = np.column_stack([mine[START] // tracks.bin_size, -(-mine[END] // tracks.bin_size)])
        n_before = np.append(0, np.cumsum(_looked_at(tracks, chrom)))
        bins = np.clip(bins, 0, len(n_before) - 1)
        sites[chrom] = bins[n_before[bins[:, 1]] > n_before[bins[:, 0]]]
        left += len(sites[chrom])
    if left < _FEWEST_SITES:
        raise ChromatellError(
            f"calibrate: {left} of the {len(table)} sites lie in usable bins of {examples(tracks.chroms, 4)} that the "
            f"model was not trained on; {_FEWEST_SITES} are needed. Give sites of the same build, or hold out more: "
            "ctl.pp.split_regions(tracks)."
        )
    return sites


def _looked_at(tracks: BinnedTracks, chrom: str) -> np.ndarray:
    """Return the usable bins; of a chromosome that is split those of 'val', or where it has none all but 'train'."""
    if chrom not in tracks.splits:
        return tracks.usable(chrom)
    val = tracks.usable(chrom, VAL)
    return val if val.any() else tracks.usable(chrom) & ~tracks.usable(chrom, TRAIN)


@dataclass(frozen=True)
class Beside:
    """A sample in which sites are known: the track, smoothed, where it is looked at, and the sites, by chromosome."""

    tracks: BinnedTracks
    values: dict[str, np.ndarray]  # -inf where not looked at
    sites: dict[str, np.ndarray]

    @classmethod
    def read(cls, tracks: BinnedTracks, name: str, calibrate: Any, width: float) -> Beside:
        """Look the sites up, and smooth the track of their chromosomes."""
        (name,) = tracks.check_names([name])
        sites, values = known_sites(tracks, calibrate), {}
        for chrom in sites:
            x = smooth(tracks.values(chrom, name)[0], tracks.usable(chrom), width)
            values[chrom] = np.where(_looked_at(tracks, chrom), x, np.float32(-np.inf))
        return cls(tracks, values, sites)

    @property
    def n_sites(self) -> int:
        """Sites in the bins that are looked at."""
        return sum(map(len, self.sites.values()))

    def finite(self) -> np.ndarray:
        """Return the values of all bins that are looked at."""
        return np.concatenate([x[np.isfinite(x)] for x in self.values.values()])

    def called(self, threshold: float, lengths: Sequence[int]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Return first bins of the regions, and those behind the last, by chromosome."""
        size, ends = self.tracks.bin_size, self.tracks.chrom_sizes
        return {c: intervals(x, threshold, size, ends[c], *lengths) for c, x in self.values.items()}

    def counts(self, threshold: float, lengths: Sequence[int]) -> np.ndarray:
        """Return how many regions are called, how many of them hold a site, and how many sites a region holds."""
        totals = np.zeros(3, dtype=np.int64)
        for chrom, (first, last) in self.called(threshold, lengths).items():
            known = self.sites[chrom]
            right = touch(first, last, known)
            held = touch(known[:, 0], known[:, 1], np.column_stack([first, last]))
            totals += (len(first), right.sum(), held.sum())
        return totals

    def by_chance(self, threshold: float, lengths: Sequence[int]) -> float:
        """Return how many of the called regions would hold a site if each began at any bin that is looked at."""
        n_bins = np.concatenate([last - first for first, last in self.called(threshold, lengths).values()])
        total, expected = self.finite().size, 0.0
        for length, n in zip(*np.unique(n_bins, return_counts=True), strict=True):
            meet = 0
            for chrom, known in self.sites.items():
                n_before = np.append(0, np.cumsum(np.isfinite(self.values[chrom])))
                start, end = (
                    np.sort(known[:, k]) for k in (0, 1)
                )  # beginnings that meet a site: (start - length, end)
                begin = np.maximum(start - length + 1, np.append(0, end[:-1]))  # each is counted once
                begin, end = (np.clip(x, 0, len(n_before) - 1) for x in (np.minimum(begin, end), end))
                meet += int((n_before[end] - n_before[begin]).sum())
            expected += n * meet / total
        return expected


def calibrated(
    samples: Sequence[Beside], name: str, fdr: float, lengths: Sequence[int]
) -> tuple[float, dict[str, Any]]:
    """Return the threshold at which most regions hold a site, and few enough hold none; and what is called there.

    One wrong region more than there are is counted: of a few right ones in a row there may be none by luck.
    """
    # from half of the bins to the last few, evenly in the logarithm of how many are as high
    steps = 1 - np.geomspace(0.5, 1e-5, _STEPS)
    bins = np.concatenate([sample.finite() for sample in samples])
    best: tuple[float, np.ndarray] | None = None
    any_few = False
    for threshold in np.unique(np.quantile(bins, steps))[::-1]:
        called, right, held = counts = np.sum([sample.counts(float(threshold), lengths) for sample in samples], axis=0)
        grown = held > _SITES_EACH * right  # far below, regions grow into one that holds them all
        few = called - right + 1 <= fdr * called
        any_few |= bool(few)
        # of two with as many right ones, that with fewer wrong ones, then that with more of the sites
        better = best is None or (right, -called, held) > (best[1][1], -best[1][0], best[1][2])
        if few and not grown and better:
            best = float(threshold), counts
    if best is None and any_few:
        raise ChromatellError(
            f"At the heights where at most {fdr:.0%} of the called regions hold none of the sites of calibrate=, the "
            f"others hold more than {_SITES_EACH} each on average, as regions do that have grown together. Where those "
            "of this mark are that wide, join the sites that lie near each other, such as by 'bedtools merge -d 2000'."
        )
    if best is None:
        fewest = f" (so {int(np.ceil(1 / fdr - 1e-9))} calls are the fewest)" if fdr else ", which 0 does not allow"
        raise ChromatellError(
            f"At no height do at most {fdr:.0%} of the called regions hold none of the sites of calibrate=, one more "
            f"counted as wrong{fewest}. Raise fdr=, or give more sites, or those of what the track predicts."
        )
    threshold, (called, right, held) = best
    chance = float(sum(sample.by_chance(threshold, lengths) for sample in samples) / called)
    low, high = exact_interval(int(right), int(called))
    n = sum(sample.n_sites for sample in samples)
    said = {"sites": n, "called": int(called), "precision": float(right / called), "recall": float(held / n)}
    said |= {"precision_low": low, "precision_high": high, "chance": chance}
    logger.info(
        f"{name}: at {threshold:.4g}, beside {n} sites {called} regions are called; precision {right / called:.2f} "
        f"[{low:.2f}, {high:.2f}], by chance {chance:.2f}; recall {held / n:.2f}."
    )
    if low <= chance:
        warn(
            f"{right / called:.0%} of the {called} regions that are called beside the sites of calibrate= hold one "
            f"(95% interval {low:.0%} to {high:.0%}), and {chance:.0%} would if they lay anywhere: this precision says "
            "nothing of the track. Give sites that are fewer or narrower, or a lower fdr=."
        )
    return threshold, said


def exact_interval(n_right: int, n: int) -> tuple[float, float]:
    """Return the 95% interval of a share by Clopper and Pearson.

    Examples
    --------
    >>> [round(x, 4) for x in exact_interval(9, 10)]
    [0.555, 0.9975]
    """
    from scipy.special import betaincinv

    low = 0.0 if n_right == 0 else float(betaincinv(n_right, n - n_right + 1, 0.025))
    high = 1.0 if n_right == n else float(betaincinv(n_right + 1, n - n_right, 0.975))
    return low, high


def touch(first: np.ndarray, last: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return which intervals share a bin with one of the others, bool."""
    if not len(others):
        return np.zeros(len(first), dtype=bool)
    starts, ends = np.sort(others[:, 0]), np.sort(others[:, 1])
    return np.searchsorted(starts, last, side="left") > np.searchsorted(ends, first, side="right")


def intervals(
    values: np.ndarray, threshold: float, size: int, end: int, min_length: int, gap: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the bins of each region, first and behind the last."""
    edges = np.flatnonzero(np.diff((values >= threshold).astype(np.int8), prepend=0, append=0))
    starts, ends = edges[::2], edges[1::2]
    if starts.size:
        apart = (starts[1:] - ends[:-1]) * size > gap
        starts, ends = starts[np.append(True, apart)], ends[np.append(apart, True)]
    last = np.minimum(ends * size, end)
    held = last - starts * size >= min_length
    return starts[held], ends[held]
