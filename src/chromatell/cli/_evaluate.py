"""``chromatell evaluate``."""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from chromatell._keys import EVALUATION, UNS
from chromatell.cli._console import output
from chromatell.cli._files import check_output, read_multiome, write
from chromatell.cli._tables import gains, kinds, leaderboard


def run(args: argparse.Namespace) -> None:
    """Score the predictions in a file, print the leaderboard, write what was asked for."""
    if args.output is not None:
        check_output(args.output, [args.input], overwrite=args.overwrite)
    if args.csv is not None:
        check_output(args.csv, [args.input], overwrite=False, suffixes=(".csv",))
    mdata = read_multiome(args.input)

    from chromatell.tl import evaluate

    evaluate(
        mdata,
        args.models,
        baselines={"all": "all", "none": None}.get(",".join(args.baselines), args.baselines),
        split=args.split,
        views=args.views,
        labels=None if args.labels == "none" else args.labels,
        depth_key=args.depth_key,
        n_bootstrap=args.n_bootstrap,
        seed=args.seed,
    )
    if args.csv is not None:
        _write_csv(mdata.uns[UNS][EVALUATION], args.csv)
    if args.output is not None:
        write(mdata, args.output)
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


def _write_csv(table: pd.DataFrame, path: Path) -> None:
    from chromatell.io._write import beside

    with beside(path.absolute()) as temporary:
        table.to_csv(temporary, index=False)
