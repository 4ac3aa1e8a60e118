"""``chromatell export``: a model alone, with its card."""

from __future__ import annotations

import argparse
from shlex import quote

from chromatell._settings import settings
from chromatell.cli._console import output
from chromatell.cli._files import UsageError, check_data, check_folder


def run(args: argparse.Namespace) -> None:
    """Write one model of a file into a folder, without a cell of the data."""
    if args.output.suffix in (".h5mu", ".h5ad", ".zarr", ".safetensors") or args.output.is_file():
        raise UsageError(f"The output {str(args.output)!r} must be a folder to make, such as shared_model.")
    check_folder(args.output, "-o")
    if (args.output / "README.md").exists() and not args.overwrite:
        raise UsageError(
            f"The folder {str(args.output)!r} holds a README.md already. Name another, or say --overwrite."
        )
    check_data(args.input, model=True)

    from chromatell import io

    folder = io.export_model(args.input, args.key, args.output, overwrite=args.overwrite)
    if settings.verbosity:
        lines = [
            f"Wrote the model and its card, README.md, to {folder}; no cell goes with it.",
            f"Apply it:  chromatell predict QUERY.h5ad --model {quote(str(folder))} -o PREDICTED.h5mu",
        ]
        output().print("\n".join(lines), soft_wrap=True, markup=False)
