"""Variants, read from VCF or from a table: one row an alternative allele."""

from __future__ import annotations

import csv
import gzip
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

import numpy as np
import pandas as pd

from chromatell._keys import CHROM, START
from chromatell._validate import ChromatellError, examples, warn
from chromatell.genome.odd_rows import OddLines, find_column, keep_rows, split_row
from chromatell.genome.variant_names import FORM, is_variant_name, named_variants

COLUMNS = (CHROM, "pos", "id", "ref", "alt")
_VCF = ["#CHROM", "POS", "ID", "REF", "ALT"]
_KEPT = 65_536  # characters of a line that are read; the genotypes after them are passed over
_MAX_LINE = 64_000_000  # bytes of a whole line: a million genotypes
_MAX_TOTAL = 200_000_000_000  # characters after decompression
_MAX_ROWS = 20_000_000
_MAX_POSITION = 10**11
_MAX_FIELD = 512  # characters of a chromosome's name or an id
_MAX_ALLELE = 10_000  # bases; longer ones are structural variants, which no window of sequence holds
_ALIASES = {
    CHROM: ("chrom", "#chrom", "chr", "chromosome", "seqname", "seqnames", "contig"),
    "pos": ("pos", "position"),
    START: ("start", "chromstart"),
    "id": ("id", "rsid", "name", "snp", "variant", "variant_id"),
    "ref": ("ref", "reference", "ref_allele"),
    "alt": ("alt", "alternate", "alternative", "alt_allele"),
}
_CURE = (
    "Needed: a VCF, or a table (tab or comma) whose header names chrom, pos (1-based, as in VCF) or start (0-based), "
    "ref and alt; plain text or gzip. A BCF is turned into one with: bcftools view -Oz -o out.vcf.gz in.bcf."
)


def read_variants(source: str | Path | pd.DataFrame | Sequence[str]) -> pd.DataFrame:
    """Variants, one row an alternative allele.

    Parameters
    ----------
    source
        - VCF: the first five columns are read, genotypes passed over.
        - A table with a header (tab or comma), or a DataFrame: `chrom`, `pos` (1-based, as in VCF) or `start`
          (0-based), `ref`, `alt`, and `id` if there.
        - Names, one or a list: ``'chr1:2250:C>G'``, ``'chr1:g.2250C>G'`` or ``'chr1-2250-C-G'``, 1-based.

        Plain text, gzip or bgzip, told by content and not by suffix. Several alternative alleles, ``A,T``, become a row
        each.

    Returns
    -------
    pandas.DataFrame
        `chrom`, as in the source; `pos`, int64, 1-based position of the first base of `ref`; `id` (``''`` where none);
        `ref` and `alt`, upper case, of A, C, G and T.

    Raises
    ------
    ChromatellError
        The file is absent, cut short, binary or of another format, a line does not parse, or no allele is left.

    Warns
    -----
    ChromatellWarning
        Alleles that are symbolic (``<DEL>``), missing (``.``, ``*``), breakends, of other letters, or longer than
        10,000 bases were left out.

    Examples
    --------
    >>> import pandas as pd
    >>> from chromatell.genome.variants import read_variants
    >>> table = pd.DataFrame({"chrom": ["chr1"], "pos": [101], "ref": ["a"], "alt": ["C,G"]})
    >>> read_variants(table)[["pos", "ref", "alt"]].values.tolist()
    [[101, 'A', 'C'], [101, 'A', 'G']]
    """
    if isinstance(source, pd.DataFrame):
        table, where = _of_frame(source), "the table of variants"
    elif isinstance(source, str) and is_variant_name(source) and not Path(source).exists():
        table, where = _of_frame(named_variants([source])), "the variant"
    elif isinstance(source, list | tuple | np.ndarray | pd.Series | pd.Index):
        table, where = _of_frame(named_variants(source)), "the list of variants"
    elif not isinstance(source, str | os.PathLike):
        raise ChromatellError(
            f"Expected a file, a table or names of variants, got {type(source).__name__}. Names are {FORM}. {_CURE}"
        )
    else:
        path = Path(source)
        where = repr(str(path))
        if not path.is_file():
            raise ChromatellError(f"No file of variants at {where}; a variant's name is {FORM}. {_CURE}")
        try:
            table = _of_file(path)
        except (UnicodeDecodeError, EOFError, csv.Error, gzip.BadGzipFile, zlib.error) as error:
            raise ChromatellError(f"{where} is not a whole text file ({type(error).__name__}: {error}). {_CURE}") from (
                error
            )
    return _alleles(table, where)


def _of_file(path: Path) -> pd.DataFrame:
    with path.open("rb") as handle:
        compressed = handle.read(2) == b"\x1f\x8b"
    opener: Callable[..., TextIO] = gzip.open if compressed else open
    with opener(path, "rt", encoding="utf-8") as handle:
        lines = _lines(handle, path)
        header, is_vcf = "", False
        for header in lines:
            is_vcf |= header.startswith("##fileformat=VCF")
            if header.strip() and not header.startswith("##"):
                break
        separator = "\t" if "\t" in header else ","
        names = [name.strip() for name in split_row(header, separator)]
        if len(names) < 4 or not _is_header(names):
            raise ChromatellError(f"{str(path)!r} begins with {header[:60]!r}, which names no columns. {_CURE}")
        if is_vcf and names[:5] != _VCF:
            raise ChromatellError(
                f"{str(path)!r} is a VCF whose columns are {examples(names, 5)}; the format has {', '.join(_VCF)}, in "
                "this order. Mend its header, or take '##fileformat' out if it is a table of yours."
            )
        at = list(_columns(names, repr(str(path))).values())
        kept = [names[i] for i in at]
        last = max(at) + 1
        rows, odd = [], OddLines(repr(str(path)))
        for line in lines:
            if not line.strip() or line.startswith("#"):
                continue
            fields = line.split("\t", last) if separator == "\t" else next(csv.reader([line]))
            if len(line) >= _KEPT and len(fields) <= last:  # its alleles run over what is read: structural
                fields = [*fields[: last - 1], *["<long>"] * (last - len(fields[: last - 1]))]
            if len(fields) < last:
                odd.add(line)
                n_fields = len(fields)
                continue
            rows.append([_unquoted(fields[i].strip()) for i in at])
            if len(rows) > _MAX_ROWS:
                raise ChromatellError(f"{str(path)!r} holds over {_MAX_ROWS:,} variants. Split it by chromosome.")
        if odd.n:
            odd.finish(len(rows), f"a line of {n_fields} fields where at least {last} are needed", _CURE)
    return _of_frame(pd.DataFrame(rows, columns=kept, dtype=object))


def _unquoted(text: str) -> str:
    """Return a field without the quotes about it, as R writes them; one quote alone is part of a damaged field."""
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def _lines(handle: TextIO, path: Path) -> Iterator[str]:
    """Yield the first characters of each line, enough for the columns that are read."""
    total = 0
    while head := handle.readline(_KEPT):
        size, rest = len(head), head
        while not rest.endswith("\n") and (rest := handle.readline(_KEPT)):
            size += len(rest)
            if size > _MAX_LINE:
                raise ChromatellError(f"{str(path)!r} has a line of over {_MAX_LINE:,} characters. {_CURE}")
        total += size
        if total > _MAX_TOTAL:
            raise ChromatellError(f"{str(path)!r} holds over {_MAX_TOTAL:,} characters. Split it by chromosome.")
        if "\x00" in head:
            raise ChromatellError(f"{str(path)!r} is not a text file (it holds NUL characters). {_CURE}")
        yield head.rstrip("\r\n")


def _is_header(names: list[str]) -> bool:
    lower = {name.lower() for name in names}
    return bool(lower & set(_ALIASES[CHROM])) and bool(lower & set(_ALIASES["ref"]))


def _columns(names: list[str], where: str) -> dict[str, int]:
    """Return the place of each column of a table, or say what is not there."""
    lower = [str(name).lower() for name in names]
    places = {key: find_column(lower, known, where) for key, known in _ALIASES.items()}
    if places["pos"] is not None:
        places[START] = None
    missing = [key for key in (CHROM, "ref", "alt") if places[key] is None]
    if places["pos"] is None and places[START] is None:
        missing.append("pos")
    if missing:
        raise ChromatellError(f"{where} has columns {examples(names, 12)}, but no {', '.join(missing)}. {_CURE}")
    return {key: at for key, at in places.items() if at is not None}


def _of_frame(table: pd.DataFrame) -> pd.DataFrame:
    """Return the columns by our names; `pos` is 0 where there is none, `given` what stands there."""
    columns = {key: table.iloc[:, at] for key, at in _columns(list(table.columns), "The table of variants").items()}
    given = columns.get("pos", columns.get(START))
    assert given is not None
    first = 1 if "pos" in columns else 0
    number = pd.to_numeric(given, errors="coerce").to_numpy(dtype=np.float64)
    whole = (number >= first) & (number < _MAX_POSITION) & (number % 1 == 0)
    text = {key: _text(columns[key], key) for key in (CHROM, "id", "ref", "alt") if key in columns}
    n = len(table)
    return pd.DataFrame(
        {
            CHROM: text[CHROM],
            "pos": np.where(whole, number + (1 - first), 0).astype(np.int64),
            "id": text.get("id", np.full(n, "", dtype=object)),
            "ref": text["ref"],
            "alt": text["alt"],
            "given": given.astype(object).astype(str).to_numpy(dtype=object),
        }
    )


def _text(column: pd.Series, name: str) -> np.ndarray:
    values = column.astype(object).where(column.notna(), "").astype(str).str.strip()
    if name in ("ref", "alt"):
        return values.str.upper().to_numpy(dtype=object)
    if len(values) and values.str.len().max() > _MAX_FIELD:
        raise ChromatellError(f"A {name} of the variants has over {_MAX_FIELD} characters. Mend the file.")
    return values.where(values != ".", "").to_numpy(dtype=object)


def _alleles(table: pd.DataFrame, where: str) -> pd.DataFrame:
    """Split rows of several alleles and leave out what is not a sequence."""
    if table.empty:
        raise ChromatellError(f"{where} holds no variant. {_CURE}")
    table = table.assign(alt=table["alt"].str.split(",")).explode("alt", ignore_index=True)
    usable = np.ones(len(table), dtype=bool)
    for name in ("ref", "alt"):
        usable &= table[name].str.fullmatch(f"[ACGT]{{1,{_MAX_ALLELE}}}").to_numpy(dtype=bool)
    usable &= (table["ref"] != table["alt"]).to_numpy(dtype=bool)
    if not usable.any():
        raise ChromatellError(
            f"None of the {len(table)} alleles of {where} is a sequence of A, C, G and T other than REF (such as "
            f"{examples(table['ref'] + '>' + table['alt'])}). {_CURE}"
        )
    if not usable.all():
        left = table.loc[~usable, ["ref", "alt"]].agg(">".join, axis=1).str.slice(0, 40)
        warn(
            f"{int((~usable).sum())} of {len(table)} alleles of {where} are symbolic, missing, with N, REF itself or "
            f"over {_MAX_ALLELE:,} bases (such as {examples(left)}); they are left out."
        )
    # a breakend at a telomere has position 0 or one past the end: with its allele it is gone
    nowhere = (~table[CHROM].str.contains(r"\w")).to_numpy(dtype=bool)[usable]  # nothing, or a stray quote
    bad = (table["pos"] == 0).to_numpy()[usable] | nowhere
    shown = examples(table.loc[usable, "given"][bad])
    what = "chromosome" if nowhere.any() else "position"
    fault = f"variants have no {what} (such as {shown}); whole numbers from 1 on are needed (of start, from 0 on)"
    keep = keep_rows(bad, where, fault, _CURE)
    return table.loc[usable, list(COLUMNS)][keep].reset_index(drop=True)
