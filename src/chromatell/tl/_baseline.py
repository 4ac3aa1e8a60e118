"""``ctl.tl.baseline``: a simple predictor, written as if it were a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from mudata import MuData

from chromatell._dask import current_client, in_order, shared
from chromatell._docs import documented
from chromatell._keys import ATAC, BASELINE, HELD_OUT_DIGEST, READS_REGION_ATAC, RNA, USES_TARGET_ASSAY
from chromatell._settings import settings
from chromatell._validate import ChromatellError, one_of, paired
from chromatell.data.named import Layer, modalities
from chromatell.data.predictions import check_regions, write_prediction, written_together
from chromatell.data.tracks import BinnedTracks
from chromatell.evaluation.tasks.splits import check_label_column
from chromatell.evaluation.views.registry import view_names
from chromatell.genome.motifs import Motifs
from chromatell.models._trained_on import trained_cells
from chromatell.models.baselines.cells import BASELINES, ORACLES, BaselineFitter, held_out_digest
from chromatell.models.baselines.parts import blocks
from chromatell.tl._targets import fits_in_memory, replaceable, target_regions
from chromatell.tl._track_baseline import track_baseline


@modalities
@documented("workers")
def baseline(
    mdata: MuData | BinnedTracks,
    kind: str = "region_mean",
    *,
    view: str = "calibration",
    key_added: str | None = None,
    labels: str = "cell_type",
    depth_key: str | None = None,
    motifs: Motifs | None = None,
    inputs: Sequence[str] = (RNA,),
    seed: int | None = None,
    client: Any = None,
    rna: str = RNA,
    atac: str = ATAC,
    layer: Layer = None,
    copy: bool = False,
) -> MuData | BinnedTracks | None:
    """Write a simple predictor into ``mdata.mod['atac_pred']``, or beside tracks, as if it were a model.

    Fitted on the training cells, tuned on the validation cells, predicted for every cell. Where regions are split
    (``mdata.mod['atac'].var['ctl_split']``), nothing but the two references reads the ATAC of a held-out region. Those
    of tracks are fitted on the usable training bins.

    Parameters
    ----------
    mdata
        Modalities `rna` and `atac` of the same cells, with ``obs['ctl_split']``. Regions are those of ``atac_pred``
        where that is there, else the selected ones. Or BinnedTracks with tracks of role 'target'.
    kind
        `region_mean`, the share of training cells in which the region is open; `region_mean_depth`, the same x the
        depth predicted from expression; `celltype_mean`, region mean within the cell's label; `knn`, mean over the
        nearest training cells in expression and library size; `ridge`, ridge regression of each region on components of
        expression and library size; `svd_ridge`, the same to the leading components of the open matrix;
        `gene_activity`, summed expression of linked genes through a logistic map. These know a region by its ATAC: each
        held-out one gets the mean over the training regions. Others know it by its sequence, ``atac.varm['dna_code']``:
        `gc`, GC content; `gc_cpg`, that and CpG; `gc_cpg_tss`, these and the distance to the nearest TSS
        (``ctl.pp.annotate_regions``); `kmer_ridge`, GC, CpG and 5-mers, which predict the region's mean and its
        response to expression; `motif_ridge`, the same from GC, CpG, the distance to the nearest TSS where it is known,
        and the hits and best scores of `motifs`; each x the predicted depth. And two references read the ATAC of the
        very cells that they predict: `region_mean_true_depth` and `knn_atac`, neighbours in the cell's own ATAC on the
        other chromosomes.

        For tracks: `mean` of the training bins; `log_signal`, least squares on the log of the input in 5 kb; `ridge`,
        on the log sums around the bin that boosted trees read too; and, a reference, `other_targets`, the mean of the
        other targets there, in standard deviations.
    view
        The view of ``ctl.tl.evaluate`` in which what is tuned shall be best on the validation cells, 'calibration' by
        the Brier score. Those of tracks are tuned by their squared error.
    key_added
        Name of the prediction; None takes `kind`. Predicted tracks are named ``'<target>_<key_added>'``.
    labels
        Column of ``mdata.obs`` or of a modality's `obs` with cell types; read by `celltype_mean` only.
    depth_key
        Column of ``mdata.mod['atac'].obs`` with each cell's fragments; None looks for the usual ones, then sums the
        counts. Tracks have none.
    motifs
        For `motif_ridge`: what ``ctl.genome.motifs.read_motifs`` takes, such as a file in MEME format, names of JASPAR,
        or ``ctl.genome.motifs.family_motifs()``.
    inputs
        What `knn`, `ridge` and `svd_ridge` read: `rna`, and other modalities as ``ctl.tl.dense`` reads them.
    seed
        None follows ``ctl.settings.seed``. Those of tracks draw nothing.

    Returns
    -------
    None, or a new object with ``copy=True``. Written:

    ``mdata.mod['atac_pred'].layers[key_added]`` : numpy.ndarray (n_obs, n regions), float32
        Probability that the region is open; in `X` where nothing was there. ``uns['ctl']['provenance'][key_added]``
        says whether the target assay was read (`uses_target_assay`), and which regions were held out (`held_out`, a
        hash, '' for none).

    Tracks get, instead, one track of role 'prediction' a target, float32, in every bin; and
    ``tracks.uns['ctl']['predictions'][key_added]``, which says what they are.

    Raises
    ------
    ChromatellError
        `kind` is not known, the data lacks what it needs (labels, links, sequences, a split), `key_added` is a
        model's, or the dense prediction is above ``ctl.settings.dense_limit``. Nothing was changed.

    Notes
    -----
    Peak memory: the predictions, n_obs x n regions float32, beside what
    :class:`~chromatell.models.baselines.cells.BaselineFitter` holds. That single-cell models must be compared with
    such predictors: Luecken et al., Nature Methods 2022.

    Examples
    --------
    >>> import chromatell as ctl
    >>> mdata = ctl.datasets.simulate_multiome(200, 30, 60, seed=0)
    >>> ctl.pp.split_cells(mdata, seed=0)
    >>> ctl.tl.baseline(mdata, "knn")
    >>> mdata.mod["atac_pred"].shape
    (200, 60)
    """
    client = current_client(client)
    if isinstance(mdata, BinnedTracks):
        return track_baseline(mdata, kind, client, key_added=key_added, copy=copy)
    one_of(kind, BASELINES, "kind")
    one_of(view, view_names("pairs"), "view")
    key = kind if key_added is None else key_added
    if motifs is not None and kind != "motif_ridge":
        raise ChromatellError(
            f"motifs= is read by the baseline 'motif_ridge', and this is {kind!r}. Leave motifs= out."
        )
    paired(mdata)
    check_label_column(mdata, labels)
    regions = target_regions(mdata)
    replaceable(mdata, key, BASELINE)
    check_regions(mdata, regions, key)
    fits_in_memory(mdata.n_obs, len(regions))
    seed = settings.resolve_seed(seed)
    labels_key = labels if kind == "celltype_mean" else None
    fitter = BaselineFitter(
        mdata,
        regions,
        labels_key=labels_key,
        depth_key=depth_key,
        seed=seed,
        motifs=motifs,
        inputs=inputs,
        views=[view],
    )
    fitted = shared(client, (fitter, kind, view), _fitted)
    values = np.empty((mdata.n_obs, len(regions)), dtype=np.float32)
    parts = list(blocks(mdata.n_obs))
    for rows, predicted in zip(
        parts, in_order(client, _predicted, ((fitted, kind, rows, view) for rows in parts)), strict=True
    ):
        values[rows] = predicted
    (chosen,) = in_order(client, BaselineFitter.chosen, [(fitted, view)])
    target = mdata.copy() if copy else mdata
    provenance = {
        "family": BASELINE,
        "kind": kind,
        "view": view,
        "labels": labels_key,
        "seed": seed,
        USES_TARGET_ASSAY: kind in ORACLES,
        READS_REGION_ATAC: False,  # it read no region that was held out when it was made, as the digest says
        HELD_OUT_DIGEST: held_out_digest(mdata.mod[ATAC]),
        **trained_cells(mdata),
        **chosen,
    }
    with written_together(target):
        write_prediction(target, key, values, regions, provenance, main=False)
    return target if copy else None


def _fitted(asked: tuple[BaselineFitter, str, str]) -> BaselineFitter:
    fitter, kind, view = asked
    fitter.option(kind, view)
    return fitter


def _predicted(fitter: BaselineFitter, kind: str, rows: slice, view: str) -> np.ndarray:
    return fitter.predict(kind, np.arange(rows.start, rows.stop), view=view)
