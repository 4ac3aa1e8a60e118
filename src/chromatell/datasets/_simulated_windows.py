"""Windows of a genome, real or made up, chosen by the motifs in their middle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from chromatell._keys import CHROM, END, START
from chromatell._settings import logger
from chromatell._validate import ChromatellError
from chromatell.genome.genome import Genome
from chromatell.genome.motifs import sample_sites, scan, score_threshold
from chromatell.io._write import sibling

HIT_PVALUE = 1e-5  # p-value of a hit at one place on one strand
SLOPE = 2.0  # occupancy rises so much with each bit
_SHARE = 0.12  # share of the regions that get a motif
_TRACT = 1000  # bases of one composition in a made-up genome
_SPARE = 1.6  # windows in a made-up genome for each one needed
_CANDIDATES = 12  # windows of a real genome looked at for each one needed
_BLOCK = 4096

# Frequencies of A, C, G, T; how much rarer CG is than C followed by G by chance; share of the genome.
_COMPOSITIONS = (
    ((0.30, 0.20, 0.20, 0.30), 0.2, 0.60),
    ((0.24, 0.26, 0.26, 0.24), 0.3, 0.28),
    ((0.17, 0.33, 0.33, 0.17), 0.9, 0.12),
)


@dataclass
class Motif:
    """A motif and the score at which half of its sites are bound."""

    pwm: np.ndarray  # (length, 4)
    threshold: float  # bits; places at or above it are hits
    midpoint: float  # bits; occupancy 1/2


@dataclass
class Windows:
    """Regions and their sequence."""

    table: pd.DataFrame  # chrom, start, end of the regions, 0-based half-open; index: names
    tokens: np.ndarray  # int8 (regions, width)


class MadeUpGenome:
    """Chromosomes in memory, read as `Genome` is."""

    def __init__(self, tokens: Mapping[str, np.ndarray]) -> None:
        self.tokens = tokens
        self.chromosomes = {name: int(t.size) for name, t in tokens.items()}

    def windows(self, regions: pd.DataFrame, width: int) -> tuple[np.ndarray, np.ndarray]:
        """Return int8 tokens (regions, width) around the middles, and how many of each are unknown: none."""
        out = np.empty((len(regions), width), dtype=np.int8)
        for name, tokens in self.tokens.items():
            on = np.flatnonzero(regions[CHROM].to_numpy() == name)
            start = regions[START].to_numpy()[on] - width // 2
            out[on] = np.lib.stride_tricks.sliding_window_view(tokens, width)[start]
        return out, np.zeros(len(regions), dtype=np.int64)

    def write(self, path: Path) -> None:
        """Write a plain FASTA."""
        letters = np.frombuffer(b"ACGT", dtype=np.uint8)
        with sibling(path) as temporary, temporary.open("wb") as handle:
            for name, tokens in self.tokens.items():
                text = letters[tokens].tobytes()
                handle.write(b">" + name.encode() + b"\n")
                handle.writelines(text[i : i + 60] + b"\n" for i in range(0, len(text), 60))


def with_threshold(pwm: np.ndarray) -> Motif:
    """Return a motif with its scores for hits (p = 1e-5) and for half occupancy (one bit lower)."""
    threshold = score_threshold(pwm, HIT_PVALUE)
    if not np.isfinite(threshold):  # too short: its best site alone
        threshold = score_threshold(pwm, min(0.5, 2.0 * 0.25 ** len(pwm)))
        if not np.isfinite(threshold):
            raise ChromatellError("A motif matches nearly any sequence. Leave it out.")
    return Motif(pwm, threshold, threshold - 1.0)


def centre(tokens: np.ndarray, region_width: int) -> np.ndarray:
    """Return the region in the middle of its window, int8 (n, region_width)."""
    first = tokens.shape[1] // 2 - region_width // 2
    return tokens[:, first : first + region_width]


def occupancy(region: np.ndarray, motifs: Mapping[str, Motif]) -> np.ndarray:
    """Return the probability that at least one site of each motif is bound, float64 (n, motifs).

    A site is bound with probability ``1 / (1 + exp(-2 (score - midpoint)))``, score in bits, independently.
    """
    out = np.empty((len(region), len(motifs)))
    for start in range(0, len(region), _BLOCK):
        rows = slice(start, start + _BLOCK)
        for j, motif in enumerate(motifs.values()):
            score = scan(region[rows], motif.pwm)
            # log of the probability of not being bound, summed over places and strands
            free = -np.logaddexp(0.0, SLOPE * (score.astype(np.float64) - motif.midpoint))
            out[rows, j] = -np.expm1(free.sum(axis=(0, 2)))
    return out


def make_genome(
    rng: np.random.Generator, n_regions: int, width: int, reach: int, motifs: Mapping[str, Motif]
) -> MadeUpGenome:
    """Return a made-up genome with sites of each motif in about an eighth of its slots."""
    n_chrom = int(min(6, n_regions))
    pitch = _pitch(width)
    slots = int(np.ceil(_SPARE * n_regions / n_chrom)) + 2
    genome = _markov(rng, n_chrom * slots * pitch)
    middles = np.arange(n_chrom * slots) * pitch + pitch // 2
    for motif in motifs.values():
        length = len(motif.pwm)
        sites = _strong_sites(rng, motif, middles.size)
        slack = max((reach - (pitch - width) - length) // 2, 0)  # a region lies within so much of the middle
        at = middles + rng.integers(-slack, slack + 1, size=middles.size) - length // 2
        minus = rng.random(middles.size) < 0.5
        sites[minus] = 3 - sites[minus][:, ::-1]
        planted = rng.random(middles.size) < 1.3 * share(len(motifs))  # some are lost to sites planted later
        genome[(at[:, None] + np.arange(length))[planted]] = sites[planted]
    return MadeUpGenome({f"chr{c + 1}": tokens for c, tokens in enumerate(genome.reshape(n_chrom, -1))})


def _pitch(width: int) -> int:
    return width + width // 10


def share(n_motifs: int) -> float:
    """Return the share of regions that a motif's hits are wanted in."""
    return min(_SHARE, 0.9 / n_motifs)


def _markov(rng: np.random.Generator, length: int) -> np.ndarray:
    """Return bases from first-order chains; the composition changes every 1,000 bases."""
    n = -(-length // _TRACT)
    kind = rng.choice(len(_COMPOSITIONS), size=n, p=[c[2] for c in _COMPOSITIONS])
    edges = np.empty((len(_COMPOSITIONS), 4, 3), dtype=np.float32)  # cumulated probabilities of what follows each base
    for k, (frequency, depletion, _) in enumerate(_COMPOSITIONS):
        following = np.tile(frequency, (4, 1))
        following[1, 2] *= depletion
        edges[k] = np.cumsum(following / following.sum(axis=1, keepdims=True), axis=1)[:, :3]
    rows = np.empty((_TRACT, n), dtype=np.int8)
    at = rng.integers(4, size=n)
    for i in range(_TRACT):
        at = (rng.random(n, dtype=np.float32)[:, None] >= edges[kind, at]).sum(axis=1)
        rows[i] = at
    return rows.T.reshape(-1)[:length].copy()


def _strong_sites(rng: np.random.Generator, motif: Motif, n: int) -> np.ndarray:
    """Return sites drawn from the motif, of those at or above the threshold where eight draws give one."""
    draws = sample_sites(motif.pwm, 8 * n, rng)
    score = scan(draws, motif.pwm)[0, :, 0].reshape(n, 8)
    passes = score >= motif.threshold
    first = np.where(passes.any(axis=1), passes.argmax(axis=1), score.argmax(axis=1))
    return draws.reshape(n, 8, -1)[np.arange(n), first]


def choose_windows(
    rng: np.random.Generator,
    genome: Genome | MadeUpGenome,
    n_regions: int,
    width: int,
    region_width: int,
    reach: int,
    motifs: Mapping[str, Motif],
) -> Windows:
    """Return windows that do not overlap and hold no N, so chosen that each motif has hits in about an eighth.

    Windows in which a motif is neither bound nor free (occupancy 0.1 to 0.9) are taken last.
    """
    slots = _slots(rng, genome.chromosomes, width)
    kept, bound = [], []
    n = 0
    for i in range(0, len(slots), _BLOCK):
        block = slots.iloc[i : i + _BLOCK]
        tokens, n_unknown = genome.windows(block, width)
        known = n_unknown == 0
        kept.append(block[known])
        bound.append(occupancy(centre(tokens[known], reach), motifs))
        n += int(known.sum())
        if n >= _CANDIDATES * n_regions:
            break
    if n < n_regions:
        raise ChromatellError(
            f"The genome has {n} windows of {width} bases that hold no N and do not overlap; n_regions={n_regions} "
            "asks for more. Give a longer FASTA, or a smaller n_regions or width."
        )
    candidates, occupied = pd.concat(kept, ignore_index=True), np.concatenate(bound)
    chosen = _choose(rng, occupied, n_regions)
    table = candidates.iloc[chosen].sort_values(["number", START])  # in the order of the genome
    tokens = genome.windows(table, width)[0]
    start = table[START].to_numpy() - region_width // 2
    chrom = table[CHROM].to_numpy(dtype=object)
    names = pd.Index([f"{c}:{s}-{s + region_width}" for c, s in zip(chrom, start, strict=True)])
    shares = (occupied[chosen] >= 0.5).mean(axis=0)
    logger.info(
        "%d regions chosen of %d; with a bound site of %s.",
        n_regions,
        n,
        ", ".join(f"{name} {s:.1%}" for name, s in zip(motifs, shares, strict=True)),
    )
    return Windows(pd.DataFrame({CHROM: chrom, START: start, END: start + region_width}, index=names), tokens)


def _slots(rng: np.random.Generator, sizes: Mapping[str, int], width: int) -> pd.DataFrame:
    """Return the middles of windows, one at a random place of each slot of the genome, in random order."""
    pitch = _pitch(width)
    tables = []
    for number, (name, size) in enumerate(sizes.items()):
        start = np.arange(size // pitch) * pitch
        middle = start + rng.integers(pitch - width + 1, size=start.size) + width // 2
        tables.append(pd.DataFrame({"number": number, CHROM: name, START: middle, END: middle + 1}))
    table = pd.concat(tables, ignore_index=True)
    return table.iloc[rng.permutation(len(table))]


def _choose(rng: np.random.Generator, bound: np.ndarray, n: int) -> np.ndarray:
    """Return the places of n candidates, by the occupancy (candidates, motifs) of their regions."""
    hit: np.ndarray = np.greater_equal(bound, 0.5)
    clear: np.ndarray = np.all((bound < 0.1) | (bound > 0.9), axis=1)
    order = rng.permutation(len(bound))
    order = order[np.argsort(~clear[order], kind="stable")]  # clear ones first
    wanted = round(share(bound.shape[1]) * n)
    taken = np.zeros(len(bound), dtype=bool)
    for j in np.argsort(hit.sum(axis=0), kind="stable"):  # the rarest motif first
        lacking = min(wanted - int(hit[taken, j].sum()), n - int(taken.sum()))
        fresh = order[hit[order, j] & ~taken[order]]
        taken[fresh[: max(lacking, 0)]] = True
    rest = order[~taken[order]]
    rest = rest[np.lexsort((~clear[rest], hit[rest].any(axis=1)))]  # those without any hit first
    taken[rest[: n - int(taken.sum())]] = True
    return np.flatnonzero(taken)
