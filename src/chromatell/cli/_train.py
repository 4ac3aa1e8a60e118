"""``chromatell train``."""

from __future__ import annotations

import argparse
from typing import Any

from mudata import MuData

from chromatell._keys import SPLIT
from chromatell._settings import logger, settings
from chromatell.cli._console import libraries_to_stderr, output
from chromatell.cli._files import check_output, check_store, read_multiome, write

_FRACTIONS = (0.7, 0.1, 0.2)


def run(args: argparse.Namespace) -> None:
    """Split and select where needed, train, predict, write."""
    check_output(args.output, [args.input], overwrite=args.overwrite)
    check_store(args.predictions, args.output)
    mdata = read_multiome(args.input)
    _split(mdata, args)
    _select(mdata, args)

    from chromatell.tl import dense

    with libraries_to_stderr():
        dense(
            mdata,
            preset=args.preset,
            key_added=args.key,
            batch_key=args.batch_key,
            continuous_covariate_keys=args.covariates,
            depth=args.depth,
            depth_key=args.depth_key,
            out=args.predictions,
            seed=args.seed,
            train_kwargs=_given(args, "max_epochs", "batch_size", "lr", "accelerator", "checkpoint_dir"),
            **_given(args, "encoder", "likelihood", "loss"),
        )
    write(mdata, args.output)
    if settings.verbosity:
        there = "" if args.predictions is None else f" and its predictions to {args.predictions}"
        output().print(
            f"Wrote the data with model {args.key!r} to {args.output}{there}.\n"
            f"Score it:  chromatell evaluate {args.output}\n"
            f"Apply it:  chromatell predict QUERY.h5ad --model {args.output} -o PREDICTED.h5mu",
            soft_wrap=True,
            markup=False,
        )


def _split(mdata: MuData, args: argparse.Namespace) -> None:
    """Make a split where there is none or one was asked for; say which."""
    asked = args.split_by is not None or args.fractions is not None
    if SPLIT in mdata.obs and not asked:
        logger.info("The split in obs[%r] of %s is used.", SPLIT, args.input)
        return
    why = "its split is replaced" if SPLIT in mdata.obs else f"it has no obs[{SPLIT!r}], so cells are split"
    how = "at random" if args.split_by is None else f"by {args.split_by!r}"
    logger.info("%s: %s %s, seed %d.", args.input, why, how, settings.resolve_seed(args.seed))

    from chromatell.pp import split_cells

    split_cells(mdata, by=args.split_by, fractions=args.fractions or _FRACTIONS, seed=args.seed)


def _select(mdata: MuData, args: argparse.Namespace) -> None:
    chosen = _given(args, "n_genes", "n_regions", "min_open")
    if chosen:
        from chromatell.pp import select_features

        select_features(mdata, seed=args.seed, **chosen)


def _given(args: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Return the options that the user gave; the others keep the default of the Python call."""
    return {name: getattr(args, name) for name in names if getattr(args, name) is not None}
