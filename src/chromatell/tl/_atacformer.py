"""``ctl.tl.atacformer``: train on cells as sentences of open bins; embedding, labels, and bins from expression."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from anndata import AnnData
from mudata import MuData

from chromatell._docs import documented
from chromatell._keys import ATAC, RNA
from chromatell._rows import with_tables
from chromatell._settings import logger
from chromatell._unread import refuse_unread, usual
from chromatell._validate import (
    ChromatellError,
    check_tables,
    free_entry,
    modality,
    name_list,
    one_of,
    paired,
    unique_names,
)
from chromatell.data.named import Layer, modalities
from chromatell.data.predictions import write_cell_columns, write_out_of_range, written_together
from chromatell.io._uns_store import model_keys, read_record, write_record
from chromatell.models import family_class
from chromatell.models._cell_model import DEPTHS
from chromatell.models._support import shared_view, type_of
from chromatell.models.baselines.bins import COMPLETIONS, EMBEDDERS, LABELLERS
from chromatell.models.baselines.cells import BASELINES
from chromatell.tl._targets import model_key
from chromatell.tl._train import (
    once_written,
    provenance,
    regions_to_predict,
    store_prediction,
    training,
    while_predicting,
)


@modalities
@documented("training")
def atacformer(
    data: AnnData | MuData,
    *,
    preset: str = "small",
    decoder: str | None = None,
    labels: str | Sequence[str] | None = None,
    context: str | None = None,
    dna_key: str | None = None,
    key_added: str = "atacformer",
    pretrained: Any = None,
    depth: str = "predicted",
    out: str | Path | None = None,
    seed: int | None = None,
    train_kwargs: dict[str, Any] | None = None,
    rna: str = RNA,
    atac: str = ATAC,
    layer: Layer = None,
    copy: bool = False,
    **model_kwargs: Any,
) -> AnnData | MuData | None:
    """Train an `AtacFormer` model on cells x bins, keep it in `data`, and write what it says of every cell.

    Parameters
    ----------
    data
        AnnData of cells x bins (counts or 0 and 1), or MuData with modality `atac`, with ``obs['ctl_split']`` from
        ``ctl.pp.split_cells``. With ``var['ctl_selected']`` those bins are used.
    preset
        'small' or 'base', see `chromatell.models.AtacFormer`.
    decoder
        How the state of a bin is read off the sentence: 'chromosome'; 'region_class', after
        ``ctl.pp.annotate_regions``; or 'cross_attention'. None takes the preset's.
    labels
        Columns of `obs` of the bins (or of the MuData) to predict, such as 'cell_type'. Cells without one are let
        through.
    context
        Key of ``rna.obsm`` (of an AnnData: of its own `obsm`) that becomes one token; 'X_pca' is computed where it is
        not there. With it, a MuData gets `atac_pred`, predicted from the context alone.
    dna_key
        Key of `varm` with an embedding of each bin's DNA.
    key_added
        Name of the model and of what it writes.
    pretrained
        A model to go on from, or the path of one; bins are matched by name.
    depth
        Number of open bins at which `atac_pred` is predicted: 'predicted' from the context, 'fixed' at the training
        mean, or 'observed' (reads the cells' ATAC).
    out
        Path of a Zarr store for `atac_pred`, needed above ``ctl.settings.dense_limit``; ``uns`` then holds its name and
        hash.
    train_kwargs
        Passed to `AtacFormer.train`: `max_epochs`, `lr`, `precision`, `accelerator`, `checkpoint_dir`, ...
    model_kwargs
        Passed to `AtacFormer`: `d`, `n_layers`, `max_length`, `contrastive`, `eos`, `low`, `high`, ...

    Returns
    -------
    None, or a new object with ``copy=True``. Written, into the AnnData or ``mdata.mod['atac']``:

    ``obsm['X_atacformer']`` : numpy.ndarray
        float32 (n_obs, d): embedding of each cell. The key ends in `key_added` where that is another name.
    ``obs['<label>_atacformer']`` : categorical
        The class of highest probability.
    ``obsm['<label>_atacformer']`` : numpy.ndarray
        float32 (n_obs, n_classes): probabilities, in the order of the categories.
    ``uns['ctl']['models'][key_added]`` : dict
        The model, in the object itself: it travels with the file.

    ``mdata.mod['atac_pred']`` : AnnData
        With a context: `X`, float32 (n_obs, n bins), the probability that the bin is open.

    Raises
    ------
    ChromatellError
        The input cannot be used; nothing was changed.

    Notes
    -----
    Peak memory: the sparse matrix, bins x `k` four times, a batch of tokens, and `atac_pred`, n_obs x n bins float32.

    Examples
    --------
    >>> import chromatell as ctl
    >>> adata = ctl.datasets.simulate_multiome(300, 50, 80, seed=0).mod["atac"]
    >>> ctl.pp.split_cells(adata, seed=0)
    >>> ctl.tl.atacformer(adata, labels="cell_type", d=32, n_hidden=64, n_layers=1, train_kwargs={"max_epochs": 2})
    >>> adata.obsm["X_atacformer"].shape
    (300, 32)
    """
    check_tables(data)
    model_key(key_added, {**BASELINES, **COMPLETIONS, **LABELLERS, **EMBEDDERS})
    one_of(depth, DEPTHS, "depth")
    how = training(seed, train_kwargs)
    inner = _shared(data)
    _check_names(data, key_added, labels)
    predicts = context is not None and isinstance(data, MuData)
    given = {"depth": depth, "out": None if out is None else str(out)}
    refuse_unread(given, usual(atacformer), [(given, predicts, "predictions from context='X_pca', of a MuData")])
    family: Any = family_class("atacformer")
    setup = family.setup_mudata if isinstance(inner, MuData) else family.setup_anndata
    setup(inner, labels=labels, context=context, dna_key=dna_key)
    model = family(inner, preset=preset, decoder=decoder, pretrained=pretrained, **model_kwargs)
    try:
        regions = regions_to_predict(data, key_added, out=out) if predicts else None
        model.train(**how)
        with while_predicting(how):
            said = model.cell_columns(inner, key_added)
            values: Any = once_written(model, inner, depth=depth, out=out) if predicts else None
            distance = model.out_of_range(inner) if predicts else None
    finally:
        model.clear()
    target = data.copy() if copy else data
    record, origin = model.to_record(), provenance(model, depth)
    cells = target.mod[ATAC] if isinstance(target, MuData) else target
    with written_together(target):
        _remove_labels(cells, _label_columns(target, key_added))
        write_record(target, key_added, record)
        if regions is not None:
            store_prediction(target, key_added, values, regions, origin)
            write_out_of_range(target, distance)
        write_cell_columns(cells, *said)
    return target if copy else None


def _check_names(data: AnnData | MuData, key: str, labels: Any) -> None:
    """Raise where what is to be written of cells, other than under the usual names, would replace the user's."""
    if key == "atacformer":
        return
    from chromatell.models.atacformer._data import written_name

    cells, mine = data.mod[ATAC] if isinstance(data, MuData) else data, key in model_keys(data)
    free_entry(f"X_{key}", cells.obsm, "obsm", mine=mine)
    for label in name_list(labels, "labels"):
        free_entry(written_name(label, key), cells.obs, "obs", mine=mine)


def _label_columns(data: AnnData | MuData, key: str) -> list[str]:
    """Return the columns of the labels of the model that is there under this key, which is about to be replaced."""
    from chromatell.models.atacformer._data import written_name

    if key not in model_keys(data):
        return []
    try:
        labels = read_record(data, key).config.get("labels", {})
    except ChromatellError:  # damaged: nothing can be known of it
        logger.info("The model %r that is replaced cannot be read: columns that it wrote stay.", key)
        return []
    return [written_name(label, key) for label in labels]


def _remove_labels(adata: AnnData, columns: list[str]) -> None:
    """Remove columns of `obs` with the probabilities of the same name, as a model wrote both."""
    for name in columns:
        if name in adata.obs and name in adata.obsm:
            del adata.obs[name], adata.obsm[name]


def _shared(data: AnnData | MuData) -> AnnData | MuData:
    """Return an object that shares the matrices: what scvi-tools writes stays off the user's."""
    if isinstance(data, MuData):
        modality(data, ATAC)
        if RNA in data.mod:
            paired(data)
        return shared_view(data, tuple(name for name in (RNA, ATAC) if name in data.mod))
    if not isinstance(data, AnnData):
        raise ChromatellError(
            f"Expected an AnnData of cells x bins, or a MuData with modality 'atac'; got {type_of(data)}."
        )
    data = with_tables(data)
    unique_names(data, "")
    return AnnData(data.X, obs=data.obs.copy(), var=data.var.copy(), obsm=dict(data.obsm), varm=dict(data.varm))
