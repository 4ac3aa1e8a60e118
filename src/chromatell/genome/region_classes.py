"""Classes of regions, such as promoter and intron, from annotation files: which bases each of them covers."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from chromatell._keys import CHROM, END, START
from chromatell._validate import ChromatellError, one_of
from chromatell.genome.bed import ccre_column, ccre_intervals, read_bed
from chromatell.genome.homer import is_homer, read_homer
from chromatell.genome.intervals import Axis, IntervalSet
from chromatell.genome.regions import same_names
from chromatell.genome.transcripts import GeneModels, read_gene_models

# in order of precedence: of the classes at a base, the first counts
CLASSES = (
    "promoter",
    "TTS",
    "5'UTR",
    "3'UTR",
    "exon",
    "ncRNA",
    "enhancer",
    "insulator",
    "CTCF",
    "conserved",
    "repeats",
    "intron",
    "intergenic",
)
GENES, CCRE, HOMER = "genes", "ccre", "homer"  # kinds of files that hold several classes
# types of genes, in GENCODE's and Ensembl's words of several years
NONCODING = (
    *("lncRNA", "lincRNA", "antisense", "antisense_RNA", "processed_transcript", "sense_intronic", "sense_overlapping"),
    *("macro_lncRNA", "bidirectional_promoter_lncRNA", "3prime_overlapping_ncRNA", "3prime_overlapping_ncrna"),
    *("non_coding", "ncRNA", "miRNA", "misc_RNA", "snRNA", "snoRNA", "scaRNA", "scRNA", "sRNA", "piRNA", "vault_RNA"),
    *("vaultRNA", "Y_RNA", "rRNA", "tRNA", "Mt_rRNA", "Mt_tRNA", "ribozyme", "RNase_P_RNA", "RNase_MRP_RNA"),
    *("SRP_RNA", "telomerase_RNA"),
)
_HEADS = ("#chrom\t", "chrom\t", "#chr\t", "chr\t")
_INTERVAL = [CHROM, START, END]
_CURE = "Name it: annotation={'genes': 'genes.gtf.gz', 'enhancer': 'enhancers.bed'}."

Source: TypeAlias = str | os.PathLike[str] | pd.DataFrame


@dataclass
class Sources:
    """What was given, read: genes, intervals of each other class, peaks that HOMER annotated; and the files' names."""

    genes: list[GeneModels] = field(default_factory=list)
    classes: dict[str, list[pd.DataFrame]] = field(default_factory=dict)
    homer: pd.DataFrame | None = None
    files: dict[str, list[str]] = field(default_factory=dict)  # genes, homer or a class -> where it comes from

    def tables(self) -> Iterable[tuple[str, pd.DataFrame]]:
        """Yield (file, intervals), to look at their chromosomes and ends."""
        for models, name in zip(self.genes, self.files.get(GENES, []), strict=True):
            sites = models.sites
            yield name, pd.DataFrame({CHROM: sites[CHROM], START: sites["tss"], END: sites["tss"] + 1})
            yield name, models.bodies[_INTERVAL]
        for region_class, parts in self.classes.items():
            yield from zip(self.files[region_class], parts, strict=True)

    def named_as(self, regions: pd.DataFrame) -> Sources:
        """Return the same with the regions' own names of the chromosomes, where a file has ``1`` for ``chr1``."""
        ours = regions[CHROM].unique()

        def mended(table: pd.DataFrame, names: Mapping[str, str]) -> pd.DataFrame:
            return table.assign(**{CHROM: table[CHROM].replace(names)}) if names and len(table) else table

        genes, classes, homer = [], {}, self.homer
        for models, name in zip(self.genes, self.files.get(GENES, []), strict=True):
            parts = [getattr(models, f.name) for f in fields(models)]
            renamed = same_names(pd.concat([part[CHROM] for part in parts]).unique(), ours, name)
            genes.append(type(models)(*(mended(part, renamed) for part in parts)))
        for region_class, tables in self.classes.items():
            named = zip(self.files[region_class], tables, strict=True)
            classes[region_class] = [mended(t, same_names(t[CHROM].unique(), ours, name)) for name, t in named]
        if homer is not None:
            homer = mended(homer, same_names(homer[CHROM].unique(), ours, self.files[HOMER][0]))
        return Sources(genes, classes, homer, self.files)


def read_sources(annotation: Any, own_classes: Sequence[str] = ()) -> Sources:
    """Read all files of an annotation.

    Parameters
    ----------
    annotation
        A path or table, several in a list, or a dict: a class, or 'genes', 'ccre' or 'homer', to a path, a table or
        several.
    own_classes
        Names of classes beyond `CLASSES` that a dict may use.

    Raises
    ------
    ChromatellError
        An unknown class, a file whose class cannot be told, HOMER's output beside others, or as the readers raise.
    """
    sources = Sources()
    known = [*CLASSES, *(c for c in own_classes if c not in CLASSES), GENES, CCRE, HOMER]
    if isinstance(annotation, Mapping):
        for kind, given in annotation.items():
            if kind not in known:
                raise ChromatellError(
                    f"annotation={{{kind!r}: ...}} is no class that is known; known are {known}. A class of your own "
                    "is named in precedence= too, at its place."
                )
            for source in _several(given):
                _read(sources, str(kind), source)
    else:
        for source in _several(annotation):
            _read(sources, _kind_of(source), source)
    if not sources.files:
        raise ChromatellError(f"annotation={annotation!r} names no file. {_CURE}")
    if sources.homer is not None and len(sources.files) > 1:
        raise ChromatellError(
            "HOMER's output stands alone, since its labels are kept as they are; "
            f"{sorted(set(sources.files) - {HOMER})} came with it. Give either."
        )
    return sources


def class_sets(sources: Sources, axis: Axis, promoter: tuple[int, int], tts: tuple[int, int]) -> dict[str, IntervalSet]:
    """Return the bases of each class for which there is a file, in no order."""
    sets = {name: axis.set_of(_stacked(parts)) for name, parts in sources.classes.items()}
    if not sources.genes:
        return sets
    sites = all_sites(sources)
    genic = _gene_sets(sources.genes, axis)
    bodies = genic.pop("bodies")
    genic["promoter"] = axis.set_of(window(sites, "tss", *promoter))
    ends = _stacked([m.bodies for m in sources.genes])
    ends = ends[ends["strand"].isin(["+", "-"])]
    if len(ends):
        ends = ends.assign(tts=np.where(ends["strand"] == "-", ends[START], ends[END] - 1))
        genic["TTS"] = axis.set_of(window(ends, "tts", *tts))
        genes = bodies.union(genic["promoter"]).union(genic["TTS"])
        genic["intergenic"] = axis.whole(sites[CHROM].unique()).minus(genes)
    # a class of its own file, if there is one, is taken instead
    return {**genic, **sets}


def all_sites(sources: Sources) -> pd.DataFrame:
    """Return the start sites of all sources, as `GeneModels.sites`."""
    return _stacked([m.sites for m in sources.genes])


def window(table: pd.DataFrame, column: str, upstream: int, downstream: int) -> pd.DataFrame:
    """Return `upstream` bases before a base, in the direction of the gene, and `downstream` from it on."""
    at, minus = table[column].to_numpy(), (table["strand"] == "-").to_numpy()
    start = np.where(minus, at - downstream + 1, at - upstream)
    end = np.where(minus, at + upstream + 1, at + downstream)
    return pd.DataFrame({CHROM: table[CHROM].to_numpy(), START: np.maximum(start, 0), END: np.maximum(end, 0)})


def nearest_site(axis: Axis, sites: pd.DataFrame, regions: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return the nearest start site of the middle of each region.

    Returns
    -------
    row : numpy.ndarray, int64 (n,)
        In `sites`; -1 where the chromosome has none. Ties give the lower position, then the first.
    distance : numpy.ndarray, int64 (n,)
        From the start site to the middle, positive in the direction of the gene; 0 where there is none.
    """
    code = axis.codes(sites[CHROM])
    own = np.flatnonzero(code >= 0)
    place = axis.offset[code[own]] + sites["tss"].to_numpy()[own]
    place, first = np.unique(place, return_index=True)
    own = own[first]
    chrom = axis.codes(regions[CHROM])
    middle = (regions[START].to_numpy() + regions[END].to_numpy()) // 2
    at = axis.offset[chrom] + middle
    right = np.searchsorted(place, at)
    row, distance = np.full(len(regions), -1), np.full(len(regions), np.iinfo(np.int64).max)
    for candidate in (right - 1, right):
        valid = (candidate >= 0) & (candidate < place.size)
        valid[valid] &= code[own[candidate[valid]]] == chrom[valid]
        away = np.abs(at[valid] - place[candidate[valid]])
        nearer = away < distance[valid]
        rows = np.flatnonzero(valid)[nearer]
        row[rows], distance[rows] = own[candidate[rows]], away[nearer]
    has = row >= 0
    signed = np.zeros(len(regions), dtype=np.int64)
    strand = sites["strand"].to_numpy()[row[has]]
    signed[has] = (middle[has] - sites["tss"].to_numpy()[row[has]]) * np.where(strand == "-", -1, 1)
    return row, signed


def _gene_sets(genes: list[GeneModels], axis: Axis) -> dict[str, IntervalSet]:
    """Return the bases of gene bodies, and of exons, introns, untranslated regions and ncRNA where they are known."""
    bodies, exons, utr = (_stacked([getattr(m, name) for m in genes]) for name in ("bodies", "exons", "utr"))
    sets = {"bodies": axis.set_of(bodies)}
    if len(exons):
        noncoding = exons["gene_type"].isin(NONCODING).to_numpy()
        sets["exon"] = axis.set_of(exons[~noncoding])
        spliced = axis.set_of(bodies[bodies["spliced"].astype(bool)])
        sets["intron"] = spliced.minus(axis.set_of(exons))
        if noncoding.any():
            sets["ncRNA"] = axis.set_of(exons[noncoding])
    for name, side in (("5'UTR", 5), ("3'UTR", 3)):
        if (utr["side"] == side).any():
            sets[name] = axis.set_of(utr[utr["side"] == side])
    return sets


def _stacked(tables: list[pd.DataFrame]) -> pd.DataFrame:
    kept = [table for table in tables if len(table)] or tables[:1]
    return kept[0] if len(kept) == 1 else pd.concat(kept, ignore_index=True)


def _several(given: Any) -> list[Source]:
    sources = [given] if isinstance(given, str | os.PathLike | pd.DataFrame) else given
    if not isinstance(sources, Sequence) or not all(isinstance(s, str | os.PathLike | pd.DataFrame) for s in sources):
        raise ChromatellError(f"An annotation is a path, a table, or several; got {type(given).__name__}. {_CURE}")
    return list(sources)


def _read(sources: Sources, kind: str, source: Source) -> None:
    path: Any = source
    name = "a table" if isinstance(source, pd.DataFrame) else Path(source).name
    if kind == GENES:
        sources.genes.append(read_gene_models(path))
        sources.files.setdefault(GENES, []).append(name)
    elif kind == HOMER:
        if isinstance(source, pd.DataFrame) or sources.homer is not None:
            raise ChromatellError("HOMER's output is given as one path: annotation={'homer': 'annotated.txt'}.")
        sources.homer = read_homer(path)
        sources.files[HOMER] = [name]
    else:
        tables = ccre_intervals(path) if kind == CCRE else {kind: read_bed(path, f"{kind}:")}
        for region_class, table in tables.items():
            sources.classes.setdefault(region_class, []).append(table)
            sources.files.setdefault(region_class, []).append(name)


def _kind_of(source: Source) -> str:
    """Return what a file given without a class holds: genes, cCREs or HOMER's peaks."""
    if isinstance(source, pd.DataFrame):
        return CCRE if ccre_column(source) is not None else GENES
    path = Path(source)
    if not path.is_file():
        raise ChromatellError(f"No annotation file at {str(path)!r}. {_CURE}")
    try:
        head = _head(path)
    except (UnicodeDecodeError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ChromatellError(f"{str(path)!r} is not a whole text file ({type(error).__name__}).") from error
    if head and is_homer(head[0]):
        return HOMER
    header = next(
        (set(line.lstrip("#").lower().split("\t")) for line in head if line.lower().startswith(_HEADS)), set()
    )
    if header & {"strand", "tss"}:
        return GENES
    rows = [line.split("\t") for line in head if line and not line.startswith(("#", "track ", "browser "))]
    is_bed = bool(rows) and len(rows[0]) >= 3 and rows[0][1].isdigit() and rows[0][2].isdigit()
    if is_bed or header:
        table = pd.DataFrame(rows).rename(columns={0: CHROM, 1: START, 2: END})
        if ccre_column(table) is not None:
            return CCRE
    if is_bed and len(rows[0]) < 12 and not (len(rows[0]) >= 6 and rows[0][5] in ("+", "-")):
        raise ChromatellError(f"{str(path)!r} is a BED of {len(rows[0])} columns; of which class? {_CURE}")
    return GENES


def _head(path: Path) -> list[str]:
    with path.open("rb") as raw:
        compressed = raw.read(2) == b"\x1f\x8b"
    with gzip.open(path, "rb") if compressed else path.open("rb") as handle:
        return [handle.readline(65_536).decode("utf-8").rstrip("\r\n") for _ in range(200)]


def in_order(names: Iterable[str], precedence: Sequence[str]) -> list[str]:
    """Return names by precedence; raise where one has no place in it."""
    return sorted(names, key=lambda name: list(precedence).index(one_of(name, precedence, "a class in precedence")))
