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
REGION_CLASS = "region_class"  # what lies at the middle of a region: promoter, intron, ...
NEAREST_GENE, TSS_DISTANCE = "nearest_gene", "tss_distance"

# varm and obsm
DNA = "dna_code"  # int8 tokens of each region's sequence
REGION_CLASS_FRACTION = "region_class_fraction"  # share of the bases of a region in each class
X_DNA = "X_dna"  # a short vector of each region's sequence
X_PCA = "X_pca"
X_XCHROM = "X_xchrom"
X_ATACFORMER = "X_atacformer"

TRAIN, VAL, TEST = "train", "val", "test"
SPLITS = (TRAIN, VAL, TEST)

# .uns
UNS = "ctl"
MODELS = "models"
LINKS = "links"
REGION_CLASSES = "region_classes"
EVALUATION = "evaluation"
GAINS = "gains"
FISHER = "fisher"
CURVES = "curves"
PREDICTIONS = "predictions"
