"""What carries over to another cell, assay and depth: densities of clipped signal, ranks, and how the strands lie."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from chromatell._validate import ChromatellError
from chromatell.data._other_assays import one_read
from chromatell.data._tracks_table import ASSAY, STRAND

WIDTHS = (1, 3, 5, 11, 21, 51, 101, 201, 501)  # bins
_STRANDED = 201  # bins: wider intervals say nothing more of the strands
_TOP = 0.9  # quantile of the bins with signal where they are clipped
_SMOOTH = 20.0  # bins: standard deviation of the smoothed log signal
_RANKED, _RANKED_STRANDS = (2, 6, 20, 60), (3, 10)  # bins: standard deviations of what is ranked, of strands alone
_TAILS = np.arange(0, 5.01, 0.125)  # -log10 of the share of bins that are as high or higher


@dataclass(frozen=True)
class Assay:
    """Rows of the inputs that are of one assay; a single one without strands is neither."""

    rows: tuple[int, ...]
    plus: int | None
    minus: int | None

    @property
    def stranded(self) -> bool:
        """Whether both strands are there, and nothing else."""
        return self.plus is not None and self.minus is not None and len(self.rows) == 2


def assays_of(inputs: Sequence[Mapping[str, str]]) -> list[Assay]:
    """Return the assays among a model's inputs, in their order."""
    assays = []
    for name in dict.fromkeys(x[ASSAY] for x in inputs):
        rows = tuple(i for i, x in enumerate(inputs) if x[ASSAY] == name)
        plus, minus = (next((i for i in rows if inputs[i][STRAND] == s), None) for s in "+-")
        assays.append(Assay(rows, plus, minus))
    return assays


def widths_of(window: int) -> tuple[int, ...]:
    """Return the widths, in bins, that fit a window."""
    return tuple(w for w in WIDTHS if w <= window)


def ranked_of(window: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the standard deviations, in bins, of the smoothed signal that is ranked, and of that of single strands.

    Examples
    --------
    >>> ranked_of(51)
    ((2, 6), (3,))
    """
    half = window // 2  # strands are also looked at two standard deviations away
    return tuple(s for s in _RANKED if 3 * s <= half), tuple(s for s in _RANKED_STRANDS if 5 * s <= half)


def n_carried(inputs: Sequence[Mapping[str, str]], window: int, ranks: bool = True) -> int:
    """Return how many features there are.

    Examples
    --------
    >>> inputs = [{"assay": "PRO", "strand": "+"}, {"assay": "PRO", "strand": "-"}]
    >>> n_carried(inputs, 501), n_carried(inputs, 501, ranks=False)
    (57, 45)
    """
    widths = widths_of(window)
    both, single = map(len, ranked_of(window) if ranks else ((), ()))
    of_strands = 4 * sum(1 < w <= _STRANDED for w in widths) + 4 * single
    return sum(2 * len(widths) - 1 + both + (of_strands if a.stranded else 0) for a in assays_of(inputs))


@dataclass(frozen=True)
class Sample:
    """What a sample is scaled by.

    Attributes
    ----------
    scale
        float64 (assays, 3): as `sample_scale` gives it.
    ranks
        float64 (assays, smoothings, 41): the smoothed signal that a share of 1, .75, .56, ... 1e-5 of the bins reaches,
        of both strands together, then of either strand; None where nothing is ranked.
    """

    scale: np.ndarray
    ranks: np.ndarray | None = None

    @classmethod
    def of(
        cls,
        parts: Iterable[tuple[np.ndarray, np.ndarray]],
        assays: Sequence[Assay],
        window: int,
        ranks: bool,
        step: int = 1,
    ) -> Sample:
        """Return it of chromosomes: (inputs, bins) not scaled, and which bins are usable, every `step`-th of them."""
        heard, smoothed = [], []
        for values, usable in parts:
            heard.append(values[:, usable][:, ::step])
            if ranks:
                smoothed.append([[x[..., usable][..., ::step] for x in _smoothed(values, a, window)] for a in assays])
        scale = sample_scale(heard, assays)
        if not ranks:
            return cls(scale)
        both, single = ranked_of(window)
        thresholds = np.zeros((len(assays), len(both) + len(single), _TAILS.size))
        for i, _ in enumerate(assays):
            for k in range(len(smoothed[0][i])):
                every = np.concatenate([part[i][k].ravel() for part in smoothed])
                thresholds[i, k] = np.quantile(every, 1 - 10**-_TAILS, method="higher")
        return cls(scale, thresholds)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return what there is, by the names of a record."""
        ranks = {} if self.ranks is None else {"scaling.ranks": self.ranks}
        return {"scaling.sample": self.scale, **ranks}


def _smoothed(values: np.ndarray, assay: Assay, window: int) -> list[np.ndarray]:
    """Return what is ranked: float32 (bins,) of each smoothing, and (2, bins) of each of the strands."""
    both, single = ranked_of(window)
    total = values[list(assay.rows)].sum(axis=0, dtype=np.float64)
    smoothed = [_gaussian(total, s) for s in both]
    if assay.stranded:
        smoothed += [np.stack([_gaussian(values[i], s) for i in (assay.plus, assay.minus)]) for s in single]
    return smoothed


def _gaussian(values: np.ndarray, deviation: int) -> np.ndarray:
    smooth = gaussian_filter1d(values, deviation, output=np.float64, mode="constant", radius=3 * deviation)
    return np.maximum(smooth, 0).astype(np.float32)


def sample_scale(values: Iterable[np.ndarray], assays: Sequence[Assay]) -> np.ndarray:
    """Return of each assay where its bins are clipped, their mean then, and the value of one read.

    Parameters
    ----------
    values
        The usable bins of each chromosome, (inputs, bins), not scaled.

    Returns
    -------
    numpy.ndarray, float64 (assays, 3)
        A few bins hold much of a sample's reads, in PRO-cap most of them: bins, both strands together, are clipped at
        the 90th percentile of those with signal. One read is what the tenth percentile holds.
    """
    totals = [[part[list(a.rows)].sum(axis=0, dtype=np.float64) for a in assays] for part in values]
    scale = np.empty((len(assays), 3))
    for i in range(len(assays)):
        all_bins = np.concatenate([t[i] for t in totals]) if totals else np.empty(0)
        signal = all_bins[all_bins > 0]
        if not signal.size:
            raise ChromatellError("An assay has no signal in the usable bins. Check the files, the mask and the split.")
        threshold = float(np.quantile(signal, _TOP))
        scale[i] = threshold, float(np.minimum(all_bins, threshold).mean()), one_read(signal)
    return scale


class Densities:
    """Inputs of one chromosome as running sums of clipped signal, from which the features of any bin follow.

    Each width gives the density in units of the sample's mean, shrunk towards it by one read; its ratio to the next
    narrower; and of two strands how unequal they are, whether polymerases part here (plus downstream and minus
    upstream, the lesser of both, alone and beside those that meet) and how unequal the two sides are. Then ranks, which
    do not ask how an assay spreads its reads, and which no clipping levels: -log10 of the share of the sample's bins
    with as much smoothed signal, of both strands, of the higher and the lower strand, and where polymerases part. A
    interval read from the other strand has the same features. Beyond a chromosome's ends there is no signal.

    Parameters
    ----------
    values
        (inputs, bins), not scaled.
    assays
        What the inputs are.
    sample
        What it is scaled by, in the same window.
    window
        In bins, odd.
    """

    def __init__(self, values: np.ndarray, assays: Sequence[Assay], sample: Sample, window: int) -> None:
        self.n_bins, self.assays, self.scale = values.shape[1], assays, sample.scale
        self.widths, self._half = widths_of(window), window // 2
        self._sums: list[list[np.ndarray]] = []
        smoothed = np.zeros(self.n_bins)
        reach = min(int(3 * _SMOOTH), window // 2)
        for assay, (threshold, mean, _) in zip(assays, sample.scale, strict=True):
            total = values[list(assay.rows)].sum(axis=0, dtype=np.float64)
            kept = np.minimum(total, threshold)
            share = np.divide(kept, total, out=np.zeros_like(total), where=total > 0)
            parts = [kept] if not assay.stranded else [values[i] * share for i in (assay.plus, assay.minus)]
            self._sums.append([np.concatenate([[0.0], np.cumsum(x, dtype=np.float64)]) for x in parts])
            smoothed += gaussian_filter1d(kept, max(reach / 3, 1e-3), mode="constant", radius=reach) / mean
        self._log_signal = np.log1p(np.maximum(smoothed / len(assays), 0))
        self._apart = ranked_of(window)[1]
        self._ranks: list[list[np.ndarray]] = [[] for _ in assays]
        if sample.ranks is not None:
            self._ranks = [
                [_tail(x, t) for x, t in zip(_smoothed(values, a, window), thresholds, strict=False)]
                for a, thresholds in zip(assays, sample.ranks, strict=True)
            ]

    def log_signal(self, bins: slice | np.ndarray) -> np.ndarray:
        """Return the smoothed log signal, float64 (bins,): the simplest thing that carries over."""
        return self._log_signal[bins]

    def silent(self, bins: slice | np.ndarray) -> np.ndarray:
        """Return which bins have no signal in their window, bool: they have the same features."""
        at, half = self._positions(bins), self._half
        return np.all([self._sum(s, at, -half, half + 1) <= 0 for sums in self._sums for s in sums], axis=0)

    def features(self, bins: slice | np.ndarray) -> np.ndarray:
        """Return float32 (features, bins)."""
        at, rows = self._positions(bins), []
        for assay, sums, ranks, (_, mean, read) in zip(self.assays, self._sums, self._ranks, self.scale, strict=True):
            narrower = None
            for width in self.widths:
                half = width // 2
                here = [self._sum(s, at, -half, half + 1) for s in sums]
                density = _shrunk(np.sum(here, axis=0), width * mean, read)
                rows.append(density)
                if narrower is not None:
                    rows.append(density - narrower)
                narrower = density
                if assay.stranded and 1 < width <= _STRANDED:
                    rows += self._strands(sums, here, at, half, mean, read)
            rows += [x[at] for x in ranks if x.ndim == 1]
            for x, deviation in zip((x for x in ranks if x.ndim == 2), self._apart, strict=False):
                rows += self._ranked_strands(x, at, 2 * deviation)
        return np.array(rows, dtype=np.float32)

    def _ranked_strands(self, ranks: np.ndarray, at: np.ndarray, by: int) -> list[np.ndarray]:
        """Return where polymerases part, alone and beside where they meet, and the higher and the lower strand."""

        def ranks_at(strand: int, offset: int) -> np.ndarray:
            to = at + offset
            return np.where((to >= 0) & (to < self.n_bins), ranks[strand, np.clip(to, 0, self.n_bins - 1)], 0)

        part = np.minimum(ranks_at(0, by), ranks_at(1, -by))
        meet = np.minimum(ranks_at(0, -by), ranks_at(1, by))
        plus, minus = ranks[:, at]
        return [part, part - meet, np.maximum(plus, minus), np.minimum(plus, minus)]

    def _strands(
        self, sums: list[np.ndarray], here: list[np.ndarray], at: np.ndarray, half: int, mean: float, read: float
    ) -> list[np.ndarray]:
        (plus_up, minus_up), (plus_down, minus_down) = (
            [self._sum(s, at, a, b) for s in sums] for a, b in ((-half, 0), (1, half + 1))
        )
        expected = half * mean / 2

        def log(x: np.ndarray) -> np.ndarray:
            return _shrunk(x, expected, read)

        unequal = np.abs(here[0] - here[1]) / (here[0] + here[1] + 2 * read)
        part = np.minimum(log(plus_down), log(minus_up))
        meet = np.minimum(log(plus_up), log(minus_down))
        sides = np.abs(log(plus_down + minus_down) - log(plus_up + minus_up))
        return [unequal, part, part - meet, sides]

    def _positions(self, bins: slice | np.ndarray) -> np.ndarray:
        return np.arange(bins.start, bins.stop) if isinstance(bins, slice) else bins

    def _sum(self, sums: np.ndarray, at: np.ndarray, first: int, behind: int) -> np.ndarray:
        return sums[np.clip(at + behind, 0, self.n_bins)] - sums[np.clip(at + first, 0, self.n_bins)]


def _shrunk(observed: np.ndarray, expected: float, read: float) -> np.ndarray:
    """Return the logarithm of observed over expected, both with one read more."""
    return np.log2((observed + read) / (expected + read))


def _tail(smoothed: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Return -log10 of the share of bins that reach each value, float32; the least of those where many are alike."""
    values, first = np.unique(thresholds, return_index=True)
    return np.interp(smoothed, values, _TAILS[first]).astype(np.float32)
