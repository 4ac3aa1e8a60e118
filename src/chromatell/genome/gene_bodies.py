"""Genes from start to end, for drawing them and for counting what lies in them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from chromatell._keys import CHROM, END, START
from chromatell._validate import ChromatellError, examples
from chromatell.genome._text_file import text_file
from chromatell.genome.annotation import _find, _is_preamble, _lines, _text, rows_of_gtf, same_length
from chromatell.genome.gtf import attribute, gene_name, is_whole, looks_like_gtf
from chromatell.genome.odd_rows import positions, split_row
from chromatell.genome.regions import one_based

_CURE = "Needed: a GTF, a BED of six columns, or a table with chrom, start, end, name and strand; plain text or gzip."


def read_gene_bodies(source: str | os.PathLike[str] | pd.DataFrame) -> pd.DataFrame:
    """Genes, one row each, from the first to the last of their transcripts' bases.

    Parameters
    ----------
    source
        As in :func:`chromatell.genome.annotation.read_genes`; a table needs `start`, `end` and `strand`.

    Returns
    -------
    pandas.DataFrame
        `chrom`, as in the source; `start`, `end`, int64, 0-based, half-open; `name`; `strand`, '+', '-' or '.';
        `gene_id`, ``''`` where none.

    Raises
    ------
    ChromatellError
        The file is absent, cut short, of another format, or has lines that do not parse.

    Examples
    --------
    >>> import pandas as pd
    >>> from chromatell.genome.gene_bodies import read_gene_bodies
    >>> table = pd.DataFrame({"chrom": ["chr1"], "start": [100], "end": [900], "name": ["A"], "strand": ["-"]})
    >>> read_gene_bodies(table).to_dict("list")
    {'chrom': ['chr1'], 'start': [100], 'end': [900], 'name': ['A'], 'strand': ['-'], 'gene_id': ['']}
    """
    if isinstance(source, pd.DataFrame):
        return _bodies(source, "the table")
    path = Path(source)
    with text_file(path, _CURE) as text:
        return _bodies(_table(_lines(text, path), path), str(path))


def _table(lines: Iterator[str], path: Path) -> pd.DataFrame:
    first = next((line for line in lines if not _is_preamble(line)), "")
    fields = first.split("\t")
    if looks_like_gtf(fields):
        return _gtf(first, lines, path)
    if len(fields) >= 6 and is_whole(fields[1]) and is_whole(fields[2]):
        rows = [fields, *(line.split("\t") for line in lines if line and not line.startswith(("#", "track")))]
        rows = same_length(rows, len(fields), path, _CURE)
        table = pd.DataFrame([[*r[:3], r[3].split("|")[0], r[5]] for r in rows])
        table = table.set_axis([CHROM, START, END, "name", "strand"], axis=1)
        return table.assign(gene_id=table["name"].where(table["name"].str.startswith("ENS"), ""))
    sep = "\t" if "\t" in first else ","
    header = [h.strip() for h in split_row(first.lstrip("#"), sep)]
    rows = [split_row(line, sep) for line in lines if line and not line.startswith("#")]
    return pd.DataFrame(same_length(rows, len(header), path, _CURE), columns=header)


def _gtf(first: str, lines: Iterator[str], path: Path) -> pd.DataFrame:
    """Keep the lines of the best kind there is; those of transcripts or exons are put together by gene."""
    kind, rows = rows_of_gtf(first, lines, path)
    ids = [attribute(r[8], "gene_id") for r in rows]
    table = pd.DataFrame(
        {
            CHROM: [r[0] for r in rows],
            START: [int(r[3]) - 1 for r in rows],  # 1-based, closed
            END: [int(r[4]) for r in rows],
            "name": [gene_name(r[8]) or i for r, i in zip(rows, ids, strict=True)],
            "strand": [r[6] for r in rows],
            "gene_id": ids,
        }
    )
    if kind == "gene":  # each line is one, also where an id comes at two places
        return table
    keys = ["gene_id", CHROM, "name", "strand"]
    return table.groupby(keys, sort=False).agg({START: "min", END: "max"}).reset_index() if rows else table


def _bodies(table: pd.DataFrame, where: str) -> pd.DataFrame:
    lower = [str(c).lower() for c in table.columns]
    keys = (CHROM, START, END, "gene", "gene_id", "strand")
    columns = {k: table.iloc[:, at] for k in keys if (at := _find(lower, k)) is not None}
    if "gene" not in columns and table.index.dtype.kind not in "iuf":
        columns["gene"] = pd.Series(table.index, index=table.index)
    if not {CHROM, START, END, "gene", "strand"} <= set(columns) or len(table) == 0:
        raise ChromatellError(f"{where} has columns {examples(table.columns, 12)} and {len(table)} genes. {_CURE}")
    place, keep = positions({START: columns[START], END: columns[END]}, where, interval=(START, END))
    start = place[START] - one_based(table, place[START], place[END])
    strand = _text(columns["strand"], "strand", where)
    bodies = pd.DataFrame(
        {
            CHROM: _text(columns[CHROM], CHROM, where),
            START: start,
            END: place[END],
            "name": _text(columns["gene"], "name", where),
            "strand": np.where(np.isin(strand, ["+", "-"]), strand, "."),
            "gene_id": _text(columns["gene_id"], "gene_id", where) if "gene_id" in columns else "",
        }
    )
    return bodies[keep].reset_index(drop=True)
