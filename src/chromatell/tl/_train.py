"""What every family's ``tl`` verb does: set up on a shared view, train, store the model, predict."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from chromatell._keys import (
    ATAC,
    END,
    HELD_OUT_DIGEST,
    INPUTS,
    PREDICTIONS,
    PROVENANCE,
    READS_REGION_ATAC,
    RNA,
    SPLIT,
    START,
    TEST,
    TRAIN,
    UNS,
    USES_TARGET_ASSAY,
    VAL,
)
from chromatell._validate import ChromatellError, one_of, paired, region_split_of
from chromatell.data.accessibility import selected
from chromatell.data.inputs import beside_expression
from chromatell.data.predictions import check_regions, write_out_of_range, write_prediction, written_together
from chromatell.genome.overlaps import overlaps
from chromatell.genome.regions import misplaced, places_of
from chromatell.io._replace import check_new
from chromatell.io._uns_store import write_record
from chromatell.io._zarr_writer import prediction_reference
from chromatell.models._base import ChromatinModel
from chromatell.models._cell_model import DEPTHS, CellModel
from chromatell.models._stopped import says_how_to_go_on
from chromatell.models._support import check_dense, on_first_rank, shared_view
from chromatell.models._trained_on import BY_CHANCE, INTERVALS, subset
from chromatell.models.baselines.cells import BASELINES, held_out_digest
from chromatell.tl._targets import model_key


def train_and_store(
    family: type[ChromatinModel],
    mdata: MuData,
    *,
    key: str,
    setup: dict[str, Any],
    model: dict[str, Any],
    train: dict[str, Any],
    predict: dict[str, Any],
    copy: bool,
    also: Callable[[Any, MuData], dict[tuple[str, str, str], np.ndarray]] | None = None,
) -> MuData | None:
    """Train a family on `mdata`, then write model and prediction: all is computed before anything is written.

    `also` returns what else is written: (modality, 'obsm' or 'varm', key) -> array.
    """
    model_key(key, BASELINES)
    one_of(predict["depth"], DEPTHS, "depth")
    paired(mdata)
    others = beside_expression(mdata, setup["inputs"]) if "inputs" in setup else []
    inner = shared_view(mdata, (RNA, ATAC, *others))
    family.setup_mudata(inner, **setup)
    fitted: Any = family(inner, **model)
    try:
        regions = regions_to_predict(mdata, key, out=predict.get("out"))
        fitted.train(**train)
        with while_predicting(train):
            values = once_written(fitted, inner, depth_key=setup.get("depth_key"), **predict)
            more = {} if also is None else also(fitted, inner)
            distance = fitted.out_of_range(inner)
    finally:
        fitted.clear()
    target = mdata.copy() if copy else mdata
    record = fitted.to_record()
    origin = {**provenance(fitted, predict["depth"]), HELD_OUT_DIGEST: held_out_digest(mdata.mod[ATAC])}
    with written_together(target):
        write_record(target, key, record)
        store_prediction(target, key, values, regions, origin)
        write_out_of_range(target, distance)
        for (modality, place, name), array in more.items():
            getattr(target.mod[modality], place)[name] = array
    return target if copy else None


def training(seed: int | None, train_kwargs: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the keywords of ``model.train``."""
    if not isinstance(train_kwargs, Mapping | None):
        raise ChromatellError(
            f"train_kwargs={train_kwargs!r} is a {type(train_kwargs).__name__}; a dict is needed, such as "
            "train_kwargs={'max_epochs': 10}."
        )
    return {"seed": seed, **(train_kwargs or {})}


def while_predicting(train: Mapping[str, Any]) -> AbstractContextManager[None]:
    """Return a context in which Ctrl-C says what is kept of the training, whose keywords are given."""
    what, folder = "The model is trained; its prediction was stopped, and not written.", train.get("checkpoint_dir")
    if folder is None:
        return says_how_to_go_on(what, None, "train_kwargs={'checkpoint_dir': ...}")
    from chromatell.models._checkpoint import NAME  # Lightning, which training has loaded

    return says_how_to_go_on(what, Path(folder) / NAME)


def once_written(model: Any, data: Any, *, out: Any, **predict: Any) -> np.ndarray | Path:
    """Return ``model.predict``; a store is written by the first of several processes, and read by all."""

    def write() -> Any:
        return model.predict(data, out=out, **predict)

    return write() if out is None else on_first_rank(model, write, lambda: Path(out))


def provenance(model: ChromatinModel, depth: str, cells: pd.Index | None = None) -> dict[str, Any]:
    """Return where a prediction comes from, as plain values; of the training `cells` only the hashes of those named."""
    trained: dict[str, Any] = model.trained_cells if cells is None else subset(model.trained_cells, cells)
    if INTERVALS in model.config:
        trained = {INTERVALS: model.config[INTERVALS]}
    return {
        "family": model.family,
        "package": model.to_record().card["package"],
        "hash": model.content_hash,
        "depth": depth,
        USES_TARGET_ASSAY: depth == "observed" or model.reads_atac,
        READS_REGION_ATAC: bool(model.config.get(READS_REGION_ATAC, True)),  # an older record does not say: it counts
        "seed": int(model.config.get("seed", 0)),
        **({INPUTS: json.dumps([RNA, *model.reads_beside])} if model.reads_beside else {}),
        **trained,
    }


def unread_regions(model: CellModel, data: Any) -> dict[str, str]:
    """Return the digest of the regions that are held out in `data`; nothing where the model has read their ATAC."""
    if not isinstance(data, MuData) or ATAC not in data.mod:
        return {}
    atac, read = data.mod[ATAC], model.read_regions
    split = region_split_of(atac)
    for part in (VAL, TEST):
        known = read[read[SPLIT] == TRAIN] if part == VAL else read  # as of cells: what was tuned on is no test
        if _are_among(atac[:, split == part], known):
            return {}
    return {HELD_OUT_DIGEST: held_out_digest(atac)}


def _are_among(atac: AnnData, known: pd.DataFrame) -> bool:
    """Return whether regions were read: one by its name, or more than 5% by their place, in half of their bases.

    Another data set has its own names, and borders, for the same regions; a few meet by chance.
    """
    if atac.var_names.isin(known.index).any():
        return True
    places = places_of(atac)
    places, known = (t[~misplaced(t)] for t in (places, known))
    i, _, shared = overlaps(places, known)
    bases = np.bincount(i, weights=shared, minlength=len(places))
    n = int((bases >= 0.5 * (places[END] - places[START])).sum())
    return n > BY_CHANCE * max(len(places), 1)


def regions_to_predict(mdata: MuData, key: str, *, out: Any) -> pd.Index:
    """Return the names of the selected regions; raise before training where their prediction would not fit.

    Without `out` it must fit in memory, and beside the predictions that are there; nothing may be at `out` yet.
    """
    regions = mdata.mod[ATAC].var_names[selected(mdata.mod[ATAC])]
    if out is not None:
        check_new(out)
        return regions
    check_dense(mdata.n_obs, len(regions))
    check_regions(mdata, regions, key)
    return regions


def store_prediction(
    mdata: MuData, key: str, values: np.ndarray | Path, regions: pd.Index, origin: dict[str, Any]
) -> None:
    """Write a prediction into `mdata`: itself, or name and hash of the Zarr store that holds it."""
    if isinstance(values, Path):
        stores = mdata.uns.setdefault(UNS, {}).setdefault(PREDICTIONS, {})
        known = {name: value for name, value in origin.items() if value is not None}
        stores[key] = {**prediction_reference(values), PROVENANCE: known}
    else:
        write_prediction(mdata, key, values, regions, origin)
