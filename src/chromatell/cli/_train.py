"""``chromatell train``."""

from __future__ import annotations

import argparse
from functools import partial
from shlex import quote
from typing import TYPE_CHECKING, Any

from chromatell._errors import ChromatellError
from chromatell._keys import ATAC, DNA, SPLIT
from chromatell._nearest import did_you_mean
from chromatell._settings import logger, settings
from chromatell.cli import _train_bins, _train_tracks
from chromatell.cli._choices import check_trained
from chromatell.cli._console import libraries_to_stderr, output
from chromatell.cli._files import (
    UsageError,
    check_data,
    check_folder,
    check_output,
    check_there,
    read_multiome,
    write,
)
from chromatell.cli._prepare import given, model_options, select, split
from chromatell.cli._signatures import FAMILIES, NAMED, NOT_TYPED, of_family, settable

if TYPE_CHECKING:
    from mudata import MuData

# which families know an option that is no keyword of theirs in Python; those not here are of all
_CELLS = ("predictions", "split_by", "n_genes", "n_regions", "min_open")  # of those that read cells
_TRACKS = ("plus", "minus", "signal", "target", "chroms", "bin_size", "stat", "blacklist", "smooth", "block", "window")
_OWN = {
    **dict.fromkeys(_CELLS, tuple(family for family in FAMILIES if family != "nascent")),
    **dict.fromkeys(_TRACKS, ("nascent",)),
    **dict.fromkeys(("split_regions", "test_chromosomes", "fasta", "width"), ("xchrom", "nascent")),
    "covariates": ("dense", "xchrom"),
    **dict.fromkeys(("eos", "pretrained_key"), ("atacformer",)),
    "batch_size": tuple(family for family in FAMILIES if family != "atacformer"),  # which counts tokens
}


def run(args: argparse.Namespace) -> None:
    """Split and select where needed, train, predict, write."""
    _check_family(args)
    check_trained(args)
    _check_fractions(args)
    check_folder(args.checkpoint_dir, "--checkpoint-dir")
    if args.family == "nascent":
        _train_tracks.run(args, partial(given, args))
        return
    if args.family == "atacformer":
        _train_bins.run(args)
        return
    _check(args)
    key = args.key or args.family
    mdata = read_multiome(args.input)
    split(mdata, args)
    select(mdata, args)
    if args.family == "xchrom":
        _add_sequence(mdata, args)
        _split_regions(mdata, args)

    from chromatell import tl

    with libraries_to_stderr():
        getattr(tl, args.family)(
            mdata,
            train_kwargs=given(args, "max_epochs", "batch_size", "lr", "accelerator", "checkpoint_dir"),
            **model_options(args),
        )
    write(mdata, args.output)
    if settings.verbosity:
        also = "" if args.predictions is None else f" and its predictions to {args.predictions}"
        lines = [
            f"Wrote the data with model {key!r} to {args.output}{also}.",
            f"Score it:  chromatell evaluate {quote(str(args.output))}",
            f"Apply it:  chromatell predict QUERY.h5ad --model {quote(str(args.output))} -o PREDICTED.h5mu",
        ]
        if args.family == "xchrom":
            lines[-1] += " [--regions NEW.bed --fasta GENOME.fa]"
        output().print("\n".join(lines), soft_wrap=True, markup=False)


def _check_family(args: argparse.Namespace) -> None:
    """Raise where an option is of another family."""
    of_python = {name: tuple(f for f in FAMILIES if name in of_family(f)) for f in FAMILIES for name in of_family(f)}
    for option, families in (of_python | _OWN).items():
        if getattr(args, option, None) is not None and args.family not in families:
            named = f"--{option.replace('_', '-')} is for --family {' or '.join(families)}"
            raise UsageError(f"{named}; this is --family {args.family}.")
    own = {*of_family(args.family), *NOT_TYPED[f"tl.{args.family}"]}
    if taken := [name for name, _ in args.set or [] if name in own]:
        raise UsageError(
            f"--set {taken[0]}=... is no option of the network alone: see the other options of this command."
        )
    if typed := [name for name, _ in args.set or [] if hasattr(args, name)]:
        raise UsageError(f"--set {typed[0]}=...: that is the option --{typed[0].replace('_', '-')} of this command.")
    known = settable(args.family)
    if unknown := [name for name, _ in args.set or [] if name not in known]:
        meant = did_you_mean(unknown[0], known) or f" It knows {', '.join(sorted(known))}."
        raise UsageError(f"--set {unknown[0]}=...: {args.family} knows no such option.{meant}")


def _check_fractions(args: argparse.Namespace) -> None:
    """Raise where the shares of a split are none."""
    if args.fractions is not None:
        from chromatell._validate import split_fractions

        usual = (0.8, 0.1, 0.1) if args.family == "nascent" else (0.7, 0.1, 0.2)
        try:
            split_fractions(args.fractions, usual, "bin" if args.family == "nascent" else "cell")
        except ChromatellError as error:
            raise UsageError(str(error)) from error


def _check(args: argparse.Namespace) -> None:
    """Raise, before anything is read, where the call could not end well."""
    if args.input is None:
        raise UsageError("Name a file of paired cells, IN.")
    check_output(args.output, [args.input], overwrite=args.overwrite, store=args.predictions)
    if args.split_regions == "blocks":
        raise UsageError("--split-regions blocks is of tracks; for cells x regions take chromosome or random.")
    if args.width is not None and args.fasta is None:
        raise UsageError("--width is of the sequences read from a genome. Name it: --fasta GENOME.fa.")
    if args.split_regions == "random" and args.test_chromosomes:
        raise UsageError("--test-chromosomes holds out chromosomes: leave out --split-regions random.")
    check_there(args.fasta, "FASTA")
    check_there(args.annotation, "file of genes")
    check_there(args.motifs, "file of motifs")
    check_data(args.input)


def _add_sequence(mdata: MuData, args: argparse.Namespace) -> None:
    """Read the sequences of the regions where a genome was named; say whose are used."""
    from chromatell._validate import modality

    present = DNA in modality(mdata, args.atac or ATAC).varm
    if args.fasta is None:
        if not present:
            raise ChromatellError(
                f"{args.input} holds no sequences of its regions (varm[{DNA!r}] of 'atac'). Name the genome of their "
                "build: --fasta GENOME.fa."
            )
        logger.info("The sequences in varm[%r] of %s are used.", DNA, args.input)
        return
    if present:
        logger.info("%s: its sequences are replaced by those of %s.", args.input, args.fasta)

    from chromatell.pp import add_sequence

    add_sequence(mdata, args.fasta, width=args.width or 1344, **given(args, *NAMED))


def _split_regions(mdata: MuData, args: argparse.Namespace) -> None:
    """Hold out regions where that was asked for; say what is used."""
    from chromatell._validate import modality

    present = SPLIT in modality(mdata, args.atac or ATAC).var
    if args.split_regions is None and not args.test_chromosomes:
        if present:
            logger.info("The split of regions in var[%r] of %s is used.", SPLIT, args.input)
        else:
            logger.info("No region is held out; --split-regions chromosome would do so.")
        return
    if present:
        logger.info("%s: its split of regions is replaced.", args.input)

    from chromatell.pp import split_regions

    named: dict[str, Any] = {"by": args.split_regions or "chromosome", **given(args, *NAMED)}
    split_regions(mdata, holdout=args.test_chromosomes, seed=args.seed, **named)
