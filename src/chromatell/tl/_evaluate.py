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
from chromatell._settings import logger, settings
from chromatell._validate import ChromatellError, examples, one_of, store_key, warn
from chromatell.data.predictions import prediction_keys
from chromatell.data.tracks import BinnedTracks
from chromatell.metrics.views import explained_by
from chromatell.tl._evaluate_tracks import evaluate_tracks
from chromatell.tl._evaluation_pairs import (
    CROSS_BOTH,
    CROSS_CELL,
    CROSS_REGION,
    CROSS_SAMPLE,
    HELD_OUT,
    Block,
    thinned,
)
from chromatell.tl._evaluation_result import Result, choose, predictable, score_all
from chromatell.tl._evaluation_scores import DEPTH_VIEWS, Pairs
from chromatell.tl._evaluation_setting import Predictor, Setting, named
from chromatell.tl._evaluation_tables import stacked

AUROC, AUROC_DEPTH_MATCHED, GAIN = "ctl_auroc", "ctl_auroc_depth_matched", "ctl_gain"
PLACES = {CROSS_CELL: 0, CROSS_SAMPLE: 0, CROSS_REGION: 1, CROSS_BOTH: 2}
_CONFOUNDED = 0.10  # share of the variance of log depth between cell types


def evaluate(
    mdata: MuData | BinnedTracks,
    models: str | Sequence[str] | None = None,
    *,
    baselines: str | Sequence[str] | None = "all",
    split: str = "test",
    pairs: str | Sequence[str] | None = None,
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
    **track_options: Any,
) -> MuData | BinnedTracks | None:
    """Score predictions on held-out cells, regions or bins beside baselines, in every view, with paired intervals.

    Parameters
    ----------
    mdata
        Modalities `rna`, `atac` and `atac_pred` of the same cells, with ``obs['ctl_split']``, and with
        ``mdata.mod['atac'].var['ctl_split']`` where regions were held out. Or BinnedTracks with predictions, after
        ``ctl.pp.split_regions``: see Notes.
    models
        Keys of predictions in ``atac_pred``, or of tracks; None takes every one there.
    baselines
        Kinds of `ctl.tl.baseline`, fitted here on the training cells; None takes none. 'all' takes each that the data
        allows: for training regions those that know them by their ATAC, for held-out ones those that read sequence.
    split
        The cells and regions to score: 'test', 'val' or 'train'.
    pairs
        Some of 'cross-cell' (cells of `split` x training regions; named 'cross-sample' where cells were split in whole
        groups, such as donors), 'cross-region' (training cells x regions of `split`) and 'cross-both' (cells x regions
        of `split`). None takes each that the data and the predictions allow; without held-out regions that is the
        first.
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
        Score these training regions only (cross-cell): names, as in ``atac_pred.var['region']``, or 'predictable',
        those marked by an earlier call. No column of ``atac_pred`` is written then.
    max_regions
        Score a random subset of so many regions; None does so only where one prediction would be above
        ``ctl.settings.dense_limit``. Cross-region, training cells are thinned out first. Both are logged.
    seed
        Of the bootstrap, the baselines and the drawn labels; None follows ``ctl.settings.seed``.
    key_added
        Name of the table in ``mdata.uns['ctl']``; another name than 'evaluation' is put before the names of the other
        two too: `<key_added>_gains`, `<key_added>_curves`.
    copy
        Return a new object; the one that was given stays as it is.
    track_options
        For tracks only. `targets`: names of the tracks to score; default all of the role. `resolutions`: in bp; default
        (50, 1000, 10000). `threshold`: a bin is a peak where the raw target is above; one number, or one a target;
        default 0. `within`: score bins in these regions only, such as those that were measured: a BED file, a table,
        or names; default all. `block`: bp of the stretches that are resampled; default 1 Mb.

    Returns
    -------
    None, or a new object with ``copy=True``. Written:

    ``mdata.uns['ctl']['evaluation']`` : pandas.DataFrame
        `model`, `is_baseline`, `uses_target_assay` (both bool), `split`, `pairs`, `view`, `metric`, `value`, `ci_low`,
        `ci_high` (95%; NaN without), `n` (pairs, cells, regions or types behind the value). A model that uses the
        target assay, such as one with ``depth='observed'``, is an upper bound.
    ``mdata.uns['ctl']['gains']`` : pandas.DataFrame
        `model`, `baseline`, `split`, `pairs`, `view`, `metric`, `gain`, `ci_low`, `ci_high`, `n`: model minus the
        baseline that is best on the *validation* pairs in that view and metric, which are the scored ones with 'val'
        in place of `split`; positive is better (`ece` and `brier` are turned round). References, which read the
        target assay, are shown but never chosen.
    ``mdata.uns['ctl']['curves']`` : dict
        For each kind of pairs, for each prediction `pr` (2, k <= 200; recall, precision), `reliability` (3, bins; mean
        predicted, observed share, pairs; bins of equal mass), `per_cell` (n cells,) and `per_region` (n regions,)
        AUROC, all float32; and `_prevalence`, float.
    ``atac_pred.obs['ctl_auroc']``, ``atac_pred.var['ctl_auroc']``, ``.var['ctl_auroc_depth_matched']`` : float64
        Of the model in `X`, cross-cell; NaN for other cells and regions and where a class is absent. Not touched where
        these pairs are not scored.
    ``atac_pred.var['ctl_predictable']`` : bool, ``atac_pred.var['ctl_gain']`` : float64
        On the *validation* cells: whether the region's AUROC with the model in `X` is above that of the best baseline
        (paired one-sided test of DeLong, false-discovery rate 5% over the regions), and by how much.

    Raises
    ------
    ChromatellError
        No split, no prediction, a name that is not known, no open region in the cells of `split`, a prediction with
        NaN; for `pairs` that were asked for: no such cells or regions, or no prediction made without the held-out
        regions. Nothing was changed.

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

    Intervals are paired: all predictions see the same resamples, of what is new. Cross-cell, cells are drawn, or whole
    groups where ``pp.split_cells(by=...)`` split by group (Efron 1979). Cross-region, the training cells stand as they
    are and regions are drawn, in stretches of 1 Mb, since neighbours are alike (Bickel et al., Annals of Applied
    Statistics 2010); singly where they fall in fewer than 20. Cross-both, both are drawn, independently, and the two
    changes add up: the pigeonhole bootstrap (Owen, Annals of Applied Statistics 2007) to first order, on the safe side.

    Per-cell scores and Brier are means over cells. Overall scores and calibration error come from 2,048 bins of the
    score, exact values shifted by the change of the binned ones. The mean over regions of a score over cells is
    linearised in the cells: a replicate adds up their influences (DeLong 1988; Efron's infinitesimal jackknife), see
    :func:`chromatell.metrics.delong.region_auroc`; so is the mean over cells of a score over regions. Profiles are
    recomputed (Spearman in fewer replicates where long). Without validation pairs the baseline is chosen on the scored
    ones, which favours the baseline and warns.

    Held-out regions are scored for predictions that were made without their ATAC: not for `Dense`, nor for one that
    was stored before ``pp.split_regions``, where that is known. Another tool's are taken on trust.

    Peak memory: one prediction for the scored pairs at a time, float32 (cells, regions), about four times over.

    Tracks. Each predicted track is scored against its target in the usable bins of `split`, over all chromosomes
    (`chrom` is 'all') and in each; `regions` names some. The tables have columns `target`, `chrom` and `resolution`
    (bp) in place of `pairs`, and there are no curves; `pairs`, `labels`, `depth_key`, `top` and `max_regions` are of
    cells. Views: `smoothed`, Pearson, Spearman and RMSE against the target as ``ctl.pp.smooth_tracks`` left it, after
    averaging over the usable bins of each stretch of a resolution (at least half of them); `raw`, the same against the
    values before smoothing; `peaks`, at the finest resolution, average precision for bins that are peaks, their
    `prevalence`, and precision, recall and F1 where a bin is called above a `threshold`, which has the best F1 on the
    validation bins. Baselines are those of :func:`chromatell.tl.baseline` for tracks. Without validation bins,
    threshold and best baseline are chosen on training bins, with a warning; either way on whole chromosomes, from the
    shortest, until they hold 2 million bins. Intervals resample blocks (Kuensch, Annals of Statistics 1989); NaN where
    fewer than five hold bins. Gains are of the metrics that stand alone, not of precision or recall. Peak memory: about
    300 bytes a bin that is scored or chosen on, and 4 bytes for each target and baseline.

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
    if isinstance(mdata, BinnedTracks):
        _only_of_cells(pairs=pairs, depth_key=depth_key, max_regions=max_regions)
        common: dict[str, Any] = {
            "views": views,
            "regions": regions,
            "n_bootstrap": n_bootstrap,
            "seed": seed,
            "key_added": key_added,
        }
        return evaluate_tracks(mdata, models, baselines=baselines, split=split, copy=copy, **common, **track_options)
    if track_options:
        raise ChromatellError(f"{sorted(track_options)} are no options for cells; of tracks they are.")
    store_key(key_added)
    one_of(split, SPLITS, "split")
    if n_bootstrap < 0 or top < 1:
        raise ChromatellError(f"n_bootstrap={n_bootstrap} must be at least 0 and top={top} at least 1.")
    seed = settings.resolve_seed(seed)
    setting = Setting.read(mdata, split, views, labels, depth_key, top)
    among = named(mdata, setting.regions, regions)
    kinds = _kinds(setting, pairs, split, only_cells=regions is not None)
    stored = setting.stored(models)
    kinds = _scorable(kinds, stored, asked=pairs is not None)
    # two streams a kind, the same for a kind whichever others are scored
    streams = np.random.SeedSequence(seed).spawn(2 * len(PLACES))
    rng = {k: [np.random.default_rng(s) for s in streams[2 * PLACES[k] : 2 * PLACES[k] + 2]] for k in kinds}
    blocks = {k: thinned(setting.splits.block(k, split, among), k, max_regions, rng[k][0]) for k in kinds}
    if not all(b.cols.size for b in blocks.values()):
        raise ChromatellError(
            "All regions asked for are held out (mdata.mod['atac'].var['ctl_split']); regions= takes training regions. "
            "Score the held-out ones with pairs='cross-region' or 'cross-both'."
        )
    chosen_on = {k: _validation(setting, k, blocks[k], max_regions, rng[k][0]) for k in kinds}
    cols = np.concatenate([b.cols for b in (*blocks.values(), *chosen_on.values())])
    predictors = [*stored, *setting.baselines(baselines, kinds, cols, stored, seed)]

    results = {}
    n_scored = sum(p.scores(k) for p in predictors for k in kinds)
    with progress("Scoring", n_scored, "predictions") as advance:
        for kind in kinds:
            here = [p for p in predictors if p.scores(kind)]
            scored = setting.pairs(kind, split, blocks[kind], n_bootstrap, rng[kind][1])
            if kind == kinds[0]:
                _warn_of_confounding(scored, setting.views)
            scores = score_all(setting, scored, here, rng[kind][1], advance)
            results[kind] = Result(scored, here, scores, *choose(setting, kind, here, scores, chosen_on[kind]))
    tables = {
        key_added: stacked([r.evaluation(split, k) for k, r in results.items()]),
        _beside(key_added, GAINS): stacked([r.gains(split, k) for k, r in results.items()]),
        _beside(key_added, CURVES): {k: r.curves() for k, r in results.items()},
    }
    x_key = prediction_keys(mdata)[0]
    own = results.get(setting.splits.cell_kind)
    passed = None if own is None else predictable(own, x_key)
    target = mdata.copy() if copy else mdata
    target.uns[UNS] = {**target.uns.get(UNS, {}), **tables}
    if own is not None and ATAC_PRED in target.mod and regions is None:
        _write_columns(target.mod[ATAC_PRED], own, x_key, passed)
    return target if copy else None


def _only_of_cells(**options: Any) -> None:
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise ChromatellError(f"{given} are options for cells; tracks have none. Leave them out.")


def _kinds(setting: Setting, pairs: str | Sequence[str] | None, split: str, *, only_cells: bool) -> list[str]:
    """Return the kinds of pairs to score; `only_cells` where regions were named, which makes sense for one of them."""
    if only_cells and pairs is None:
        return [setting.splits.cell_kind]
    kinds = setting.splits.kinds(pairs, split)
    if only_cells and set(kinds) & set(HELD_OUT):
        raise ChromatellError(
            f"regions= scores some of the training regions, and pairs={pairs!r} needs held-out ones. Leave one of the "
            "two out."
        )
    if not kinds:
        raise ChromatellError(
            f"None of the {len(setting.regions)} predicted regions is a training region, and there is no cell or "
            f"region that is {split!r}. Split again: ctl.pp.split_cells(mdata), ctl.pp.split_regions(mdata)."
        )
    return kinds


def _scorable(kinds: list[str], stored: list[Predictor], *, asked: bool) -> list[str]:
    """Return the kinds for which there is a prediction, and say which predictions are left out of some."""
    without = [p.name for p in stored if not p.unseen]
    held_out = [k for k in kinds if k in HELD_OUT]
    if not held_out or not without:
        return kinds
    if len(without) < len(stored):
        logger.info("Has read the held-out regions' ATAC, or was made with another split: not scored in %s: %s.",
                    ", ".join(held_out), ", ".join(without))  # fmt: skip
        return kinds
    if asked:
        raise ChromatellError(
            f"pairs={held_out[0]!r} needs a prediction that has not read the ATAC of the held-out regions; "
            f"{examples(without)} has, or was made with another split. Train one with ctl.tl.xchrom(mdata), or predict "
            "again after ctl.pp.split_regions(mdata)."
        )
    logger.info("No prediction was made without the held-out regions' ATAC: %s not scored.", ", ".join(held_out))
    return [k for k in kinds if k not in HELD_OUT]


def _validation(setting: Setting, kind: str, block: Block, max_regions: int | None, rng: np.random.Generator) -> Block:
    """Return the pairs on which the best baseline is chosen: as the scored ones, with 'val' in place of the split."""
    found = setting.splits.block(kind, VAL, np.arange(len(setting.regions)))
    if kind not in HELD_OUT:
        return Block(found.rows, block.cols)
    if kind == CROSS_REGION:
        found = Block(block.rows, found.cols)
    return thinned(found, kind, max_regions, rng)


def _write_columns(pred: AnnData, result: Result, x_key: str, passed: tuple[np.ndarray, np.ndarray] | None) -> None:
    """Write the metrics columns of the model in `X`; those that were not computed this time are removed."""
    scores, rows, cols = result.scores.get(x_key), result.pairs.rows, result.pairs.cols
    curves: dict[str, np.ndarray] = {} if scores is None else scores.curves

    def put(table: pd.DataFrame, name: str, where: np.ndarray, values: Any, fill: float | bool) -> None:
        if values is None:
            if name in table:
                del table[name]
            return
        full = np.full(len(table), fill)
        full[where] = values
        table[name] = full

    gain, found = (None, None) if passed is None else passed
    put(pred.obs, AUROC, rows, curves.get("per_cell"), np.nan)
    put(pred.var, AUROC, cols, curves.get("per_region"), np.nan)
    put(pred.var, AUROC_DEPTH_MATCHED, cols, None if scores is None else scores.depth_matched, np.nan)
    put(pred.var, GAIN, cols, gain, np.nan)
    put(pred.var, PREDICTABLE, cols, found, False)


def _warn_of_confounding(pairs: Pairs, views: Iterable[str]) -> None:
    if pairs.labels is None or not set(views) & set(DEPTH_VIEWS):
        return
    share = explained_by(pairs.labels, np.log1p(pairs.depth))
    if share > _CONFOUNDED:
        warn(
            f"Cell type explains {share:.0%} of the variance of log depth: matching cells by depth then removes "
            "biology too, so read the depth-matched scores beside view 'within_type'."
        )


def _beside(key_added: str, name: str) -> str:
    return name if key_added == EVALUATION else f"{key_added}_{name}"
