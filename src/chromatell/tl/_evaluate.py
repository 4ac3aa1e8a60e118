"""``ctl.tl.evaluate``: predictions beside the baselines that they must beat, in views that depth cannot buy."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from anndata import AnnData
from mudata import MuData

from chromatell._dask import current_client
from chromatell._keys import ATAC, EVALUATION, RNA
from chromatell._nearest import keyword_meant
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
    client: Any = None,
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
        Keys of predictions in ``atac_pred``, or of tracks; None takes every one there. For cells x bins, keys of
        models, or a dict of names and models, or of what `chromatell.models.load` takes, such as paths; an empty list
        scores baselines alone.
    baselines
        Kinds of `ctl.tl.baseline`, fitted here on the training cells; None takes none. 'all' takes each that the data
        allows: for training regions those that know them by their ATAC, for held-out ones those that read sequence.
    split
        The cells and regions to score: 'test', 'val' or 'train'.
    pairs
        Some of 'cross-cell' (cells of `split` x training regions; named 'cross-sample' where cells were split in whole
        groups, such as donors), 'cross-region' (training cells x regions of `split`) and 'cross-both' (cells x regions
        of `split`). None takes each that the data and the predictions allow; without held-out regions that is the
        first. For cells x bins: 'completion', 'labels' and 'embedding'; with one of these, the models of a MuData that
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
        Seed of the bootstrap, the baselines and the drawn labels; None follows ``ctl.settings.seed``.
    client
        A `dask.distributed.Client`: its workers fit and tune the baselines and score, a prediction each; each is sent
        the data once. None takes the current client, if one was made, else scores here. The numbers are the same.
    key_added
        Name of the table in ``mdata.uns['ctl']``; another name than 'evaluation' is put before the names of the other
        two too: `<key_added>_gains`, `<key_added>_curves`.
    options
        Options of one kind of data, see the table in Notes. `motifs`: a MEME file, or names in JASPAR, or what else
        ``ctl.genome.motifs.read_motifs`` takes, for the baseline `motif_ridge`. `removed`: share of each scored cell's
        open bins that is taken out and asked for; default 0.2. `targets`: names of the tracks to score; default all of
        the role. `resolutions`: bp over which a track is averaged; default (50, 1000, 10000). `threshold`: a bin is a
        peak where the raw target is above; one number, or one a target; default 0. `within`: score bins in these
        regions only, such as those that were measured: a BED file, a table, or names; default all. `block`: bp of the
        windows that are resampled; default 1 Mb.

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
        target assay, are shown but never chosen. `ahead` is the baseline that is best on the scored pairs where any is
        above the chosen one by its interval, else ''; `gain_over_ahead` is what is left of the gain over that one (NaN
        where there is none): few validation cells may choose a baseline that another beats.
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
        Scores of the model in `X`, cross-cell; NaN for other cells and regions and where a class is absent. Not touched
        where these pairs are not scored.
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
    What is scored follows from the data; each kind has a page in the user guide that defines its views, baselines and
    intervals: New cells, New regions, Cells x bins, Tracks.

    ======================================================  ========================  ============  ==============
    option                                                  cells                     cells x bins  tracks
    ======================================================  ========================  ============  ==============
    models, baselines, split, views, n_bootstrap, seed      yes                       yes           yes
    client, key_added, copy                                 yes                       yes           yes
    models as a dict of models                              no                        yes           no
    pairs, labels, depth_key, top, max_regions, layer       yes                       yes           no
    rna, atac                                               yes                       of a MuData   no
    regions                                                 names, or 'predictable'   bins          chromosomes
    motifs                                                  yes                       no            no
    removed                                                 no                        yes           no
    targets, resolutions, threshold, within, block          no                        no            yes
    ======================================================  ========================  ============  ==============

    Intervals are paired: all predictions see the same resamples, of what is new: cells, or whole groups of a split by
    group; held-out regions, in windows of 1 Mb; both; blocks of the genome. Baselines are fitted on what is training
    data, and tuned for each view on validation data, on which the one that a model is measured against is chosen: on
    at most 2,000 validation cells, drawn at random by `seed` (tuned on 1,000, and 2,000 regions); `ctl_gain` and
    `ctl_predictable` are of all validation cells. Without validation data it is chosen on the scored ones, which
    favours the baseline and warns.

    Held-out regions are scored for predictions that were made without their ATAC: not for `Dense`, nor for one that
    was stored before ``pp.split_regions`` or with another split. In another data set, regions that a model
    has read are known by name, and by place: over 5% of them, in half their bases. Another tool's are taken on trust.

    Peak memory: one prediction for what is scored at a time, float32, about three times over, and up to 0.2 GB of
    neighbours and sums over them, which serve the next option of a baseline.

    References
    ----------
    Efron, Annals of Statistics 1979; DeLong et al., Biometrics 1988; Bickel et al., Annals of Applied Statistics 2010
    (windows of the genome); Owen, Annals of Applied Statistics 2007 (cells and regions); Kuensch, Annals of
    Statistics 1989 (blocks).

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
        models,
        baselines,
        split,
        pairs,
        views,
        labels,
        depth_key,
        n_bootstrap,
        top,
        regions,
        max_regions,
        seed,
        current_client(client),
        options,
    )
    kind = next((t for t in TASKS if t.takes(mdata, request)), None)
    if kind is None:
        raise ChromatellError(
            f"evaluate() takes a MuData, an AnnData of cells x bins or BinnedTracks; got {type(mdata).__name__}."
        )
    if unknown := sorted(set(options) - set(kind.own_options)):
        known = [*kind.own_options, *inspect.signature(evaluate).parameters]
        every = "; ".join(f"of {t.called}: {list(t.own_options)}" for t in TASKS if t.own_options)
        raise ChromatellError(
            f"{unknown} are no options for {kind.called}. There are, {every}.{keyword_meant(unknown[0], known)}"
        )
    shared = inspect.signature(evaluate).parameters
    no_use = [name for name in kind.no_options if getattr(request, name, None) not in (None, shared[name].default)]
    if no_use:
        raise ChromatellError(f"{no_use} are no options for {kind.called}. Leave them out.")
    return run(kind(mdata, request), mdata, request, key_added, copy=copy)
