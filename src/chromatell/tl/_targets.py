"""What `baseline`, `add_prediction` and `fisher` ask of the user's object alike."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd
from mudata import MuData

from chromatell._keys import ATAC, ATAC_PRED, PROVENANCE, UNS
from chromatell._settings import check_fits
from chromatell._validate import ChromatellError, modality, store_key
from chromatell.data.accessibility import selected
from chromatell.data.predictions import predicted_regions, prediction_keys

_MEASURED = "{key!r} names what was measured; choose another, such as '{key}_mine'."


def target_regions(mdata: MuData) -> pd.Index:
    """Return the regions that a new prediction must have: those of ``atac_pred``, else the selected ones."""
    if isinstance(mdata, MuData) and ATAC_PRED in mdata.mod:
        return predicted_regions(mdata)
    atac = modality(mdata, ATAC)
    regions = atac.var_names[selected(atac)]
    if not len(regions):
        raise ChromatellError("No region is selected (atac.var['ctl_selected']). Run ctl.pp.select_features(mdata).")
    return regions


def fits_in_memory(n_cells: int, n_regions: int) -> None:
    """Raise where a dense float32 matrix would be above ``ctl.settings.dense_limit``."""
    size = 4 * n_cells * n_regions
    check_fits(
        size,
        f"{n_cells} cells x {n_regions} regions as dense float32 take",
        f"Use fewer regions, ctl.pp.select_features(mdata, n_regions=...), or allow it: ctl.settings.dense_limit = "
        f"{size}.",
    )


def model_key(key: str, baselines: Iterable[str]) -> str:
    """Return the name of a model and its prediction; raise where it cannot be stored or is that of a baseline."""
    if key == ATAC:
        raise ChromatellError(_MEASURED.format(key=key))
    if store_key(key) in baselines:
        raise ChromatellError(f"{key!r} is the name of a baseline; choose another, such as '{key}_mine'.")
    return key


def replaceable(mdata: MuData, key: str, family: str) -> None:
    """Raise where `key` cannot be stored, or names a prediction of another family: that one is not written over."""
    if store_key(key) == ATAC:
        raise ChromatellError(_MEASURED.format(key=key))
    if key not in prediction_keys(mdata):
        return
    provenance = mdata.mod[ATAC_PRED].uns.get(UNS, {}).get(PROVENANCE, {}).get(key, {})
    stored = str(provenance.get("family", "unknown"))
    if stored != family:
        raise ChromatellError(
            f"mdata.mod['atac_pred'] already holds {key!r}, of family {stored!r}, which would be lost. Choose another "
            "key."
        )
