"""``chromatell train --family nascent``: tracks along the genome."""

from __future__ import annotations

import argparse
from shlex import quote
from typing import TYPE_CHECKING, Any

from chromatell._settings import logger, settings
from chromatell.cli._console import libraries_to_stderr, output
from chromatell.cli._files import UsageError, check_data, check_there, check_tracks_output, named_signal, write_tracks
from chromatell.cli._prepare import model_options

if TYPE_CHECKING:
    from chromatell.data import BinnedTracks

_SMOOTH = 10.0  # bins
_SMOOTHED = 3000  # bp on each side over which what is predicted may be smoothed
_OF_FILES = ("chroms", "bin_size", "stat")  # options of binning


def run(args: argparse.Namespace, given: Any) -> None:
    """Bin, mask, split and smooth where needed, train, predict, write; `given` returns what the user set."""
    files = _files(args, given)
    key = args.key or args.family

    from chromatell import tl
    from chromatell.data import BinnedTracks

    tracks = _binned(files, given(*_OF_FILES)) if files else BinnedTracks.open(args.input)
    _prepare(tracks, args, given, new=bool(files))
    with libraries_to_stderr():
        tl.nascent(
            tracks,
            train_kwargs=given("max_epochs", "batch_size", "lr", "accelerator", "checkpoint_dir"),
            **given("window"),
            **model_options(args),
        )
    write_tracks(tracks, args.output)
    if settings.verbosity:
        at = quote(str(args.output))
        lines = [
            f"Wrote the tracks with model {key!r} to {args.output}.",
            f"Score it:  chromatell evaluate {at}",
            f"Apply it:  chromatell predict --model {at} --plus PLUS.bw --minus MINUS.bw --bigwig FOLDER",
        ]
        output().print("\n".join(lines), soft_wrap=True, markup=False)


def _files(args: argparse.Namespace, given: Any) -> dict[str, Any]:
    """Return the bigWigs that were named, none for a store; raise where the call could not end well."""
    files = named_signal(args)
    targets = args.target or []
    if len({name for name, _ in targets} | set(files)) < len(targets) + len(files):
        raise UsageError("--target needs a name of its own for each bigWig, other than plus, minus and signal.")
    for name, path in targets:
        check_there(path, f"bigWig of --target {name}")
    if bool(files) != bool(targets):
        raise UsageError(
            "Name what is read (--plus and --minus, or --signal) and what to predict (--target NAME=X.bw)."
        )
    if not files and args.input is None:
        raise UsageError("Name a store of tracks, IN, or bigWigs: --plus, --minus and --target NAME=X.bw.")
    binning = given(*_OF_FILES)
    if not files and binning:
        raise UsageError(f"--{next(iter(binning)).replace('_', '-')} is for bigWigs; {str(args.input)!r} is binned.")
    if args.split_regions == "random":
        raise UsageError("--split-regions random leaks between neighbouring bins: take blocks or chromosome.")
    check_there(args.blacklist, "blacklist")
    inputs = [] if args.input is None else [args.input]
    check_tracks_output(args.output, inputs, overwrite=args.overwrite)
    check_data(args.input)
    return {**files, **{name: {"path": path, "strand": ".", "role": "target"} for name, path in targets}}


def _binned(files: dict[str, Any], options: dict[str, Any]) -> BinnedTracks:
    from chromatell.pp import bin_tracks

    return bin_tracks(files, **options)


def _prepare(tracks: BinnedTracks, args: argparse.Namespace, given: Any, *, new: bool) -> None:
    """Mask, smooth and split: all of it for new tracks, and for a store what was asked for or is missing."""
    from chromatell.pp import mask_bins, smooth_tracks, split_regions

    if new or args.blacklist is not None:
        mask_bins(tracks, blacklist=args.blacklist)
    sigma = (_SMOOTH if new else 0.0) if args.smooth is None else args.smooth
    if sigma:
        smooth_tracks(tracks, sigma=sigma)
    asked = args.split_regions is not None or args.test_chromosomes or args.fractions or args.block is not None
    if tracks.splits and not asked:
        logger.info("The split in %s is used.", args.input)
        return
    by: Any = args.split_regions or ("chromosome" if args.test_chromosomes else "blocks")
    logger.info("Bins are split by %s, seed %d.", by, settings.resolve_seed(args.seed))
    options = given("fractions", "block")
    if args.width is not None:
        options["width"] = args.width
    elif args.window is not None:
        options["width"] = args.window * tracks.bin_size + 2 * _SMOOTHED
    split_regions(tracks, by=by, holdout=args.test_chromosomes, seed=args.seed, **options)
