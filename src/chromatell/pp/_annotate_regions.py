"""Promoter, exon, intron, enhancer: what each region is made of, and its nearest gene."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from chromatell._keys import (
    ATAC,
    CHROM,
    END,
    NEAREST_GENE,
    REGION_CLASS,
    REGION_CLASS_FRACTION,
    REGION_CLASSES,
    START,
    TSS_DISTANCE,
    UNS,
)
from chromatell._settings import logger
from chromatell._validate import ChromatellError, check_tables, examples, in_range
from chromatell.data.named import Modalities, modalities
from chromatell.genome.builds import ChromSizes, chromosome_sizes
from chromatell.genome.homer import match_peaks
from chromatell.genome.intervals import Axis, IntervalSet
from chromatell.genome.region_classes import (
    CLASSES,
    GENES,
    HOMER,
    Sources,
    all_sites,
    class_sets,
    in_order,
    nearest_site,
    read_sources,
)
from chromatell.genome.regions import region_table
from chromatell.genome.same_build import check_ends, check_same_build
from chromatell.genome.transcripts import same_gene
from chromatell.pp._bin_genome import kept_sizes
from chromatell.pp._region_data import declared_build, regions_of

NO_GENE = np.iinfo(np.int64).max  # distance where the chromosome has no gene


@modalities
def annotate_regions(
    data: MuData | AnnData,
    annotation: str | Path | pd.DataFrame | Sequence[Any] | Mapping[str, Any],
    *,
    classes: Sequence[str] | None = None,
    promoter: tuple[int, int] = (2_000, 500),
    tts: tuple[int, int] = (100, 1_000),
    precedence: Sequence[str] = CLASSES,
    chrom_sizes: ChromSizes | None = None,
    copy: bool = False,
    **more: Unpack[Modalities],
) -> MuData | AnnData | None:
    r"""Share of each region in promoters, exons, introns, enhancers ..., the class at its middle, its nearest gene.

    Classes of genes, from GTF or BED12 (all transcripts count):

    - `promoter`: from 2,000 bp before a start site to 500 bp from it on.
    - `TTS`: from 100 bp before the end of a transcript to 1,000 bp from it on, as HOMER has it.
    - `exon`, `5'UTR`, `3'UTR`: exons of genes that are not noncoding RNA, and their untranslated parts; a base of a UTR
      is in `exon` too.
    - `ncRNA`: exons of genes whose type is a noncoding RNA, long or short.
    - `intron`: in a transcript, and in no exon of any.
    - `intergenic`: in no transcript, promoter or TTS, on chromosomes that have a gene.

    Classes of other files: `enhancer`, `insulator`, `CTCF`, `conserved`, `repeats`, and any of the above, which then is
    what that file says. A class without a file is left out, and named.

    Parameters
    ----------
    data
        With modality `atac`, or an AnnData of regions. Coordinates: `var` columns `chrom`, `start`, `end` (0-based,
        half-open), or names such as ``chr1:100-600``.
    annotation
        A path, a table, or several in a list, of the build of the regions (``1`` and ``chr1`` are the same):

        - genes: GTF, BED12 (no coding sequence where thickStart equals thickEnd), or a table of genes or BED of six
          columns with the strand, which give promoters, TTS and intergenic alone;
        - ENCODE's cCREs with their class: pELS and dELS are `enhancer`, CTCF-only and CA-CTCF `insulator`, these and
          all that are CTCF-bound `CTCF`; the others are in no class;
        - the output of HOMER's ``annotatePeaks.pl`` for these regions: its labels are kept as they are, and nothing
          else is read.

        Or a dict: 'genes', 'ccre', 'homer', or the class of a BED, to a path, a table or several.
    classes
        Those that are wanted, and needed. None takes all for which there is a file.
    promoter, tts
        Bases before the start site, or the last transcribed base, in the gene's direction, and from it on.
    precedence
        The first of the classes at the middle of a region counts. Classes of your own, from BED files, are named here.
    chrom_sizes
        Chromosome lengths of the regions' build, to check the annotation: a dict, a ``chrom.sizes`` file, or hg19,
        hg38, hs1, mm9, mm10, mm39. None takes the build's name from ``uns['genome']`` or ``var['genome']`` where it is
        known, or the sizes that ``ctl.pp.bin_genome`` kept.

    Returns
    -------
    None, or with ``copy=True`` a new object. Written into ``mdata.mod['atac']``, or the AnnData:

    ``varm['region_class_fraction']`` : pandas.DataFrame (n_regions, n_classes), float32
        Share of the region's bases in each class; a base may be in several. HOMER's labels are 0 or 1.
    ``var['region_class']`` : categorical
        Class at base ``(start + end) // 2``; missing where no class is there, as within genes whose exons are unknown.
    ``var['nearest_gene']`` : str
        Gene of the start site nearest to that base, on either strand; ``''`` where its chromosome has none.
    ``var['tss_distance']`` : int64
        In bp from that start site to that base; positive in the direction of the gene, so negative upstream. The
        largest int64 where there is no gene. These two are written where genes were given, or HOMER names them.
    ``var['homer_annotation']`` : str
        With HOMER's output: its annotation in full.

    And into `uns` of what was given:

    ``uns['ctl']['region_classes']`` : dict
        `classes` and, for each, `source` (file names) and `bases` (how many it covers on the regions' chromosomes);
        `absent`, the classes that no file gave; `promoter`, `tts`, `precedence`.

    Raises
    ------
    ChromatellError
        Regions without coordinates; an annotation of another build (off the end of a chromosome) or with none of
        the regions' chromosomes; files that do not parse; a class that is not known, or is wanted and in no file;
        regions that HOMER's output lacks.

    Notes
    -----
    Peak memory: the annotation's tables and regions x classes. All of GENCODE takes about 1.5 GB and half a minute to
    read; half a million bins then take a few seconds. UTRs and types of genes are as good as the file: where a class
    has intervals on some of the regions' chromosomes only, a log line names the others.

    References
    ----------
    Heinz et al., Molecular Cell 2010 (HOMER); ENCODE Project Consortium, Nature 2020 (cCREs).

    Examples
    --------
    >>> from pathlib import Path
    >>> import chromatell as ctl
    >>> _ = Path("genes.bed12").write_text("chr2\t9000\t9900\tA|A1|x\t0\t+\t9100\t9800\t0\t2\t300,200\t0,700\n")
    >>> atac = ctl.datasets.simulate_multiome(20, 5, 4, seed=0).mod["atac"]
    >>> atac.var_names = ["chr2:0-5000", "chr2:5000-9000", "chr2:9500-9600", "chr2:90000-95000"]
    >>> atac.var = atac.var[[]]
    >>> ctl.pp.annotate_regions(atac, "genes.bed12")
    >>> atac.var["region_class"].tolist()
    ['intergenic', 'promoter', 'intron', 'intergenic']
    >>> atac.varm["region_class_fraction"][["promoter", "intron", "intergenic"]].round(2).values.tolist()
    [[0.0, 0.0, 1.0], [0.5, 0.0, 0.5], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    >>> atac.var["tss_distance"].tolist()
    [-6500, -2000, 550, 83500]
    """
    check_tables(data)
    windows = {"promoter": _window(promoter, "promoter"), "tts": _window(tts, "tts")}
    precedence = _order(precedence, classes)
    atac = regions_of(data)
    regions = region_table(atac)
    sources = read_sources(annotation, precedence).named_as(regions)
    known = declared_build(data, atac) or kept_sizes(atac) or {}
    sizes = chromosome_sizes(known if chrom_sizes is None else chrom_sizes)
    check_ends(regions, sizes)
    columns: dict[str, Any]
    if sources.homer is not None:
        columns, fraction = _from_homer(sources, regions, classes)
        n_bases = np.zeros(fraction.shape[1], dtype=np.int64)
    else:
        tables = list(sources.tables())
        check_same_build(tables, regions, sizes)
        axis = Axis(regions[CHROM].unique(), [regions, *(table for _, table in tables)])
        sets = _wanted(class_sets(sources, axis, **windows), classes, precedence, sources)
        columns, fraction = _annotated(sets, axis, regions, sources)
        n_bases = np.array([s.n_bases for s in sets.values()], dtype=np.int64)
        _report(sets, axis, columns, sources)

    target = data.copy() if copy else data
    written = target.mod[ATAC] if isinstance(target, MuData) else target
    written.varm[REGION_CLASS_FRACTION] = fraction
    for name, values in columns.items():
        written.var[name] = values
    how = _provenance(sources, list(fraction.columns), n_bases, windows, precedence)
    target.uns[UNS] = {**target.uns.get(UNS, {}), REGION_CLASSES: how}
    return target if copy else None


# ---- arguments


def _window(value: Any, argument: str) -> tuple[int, int]:
    if isinstance(value, str) or not isinstance(value, Sequence) or len(value) != 2:
        raise ChromatellError(f"{argument}={value!r}: two numbers of bp are needed, before it and from it on.")
    before, after = (in_range(v, 0, 10_000_000, argument) for v in value)
    if before + after == 0:
        raise ChromatellError(f"{argument}={value!r} holds no base.")
    return before, after


def _order(precedence: Sequence[str], classes: Sequence[str] | None) -> list[str]:
    for argument, names in (("precedence", precedence), ("classes", classes or [])):
        if isinstance(names, str) or not all(isinstance(n, str) and n and "/" not in n for n in names):
            raise ChromatellError(f"{argument}={names!r}: a list of names is needed, none of which holds a '/'.")
        if len(set(names)) < len(names):
            raise ChromatellError(f"{argument}={list(names)} names a class twice.")
    return list(precedence)


# ---- what is found


def _wanted(
    sets: dict[str, IntervalSet], classes: Sequence[str] | None, precedence: list[str], sources: Sources
) -> dict[str, IntervalSet]:
    """Return the classes that are wanted, by precedence."""
    lacking = [c for c in classes or [] if c not in sets]
    if lacking:
        raise ChromatellError(
            f"classes= asks for {lacking}, for which the annotation ({', '.join(_files(sources))}) has nothing; it has "
            f"{in_order(sets, precedence)}. Exons need a GTF or a BED12, UTRs its coding sequences, ncRNA the types of "
            f"genes; others a BED: annotation={{'genes': 'genes.gtf', {lacking[0]!r}: 'file.bed'}}."
        )
    return {name: sets[name] for name in in_order(sets if classes is None else classes, precedence)}


def _annotated(
    sets: dict[str, IntervalSet], axis: Axis, regions: pd.DataFrame, sources: Sources
) -> tuple[dict[str, Any], pd.DataFrame]:
    start, end = axis.place(regions)
    width = (end - start).astype(np.float64)
    middle = start + (regions[END].to_numpy() + regions[START].to_numpy()) // 2 - regions[START].to_numpy()
    fraction = np.empty((len(regions), len(sets)), dtype=np.float32)
    code = np.full(len(regions), -1, dtype=np.int64)
    for i, bases in enumerate(sets.values()):
        fraction[:, i] = bases.covered(start, end) / width
        code[(code < 0) & bases.contains(middle)] = i
    columns: dict[str, Any] = {REGION_CLASS: pd.Categorical.from_codes(code, categories=pd.Index(list(sets)))}
    if sources.genes:
        sites = all_sites(sources)
        row, distance = nearest_site(axis, sites, regions)
        columns[NEAREST_GENE] = np.where(row < 0, "", same_gene(sites).to_numpy(dtype=object)[row]).astype(object)
        columns[TSS_DISTANCE] = np.where(row < 0, NO_GENE, distance)
    return columns, pd.DataFrame(fraction, index=regions.index, columns=list(sets))


def _from_homer(
    sources: Sources, regions: pd.DataFrame, classes: Sequence[str] | None
) -> tuple[dict[str, Any], pd.DataFrame]:
    peaks = sources.homer
    assert peaks is not None
    row = match_peaks(peaks, regions, sources.files[HOMER][0])
    label = peaks["label"].to_numpy(dtype=object)[row]
    names = sorted(set(label) - {""})
    lacking = sorted(set(classes or []) - set(names))
    if lacking or not names or any("/" in n for n in names):
        raise ChromatellError(
            f"{sources.files[HOMER][0]} has the labels {names}; classes={lacking} are not among them, or a label holds "
            "a '/', which no .h5mu can as a name. Leave classes= out to take HOMER's own."
        )
    names = [n for n in names if classes is None or n in classes]
    code = pd.Index(names).get_indexer(pd.Index(label))
    fraction = (code[:, None] == np.arange(len(names))).astype(np.float32)
    columns: dict[str, Any] = {
        REGION_CLASS: pd.Categorical.from_codes(code, categories=pd.Index(names)),
        "homer_annotation": peaks["annotation"].to_numpy(dtype=object)[row],
    }
    if {"gene", TSS_DISTANCE} <= set(peaks):
        distance = peaks[TSS_DISTANCE].to_numpy()[row]
        columns[NEAREST_GENE] = peaks["gene"].to_numpy(dtype=object)[row]
        columns[TSS_DISTANCE] = np.array([NO_GENE if np.isnan(d) else int(d) for d in distance], dtype=np.int64)
    logger.info("Regions: HOMER's labels as they are: %s.", ", ".join(names))
    return columns, pd.DataFrame(fraction, index=regions.index, columns=names)


# ---- what is said


def _files(sources: Sources) -> list[str]:
    return list(dict.fromkeys(name for names in sources.files.values() for name in names))


def _provenance(
    sources: Sources, names: list[str], n_bases: np.ndarray, windows: dict[str, tuple[int, int]], precedence: list[str]
) -> dict[str, Any]:
    kind = HOMER if sources.homer is not None else GENES
    source = [", ".join(sources.files.get(name, sources.files.get(kind, []))) for name in names]
    provenance = {
        "classes": np.array(names, dtype=object),
        "source": np.array(source, dtype=object),
        "bases": n_bases,
        "absent": ", ".join(c for c in precedence if c not in names and sources.homer is None),
        "precedence": np.array(precedence, dtype=object),
    }
    return provenance | {name: np.array(window, dtype=np.int64) for name, window in windows.items()}


def _report(sets: dict[str, IntervalSet], axis: Axis, columns: dict[str, Any], sources: Sources) -> None:
    counts = pd.Series(columns[REGION_CLASS]).value_counts(sort=False)
    logger.info("Regions: %s.", ", ".join(f"{name} {n}" for name, n in counts.items()))
    absent = [c for c in CLASSES if c not in sets]
    if absent:
        logger.info("Classes left out, as no file gives them: %s.", ", ".join(absent))
    nothing_on: dict[tuple[str, ...], list[str]] = {}
    for name, bases in sets.items():
        empty = axis.chroms[bases.covered(axis.offset, axis.offset + axis.length) == 0]
        nothing_on.setdefault(tuple(empty), []).append(name)
    for chroms, names in nothing_on.items():
        if chroms:
            logger.warning(
                "No %s on %d of the regions' %d chromosomes (%s): 0 there, whether none is there or none is known.",
                ", ".join(names), len(chroms), len(axis.chroms), examples(chroms, 5),
            )  # fmt: skip
    missing = int(pd.isna(columns[REGION_CLASS]).sum())
    if missing:
        logger.warning("%d of %d regions have no class at their middle.", missing, len(columns[REGION_CLASS]))
