"""What `XChrom` needs of a MuData before anything is registered."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mudata import MuData

from chromatell._keys import ATAC, RNA, X_PCA
from chromatell._settings import logger
from chromatell._validate import ChromatellError, paired, region_split_of, split_of
from chromatell._values import expressed, nonnegative
from chromatell.data.accessibility import selected
from chromatell.data.cell_embedding import embedding_of, is_scaled
from chromatell.models.xchrom._module import XChromConfig
from chromatell.nn.region_covariates import CovariateSource


def checked_setup(mdata: MuData, embedding: str | None, sequence: str) -> str | None:
    """Return the embedding to read, None for components that are fitted here; raise where something is missing."""
    rna, atac = paired(mdata)
    split_of(mdata)
    region_split_of(atac)
    nonnegative(atac, ATAC)
    if sequence not in atac.varm:
        raise ChromatellError(
            f"Did not find mdata.mod['atac'].varm[{sequence!r}]. Run ctl.pp.add_sequence(mdata, 'genome.fa') first."
        )
    if not selected(atac).any():
        raise ChromatellError(
            "mdata.mod['atac'].var['ctl_selected'] selects nothing. Run ctl.pp.select_features(mdata)."
        )
    if embedding == X_PCA and X_PCA not in rna.obsm:
        logger.info("No rna.obsm['X_pca']: principal components are fitted on the training cells.")
        embedding = None
    if embedding is None:
        if is_scaled(rna):
            logger.info("rna.X is scaled: components are fitted on it as it is, on the training cells.")
        else:
            nonnegative(rna, RNA, smoothed=True)
            expressed(rna)
    else:
        embedding_of(rna, embedding)
        logger.info(
            f"rna.obsm[{embedding!r}] is taken as it is. Where it was fitted on all cells, test cells shaped it: "
            "embedding=None fits components on the training cells alone."
        )
    return embedding


def with_covariates(config: XChromConfig, annotation: Any, motifs: Any) -> tuple[XChromConfig, CovariateSource]:
    """Return a network with room for the motifs, and what was named, read; raise where it has no covariates."""
    if not config.covariate_length and (annotation is not None or motifs is not None):
        raise ChromatellError(
            "annotation= and motifs= are read beside the tower of preset='small', and not with preset='xchrom', "
            "covariate_length=0, warm_epochs=0 or another tower. Leave them out, or take preset='small'."
        )
    source = CovariateSource.read(annotation, motifs)
    if config.covariate_length:
        config = replace(config, n_motifs=len(source.motifs), motif_width=source.width)
    return config, source
