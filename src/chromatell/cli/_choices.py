"""Names that options take, checked before the libraries that know them are loaded. A test compares them with those."""

from __future__ import annotations

import argparse
import difflib

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


def check_names(args: argparse.Namespace) -> None:
    """Raise where an option of ``chromatell train`` has a name that its family does not know.

    Raises
    ------
    UsageError
        Names those that it knows, and the nearest.
    """
    for option, families in TRAIN.items():
        value, known = getattr(args, option), families.get(args.family)
        if value is None or known is None or value in known:
            continue
        near = difflib.get_close_matches(value, known, 1)
        meant = f" Did you mean {near[0]}?" if near else ""
        raise UsageError(f"--{option} {value!r} is not one of --family {args.family}: {', '.join(known)}.{meant}")
