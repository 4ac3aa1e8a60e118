"""Predictions inside a MuData, ``mdata.mod['atac_pred']``: one way in, one way out, for models, baselines and tools."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from mudata import MuData

from chromatell._compat import layer_names, no_pull
from chromatell._keys import (
    ATAC,
    ATAC_PRED,
    AUROC,
    AUROC_DEPTH_MATCHED,
    CAUTION,
    GAIN,
    OUT_OF_RANGE,
    PRED_PREFIX,
    PREDICTABLE,
    PREDICTIONS,
    PROVENANCE,
    REGION,
    SPLIT,
    UNS,
    UNSURE,
    X_KEY,
)
from chromatell._nearest import names_there
from chromatell._validate import ChromatellError, examples, same_names, store_key, warn
from chromatell.io._zarr_reader import open_prediction

_CAUTION = (
    "Predicted values are smooth over like cells, so that cells are not independent: sc.tl.rank_genes_groups and other "
    "tests of cells call far too many regions on them. Take ctl.tl.rank_regions(mdata, groupby)."
)
_MANY_OUT = 0.25  # share of a query's cells out of range from which that is said


def write_prediction(
    mdata: MuData, key: str, values: np.ndarray, regions: pd.Index, provenance: dict[str, Any], *, main: bool = True
) -> None:
    """Write one prediction into ``mdata.mod['atac_pred']``.

    `X` holds the most recent model; ``layers[key]`` holds the others. Baselines and other tools' outputs
    (``main=False``) go to a layer unless nothing is in `X` yet.

    Parameters
    ----------
    values
        Probabilities, float32 (n_obs, n regions), or CSR of the best of each cell; rows are the cells of `mdata`.
    regions
        Names of the regions, as in ``mdata.mod['atac']`` where that is there.
    provenance
        Plain strings and numbers: model family, hash, depth mode, seed.

    Raises
    ------
    ChromatellError
        ``atac_pred`` is there with other regions.
    """
    store_key(key)
    values = values if sp.issparse(values) else np.ascontiguousarray(values, dtype=np.float32)
    record = {k: v for k, v in provenance.items() if v is not None}
    record["date"] = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    pred = mdata.mod.get(ATAC_PRED)
    if pred is None:
        pred = _new_modality(mdata, key, values, regions)
        attach(mdata, ATAC_PRED, pred)
    else:
        check_regions(mdata, regions, key)
        current = pred.uns[UNS][X_KEY]
        if pred.isbacked and (main or current == key or pred.is_view):  # the file stays as it is, also opened with "r+"
            pred = mdata.mod[ATAC_PRED] = pred.to_memory()
        if current == key or main:
            _drop_scores(pred)
        if current == key:
            pred.X = values
        elif main:
            pred.layers[current] = pred.X
            pred.layers.pop(key, None)
            pred.X = values
            pred.uns[UNS][X_KEY] = key
        else:
            pred.layers[key] = values
    pred.uns[UNS].setdefault(PROVENANCE, {})[key] = record


def _drop_scores(pred: AnnData) -> None:
    """Remove what was told of the prediction that was in X: scores of cells and regions, and how unsure it was."""
    for table in (pred.obs, pred.var):
        for name in [n for n in (AUROC, AUROC_DEPTH_MATCHED, GAIN, PREDICTABLE, UNSURE) if n in table]:
            del table[name]


def check_regions(mdata: MuData, regions: pd.Index, key: str) -> None:
    """Raise where ``mdata.mod['atac_pred']`` is there and cannot take a prediction `key` of these regions."""
    pred = mdata.mod.get(ATAC_PRED)
    if pred is None:
        return
    check_cells_in_order(mdata)
    if not same_names(_names_of(pred), pd.Index(regions).astype(str)):
        raise ChromatellError(
            f"mdata.mod['atac_pred'] holds {pred.n_vars} regions that are not the {len(regions)} of {key!r}. All "
            "predictions of one MuData share their regions; remove the old ones first: del mdata.mod['atac_pred']; "
            "mdata.update()."
        )


def check_cells_in_order(mdata: MuData) -> None:
    """Raise where ``mdata.mod['atac_pred']`` is there with other cells than `mdata`, or in another order."""
    pred = mdata.mod.get(ATAC_PRED)
    if pred is None or same_names(pred.obs_names, mdata.obs_names):
        return
    if len(pred.obs_names) == mdata.n_obs and pred.obs_names.isin(mdata.obs_names).all():
        raise ChromatellError(
            "mdata.mod['atac_pred'] holds the cells of mdata in another order. Bring all modalities into one: "
            "mdata.update(); mdata = mdata[mdata.obs_names].copy()."
        )
    raise ChromatellError(
        f"mdata.mod['atac_pred'] holds {pred.n_obs:,} cells that are not the {mdata.n_obs:,} of mdata. Remove it and "
        "predict again: del mdata.mod['atac_pred']; mdata.update()."
    )


def _names_of(pred: AnnData) -> pd.Index:
    """Return the target modality's names of the regions of ``atac_pred``, which must be of this package.

    Where the column was lost on the way, the names of the variables still hold them.
    """
    names = pred.var_names.astype(str)
    prefixed = bool(len(names)) and bool(names.str.startswith(PRED_PREFIX).all())
    named = REGION in pred.var or prefixed
    if named and X_KEY not in pred.uns.get(UNS, {}):
        raise ChromatellError(
            "mdata.mod['atac_pred'] has lost its .uns, which names its predictions and says what they were trained on: "
            "concat drops it. Predict again, from the file that holds the model: del mdata.mod['atac_pred']; "
            "mdata.update(); mdata = ctl.tl.predict(mdata, model='trained.h5mu')."
        )
    if not named:
        raise ChromatellError(
            "mdata.mod['atac_pred'] is not of this package, which keeps its predictions there. Rename yours: "
            "mdata.mod['other'] = mdata.mod.pop('atac_pred'); mdata.update()."
        )
    return pd.Index(pred.var[REGION].astype(str)) if REGION in pred.var else names.str.removeprefix(PRED_PREFIX)


@contextlib.contextmanager
def written_together(data: MuData | AnnData) -> Iterator[None]:
    """Keep all that is written inside, or, where an error comes in between, nothing: model, prediction, provenance."""
    if isinstance(data, MuData):
        _up_to_date(data)
    uns = _dicts(dict(data.uns))
    tables = [(data, data.obs.copy(), data.var.copy())]
    mods = dict(data.mod) if isinstance(data, MuData) else {}
    fields = [(a, name, dict(getattr(a, name))) for a in (*mods.values(), data) for name in ("obsm", "varm")]
    fields += [(a, "layers", {k: a.layers[k] for k in layer_names(a)}) for a in mods.values()]
    tables += [(a, a.obs.copy(), a.var.copy()) for a in mods.values()]
    pred = mods.get(ATAC_PRED)
    x, said = (None, {}) if pred is None else (pred.X, _dicts(dict(pred.uns)))
    try:
        yield
    except BaseException:
        if isinstance(data, MuData) and set(data.mod) != set(mods):
            for name in set(data.mod) - set(mods):
                del data.mod[name]
            with no_pull():
                data.update()
        for owner, obs, var in tables:
            if not owner.obs.equals(obs):
                owner.obs = obs
            if not owner.var.equals(var):
                owner.var = var
        for owner, name, value in fields:
            _put_back(getattr(owner, name), value)
        _put_back(data.uns, uns)
        if pred is not None:
            if isinstance(data, MuData) and data.mod[ATAC_PRED] is not pred:
                data.mod[ATAC_PRED] = pred
            if not pred.isbacked:
                pred.X = x
            _put_back(pred.uns, said)
        raise


def _dicts(value: dict[str, Any]) -> dict[str, Any]:
    """Return a dict with its dicts made anew, all the way down; what they hold is shared."""
    return {k: _dicts(v) if isinstance(v, dict) else v for k, v in value.items()}


def _put_back(current: Any, value: dict[str, Any]) -> None:
    for name in [k for k in current if k not in value and k is not None]:  # None: X, of anndata 0.13
        del current[name]
    for name, item in value.items():
        if name not in current or current[name] is not item:
            current[name] = item


def prediction_keys(mdata: MuData) -> list[str]:
    """Return the keys of the predictions of `mdata`: that in `X`, those in `layers`, those in Zarr stores beside it."""
    pred = mdata.mod.get(ATAC_PRED)
    stores = [str(k) for k in mdata.uns.get(UNS, {}).get(PREDICTIONS, {})]
    if pred is None:
        return stores
    x_key = pred.uns.get(UNS, {}).get(X_KEY, ATAC_PRED)
    layers = layer_names(pred)
    return [x_key, *(k for k in layers if k != x_key), *(k for k in stores if k != x_key and k not in layers)]


def read_prediction(mdata: MuData, key: str) -> Any:
    """Return one prediction, (n_obs, n regions): float32, or read when it is used where it lies in a Zarr store.

    Rows are the cells of `mdata`, found by name.

    Raises
    ------
    ChromatellError
        There is none of that name, and the message lists those there are; or it lacks cells of `mdata`.
    """
    keys = prediction_keys(mdata)
    if key not in keys:
        raise ChromatellError(
            f"No prediction {key!r} in mdata.mod['atac_pred']; there: {names_there(keys, key)}. Run "
            f"ctl.tl.dense(mdata, key_added={key!r}) or, where that is a baseline, ctl.tl.baseline(mdata, {key!r})."
        )
    pred = mdata.mod.get(ATAC_PRED)
    if pred is None or key not in (keys[0], *layer_names(pred)):
        stored = open_prediction(mdata, key)
        return _of_cells(_whole(stored.X, key), stored.obs_names, mdata, key)
    prediction = np.asarray(_whole(pred.X if key == keys[0] else pred.layers[key], key))
    return _of_cells(prediction, pred.obs_names, mdata, key)


def _of_cells(prediction: Any, held: pd.Index, mdata: MuData, key: str) -> Any:
    """Return the rows of the cells of `mdata`, of a prediction that holds the cells `held`."""
    if same_names(held, mdata.obs_names):
        return prediction
    rows = held.get_indexer(mdata.obs_names) if held.is_unique else np.full(mdata.n_obs, -1)
    if (rows < 0).any():
        raise ChromatellError(
            f"The prediction {key!r} holds {int((rows >= 0).sum()):,} of the {mdata.n_obs:,} cells of mdata; it lacks "
            f"{examples(mdata.obs_names[rows < 0])}. Predict all of them, ctl.tl.predict(mdata, model), or keep those "
            f"that were predicted: predicted = {_holder(mdata, key)}.obs_names; "
            "mdata = mdata[mdata.obs_names.isin(predicted)].copy()."
        )
    return prediction[rows]


def _holder(mdata: MuData, key: str) -> str:
    """Return what the user calls that which holds a prediction."""
    pred = mdata.mod.get(ATAC_PRED)
    if pred is not None and (key in layer_names(pred) or key == pred.uns.get(UNS, {}).get(X_KEY, ATAC_PRED)):
        return "mdata.mod['atac_pred']"
    return f"ctl.io.open_prediction(mdata, {key!r})"


def _whole(prediction: Any, key: str) -> Any:
    """Return a prediction; raise where it is not of all regions."""
    if sp.issparse(prediction) or hasattr(prediction, "format"):  # in memory or in a store
        raise ChromatellError(
            f"The prediction {key!r} holds the most probable regions of each cell alone (top_k=): what is left out is "
            "not predicted to be closed. Predict all, ctl.tl.predict(data, model) without top_k=."
        )
    return prediction


def predicted_regions(mdata: MuData) -> pd.Index:
    """Return the target modality's names of the regions in ``atac_pred``."""
    keys = prediction_keys(mdata)
    if ATAC_PRED not in mdata.mod and keys:
        return pd.Index(open_prediction(mdata, keys[0]).var_names.astype(str))
    if ATAC_PRED not in mdata.mod:
        raise ChromatellError("Did not find mdata.mod['atac_pred']. Run ctl.tl.dense(mdata) first.")
    return _names_of(mdata.mod[ATAC_PRED])


def _new_modality(mdata: MuData, key: str, values: np.ndarray, regions: pd.Index) -> AnnData:
    regions = pd.Index(regions).astype(str)
    var = pd.DataFrame({REGION: regions.to_numpy()}, index=PRED_PREFIX + regions)
    if ATAC in mdata.mod and regions.isin(mdata.mod[ATAC].var_names).all():
        source = mdata.mod[ATAC].var.loc[regions]
        for name in source.columns:
            if name != REGION:
                var[name] = source[name].to_numpy()
    obs = pd.DataFrame(index=mdata.obs_names)
    if SPLIT in mdata.obs:
        obs[SPLIT] = mdata.obs[SPLIT].to_numpy()
        obs[SPLIT] = obs[SPLIT].astype("category")
    return AnnData(values, obs=obs, var=var, uns={UNS: {X_KEY: key, CAUTION: _CAUTION}})


def of_groups(obs: pd.DataFrame, key: str, values: np.ndarray, regions: pd.Index) -> AnnData:
    """Return what stands in ``mod['atac_pred']`` where predictions are means of groups of cells, one a row of `obs`."""
    regions = pd.Index(regions).astype(str)
    var = pd.DataFrame({REGION: regions.to_numpy()}, index=PRED_PREFIX + regions)
    return AnnData(values, obs=obs, var=var, uns={UNS: {X_KEY: key}})


def attach(mdata: MuData, name: str, adata: AnnData) -> None:
    """Add or replace a modality and bring the shapes up to date; the user's own columns keep values and dtypes."""
    _up_to_date(mdata)
    obs, var = mdata.obs.copy(), mdata.var.copy()
    before = {n: held.var_names for n, held in mdata.mod.items()}
    mdata.mod[name] = adata
    with no_pull():
        mdata.update()
    for column in obs:
        mdata.obs[column] = obs[column].reindex(mdata.obs_names)
    rows = _rows_of_var(mdata, before, name)
    for column in var:  # by place: the new modality comes last, and names may be shared between modalities
        old = var[column].reset_index(drop=True)
        filled = old.reindex(rows).set_axis(mdata.var_names)
        if (rows >= 0).all():
            mdata.var[column] = filled.astype(old.dtype).array
            continue
        if pd.api.types.is_integer_dtype(old.dtype):
            filled = filled.astype("Int64")  # an int column would turn into float with NaN
        elif pd.api.types.is_bool_dtype(old.dtype):
            filled = filled.astype("boolean")
        mdata.var[column] = filled.array


def _up_to_date(mdata: MuData) -> None:
    """Drop the rows of a modality that was removed without `update`."""
    if mdata.n_vars != sum(adata.n_vars for adata in mdata.mod.values()):
        with no_pull():
            mdata.update()


def _rows_of_var(mdata: MuData, before: Mapping[str, pd.Index], name: str) -> np.ndarray:
    """Return the former row of ``mdata.var`` for each row that is there now, -1 where there is none.

    `before` holds the former variables of each modality, of which `name` is new or another one. A predicted region
    takes the values of the region itself: columns keep their dtypes, without a missing value.
    """
    first = dict(zip(before, np.cumsum([0, *map(len, before.values())]), strict=False))
    parts = []
    for one, adata in mdata.mod.items():
        place, source = np.arange(adata.n_vars), one  # as they were, though names may repeat
        if one == name and not (one in before and adata.var_names.equals(before[one])):
            source = one if one in before else ATAC
            names = adata.var_names if one in before else adata.var.get(REGION, pd.Series(dtype=str)).astype(str)
            known = before.get(source, pd.Index([]))
            usable = known.is_unique and len(names) == adata.n_vars
            place = known.get_indexer(pd.Index(names)) if usable else np.full(adata.n_vars, -1)
        parts.append(np.where(place < 0, -1, place + first.get(source, 0)))
    return np.concatenate(parts)


def write_out_of_range(mdata: MuData, distance: np.ndarray | None, *, query: bool = False) -> None:
    """Write how far cells lie from the training cells into ``atac_pred.obs``; for a `query` warn where many are out."""
    if distance is None:
        return
    share = float((distance > 1).mean())
    if query and share > _MANY_OUT:
        warn(
            f"{share:.0%} of the {len(distance)} cells are out of the range of the training cells (of validation cells "
            f"5% are): what is predicted for them is extrapolated. See mod['atac_pred'].obs[{OUT_OF_RANGE!r}], above 1."
        )
    if ATAC_PRED in mdata.mod:  # not where the prediction lies in a store
        mdata.mod[ATAC_PRED].obs[OUT_OF_RANGE] = distance


def write_cell_columns(adata: AnnData, obs: dict[str, pd.Categorical], obsm: dict[str, np.ndarray]) -> None:
    """Write what a model says of cells: columns of `obs`, arrays of `obsm`."""
    for name, column in obs.items():
        adata.obs[name] = column
    for name, array in obsm.items():
        adata.obsm[name] = array
