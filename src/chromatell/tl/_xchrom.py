"""``ctl.tl.xchrom``: train on paired cells and the sequences of their regions, store the model, predict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mudata import MuData

from chromatell._docs import documented
from chromatell._keys import ATAC, DNA, RNA, X_PCA, X_XCHROM
from chromatell._validate import check_tables, free_entry
from chromatell.data.named import Layer, modalities
from chromatell.genome.motifs import Motifs
from chromatell.io._uns_store import model_keys
from chromatell.models import family_class
from chromatell.tl._train import train_and_store, training


@modalities
@documented("training")
def xchrom(
    mdata: MuData,
    *,
    preset: str = "small",
    key_added: str = "xchrom",
    embedding: str | None = X_PCA,
    sequence: str = DNA,
    annotation: str | Path | pd.DataFrame | None = None,
    motifs: Motifs | None = None,
    region_effect: bool | None = None,
    batch_key: str | None = None,
    continuous_covariate_keys: list[str] | None = None,
    depth: str = "predicted",
    depth_key: str | None = None,
    out: str | Path | None = None,
    seed: int | None = None,
    train_kwargs: dict[str, Any] | None = None,
    rna: str = RNA,
    atac: str = ATAC,
    layer: Layer = None,
    copy: bool = False,
    **model_kwargs: Any,
) -> MuData | None:
    """Train an `XChrom` model on sequence and expression, keep it in `mdata`, and predict every region in every cell.

    Parameters
    ----------
    mdata
        Modalities `rna` and `atac` of the same cells, with ``obs['ctl_split']`` from ``ctl.pp.split_cells`` and
        ``atac.varm['dna_code']`` from ``ctl.pp.add_sequence``. With ``atac.var['ctl_split']`` from
        ``ctl.pp.split_regions`` the regions held out there are not learned from, and are predicted from sequence alone.
    preset
        'small' or 'xchrom', see `chromatell.models.XChrom`.
    embedding
        Key of ``rna.obsm`` that the cell tower reads; None, or 'X_pca' where it is not there, fits principal components
        on the training cells.
    sequence
        Key of ``atac.varm`` with the sequences.
    annotation
        Genes of the regions' build (GTF, BED or a table): the distance of a region to the nearest start site is then
        read too, of new regions as well, since the start sites are kept with the model. None reads GC and CpG alone.
    motifs
        Motifs to count beside the tower: a MEME file, names of JASPAR or matrices, such as
        ``ctl.genome.motifs.family_motifs()``, or of one release of JASPAR
        ``ctl.genome.motifs.read_motifs(['CTCF', 'SPI1'], release='2024')``. None counts none.
    region_effect
        Add a term for each region seen in training; None takes the preset's (True for 'small').
    batch_key, continuous_covariate_keys
        Columns of `obs` that the cell tower reads beside the embedding; ``obsm['X_xchrom']`` then holds them too. A
        batch that training did not see takes the mean effect, with a warning.
    train_kwargs
        Passed to `XChrom.train`: `max_epochs`, `lr`, `precision`, `accelerator`, `checkpoint_dir`, ...
    model_kwargs
        Passed to `XChrom`: `length`, `filters`, `cells_per_batch`, `n_pcs`, ...; `stack=False` predicts known regions
        with the network alone.

    Returns
    -------
    None, or a new MuData with ``copy=True``. Written:

    ``mdata.mod['atac_pred']`` : AnnData
        `X`, float32 (n_obs, n regions): probability that the region is open. Other models of the same MuData are in
        `layers`.
        `obs['ctl_out_of_range']`, float32: how far the cell lies from the training cells in what the model reads; 5% of
        the validation cells lie above 1. Training cells lie further out, as the components were fitted on them.
    ``mdata.mod['atac'].varm['X_xchrom']`` : numpy.ndarray
        float32 (n regions of `atac`, n_embed): embedding of each region's sequence; NaN where it was not selected.
    ``mdata.mod['rna'].obsm['X_xchrom']`` : numpy.ndarray
        float32 (n_obs, n_embed): embedding of each cell. The keys end in `key_added` where that is another name.
    ``mdata.uns['ctl']['models'][key_added]`` : dict
        The model: it travels with the file.

    Raises
    ------
    ChromatellError
        The input cannot be used; nothing was changed.

    Notes
    -----
    Peak memory: the int8 sequences, a batch in the sequence tower, and the predictions, n_obs x n regions float32.

    Examples
    --------
    >>> import chromatell as ctl
    >>> mdata = ctl.datasets.simulate_sequence_multiome(n_cells=200, n_regions=120, seed=0)
    >>> ctl.pp.split_cells(mdata, seed=0)
    >>> ctl.tl.xchrom(mdata, stem_filters=8, train_kwargs={"max_epochs": 1})
    >>> mdata.mod["atac"].varm["X_xchrom"].shape
    (120, 32)
    """
    check_tables(mdata)
    name = _embedding_name(mdata, key_added)

    def embeddings(model: Any, inner: MuData) -> dict[tuple[str, str, str], np.ndarray]:
        k = model.network.n_embed
        of_regions = np.full((inner.mod[ATAC].n_vars, k), np.nan, dtype=np.float32)
        of_regions[inner.mod[ATAC].var_names.get_indexer(model.regions)] = model.stored_vectors()[:, :k]
        of_cells = model.cell_vectors(inner, depth="fixed")[:, :k]
        return {(ATAC, "varm", name): of_regions, (RNA, "obsm", name): of_cells}

    return train_and_store(
        family_class("xchrom"),
        mdata,
        key=key_added,
        setup={
            "embedding": embedding,
            "sequence": sequence,
            "batch_key": batch_key,
            "continuous_covariate_keys": continuous_covariate_keys,
            "depth_key": depth_key,
        },
        model={
            "preset": preset,
            "region_effect": region_effect,
            "annotation": annotation,
            "motifs": motifs,
            **model_kwargs,
        },
        train=training(seed, train_kwargs),
        predict={"depth": depth, "out": out},
        also=embeddings,
        copy=copy,
    )


def _embedding_name(mdata: MuData, key: str) -> str:
    """Return the name of the embeddings of cells and regions; raise where it is taken."""
    if key == "xchrom":
        return X_XCHROM
    for modality, place in ((RNA, "obsm"), (ATAC, "varm")):
        if modality in getattr(mdata, "mod", {}):
            where = f"mdata.mod[{modality!r}].{place}"
            free_entry(f"X_{key}", getattr(mdata.mod[modality], place), where, mine=key in model_keys(mdata))
    return f"X_{key}"
