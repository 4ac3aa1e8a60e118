"""Samples that might have been: one sample's signal as other depths and other assays would have seen it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.ndimage import gaussian_filter1d, maximum_filter1d, shift, uniform_filter1d

_FEW = 0.1  # quantile of the bins with signal

# Each kind gives the same number of bins. Thinned: the share of reads that is kept.
KINDS: tuple[str, ...] = ("as it is", "thin 0.1", "thin 0.03", "thin 0.01", "cap", "sites", "run-on", "run-on")


def drawn(kind: str, rng: np.random.Generator) -> dict[str, float]:
    """Return how an assay was done, one draw of it; `depth` is the share of the reads. Nothing where none is drawn."""
    if kind == "cap":
        draw = {"power": rng.uniform(0.9, 1.7), "spread": rng.uniform(0.8, 2.0), "rest": rng.uniform(0, 0.15)}
        return draw | {"depth": _log_uniform(rng, 0.02, 0.75)}
    if kind == "sites":
        draw = {"power": rng.uniform(1.0, 1.6), "spread": rng.uniform(0.6, 1.4), "rest": rng.uniform(0.01, 0.1)}
        return draw | {"depth": _log_uniform(rng, 0.05, 0.75)}
    if kind == "run-on":
        draw = {"power": rng.uniform(0.5, 1.0), "levels": rng.uniform(0, 1), "background": rng.uniform(0, 0.3)}
        return draw | {"depth": _log_uniform(rng, 0.03, 1.0)}
    return {}


def one_read(signal: np.ndarray) -> float:
    """Return what one read is worth: what the tenth percentile of the bins with signal holds, whatever the unit."""
    return float(np.quantile(signal[signal > 0], _FEW))


def changed(
    values: np.ndarray,
    kind: str,
    strands: Sequence[str],
    read: float,
    bin_size: int,
    rng: np.random.Generator,
    how: Mapping[str, float] | None = None,
) -> np.ndarray:
    """Return inputs of one chromosome as another sample might have them, float32 (inputs, bins), in reads.

    Parameters
    ----------
    values
        (inputs, bins), not scaled.
    kind
        'as it is'; 'thin 0.1', a share of the reads; 'cap', concentrated at start sites as PRO-cap is, each place with
        an efficiency of its own; 'sites', reads at local maxima of a strand and little elsewhere, as sharp as PRO-cap
        can be; 'run-on', less paused and less sharp as GRO-seq is, with background, and genes at
        other levels.
    strands
        One for each input.
    read
        The value of one read.
    how
        As `drawn` gives it; None draws it.
    """
    if kind == "as it is":
        return values
    reads = values.astype(np.float64) / read
    if kind.startswith("thin"):
        whole = np.floor(reads + rng.random(reads.shape)).astype(np.int64)
        return rng.binomial(whole, float(kind.split()[1])).astype(np.float32)
    how = drawn(kind, rng) if how is None else how
    if kind == "run-on":
        rate = run_on(reads, strands, bin_size, how, rng)
    else:
        rate = (cap if kind == "cap" else sharp_cap)(reads, bin_size, how, rng)
    return rng.poisson(np.minimum(rate, 1e6)).astype(np.float32)


def cap(reads: np.ndarray, bin_size: int, how: Mapping[str, float], rng: np.random.Generator) -> np.ndarray:
    """Return rates of reads where there is more signal than around, sharpened, with the rest as background."""
    power, spread, rest, depth = (how[k] for k in ("power", "spread", "rest", "depth"))
    near = gaussian_filter1d(reads, _bins(50, bin_size), axis=1)
    excess = np.maximum(near - 2 * gaussian_filter1d(reads, _bins(3000, bin_size), axis=1), 0) ** power
    run = max(1, round(300 / bin_size))  # a place is some bins
    efficiency = rng.normal(0, spread, (len(reads), -(-reads.shape[1] // run)))
    sites = excess * np.exp(np.repeat(efficiency, run, axis=1)[:, : reads.shape[1]])
    share = sites.sum()
    return depth * ((1 - rest) * sites * (reads.sum() / share if share > 0 else 0) + rest * reads)


def sharp_cap(reads: np.ndarray, bin_size: int, how: Mapping[str, float], rng: np.random.Generator) -> np.ndarray:
    """Return rates of reads at the maxima of each strand that stand out of 4 kb around, and little of the rest."""
    power, spread, rest, depth = (how[k] for k in ("power", "spread", "rest", "depth"))
    near = gaussian_filter1d(reads, _bins(50, bin_size), axis=1)
    highest = near >= maximum_filter1d(near, 2 * round(200 / bin_size) + 1, axis=1)
    excess = np.maximum(near - 3 * uniform_filter1d(reads, 2 * max(1, round(2000 / bin_size)) + 1, axis=1), 0) * highest
    sites = gaussian_filter1d(excess**power * np.exp(rng.normal(0, spread, reads.shape)), _bins(35, bin_size), axis=1)
    share = sites.sum()
    return depth * ((1 - rest) * sites * (reads.sum() / share if share > 0 else 0) + rest * reads)


def run_on(
    reads: np.ndarray, strands: Sequence[str], bin_size: int, how: Mapping[str, float], rng: np.random.Generator
) -> np.ndarray:
    """Return rates of reads of genes at other levels, less paused, moved upstream by up to 200 bp, with background."""
    power, levels, background, depth = (how[k] for k in ("power", "levels", "background", "depth"))
    around = gaussian_filter1d(reads, _bins(1500, bin_size), axis=1)
    rate = np.minimum(reads, around) + np.maximum(reads - around, 0) ** power
    field = rng.normal(size=-(-reads.shape[1] // max(1, round(20_000 / bin_size))))
    field = np.repeat(field, max(1, round(20_000 / bin_size)))[: reads.shape[1]]
    field = gaussian_filter1d(field, _bins(7500, bin_size))
    spread = float(field.std())
    if spread > 0:  # not where all of it is one place
        rate *= np.exp(levels * np.clip(field / spread, -4, 4))
    steps = max(1, round(200 / bin_size))
    for i, strand in enumerate(strands):
        if strand in "+-":
            by = -1 if strand == "+" else 1
            rate[i] = np.mean([shift(rate[i], by * k, order=0) for k in range(steps)], axis=0)
    return depth * (rate + background * rate.mean())


def _bins(bp: float, bin_size: int) -> float:
    return max(bp / bin_size, 0.25)


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
