"""What may be replaced: only a file or folder that is recognised as of the kind to be written, and only when asked."""

from __future__ import annotations

import gzip
import json
import os
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py

from chromatell._validate import ChromatellError, one_of
from chromatell.io._bigwig_guard import MAGIC
from chromatell.io._record import FORMAT
from chromatell.io._write import check_writable
from chromatell.io._zarr_guard import NODE_FILES

TRACKS_KIND = "chromatell-binned-tracks"  # `encoding-type` of a store of tracks
PREDICTION_FILES = "ctl_files"  # attribute of a store of predictions: each file's size and SHA-256
UNPACKABLE = (
    ".bz2",
    ".xz",
    ".lzma",
    ".zst",
    ".zip",
    ".7z",
    ".z",
    ".lz4",
    ".br",
)  # compressions that no text is written in
PACKED = (".gz", ".bgz")  # how the name of a text ends that is written as bgzip does
CARD_SAYS = "A chromatell model of the family"
_DATA_KINDS = frozenset({"anndata", "MuData", "mudata"})
_SIDE_FILES = frozenset({".zattrs", ".zmetadata"})
_MAX_HEADER = 64 * 1024**2
_CHUNK = re.compile(r"c|[0-9]+(\.[0-9]+)*")  # what lies in the folder of an array, in Zarr 3 and 2


def check_target(
    path: str | os.PathLike[str], kind: str, *, overwrite: bool = False, cure: str = "pass overwrite=True"
) -> Path:
    """Return a path, or raise, before any work, where a result should not be written there.

    Parameters
    ----------
    path
        The file or folder to make.
    kind
        What it will be: 'data' (`.h5mu`, `.h5ad`, or a Zarr store of either), 'tracks', 'predictions' (Zarr stores),
        'bigwig', 'model' (safetensors), 'card' (its README.md), 'text'.
    overwrite
        Whether the user asked that what is there be replaced. It is only where it is of that kind: a folder that holds
        anything else, or a file of another format, stays.
    cure
        How the user asks for it, for the message.

    Raises
    ------
    ChromatellError
        Something is there and `overwrite` is False, it is not of that kind, or nothing can be written there.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from chromatell.io._replace import check_target
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "notes.txt").write_text("mine")
    >>> check_target(folder, "tracks", overwrite=True)
    Traceback (most recent call last):
    chromatell._validate.ChromatellError: ...
    """
    one_of(kind, _RECOGNISED, "kind")
    path = Path(path)
    check_writable(path)
    if not (path.exists() or path.is_symlink()):
        return path
    if not overwrite:
        raise ChromatellError(f"{str(path)!r} exists. Choose another path, or {cure} to replace it.")
    what, recognised = _RECOGNISED[kind]
    if not recognised(path):
        form = "a folder" if path.is_dir() else "a file"
        raise ChromatellError(
            f"{str(path)!r} is {form} that is not {what}, so it is not replaced. Choose another path, or remove it "
            "yourself if nothing in it is needed."
        )
    return path


def check_suffix(path: str | os.PathLike[str], what: str = "predictions", argument: str = "out=") -> Path:
    """Return where a Zarr store goes; raise where the name is not that of one. `what` is what it holds."""
    path = Path(path)
    if path.suffix != ".zarr":
        raise ChromatellError(
            f"{argument}{str(path)!r} must end in .zarr: {what} become a Zarr store, a folder. Take "
            f"{argument}{str(path) + '.zarr' if path.name else what + '.zarr'!r}."
        )
    return path


def check_new(path: str | os.PathLike[str]) -> None:
    """Raise, before any work, where a new Zarr store could not be written: its name, what is there, rights."""
    path = check_suffix(path)
    if path.exists():
        raise ChromatellError(f"{str(path)!r} exists. Choose another path for the predictions, or remove it.")
    check_writable(path)


def _is_data(path: Path) -> bool:
    if path.is_dir():
        return root_attributes(path).get("encoding-type") in _DATA_KINDS and _holds_zarr_alone(path)
    if not h5py.is_hdf5(path):
        return False
    try:
        with h5py.File(path, "r") as file:
            return "mod" in file or {"obs", "var"} <= set(file)
    except (OSError, RuntimeError, KeyError, ValueError):  # cut short or damaged: not recognised
        return False


def _is_tracks(path: Path) -> bool:
    return root_attributes(path).get("encoding-type") == TRACKS_KIND and _holds_zarr_alone(path)


def _is_predictions(path: Path) -> bool:
    said = root_attributes(path)
    return said.get("encoding-type") == "anndata" and PREDICTION_FILES in said and _holds_zarr_alone(path)


def _is_bigwig(path: Path) -> bool:
    return _starts(path, 4) in (struct.pack("<I", MAGIC), struct.pack(">I", MAGIC))


def _is_model(path: Path) -> bool:
    head = _starts(path, 8)
    length = int.from_bytes(head, "little")
    if len(head) < 8 or length > min(_MAX_HEADER, path.stat().st_size):
        return False
    header = _json(_starts(path, 8 + length)[8:])
    metadata = header.get("__metadata__")
    return isinstance(metadata, dict) and metadata.get("format") == FORMAT


def _is_card(path: Path) -> bool:
    return CARD_SAYS.encode() in _starts(path, 4096)


def _is_text(path: Path) -> bool:
    if path.suffix.lower() not in PACKED or _starts(path, 2) != b"\x1f\x8b":
        return path.is_file() and b"\x00" not in _starts(path, 4096)
    try:
        with gzip.open(path) as packed:
            return b"\x00" not in packed.read(4096)
    except (OSError, EOFError, zlib.error):  # cut short or damaged: not recognised
        return False


_RECOGNISED: dict[str, tuple[str, Callable[[Path], bool]]] = {
    "data": ("an AnnData or a MuData and nothing else", _is_data),
    "tracks": ("a store of tracks and nothing else", _is_tracks),
    "predictions": ("a store of predictions that chromatell wrote, and nothing else", _is_predictions),
    "bigwig": ("a bigWig", _is_bigwig),
    "model": ("a model that chromatell wrote", _is_model),
    "card": ("the card of a model that chromatell wrote", _is_card),
    "text": ("text", _is_text),
}


def _starts(path: Path, n: int) -> bytes:
    if not path.is_file():
        return b""
    with path.open("rb") as handle:
        return handle.read(min(n, path.stat().st_size))  # a buffer of n bytes would be made first


def _json(raw: bytes) -> dict[str, Any]:
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):  # not ours
        return {}
    return value if isinstance(value, dict) else {}


def root_attributes(store: Path) -> dict[str, Any]:
    """Return the attributes at the root of a Zarr store; none where it is not one."""
    if (store / "zarr.json").is_file():
        said = _json(_starts(store / "zarr.json", _MAX_HEADER)).get("attributes")
        return said if isinstance(said, dict) else {}
    return _json(_starts(store / ".zattrs", _MAX_HEADER)) if (store / ".zgroup").is_file() else {}


def _holds_zarr_alone(folder: Path) -> bool:
    """Return whether the folders of groups and arrays hold Zarr's own files alone."""
    todo = [folder]
    while todo:
        here = todo.pop()
        entries = {entry.name: entry for entry in os.scandir(here)}
        nodes = entries.keys() & set(NODE_FILES)
        if not nodes or any(entry.is_symlink() for entry in entries.values()):
            return False
        others = entries.keys() - set(NODE_FILES) - _SIDE_FILES
        if ".zarray" in nodes or _json(_starts(here / "zarr.json", _MAX_HEADER)).get("node_type") == "array":
            if not all(_CHUNK.fullmatch(name) for name in others):
                return False
            continue
        folders = {name for name, entry in entries.items() if entry.is_dir()}
        if others - folders:
            return False
        todo += [here / name for name in folders]
    return True
