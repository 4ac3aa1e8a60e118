"""What the user asked `tl.evaluate` for, against what the object holds: cells, regions, labels, groups, predictors."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from mudata import MuData

from chromatell._keys import ATAC, ATAC_PRED, HELD_OUT_DIGEST, MODELS, PREDICTABLE, PREDICTIONS, PROVENANCE, TRAIN, UNS
from chromatell._settings import logger
from chromatell._validate import ChromatellError, examples, one_of, paired, region_split_of
from chromatell.data.accessibility import open_matrix, true_depth
from chromatell.data.predictions import predicted_regions, prediction_keys, read_prediction
from chromatell.models import _baselines
from chromatell.models._baseline_kinds import UNSEEN, held_out_digest
from chromatell.models._trained_on import check_cells
from chromatell.tl._add_prediction import FAMILY as EXTERNAL
from chromatell.tl._evaluation_pairs import (
    CROSS_REGION,
    HELD_OUT,
    Block,
    Splits,
    cell_weights,
    read_splits,
    region_weights,
)
from chromatell.tl._evaluation_scores import LABEL_VIEWS, VIEWS, Pairs

PROBABILITY_VIEWS = ("calibration", "self_expected")  # mean nothing for ranks
_READS_EACH_REGION = ("dense", "atacformer")  # families that know a region by its ATAC, and so none that was held out


@dataclass(frozen=True)
class Predictor:
    """One prediction: `predict` maps places of cells and of regions to float32 (cells, regions)."""

    name: str
    predict: Callable[[np.ndarray, np.ndarray], np.ndarray]
    is_baseline: bool
    is_reference: bool  # reads the target assay of the cells that it predicts
    is_probability: bool = True
    seen: bool = True  # is scored on training regions
    unseen: bool = True  # is scored on held-out regions, whose ATAC it has not read

    def scores(self, kind: str) -> bool:
        """Return whether it belongs on the board of a kind of pairs."""
        return self.unseen if kind in HELD_OUT else self.seen


@dataclass(frozen=True)
class Setting:
    """The user's request against what `mdata` holds, checked."""

    mdata: MuData
    splits: Splits
    views: tuple[str, ...]
    labels_key: str | None
    labels: np.ndarray | None
    depth: np.ndarray
    depth_key: str | None
    top: int
    regions: pd.Index  # those that are predicted
    places: np.ndarray  # theirs in mdata.mod['atac']

    @classmethod
    def read(
        cls,
        mdata: MuData,
        split: str,
        views: str | Sequence[str] | None,
        labels_key: str | None,
        depth_key: str | None,
        top: int,
    ) -> Setting:
        rna, atac = paired(mdata)
        regions = predicted_regions(mdata)
        if ATAC_PRED in mdata.mod and not mdata.mod[ATAC_PRED].obs_names.equals(rna.obs_names):
            raise ChromatellError(
                "mdata.mod['atac_pred'] does not hold the cells of mdata.mod['rna'] in their order. Remove it and "
                "predict again: del mdata.mod['atac_pred']."
            )
        unknown = regions[~regions.isin(atac.var_names)]
        if len(unknown):
            raise ChromatellError(
                f"{len(unknown)} of {len(regions)} predicted regions (such as {examples(unknown)}) are not in "
                "mdata.mod['atac'], so their truth is not known. Predict its regions: del "
                "mdata.mod['atac_pred'], then ctl.tl.dense(mdata)."
            )
        places = atac.var_names.get_indexer(regions)
        splits = read_splits(mdata, regions, region_split_of(atac)[places], split, labels_key)
        wanted = VIEWS if views is None else tuple(one_of(v, VIEWS, "views") for v in listed(views))
        found = None
        if labels_key is not None and set(wanted) & set(LABEL_VIEWS):
            found = _labels_or_none(mdata, labels_key)
        if found is None:
            wanted = tuple(v for v in wanted if v not in LABEL_VIEWS)
        depth = true_depth(atac, depth_key)
        return cls(mdata, splits, wanted, labels_key, found, depth, depth_key, top, regions, places)

    def pairs(
        self, kind: str, part: str, block: Block, n_bootstrap: int = 0, rng: np.random.Generator | None = None
    ) -> Pairs:
        """Return the pairs of a block with their truth; with `rng`, which is so for the scored ones, the resamples."""
        rows, cols, atac = block.rows, block.cols, self.mdata.mod[ATAC]
        truth = open_matrix(atac, rows, self.places[cols])
        if truth.nnz == 0 or truth.nnz == truth.shape[0] * truth.shape[1]:
            raise ChromatellError(
                f"In the {rows.size} {TRAIN if kind == CROSS_REGION else part!r} cells "
                f"{'no' if truth.nnz == 0 else 'every'} one of the {cols.size} predicted regions is open (pairs "
                f"{kind!r}): nothing can be ranked. Split again with more cells, ctl.pp.split_cells(mdata, "
                "fractions=(0.7, 0.1, 0.2)), or select other regions, ctl.pp.select_features(mdata)."
            )
        silent = int((np.diff(truth.indptr) == 0).sum())
        if silent and rng is not None:
            logger.info("%d of %d cells have no open region: left out of per-cell scores only.", silent, rows.size)
        by_cell = np.zeros((0, rows.size), dtype=np.float32)
        by_region = np.zeros((0, cols.size), dtype=np.float32)
        if n_bootstrap > 0 and rng is not None:
            if kind != CROSS_REGION:
                by_cell = cell_weights(self.mdata, rows, part, n_bootstrap, rng.spawn(1)[0])
            if kind in HELD_OUT:
                by_region = region_weights(atac, self.places[cols], n_bootstrap, rng.spawn(1)[0])
        labels = None if self.labels is None else self.labels[rows]
        return Pairs(rows, cols, truth, self.depth[rows], labels, self.top, by_cell, by_region)

    def stored(self, models: str | Sequence[str] | None) -> list[Predictor]:
        """Return the stored predictions asked for."""
        names = prediction_keys(self.mdata) if models is None else listed(models)
        digest = held_out_digest(self.mdata.mod[ATAC])
        result = []
        for name in dict.fromkeys(names):
            values = read_prediction(self.mdata, name)  # raises where it is not there
            origin = _origin(self.mdata, name)
            result.append(
                Predictor(
                    name,
                    _from(values),
                    is_baseline=origin.get("family") == "baseline",
                    is_reference=bool(origin.get("uses_target_assay", False)),
                    is_probability=origin.get("transform") != "rank",
                    unseen=_has_not_read(origin, digest),
                )
            )
        return result

    def refuse_trained(self, predictors: Iterable[Predictor], kinds: Iterable[str], part: str) -> None:
        """Raise where cells of `part` would be scored that a stored prediction was trained on."""
        if set(kinds) <= {CROSS_REGION}:  # of training cells, as it must be
            return
        cells = self.mdata.obs_names[self.splits.cells == part]
        for predictor in predictors:
            refuse_trained(self.mdata, predictor.name, cells, part)

    def baselines(
        self,
        kinds: str | Sequence[str] | None,
        pairs: Sequence[str],
        cols: np.ndarray,
        taken: list[Predictor],
        seed: int,
    ) -> list[Predictor]:
        """Return the baselines asked for beside the stored predictions; `cols` are all regions that are scored."""
        if kinds is None:
            return []
        cols = np.unique(cols)
        fitter = _baselines.BaselineFitter(
            self.mdata,
            self.regions[cols],
            labels_key=self.labels_key if self._has_labels() else None,
            depth_key=self.depth_key,
            seed=seed,
        )
        every = isinstance(kinds, str) and kinds == "all"
        # on training regions the sequence baselines are far below svd_ridge: shown where they are asked for
        seen = [k for k in fitter.available() if k not in _baselines.SEQUENCE_BASELINES] if every else listed(kinds)
        unseen = fitter.available(held_out=True) if every else [k for k in seen if k in UNSEEN]
        by_name = {p.name: p for p in taken}
        result = []
        for kind in dict.fromkeys([*seen, *unseen]):
            one_of(kind, _baselines.BASELINES, "baselines")
            if kind in by_name:
                if not by_name[kind].is_baseline:
                    raise ChromatellError(
                        f"The prediction {kind!r} in mdata.mod['atac_pred'] has the name of a baseline. Store it under "
                        "another key: ctl.tl.add_prediction(mdata, values, key='mine')."
                    )
                continue
            if kind not in unseen and all(name in HELD_OUT for name in pairs):
                raise ChromatellError(
                    f"baselines={kind!r} knows a region by its ATAC, which is held out in the pairs {list(pairs)}. "
                    f"Choose among {', '.join(UNSEEN)}, or baselines='all'."
                )
            result.append(_fitted(fitter, kind, cols, seen=kind in seen, unseen=kind in unseen))
        order = list(_baselines.BASELINES)
        return sorted(result, key=lambda p: order.index(p.name)) if every else result

    def _has_labels(self) -> bool:
        return self.labels_key is not None and (
            self.labels is not None or _labels_or_none(self.mdata, self.labels_key, quiet=True) is not None
        )


def _from(values: Any) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    def predict(rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
        if cols.size == values.shape[1]:
            return np.asarray(values[rows])
        return values[np.ix_(rows, cols)] if isinstance(values, np.ndarray) else np.asarray(values[rows][:, cols])

    return predict


def _fitted(fitter: _baselines.BaselineFitter, kind: str, cols: np.ndarray, *, seen: bool, unseen: bool) -> Predictor:
    def predict(rows: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        return fitter.predict(kind, rows, np.searchsorted(cols, wanted))

    return Predictor(kind, predict, True, kind in _baselines.REFERENCES, seen=seen, unseen=unseen)


def _has_not_read(origin: Any, digest: str) -> bool:
    """Return whether a stored prediction was made without the ATAC of the regions that are held out now."""
    if origin.get("family") in _READS_EACH_REGION:
        return False
    if HELD_OUT_DIGEST in origin:
        return str(origin[HELD_OUT_DIGEST]) == digest
    return origin.get("family") != "baseline" or bool(origin.get("uses_target_assay", False))


def _origin(mdata: MuData, name: str) -> Any:
    """Return where a prediction comes from; of one in a Zarr store, at least the family of the model of its name."""
    pred, own = mdata.mod.get(ATAC_PRED), mdata.uns.get(UNS, {})
    record = {} if pred is None else pred.uns.get(UNS, {}).get(PROVENANCE, {})
    if name in record or (pred is not None and name in pred.layers):
        return record.get(name, {})
    manifest = own.get(MODELS, {}).get(name, {}).get("manifest")
    family = {} if manifest is None else {"family": json.loads(str(manifest)).get("family", "")}
    return {**family, **own.get(PREDICTIONS, {}).get(name, {}).get(PROVENANCE, {})}


def refuse_trained(mdata: MuData, name: str, cells: pd.Index, part: str) -> None:
    """Raise where a stored prediction was trained on these cells of `part`; another tool's is taken on trust."""
    origin = _origin(mdata, name)
    if origin.get("family") != EXTERNAL:
        check_cells(origin, cells, name=name, part=part)


def _labels_or_none(mdata: MuData, key: str, *, quiet: bool = False) -> np.ndarray | None:
    try:
        return _baselines.labels_of(mdata, key).to_numpy(dtype=object)
    except ChromatellError:
        if not quiet:
            logger.info(
                "No column %r in obs: views %s are left out; name one with labels=.", key, ", ".join(LABEL_VIEWS)
            )
        return None


def named(mdata: MuData, regions: pd.Index, wanted: str | Sequence[str] | None) -> np.ndarray:
    """Return the places of the regions that the user asked for among the predicted ones."""
    if wanted is None:
        return np.arange(len(regions))
    if isinstance(wanted, str):
        one_of(wanted, ("predictable",), "regions")
        pred = mdata.mod.get(ATAC_PRED)
        if pred is None or PREDICTABLE not in pred.var:
            raise ChromatellError(
                f"Did not find mdata.mod['atac_pred'].var[{PREDICTABLE!r}]. Run ctl.tl.evaluate(mdata) first, with "
                "validation cells."
            )
        places = np.flatnonzero(pred.var[PREDICTABLE].to_numpy(dtype=bool))
        if places.size == 0:
            raise ChromatellError(
                f"None of the {len(regions)} regions is predictable: on the validation cells no gain over the best "
                "baseline stands up to a false-discovery rate of 5%. Score all of them: regions=None."
            )
        return places
    places = regions.get_indexer(pd.Index(wanted))
    if (places < 0).any() or len(set(places)) < len(places) or not len(places):
        unknown = pd.Index(wanted)[places < 0]
        raise ChromatellError(
            f"{len(unknown)} of the {len(places)} regions asked for are not predicted (such as {examples(unknown)}), "
            "or one is named twice. Names are those of mdata.mod['atac_pred'].var['region']."
        )
    return places


def listed(names: str | Iterable[str]) -> list[str]:
    """Return names as a list, one name too."""
    return [names] if isinstance(names, str) else list(names)
