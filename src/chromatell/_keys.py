"""Every name that the package writes into the user's data, in one place."""

from __future__ import annotations

# modalities
RNA = "rna"
ATAC = "atac"
ATAC_PRED = "atac_pred"
GENE_ACTIVITY = "gene_activity"
RANK_REGIONS = "rank_regions"
MOTIF_ACTIVITY = "motif_activity"
REGION_LINKS = "region_links"
UNCERTAINTY = "uncertainty"
UNSURE = "ctl_uncertainty"  # of a cell or region
PERTURBATION = "perturbation"
TF_ACTIVITY = "tf_activity"
ATTRIBUTION = "attribution"
NEIGHBOR_SCORE = "neighbor_score"
VARIANT_EFFECT = "variant_effect"
PRED_PREFIX = "atac_pred:"  # var_names must be unique across a MuData

# obs and var columns
SPLIT = "ctl_split"
SELECTED = "ctl_selected"
SCORE = "ctl_score"
PREDICTABLE = "ctl_predictable"
AUROC, AUROC_DEPTH_MATCHED, GAIN = "ctl_auroc", "ctl_auroc_depth_matched", "ctl_gain"  # scores of a cell or region
N_FRAGMENTS = "n_fragments"
SAMPLE = "sample"
OUT_OF_RANGE = "ctl_out_of_range"  # atac_pred.obs: distance of a cell from the training cells, over its threshold
REGION = "region"  # atac_pred.var: the target modality's own name of the region
CHROM, START, END = "chrom", "start", "end"
UNKNOWN_SHARE, HAS_SEQUENCE = "ctl_unknown", "ctl_has_sequence"
ORTHOLOG, ORTHOLOG_OF = "ctl_ortholog", "ortholog_of"
GENE = "gene"  # var of gene_activity: the gene's own name
PEARSON, PEARSON_MEASURED = "ctl_pearson", "ctl_pearson_measured"  # gene activity and measured expression
MAPPED = "ctl_mapped"  # var of atac_pred: share of a region's bases that the model's regions cover
MASK = "ctl_mask"  # why a bin is masked, where tracks are an AnnData
REGION_CLASS = "region_class"  # what lies at the middle of a region: promoter, intron, ...
NEAREST_GENE, TSS_DISTANCE = "nearest_gene", "tss_distance"

# varm and obsm
DNA = "dna_code"  # int8 tokens of each region's sequence
REGION_CLASS_FRACTION = "region_class_fraction"  # share of the bases of a region in each class
X_DNA = "X_dna"  # a short vector of each region's sequence
X_PCA = "X_pca"
X_XCHROM = "X_xchrom"
X_ATACFORMER = "X_atacformer"

OWN_COLUMNS = frozenset(
    (SPLIT, SELECTED, SCORE, PREDICTABLE, AUROC, AUROC_DEPTH_MATCHED, GAIN, UNSURE, OUT_OF_RANGE, N_FRAGMENTS, SAMPLE)
    + (REGION, CHROM, START, END, UNKNOWN_SHARE, HAS_SEQUENCE, ORTHOLOG, ORTHOLOG_OF, MAPPED, MASK)
    + (REGION_CLASS, NEAREST_GENE, TSS_DISTANCE)
)
OWN_ARRAYS = frozenset((DNA, REGION_CLASS_FRACTION, X_DNA, X_PCA, X_XCHROM, X_ATACFORMER))

RAW = "raw"  # layer of tracks: values before they were smoothed

TRAIN, VAL, TEST = "train", "val", "test"
SPLITS = (TRAIN, VAL, TEST)

# .uns
UNS = "ctl"
MODELS = "models"
LINKS = "links"
REGION_CLASSES = "region_classes"
EVALUATION = "evaluation"
GAINS = "gains"
INPUT_GAINS = "input_gains"  # what each input of a model adds
FISHER = "fisher"
CURVES = "curves"
PREDICTIONS = "predictions"
SPLIT_HOW, REGION_SPLIT_HOW = "split", "region_split"  # how cells and regions were split
SEQUENCE, ORTHOLOGS = "sequence", "orthologs"  # how sequence was added and genes were mapped
BINNED, COUNTED = "bin_genome", "count_regions"  # how an AnnData of bins or regions was made
INTERVAL = "tracks"  # which interval of tracks an AnnData is
SIMULATION = "simulation"  # the truth of simulated data
ENTRIES = frozenset(
    (MODELS, LINKS, REGION_CLASSES, EVALUATION, GAINS, INPUT_GAINS, FISHER, CURVES, PREDICTIONS)
    + (SPLIT_HOW, REGION_SPLIT_HOW, SEQUENCE, ORTHOLOGS, BINNED, COUNTED, INTERVAL, SIMULATION)
)  # what no result may be named
PROVENANCE = "provenance"  # where each prediction comes from, in the uns of atac_pred
HELD_OUT_DIGEST = "held_out"  # in it: of the regions that were held out
USES_TARGET_ASSAY = "uses_target_assay"  # in it, and in the tables of scores
INPUTS = "inputs"  # in it: JSON, the modalities that were read, where there are others than 'rna'
READS_REGION_ATAC = "reads_region_atac"  # in it and in a model's configuration: it knows a region by its ATAC
BASELINE, EXTERNAL = "baseline", "external"  # families of predictions that are no model's of this package
DERIVED = "derived_from"  # in the uns of a modality: the prediction, or 'atac', that it was made from
KEY = "key"  # in the uns of ctl.get.prediction: which one it is
CAUTION = "caution"  # in the uns of atac_pred: what its values must not be used for
X_KEY = "x_key"  # in the uns of atac_pred: which prediction stands in X
COMPLETION, LABELS, EMBEDDING = "completion", "labels", "embedding"  # kinds of pairs that read the cell's own ATAC
OWN_ATAC = (COMPLETION, LABELS, EMBEDDING)
PREVALENCE = "_prevalence"  # share of open pairs of a kind, beside the curves of the models
ISM = "ism"  # `method` of what tl.ism writes, beside those of tl.attribute
RANDOM = "random"  # what chance gives, among the embeddings of tl.neighbor_score
RNA_SPACE, HELD_OUT_SPACE, ALL_SPACE = "rna", "atac_held_out", "atac_all"  # and the spaces of neighbours


def sibling(key_added: str, name: str) -> str:
    """Return the name of a table that `tl.evaluate(key_added=...)` writes beside the one of scores."""
    return name if key_added == EVALUATION else f"{key_added}_{name}"
