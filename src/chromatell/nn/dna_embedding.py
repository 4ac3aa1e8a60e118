"""A short vector of each region's DNA: what an embedder is, the k-mer spectrum, and how regions are embedded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd

from chromatell._keys import END, START
from chromatell._progress import progress
from chromatell._validate import ChromatellError, in_range
from chromatell.genome.genome import Genome
from chromatell.genome.kmers import kmer_shares, n_kmers
from chromatell.genome.sequence import count_unknown

_BASES = 4_000_000  # read at a time
_SAMPLE = 20_000  # regions that the projection is fitted on
_MIN_SAMPLE = 2
_CLIP = 20.0  # sd from the mean beyond which a feature is not believed


class DnaEmbedder(Protocol):
    """What turns sequences into vectors; nothing of it is stored with a model, only the table of vectors it gave.

    Attributes
    ----------
    name
        What `uns` says of it.
    n_features
        Length of a vector.
    window
        Bases that it reads at least: a shorter region is read with its surroundings. 1 where any number will do.
    """

    name: str
    n_features: int
    window: int

    def embed(self, tokens: np.ndarray, places: pd.DataFrame | None = None) -> np.ndarray:
        """Return float32 (regions, n_features) of int8 tokens (regions, length); NaN where nothing could be read.

        `places` has `chrom`, `start`, `end` of each, where these are known.
        """
        ...


class KmerEmbedder:
    """The share of each k-mer in a sequence, on either strand.

    Parameters
    ----------
    k
        Bases of a word, 1 to 8.

    Examples
    --------
    >>> import numpy as np
    >>> from chromatell.nn.dna_embedding import KmerEmbedder
    >>> KmerEmbedder(1).embed(np.array([[0, 3, 3, 1]], dtype=np.int8)).tolist()  # A or T, C or G
    [[0.75, 0.25]]
    """

    def __init__(self, k: int = 5) -> None:
        self.k = in_range(k, 1, 8, "k")
        self.name, self.n_features, self.window = f"{self.k}-mers", n_kmers(self.k), 1

    def embed(self, tokens: np.ndarray, places: pd.DataFrame | None = None) -> np.ndarray:
        """Return float32 (regions, n_features); NaN without a known k-mer. `places` is not read."""
        return kmer_shares(tokens, self.k)


@dataclass(frozen=True)
class Projection:
    """Features standardised and, where they are more than wanted, projected on their principal components.

    Attributes
    ----------
    mean, scale
        float64 (features,); 0 for a feature that does not vary.
    components
        float64 (features, n); the scores of the regions that it was fitted on have a mean square of 1.
    explained
        Share of the variance of the standardised features that is left.
    """

    mean: np.ndarray
    scale: np.ndarray
    components: np.ndarray
    explained: float

    @classmethod
    def fit(cls, features: np.ndarray, n: int) -> Projection:
        """Return the projection on `n` components, fitted on float (regions, features) without NaN."""
        x = features.astype(np.float64)
        mean, sd = x.mean(axis=0), x.std(axis=0)
        scale = np.where(sd > 1e-6 * np.abs(mean) + 1e-12, 1 / np.maximum(sd, 1e-300), 0)
        if n >= x.shape[1]:
            return cls(mean, scale, np.eye(x.shape[1]), 1.0)
        x = np.clip((x - mean) * scale, -_CLIP, _CLIP)
        values, vectors = np.linalg.eigh(x.T @ x / len(x))
        values, vectors = np.maximum(values[::-1], 0), vectors[:, ::-1][:, :n]
        largest = np.abs(vectors).argmax(axis=0)
        vectors = vectors * np.where(vectors[largest, np.arange(n)] < 0, -1, 1)  # else the sign is the machine's
        kept = values[:n].sum()
        unit = vectors / np.sqrt(kept / n) if kept > 0 else vectors
        return cls(mean, scale, unit, float(kept / values.sum()) if kept > 0 else 1.0)

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Return float32 (regions, n); 0, the mean of the fitted regions, where a row holds NaN."""
        x = np.clip((features - self.mean) * self.scale, -_CLIP, _CLIP) @ self.components
        return np.nan_to_num(x, nan=0.0).astype(np.float32)


class RegionSequences:
    """Sequences of regions, read a block at a time.

    Parameters
    ----------
    source
        A genome, or tokens, int8 (regions, length).
    regions
        `chrom`, `start`, `end`; not read where tokens are given.
    window
        Regions that are shorter are read with their surroundings up to this many bases.
    """

    def __init__(self, source: Genome | np.ndarray, regions: pd.DataFrame | None, window: int = 1) -> None:
        self.source, self.regions, self.window = source, regions, window
        if isinstance(source, Genome):
            assert regions is not None
            self.size = np.maximum((regions[END] - regions[START]).to_numpy(), window)
        else:
            self.size = np.full(len(source), source.shape[1], dtype=np.int64)

    def __len__(self) -> int:
        return len(self.size)

    def read(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return tokens, int8 (rows, length), of regions of one size, and the share of unknown bases in each."""
        if isinstance(self.source, Genome):
            assert self.regions is not None
            width = int(self.size[rows[0]])
            tokens, unknown = self.source.windows(self.regions.iloc[rows], width, allow_absent=True)
        else:
            tokens = np.asarray(self.source[rows])
            unknown = count_unknown(tokens)
        return tokens, unknown / tokens.shape[1]

    def blocks(self, rows: np.ndarray) -> list[np.ndarray]:
        """Return rows in parts of one size each, so that a part's width changes no result; up to 4 million bases."""
        parts = []
        for size in np.unique(self.size[rows]):
            same = rows[self.size[rows] == size]
            n = max(1, _BASES // int(size))
            parts += [same[i : i + n] for i in range(0, same.size, n)]
        return parts


def embed_regions(
    source: Genome | np.ndarray,
    regions: pd.DataFrame | None,
    embedder: DnaEmbedder,
    *,
    n_components: int = 64,
    train: np.ndarray | None = None,
    max_unknown: float = 0.5,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray, Projection]:
    """Vectors of regions, standardised and shortened by what the training regions say.

    Parameters
    ----------
    source
        A genome, which is read in blocks, or tokens, int8 (regions, length).
    regions
        `chrom`, `start`, `end` (0-based, half-open); may be None with tokens.
    embedder
        Any :class:`DnaEmbedder`.
    n_components
        Longest that a vector may be; an embedder's own is kept where it is shorter.
    train
        bool (regions,): those that mean, sd and components are fitted on, 20,000 of them drawn at most. None for all.
    max_unknown
        Share of N up to which a region has a sequence.
    seed
        Seed of that draw.

    Returns
    -------
    table : numpy.ndarray, float32 (regions, n)
        0 where a region has no sequence: the mean of the training regions.
    has : numpy.ndarray, bool (regions,)
        Whether it has.
    projection : Projection
        What made them of the embedder's own vectors.

    Raises
    ------
    ChromatellError
        No training region has a sequence.

    Notes
    -----
    Peak memory: the table, the features of 20,000 regions, and a block of 4 million bases.

    Examples
    --------
    >>> import numpy as np
    >>> from chromatell.nn.dna_embedding import KmerEmbedder, embed_regions
    >>> tokens = np.random.default_rng(0).integers(0, 4, (50, 200)).astype(np.int8)
    >>> tokens[0] = 4
    >>> table, has, _ = embed_regions(tokens, None, KmerEmbedder(3), n_components=5)
    >>> table.shape, bool(has[0]), float(table[0].sum()), int(has.sum())
    ((50, 5), False, 0.0, 49)
    """
    sequences = RegionSequences(source, regions, embedder.window)
    n = len(sequences)
    fitted_on = np.arange(n) if train is None else np.flatnonzero(train)
    if fitted_on.size > _SAMPLE:
        fitted_on = np.sort(np.random.default_rng(seed).choice(fitted_on, _SAMPLE, replace=False))
    has = np.zeros(n, dtype=bool)

    def features(rows: np.ndarray) -> np.ndarray:
        tokens, unknown = sequences.read(rows)
        vectors = np.full((rows.size, embedder.n_features), np.nan, dtype=np.float32)
        known = unknown <= max_unknown
        if known.any():
            places = None if regions is None else regions.iloc[rows[known]]
            vectors[known] = embedder.embed(tokens[known], places)
        has[rows] = np.isfinite(vectors).all(axis=1)
        return vectors

    with progress("Embedding", total=n, unit="regions") as advance:
        order, sample = _all(sequences.blocks(fitted_on), features, embedder.n_features, advance)
        if has[order].sum() < _MIN_SAMPLE:
            raise ChromatellError(
                f"{int(has[order].sum())} of {order.size} training regions have a sequence with at most "
                f"{max_unknown:.0%} N; at least {_MIN_SAMPLE} are needed to standardise by. Give the FASTA of the "
                "regions' build and species, unmasked or soft-masked, or raise max_unknown=."
            )
        projection = Projection.fit(sample[has[order]], in_range(n_components, 1, 100_000, "n_components"))
        table = np.zeros((n, projection.components.shape[1]), dtype=np.float32)
        table[order] = projection(sample)
        rest = np.ones(n, dtype=bool)
        rest[order] = False
        for rows in sequences.blocks(np.flatnonzero(rest)):
            table[rows] = projection(features(rows))
            advance(rows.size)
    return table, has, projection


def _all(
    blocks: list[np.ndarray], features: Callable[[np.ndarray], np.ndarray], width: int, advance: Callable[[int], Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of all blocks and their features."""
    order = np.concatenate([np.zeros(0, dtype=np.int64), *blocks])
    table = np.empty((order.size, width), dtype=np.float32)
    at = 0
    for rows in blocks:
        table[at : at + rows.size] = features(rows)
        at += rows.size
        advance(rows.size)
    return order, table
