"""Where the values of tracks lie: rows of arrays, in memory or on disk, that several tracks and objects may share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from chromatell._settings import check_fits
from chromatell._validate import ChromatellError


class Row(NamedTuple):
    """A track's values on one chromosome: a row of an array (tracks, bins), float32, of NumPy or Zarr."""

    source: Any
    at: int


Rows = dict[str, Row]  # chromosome to row
Layer = dict[str, Rows]  # track to chromosomes


def gather(rows: list[Row], start: int, stop: int) -> np.ndarray:
    """Return some bins of several rows, float32 (rows, bins); a view where they lie together in memory."""
    first, at = rows[0], [row.at for row in rows]
    if all(row.source is first.source for row in rows) and at == list(range(at[0], at[0] + len(at))):
        return read_source(first.source, slice(at[0], at[0] + len(at)), start, stop)
    values = np.empty((len(rows), stop - start), dtype=np.float32)
    for i, row in enumerate(rows):
        values[i] = read_source(row.source, row.at, start, stop)
    return values


def read_source(source: Any, rows: int | slice, start: int, stop: int) -> np.ndarray:
    """Return a part of an array; of one on disk that is damaged, say so."""
    if isinstance(source, np.ndarray):
        return source[rows, start:stop]
    try:
        return np.asarray(source[rows, start:stop])
    except Exception as err:  # whatever the codecs raise on a damaged chunk, the user gets one clear error
        where = getattr(source, "store_path", "on disk")
        raise ChromatellError(
            f"The values in {where} cannot be read ({type(err).__name__}: {str(err)[:120]}); the store is damaged. "
            "Copy it again, or make it again with ctl.pp.bin_tracks(files, out=...)."
        ) from err


def unknown_row(n_bins: int) -> Row:
    """Return a row of NaN, which takes no memory."""
    return Row(np.broadcast_to(np.float32(np.nan), (1, n_bins)), 0)


def sources_of(layers: Iterable[Layer]) -> Iterator[Any]:
    """Yield each array once."""
    seen = set()
    for layer in layers:
        for rows in layer.values():
            for row in rows.values():
                if id(row.source) not in seen:
                    seen.add(id(row.source))
                    yield row.source


def change_sources(layers: tuple[Layer, ...], change: Callable[[Any], Any]) -> None:
    """Put ``change(array)`` in the place of each array; those that were shared stay shared."""
    new = {id(source): (source, change(source)) for source in sources_of(layers)}
    for layer in layers:
        for name, rows in layer.items():
            layer[name] = {chrom: Row(new[id(row.source)][1], row.at) for chrom, row in rows.items()}


def is_loaded(source: Any) -> bool:
    """Return whether an array is in memory."""
    return isinstance(source, np.ndarray) and not isinstance(source, np.memmap)


def duplicate(source: Any) -> Any:
    """Return a copy of an array in memory; one on disk, or one of NaN that takes no memory, is itself."""
    if not is_loaded(source) or 0 in source.strides:
        return source
    return np.array(source)


def check_memory(needed: int, cure: str) -> None:
    """Raise where values would take more memory than ``settings.dense_limit``."""
    check_fits(needed, "The values take", cure)
