"""Names that options take, checked before the libraries that know them are loaded. A test compares them with those."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from chromatell._nearest import did_you_mean
from chromatell.cli._parser import UsageError

# option -> family -> names
TRAIN: dict[str, dict[str, tuple[str, ...]]] = {
    "preset": {
        "dense": ("default", "panel", "wizel2025"),
        "xchrom": ("small", "xchrom"),
        "atacformer": ("small", "base"),
        "nascent": ("default", "stanford2019"),
    },
    "encoder": {"dense": ("mlp", "autoencoder", "transformer", "shared")},
    "likelihood": {"dense": ("bernoulli", "poisson")},
    "loss": {"dense": ("bce", "focal", "dice", "focal_dice", "poisson")},
    "decoder": {"atacformer": ("chromosome", "region_class", "cross_attention")},
    "eos": {"atacformer": ("inside", "outside", "both")},
    "architecture": {"nascent": ("transfer", "xgboost", "dense", "cnn")},
}

BUILDS = (
    "hg19",
    "hg38",
    "hs1",
    "mm9",
    "mm10",
    "mm39",
    "GRCh37",
    "b37",
    "hs37d5",
    "GRCh38",
    "CHM13",
    "T2T-CHM13",
    "NCBIM37",
    "GRCm38",
    "GRCm39",
)
ACCELERATORS = ("auto", "cpu", "gpu", "cuda", "mps")
# option -> kind of data -> names
EVALUATE: dict[str, dict[str, tuple[str, ...]]] = {
    "views": {
        "cells": (
            "overall", "per_cell", "per_region", "depth_matched", "within_type", "within_type_depth_matched", "profile",
            "calibration", "self_expected",
        ),
        "cells x bins": ("overall", "per_cell", "depth_matched"),
        "tracks": ("smoothed", "raw", "peaks"),
    },
    "pairs": {
        "cells": ("cross-cell", "cross-sample", "cross-region", "cross-both"),
        "cells x bins": ("completion", "labels", "embedding"),
    },
    "baselines": {
        "cells": (
            "region_mean", "region_mean_depth", "celltype_mean", "knn", "ridge", "svd_ridge", "gene_activity", "gc",
            "gc_cpg", "gc_cpg_tss", "kmer_ridge", "motif_ridge", "region_mean_true_depth", "knn_atac",
        ),
        "cells x bins": ("bin_frequency_depth", "lsi_knn", "svd", "lsi_logistic", "majority", "lsi"),
        "tracks": ("mean", "log_signal", "ridge", "other_targets"),
    },
}  # fmt: skip


def check_trained(args: argparse.Namespace) -> None:
    """Raise where an option of ``chromatell train`` has a name that its family does not know."""
    for option, families in TRAIN.items():
        known = families.get(args.family)
        if known is not None:
            _check(option, getattr(args, option), f"one of --family {args.family}: {', '.join(known)}", known)
    _check("accelerator", args.accelerator, f"one of {', '.join(ACCELERATORS)}", ACCELERATORS)


def check_build(text: str | None) -> None:
    """Raise where ``--chrom-sizes`` is neither a file nor a build that is known, whatever its release."""
    if text is None or Path(text).is_file() or text.lower().startswith(tuple(name.lower() for name in BUILDS)):
        return
    _check("chrom-sizes", text, f"a file that is there, or one of {', '.join(BUILDS[:6])}", BUILDS)


def check_scored(args: argparse.Namespace) -> None:
    """Raise where ``chromatell evaluate`` is asked for a view, pairs or a baseline that no kind of data has."""
    for option, kinds in EVALUATE.items():
        asked = getattr(args, option) or []
        if option == "baselines" and asked in (["all"], ["none"]):
            continue
        # an .h5ad holds cells x bins; other files may hold any
        of = {kind: names for kind, names in kinds.items() if args.input.suffix != ".h5ad" or kind == "cells x bins"}
        choices = "one of " + "; ".join(f"{', '.join(names)} ({kind})" for kind, names in of.items())
        for value in asked:
            _check(option, value, choices, [name for names in of.values() for name in names])


def _check(option: str, value: str | None, choices: str, known: Sequence[str]) -> None:
    """Raise a UsageError that names what is known, and the nearest."""
    if value is None or value in known:
        return
    raise UsageError(f"--{option} {value!r} is not {choices}.{did_you_mean(value, known)}")
