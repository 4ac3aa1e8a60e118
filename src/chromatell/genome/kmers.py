"""How often each short word of DNA occurs in a sequence, on either strand."""

from __future__ import annotations

from functools import cache

import numpy as np

from chromatell._validate import in_range

_BASES = 4_000_000  # taken at a time


def n_kmers(k: int) -> int:
    """Return the number of words of `k` bases, one and its reverse complement being the same.

    Examples
    --------
    >>> from chromatell.genome.kmers import n_kmers
    >>> n_kmers(2), n_kmers(5)
    (10, 512)
    """
    own = 4 ** (k // 2) if k % 2 == 0 else 0  # words that are their own reverse complement
    return (4**k + own) // 2


def kmer_shares(tokens: np.ndarray, k: int = 5) -> np.ndarray:
    """Return the share of each k-mer, counted with its reverse complement, among those without an unknown base.

    Parameters
    ----------
    tokens
        int8 (n, width): A C G T N = 0 1 2 3 4.
    k
        Bases of a word, 1 to 8.

    Returns
    -------
    numpy.ndarray, float32 (n, n_kmers(k))
        Rows sum to 1; NaN where no k-mer is known. In the order of each pair's first k-mer.

    Raises
    ------
    ChromatellError
        `k` is out of range.

    Notes
    -----
    About 40 ns a base on one core; a few bytes a base of 4 million at a time.

    Examples
    --------
    >>> import numpy as np
    >>> from chromatell.genome.kmers import kmer_shares
    >>> shares = kmer_shares(np.array([[0, 0, 0, 0, 0, 4, 3, 3, 3, 3, 3]], dtype=np.int8))  # AAAAA N TTTTT
    >>> shares.shape, float(shares[0, 0])
    ((1, 512), 1.0)
    """
    k = in_range(k, 1, 8, "k")
    place, m = _canonical(k), n_kmers(k)
    result = np.empty((len(tokens), m), dtype=np.float32)
    rows = max(1, _BASES // max(tokens.shape[1], 1))
    for a in range(0, len(tokens), rows):
        t = np.asarray(tokens[a : a + rows])
        n = max(t.shape[1] - k + 1, 0)
        code = np.zeros((len(t), n), dtype=np.uint16)  # 8 bases are 16 bits
        base = (t & 3).astype(np.uint16)
        for i in range(k):
            code = (code << 2) | base[:, i : i + n]
        at = place[code]
        unknown = (t < 0) | (t > 3)
        if unknown.any():
            over = np.zeros((len(t), n), dtype=bool)
            for i in range(k):
                over |= unknown[:, i : i + n]
            at[over] = m
        at += np.arange(len(t), dtype=at.dtype)[:, None] * (m + 1)
        count = np.bincount(at.ravel(), minlength=len(t) * (m + 1)).reshape(len(t), -1)[:, :m]
        with np.errstate(invalid="ignore"):
            result[a : a + rows] = count / count.sum(axis=1, keepdims=True)
    return result


@cache
def _canonical(k: int) -> np.ndarray:
    """Return for each k-mer, int64 (4**k,), its place among the pairs of a word and its reverse complement."""
    codes = np.arange(4**k)
    digits = codes[:, None] // 4 ** np.arange(k - 1, -1, -1) % 4
    other = ((3 - digits)[:, ::-1] * 4 ** np.arange(k - 1, -1, -1)).sum(axis=1)
    return np.unique(np.minimum(codes, other), return_inverse=True)[1]
