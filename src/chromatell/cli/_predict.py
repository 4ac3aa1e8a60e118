"""``chromatell predict``."""

from __future__ import annotations

import argparse

from chromatell._settings import settings
from chromatell.cli._console import output
from chromatell.cli._files import UsageError, check_output, check_store, check_there, write


def run(args: argparse.Namespace) -> None:
    """Apply a stored model to a file of cells, write."""
    check_output(args.output, [args.input, args.model], overwrite=args.overwrite)
    check_store(args.out_store, args.output)
    if args.fasta is not None and args.regions is None:
        raise UsageError("--fasta is for regions that the model does not hold. Name them: --regions REGIONS.bed.")
    check_there(args.regions, "regions")
    check_there(args.fasta, "FASTA")

    from chromatell.data import BinnedTracks
    from chromatell.tl import predict

    result = predict(
        args.input,
        model=args.model,
        key=args.key,
        regions=args.regions,
        fasta=args.fasta,
        depth=args.depth,
        out=args.out_store,
    )
    if isinstance(result, BinnedTracks):
        raise UsageError("The model reads tracks. Use it in Python: ctl.tl.predict(tracks, model=...).save(path).")
    write(result, args.output)
    if settings.verbosity:
        where = args.output if args.out_store is None else args.out_store
        output().print(f"Wrote the predictions for {result.n_obs:,} cells to {where}.", soft_wrap=True, markup=False)
