"""``chromatell evaluate``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chromatell._keys import EVALUATION, GAINS, UNS
from chromatell.cli._choices import check_scored
from chromatell.cli._console import output
from chromatell.cli._files import (
    UsageError,
    check_data,
    check_output,
    check_table,
    check_there,
    check_tracks_output,
    write,
    write_tracks,
)
from chromatell.cli._prepare import given
from chromatell.cli._signatures import keywords

if TYPE_CHECKING:
    import pandas as pd

    from chromatell.evaluation.run import Task


def run(args: argparse.Namespace) -> None:
    """Score the predictions in a file, print the leaderboard, write what was asked for."""
    check_scored(args)
    check_data(args.input)
    check_table(args)
    if isinstance(args.within, Path):  # not names of regions
        check_there(args.within, "file of --within")

    from chromatell.data._tracks_store import is_tracks_store

    if is_tracks_store(args.input):
        _tracks(args)
    else:
        _cells(args)


def _cells(args: argparse.Namespace) -> None:
    of_bins, of_both = (".h5ad", ".zarr"), (".h5mu", ".zarr")
    if args.output is not None:
        possible = {".h5ad": of_bins, ".h5mu": of_both}.get(args.input.suffix, (".h5mu", *of_bins))
        check_output(args.output, [args.input], overwrite=args.overwrite, suffixes=possible, has_table=True)

    from anndata import AnnData

    from chromatell.cli._tables import gains, kinds, leaderboard
    from chromatell.evaluation.tasks import BinTask, CellTask
    from chromatell.io import read
    from chromatell.tl import evaluate

    _check_kind(args, "cells", BinTask, CellTask)
    mdata = read(args.input)
    holds, suffixes = ("one AnnData", of_bins) if isinstance(mdata, AnnData) else ("a MuData", of_both)
    if args.output is not None and args.output.suffix not in suffixes:
        raise UsageError(f"{args.input} holds {holds}: the output must end in {' or '.join(suffixes)}.")
    evaluate(mdata, args.models, **_options(args))
    if args.output is not None:
        write(mdata, args.output)
    if _write_csv(mdata.uns[UNS][EVALUATION], args.csv):
        return
    console = output()
    pair_kinds = kinds(mdata)
    for pairs in pair_kinds:
        title = (
            f"{args.input}, {args.split} cells"
            if len(pair_kinds) == 1
            else f"{args.input}, {pairs} pairs, {args.split}"
        )
        if pairs != pair_kinds[0]:
            console.print("")
        console.print(leaderboard(mdata, title, pairs=pairs))
        improved = gains(mdata, pairs if len(pair_kinds) > 1 else None)
        if improved is not None:  # there are no models, only baselines
            console.print("", improved)


def _tracks(args: argparse.Namespace) -> None:
    from chromatell.evaluation.tasks import TrackTask

    _check_kind(args, "tracks", TrackTask)
    if args.output is not None:
        check_tracks_output(args.output, [args.input], overwrite=args.overwrite)

    from chromatell.cli._track_table import track_gains, track_leaderboard
    from chromatell.data import BinnedTracks
    from chromatell.tl import evaluate

    tracks = BinnedTracks.open(args.input)
    evaluate(tracks, args.models, **_options(args))
    table = tracks.uns[UNS][EVALUATION]
    if args.output is not None:
        write_tracks(tracks, args.output)
    if _write_csv(table, args.csv):
        return
    console = output()
    for i, target in enumerate(dict.fromkeys(table["target"])):
        title = f"{args.input}, {target}, {args.split} bins"
        console.print(*[""][: min(i, 1)], track_leaderboard(table, str(target), title))
        improved = track_gains(tracks.uns[UNS][GAINS], str(target))
        if improved is not None:
            console.print("", improved)


def _check_kind(args: argparse.Namespace, holds: str, *kinds: type[Task]) -> None:
    """Raise where an option says nothing of the kinds of data that a file may hold."""
    from chromatell.evaluation.tasks import TASKS, has_option

    for option in keywords("tl.evaluate"):
        if getattr(args, option) is not None and not any(has_option(kind, option) for kind in kinds):
            others = " or ".join(task.called for task in reversed(TASKS) if has_option(task, option))
            raise UsageError(f"--{option.replace('_', '-')} is of {others}; {str(args.input)!r} holds {holds}.")


def _options(args: argparse.Namespace) -> dict[str, Any]:
    """Return the keywords of ``ctl.tl.evaluate`` that were given, as Python takes them."""
    options = given(args, *keywords("tl.evaluate"))
    options["baselines"] = {"all": "all", "none": None}.get(",".join(args.baselines), args.baselines)
    if options.get("labels") == "none":
        options["labels"] = None
    if options.get("regions") == ["predictable"]:
        options["regions"] = "predictable"
    return options


def _write_csv(table: pd.DataFrame, path: Path | None) -> bool:
    """Write the table where that was asked for; return whether it went to stdout, where nothing else goes then."""
    if path is None:
        return False
    if str(path) == "-":
        table.to_csv(sys.stdout, index=False)
        return True
    from chromatell.io._write import sibling

    with sibling(path.absolute()) as temporary:
        table.to_csv(temporary, index=False)
    return False
