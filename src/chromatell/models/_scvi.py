"""scvi-tools' side of the models. It takes seconds to import, so it is where data is set up, not where it is predicted.

A family's class stands alone: a stored model is read, and predicts, without scvi-tools. The class that registers data
and that a model made from data is of, is made of it here, with scvi-tools' base behind it.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import rich.pretty  # noqa: F401  # scvi-tools' view_anndata_setup uses it without importing it
from anndata import AnnData
from mudata import MuData
from scvi.data import AnnDataManager, fields
from scvi.model.base import BaseModelClass

from chromatell._keys import ATAC, RNA
from chromatell._validate import ChromatellError, called, labelled, warn
from chromatell.data.covariates import find_obs
from chromatell.data.tracks import BinnedTracks
from chromatell.models._support import type_of

_FEW = 20  # batches may be as many as half of the cells up to here


@cache
def scvi_class(family: type) -> Any:
    """Return a family's class, of the same name, with scvi-tools' `BaseModelClass` behind it."""
    if issubclass(family, BaseModelClass):
        return family
    own = {name: getattr(family, name) for name in ("__module__", "__qualname__", "__doc__")}
    own |= {"_take": _take, "_release": _release, "adata": BaseModelClass.adata}
    return type(BaseModelClass)(family.__name__, (family, BaseModelClass), own)


def _take(model: Any, data: Any) -> None:
    """Begin as scvi-tools does: with registered cells, or with an empty registry where it knows no such data."""
    if data is None or (model.declared.tracks and isinstance(data, BinnedTracks)):  # scvi-tools registers neither
        BaseModelClass.__init__(
            model, registry={"field_registries": {}, "model_name": type(model).__name__, "setup_args": {}}
        )
        model._adata = data
        return
    if not isinstance(data, MuData | AnnData) or model._get_most_recent_anndata_manager(data) is None:
        name = type(model).__name__
        raise ChromatellError(f"{type_of(data)} is not set up: {name}.setup_mudata(mdata) comes first.")
    BaseModelClass.__init__(model, data)


def _release(model: Any) -> None:
    """Drop scvi-tools' registrations of the data."""
    if isinstance(model._adata, MuData | AnnData):
        model.deregister_manager(model._adata)
        model._per_instance_manager_store.pop(model.id, None)
    model._adata = model._adata_manager = None


def register_paired(family: Any, mdata: MuData, setup_args: dict[str, Any], also: list[Any] | None = None) -> None:
    """Register `rna` and `atac` of paired cells, and further fields, for a family of models."""
    registered = [
        fields.MuDataLayerField("X", None, is_count_data=False, mod_key=RNA, mod_required=True),
        fields.MuDataLayerField("atac", None, is_count_data=False, mod_key=ATAC, mod_required=True),
        *(also or []),
    ]
    _register(family, mdata, registered, setup_args)


def register_bins(family: Any, data: AnnData | MuData, setup_args: dict[str, Any]) -> None:
    """Register cells x bins for a family of models."""
    field: Any = fields.LayerField("X", None, is_count_data=False)
    if isinstance(data, MuData):
        field = fields.MuDataLayerField("atac", None, is_count_data=False, mod_key=ATAC, mod_required=True)
    _register(family, data, [field], setup_args)


def _register(family: Any, data: AnnData | MuData, registered: list[Any], setup_args: dict[str, Any]) -> None:
    method = "setup_mudata" if isinstance(data, MuData) else "setup_anndata"
    names = {"model_name": family.__name__, "setup_method_name": method, "setup_args": setup_args}
    manager = AnnDataManager(fields=registered, setup_method_args=names)
    manager.register_fields(data)
    scvi_class(family).register_manager(manager)


def covariate_fields(mdata: MuData, batch_key: str | None, continuous: list[str]) -> list[Any]:
    """Return scvi-tools' fields of a column of labels and of columns of numbers, of `mdata.obs` or a modality's.

    Raises
    ------
    ChromatellError
        There is no such column, or numbers stand where labels should.
    """
    batch_mod = find_obs(mdata, batch_key)
    if batch_key is not None:
        source = mdata if batch_mod is None else mdata.mod[batch_mod]
        labelled(source.obs[batch_key], batch_key, "mdata" if batch_mod is None else called(batch_mod))
        n = int(source.obs[batch_key].nunique())
        if n == 1:
            warn(f"batch_key={batch_key!r} has one value in all cells: there is nothing to correct.")
        if n > max(_FEW, len(source.obs) / 2):
            raise ChromatellError(
                f"batch_key={batch_key!r} has {n:,} values in {len(source.obs):,} cells, so that hardly one is seen "
                f"twice. Numbers go to continuous_covariate_keys=[{batch_key!r}]; or name a column of batches."
            )
    numbers = [fields.MuDataNumericalObsField(key, key, mod_key=find_obs(mdata, key)) for key in continuous]
    return [fields.MuDataCategoricalObsField("batch", batch_key, mod_key=batch_mod), *numbers]
