"""A model inside ``mdata.uns['ctl']['models'][key]``: text and arrays that survive in `.h5mu` and `.zarr`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from chromatell._arguments import arguments
from chromatell._keys import MODELS, UNS
from chromatell._nearest import names_there
from chromatell._validate import ChromatellError, check_writable, store_key
from chromatell.io._record import NAMES, RESAVE, Record, content_hash, dump_json, join_name, split_name, verified

TEXTS = ("manifest", "hash", "card")


class HasUns(Protocol):
    """What can carry a model: MuData, AnnData, BinnedTracks."""

    uns: Any


@arguments
def write_record(mdata: HasUns, key: str, record: Record) -> None:
    """Write a model into ``mdata.uns['ctl']['models'][key]``, in place of one that is there.

    Parameters
    ----------
    mdata
        MuData, AnnData or BinnedTracks.
    key
        Letters, digits, ``_ . -``.
    record
        The model; its arrays are copied.

    Returns
    -------
    None
        ``mdata.uns['ctl']['models'][key]`` : dict of ``manifest``, ``hash``, ``card``, ``names`` (uint8 arrays, UTF-8),
        ``weights``, ``scaling``, ``history``, ``arrays`` (dicts of arrays; those that are empty are left out).

    Raises
    ------
    ChromatellError
        The key cannot be stored, or ``uns['ctl']`` is not a dict.

    Examples
    --------
    >>> import mudata, anndata, numpy as np
    >>> from chromatell.io import Record, model_keys, write_record
    >>> mdata = mudata.MuData({"rna": anndata.AnnData(np.zeros((2, 3), "float32"))})
    >>> write_record(mdata, "dense", Record("dense", 1, {}, {"weights.b": np.zeros(3)}))
    >>> model_keys(mdata)
    ['dense']
    """
    store_key(key)
    check_writable(mdata)
    own = mdata.uns.get(UNS, {})
    if not isinstance(own, Mapping) or not isinstance(own.get(MODELS, {}), Mapping):
        raise ChromatellError(f"uns[{UNS!r}] is not a dict of this package; remove it first: del mdata.uns[{UNS!r}].")
    entry = to_entry(record)
    # The outer dicts are made anew, so that a shallow copy of the user's object does not see the new model.
    mdata.uns[UNS] = {**own, MODELS: {**own.get(MODELS, {}), key: entry}}


def to_entry(record: Record) -> dict[str, Any]:
    """Return the dict that stands in ``uns['ctl']['models'][key]``; it shares no memory with the record."""
    arrays = {name: array.copy() for name, array in record.arrays.items()}
    entry: dict[str, Any] = {
        "manifest": as_bytes(record.manifest),
        "hash": as_bytes(content_hash(record)),
        "card": as_bytes(dump_json(record.card, "card")),
    }
    entry[NAMES] = record.names_blob
    for name, array in arrays.items():
        group, part = split_name(name)
        entry.setdefault(group, {})[part] = array
    return entry


def from_entry(entry: Mapping[str, Any], where: str) -> Record:
    """Return the verified record from what stands in ``uns['ctl']['models'][key]``."""
    arrays: dict[str, np.ndarray] = {}
    for part, value in entry.items():
        if part in TEXTS:
            continue
        items = {part: value} if part == NAMES else {join_name(part, k): v for k, v in _mapping(value, where).items()}
        for name, array in items.items():
            arrays[name] = np.asarray(array)
    texts = {t: decoded(entry.get(t)) for t in TEXTS}
    absent = [t for t, v in texts.items() if v is None] + [NAMES] * (NAMES not in arrays)
    if absent:
        raise ChromatellError(f"{where} is not a whole chromatell model: {', '.join(absent)} missing. {RESAVE}")
    return verified(str(texts["manifest"]), str(texts["hash"]), arrays, str(texts["card"]), where)


def as_bytes(text: str) -> np.ndarray:
    """Return text as UTF-8 bytes, uint8 (n,): damaged text of HDF5's own kind can keep the library busy for ever."""
    return np.frombuffer(text.encode(), dtype=np.uint8).copy()


def decoded(value: Any) -> str | None:
    """Return what `as_bytes` made, or text as files of version 0.1 hold it; None for anything else."""
    if isinstance(value, np.ndarray) and value.dtype == np.uint8 and value.ndim == 1:
        return value.tobytes().decode("utf-8", "replace")
    return value if isinstance(value, str) else None


@arguments
def read_record(mdata: HasUns, key: str | None = None) -> Record:
    """Return the model of a name from ``mdata.uns['ctl']['models']``; its content hash is verified.

    Parameters
    ----------
    mdata
        MuData, AnnData or BinnedTracks.
    key
        Name of the model; may be left out where there is only one.

    Raises
    ------
    ChromatellError
        No such model, several and none named, weights that were changed, or a newer schema.

    Examples
    --------
    >>> import mudata, anndata, numpy as np
    >>> from chromatell.io import Record, read_record, write_record
    >>> mdata = mudata.MuData({"rna": anndata.AnnData(np.zeros((2, 3), "float32"))})
    >>> write_record(mdata, "dense", Record("dense", 1, {"n_hidden": 8}, {"weights.b": np.zeros(3)}))
    >>> read_record(mdata).config
    {'n_hidden': 8}
    """
    keys = model_keys(mdata)
    key = choose_key(keys, key, f"mdata.uns[{UNS!r}][{MODELS!r}]", in_modality(mdata, key))
    return from_entry(_mapping(mdata.uns[UNS][MODELS][key], key), f"the model {key!r} in mdata.uns")


@arguments
def model_keys(mdata: HasUns) -> list[str]:
    """Return the names of the models in ``mdata.uns['ctl']['models']``.

    Examples
    --------
    >>> import mudata, anndata, numpy as np
    >>> from chromatell.io import model_keys
    >>> model_keys(mudata.MuData({"rna": anndata.AnnData(np.zeros((2, 3), "float32"))}))
    []
    """
    own = mdata.uns.get(UNS, {})
    models = own.get(MODELS, {}) if isinstance(own, Mapping) else {}
    return sorted(models) if isinstance(models, Mapping) else []


def in_modality(mdata: HasUns, key: str | None) -> str:
    """Return which modality carries a model of this name, or any, and what to do then, for a message; else ''."""
    for name, adata in getattr(mdata, "mod", {}).items():
        if keys := [k for k in model_keys(adata) if key in (None, k)]:
            return f" mdata.mod[{name!r}] carries {keys[0]!r}: give it in place of mdata, or as model=."
    return ""


def choose_key(keys: list[str], key: str | None, where: str, beside: str = "") -> str:
    """Return `key`, or the only one there is; `beside` says where else there is one."""
    if not keys:
        cure = beside or " Train one with ctl.tl.dense(mdata), or ctl.io.import_model(path, mdata)."
        raise ChromatellError(f"There is no model in {where}.{cure}")
    if key is None and len(keys) > 1:
        raise ChromatellError(f"{where} holds {len(keys)} models: {sorted(keys)}. Name one: key={sorted(keys)[0]!r}.")
    if key is not None and key not in keys:
        raise ChromatellError(
            f"There is no model {key!r} in {where}; choose one of {names_there(sorted(keys), key)}.{beside}"
        )
    return keys[0] if key is None else key


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ChromatellError(f"{where} is not a whole chromatell model: a group of arrays was expected. {RESAVE}")
    return value
