"""Sorting many rows at once, with their ties: the engine below the region scores and the rank correlations."""

from __future__ import annotations

import numpy as np


def ordered_bits(values: np.ndarray) -> np.ndarray:
    """Return uint32 whole numbers in the order of the float32 `values`; -0.0 and 0.0 are one."""
    bits = (np.asarray(values, dtype=np.float32) + np.float32(0)).view(np.uint32)
    turned = (bits.view(np.int32) >> 31).view(np.uint32)  # all bits of what is below 0, and else the first alone
    turned |= np.uint32(0x80000000)
    bits ^= turned
    return bits


def sort_rows(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sort each row of float32 `values` (m, n).

    Returns
    -------
    order : int64 (m, n)
        Places in the row, in ascending order of the value.
    first, last : int64 (m, n)
        For each place in that order, the first and last place with the same value.
    """
    m, n = values.shape
    order, ranks = ordered_ranks(values)
    order -= (np.arange(m) * n)[:, None]
    new = np.diff(ranks, axis=1, prepend=-1) != 0
    first = np.maximum.accumulate(np.where(new, np.arange(n), 0), axis=1)
    return order, first, (2 * ranks).astype(np.int64) - first  # the rank of a run is the mean of its ends


def ordered_ranks(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the order of each row of float32 `values` (m, n), int64 places in the flattened array, and its ranks.

    The ranks, float64 (m, n), stand in that order: from 0, ties sharing their mean.
    """
    m, n = values.shape
    key = ordered_bits(values).astype(np.uint64)
    key <<= np.uint64(32)
    key |= np.arange(n, dtype=np.uint64)
    key.sort(axis=1)
    order = (key & np.uint64(0xFFFFFFFF)).view(np.int64)
    order += (np.arange(m) * n)[:, None]
    key >>= np.uint64(32)
    same = key[:, 1:] == key[:, :-1]
    place = np.arange(n, dtype=np.float64)
    ranks = np.broadcast_to(place, (m, n))
    tied = np.flatnonzero(same.any(axis=1))
    if tied.size:
        ranks = ranks.copy()
        start = np.ones((tied.size, n), dtype=bool)
        start[:, 1:] = ~same[tied]
        first = np.flatnonzero(start)
        length = np.diff(first, append=start.size)
        ranks[tied] = np.repeat(first % n + (length - 1) / 2, length).reshape(tied.size, n)
    return order, ranks


def rank_rows(values: np.ndarray) -> np.ndarray:
    """Return ranks within each row of float32 `values` (m, n), from 0, ties sharing their mean; float32 (m, n)."""
    order, ranks = ordered_ranks(values)
    placed = np.empty(values.shape, dtype=np.float32)
    placed.reshape(-1)[order] = ranks
    return placed
