"""Genes and their transcription start sites, read from GTF, BED or a table."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import numpy as np
import pandas as pd

from chromatell._keys import CHROM, END, START
from chromatell._settings import logger
from chromatell._validate import ChromatellError, examples
from chromatell.genome._text_file import text_file
from chromatell.genome.gtf import attribute, gene_name, gene_type, gtf_fields, is_whole, looks_like_gtf
from chromatell.genome.odd_rows import OddLines, find_column, keep_rows, positions, split_row
from chromatell.genome.regions import one_based

COLUMNS = ("gene", "gene_id", CHROM, "tss", "strand", "gene_type")
_MAX_LINE = 65_536  # characters; the longest BED12 or GTF lines in use have about 10,000
_MAX_FIELD = 512  # characters of a name, an id or a type
_MAX_TOTAL = 4_000_000_000  # characters after decompression; a full GENCODE release has 1.6 billion
_ALIASES = {
    CHROM: ("chrom", "chr", "chromosome", "seqname", "seqnames"),
    START: ("start", "chromstart", "txstart"),
    END: ("end", "chromend", "txend"),
    "gene": ("gene", "gene_name", "name", "symbol", "gene_symbol"),
    "gene_id": ("gene_id", "gene_ids", "ensembl_id"),
    "tss": ("tss",),
    "strand": ("strand",),
    "gene_type": ("gene_type", "gene_biotype", "biotype"),
}
_KINDS = ("gene", "transcript", "mRNA", "exon")  # kinds of lines, the best first
_CURE = (
    "Needed: a GTF, a BED with the strand in column 6, or a table with a header that names chrom, name, and tss or "
    "start, end and strand; plain text or gzip."
)


def read_genes(source: str | Path | pd.DataFrame) -> pd.DataFrame:
    """Transcription start sites, one row each.

    Parameters
    ----------
    source
        - GTF (1-based, closed): its `gene` lines; else its `transcript` lines; else transcripts put together from
          `exon` lines.
        - BED of six or more columns (0-based, half-open), a gene or a transcript a line; a name such as
          ``gene|transcript|type`` is taken apart.
        - A table with a header (tab or comma) or a DataFrame: `chrom`, `name` (or `gene`) and/or `gene_id`, and `tss`
          (0-based) or else `start`, `end` (0-based, half-open) and `strand`; `gene_type` if there. A DataFrame without
          a column of names is named by its index.

        Plain text, gzip or bgzip, told by content and not by suffix.

    Returns
    -------
    pandas.DataFrame
        `gene` (``''`` where only an id is known), `gene_id` (``''`` where none), `chrom`, as in the source; `tss`,
        int64, 0-based position of the first transcribed base; `strand`, '+', '-' or '.'; `gene_type`. A gene with
        several start sites has several rows; equal rows are kept once.

    Raises
    ------
    ChromatellError
        The file is absent, cut short, binary, of another format, or has lines that do not parse or fields past 512
        characters.

    Examples
    --------
    >>> import pandas as pd
    >>> from chromatell.genome.annotation import read_genes
    >>> table = pd.DataFrame({"chrom": ["chr1"], "start": [100], "end": [900], "name": ["A"], "strand": ["-"]})
    >>> int(read_genes(table)["tss"][0])
    899
    """
    genes = _from_table(source, "the table") if isinstance(source, pd.DataFrame) else _read_file(Path(source))
    genes = genes.drop_duplicates(ignore_index=True)
    if genes.empty:
        raise ChromatellError(f"The annotation holds no gene with a start site. {_CURE}")
    return genes


def strip_version(ids: pd.Series) -> pd.Series:
    """Return Ensembl ids without their version: ``ENSG00000233866.1`` becomes ``ENSG00000233866``; others stay."""
    return ids.astype(str).str.replace(r"^(ENS[A-Z]*\d+)\.\d+", r"\1", regex=True)


def _read_file(path: Path) -> pd.DataFrame:
    with text_file(path, _CURE) as handle:
        lines = _lines(handle, path)
        first = next((line for line in lines if not _is_preamble(line)), "")
        fields = first.split("\t")
        if looks_like_gtf(fields):
            return _from_gtf(first, lines, path)
        if len(fields) >= 3 and is_whole(fields[1]) and is_whole(fields[2]):
            return _from_bed(first, lines, path)
        sep = "\t" if "\t" in first else ","
        header = [h.strip() for h in split_row(first.lstrip("#"), sep)]
        if len(header) >= 3 and _find([h.lower() for h in header], CHROM) is not None:
            rows = [split_row(line, sep) for line in lines if line and not line.startswith("#")]
            return _from_table(pd.DataFrame(same_length(rows, len(header), path), columns=header), str(path))
    raise ChromatellError(f"{str(path)!r} is not an annotation that can be read; it begins {first[:80]!r}. {_CURE}")


def _lines(handle: TextIO, path: Path) -> Iterator[str]:
    total = number = 0
    while line := handle.readline(_MAX_LINE + 1):
        number, total = number + 1, total + len(line)
        if len(line) > _MAX_LINE or "\x00" in line:
            what = "binary data" if "\x00" in line else f"over {_MAX_LINE} characters"
            raise ChromatellError(f"{str(path)!r}, line {number}: {what}. {_CURE}")
        if total > _MAX_TOTAL:
            raise ChromatellError(f"{str(path)!r} holds over {_MAX_TOTAL} characters. Give the lines of genes alone.")
        yield line.rstrip("\r\n")


def _is_preamble(line: str) -> bool:
    if not line.strip() or line.startswith(("##", "#!", "track", "browser")):
        return True
    return line.startswith("#") and _find(line.lstrip("# ").lower().replace(",", "\t").split("\t"), CHROM) is None


def same_length(rows: list[list[str]], n: int, path: Path, cure: str = "Mend the file.") -> list[list[str]]:
    """Return the rows of n fields; a few others are left out, and counted in a warning."""
    odd = OddLines(repr(str(path)))
    kept = []
    for row in rows:
        if len(row) == n:
            kept.append(row)
        else:
            odd.add("\t".join(row[:4]))
            bad = len(row)
    if odd.n:
        odd.finish(len(kept), f"a line has {bad} columns where {n} are needed", cure)
    return kept


def rows_of_gtf(first: str, lines: Iterator[str], path: Path) -> tuple[str, list[list[str]]]:
    """Return the best kind of line that there is, and the fields of its lines; ``''`` and none where there is none."""
    kinds: dict[str, list[list[str]]] = {kind: [] for kind in _KINDS}
    odd = OddLines(repr(str(path)))
    line: str | None = first
    while line is not None:
        head = line.split("\t", 3)
        wanted = len(head) > 2 and head[2] in kinds and not line.startswith("#")
        # one kind is enough: exons are a hundred times the genes
        if wanted and not any(kinds[k] for k in _KINDS[: _KINDS.index(head[2])]):
            fields = gtf_fields(line)
            if fields is None:
                odd.add(line)
            else:
                kinds[head[2]].append(fields)
        line = next(lines, None)
    odd.finish(sum(map(len, kinds.values())), "not a line of GTF", "Mend the file.")
    return next(((kind, rows) for kind, rows in kinds.items() if rows), ("", []))


def _from_gtf(first: str, lines: Iterator[str], path: Path) -> pd.DataFrame:
    kind, rows = rows_of_gtf(first, lines, path)
    if not kind:
        raise ChromatellError(f"{str(path)!r} has no 'gene', 'transcript' or 'exon' line. {_CURE}")
    if not any(attribute(row[8], "gene_id") for row in rows):
        raise ChromatellError(
            f"{str(path)!r} has no gene_id in its attributes ({rows[0][8][:60]!r}); is it GFF3? "
            "Convert it to GTF: gffread -T."
        )
    table = pd.DataFrame(
        {
            "gene": [gene_name(r[8]) for r in rows],
            "gene_id": [attribute(r[8], "gene_id") for r in rows],
            CHROM: [r[0] for r in rows],
            START: np.array([int(r[3]) - 1 for r in rows], dtype=np.int64),  # 1-based, closed
            END: np.array([int(r[4]) for r in rows], dtype=np.int64),
            "strand": [r[6] for r in rows],
            "gene_type": [gene_type(r[8]) for r in rows],
        }
    )
    if kind == "exon":
        table["transcript"] = [attribute(r[8], "transcript_id") or attribute(r[8], "gene_id") for r in rows]
        keys = ["transcript", "gene", "gene_id", CHROM, "strand", "gene_type"]
        table = table.groupby(keys, sort=False).agg({START: "min", END: "max"}).reset_index()
    return _from_table(table, str(path))


def _from_bed(first: str, lines: Iterator[str], path: Path) -> pd.DataFrame:
    rows = [first.split("\t"), *(line.split("\t") for line in lines if line and not line.startswith(("#", "track")))]
    rows = same_length(rows, len(rows[0]), path)
    if len(rows[0]) < 6:
        raise ChromatellError(
            f"{str(path)!r} has {len(rows[0])} columns; a start site needs the strand, column 6 of a BED. {_CURE}"
        )
    parts = [row[3].split("|") for row in rows]
    table = pd.DataFrame([row[:3] + [row[5]] for row in rows], columns=[CHROM, START, END, "strand"])
    table["gene"] = [p[0] for p in parts]
    table["gene_id"] = [p[0] if p[0].startswith("ENS") else "" for p in parts]
    table["gene_type"] = [p[2] if len(p) == 3 else "" for p in parts]
    return _from_table(table, str(path))


def _find(names: list[str], wanted: str) -> int | None:
    return find_column(names, _ALIASES[wanted])


def _from_table(table: pd.DataFrame, where: str) -> pd.DataFrame:
    lower = [str(c).lower() for c in table.columns]
    given = {key: table.iloc[:, at] for key in _ALIASES if (at := _find(lower, key)) is not None}
    if "gene" not in given and table.index.dtype.kind not in "iuf":
        given["gene"] = pd.Series(table.index, index=table.index)
    interval = {START, END, "strand"} <= set(given)
    if CHROM not in given or not ({"gene", "gene_id"} & set(given)) or not ("tss" in given or interval):
        raise ChromatellError(f"{where} has columns {examples(table.columns, 12)}. {_CURE}")
    n = len(table)
    text = {k: _text(given[k], k, where) if k in given else np.full(n, "", dtype=object) for k in COLUMNS if k != "tss"}
    if "strand" not in given:
        text["strand"] = np.full(n, ".", dtype=object)
    if "tss" in given:
        place, good = positions({"tss": given["tss"]}, where)
        tss, stranded = place["tss"], np.ones(n, dtype=bool)
    else:
        place, good = positions({START: given[START], END: given[END]}, where, interval=(START, END))
        start = place[START] - one_based(table, place[START], place[END])
        stranded = np.isin(text["strand"], ["+", "-"])
        tss = np.where(text["strand"] == "-", place[END] - 1, start)
    whole = (text[CHROM] != "") & ((text["gene"] != "") | (text["gene_id"] != ""))
    keep = good & stranded & keep_rows(~whole, where, "genes have no name, or no chromosome", _CURE)
    if not stranded.all():
        logger.info("%d of %d genes have no strand, so no start site; they are left out.", int((~stranded).sum()), n)
    columns = {k: tss if k == "tss" else text[k] for k in COLUMNS}
    return pd.DataFrame({k: v[keep] for k, v in columns.items()})


def _text(column: pd.Series, name: str, where: str) -> np.ndarray:
    values = column.astype(object).where(column.notna(), "").astype(str).str.strip()
    if values.str.len().max() > _MAX_FIELD:
        raise ChromatellError(f"{where}: a {name} has over {_MAX_FIELD} characters. Mend the file.")
    return values.to_numpy(dtype=object)
