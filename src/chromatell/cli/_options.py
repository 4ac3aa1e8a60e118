"""Options that several commands share, and the types that options take."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any


def signal(group: Any) -> None:
    """Add the options of a sample's bigWigs."""
    for name, what in (("plus", "signal of the plus strand"), ("minus", "of the minus strand")):
        group.add_argument(f"--{name}", type=Path, metavar="X.bw", help=f"{what}, a bigWig")
    group.add_argument("--signal", type=Path, metavar="X.bw", help="signal without strand, in place of the two")


def files(
    parser: argparse.ArgumentParser, name: str, what: str, *, needs_output: bool, needs_input: bool = True
) -> None:
    """Add the arguments of input and output."""
    parser.add_argument("input", type=Path, nargs=None if needs_input else "?", metavar=name, help=what)
    parser.add_argument(
        "-o", "--output", type=Path, required=needs_output, metavar="OUT", help=".h5mu or .zarr to write; tracks: .zarr"
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace outputs that are there, of the same kind: data, tracks, bigWigs, tables; anything else stays",
    )


def fasta(parser: Any, what: str) -> None:
    """Add the option of a genome."""
    parser.add_argument("--fasta", type=Path, metavar="GENOME.fa", help=what)


def table(parser: argparse.ArgumentParser, what: str) -> None:
    """Add the option of a table."""
    parser.add_argument("--csv", type=Path, metavar="TABLE.csv", help=what)


def seed(parser: argparse.ArgumentParser) -> None:
    """Add the option of a seed."""
    parser.add_argument("--seed", type=natural, metavar="N", help="of every random step (default: 0)")


def depth(parser: Any) -> None:
    """Add the option of the depth at which cells are predicted."""
    parser.add_argument(
        "--depth",
        choices=("predicted", "fixed", "observed"),
        help="depth of a cell: predicted from its expression (default), fixed, or observed, which reads its ATAC",
    )


def predictions_store(parser: argparse.ArgumentParser, *names: str) -> None:
    """Add the option of a store for predictions that do not fit into the output."""
    parser.add_argument(
        *names,
        type=Path,
        metavar="OUT.zarr",
        help="write the predictions into this store, beside the output, instead of into it; needed for very large ones",
    )


def natural(text: str) -> int:
    """Return a whole number from 0."""
    return _number(text, int, lambda x: x >= 0, "a whole number from 0")


def positive(text: str) -> int:
    """Return a whole number from 1."""
    return _number(text, int, lambda x: x >= 1, "a whole number from 1")


def odd(text: str) -> int:
    """Return an odd whole number from 1."""
    return _number(text, int, lambda x: x >= 1 and x % 2 == 1, "an odd whole number from 1")


def rate(text: str) -> float:
    """Return a finite number over 0."""
    return _number(text, float, lambda x: x > 0, "a number over 0")


def not_negative(text: str) -> float:
    """Return a finite number from 0."""
    return _number(text, float, lambda x: x >= 0, "a number from 0")


def share(text: str) -> float:
    """Return a number from 0 to 1."""
    return _number(text, float, lambda x: 0 <= x <= 1, "a share, a number from 0 to 1")


def _number(text: str, kind: Any, fits: Callable[[Any], bool], what: str) -> Any:
    try:
        number = kind(text)
    except ValueError:
        number = None
    if number is None or not (fits(number) and number < 1e18):  # NaN fits nothing
        raise argparse.ArgumentTypeError(f"{text!r} is not {what}")
    return number


def named(text: str) -> tuple[str, Path]:
    """Return a name and a path, of NAME=PATH."""
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=X.bw, such as H3K4me3=H3K4me3.bw")
    return name, Path(path)
