"""Transcripts with their exons and untranslated ends, from GTF, BED12 or a table of genes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from chromatell._keys import CHROM, END, START
from chromatell._settings import logger
from chromatell._validate import ChromatellError
from chromatell.genome._text_file import text_file
from chromatell.genome.annotation import COLUMNS, _find, _is_preamble, _lines, read_genes, strip_version
from chromatell.genome.gene_bodies import _table
from chromatell.genome.gtf import attribute, gene_name, gene_type, gtf_fields, is_whole, looks_like_gtf
from chromatell.genome.odd_rows import OddLines, positions
from chromatell.genome.regions import one_based

_CURE = (
    "Needed: a GTF, a BED12 (or a BED of six columns: no exons then), or a table with chrom, name, strand and start, "
    "end or tss; plain text or gzip."
)
_UTR = {
    "five_prime_utr": 5, "five_prime_UTR": 5, "5UTR": 5, "three_prime_utr": 3, "three_prime_UTR": 3, "3UTR": 3,
}  # fmt: skip
_CODING = ("CDS", "stop_codon")
_TRANSCRIPT = ("transcript", "mRNA")
_INTERVAL = (CHROM, START, END)
_UNKNOWN = "unknown_transcript"  # one id that NCBI gives to the exons of many genes


@dataclass(frozen=True)
class GeneModels:
    """What one annotation says of genes; positions are 0-based and half-open.

    Attributes
    ----------
    sites
        Start sites: `gene`, `gene_id`, `chrom`, `tss`, `strand`, `gene_type`, one row for each that differs.
    bodies
        `chrom`, `start`, `end`, `strand`, `spliced` (bool: exons are known) of each transcript, or of each gene.
    exons
        `chrom`, `start`, `end`, `gene_type`; empty where the source has none.
    utr
        `chrom`, `start`, `end`, `side` (5 or 3); empty where no coding sequence is known.
    """

    sites: pd.DataFrame
    bodies: pd.DataFrame
    exons: pd.DataFrame
    utr: pd.DataFrame


def read_gene_models(source: str | Path | pd.DataFrame) -> GeneModels:
    r"""Start sites, bodies, exons and untranslated regions of genes.

    Parameters
    ----------
    source
        - GTF (1-based, closed): transcripts with their exons; its UTR lines where they say which end they are of, else
          the exons outside of coding sequence and stop codon. `gene` lines alone give start sites and bodies.
        - BED12: a transcript a line, coding sequence from `thickStart` to `thickEnd`, none where these are equal; a
          name such as ``gene|transcript|type`` is taken apart. A BED of six columns gives start sites and bodies.
        - A table of genes, as :func:`chromatell.genome.annotation.read_genes` reads it: start sites, and bodies where
          it has `start` and `end`.

        Plain text, gzip or bgzip, told by content and not by suffix.

    Raises
    ------
    ChromatellError
        The file is absent, cut short, binary, of another format, or has lines that do not parse.

    Examples
    --------
    >>> from pathlib import Path
    >>> from chromatell.genome.transcripts import read_gene_models
    >>> _ = Path("a.bed12").write_text("chr1\t10\t90\tA|A1|x\t0\t+\t20\t80\t0\t2\t15,20\t0,60\n")
    >>> models = read_gene_models("a.bed12")
    >>> models.exons[["start", "end"]].values.tolist(), models.utr[["start", "end", "side"]].values.tolist()
    ([[10, 25], [70, 90]], [[10, 20, 5], [80, 90, 3]])
    """
    if isinstance(source, pd.DataFrame):
        return _from_table(source, source)
    path = Path(source)
    with text_file(path, _CURE) as text:
        lines = _lines(text, path)
        first = next((line for line in lines if not _is_preamble(line)), "")
        fields = first.split("\t")
        if looks_like_gtf(fields):
            return _from_gtf(itertools.chain([first], lines), path)
        if len(fields) >= 12 and is_whole(fields[1]) and is_whole(fields[2]):
            return _from_bed12(itertools.chain([first], lines), path)
        table = _table(itertools.chain([first], lines), path)
    return _from_table(path, table)


def _from_table(source: str | Path | pd.DataFrame, table: pd.DataFrame) -> GeneModels:
    """Return the start sites of a table or BED, and the bodies where it has them."""
    lower = [str(c).lower() for c in table.columns]
    at = {key: _find(lower, key) for key in (CHROM, START, END, "strand")}
    bodies = pd.DataFrame({**{c: _nothing()[0][c] for c in _INTERVAL}, "strand": np.zeros(0, dtype=object)})
    if None not in at.values():
        columns = {key: table.iloc[:, i] for key, i in at.items() if i is not None}
        where = "the table" if isinstance(source, pd.DataFrame) else str(source)
        place, keep = positions({START: columns[START], END: columns[END]}, where, interval=(START, END))
        place[START] = place[START] - one_based(table, place[START], place[END])
        text = {key: columns[key].astype(str).to_numpy(dtype=object) for key in (CHROM, "strand")}
        bodies = pd.DataFrame({CHROM: text[CHROM], **place, "strand": text["strand"]})[keep].reset_index(drop=True)
    return GeneModels(read_genes(source), bodies.assign(spliced=False), *_nothing())


def _nothing() -> tuple[pd.DataFrame, pd.DataFrame]:
    none = np.zeros(0, dtype=np.int64)
    interval = {CHROM: np.zeros(0, dtype=object), START: none, END: none}
    return pd.DataFrame({**interval, "gene_type": np.zeros(0, dtype=object)}), pd.DataFrame({**interval, "side": none})


# ---- GTF


@dataclass
class _Rows:
    """Lines of one kind: the key of their transcript or gene, and where they lie."""

    key: list[str] = field(default_factory=list)
    start: list[int] = field(default_factory=list)
    end: list[int] = field(default_factory=list)

    def add(self, key: str, fields: list[str]) -> None:
        self.key.append(key)
        self.start.append(int(fields[3]) - 1)  # 1-based, closed
        self.end.append(int(fields[4]))

    def table(self) -> pd.DataFrame:
        start, end = np.array(self.start, dtype=np.int64), np.array(self.end, dtype=np.int64)
        return pd.DataFrame({"key": np.array(self.key, dtype=object), START: start, END: end})


def _from_gtf(lines: Iterator[str], path: Path) -> GeneModels:
    rows = {kind: _Rows() for kind in ("gene", "transcript", "exon", "coding", "five", "three")}
    about: dict[str, list[str]] = {}  # each transcript's or gene's first line
    places: dict[str, dict[tuple[str, str], str]] = {}  # where each transcript lies, and its key there
    odd, nameless = OddLines(repr(str(path))), OddLines(repr(str(path)))
    for line in lines:
        if not line or line[0] == "#":
            continue
        head = line.split("\t", 3)
        kind = _kind(head[2]) if len(head) > 2 else None
        if kind is None and len(head) > 3:
            continue
        fields = gtf_fields(line)
        if fields is None or kind is None:
            odd.add(line)
            continue
        gene = attribute(fields[8], "gene_id")
        name = gene if kind == "gene" else attribute(fields[8], "transcript_id")
        if not name:
            nameless.add(line)
            continue
        if name.startswith(_UNKNOWN):
            name = f"{name} {gene}"
        key = f"{name}\t{fields[0]}\t{fields[6]}"  # a transcript of both X and Y is two
        if kind == "transcript":
            known = places.setdefault(key, {})
            if (fields[3], fields[4]) in known:
                continue
            known[fields[3], fields[4]] = key = f"{key}\t{len(known)}" if known else key
        about.setdefault(key, fields)
        rows[kind].add(key, fields)
    good = sum(len(part.key) for part in rows.values())
    odd.finish(good, "not a line of GTF", "Mend the file.")
    nameless.finish(good, "a line lacks the id of its gene or transcript", "Is it GFF3? Convert it to GTF: gffread -T.")
    tables = _told_apart({kind: part.table() for kind, part in rows.items()}, places)
    exons = tables["exon"]
    bodies = tables["transcript"]
    if bodies.empty:
        bodies = exons.groupby("key", sort=False).agg({START: "min", END: "max"}).reset_index()
    if bodies.empty:
        bodies = tables["gene"]
    if bodies.empty:
        raise ChromatellError(f"{str(path)!r} has no 'gene', 'transcript' or 'exon' line. {_CURE}")
    return _assemble(bodies, exons, _gtf_utr(tables), _described(about, bodies["key"]), path)


def _told_apart(
    tables: dict[str, pd.DataFrame], places: dict[str, dict[tuple[str, str], str]]
) -> dict[str, pd.DataFrame]:
    """Give the exons of a transcript that lies at several places of a chromosome the key of that which holds them."""
    several = pd.DataFrame(
        [(key, int(start) - 1, int(end), own) for key, at in places.items() if len(at) > 1
         for (start, end), own in at.items()], columns=["key", "low", "high", "own"],
    )  # fmt: skip
    if several.empty:
        return tables
    rekeyed = dict(tables)
    for kind in ("exon", "coding", "five", "three"):
        part = tables[kind].reset_index()
        both = part.merge(several, on="key")
        own = both[(both[START] >= both["low"]) & (both[END] <= both["high"])].drop_duplicates("index")
        own_key = part["index"].map(own.set_index("index")["own"])
        kept = own_key.notna() | ~part["key"].isin(several["key"])
        rekeyed[kind] = part.assign(key=own_key.fillna(part["key"])).loc[kept, ["key", START, END]]
    return rekeyed


def _kind(feature: str) -> str | None:
    if feature in ("gene", "exon"):
        return feature
    if feature in _TRANSCRIPT:
        return "transcript"
    if feature in _CODING:
        return "coding"
    side = _UTR.get(feature)
    return None if side is None else ("five" if side == 5 else "three")


def _gtf_utr(tables: dict[str, pd.DataFrame]) -> pd.DataFrame | None:
    """Return the UTR as `key`, `start`, `end`, `side`; or the bounds of the coding sequence, to derive it from."""
    if len(tables["five"]) or len(tables["three"]):
        return pd.concat([tables["five"].assign(side=5), tables["three"].assign(side=3)], ignore_index=True)
    coding = tables["coding"].groupby("key", sort=False).agg({START: "min", END: "max"})
    return coding.set_axis(["cds_start", "cds_end"], axis=1).reset_index() if len(coding) else None


def _described(about: dict[str, list[str]], keys: pd.Series) -> pd.DataFrame:
    rows = [about[key] for key in keys]
    return pd.DataFrame(
        {
            CHROM: np.array([r[0] for r in rows], dtype=object),
            "strand": np.array([r[6] for r in rows], dtype=object),
            "gene": [gene_name(r[8]) for r in rows],
            "gene_id": [attribute(r[8], "gene_id") for r in rows],
            "gene_type": [gene_type(r[8]) for r in rows],
        },
        index=pd.Index(keys, dtype=object),
    )


# ---- BED12


def _from_bed12(lines: Iterator[str], path: Path) -> GeneModels:
    about: list[tuple[str, ...]] = []
    coding: list[tuple[str, int, int]] = []
    odd = OddLines(repr(str(path)))
    body, exons = _Rows(), _Rows()
    for line in lines:
        if not line or line.startswith(("#", "track", "browser")):
            continue
        f = line.split("\t")
        blocks = _blocks(f)
        if blocks is None:
            odd.add(line)
            continue
        key, start, end = str(len(about)), int(f[1]), int(f[2])
        name = f[3].split("|")
        about.append(
            (f[0], f[5], name[0], name[0] if name[0].startswith("ENS") else "", name[2] if len(name) == 3 else "")
        )
        body.add(key, ["", "", "", str(start + 1), str(end)])
        coding.append((key, int(f[6]), int(f[7])))
        for s, e in blocks:
            exons.key.append(key)
            exons.start.append(start + s)
            exons.end.append(start + e)
    odd.finish(len(about), "not a line of BED12", _CURE)
    bodies = body.table()
    described = pd.DataFrame(about, columns=[CHROM, "strand", "gene", "gene_id", "gene_type"])
    described.index = pd.Index(bodies["key"], dtype=object)
    thick = pd.DataFrame(coding, columns=["key", "cds_start", "cds_end"])
    thick = thick[thick["cds_start"] < thick["cds_end"]]
    return _assemble(bodies, exons.table(), thick if len(thick) else None, described, path)


def _blocks(fields: list[str]) -> list[tuple[int, int]] | None:
    """Return start and end of each block from the start of the line; None where they do not add up."""
    if len(fields) < 12:
        return None
    try:
        start, end, thick_start, thick_end, count = (int(fields[i]) for i in (1, 2, 6, 7, 9))
        sizes = [int(s) for s in fields[10].rstrip(",").split(",")]
        starts = [int(s) for s in fields[11].rstrip(",").split(",")]
    except ValueError:
        return None
    whole = len(sizes) == len(starts) == count and min(sizes) > 0 and 0 <= start < end
    if not whole or min(starts) < 0 or not start <= thick_start <= thick_end <= end:
        return None
    blocks = [(s, s + n) for s, n in zip(starts, sizes, strict=True)]
    return blocks if max(e for _, e in blocks) <= end - start else None


# ---- both


def _assemble(
    bodies: pd.DataFrame, exons: pd.DataFrame, coding: pd.DataFrame | None, about: pd.DataFrame, path: Path
) -> GeneModels:
    """Put the tables of one source together; `about` describes each transcript, by its key."""
    place = [about.index.get_indexer(part["key"]) for part in (exons, bodies)]
    exons, of = exons[place[0] >= 0].reset_index(drop=True), about.iloc[place[0][place[0] >= 0]]
    described = about.iloc[place[1]].reset_index(drop=True)
    exon = exons[[START, END]].assign(chrom=of[CHROM].to_numpy(), gene_type=of["gene_type"].to_numpy())
    body = bodies[[START, END]].assign(chrom=described[CHROM], strand=described["strand"])
    body["spliced"] = bodies["key"].isin(exons["key"])
    utr = _nothing()[1]
    if coding is not None:
        sided = _utr(exons.assign(strand=of["strand"].to_numpy()), coding)
        at = about.index.get_indexer(sided["key"])
        utr = sided[at >= 0].assign(chrom=about[CHROM].to_numpy()[at[at >= 0]]).reset_index(drop=True)
    sites = described.assign(tss=np.where(body["strand"] == "-", body[END] - 1, body[START]))
    stranded = sites["strand"].isin(["+", "-"])
    if not stranded.any():
        raise ChromatellError(f"{str(path)!r} holds no gene with a strand, so no start site. {_CURE}")
    if not stranded.all():
        logger.info("%d of %d transcripts have no strand, so no start site.", int((~stranded).sum()), len(sites))
    sites = sites.loc[stranded, list(COLUMNS)].drop_duplicates(ignore_index=True)
    return GeneModels(sites, body, exon, utr[[*_INTERVAL, "side"]])


def _utr(exons: pd.DataFrame, coding: pd.DataFrame) -> pd.DataFrame:
    """Return `key`, `start`, `end`, `side`: as the lines say, or the exons on either side of the coding sequence."""
    if "side" in coding:
        return coding
    joined = exons.merge(coding, on="key")
    minus = joined["strand"] == "-"
    left = joined.assign(end=joined[[END, "cds_start"]].min(axis=1), side=np.where(minus, 3, 5))
    right = joined.assign(start=joined[[START, "cds_end"]].max(axis=1), side=np.where(minus, 5, 3))
    both = pd.concat([left, right], ignore_index=True)
    return both.loc[both[END] > both[START], ["key", START, END, "side"]]


def same_gene(sites: pd.DataFrame) -> pd.Series:
    """Return the name to show of each start site's gene: its name, else its id without the version."""
    return sites["gene"].where(sites["gene"] != "", strip_version(sites["gene_id"])).astype(str)
