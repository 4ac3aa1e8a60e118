"""Models: ``ctl.models``. Each family is imported where it is first used."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chromatell._validate import ChromatellError

if TYPE_CHECKING:
    from chromatell.models._base import ChromatinModel

# name of the family, as stored in a record -> where its class is
FAMILIES = {
    "dense": ("chromatell.models.dense", "Dense"),
    "xchrom": ("chromatell.models.xchrom", "XChrom"),
    "atacformer": ("chromatell.models.atacformer", "AtacFormer"),
    "nascent": ("chromatell.models.nascent", "Nascent"),
}

__all__ = [*(name for _, name in FAMILIES.values()), "load"]


def family_class(family: str) -> type[ChromatinModel]:
    """Return the class of a family, by the name that its records carry."""
    if family not in FAMILIES:
        raise ChromatellError(
            f"The model is of family {family!r}; this chromatell knows {sorted(FAMILIES)}. Upgrade: pip install -U "
            "chromatell."
        )
    module, name = FAMILIES[family]
    return getattr(importlib.import_module(module), name)


def load(source: Any, *, key: str | None = None) -> ChromatinModel:
    """Return a trained model, of whatever family, from where it is stored. Nothing in the source is executed.

    Parameters
    ----------
    source
        A `.h5mu`, `.zarr` or exported model (path), a MuData or BinnedTracks that carries a model, or a
        `chromatell.io.Record`. Only the model of a file is read, never its cells.
    key
        Which model, where there are several.

    Raises
    ------
    ChromatellError
        There is no such model, it was altered (its hash does not match), or it is of a newer schema.

    Examples
    --------
    >>> import chromatell as ctl
    >>> model = ctl.models.load("shared.h5mu")  # doctest: +SKIP
    """
    from anndata import AnnData
    from mudata import MuData

    from chromatell.data.tracks import BinnedTracks
    from chromatell.io._file import read_record_file
    from chromatell.io._record import Record
    from chromatell.io._uns_store import read_record

    if isinstance(source, str | Path):
        record = read_record_file(source, key)
    elif isinstance(source, MuData | AnnData | BinnedTracks):
        record = read_record(source, key)
    elif isinstance(source, Record):
        record = source
    else:
        raise ChromatellError(f"A model is a path, a MuData, BinnedTracks or a Record; got {type(source).__name__}.")
    return family_class(record.family).from_record(record)


def __getattr__(name: str) -> Any:
    if name in FAMILIES:
        return importlib.import_module(FAMILIES[name][0])
    for module, class_name in FAMILIES.values():
        if name == class_name:
            return getattr(importlib.import_module(module), name)
    raise AttributeError(f"module 'chromatell.models' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
