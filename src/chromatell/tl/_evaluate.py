"""``ctl.tl.evaluate``: predictions beside the baselines that they must beat, in views that depth cannot buy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from chromatell._keys import ATAC_PRED, CURVES, EVALUATION, GAINS, PREDICTABLE, SPLITS, UNS, VAL
from chromatell._progress import progress
from chromatell._settings import settings
from chromatell._validate import ChromatellError, one_of, store_key, warn
from chromatell.data.predictions import prediction_keys
from chromatell.metrics.delong import paired_auroc_test
from chromatell.metrics.views import explained_by
from chromatell.tl._evaluation_scores import DEPTH_VIEWS, Cells, Scores, score
from chromatell.tl._evaluation_setting import PROBABILITY_VIEWS, Predictor, Setting
from chromatell.tl._evaluation_tables import best_baselines, evaluation_table, false_discovery, gain_table

AUROC, AUROC_DEPTH_MATCHED, GAIN = "ctl_auroc", "ctl_auroc_depth_matched", "ctl_gain"
PREVALENCE = "_prevalence"
_FALSE_DISCOVERY = 0.05
_CONFOUNDED = 0.10  # share of the variance of log depth between cell types


def evaluate(
    mdata: MuData,
    models: str | Sequence[str] | None = None,
    *,
    baselines: str | Sequence[str] | None = "all",
    split: str = "test",
    views: str | Sequence[str] | None = None,
    labels: str | None = "cell_type",
    depth_key: str | None = None,
    n_bootstrap: int = 200,
    top: int = 2000,
    regions: str | Sequence[str] | None = None,
    max_regions: int | None = None,
    seed: int | None = None,
    key_added: str = EVALUATION,
    copy: bool = False,
) -> MuData | None:
    """Score predictions on held-out cells beside baselines, in every view, with paired bootstrap intervals.

    Parameters
    ----------
    mdata
        Modalities `rna`, `atac` and `atac_pred` of the same cells, with ``obs['ctl_split']``.
    models
        Keys of predictions in ``atac_pred``; None takes every one there.
    baselines
        Kinds of `ctl.tl.baseline`, fitted here on the training cells; 'all' takes each that the data allows, None none.
    split
        The cells to score: 'test', 'val' or 'train'.
    views
        Some of `overall`, `per_cell`, `per_region`, `depth_matched`, `within_type`, `within_type_depth_matched`,
        `profile`, `calibration`, `self_expected`; None takes all.
    labels
        Column with cell types, in ``mdata.obs`` or a modality's `obs`; where it is not found, or None, the views that
        need it are left out, which is logged.
    depth_key
        Column of ``mdata.mod['atac'].obs`` with each cell's fragments; None looks for the usual ones, then sums the
        counts over all regions of `atac`.
    n_bootstrap
        Bootstrap replicates; 0 computes no intervals.
    top
        Regions in the views `depth_matched` and within cell type: those open in most of the scored cells.
    regions
        Score these only: names, as in ``atac_pred.var['region']``, or 'predictable', those marked by an earlier call.
        No column of ``atac_pred`` is written then.
    max_regions
        Score a random subset of so many regions; None does so only where one prediction would be above
        ``ctl.settings.dense_limit``. The subset is logged.
    seed
        Of the bootstrap, the baselines and the drawn labels; None follows ``ctl.settings.seed``.
    key_added
        Name of the table in ``mdata.uns['ctl']``; another name than 'evaluation' is put before the names of the other
        two too: `<key_added>_gains`, `<key_added>_curves`.
    copy
        Return a new object; the one that was given stays as it is.

    Returns
    -------
    None, or a new MuData with ``copy=True``. Written:

    ``mdata.uns['ctl']['evaluation']`` : pandas.DataFrame
        `model`, `is_baseline`, `uses_target_assay` (both bool), `split`, `view`, `metric`, `value`, `ci_low`, `ci_high`
        (95%; NaN without), `n` (pairs, cells, regions or types behind the value).
    ``mdata.uns['ctl']['gains']`` : pandas.DataFrame
        `model`, `baseline`, `split`, `view`, `metric`, `gain`, `ci_low`, `ci_high`, `n`: model minus the baseline
        that is best on the *validation* cells in that view and metric; positive is better (`ece` and `brier` are
        turned round). References, which read the target assay, are shown but never chosen.
    ``mdata.uns['ctl']['curves']`` : dict
        For each prediction `pr` (2, k <= 200; recall, precision), `reliability` (3, bins; mean predicted, observed
        share, pairs; bins of equal mass), `per_cell` (n cells,) and `per_region` (n regions,) AUROC, all float32; and
        `_prevalence`, float.
    ``atac_pred.obs['ctl_auroc']``, ``atac_pred.var['ctl_auroc']``, ``.var['ctl_auroc_depth_matched']`` : float64
        Of the model in `X`; NaN for other cells and where a class is absent.
    ``atac_pred.var['ctl_predictable']`` : bool, ``atac_pred.var['ctl_gain']`` : float64
        On the *validation* cells: whether the region's AUROC with the model in `X` is above that of the best baseline
        (paired one-sided test of DeLong, false-discovery rate 5% over the regions), and by how much.

    Raises
    ------
    ChromatellError
        No split, no prediction, a name that is not known, no open region in the cells of `split`, a prediction with
        NaN. Nothing was changed.

    Notes
    -----
    Views. `overall`: all (cell, region) pairs, AUROC, AP and ``(AP - p) / (1 - p)`` at prevalence p. `per_cell`: over
    regions, mean over cells with both classes. `per_region`: over cells, mean over regions with both classes.
    `depth_matched`: per region, AUROC inside each decile of true depth, unweighted mean over the deciles with both
    classes, then over the `top` regions. `within_type`: the same within labels of at least 50 cells;
    `within_type_depth_matched`: within labels and at most 10 bins of depth of at least 20 cells. `profile`:
    correlation of pseudobulk over regions, mean over labels of at least 20 cells, and of its deviation from the mean
    over labels. `calibration`: expected calibration error (15 bins of equal mass) and Brier score. `self_expected`,
    for models only: the score if labels were drawn from the predicted probabilities; a diagnostic, since
    over-confidence raises it.

    Intervals are paired: all predictions see the same resampled cells, or whole groups where ``pp.split_cells(by=...)``
    split by group (Efron 1979). Per-cell scores and Brier are means over cells. Overall scores and calibration error
    come from 2,048 bins of the score, exact values shifted by the change of the binned ones. Scores of regions are
    linearised: a replicate adds up the cells' influences (DeLong 1988; Efron's infinitesimal jackknife), see
    :func:`chromatell.metrics.delong.region_auroc`. Profiles are recomputed (Spearman in fewer replicates where long).
    Without validation cells the baseline is chosen on the scored cells, which favours the baseline and warns.

    Peak memory: one prediction for the scored cells at a time, float32 (cells, regions), about four times over.

    Examples
    --------
    >>> import chromatell as ctl
    >>> mdata = ctl.datasets.simulate_multiome(300, 30, 60, n_types=2, seed=0)
    >>> ctl.pp.split_cells(mdata, seed=0)
    >>> ctl.tl.baseline(mdata, "knn")
    >>> ctl.tl.evaluate(mdata, baselines=["region_mean"], views=["overall", "per_cell"], n_bootstrap=20)
    >>> sorted(mdata.uns["ctl"]["evaluation"]["model"].unique())
    ['knn', 'region_mean']
    """
    store_key(key_added)
    one_of(split, SPLITS, "split")
    if n_bootstrap < 0 or top < 1:
        raise ChromatellError(f"n_bootstrap={n_bootstrap} must be at least 0 and top={top} at least 1.")
    rng = [np.random.default_rng(s) for s in np.random.SeedSequence(settings.resolve_seed(seed)).spawn(2)]
    setting = Setting.read(mdata, split, views, labels, depth_key, top, max_regions, regions, rng[0])
    predictors = setting.predictors(models, baselines, settings.resolve_seed(seed))
    cells = setting.cells(split, n_bootstrap, rng[1])
    _warn_of_confounding(cells, setting.views)

    scores: dict[str, Scores] = {}
    with progress("Scoring", len(predictors), "predictions") as advance:
        for predictor, stream in zip(predictors, rng[1].spawn(len(predictors)), strict=True):
            values = _checked(predictor.predict(cells.rows), predictor.name)
            views = tuple(v for v in setting.views if v not in PROBABILITY_VIEWS or predictor.is_probability)
            scores[predictor.name] = score(cells, values, views, rng=None if predictor.is_baseline else stream)
            advance(1)
    baseline_names = {p.name for p in predictors if p.is_baseline}
    chosen_on, best = _choose(setting, predictors, scores, rng[1])
    tables = {
        key_added: evaluation_table(scores, baseline_names, {p.name for p in predictors if p.is_reference}, split),
        _beside(key_added, GAINS): gain_table(scores, baseline_names, best, split),
        _beside(key_added, CURVES): {**{n: dict(s.curves) for n, s in scores.items()}, PREVALENCE: cells.prevalence},
    }
    x_key = prediction_keys(mdata)[0]
    predictable = _predictable(setting, chosen_on, predictors, x_key, best.get(("per_region", "auroc")))
    target = mdata.copy() if copy else mdata
    target.uns[UNS] = {**target.uns.get(UNS, {}), **tables}
    if ATAC_PRED in target.mod and regions is None:
        _write_columns(target.mod[ATAC_PRED], setting, cells, scores.get(x_key), predictable)
    return target if copy else None


def _choose(
    setting: Setting, predictors: list[Predictor], scores: dict[str, Scores], rng: np.random.Generator
) -> tuple[Cells | None, dict]:
    """Return the validation cells (None without) and the best baseline of each view and metric there."""
    candidates = [p for p in predictors if p.is_baseline and not p.is_reference]
    if not candidates or all(p.is_baseline for p in predictors):
        return None, {}
    names = tuple(v for v in setting.views if v != "self_expected")
    problem = ""
    if (setting.split_of_cells == VAL).any():
        try:
            cells = setting.cells(VAL)
        except ChromatellError:
            problem = "no pair that can be ranked in the validation cells"
    else:
        problem = "no validation cell"
    if problem:
        warn(
            f"There is {problem}: the best baseline is chosen on the scored cells themselves, and regions are not "
            "tested. Split again with ctl.pp.split_cells(mdata, fractions=(0.7, 0.1, 0.2))."
        )
        return None, best_baselines({p.name: scores[p.name] for p in candidates})
    return cells, best_baselines(
        {p.name: score(cells, _checked(p.predict(cells.rows), p.name), names) for p in candidates}
    )


def _predictable(
    setting: Setting, cells: Cells | None, predictors: list[Predictor], x_key: str, best: str | None
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return on validation cells the gain of each region, and whether it stands up to a false-discovery rate of 5%."""
    by_name = {p.name: p for p in predictors}
    if cells is None or best is None or x_key not in by_name or by_name[x_key].is_baseline:
        return None
    values = _checked(by_name[x_key].predict(cells.rows), x_key)
    gain, p = paired_auroc_test(cells.by_region, values, by_name[best].predict(cells.rows))
    tested = p < 1
    found = np.zeros(p.size, dtype=bool)
    found[tested] = false_discovery(p[tested]) <= _FALSE_DISCOVERY
    return gain, found & (gain > 0)


def _write_columns(
    pred: AnnData,
    setting: Setting,
    cells: Cells,
    scores: Scores | None,
    predictable: tuple[np.ndarray, np.ndarray] | None,
) -> None:
    """Write the metrics columns of the model in `X`; those that were not computed this time are removed."""
    curves: dict[str, np.ndarray] = {} if scores is None else scores.curves

    def put(table: pd.DataFrame, name: str, where: np.ndarray, values: Any, fill: float | bool) -> None:
        if values is None:
            if name in table:
                del table[name]
            return
        full = np.full(len(table), fill)
        full[where] = values
        table[name] = full

    gain, found = (None, None) if predictable is None else predictable
    put(pred.obs, AUROC, cells.rows, curves.get("per_cell"), np.nan)
    put(pred.var, AUROC, setting.cols, curves.get("per_region"), np.nan)
    put(pred.var, AUROC_DEPTH_MATCHED, setting.cols, None if scores is None else scores.depth_matched, np.nan)
    put(pred.var, GAIN, setting.cols, gain, np.nan)
    put(pred.var, PREDICTABLE, setting.cols, found, False)


def _warn_of_confounding(cells: Cells, views: Iterable[str]) -> None:
    if cells.labels is None or not set(views) & set(DEPTH_VIEWS):
        return
    share = explained_by(cells.labels, np.log1p(cells.depth))
    if share > _CONFOUNDED:
        warn(
            f"Cell type explains {share:.0%} of the variance of log depth: matching cells by depth then removes "
            "biology too, so read the depth-matched scores beside view 'within_type'."
        )


def _checked(values: np.ndarray, name: str) -> np.ndarray:
    values = np.ascontiguousarray(values, dtype=np.float32)
    if not np.isfinite(values).all():
        raise ChromatellError(
            f"The prediction {name!r} holds {int((~np.isfinite(values)).sum())} NaN or infinite values in the scored "
            "cells. Predict again, or leave it out: models=[...]."
        )
    return values


def _beside(key_added: str, name: str) -> str:
    return name if key_added == EVALUATION else f"{key_added}_{name}"
