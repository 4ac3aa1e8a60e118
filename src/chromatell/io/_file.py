"""A model out of a `.h5mu`, `.h5ad`, `.zarr` or exported folder: nothing but the model is read, nothing is run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from chromatell._arguments import arguments
from chromatell._keys import MODELS, UNS
from chromatell._validate import ChromatellError, store_key
from chromatell.io._child import open_in_child
from chromatell.io._disk import MODEL_FILE, load_record
from chromatell.io._guard import existing, subfolders
from chromatell.io._h5_guard import check_group, group_at, open_h5
from chromatell.io._limits import REFUSED, Budget
from chromatell.io._record import Record
from chromatell.io._uns_store import choose_key, from_entry
from chromatell.io._zarr_guard import check_store, is_zarr, step_into


@arguments
def read_record_file(path: str | os.PathLike[str], key: str | None = None) -> Record:
    """Return a model out of a file or folder, reading nothing but the model.

    Before anything is read, the model's part is walked by metadata alone: links, virtual or external data, objects,
    unknown filters, nesting over 4, over 10,000 keys, over 4 GB, or bytes that inflate a hundredfold are refused.

    Parameters
    ----------
    path
        A `.h5mu`, `.h5ad` or `.zarr` (of tracks too) with a model in ``uns['ctl']['models']``, or what
        `export_model` wrote.
    key
        Name of the model; may be left out where there is only one, and for an exported model.

    Raises
    ------
    ChromatellError
        No such file or model, a file cut short or of another kind, something in it that is not plain data, weights that
        do not fit their hash, or a newer schema.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from chromatell.io import Record, read_record_file, save_record
    >>> file = save_record(Record("dense", 1, {}, {"weights.b": np.arange(3)}), tempfile.mkdtemp())
    >>> read_record_file(file).family
    'dense'
    """
    plain = isinstance(path, str) and path.isidentifier()  # a name rather than a path
    also = f" A model in a MuData is named so: model=mdata, key={path!r}; mdata is the one that was trained on."
    path = existing(path, also=also if plain else "")
    if path.suffix == ".safetensors" or (path / MODEL_FILE).is_file():
        return load_record(path)
    if path.is_dir():
        return _record_from_zarr(path, key)
    open_in_child(path, f"uns/{UNS}/{MODELS}")
    with open_h5(path) as file:
        models = group_at(file, "uns", UNS, MODELS)
        if models is not None:
            Budget(str(path), model=True).count("uns/ctl/models", models.id.get_num_objs())
        key = choose_key([] if models is None else sorted(models), key, f"{path}")
        group = group_at(file, "uns", UNS, MODELS, key)
        if group is None:
            raise ChromatellError(f"The model {key!r} in {path} is not a group of arrays. {REFUSED}")
        check_group(group, Budget(f"The model {key!r} in {path}", model=True))
        return from_entry(read_group_h5(group), f"the model {key!r} in {path}")


def _record_from_zarr(path: Path, key: str | None) -> Record:
    if not is_zarr(path):
        raise ChromatellError(
            f"{path} holds neither {MODEL_FILE} nor a Zarr store. Give a .h5mu, a .zarr or an exported model."
        )
    place = ("uns", UNS, MODELS) if step_into(path, "uns") else (MODELS,)  # the latter in a store of tracks
    models = step_into(path, *place)
    key = choose_key([folder.name for folder in subfolders(models)], key, str(path))
    folder = step_into(path, *place, store_key(key))
    if folder is None:
        raise ChromatellError(f"The model {key!r} in {path} is not a group of arrays. {REFUSED}")
    check_store(folder, Budget(f"The model {key!r} in {path}", model=True))
    open_in_child(folder)
    return from_entry(read_group_zarr(folder), f"the model {key!r} in {path}")


def read_group_h5(group: h5py.Group) -> dict[str, Any]:
    """Return a checked group as nested dicts of arrays and text."""
    out: dict[str, Any] = {}
    for name, child in group.items():
        if isinstance(child, h5py.Group):
            out[name] = read_group_h5(child)
        else:
            out[name] = child.asstr()[()] if h5py.check_string_dtype(child.dtype) else child[()]
    return out


def read_group_zarr(folder: Path) -> dict[str, Any]:
    """Return a checked group as nested dicts of arrays and text."""
    import zarr

    def nested(group: zarr.Group) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for name, child in group.members():
            if isinstance(child, zarr.Group):
                out[name] = nested(child)
            else:
                value = np.asarray(child[()])
                out[name] = (
                    str(value) if value.dtype.kind in "OUT" else value
                )  # text is scalar, the guard has seen to it
        return out

    try:
        return nested(zarr.open_group(str(folder), mode="r", use_consolidated=False))
    except Exception as err:  # zarr and its codecs raise many kinds on a damaged chunk
        raise ChromatellError(
            f"{folder} cannot be read as Zarr ({type(err).__name__}: {str(err)[:160]}). "
            "It is cut short or damaged: copy it again."
        ) from err
