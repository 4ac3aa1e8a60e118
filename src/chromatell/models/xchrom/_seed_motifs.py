"""Where the filters of a motif tower start: at the k-mers that say most of which cells a region is open in."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch

from chromatell.nn.sequence_tower import MotifTower

K = 7
_MAX_REGIONS = 10_000
_MIN_SHARE = 0.005  # of the regions hold the k-mer
_WEIGHT, _TOLERANCE = 0.5, 2  # of a matching base; mismatches at which the filter's score is zero
_NOISE = 0.3  # of the random weights around the k-mer


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


def telling_kmers(tokens: np.ndarray, vectors: np.ndarray, cells: np.ndarray, n: int, k: int = K) -> np.ndarray:
    """Return the `n` k-mers whose counts explain most of the regions' vectors, int8 (n or fewer, k).

    By orthogonal matching pursuit (Pati et al. 1993): each next k-mer is the one that explains most of what those
    before it leave, in the variance over cells of the logit.

    Parameters
    ----------
    tokens
        int8 (regions, length).
    vectors, cells
        float32 (regions, m) and (cells, m), whose products are logits.
    """
    counts = kmer_counts(tokens, k)
    counts.data = np.minimum(counts.data, 3)
    share = np.asarray((counts > 0).mean(axis=0)).ravel()
    codes = np.flatnonzero(share > _MIN_SHARE)
    x = counts[:, codes].tocsc()
    mean = np.asarray(x.mean(axis=0), dtype=np.float64).ravel()
    size = np.asarray(x.multiply(x).sum(axis=0), dtype=np.float64).ravel() - len(tokens) * mean**2
    variance, axes = np.linalg.eigh(np.atleast_2d(np.cov(cells.T)))
    left = (vectors @ axes) * np.sqrt(np.maximum(variance, 0))
    left = left - left.mean(axis=0)
    chosen: list[int] = []
    for _ in range(min(n, len(codes))):
        explained = np.square(x.T @ left - np.outer(mean, left.sum(axis=0))).sum(axis=1) / np.maximum(size, 1e-9)
        explained[chosen] = -1
        best = int(explained.argmax())
        chosen.append(best)
        column = x[:, [best]].toarray().ravel() - mean[best]
        left -= np.outer(column, column @ left) / max(column @ column, 1e-9)
    shifts = 4 ** np.arange(k - 1, -1, -1)
    return (codes[chosen][:, None] // shifts % 4).astype(np.int8)


@torch.no_grad()
def seed_motifs(tower: MotifTower, tokens: np.ndarray, vectors: np.ndarray, cells: np.ndarray, seed: int) -> None:
    """Start each filter at a k-mer, amid small random weights; filters beyond the k-mers found stay random.

    A filter then scores 0 at two mismatches, and training widens and sharpens it. Memory grows with at most 10,000
    regions x their length.
    """
    if len(tokens) > _MAX_REGIONS:
        some = np.sort(np.random.default_rng(seed).choice(len(tokens), _MAX_REGIONS, replace=False))
        tokens, vectors = tokens[some], vectors[some]
    weight, bias = tower.scan.weight, tower.scan.bias
    assert bias is not None
    n_filters, _, width = weight.shape
    k = min(K, width)
    kmers = telling_kmers(tokens, vectors, cells, n_filters, k)
    weight.mul_(_NOISE)
    start = (width - k) // 2
    for i, kmer in enumerate(kmers):
        pattern = torch.full((4, k), -_WEIGHT / 3)
        pattern[torch.from_numpy(kmer.astype(np.int64)), torch.arange(k)] = _WEIGHT
        weight[i, :, start : start + k] = pattern.to(weight.device)
        bias[i] = -_WEIGHT * (k - _TOLERANCE * 4 / 3)
