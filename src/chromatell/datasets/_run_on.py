"""A made-up chromosome with run-on transcription and the marks that go with it, as bigWigs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from chromatell.data.tracks import BinnedTracks
from chromatell.io.bigwig import write

_BIN = 50
_LENGTH = 24_000_000
MARKS = ("H3K4me3", "H3K27ac", "H3K36me3", "H3K27me3")


@dataclass(frozen=True)
class _Genes:
    """Genes of a chromosome, in bins."""

    tss: np.ndarray
    end: np.ndarray  # along the strand, so before `tss` on the minus strand
    plus: np.ndarray
    rate: np.ndarray  # rate of transcription; 0 is silent


def write_run_on(folder: Path, chrom: str, rng: np.random.Generator, *, protocol: str) -> None:
    """Write `plus.bw`, `minus.bw`, a bigWig for each mark and `genes.bed` into `folder`, which is made.

    Genes lie about 100 kb apart and half of them are silent; reads start on both strands at active promoters, pause
    there, run along the gene (of 'PRO-cap' they do not), and start on both strands at enhancers. Counts are
    overdispersed. H3K4me3 and H3K27ac stand at active promoters, H3K27ac also at enhancers, H3K36me3 along transcribed
    genes; H3K27me3 over silent genes, of which no read tells. Marks are coverage with noise, not called peaks.
    """
    folder.mkdir(parents=True, exist_ok=True)
    n = _LENGTH // _BIN
    genes = _genes(rng, n)
    enhancers = np.sort(rng.choice(n - 400, 260, replace=False)) + 200
    strength = rng.gamma(1.2, 0.8, enhancers.size)
    expected = _reads(rng, n, genes, enhancers, strength, along=protocol == "PRO-seq")
    signal = [rng.poisson(mean * rng.gamma(0.6, 1 / 0.6, n)).astype(np.float32) for mean in expected]
    marks = _marks(rng, n, genes, enhancers, strength)
    values = {chrom: np.stack([*signal, *marks])}
    names = ["plus", "minus", *MARKS]
    tracks = BinnedTracks(values, names, bin_size=_BIN, chrom_sizes={chrom: _LENGTH})
    write(tracks, folder, names=names)
    low, high = np.minimum(genes.tss, genes.end) * _BIN, np.maximum(genes.tss, genes.end) * _BIN
    strand = np.where(genes.plus, "+", "-")
    rows = {"chrom": chrom, "start": low, "end": high, "name": [f"GENE{i + 1}" for i in range(low.size)], "score": 0}
    pd.DataFrame({**rows, "strand": strand}).to_csv(folder / "genes.bed", sep="\t", header=False, index=False)


def _genes(rng: np.random.Generator, n: int) -> _Genes:
    count = n // 2000
    tss = np.sort(rng.choice(n - 8000, count, replace=False)) + 4000
    length = np.clip(rng.lognormal(np.log(500), 0.9, count), 40, 3500).astype(np.int64)
    plus = rng.random(count) < 0.5
    rate = np.where(rng.random(count) < 0.5, rng.gamma(1.0, 1.0, count), 0.0)
    return _Genes(tss, np.where(plus, tss + length, tss - length), plus, rate)


def _reads(
    rng: np.random.Generator, n: int, genes: _Genes, enhancers: np.ndarray, strength: np.ndarray, *, along: bool
) -> np.ndarray:
    """Return the expected reads of each strand, float64 (2, n)."""
    out = np.full((2, n), 0.004)
    pause = rng.gamma(2.0, 2.0, genes.tss.size)
    for tss, end, plus, rate, paused in zip(genes.tss, genes.end, genes.plus, genes.rate, pause, strict=True):
        if rate == 0:
            continue
        own, other = (0, 1) if plus else (1, 0)
        way = 1 if plus else -1
        _add(out[own], tss + 2 * way, 4, 3.0 * rate * paused)
        _add(out[other], tss - 4 * way, 5, 1.6 * rate * paused)
        if along:
            out[own, min(tss, end) : max(tss, end)] += 0.25 * rate
    for middle, s in zip(enhancers, strength, strict=True):
        _add(out[0], middle + 3, 4, 2.0 * s)
        _add(out[1], middle - 3, 4, 2.0 * s)
    return out


def _marks(
    rng: np.random.Generator, n: int, genes: _Genes, enhancers: np.ndarray, strength: np.ndarray
) -> list[np.ndarray]:
    """Return the coverage of each mark, float32 (n,)."""
    out = np.full((len(MARKS), n), 0.4)
    for tss, end, rate in zip(genes.tss, genes.end, genes.rate, strict=True):
        low, high = min(tss, end), max(tss, end)
        if rate > 0:
            level = np.log1p(3 * rate) * rng.lognormal(0, 0.3)
            _add(out[0], tss, 22, 14 * level)
            _add(out[1], tss, 30, 9 * level * rng.lognormal(0, 0.3))
            out[2, low:high] += 2.5 * level
        elif rng.random() < 0.7:
            out[3, max(0, low - 100) : high + 100] += 3.0 * rng.lognormal(0, 0.3)
    for middle, s in zip(enhancers, strength, strict=True):
        _add(out[1], middle, 18, 6 * np.log1p(s) * rng.lognormal(0, 0.4))
    return [rng.poisson(mean * rng.gamma(4.0, 0.25, n)).astype(np.float32) for mean in out]


def _add(track: np.ndarray, middle: int, width: float, height: float) -> None:
    """Add a bump of a standard deviation of `width` bins."""
    reach = int(4 * width)
    low, high = max(0, middle - reach), min(track.size, middle + reach + 1)
    track[low:high] += height * np.exp(-0.5 * ((np.arange(low, high) - middle) / width) ** 2)
