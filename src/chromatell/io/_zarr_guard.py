"""Zarr stores of strangers, looked at by their metadata files alone: no chunk is decompressed before."""

from __future__ import annotations

import os
import stat
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from chromatell._validate import ChromatellError
from chromatell.io._limits import REFUSED, Budget
from chromatell.io._record import MAX_JSON, parse_json

NODE_FILES = ("zarr.json", ".zarray", ".zgroup")
_SIDE_FILES = frozenset({".zattrs", ".zmetadata"})
_MAX_METADATA = 64 * 1024**2
_MAX_TEXT = MAX_JSON + 64 * 1024
# Codecs that give numbers or UTF-8 text. Others are in numcodecs too, and one of them, 'pickle', runs what it decodes.
_V2_FILTERS = frozenset({"vlen-utf8", "shuffle", "delta"})
_V2_COMPRESSORS = frozenset({"blosc", "zstd", "gzip", "zlib", "lz4", "bz2", "lzma"})
_V3_CODECS = frozenset({"bytes", "vlen-utf8", "zstd", "blosc", "gzip", "crc32c", "transpose", "sharding_indexed"})
_V3_TEXT = frozenset({"fixed_length_utf32", "null_terminated_bytes", "numpy.datetime64", "numpy.timedelta64"})
_BOUNDED = frozenset({"", "zstd", "blosc", "lz4"})  # a chunk says how large it gets
_MAX_DEFLATED = 4 * 1024**2  # one that does not say: 1032-fold at most


def is_zarr(path: Path) -> bool:
    """Return whether a folder looks like a Zarr store."""
    return path.is_dir() and any((path / name).is_file() for name in NODE_FILES)


def step_into(root: Path, *names: str) -> Path | None:
    """Return a folder inside a store, or None where there is none; no step may be a link."""
    path = root
    for name in names:
        path = path / name
        if path.is_symlink():
            raise ChromatellError(f"{path} is a link to another place. {REFUSED}")
        if not path.is_dir():
            return None
    return path


def check_store(root: Path, budget: Budget) -> None:
    """Walk a Zarr store or a part of it, and raise at the first thing that is not plain data of bounded size."""
    _walk(root, budget, 0)
    budget.finish()


def _walk(folder: Path, budget: Budget, depth: int) -> None:
    budget.deeper(str(folder), depth)
    files, folders = _listing(folder)
    nodes = [name for name in NODE_FILES if name in files]
    if len(nodes) > 1:
        raise ChromatellError(f"{folder} says twice what it is ({', '.join(nodes)}). {REFUSED}")
    if not nodes and (files or not folders):
        raise ChromatellError(f"{folder} is not part of a Zarr store: it has no {' or '.join(NODE_FILES)}. {REFUSED}")
    for name in _SIDE_FILES & files.keys():
        _check_side(folder / name, budget)
    metadata = _json(folder / nodes[0]) if nodes else {}
    if "consolidated_metadata" in metadata:
        _check_consolidated((metadata["consolidated_metadata"] or {}).get("metadata", {}), folder, budget)
    if nodes == [".zarray"] or metadata.get("node_type") == "array":
        _check_array(folder, metadata, budget)
        return
    foreign = files.keys() - set(NODE_FILES) - _SIDE_FILES
    if foreign:
        raise ChromatellError(
            f"{folder} holds files that are no Zarr metadata, such as {sorted(foreign)[:3]}. {REFUSED}"
        )
    budget.count(str(folder), len(folders))
    for name in folders:
        _walk(folder / name, budget, depth + 1)


def _listing(folder: Path) -> tuple[dict[str, int], list[str]]:
    """Return {file: size} and the folders of a folder, none of which may be a link, a device or a pipe."""
    files: dict[str, int] = {}
    folders: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_symlink():
                raise ChromatellError(f"{entry.path} is a link to another place. {REFUSED}")
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.name)
            elif stat.S_ISREG((info := entry.stat(follow_symlinks=False)).st_mode):
                files[entry.name] = info.st_size
            else:
                raise ChromatellError(f"{entry.path} is neither a file nor a folder. {REFUSED}")
    return files, folders


def _json(path: Path) -> dict[str, Any]:
    if path.stat().st_size > _MAX_METADATA:
        raise ChromatellError(f"{path} is metadata of more than 64 MB. {REFUSED}")
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError as err:
        raise ChromatellError(f"{path} is not text ({err}). {REFUSED}") from err
    value = _lenient_json(text, str(path))
    if not isinstance(value, dict):
        raise ChromatellError(f"{path} is not Zarr metadata: a JSON object was expected. {REFUSED}")
    return value


def _lenient_json(text: str, where: str) -> Any:
    """JSON where a fill value may be NaN: Zarr 2 writes it as text, some writers as the bare word."""
    return parse_json(text, where, _MAX_METADATA, allow_nan=True)


def _check_side(path: Path, budget: Budget) -> None:
    metadata = _json(path)
    if path.name == ".zmetadata":
        _check_consolidated(metadata.get("metadata", {}), path.parent, budget)


def _check_consolidated(entries: Any, folder: Path, budget: Budget) -> None:
    """Check a collected copy of the metadata, which zarr reads in place of the files."""
    if not isinstance(entries, dict):
        raise ChromatellError(f"{folder} has consolidated metadata that is no table. {REFUSED}")
    budget.count(f"{folder} (consolidated metadata)", 0 if not budget.model else len(entries))
    for key, value in entries.items():
        if ".." in key.split("/") or key.startswith("/") or not isinstance(value, dict):
            raise ChromatellError(f"{folder} has consolidated metadata for {key!r}, outside of it. {REFUSED}")
        if key.endswith(".zarray") or value.get("node_type") == "array":
            own = folder / key if key.endswith(".zarray") else folder / key / "zarr.json"
            there = own.is_file() and not own.is_symlink()
            if not there or _layout(_json(own), str(own), budget.model) != _layout(
                value, f"{folder}/{key}", budget.model
            ):
                raise ChromatellError(
                    f"{folder} has consolidated metadata that disagree with those of {key!r}. {REFUSED}"
                )
        elif value.get("consolidated_metadata"):
            _check_consolidated(value["consolidated_metadata"].get("metadata", {}), folder / key, budget)


def _check_array(folder: Path, metadata: dict[str, Any], budget: Budget) -> None:
    where = str(folder)
    shape, chunks, itemsize, packed = _layout(metadata, where, budget.model)
    chunk = prod(chunks) * max(itemsize, 1)
    if itemsize == 0 and budget.model and shape != ():
        raise ChromatellError(f"{where} is an array of text; a model's arrays hold numbers only. {REFUSED}")
    stored = said = 0
    for path, size in _chunk_files(folder):
        stored += size
        if budget.model or packed in _BOUNDED:
            limit = (chunk if itemsize else _MAX_TEXT) if budget.model else None
            said += _inflated(path, size, packed, limit)
    logical = prod(shape) * max(itemsize, 1)
    budget.add(where, max(logical, chunk, said), stored)


def _chunk_files(folder: Path) -> list[tuple[Path, int]]:
    found: list[tuple[Path, int]] = []
    todo = [folder]
    while todo:
        here = todo.pop()
        files, folders = _listing(here)
        if here != folder and files.keys() & {*NODE_FILES, *_SIDE_FILES}:
            raise ChromatellError(f"{here} is a store inside an array. {REFUSED}")
        found += [(here / name, size) for name, size in files.items() if name not in (*NODE_FILES, *_SIDE_FILES)]
        todo += [here / name for name in folders]
        if len(todo) > 1_000_000:
            raise ChromatellError(f"{folder} has over a million folders of chunks. {REFUSED}")
    return found


def _inflated(path: Path, size: int, packed: str, limit: int | None) -> int:
    """Return the size that a chunk says it has when decompressed, from its first bytes."""
    with path.open("rb") as handle:
        head = handle.read(18)
    if packed == "":
        said = size
    elif packed == "blosc":
        said = int.from_bytes(head[4:8], "little")
    elif packed == "lz4":
        said = int.from_bytes(head[:4], "little")
    elif packed == "zstd":
        said = _zstd_size(head, path)
    elif packed in ("gzip", "zlib") and size <= _MAX_DEFLATED:
        said = 0
    else:
        raise ChromatellError(
            f"{path} is a chunk of a model, compressed by {packed!r}, whose size in memory cannot be told before it is "
            "read. Write the store again with the default codecs, mdata.write_zarr(path), unsharded; or use .h5mu."
        )
    # Codecs pad a little: a chunk may say slightly more than the array's own bytes, but never a multiple of it.
    if limit is not None and said > limit + 1024:
        raise ChromatellError(f"{path} is a chunk of at most {limit} bytes that would inflate to {said}. {REFUSED}")
    return said


def _zstd_size(head: bytes, path: Path) -> int:
    """Return the content size in a zstd frame's header (RFC 8878, section 3.1.1)."""
    if head[:4] != b"\x28\xb5\x2f\xfd" or len(head) < 6:
        raise ChromatellError(f"{path} is not a zstd chunk, though its metadata says so; it is damaged. {REFUSED}")
    descriptor = head[4]
    single = bool(descriptor & 0x20)
    width = (1 if single else 0, 2, 4, 8)[descriptor >> 6]
    if width == 0:
        raise ChromatellError(f"{path} is a zstd chunk that does not say how large it gets. {REFUSED}")
    start = 5 + (0 if single else 1) + (0, 1, 2, 4)[descriptor & 3]
    return int.from_bytes(head[start : start + width], "little") + (256 if width == 2 else 0)


def _layout(metadata: dict[str, Any], where: str, model: bool) -> tuple[tuple[int, ...], tuple[int, ...], int, str]:
    """Return (shape, chunk shape, bytes of an item or 0 for text, compressor) of an array's metadata."""
    try:
        if metadata.get("zarr_format") == 3:
            return _layout_v3(metadata, where, model)
        return _layout_v2(metadata, where, model)
    except (KeyError, TypeError, AttributeError, ValueError) as err:
        if isinstance(err, ChromatellError):
            raise
        raise ChromatellError(f"{where} has metadata that are not Zarr's ({err!r}). {REFUSED}") from err


def _layout_v2(metadata: dict[str, Any], where: str, model: bool) -> tuple[tuple[int, ...], tuple[int, ...], int, str]:
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
    return _dims(metadata["shape"]), _dims(metadata["chunks"]), itemsize, compressor


def _layout_v3(metadata: dict[str, Any], where: str, model: bool) -> tuple[tuple[int, ...], tuple[int, ...], int, str]:
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
    packed = [n for n in names if n in ("zstd", "blosc", "gzip", "sharding_indexed")]
    compressor = "sharding_indexed" if "sharding_indexed" in packed else "+".join(packed)
    return _dims(metadata["shape"]), _dims(grid["configuration"]["chunk_shape"]), itemsize, compressor


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
