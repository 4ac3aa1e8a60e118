"""Where predictions go, part by part: a matrix, the best regions of each cell, means of groups, or a store on disk."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import pandas as pd
import scipy.sparse as sp

from chromatell._progress import progress
from chromatell._settings import check_fits
from chromatell._validate import ChromatellError, in_range, one_of
from chromatell.io._replace import check_suffix
from chromatell.io._zarr_partial import Place, ResumableWriter
from chromatell.io._zarr_writer import CHUNKS, PredictionWriter, checked_values
from chromatell.models._query import Query
from chromatell.models._support import STORE

PART = 512  # cells that are predicted and handed over together: whole chunks of a store
Blocks = Iterable[tuple[slice, slice, np.ndarray]]


@dataclass(frozen=True)
class Wanted:
    """What a prediction becomes.

    Attributes
    ----------
    out
        Path of a Zarr store; None keeps it in memory.
    dtype
        Number type of the store.
    top_k
        Most probable regions that are kept of each cell; None for all.
    groups
        Label of each cell: their means are kept, not the cells. A missing label leaves the cell out.
    client
        A `dask.distributed` client, on whose workers cells are predicted; None predicts here.
    resume
        What the run is, as plain values: the same run goes on where one was stopped. None starts anew.
    """

    out: str | Path | None = None
    dtype: Literal["float32", "float16"] = "float32"
    top_k: int | None = None
    groups: pd.Categorical | None = None
    client: Any = None
    resume: dict[str, Any] | None = None

    def check(self, n_cells: int, n_regions: int) -> None:
        """Raise, before any work, where this cannot be."""
        one_of(self.dtype, ("float32", "float16"), "dtype")
        if self.top_k is not None:
            in_range(self.top_k, 1, 2**31 - 1, "top_k")
            if self.groups is not None:
                raise ChromatellError("top_k= keeps regions of single cells, groupby= none of these: give one of them.")
            if self.dtype != "float32":
                raise ChromatellError("top_k= gives a sparse matrix, which has no float16 in SciPy. Leave dtype= out.")
        if self.out is not None:
            check_suffix(self.out)
            return
        if self.dtype != "float32":
            raise ChromatellError("dtype= is that of a store, and none is named: out='predictions.zarr'.")
        rows, per_row = n_cells, 4 * n_regions
        if self.groups is not None:
            rows, per_row = len(self.groups.categories), 8 * n_regions
        elif self.top_k is not None:
            per_row = 8 * min(self.top_k, n_regions)
        what = "a dense matrix" if self.top_k is None else f"the {self.top_k:,} best of each"
        check_fits(rows * per_row, f"{rows:,} cells x {n_regions:,} regions as {what} take", STORE)


class Sink(Protocol):
    """Takes the predictions of a part at a time."""

    def todo(self, parts: Iterable[slice]) -> list[slice]:
        """Return the parts that are not there yet."""

    def reducer(self) -> Callable[[slice, Blocks], Any]:
        """Return what makes of the blocks of a part what is handed over; it is sent to workers, so it is small."""

    def add(self, rows: slice, reduced: Any) -> None:
        """Take what the reducer made of a part."""

    def result(self) -> Any:
        """Return what `predict` returns."""


def collect(model: Any, query: Query, cells: pd.Index, regions: pd.Index, wanted: Wanted) -> Any:
    """Return or write the prediction of all cells of a query, a part at a time."""
    if wanted.resume is not None:
        wanted = replace(wanted, resume={**wanted.resume, "query": query_digest(query)})
    with sink_of(cells, regions, wanted) as sink, progress("Predicting", len(cells), "cells") as advance:
        todo = sink.todo(query.parts(PART))
        advance(len(cells) - sum(part.stop - part.start for part in todo))
        for rows, reduced in _predicted(model, query, todo, sink, wanted.client):
            sink.add(rows, reduced)
            advance(rows.stop - rows.start)
    return sink.result()


def _predicted(
    model: Any, query: Query, parts: Sequence[slice], sink: Sink, client: Any
) -> Iterator[tuple[slice, Any]]:
    """Yield (rows, what the sink's reducer made of their predictions), in order."""
    reduce = sink.reducer()
    if client is not None:
        from chromatell.models._on_workers import on_workers

        yield from on_workers(client, model, query, parts, reduce)
        return
    for rows in parts:
        yield rows, reduce(rows, model._blocks(**query.part(rows), **query.shared))


def checked(blocks: Blocks) -> Blocks:
    """Yield the blocks; raise at the first value that is NaN or infinite."""
    for block in blocks:
        check_predicted(block[2])
        yield block


def joined(blocks: Blocks) -> Blocks:
    """Yield the blocks, those beside each other joined up to the width of a chunk of a store."""
    held: list[tuple[slice, slice, np.ndarray]] = []
    for rows, cols, block in blocks:
        beside = held and held[-1][:1] == (rows,) and held[-1][1].stop == cols.start
        if held and not (beside and cols.stop - held[0][1].start <= CHUNKS[1]):
            yield _one(held)
            held = []
        held.append((rows, cols, block))
    if held:
        yield _one(held)


def _one(held: list[tuple[slice, slice, np.ndarray]]) -> tuple[slice, slice, np.ndarray]:
    rows, cols, block = held[0]
    return rows, slice(cols.start, held[-1][1].stop), block if len(held) == 1 else np.hstack([x for *_, x in held])


def _best_of(k: int, rows: slice, blocks: Blocks) -> tuple[np.ndarray, np.ndarray]:
    return _best(rows.stop - rows.start, k, joined(checked(blocks)))


def _sums_of(codes: np.ndarray, shape: tuple[int, int], rows: slice, blocks: Blocks) -> np.ndarray:
    """Return sums of groups, float64 `shape`; `codes` is the group of each cell of the query, -1 for none."""
    total = np.zeros(shape)
    for at, cols, block in checked(blocks):
        mine = codes[rows][at]
        inside = np.flatnonzero(mine >= 0)
        member = sp.csr_matrix((np.ones(len(inside)), (mine[inside], inside)), shape=(shape[0], len(mine)))
        total[:, cols] += member @ block.astype(np.float64)
    return total


def _best(n: int, k: int, blocks: Blocks) -> tuple[np.ndarray, np.ndarray]:
    """Return places, rising, int32 (cells, k), and values of the k largest of each row; of equal ones the first."""
    place = np.zeros((n, k), dtype=np.int32)
    value = np.full((n, k), -1, dtype=np.float32)
    for at, cols, block in blocks:
        both = np.concatenate([value[at], block], axis=1)
        where = np.concatenate([place[at], np.broadcast_to(np.arange(cols.start, cols.stop), block.shape)], axis=1)
        keep = _largest(both, k)  # the former ones stand first, and lie before the new ones
        place[at] = where[keep].reshape(-1, k)
        value[at] = both[keep].reshape(-1, k)
    return place, value


def _largest(x: np.ndarray, k: int) -> np.ndarray:
    """Return where the k largest of each row are, bool; of equal ones the first."""
    if x.shape[1] == k:
        return np.ones(x.shape, dtype=bool)
    least = np.partition(x, x.shape[1] - k, axis=1)[:, x.shape[1] - k, np.newaxis]
    above, equal = x > least, x == least
    room = k - above.sum(axis=1, keepdims=True)
    return above | (equal & (np.cumsum(equal, axis=1) <= room))


@contextlib.contextmanager
def sink_of(cells: pd.Index, regions: pd.Index, wanted: Wanted) -> Iterator[Sink]:
    """Give what takes the parts; a store on disk is complete when the block ends."""
    if wanted.groups is not None:
        sink = _Means(regions, wanted)
        yield sink
        sink.finish()
        return
    if wanted.out is None:
        k = None if wanted.top_k is None else min(wanted.top_k, len(regions))
        yield _Matrix(len(cells), len(regions)) if k is None else _Sparse(len(cells), len(regions), k)
        return
    table = pd.DataFrame(index=regions)
    options: dict[str, Any] = {"dtype": wanted.dtype}
    if wanted.top_k is not None:
        options["per_cell"] = min(wanted.top_k, len(regions))
    run = None
    if wanted.resume is not None:
        run = {**wanted.resume, "dtype": wanted.dtype, "top_k": wanted.top_k or 0}
        run |= {"cells": names_digest(cells), "regions": names_digest(regions)}
    with ResumableWriter(wanted.out, cells, table, run=run, **options) as writer:
        yield _Store(writer)


class _Matrix:
    def __init__(self, n: int, m: int):
        self.matrix = np.empty((n, m), dtype=np.float32)

    def todo(self, parts: Iterable[slice]) -> list[slice]:
        return list(parts)

    def reducer(self) -> Callable[[slice, Blocks], Any]:
        return partial(_dense_of, self.matrix.shape[1])

    def add(self, rows: slice, reduced: Any) -> None:
        self.matrix[rows] = reduced

    def result(self) -> Any:
        return self.matrix


def _dense_of(m: int, rows: slice, blocks: Blocks) -> np.ndarray:
    out = np.empty((rows.stop - rows.start, m), dtype=np.float32)
    for at, cols, block in checked(blocks):
        out[at, cols] = block
    return out


class _Sparse(_Matrix):
    def __init__(self, n: int, m: int, k: int):
        self.shape, self.k = (n, m), k
        self.place, self.value = np.empty((n, k), dtype=np.int32), np.empty((n, k), dtype=np.float32)

    def reducer(self) -> Callable[[slice, Blocks], Any]:
        return partial(_best_of, self.k)

    def add(self, rows: slice, reduced: Any) -> None:
        self.place[rows], self.value[rows] = reduced

    def result(self) -> Any:
        indptr = np.arange(0, self.place.size + 1, self.k)
        return sp.csr_matrix((self.value.ravel(), self.place.ravel(), indptr), shape=self.shape)


class _Means(_Matrix):
    """Sums of groups, and at the end their means."""

    def __init__(self, regions: pd.Index, wanted: Wanted):
        assert wanted.groups is not None
        self.wanted, self.regions = wanted, regions
        self.names = pd.Index(wanted.groups.categories.astype(str))
        codes = np.asarray(wanted.groups.codes)
        self.codes, self.n = codes, np.bincount(codes[codes >= 0], minlength=len(self.names))
        if wanted.out is not None:
            self._writer()  # raises before any work
        self.total = np.zeros((len(self.names), len(regions)))
        self._result: Any = None

    def _writer(self) -> PredictionWriter:
        assert self.wanted.out is not None
        obs = pd.DataFrame({"n_cells": self.n}, index=self.names)
        return PredictionWriter(self.wanted.out, obs, pd.DataFrame(index=self.regions), dtype=self.wanted.dtype)

    def reducer(self) -> Callable[[slice, Blocks], Any]:
        return partial(_sums_of, self.codes, self.total.shape)

    def add(self, rows: slice, reduced: Any) -> None:
        self.total += reduced

    def finish(self) -> None:
        """Turn sums into means, and write them where a store was named."""
        means = (self.total / self.n[:, np.newaxis]).astype(np.float32)
        self._result = means
        if self.wanted.out is not None:
            with self._writer() as writer:
                writer.write(slice(0, len(means)), slice(0, means.shape[1]), means)
            self._result = Path(self.wanted.out)

    def result(self) -> Any:
        return self._result


class _Store:
    def __init__(self, writer: ResumableWriter):
        self.writer = writer

    def todo(self, parts: Iterable[slice]) -> list[slice]:
        return [part for part in parts if not self.writer.has(part)]

    def reducer(self) -> Callable[[slice, Blocks], Any]:
        return partial(_written_to, self.writer.place)

    def add(self, rows: slice, reduced: Any) -> None:
        self.writer.mark(rows)

    def result(self) -> Path:
        return self.writer.path


def _written_to(place: Place, rows: slice, blocks: Blocks) -> None:
    """Write a part into a store: blocks as they are made, or the best of each cell."""
    if place.per_cell:
        place.write_best(rows, *_best_of(place.per_cell, rows, blocks))
        return
    for at, cols, block in joined((at, cols, checked_values(x, place.dtype, rows)) for at, cols, x in blocks):
        place.write(slice(rows.start + at.start, rows.start + at.stop), cols, block)


def check_predicted(block: np.ndarray) -> None:
    """Raise where a model predicts NaN or infinity: finite weights can be so large that nothing comes of them."""
    bad = 0 if np.isfinite(block.sum()) else int((~np.isfinite(block)).sum())
    if bad:
        raise ChromatellError(
            f"The model predicts {bad} NaN or infinite values of {block.size}: its weights are out of any range that "
            "training gives. Ask for the file again, or train anew."
        )


def names_digest(names: pd.Index) -> str:
    """Return the SHA-256 of names in their order."""
    return hashlib.sha256(json.dumps(names.astype(str).tolist()).encode()).hexdigest()


def query_digest(query: Query) -> str:
    """Return the SHA-256 of what is read of the first and the last cells of a query."""
    digest = hashlib.sha256()
    for piece in query.first_and_last():
        digest.update(piece)
    return digest.hexdigest()
