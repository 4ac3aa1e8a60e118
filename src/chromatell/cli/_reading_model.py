"""What ``chromatell variant`` and ``ism`` share: cells with a model that reads DNA in, a table out."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from chromatell.cli._files import UsageError, check_data, check_output, check_table, check_there, read_multiome, write

if TYPE_CHECKING:
    import pandas as pd


def check(args: argparse.Namespace) -> None:
    """Raise, before anything is read, where the call could not end well.

    Raises
    ------
    UsageError
        No output is named, or one that cannot be written.
    ChromatellError
        No such genome.
    """
    if args.output is None and args.csv is None:
        raise UsageError("Name an output: --csv TABLE.csv (- is stdout), -o OUT.h5mu, or both.")
    if args.output is not None:
        other = None if args.model == args.input else args.model  # the output holds all that the input does
        check_output(args.output, [args.input], overwrite=args.overwrite, model=other, has_table=True)
    check_table(args)
    check_there(args.fasta, "FASTA")
    check_data(args.input)
    check_data(args.model, model=True)


def given_cells(args: argparse.Namespace) -> Any:
    """Return the cells, and turn ``--groupby none`` into None."""
    args.groupby = None if args.groupby == "none" else args.groupby
    return read_multiome(args.input)


def write_results(mdata: Any, table: pd.DataFrame, args: argparse.Namespace) -> bool:
    """Write what was asked for; return whether stdout is free for a word."""
    if args.output is not None:
        write(mdata, args.output)
    if args.csv is None:
        return True
    if str(args.csv) == "-":
        table.to_csv(sys.stdout, index=False)
        return False
    from chromatell.io._write import sibling

    with sibling(args.csv.absolute()) as temporary:
        table.to_csv(temporary, index=False)
    return True
