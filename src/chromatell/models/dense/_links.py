"""Links between genes and regions as the network reads them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from mudata import MuData

from chromatell._compat import text_of
from chromatell._keys import LINKS, UNS
from chromatell._settings import logger
from chromatell._sparse import check_sparse
from chromatell._validate import ChromatellError
from chromatell.models.dense._module import ScoreMap

# bp: the weight of a linked gene falls as exp(-distance / decay), as in gene-activity scores (Granja et al. 2021)
_DECAY = 5_000.0


def linked_pairs(mdata: MuData, genes: pd.Index, regions: pd.Index) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (gene, region, distance) of the links among the selected features, sorted by region.

    Raises
    ------
    ChromatellError
        ``pp.link_genes`` was not run, or none of its links is between selected features.
    """
    links = mdata.uns.get(UNS, {}).get(LINKS)
    if links is None:
        raise ChromatellError("Did not find mdata.uns['ctl']['links']. Run ctl.pp.link_genes(mdata, annotation) first.")
    gene_row = pd.Index(text_of(links["gene"])).get_indexer(genes)
    region_col = pd.Index(text_of(links["region"])).get_indexer(regions)
    if (gene_row < 0).any() or (region_col < 0).any():
        raise ChromatellError(
            "mdata changed after ctl.pp.link_genes: some features have no entry. Run ctl.pp.link_genes(mdata, ...) "
            "again."
        )
    check_sparse(links["distance"], "mdata.uns['ctl']['links']['distance']")
    part = sp.csc_matrix(links["distance"])[:, region_col].tocsr()[gene_row].tocsc()
    part.sort_indices()
    if part.nnz == 0:
        raise ChromatellError(
            "No selected gene is linked to a selected region. Link further, ctl.pp.link_genes(..., max_distance=...), "
            "or select others."
        )
    region = np.repeat(np.arange(part.shape[1]), np.diff(part.indptr))
    logger.info(
        f"{part.nnz:,} links join {len(np.unique(part.indices)):,} genes and {len(np.unique(region)):,} regions."
    )
    return part.indices.astype(np.int64), region.astype(np.int64), part.data - 1.0


def score_map(
    gene: np.ndarray, region: np.ndarray, distance: np.ndarray, genes: pd.Index, gene_sets: Mapping[str, list[str]]
) -> ScoreMap:
    """Return the map from genes to features: a score a linked region, falling with distance, then one a gene set."""
    linked, feature = np.unique(region, return_inverse=True)
    index = [np.stack([feature, gene])]
    value = [np.exp(-distance / _DECAY) + 1e-3]
    n = len(linked)
    for name, members in gene_sets.items():
        places = genes.get_indexer(pd.Index(members))
        places = np.unique(places[places >= 0])
        if places.size == 0:
            raise ChromatellError(
                f"The gene set {name!r} holds none of the {len(genes)} selected genes. Leave it out, or select its "
                "genes."
            )
        index.append(np.stack([np.full(places.size, n), places]))
        value.append(np.ones(places.size))
        n += 1
    all_index, all_value = np.concatenate(index, axis=1), np.concatenate(value)
    norm = np.sqrt(np.bincount(all_index[0], all_value**2, n))
    weight = (all_value / norm[all_index[0]]).astype(np.float32)
    return torch.from_numpy(all_index.astype(np.int64)), torch.from_numpy(weight), n
