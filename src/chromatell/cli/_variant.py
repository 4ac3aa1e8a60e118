"""``chromatell variant``: what variants do to the accessibility of the sequence about them."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

from chromatell._keys import UNS, VARIANT_EFFECT
from chromatell._settings import settings
from chromatell.cli._console import output
from chromatell.cli._files import check_there
from chromatell.cli._prepare import given
from chromatell.cli._reading_model import check, given_cells, write_results
from chromatell.cli._signatures import NAMED

_POSITION = re.compile(r"[:-](g\.)?[0-9]")  # as every name of a variant has


def run(args: argparse.Namespace) -> None:
    """Score the variants in each group of cells; write a table, the data, or both."""
    check(args)
    variants = _variants(args.variants)

    from chromatell.genome.variant_names import is_variant_name
    from chromatell.tl import variant_effect

    mdata = given_cells(args)
    options: dict[str, Any] = {"per": args.groupby, "seed": args.seed, **given(args, "n_null", *NAMED)}
    variant_effect(mdata, variants, fasta=args.fasta, key=args.key or "xchrom", model=args.model, **options)
    table = mdata.uns[UNS][VARIANT_EFFECT]
    if write_results(mdata, table, args) and settings.verbosity:
        top = table.reindex(table["effect"].abs().sort_values(ascending=False).index).iloc[0]
        named = is_variant_name(top["id"]) and "," not in top["id"]
        what = top["id"] if named else f"{top['id'] or top['chrom']} {top['ref']}>{top['alt']}"
        said = f"{len(table):,} effects; largest: {what}"
        output().print(
            f"{said} in {top['group']}, {top['effect']:+.3f} (p {top['p']:.2g}).", soft_wrap=True, markup=False
        )


def _variants(said: Path) -> Path | list[str]:
    """Return the file that was named, or the names that stand in its place; raise where it is neither."""
    if not said.exists() and _POSITION.search(str(said)):  # looked at before the libraries are loaded
        from chromatell.genome.variant_names import is_variant_name

        if all(map(is_variant_name, names := str(said).split(","))):
            return names
    check_there(said, "file of variants")
    return said
