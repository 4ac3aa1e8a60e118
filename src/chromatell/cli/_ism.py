"""``chromatell ism``: every base of a region changed to each other one."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chromatell._compat import text_of
from chromatell._keys import ISM, UNS
from chromatell._settings import settings
from chromatell.cli._console import output
from chromatell.cli._prepare import given
from chromatell.cli._reading_model import check, given_cells, write_results
from chromatell.cli._signatures import NAMED

if TYPE_CHECKING:
    import pandas as pd


def run(args: argparse.Namespace) -> None:
    """Read the model's sequences with each change; write a table, the data, or both."""
    check(args)

    from chromatell.tl import ism

    mdata = given_cells(args)
    path = Path(args.regions)  # a pipe has no suffix
    regions: Any = path if path.is_file() or path.suffix in (".bed", ".gz") else args.regions.split(",")
    options = given(args, "window", "batch_size", *NAMED)
    ism(mdata, regions, key=args.key or "xchrom", model=args.model, groupby=args.groupby, fasta=args.fasta, **options)
    table = long_table(mdata.uns[UNS][ISM])
    if write_results(mdata, table, args) and settings.verbosity:
        top = table.loc[table["effect"].abs().idxmax()]
        said = f"{len(table):,} effects; largest: {top['ref']}>{top['alt']} at {top['chrom']}:{top['pos']}"
        output().print(f"{said} in {top['group']}, {top['effect']:+.3f}.", soft_wrap=True, markup=False)


def long_table(mutagenesis: dict[str, Any]) -> pd.DataFrame:
    """Return a row for each region, group, place and other base: `pos` is 1-based, as in a VCF."""
    import numpy as np
    import pandas as pd

    effect, tokens = np.asarray(mutagenesis["effect"]), np.asarray(mutagenesis["tokens"])
    n_regions, n_groups, _, width = effect.shape
    r, g, b, i = (axis.ravel() for axis in np.indices((n_regions, n_groups, 4, width)))
    keep = (tokens[r, i] != b) & (tokens[r, i] < 4)
    r, g, b, i = r[keep], g[keep], b[keep], i[keep]
    names = np.array(list("ACGTN"))
    columns = {
        "region": text_of(mutagenesis["regions"])[r],
        "chrom": text_of(mutagenesis["chrom"])[r],
        "pos": np.asarray(mutagenesis["start"])[r] + i + 1,
        "ref": names[tokens[r, i]],
        "alt": names[b],
        "group": text_of(mutagenesis["groups"])[g],
        "effect": effect[r, g, b, i],
    }
    return pd.DataFrame(columns)
