"""HDF5 files of strangers, looked at by metadata alone: nothing is read, followed or decompressed before."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from h5py import h5a, h5d, h5g, h5l, h5o, h5r, h5t, h5z

from chromatell._errors import ChromatellError
from chromatell.io._limits import NOT_FLAT, REFUSED, Budget
from chromatell.io._other_files import what_reads

# HDF5's own filters that NumPy data are stored with, and the common plug-ins where they are installed.
_DEFLATE, _SHUFFLE, _FLETCHER32, _LZF = 1, 2, 3, 32000
_MODEL_FILTERS = frozenset({_DEFLATE, _SHUFFLE, _FLETCHER32, _LZF})
_PLUGINS = frozenset(
    {4, 5, 6, 32001, 32004, 32008, 32015, 32026}
)  # szip nbit scaleoffset blosc lz4 bitshuffle zstd blosc2
_MAX_CHUNK = (
    4 * 1024**2
)  # deflate inflates up to 1032-fold, chunk by chunk: no chunk of a model may pass 4 GB on the way
_CATEGORIES = b"__categories"
SPARSE = frozenset({b"data", b"indices", b"indptr"})
COLUMN = frozenset({b"categories", b"codes"})
_MAX_ATTRIBUTE = 16 * 1024**2


@contextmanager
def open_h5(path: str | os.PathLike[str]) -> Iterator[h5py.File]:
    """Open an HDF5 file to read; what HDF5 cannot read becomes one clear error."""
    path = Path(path)
    try:
        with h5py.File(path, "r") as file:
            yield file
    except ChromatellError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, UnicodeError) as err:
        if not h5py.is_hdf5(path) and (hint := what_reads(path)):  # one that begins as HDF5 does is cut short
            raise ChromatellError(f"{path} is no .h5ad, .h5mu, .zarr or exported model. {hint}") from err
        what = str(err).splitlines()[0][:160] if str(err) else type(err).__name__
        raise ChromatellError(
            f"{path} cannot be read as an HDF5 file ({what}). It is cut short, damaged or of another format: "
            "copy or download it again, and compare its size with the original."
        ) from err


def group_at(file: h5py.File, *names: str) -> h5py.Group | None:
    """Return the group at a path, or None where there is none; each step must be a group of this very file."""
    group: h5py.Group = file["/"]
    for name in names:
        if not group.id.links.exists(name.encode()):
            return None
        child = _open(group.id, name.encode(), f"{group.name.rstrip('/')}/{name}")
        if not isinstance(child, h5g.GroupID):
            return None
        group = h5py.Group(child)
    return group


def check_group(group: h5py.Group, budget: Budget) -> None:
    """Walk a group by metadata and raise at the first thing that is not plain data of bounded size."""
    _walk(group.id, group.name or "/", budget, (), 0)
    budget.finish()


def _walk(group: h5g.GroupID, where: str, budget: Budget, above: tuple[Any, ...], depth: int) -> None:
    budget.deeper(where, depth)
    address = _address(group)
    if address in above:
        raise ChromatellError(f"{where} is a group that contains itself. {REFUSED}")
    _check_attributes(group, where)
    budget.count(where, group.get_num_objs())
    names: list[bytes] = []
    group.links.iterate(names.append)
    for name in names:
        at = f"{where.rstrip('/')}/{name.decode('utf-8', 'replace')}"
        child = _open(group, name, at)
        if isinstance(child, h5g.GroupID):
            _walk(child, at, budget, (*above, address), depth + 1)
        elif isinstance(child, h5d.DatasetID):
            _check_dataset(child, at, budget, partial(_old_categories, group, child, name))
        else:
            raise ChromatellError(f"{at} is a named HDF5 type, not data. {REFUSED}")
    if h5a.exists(group, b"_index") or set(names) >= COLUMN:
        _check_flat(group, names, where)
    if set(names) >= SPARSE and any(h5a.exists(group, name) for name in (b"shape", b"h5sparse_shape")):
        _check_sparse(group, where)


def _check_flat(group: h5g.GroupID, names: list[bytes], where: str) -> None:
    """Raise where a column of a table, or its categories, has not one dimension: pandas makes tuples of such."""
    for name in names:
        child = h5o.open(group, name)
        if isinstance(child, h5d.DatasetID) and len(child.shape or ()) != 1:
            raise ChromatellError(f"{where}/{name.decode('utf-8', 'replace')} {NOT_FLAT}. {REFUSED}")


def _check_sparse(group: h5g.GroupID, where: str) -> None:
    """Raise where the parts of a sparse matrix cannot be such; their values are looked at after they are read."""
    parts = {name: h5o.open(group, name) for name in sorted(SPARSE)}
    shapes = {name: part.shape if isinstance(part, h5d.DatasetID) else None for name, part in parts.items()}
    whole = all(isinstance(parts[n].get_type(), h5t.TypeIntegerID) for n in (b"indices", b"indptr") if shapes[n])
    flat = all(shape is not None and len(shape) == 1 for shape in shapes.values())
    if not (flat and whole and shapes[b"indices"] == shapes[b"data"]):
        raise ChromatellError(
            f"{where} is a sparse matrix whose indices, indptr and data are not arrays of integers and values that fit "
            f"each other. {REFUSED}"
        )


def _open(group: h5g.GroupID, name: bytes, where: str) -> Any:
    kind = group.links.get_info(name).type
    if kind != h5l.TYPE_HARD:
        what = {h5l.TYPE_SOFT: "a soft link", h5l.TYPE_EXTERNAL: "a link to another file"}.get(
            kind, "a link of unknown kind"
        )
        raise ChromatellError(f"{where} is {what}; only data inside the file itself is read. {REFUSED}")
    return h5o.open(group, name)


def _address(node: Any) -> Any:
    info = h5o.get_info(node)
    return info.fileno, info.addr


def _old_categories(group: h5g.GroupID, codes: h5d.DatasetID, name: bytes) -> bool:
    """Return whether a column of codes refers to its categories as anndata 0.7 wrote them.

    They are the data set ``__categories/<column>`` of the same group, which the walk looks at too; a reference to
    anything else is none of these.
    """
    attribute = h5a.open(codes, b"categories")
    if attribute.shape != () or not attribute.get_type().equal(h5t.STD_REF_OBJ):
        return False
    above = _open(group, _CATEGORIES, "") if group.links.exists(_CATEGORIES) else None
    if not isinstance(above, h5g.GroupID) or not above.links.exists(name):
        return False
    own = _open(above, name, "")
    reference = np.empty((), dtype=attribute.dtype)
    attribute.read(reference)
    if not isinstance(own, h5d.DatasetID) or not reference[()]:
        return False
    return _address(h5r.dereference(reference[()], codes)) == _address(own)


def _check_attributes(node: Any, where: str, old_categories: Callable[[], bool] = lambda: False) -> None:
    for i in range(h5a.get_num_attrs(node)):
        attribute = h5a.open(node, index=i)
        kind = attribute.get_type()
        if attribute.name == b"categories" and isinstance(kind, h5t.TypeReferenceID) and old_categories():
            continue
        at = f"{where}@{attribute.name.decode('utf-8', 'replace')}"
        _check_type(kind, at, model=False)
        if prod(attribute.shape or ()) * kind.get_size() > _MAX_ATTRIBUTE:
            raise ChromatellError(f"{at} is an attribute of more than 16 MB. {REFUSED}")


def _check_dataset(dataset: h5d.DatasetID, where: str, budget: Budget, old_categories: Callable[[], bool]) -> None:
    plist = dataset.get_create_plist()
    layout = plist.get_layout()
    if layout == h5d.VIRTUAL:
        raise ChromatellError(f"{where} is a virtual dataset, made of other files. {REFUSED}")
    if plist.get_external_count() > 0:
        raise ChromatellError(f"{where} keeps its values in another file ({plist.get_external(0)[0]!r}). {REFUSED}")
    _check_attributes(dataset, where, old_categories)
    kind = dataset.get_type()
    scalar = dataset.shape == ()
    _check_type(kind, where, model=budget.model and not (scalar and isinstance(kind, h5t.TypeStringID)))
    filters = _check_filters(plist, where, budget.model)
    stored = dataset.get_storage_size()
    logical = prod(dataset.shape or ()) * kind.get_size()
    if layout == h5d.CHUNKED:
        chunk = prod(plist.get_chunk()) * kind.get_size()
        logical = max(logical, chunk)
        if budget.model and filters:
            _check_chunks(dataset, where, chunk)
    budget.add(where, logical, stored)


def _check_type(kind: Any, where: str, *, model: bool) -> None:
    """Raise for a type that is not numbers or text; a model's arrays are numbers only."""
    if isinstance(kind, h5t.TypeIntegerID | h5t.TypeFloatID) and kind.get_size() <= (8 if model else 16):
        return
    if isinstance(kind, h5t.TypeEnumID):
        return _check_type(kind.get_super(), where, model=model)
    if not model and isinstance(kind, h5t.TypeStringID | h5t.TypeFloatID):
        return None
    if not model and isinstance(kind, h5t.TypeArrayID):
        return _check_type(kind.get_super(), where, model=model)
    if not model and isinstance(kind, h5t.TypeCompoundID):
        for i in range(kind.get_nmembers()):
            _check_type(kind.get_member_type(i), where, model=model)
        return None
    name = type(kind).__name__.removeprefix("Type").removesuffix("ID").lower()
    words = {
        "vlen": "objects of variable length",
        "reference": "references",
        "opaque": "opaque bytes",
        "string": "text",
    }
    raise ChromatellError(
        f"{where} holds {words.get(name, name)} (HDF5 type {name!r}), which could hide anything, a pickle for one; "
        f"only {'numbers' if model else 'numbers and text'} may stand there. {REFUSED}"
    )


def _check_filters(plist: Any, where: str, model: bool) -> list[int]:
    filters = [plist.get_filter(i)[0] for i in range(plist.get_nfilters())]
    for code in filters:
        known = code in _MODEL_FILTERS or (not model and code in _PLUGINS)
        if not known:
            raise ChromatellError(
                f"{where} is compressed by HDF5 filter {code}, which is not one that is read here. "
                "Write the file again with ctl.io.write(mdata, path, compression='gzip')."
            )
        if not h5z.filter_avail(code):
            raise ChromatellError(
                f"{where} is compressed by HDF5 filter {code}, which is not installed: pip install hdf5plugin, then "
                "import hdf5plugin first."
            )
    return filters


def _check_chunks(dataset: h5d.DatasetID, where: str, chunk: int) -> None:
    sizes = [chunk]
    if dataset.get_num_chunks() > 100_000:
        raise ChromatellError(f"{where} is cut into over 100,000 chunks, which no model needs. {REFUSED}")
    dataset.chunk_iter(lambda info: sizes.append(info.size))
    if max(sizes) > _MAX_CHUNK:
        raise ChromatellError(
            f"{where} has a compressed chunk of {max(sizes)} bytes, at most {_MAX_CHUNK} are read since it "
            f"could inflate to gigabytes. {REFUSED}"
        )
