"""What training does to cells before a model sees them: a split, a selection; and what the user gave."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from chromatell._keys import SPLIT
from chromatell._settings import logger, settings
from chromatell.cli._signatures import NAMED, of_family

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

_FRACTIONS = (0.7, 0.1, 0.2)


def split(data: AnnData | MuData, args: argparse.Namespace) -> None:
    """Make a split where there is none or one was asked for; say which."""
    asked = args.split_by is not None or args.fractions is not None
    if SPLIT in data.obs and not asked:
        logger.info("The split in obs[%r] of %s is used.", SPLIT, args.input)
        return
    why = "its split is replaced" if SPLIT in data.obs else f"it has no obs[{SPLIT!r}], so cells are split"
    how = "at random" if args.split_by is None else f"by {args.split_by!r}"
    logger.info("%s: %s %s, seed %d.", args.input, why, how, settings.resolve_seed(args.seed))

    from chromatell.pp import split_cells

    named = given(args, *NAMED)
    split_cells(data, by=args.split_by, fractions=args.fractions or _FRACTIONS, seed=args.seed, **named)


def select(mdata: MuData, args: argparse.Namespace) -> None:
    """Select features where that was asked for."""
    chosen = given(args, "n_genes", "n_regions", "min_open")
    if chosen:
        from chromatell.pp import select_features

        select_features(mdata, seed=args.seed, **chosen, **given(args, *NAMED))


def model_options(args: argparse.Namespace) -> dict[str, Any]:
    """Return the keywords of ``tl.<family>`` that the user gave, whatever their options are called."""
    known = of_family(args.family)
    keywords = given(args, *(name for name in known if hasattr(args, name)))
    for option, keyword in (("key", "key_added"), ("covariates", "continuous_covariate_keys"), ("predictions", "out")):
        if keyword in known and getattr(args, option) is not None:
            keywords[keyword] = getattr(args, option)
    if keywords.get("embedding") == "none":
        keywords["embedding"] = None
    return {**keywords, **dict(args.set or [])}


def given(args: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Return the options that the user gave; the others keep the default of the Python call."""
    return {name: getattr(args, name) for name in names if getattr(args, name) is not None}
