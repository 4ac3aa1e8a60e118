"""Names of the baselines, and what each may read."""

from __future__ import annotations

import hashlib

from anndata import AnnData

from chromatell._keys import TRAIN
from chromatell._validate import region_split_of

SEQUENCE_BASELINES: dict[str, str] = {
    "gc": "region mean from the GC content of its sequence, x the cell's predicted depth (needs pp.add_sequence)",
    "gc_cpg": "the same from GC content and CpG, observed over expected",
    "kmer_ridge": "ridge regression from GC, CpG and 5-mers to the region's mean and to its response to expression",
}
BASELINES: dict[str, str] = {
    "region_mean": "share of training cells in which the region is open; the same for every cell",
    "region_mean_depth": "region mean x the cell's depth predicted from its expression",
    "celltype_mean": "region mean within the cell's label (needs labels)",
    "knn": "mean over the nearest training cells in expression",
    "svd_ridge": "ridge regression from expression to the leading components of the open matrix",
    "gene_activity": "summed expression of linked genes, through a logistic map (needs pp.link_genes)",
    **SEQUENCE_BASELINES,
    "region_mean_true_depth": "reference: region mean x the cell's true depth, which is read from its ATAC",
    "knn_atac": "reference: mean over the nearest training cells in the cell's own ATAC on the other chromosomes",
}
# These read the target assay of the very cell that they predict: shown, but never the best baseline.
REFERENCES = frozenset({"region_mean_true_depth", "knn_atac"})
# What can be said of a region without its ATAC in any cell; the last of these is a reference, which reads it.
UNSEEN = (*SEQUENCE_BASELINES, "region_mean_true_depth")


def uses_target_assay(kind: str) -> bool:
    """Return whether a baseline reads the ATAC of the cells that it predicts."""
    return kind in REFERENCES


def held_out_digest(atac: AnnData) -> str:
    """Return a short hash of the names of the held-out regions, '' where there are none.

    Stored with a prediction, it tells later which regions were held out when it was made.
    """
    held = atac.var_names[region_split_of(atac) != TRAIN]
    if not len(held):
        return ""
    return hashlib.sha256("\n".join(sorted(str(name) for name in held)).encode()).hexdigest()[:16]
