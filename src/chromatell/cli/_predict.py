"""``chromatell predict``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from chromatell._settings import settings
from chromatell.cli._console import output
from chromatell.cli._files import (
    UsageError,
    check_data,
    check_folder,
    check_output,
    check_there,
    check_tracks_output,
    file_or_names,
    named_signal,
    write,
    write_tracks,
)
from chromatell.cli._prepare import given
from chromatell.cli._signatures import NAMED

_OF_CELLS = ("dtype", "top_k", "groupby", *NAMED)


def run(args: argparse.Namespace) -> None:
    """Apply a stored model to a file of cells, or to tracks, write."""
    files = named_signal(args)
    if not files and args.input is None:
        raise UsageError("Name a file of cells or a store of tracks, QUERY, or bigWigs: --plus and --minus.")
    if files or _is_tracks(args.input):
        _tracks(args, files)
    else:
        _cells(args)


def _is_tracks(path: Path) -> bool:
    if not path.is_dir():  # a store is a folder; what can read it takes seconds to load
        return False
    from chromatell.data._tracks_store import is_tracks_store

    return is_tracks_store(path)


def _cells(args: argparse.Namespace) -> None:
    for option in ("bigwig", "chroms"):
        if getattr(args, option) is not None:
            raise UsageError(f"--{option} is of tracks; {str(args.input)!r} is none. Name a store of them, or --plus.")
    if args.output is None:
        raise UsageError("Name an output: -o PREDICTED.h5mu.")
    inputs = [args.input, args.model]
    check_output(args.output, inputs, overwrite=args.overwrite, store=args.out_store, model=args.model)
    if args.fasta is not None and args.regions is None:
        raise UsageError("--fasta is for regions that the model does not hold. Name them: --regions REGIONS.bed.")
    regions = None if args.regions is None else file_or_names(args.regions, "file of regions")
    check_there(args.fasta, "FASTA")
    check_data(args.input)
    check_data(args.model, model=True)

    from chromatell.data import BinnedTracks
    from chromatell.io import read
    from chromatell.tl import predict

    result = predict(
        read(args.input) if given(args, *NAMED) else args.input,
        model=args.model,
        key=args.key,
        regions=regions,
        fasta=args.fasta,
        depth=args.depth or "predicted",
        out=args.out_store,
        **given(args, *_OF_CELLS),
    )
    if isinstance(result, BinnedTracks):
        raise UsageError(f"The model reads tracks, and {str(args.input)!r} is no store of them.")
    write(result, args.output)
    if settings.verbosity:
        where = args.output if args.out_store is None else args.out_store
        n = f"{result.n_obs:,} cells" if args.groupby is None else f"the groups of {args.groupby!r}"
        output().print(f"Wrote the predictions for {n} to {where}.", soft_wrap=True, markup=False)


def _tracks(args: argparse.Namespace, files: dict[str, Any]) -> None:
    """Predict tracks: from bigWigs or a store, into bigWigs or a store."""
    for option in ("regions", "out_store", *_OF_CELLS):
        if getattr(args, option) is not None:
            cure = {"regions": "name --chroms", "out_store": "name a store with -o"}.get(option, "leave it out")
            raise UsageError(f"--{option.replace('_', '-')} is of cells; for tracks {cure}.")
    if args.output is None and args.bigwig is None:
        raise UsageError("Name an output: --bigwig FOLDER, or -o PREDICTED.zarr.")
    check_there(args.fasta, "FASTA")
    if args.output is not None:
        inputs = [path for path in (args.input, args.model) if path is not None]
        check_tracks_output(args.output, inputs, overwrite=args.overwrite, model=args.model)
    check_folder(args.bigwig, "--bigwig")
    check_data(args.model, model=True)

    from chromatell.tl import predict

    options = {"regions": args.chroms, "fasta": args.fasta, "depth": args.depth or "predicted"}
    predicted: Any = predict(
        files or args.input,
        model=args.model,
        key=args.key,
        bigwig=args.bigwig,
        overwrite=args.overwrite,
        **options,
    )
    if args.output is not None:
        write_tracks(predicted, args.output)
    if settings.verbosity:
        where = " and ".join(str(path) for path in (args.bigwig, args.output) if path is not None)
        n = len(predicted.names_of(role="prediction"))
        output().print(f"Wrote {n} predicted tracks to {where}.", soft_wrap=True, markup=False)
