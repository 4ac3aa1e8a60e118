"""``chromatell report``."""

from __future__ import annotations

import argparse

from chromatell._settings import settings
from chromatell.cli._console import output
from chromatell.cli._files import check_data, check_output


def run(args: argparse.Namespace) -> None:
    """Write one page of what a file holds."""
    check_output(args.output, [args.input], overwrite=args.overwrite, suffixes=(".html", ".htm"), kind="text")
    check_data(args.input)

    from chromatell import io

    io.report(args.input, args.output, groupby=args.groupby, title=args.title, overwrite=args.overwrite)
    if settings.verbosity:
        output().print(f"Wrote the report to {args.output}.", soft_wrap=True, markup=False)
