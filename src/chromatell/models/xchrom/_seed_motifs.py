"""Where the filters of a motif tower start: at the words that say most of which cells a region is open in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
import torch

from chromatell._settings import logger
from chromatell.genome.motifs import log_odds
from chromatell.nn.sequence_tower import MotifTower

K = 7  # bases of the longest words
_MAX_REGIONS, _MAX_BASES = 10_000, 10_000 * 1344
_MIN_SHARE = 0.005  # a word counts where this share of the regions holds it
_WEIGHT = 0.5  # a matching base has it, a mismatch -1/3 of it
_NOISE = 0.3  # scale of the random weights around the word


def kmer_counts(tokens: np.ndarray, k: int = K) -> sp.csr_matrix:
    """Return how often each k-mer or its reverse complement occurs, float32 CSR (n, 4**k), in the smaller's column."""
    n, length = tokens.shape
    places = length - k + 1
    forward, backward = np.zeros((2, n, places), dtype=np.int64)
    unknown = np.zeros((n, places), dtype=bool)
    for i in range(k):
        base = tokens[:, i : i + places].astype(np.int64)
        unknown |= base > 3
        forward = forward * 4 + base
        backward += (3 - base) * 4**i
    row, place = np.nonzero(~unknown)
    column = np.minimum(forward, backward)[row, place]
    return sp.csr_matrix((np.ones(row.size, dtype=np.float32), (row, column)), shape=(n, 4**k))


def telling_words(
    tokens: np.ndarray, vectors: np.ndarray, cells: np.ndarray, n: int, longest: int = K, seed: int = 0
) -> list[str]:
    """Return up to `n` words of up to `longest` bases whose counts explain most of the regions' vectors.

    By orthogonal matching pursuit (Pati et al. 1993): each next word is the one that explains most of what those
    before it leave, in the logits over cells. It ends where a word explains no more than the best one does of the same
    rest with the regions shuffled. Short words carry composition (C, CG), long ones motifs.

    Parameters
    ----------
    tokens
        int8 (regions, length).
    vectors, cells
        float32 (regions, m) and (cells, m), whose products are logits.
    """
    parts, words = [], []
    for k in (1, 2, longest) if longest > 2 else range(1, longest + 1):
        counts = kmer_counts(tokens, k)
        codes = np.flatnonzero(np.asarray((counts > 0).mean(axis=0)).ravel() > _MIN_SHARE)
        if k == longest:
            counts.data = np.minimum(counts.data, 3)
        parts.append(counts[:, codes])
        words += ["".join("ACGT"[c // 4**i % 4] for i in range(k - 1, -1, -1)) for c in codes]
    x = sp.hstack(parts).tocsc()
    mean = np.asarray(x.mean(axis=0), dtype=np.float64).ravel()
    size = np.asarray(x.multiply(x).sum(axis=0), dtype=np.float64).ravel() - len(tokens) * mean**2
    varies = size > 1e-6 * len(tokens)
    variance, axes = np.linalg.eigh(cells.T @ cells / len(cells))
    left = (vectors @ axes) * np.sqrt(np.maximum(variance, 0))
    left = left - left.mean(axis=0)
    rng = np.random.default_rng(seed)
    chosen: list[int] = []

    def explained(rest: np.ndarray) -> np.ndarray:
        gain = np.square(x.T @ rest - np.outer(mean, rest.sum(axis=0))).sum(axis=1) / np.maximum(size, 1e-9)
        gain[~varies] = -1
        gain[chosen] = -1
        return gain

    for _ in range(min(n, int(varies.sum()))):
        gain = explained(left)
        best = int(gain.argmax())
        if gain[best] <= explained(rng.permutation(left)).max():
            break
        chosen.append(best)
        column = x[:, [best]].toarray().ravel() - mean[best]
        left -= np.outer(column, column @ left) / max(column @ column, 1e-9)
    return [words[i] for i in chosen]


def telling_motifs(
    counts: np.ndarray, motifs: list[np.ndarray], vectors: np.ndarray, cells: np.ndarray, n: int
) -> list[np.ndarray]:
    """Return the `n` motifs whose counts, one by one, explain most of the regions' vectors in the logits over cells.

    Parameters
    ----------
    counts
        float (regions, motifs).
    motifs
        Probabilities, (length, 4) each.
    vectors, cells
        As for `telling_words`.
    """
    variance, axes = np.linalg.eigh(cells.T @ cells / len(cells))
    left = (vectors @ axes) * np.sqrt(np.maximum(variance, 0))
    x = counts - counts.mean(axis=0)
    gain = np.square(x.T @ (left - left.mean(axis=0))).sum(axis=1) / np.maximum(np.square(x).sum(axis=0), 1e-9)
    return [motifs[i] for i in np.argsort(-gain, kind="stable")[:n] if gain[i] > 0]


@torch.no_grad()
def seed_motifs(
    tower: MotifTower,
    tokens: np.ndarray,
    vectors: np.ndarray,
    cells: np.ndarray,
    seed: int,
    known: Sequence[np.ndarray] = (),
) -> int:
    """Start filters at `known` motifs and the others at words, amid small random weights; more than these stay random.

    A base that does not match takes a third of what one that does gives. Training widens and sharpens the words, and
    moves the motifs as well. Memory: at most 10,000 regions of 1,344 bases, fewer of longer ones, 1 GB.
    Returns the number of words.
    """
    most = min(_MAX_REGIONS, _MAX_BASES // tokens.shape[1])
    if len(tokens) > most:
        some = np.sort(np.random.default_rng(seed).choice(len(tokens), most, replace=False))
        tokens, vectors = tokens[some], vectors[some]
    weight = tower.scan.weight
    n_filters, _, width = weight.shape
    weight.mul_(_NOISE)
    for i, pwm in enumerate(known):
        weight[i] += torch.from_numpy(_filter_of(pwm, width)).to(weight)
    words = telling_words(tokens, vectors, cells, n_filters - len(known), min(K, width), seed)
    logger.debug("%d of %d filters start at words: %s", len(words), n_filters, " ".join(words[:20]))
    for i, word in enumerate(words, start=len(known)):
        k = len(word)
        pattern = torch.full((4, k), -_WEIGHT / 3)
        pattern[["ACGT".index(base) for base in word], torch.arange(k)] = _WEIGHT
        start = (width - k) // 2
        weight[i, :, start : start + k] = pattern.to(weight.device)
    return len(words)


def _filter_of(pwm: np.ndarray, width: int) -> np.ndarray:
    """Return a motif as weights of a filter, (4, width); of a longer one the window that says most."""
    bits = log_odds(pwm)
    said = np.convolve((pwm * bits).sum(axis=1), np.ones(min(width, len(bits))), mode="valid")
    bits = bits[int(said.argmax()) :][:width]
    pattern, start = np.zeros((4, width)), (width - len(bits)) // 2
    pattern[:, start : start + len(bits)] = _WEIGHT * np.clip(bits.T / 2, -1 / 3, 1)  # 2 bits: the base is certain
    return pattern
