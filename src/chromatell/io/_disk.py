"""A model on disk: one safetensors file that also carries the manifest, the names and the card."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np

from chromatell._arguments import arguments
from chromatell._validate import ChromatellError
from chromatell.io._record import (
    FORMAT,
    MAX_ARRAYS,
    MAX_BYTES,
    NAMES,
    RESAVE,
    Record,
    content_hash,
    dump_json,
    parse_json,
    verified,
)
from chromatell.io._replace import check_target
from chromatell.io._write import sibling

MODEL_FILE = "model.safetensors"
_MAX_HEADER = 64 * 1024**2
_DTYPES = frozenset(["BOOL", "I8", "I16", "I32", "I64", "U8", "U16", "U32", "U64", "F16", "F32", "F64"])


@arguments
def save_record(record: Record, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Write a model as one safetensors file and return its path.

    Parameters
    ----------
    path
        A file that ends in ``.safetensors``, or a folder, which then holds ``model.safetensors``.
    overwrite
        Replace a model that is there; a file that is no model stays. The file is written beside and renamed, so that
        there is never half of one.

    Raises
    ------
    ChromatellError
        There is a file of that name and `overwrite` is False, or it is no model; the disk is full, or rights are
        missing.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from chromatell.io import Record, load_record, save_record
    >>> file = save_record(Record("dense", 1, {}, {"weights.b": np.arange(3)}), tempfile.mkdtemp())
    >>> load_record(file).arrays["weights.b"]
    array([0, 1, 2])
    """
    from safetensors.numpy import save_file

    target = check_target(model_file(path), "model", overwrite=overwrite)
    target.parent.mkdir(parents=True, exist_ok=True)
    metadata = {
        "format": FORMAT,
        "manifest": record.manifest,
        "hash": content_hash(record),
        "card": dump_json(record.card, "card"),
    }
    with sibling(target, overwrite=overwrite) as temporary:
        save_file({**record.arrays, NAMES: record.names_blob}, temporary, metadata=metadata)
    return target


@arguments
def load_record(path: str | os.PathLike[str]) -> Record:
    """Return the model from a file or folder that `save_record` or `export_model` wrote; its content hash is verified.

    Raises
    ------
    ChromatellError
        No such file, another kind of file, one cut short or changed, or a newer schema.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from chromatell.io import Record, load_record, save_record
    >>> file = save_record(Record("dense", 1, {}, {"weights.b": np.arange(3)}), tempfile.mkdtemp())
    >>> load_record(file).family
    'dense'
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    file = model_file(path)
    if not file.is_file():
        raise ChromatellError(
            f"There is no model file at {file}. Write one with ctl.io.export_model(mdata, key, path)."
        )
    if Path(path).is_dir() and file.is_symlink():
        raise ChromatellError(f"{file} is a link to another place, which a shared model must not be. {RESAVE}")
    metadata = _header(file)
    try:
        arrays: dict[str, np.ndarray] = load_file(file)
    except (SafetensorError, OSError, ValueError, TypeError, KeyError) as err:
        raise ChromatellError(f"{file} is not a whole safetensors file ({err}). {RESAVE}") from err
    return verified(metadata["manifest"], metadata["hash"], arrays, metadata["card"], f"the model in {file}")


def model_file(path: str | os.PathLike[str]) -> Path:
    """Return the safetensors file that a path means: itself, or ``model.safetensors`` in the folder."""
    path = Path(path)
    return path if path.suffix == ".safetensors" and not path.is_dir() else path / MODEL_FILE


def _header(file: Path) -> dict[str, str]:
    """Return the metadata of a safetensors file, after a look at its header alone."""
    size = file.stat().st_size
    with file.open("rb") as handle:
        length = int.from_bytes(handle.read(8), "little")
        if size < 10 or length > min(_MAX_HEADER, size - 8) or size > MAX_BYTES + _MAX_HEADER:
            raise ChromatellError(
                f"{file} is not a whole safetensors file of at most 4 GB ({size} bytes, a header of {length}). {RESAVE}"
            )
        raw = handle.read(length)
    try:
        header = json.loads(raw)
        metadata = header.pop("__metadata__", {})
        dtypes = {value["dtype"] for value in header.values()}
        texts = {key: metadata[key] for key in ("manifest", "hash", "card")}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as err:
        raise ChromatellError(f"{file} is not a model that chromatell wrote: its header lacks {err}. {RESAVE}") from err
    if len(header) > MAX_ARRAYS + 1 or not dtypes <= _DTYPES or NAMES not in header:
        raise ChromatellError(
            f"{file} holds {len(header)} arrays of types {sorted(map(str, dtypes))[:9]}, not a model. {RESAVE}"
        )
    for key, text in texts.items():
        if not isinstance(text, str):
            raise ChromatellError(f"{file} is not a model that chromatell wrote: {key} is not text. {RESAVE}")
        if key != "hash":
            parse_json(text, f"{key} of {file}")
    return texts
