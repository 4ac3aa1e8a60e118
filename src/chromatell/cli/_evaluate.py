"""``chromatell evaluate``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

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
from chromatell.cli._signatures import NAMED

if TYPE_CHECKING:
    import pandas as pd

_OF_CELLS = ("top", "max_regions", *NAMED)
_OF_TRACKS = ("targets", "resolutions", "threshold", "within", "block")


def run(args: argparse.Namespace) -> None:
    """Score the predictions in a file, print the leaderboard, write what was asked for."""
    check_scored(args)
    check_data(args.input)
    check_table(args)
    check_there(args.within, "file of --within")

    from chromatell.data._tracks_store import is_tracks_store

    if is_tracks_store(args.input):
        _tracks(args)
    else:
        _cells(args)


def _cells(args: argparse.Namespace) -> None:
    for option in _OF_TRACKS:
        if getattr(args, option) is not None:
            raise UsageError(f"--{option} is of tracks; {str(args.input)!r} holds cells.")
    of_bins, of_both = (".h5ad", ".zarr"), (".h5mu", ".zarr")
    if args.output is not None:
        possible = {".h5ad": of_bins, ".h5mu": of_both}.get(args.input.suffix, (".h5mu", *of_bins))
        check_output(args.output, [args.input], overwrite=args.overwrite, suffixes=possible, has_table=True)

    from anndata import AnnData

    from chromatell.cli._tables import gains, kinds, leaderboard
    from chromatell.io import read
    from chromatell.tl import evaluate

    mdata = read(args.input)
    holds, suffixes = ("one AnnData", of_bins) if isinstance(mdata, AnnData) else ("a MuData", of_both)
    if args.output is not None and args.output.suffix not in suffixes:
        raise UsageError(f"{args.input} holds {holds}: the output must end in {' or '.join(suffixes)}.")
    evaluate(
        mdata,
        args.models,
        baselines=_baselines(args),
        split=args.split,
        pairs=args.pairs,
        views=args.views,
        labels=None if args.labels == "none" else args.labels,
        depth_key=args.depth_key,
        n_bootstrap=args.n_bootstrap,
        seed=args.seed,
        **given(args, "removed", "motifs", "regions", *_OF_CELLS),
    )
    if args.output is not None:
        write(mdata, args.output)
    if _write_csv(mdata.uns[UNS][EVALUATION], args.csv):
        return
    console = output()
    there = kinds(mdata)
    for pairs in there:
        title = f"{args.input}, {args.split} cells" if len(there) == 1 else f"{args.input}, {pairs} pairs, {args.split}"
        if pairs != there[0]:
            console.print("")
        console.print(leaderboard(mdata, title, pairs=pairs))
        improved = gains(mdata, pairs if len(there) > 1 else None)
        if improved is not None:  # there are no models, only baselines
            console.print("", improved)


def _tracks(args: argparse.Namespace) -> None:
    for option in ("pairs", "depth_key", "removed", "motifs", *_OF_CELLS):
        if getattr(args, option) is not None:
            raise UsageError(f"--{option.replace('_', '-')} is of cells; {str(args.input)!r} holds tracks.")
    if args.output is not None:
        check_tracks_output(args.output, [args.input], overwrite=args.overwrite)

    from chromatell.cli._track_table import track_gains, track_leaderboard
    from chromatell.data import BinnedTracks
    from chromatell.tl import evaluate

    tracks = BinnedTracks.open(args.input)
    options = {"views": args.views, "n_bootstrap": args.n_bootstrap, "seed": args.seed}
    options |= given(args, "regions", *_OF_TRACKS)
    evaluate(tracks, args.models, baselines=_baselines(args), split=args.split, **options)
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


def _baselines(args: argparse.Namespace) -> str | list[str] | None:
    return {"all": "all", "none": None}.get(",".join(args.baselines), args.baselines)


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
