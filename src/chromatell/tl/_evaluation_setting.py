"""What the user asked `tl.evaluate` for, against what the object holds: cells, regions, labels, groups, predictors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from mudata import MuData

from chromatell._keys import ATAC, ATAC_PRED, PREDICTABLE, RNA, UNS
from chromatell._settings import logger, settings
from chromatell._validate import ChromatellError, examples, one_of, paired, split_of, warn
from chromatell.data.accessibility import open_matrix, true_depth
from chromatell.data.predictions import PROVENANCE, predicted_regions, prediction_keys, read_prediction
from chromatell.metrics.bootstrap import resample
from chromatell.models import _baselines
from chromatell.tl._evaluation_scores import LABEL_VIEWS, VIEWS, Cells

_MIN_GROUPS = 3
PROBABILITY_VIEWS = ("calibration", "self_expected")  # mean nothing for ranks


@dataclass(frozen=True)
class Predictor:
    """One prediction: `predict` maps places of cells to float32 (cells, regions)."""

    name: str
    predict: Callable[[np.ndarray], np.ndarray]
    is_baseline: bool
    is_reference: bool  # reads the target assay of the cells that it predicts
    is_probability: bool = True


@dataclass(frozen=True)
class Setting:
    """The user's request against what `mdata` holds, checked."""

    mdata: MuData
    split_of_cells: np.ndarray
    views: tuple[str, ...]
    labels_key: str | None
    labels: np.ndarray | None
    depth: np.ndarray
    depth_key: str | None
    top: int
    regions: pd.Index  # those that are scored
    cols: np.ndarray  # their places in atac_pred

    @classmethod
    def read(
        cls,
        mdata: MuData,
        split: str,
        views: str | Sequence[str] | None,
        labels_key: str | None,
        depth_key: str | None,
        top: int,
        max_regions: int | None,
        wanted_regions: str | Sequence[str] | None,
        rng: np.random.Generator,
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
        code = split_of(mdata, require=(split,))
        wanted = VIEWS if views is None else tuple(one_of(v, VIEWS, "views") for v in _listed(views))
        found = None
        if labels_key is not None and set(wanted) & set(LABEL_VIEWS):
            found = _labels_or_none(mdata, labels_key)
        if found is None:
            wanted = tuple(v for v in wanted if v not in LABEL_VIEWS)
        among = _named(mdata, regions, wanted_regions)
        cols = among[_subset(len(among), int((code == split).sum()), max_regions, rng)]
        depth = true_depth(atac, depth_key)
        if not np.isfinite(depth).all() or (depth < 0).any():
            raise ChromatellError(
                f"Depth (depth_key={depth_key!r}) holds NaN or negative values. Name another column of "
                "mdata.mod['atac'].obs, or leave depth_key at None and remove that column."
            )
        return cls(mdata, code, wanted, labels_key, found, depth, depth_key, top, regions[cols], cols)

    def cells(self, split: str, n_bootstrap: int = 0, rng: np.random.Generator | None = None) -> Cells:
        """Return the cells of a split with their truth, and their bootstrap weights."""
        rows = np.flatnonzero(self.split_of_cells == split)
        atac = self.mdata.mod[ATAC]
        truth = open_matrix(atac, rows, atac.var_names.get_indexer(self.regions))
        if truth.nnz == 0 or truth.nnz == truth.shape[0] * truth.shape[1]:
            raise ChromatellError(
                f"In the {rows.size} {split!r} cells {'no' if truth.nnz == 0 else 'every'} one of the "
                f"{len(self.regions)} predicted regions is open: nothing can be ranked. Split again with more cells, "
                "ctl.pp.split_cells(mdata, fractions=(0.7, 0.1, 0.2)), or select other regions, "
                "ctl.pp.select_features(mdata)."
            )
        silent = int((np.diff(truth.indptr) == 0).sum())
        if silent and rng is not None:
            logger.info("%d of %d cells have no open region: left out of per-cell scores only.", silent, rows.size)
        weights = np.zeros((0, rows.size), dtype=np.float32)
        if n_bootstrap > 0 and rng is not None:
            weights = resample(rows.size, n_bootstrap, groups=self._groups(rows, split), seed=rng.spawn(1)[0])
        labels = None if self.labels is None else self.labels[rows]
        return Cells(rows, truth, self.depth[rows], labels, self.top, weights)

    def _groups(self, rows: np.ndarray, split: str) -> np.ndarray | None:
        """Return the groups by which cells were split; None for a random split, or too few groups to resample."""
        how = self.mdata.uns.get(UNS, {}).get("split", {})
        by = str(how.get("by", "")) if isinstance(how, dict) else ""
        if not by:
            return None
        groups = next((o[by].astype(str).to_numpy() for o in self._tables() if by in o), None)
        if groups is None:
            warn(f"Cells were split by {by!r}, which is no longer in obs: intervals come from resampled cells.")
            return None
        found = np.unique(groups[rows])
        if found.size < _MIN_GROUPS:
            warn(
                f"Cells were split by {by!r} and {split!r} holds {found.size} of its groups ({examples(found)}), too "
                "few to resample: intervals come from resampled cells and hold for these groups only."
            )
            return None
        return groups[rows]

    def _tables(self) -> list[pd.DataFrame]:
        return [self.mdata.obs, self.mdata.mod[RNA].obs, self.mdata.mod[ATAC].obs]

    def predictors(
        self, models: str | Sequence[str] | None, kinds: str | Sequence[str] | None, seed: int
    ) -> list[Predictor]:
        """Return the stored predictions asked for, then the baselines."""
        stored = prediction_keys(self.mdata)
        names = stored if models is None else _listed(models)
        pred = self.mdata.mod.get(ATAC_PRED)
        record = {} if pred is None else pred.uns.get(UNS, {}).get(PROVENANCE, {})
        result = []
        for name in dict.fromkeys(names):
            values = read_prediction(self.mdata, name)  # raises where it is not there
            origin = record.get(name, {})
            is_baseline = origin.get("family") == "baseline"
            reads_target = bool(origin.get("uses_target_assay", False))
            is_probability = origin.get("transform") != "rank"
            result.append(Predictor(name, self._from(values), is_baseline, reads_target, is_probability))
        if kinds is None:
            return result
        fitter = _baselines.BaselineFitter(
            self.mdata,
            self.regions,
            labels_key=self.labels_key if self._has_labels() else None,
            depth_key=self.depth_key,
            seed=seed,
        )
        wanted = fitter.available() if isinstance(kinds, str) and kinds == "all" else _listed(kinds)
        taken = {p.name: p for p in result}
        for kind in dict.fromkeys(wanted):
            one_of(kind, _baselines.BASELINES, "baselines")
            if kind in taken:
                if not taken[kind].is_baseline:
                    raise ChromatellError(
                        f"The prediction {kind!r} in mdata.mod['atac_pred'] has the name of a baseline. Store it under "
                        "another key: ctl.tl.add_prediction(mdata, values, key='mine')."
                    )
                continue
            result.append(Predictor(kind, partial(fitter.predict, kind), True, kind in _baselines.REFERENCES))
        return result

    def _has_labels(self) -> bool:
        return self.labels_key is not None and (
            self.labels is not None or _labels_or_none(self.mdata, self.labels_key, quiet=True) is not None
        )

    def _from(self, values: Any) -> Callable[[np.ndarray], np.ndarray]:
        whole = self.cols.size == values.shape[1]
        return lambda rows: np.asarray(values[rows] if whole else values[rows][:, self.cols])


def _labels_or_none(mdata: MuData, key: str, *, quiet: bool = False) -> np.ndarray | None:
    try:
        return _baselines.labels_of(mdata, key).to_numpy(dtype=object)
    except ChromatellError:
        if not quiet:
            logger.info(
                "No column %r in obs: views %s are left out; name one with labels=.", key, ", ".join(LABEL_VIEWS)
            )
        return None


def _named(mdata: MuData, regions: pd.Index, wanted: str | Sequence[str] | None) -> np.ndarray:
    """Return the places of the regions that the user asked for."""
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


def _subset(n_regions: int, n_cells: int, max_regions: int | None, rng: np.random.Generator) -> np.ndarray:
    limit = max_regions
    if limit is None:
        limit = max(1, settings.dense_limit // (4 * max(n_cells, 1)))
    elif limit < 1:
        raise ChromatellError(f"max_regions={max_regions} must be at least 1, or None for all.")
    if limit >= n_regions:
        return np.arange(n_regions)
    logger.info(
        "Scored on %d of %d regions, drawn at random (max_regions, ctl.settings.dense_limit).", limit, n_regions
    )
    return np.sort(rng.choice(n_regions, limit, replace=False))


def _listed(names: str | Sequence[str]) -> list[str]:
    return [names] if isinstance(names, str) else list(names)
