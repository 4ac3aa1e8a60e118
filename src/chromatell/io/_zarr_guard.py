"""Zarr stores of strangers, looked at by their metadata files alone: no chunk is decompressed before."""

from __future__ import annotations

import os
import re
import stat
from math import prod
from pathlib import Path
from typing import Any

from chromatell._errors import ChromatellError
from chromatell.io._limits import NOT_FLAT, REFUSED, Budget
from chromatell.io._record import parse_json
from chromatell.io._zarr_chunks import inflated
from chromatell.io._zarr_layout import layout_of

NODE_FILES = ("zarr.json", ".zarray", ".zgroup")
INCOMPLETE = "ctl_incomplete"  # in a store of predictions that is not complete: which parts are there
_SIDE_FILES = frozenset({".zattrs", ".zmetadata"})
_SPARSE = frozenset({"data", "indices", "indptr"})
_COLUMN = frozenset({"categories", "codes"})
_INTEGER = re.compile(r"u?int(8|16|32|64)|[<>|][iu][1248]")
_MAX_METADATA = 64 * 1024**2


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
        _check_consolidated(_collected(metadata, folder), folder, budget)
    if nodes == [".zarray"] or metadata.get("node_type") == "array":
        _check_array(folder, metadata, budget)
        return
    foreign = files.keys() - set(NODE_FILES) - _SIDE_FILES
    if INCOMPLETE in foreign:
        raise ChromatellError(
            f"{folder} is not complete: the run that wrote it was stopped, or still writes. Run the same call again, "
            f"ctl.tl.predict(..., out={str(folder).removesuffix('.partial')!r}): it goes on from there."
        )
    if foreign:
        raise ChromatellError(
            f"{folder} holds files that are no Zarr metadata, such as {sorted(foreign)[:3]}. {REFUSED}"
        )
    budget.count(str(folder), len(folders))
    for name in folders:
        _walk(folder / name, budget, depth + 1)
    if set(folders) >= _SPARSE:
        _check_sparse(folder)
    if set(folders) >= _COLUMN or "_index" in _attributes(folder, metadata, files):
        _check_flat(folder, folders)


def _attributes(folder: Path, metadata: dict[str, Any], files: dict[str, int]) -> dict[str, Any]:
    said = _json(folder / ".zattrs") if ".zattrs" in files else metadata.get("attributes")
    return said if isinstance(said, dict) else {}


def _check_flat(folder: Path, names: list[str]) -> None:
    """Raise where a column of a table, or its categories, has not one dimension: pandas makes tuples of such."""
    for name in names:
        shape = next((_json(p) for n in NODE_FILES if (p := folder / name / n).is_file()), {}).get("shape")
        if isinstance(shape, list) and len(shape) != 1:
            raise ChromatellError(f"{folder / name} {NOT_FLAT}. {REFUSED}")


def _check_sparse(folder: Path) -> None:
    """Raise where the parts of a sparse matrix cannot be such; their values are looked at after they are read."""
    parts = {name: next((_json(p) for n in NODE_FILES if (p := folder / name / n).is_file()), {}) for name in _SPARSE}
    whole = all(_is_integer(parts[name]) for name in ("indices", "indptr"))
    flat = all(isinstance(p.get("shape"), list) and len(p["shape"]) == 1 for p in parts.values())
    if not (flat and whole and parts["indices"]["shape"] == parts["data"]["shape"]):
        raise ChromatellError(
            f"{folder} is a sparse matrix whose indices, indptr and data are not arrays of integers and values that "
            f"fit each other. {REFUSED}"
        )


def _is_integer(metadata: dict[str, Any]) -> bool:
    kind = metadata.get("data_type", metadata.get("dtype"))
    return isinstance(kind, str) and bool(_INTEGER.fullmatch(kind))


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


def _collected(metadata: dict[str, Any], folder: Path) -> Any:
    said = metadata["consolidated_metadata"] or {}
    if not isinstance(said, dict):
        raise ChromatellError(f"{folder} has consolidated metadata that are no table. {REFUSED}")
    return said.get("metadata", {})


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
            present = own.is_file() and not own.is_symlink()
            if not present or layout_of(_json(own), str(own), budget.model) != layout_of(
                value, f"{folder}/{key}", budget.model
            ):
                raise ChromatellError(
                    f"{folder} has consolidated metadata that disagree with those of {key!r}. {REFUSED}"
                )
        elif value.get("consolidated_metadata"):
            _check_consolidated(_collected(value, folder), folder / key, budget)


def _check_array(folder: Path, metadata: dict[str, Any], budget: Budget) -> None:
    where = str(folder)
    layout = layout_of(metadata, where, budget.model)
    if layout.itemsize == 0 and budget.model and layout.shape != ():
        raise ChromatellError(f"{where} is an array of text; a model's arrays hold numbers only. {REFUSED}")
    stored = said = 0
    for path, size in _chunk_files(folder):
        stored += size
        said += inflated(path, size, layout, budget.model)
    largest = max(prod(layout.shape), prod(layout.chunks)) * max(layout.itemsize, 1)
    budget.add(where, max(largest, said), stored)


def _chunk_files(folder: Path) -> list[tuple[Path, int]]:
    chunk_files: list[tuple[Path, int]] = []
    todo = [folder]
    while todo:
        here = todo.pop()
        files, folders = _listing(here)
        if here != folder and files.keys() & {*NODE_FILES, *_SIDE_FILES}:
            raise ChromatellError(f"{here} is a store inside an array. {REFUSED}")
        chunk_files += [(here / name, size) for name, size in files.items() if name not in (*NODE_FILES, *_SIDE_FILES)]
        todo += [here / name for name in folders]
        if len(todo) > 1_000_000:
            raise ChromatellError(f"{folder} has over a million folders of chunks. {REFUSED}")
    return chunk_files
