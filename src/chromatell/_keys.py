"""Every name that the package writes into the user's data, in one place."""

from __future__ import annotations

# modalities
RNA = "rna"
ATAC = "atac"
ATAC_PRED = "atac_pred"
PRED_PREFIX = "atac_pred:"  # var_names must be unique across a MuData

# obs and var columns
SPLIT = "ctl_split"
SELECTED = "ctl_selected"
SCORE = "ctl_score"
PREDICTABLE = "ctl_predictable"
REGION = "region"  # atac_pred.var: the target modality's own name of the region
CHROM, START, END = "chrom", "start", "end"

# varm and obsm
DNA = "dna_code"  # int8 tokens of each region's sequence
X_PCA = "X_pca"
X_XCHROM = "X_xchrom"

TRAIN, VAL, TEST = "train", "val", "test"
SPLITS = (TRAIN, VAL, TEST)

# .uns
UNS = "ctl"
MODELS = "models"
LINKS = "links"
EVALUATION = "evaluation"
GAINS = "gains"
FISHER = "fisher"
CURVES = "curves"
PREDICTIONS = "predictions"
