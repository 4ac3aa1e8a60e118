"""``ctl.tl.evaluate``: predictions beside the baselines that they must beat, in views that depth cannot buy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from anndata import AnnData
from mudata import MuData

from chromatell._keys import ATAC, EVALUATION, RNA
from chromatell._validate import ChromatellError
from chromatell.data.named import Layer, modalities
from chromatell.data.tracks import BinnedTracks
from chromatell.evaluation.run import Request, run
from chromatell.evaluation.tasks import TASKS


@modalities
def evaluate(
    mdata: MuData | AnnData | BinnedTracks,
    models: str | Sequence[str] | Mapping[str, Any] | None = None,
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
    rna: str = RNA,
    atac: str = ATAC,
    layer: Layer = None,
    copy: bool = False,
    **options: Any,
) -> MuData | AnnData | BinnedTracks | None:
    """Score predictions on held-out cells, regions or bins beside baselines, in every view, with paired intervals.

    Parameters
    ----------
    mdata
        Modalities `rna`, `atac` and `atac_pred` of the same cells, with ``obs['ctl_split']``, and with
        ``mdata.mod['atac'].var['ctl_split']`` where regions were held out. Or an AnnData of cells x bins with models
        that read a cell's own open bins, such as those of ``ctl.tl.atacformer(adata)``; or BinnedTracks with
        predictions, after ``ctl.pp.split_regions``: see Notes for either.
    models
        Keys of predictions in ``atac_pred``, or of tracks; None takes every one there. Of cells x bins, keys of models,
        or a dict of names and models, or of what `chromatell.models.load` takes, such as paths; an empty list scores
        baselines alone.
    baselines
        Kinds of `ctl.tl.baseline`, fitted here on the training cells; None takes none. 'all' takes each that the data
        allows: for training regions those that know them by their ATAC, for held-out ones those that read sequence.
    split
        The cells and regions to score: 'test', 'val' or 'train'.
    pairs
        Some of 'cross-cell' (cells of `split` x training regions; named 'cross-sample' where cells were split in whole
        groups, such as donors), 'cross-region' (training cells x regions of `split`) and 'cross-both' (cells x regions
        of `split`). None takes each that the data and the predictions allow; without held-out regions that is the
        first. Of cells x bins: 'completion', 'labels' and 'embedding'; with one of these, the models of a MuData that
        read its modality `atac` are scored, as they are by themselves where it has such and no prediction.
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
    options
        For cells x bins only. `removed`: share of each scored cell's open bins that is taken out and asked for; default
        0.2.

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
        target assay, such as one with ``depth='observed'``, is an upper bound; of cells x bins all do, the baselines as
        well.
    ``mdata.uns['ctl']['gains']`` : pandas.DataFrame
        `model`, `baseline`, `split`, `pairs`, `view`, `metric`, `gain`, `ci_low`, `ci_high`, `n`: model minus the
        baseline that is best on the *validation* pairs in that view and metric, which are the scored ones with 'val'
        in place of `split`; positive is better (`ece` and `brier` are turned round). References, which read the
        target assay, are shown but never chosen.
    ``mdata.uns['ctl']['input_gains']`` : pandas.DataFrame
        Where a scored model reads other modalities beside expression (``ctl.tl.dense(inputs=...)``), what each adds
        in new cells: `input`, `split`, `pairs`, `view`, `metric`, `with_it`, `without_it`, `gain`, `ci_low`,
        `ci_high`, `n`. It is ridge regression on all inputs, minus ridge regression fitted anew without this one: a
        network that is fed a mean in its place would be asked about cells that there are none of. The baselines
        `knn`, `ridge` and `svd_ridge` read the inputs that the models read.
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
        NaN, or one that was trained on more than 5% of the cells to score (fewer are a warning), or on bins to score
        of the same sample, since the split has changed; for `pairs` that were asked for: no such cells or regions, or
        no prediction made without the held-out regions. Nothing was changed.

    Notes
    -----
    Views. `overall`: all (cell, region) pairs, AUROC, AP and ``(AP - p) / (1 - p)`` at prevalence p. `per_cell`: over
    regions, mean over cells with both classes. `per_region`: over cells, mean over regions with both classes.
    `depth_matched`: per region, AUROC over pairs of cells whose true depths differ by at most 3%: inside strata of
    depth, a stratum of k open and n closed cells weighted by ``k n / (k + n)``; then the mean over the `top` regions.
    Depth alone scores .500 to .505. `within_type`: AUROC within labels of at least 50 cells, unweighted mean over
    labels; `within_type_depth_matched`: within labels and strata of depth, weighted as above. `profile`: correlation of
    pseudobulk over regions, mean over labels of at least 20 cells, and of its deviation from the mean over labels.
    `calibration`: expected calibration error (15 bins of equal mass) and Brier score. `self_expected`, for models only:
    the score if labels were drawn from the predicted probabilities; a diagnostic, since over-confidence raises it.

    Intervals are paired: all predictions see the same resamples, of what is new. Cross-cell, cells are drawn, or whole
    groups where ``pp.split_cells(by=...)`` split by group (Efron 1979). Cross-region, the training cells stand as they
    are and regions are drawn, in stretches of 1 Mb, since neighbours are alike (Bickel et al., Annals of Applied
    Statistics 2010); singly where they fall in fewer than 20. Cross-both, both are drawn, independently, and the two
    changes add up: the pigeonhole bootstrap (Owen, Annals of Applied Statistics 2007) to first order, on the safe side.

    Per-cell scores and Brier are means over cells. Overall scores and calibration error come from 2,048 bins of the
    score, exact values shifted by the change of the binned ones. The mean over regions of a score over cells is
    linearised in the cells: a replicate adds up their influences (DeLong 1988; Efron's infinitesimal jackknife), see
    :func:`chromatell.metrics.delong.region_auroc`; so is the mean over cells of a score over regions. Profiles are
    recomputed (Spearman in fewer replicates where long). A baseline that is tuned stands in each view with the option
    that is best in it on validation cells (`within_type` with that of `depth_matched`). Without validation pairs the
    baseline is chosen on the scored ones, which favours the baseline and warns.

    Held-out regions are scored for predictions that were made without their ATAC: not for `Dense`, nor for one that
    was stored before ``pp.split_regions``, where that is known. Another tool's are taken on trust.

    Peak memory: one prediction for the scored pairs at a time, float32 (cells, regions), about four times over.

    Cells x bins. All that is scored reads the cell's own open bins, models and baselines alike: those in use that the
    models know. Three kinds of pairs:

    - 'completion': `removed` of each cell's open bins is taken out at random (a whole number, rounded), and of all bins
      that are then closed it is asked which these were. Views: `overall` and `per_cell`, AP and AUROC; `depth_matched`,
      for each bin the AUROC among cells in which it was not seen and whose true depths differ by at most 3%, over the
      `top` bins.
      Baselines: `bin_frequency_depth`, share of training cells x the cell's open bins; `lsi_knn`, the mean of the
      training cells nearest in latent semantic indexing; `svd`, projection on leading singular vectors.
    - 'labels', for each label that a model was trained with (the view is its column): macro-F1 and accuracy of whole
      cells. Baselines: `lsi_logistic`, logistic regression on LSI; `majority`.
    - 'embedding': the share of a cell's 15 nearest scored cells that have its label, in the model's embedding of whole
      cells, beside `lsi`. The view is the column `labels`; of a model that was trained with it ``<column>_supervised``,
      since its embedding has been shown the labels of the training cells. At most 10,000 cells, drawn at random.

    Baselines are fitted on training cells; numbers of neighbours, components and rank, and the penalty and weights of
    the regression, are those that do best on validation cells, treated alike. Intervals draw cells, or whole groups
    where cells were split by group. `curves` holds `pr` and `per_cell` of 'completion'. Peak memory: one prediction
    for the scored cells x bins, float32, about four times over; where one would be above ``ctl.settings.dense_limit``
    a random subset of the cells is scored, which is logged. `max_regions` and a list of `regions` score some of the
    bins; all are read.

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

    Cells x bins, baselines alone; after ``ctl.tl.atacformer(adata)`` the model stands beside them.

    >>> adata = ctl.datasets.simulate_multiome(300, 30, 60, n_types=2, seed=0).mod["atac"]
    >>> ctl.pp.split_cells(adata, seed=0)
    >>> ctl.tl.evaluate(adata, [], views="per_cell", n_bootstrap=20)
    >>> table = adata.uns["ctl"]["evaluation"]
    >>> table.groupby("pairs", sort=False)["model"].unique().map(list).tolist()
    [['bin_frequency_depth', 'lsi_knn', 'svd'], ['lsi_logistic', 'majority'], ['lsi']]
    """
    request = Request(
        models, baselines, split, pairs, views, labels, depth_key, n_bootstrap, top, regions, max_regions, seed, options
    )
    kind = next((t for t in TASKS if t.takes(mdata, request)), None)
    if kind is None:
        raise ChromatellError(
            f"evaluate() takes a MuData, an AnnData of cells x bins or BinnedTracks; got {type(mdata).__name__}."
        )
    if unknown := sorted(set(options) - set(kind.own_options)):
        every = "; ".join(f"of {t.called}: {list(t.own_options)}" for t in TASKS if t.own_options)
        raise ChromatellError(f"{unknown} are no options for {kind.called}. There are, {every}.")
    return run(kind(mdata, request), mdata, request, key_added, copy=copy)
