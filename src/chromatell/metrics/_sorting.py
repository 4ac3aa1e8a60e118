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


def sort_rows(
    values: np.ndarray, labels: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Sort each row of float32 `values` (m, n).

    Returns
    -------
    order : int64 (m, n)
        Places in the row, in ascending order of the value.
    ranked : bool (m, n)
        `labels` in that order; all False without labels.
    first, last : int32 (m, n)
        For each place in that order, the first and last place with the same value.
    """
    m, n = values.shape
    key = ordered_bits(values).astype(np.uint64)
    key <<= np.uint64(32)
    low = np.arange(n, dtype=np.uint64) << np.uint64(1)
    key |= low if labels is None else low | labels
    key.sort(axis=1)  # sorting value, place and label as one number is several times faster than argsort
    order = ((key & np.uint64(0xFFFFFFFF)) >> np.uint64(1)).view(np.int64)
    ranked = (key & np.uint64(1)).astype(bool)
    key >>= np.uint64(32)
    place = np.arange(n, dtype=np.int32)
    rise = key[:, 1:] != key[:, :-1]
    first = np.empty((m, n), dtype=np.int32)
    last = np.empty((m, n), dtype=np.int32)
    first[:], last[:] = place, place
    tied = np.flatnonzero(~rise.all(axis=1))
    if tied.size:
        rise = rise[tied]
        run = np.zeros((tied.size, n), dtype=np.int32)
        np.maximum.accumulate(np.where(rise, place[1:], 0), axis=1, out=run[:, 1:])
        first[tied] = run
        run = np.full((tied.size, n), n - 1, dtype=np.int32)
        run[:, :-1] = np.minimum.accumulate(np.where(rise, place[:-1], n - 1)[:, ::-1], axis=1)[:, ::-1]
        last[tied] = run
    return order, ranked, first, last


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
    found = np.empty(values.shape, dtype=np.float32)
    found.reshape(-1)[order] = ranks
    return found
