"""What the metadata of one Zarr array say: its shape and codecs, which must be ones that give numbers or text."""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

import numpy as np

from chromatell._errors import ChromatellError
from chromatell.io._limits import REFUSED

# Codecs that give numbers or UTF-8 text. Others are in numcodecs too, and one of them, 'pickle', runs what it decodes.
_V2_FILTERS = frozenset({"vlen-utf8", "shuffle", "delta"})
_V2_COMPRESSORS = frozenset({"blosc", "zstd", "gzip", "zlib", "lz4", "bz2", "lzma"})
_V3_CODECS = frozenset({"bytes", "vlen-utf8", "zstd", "blosc", "gzip", "crc32c", "transpose", "sharding_indexed"})
_V3_COMPRESSORS = frozenset({"zstd", "blosc", "gzip", "sharding_indexed"})
_V3_TEXT = frozenset({"fixed_length_utf32", "null_terminated_bytes", "numpy.datetime64", "numpy.timedelta64"})


class Layout(NamedTuple):
    """Shape, chunk shape, bytes of an item (0 for text), compressor ('' for none), and the chunks inside a shard."""

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    itemsize: int
    packed: str
    inner: tuple[int, ...] | None = None


def layout_of(metadata: dict[str, Any], where: str, model: bool) -> Layout:
    """Return the layout of an array from its metadata, or raise for what should not be read."""
    try:
        if metadata.get("zarr_format") == 3:
            return _layout_v3(metadata, where, model)
        return _layout_v2(metadata, where, model)
    except (KeyError, TypeError, AttributeError, ValueError) as err:
        if isinstance(err, ChromatellError):
            raise
        raise ChromatellError(f"{where} has metadata that are not Zarr's ({err!r}). {REFUSED}") from err


def _layout_v2(metadata: dict[str, Any], where: str, model: bool) -> Layout:
    filters = [f["id"] for f in metadata.get("filters") or []]
    compressor = (metadata.get("compressor") or {"id": ""})["id"]
    _known({*filters} - _V2_FILTERS, where, "filter")
    _known({compressor} - _V2_COMPRESSORS - {""}, where, "compressor")
    dtype = metadata["dtype"]
    text = filters == ["vlen-utf8"]
    if dtype == "|O":
        if not text:
            _refuse_objects(where)
        itemsize = 0
    elif "vlen-utf8" in filters:
        raise ChromatellError(f"{where} has dtype {dtype!r} and a codec for text. {REFUSED}")
    else:
        itemsize = _plain_dtype(dtype, where, model)
    if model and filters and not text:
        raise ChromatellError(f"{where} has filters {filters}, which no model is written with. {REFUSED}")
    return Layout(_dims(metadata["shape"]), _dims(metadata["chunks"]), itemsize, compressor)


def _layout_v3(metadata: dict[str, Any], where: str, model: bool) -> Layout:
    if metadata.get("storage_transformers"):
        raise ChromatellError(f"{where} refers to another store. {REFUSED}")
    names = _codecs(metadata["codecs"], where)
    kind = metadata["data_type"]
    name = kind if isinstance(kind, str) else kind["name"]
    if name == "string":
        itemsize = 0
    elif "vlen-utf8" in names:
        raise ChromatellError(f"{where} has data type {name!r} and a codec for text. {REFUSED}")
    elif isinstance(kind, dict):
        itemsize = _extended_type(kind, where, model)
    else:
        itemsize = _plain_dtype(name, where, model)
    grid = metadata["chunk_grid"]
    if grid["name"] != "regular":
        raise ChromatellError(f"{where} has a chunk grid {grid['name']!r}; only 'regular' is read. {REFUSED}")
    inner, inside = _shard(metadata["codecs"])
    packed = "+".join(codec["name"] for codec in inside if codec["name"] in _V3_COMPRESSORS)
    return Layout(_dims(metadata["shape"]), _dims(grid["configuration"]["chunk_shape"]), itemsize, packed, inner)


def _shard(codecs: list[dict[str, Any]]) -> tuple[tuple[int, ...] | None, list[dict[str, Any]]]:
    """Return the chunks inside a shard and their codecs, where the shard's index is of the usual kind."""
    if [codec["name"] for codec in codecs] != ["sharding_indexed"]:
        return None, codecs
    said = codecs[0]["configuration"]
    index = said.get("index_codecs", [])
    usual = [codec["name"] for codec in index] == ["bytes", "crc32c"] and said.get("index_location", "end") == "end"
    if not usual or index[0].get("configuration", {}).get("endian", "little") != "little":
        return None, codecs
    return _dims(said["chunk_shape"]), said["codecs"]


def _codecs(codecs: list[dict[str, Any]], where: str) -> list[str]:
    names = []
    for codec in codecs:
        names.append(codec["name"])
        inner = codec.get("configuration") or {}
        names += _codecs([*inner.get("codecs", []), *inner.get("index_codecs", [])], where)
    _known({*names} - _V3_CODECS, where, "codec")
    return names


def _known(unknown: set[str], where: str, what: str) -> None:
    if unknown:
        raise ChromatellError(
            f"{where} is encoded by the {what} {', '.join(sorted(map(repr, unknown)))}, which is not one that "
            f"is read here (a pickle could be run by it). {REFUSED}"
        )


def _extended_type(kind: dict[str, Any], where: str, model: bool) -> int:
    if model or kind["name"] not in _V3_TEXT:
        _refuse_objects(where, kind["name"])
    size = int((kind.get("configuration") or {}).get("length_bytes", 8))
    if size < 0:
        raise ValueError(f"length_bytes is {size}")
    return size


def _plain_dtype(dtype: Any, where: str, model: bool) -> int:
    """Return the item size of a dtype that is numbers, or in data also text of fixed width and records of these."""
    if isinstance(dtype, list):
        if model:
            _refuse_objects(where, "records")
        return sum(
            _plain_dtype(field[1], where, model) * prod(_dims(field[2] if len(field) > 2 else ())) for field in dtype
        )
    if not isinstance(dtype, str):
        _refuse_objects(where, dtype)
    try:
        parsed = np.dtype(dtype)
    except TypeError:
        _refuse_objects(where, dtype)
    if parsed.kind not in ("biuf" if model else "biufcSUMm"):
        _refuse_objects(where, dtype)
    return parsed.itemsize


def _refuse_objects(where: str, dtype: Any = "object") -> None:
    raise ChromatellError(
        f"{where} holds values of type {str(dtype)[:60]!r}, which could hide anything, a pickle for one; only numbers "
        f"and text may stand there. {REFUSED}"
    )


def _dims(value: Any) -> tuple[int, ...]:
    dims = tuple(value)
    if not all(isinstance(n, int) and n >= 0 for n in dims):
        raise ValueError(f"shape {dims!r}")
    return dims
