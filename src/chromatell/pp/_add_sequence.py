"""DNA sequence of each region, as tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Unpack

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from chromatell._keys import ATAC, CHROM, DNA, HAS_SEQUENCE, SEQUENCE, UNKNOWN_SHARE, UNS
from chromatell._settings import logger
from chromatell._validate import ChromatellError, check_tables, examples, free_entry, result_key
from chromatell.data.named import Modalities, modalities
from chromatell.genome.builds import ChromSizes, chromosome_sizes, identify, normalised
from chromatell.genome.genome import Genome
from chromatell.genome.regions import region_table, same_names
from chromatell.genome.same_build import check_ends
from chromatell.genome.sequence import check_tokens, count_unknown
from chromatell.pp._region_data import declared_build, regions_of

_WIDTH = 1344
_MIN_WIDTH = 16
_ROWS = 4096


@modalities
def add_sequence(
    mdata: MuData | AnnData,
    fasta: str | Path | Genome | None = None,
    *,
    width: int | None = None,
    chrom_sizes: ChromSizes | None = None,
    max_unknown: float = 0.05,
    key_added: str = DNA,
    copy: bool = False,
    **more: Unpack[Modalities],
) -> MuData | AnnData | None:
    r"""DNA sequence of a window around the middle of each region, as int8 tokens.

    With ``mid = (start + end) // 2`` the window is ``[mid - width // 2, mid - width // 2 + width)`` on the + strand, as
    XChrom and scBasset read it. Chromosomes `1` and `chr1` are the same.

    Parameters
    ----------
    mdata
        With modality `atac`, or an AnnData of regions. Coordinates: `var` columns `chrom`, `start`, `end` (0-based,
        half-open), or names such as ``chr1:100-600``.
    fasta
        Plain or bgzip FASTA, or a :class:`chromatell.genome.Genome`. None takes the tokens that are there under
        `key_added`: they are checked and used as they are.
    width
        In bp, at least 16; odd ones are fine. None takes that of the tokens that are there, where they are used, else
        1,344.
    chrom_sizes
        Chromosome lengths of the regions' build, to check the FASTA by: a dict, a ``chrom.sizes`` file, or
        hg19, hg38, hs1, mm9, mm10, mm39. None takes the build's name from ``uns['genome']`` or ``var['genome']`` where
        it is one of these (or GRCh38 and such).
    max_unknown
        Share of N, from 0 to 1, up to which a window counts as having sequence.
    key_added
        In `varm`. The rest of the package reads the default.

    Returns
    -------
    None, or with ``copy=True`` a new object. Written into ``mdata.mod['atac']``, or the AnnData:

    ``varm[key_added]`` : numpy.ndarray (n_regions, width), int8
        A, C, G, T, N = 0, 1, 2, 3, 4. N too where the window runs off its chromosome, or the FASTA lacks that one.
    ``var['ctl_unknown']`` : float32
        Share of N in the window; 1 where there is no sequence at all.
    ``var['ctl_has_sequence']`` : bool
        Whether that share is at most `max_unknown`.

    And into `uns` of what was given:

    ``uns['ctl']['sequence']`` : dict
        `fasta` (file name; ``''`` where the tokens were there), `build` (where known by its lengths), `width`,
        `max_unknown`. Under `key_added` where that is not the default.

    Raises
    ------
    ChromatellError
        Regions without coordinates; a FASTA of another build (regions end beyond their chromosome, other chromosome
        lengths than `chrom_sizes`), without any of the chromosomes, or N in most windows (hard-masked, or another
        build); no tokens there and no FASTA given; tokens of another type, shape or width than needed.

    Notes
    -----
    Peak memory: the tokens, ``n_regions * width`` bytes. The FASTA is encoded once: see
    :class:`chromatell.genome.Genome`, which also takes the folder for its tokens.

    References
    ----------
    Yuan and Kelley, scBasset: sequence-based modeling of single-cell ATAC-seq (Nature Methods, 2022).

    Examples
    --------
    >>> from pathlib import Path
    >>> import chromatell as ctl
    >>> _ = Path("small.fa").write_text(">chr2\n" + "ACGTTGCA" * 200_000)
    >>> mdata = ctl.datasets.simulate_multiome(50, 20, 100, seed=0)
    >>> atac = mdata.mod["atac"][:, mdata.mod["atac"].var["chrom"] == "chr2"].copy()
    >>> atac = atac[:, atac.var["end"] < 1_600_000].copy()
    >>> ctl.pp.add_sequence(atac, "small.fa", width=200)
    >>> atac.varm["dna_code"].shape[1], bool(atac.var["ctl_has_sequence"].all())
    (200, True)
    """
    check_tables(mdata)
    _check_arguments(width, max_unknown, key_added)
    atac = regions_of(mdata)
    if key_added != DNA:
        tokens_there = getattr(atac.varm.get(key_added), "dtype", None) == np.int8
        free_entry(key_added, atac.varm, "varm", mine=fasta is None or tokens_there)
    if fasta is None:
        tokens, n_padded = _present(atac, key_added, width)
        name = build = ""
    else:
        table = region_table(atac)
        genome = fasta if isinstance(fasta, Genome) else Genome(fasta)
        _check_build(table, genome, chrom_sizes, declared_build(mdata, atac))
        tokens, n_padded = genome.windows(table, _WIDTH if width is None else int(width), allow_absent=True)
        name, build = genome.path.name, genome.build
    unknown = (n_padded / tokens.shape[1]).astype(np.float32)
    has = (n_padded <= max_unknown * tokens.shape[1]) & (n_padded < tokens.shape[1])
    if fasta is not None:
        _report(table, genome, has, max_unknown)

    target = mdata.copy() if copy else mdata
    written = target.mod[ATAC] if isinstance(target, MuData) else target
    if fasta is not None or getattr(written.varm[key_added], "dtype", None) != np.int8:
        written.varm[key_added] = tokens
    written.var[UNKNOWN_SHARE] = unknown
    written.var[HAS_SEQUENCE] = has
    how = {"fasta": name, "build": build, "width": int(tokens.shape[1]), "max_unknown": float(max_unknown)}
    target.uns[UNS] = {**target.uns.get(UNS, {}), (SEQUENCE if key_added == DNA else key_added): how}
    source = name or f"varm[{key_added!r}], as it was"
    logger.info("Sequence: %d of %d regions have theirs, %d bp (%s).", has.sum(), has.size, tokens.shape[1], source)
    return target if copy else None


def _check_arguments(width: int | None, max_unknown: float, key_added: str) -> None:
    result_key(key_added, SEQUENCE)
    whole = isinstance(width, (int, np.integer)) and not isinstance(width, bool)
    if width is not None and not (whole and width >= _MIN_WIDTH):
        raise ChromatellError(f"width={width!r} must be a whole number of bp, at least {_MIN_WIDTH}, such as {_WIDTH}.")
    if not 0 <= max_unknown <= 1:
        raise ChromatellError(f"max_unknown={max_unknown!r} must be a share of N, from 0 to 1, such as 0.05.")


def _present(atac: AnnData, key: str, width: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the tokens that are there, int8, and the number of N in each row."""
    if key not in atac.varm:
        raise ChromatellError(
            f"The regions have no tokens in varm[{key!r}] (there: {examples(atac.varm.keys(), 12) or 'nothing'}). Give "
            "the genome to read them from: ctl.pp.add_sequence(mdata, 'genome.fa')."
        )
    tokens = check_tokens(atac.varm[key], f"varm[{key!r}]")
    if tokens.ndim != 2 or tokens.shape[1] < _MIN_WIDTH or width not in (None, tokens.shape[1]):
        needed = f"width={width}" if width is not None else f"at least {_MIN_WIDTH} bp a region"
        raise ChromatellError(
            f"varm[{key!r}] is of shape {tokens.shape}; {needed} was wanted. Leave width out to use it as it is, or "
            f"read sequence of that width: ctl.pp.add_sequence(mdata, 'genome.fa', width={width or _WIDTH})."
        )
    tokens = tokens.astype(np.int8, copy=False)
    return tokens, np.concatenate([count_unknown(tokens[i : i + _ROWS]) for i in range(0, len(tokens), _ROWS)])


def _check_build(table: pd.DataFrame, genome: Genome, chrom_sizes: Any, declared: str) -> None:
    number = genome.find(table[CHROM])
    if (number < 0).all():
        raise ChromatellError(
            f"{genome.path.name} has none of the regions' chromosomes ({examples(table[CHROM].unique(), 6)}); it has "
            f"{examples(genome.chromosomes, 6)}. Give the FASTA of the regions' build."
        )
    same_names(genome.chromosomes, table[CHROM].unique(), genome.path.name)  # says so
    wanted = chromosome_sizes(chrom_sizes if chrom_sizes is not None else declared or {})
    ours, theirs = normalised(genome.chromosomes), normalised(wanted)
    other = [c for c in ours if c in theirs and ours[c] != theirs[c]]
    if other:
        build = identify(wanted)
        source = "chrom_sizes" if chrom_sizes is not None else "the object's 'genome'"
        raise ChromatellError(
            f"{genome.path.name}{_in_brackets(genome.build)} is of another build than the regions"
            f"{_in_brackets(build)}: {other[0]} has {ours[other[0]]} bp, by {source} {theirs[other[0]]}. Give the "
            f"FASTA of {build or 'their build'}; if it is {source} that is wrong, name the regions' build: "
            f"chrom_sizes={genome.build or 'genome.chrom.sizes'!r}."
        )
    cure = "Give the FASTA of the regions' build: ctl.pp.add_sequence(mdata, fasta)."
    check_ends(table, genome.chromosomes, cure, where=genome.path.name, done="their windows hold N there")


def _report(table: pd.DataFrame, genome: Genome, has: np.ndarray, max_unknown: float) -> None:
    """Say which regions have no sequence; raise where that is most of those on the FASTA's chromosomes."""
    absent = genome.find(table[CHROM]) < 0
    lacking = ~has & ~absent
    if lacking.sum() > 0.5 * (~absent).sum():
        raise ChromatellError(
            f"{int(lacking.sum())} of {int((~absent).sum())} windows hold over {max_unknown:.0%} N (such as "
            f"{examples(table.index[lacking])}). Is {genome.path.name} hard-masked (repeats as N), or of another "
            "build? Give the unmasked or soft-masked FASTA of the regions' build, or raise max_unknown=."
        )
    if absent.any():
        names = table[CHROM][absent].unique()
        logger.warning(
            "%d of %d regions have no sequence: %s lacks their chromosomes (%s). Their tokens are all N.",
            absent.sum(), absent.size, genome.path.name, examples(names, 6),
        )  # fmt: skip
    if lacking.any():
        logger.warning(
            "%d of %d regions have over %s N in their window (such as %s).",
            lacking.sum(), absent.size, f"{max_unknown:.0%}", examples(table.index[lacking]),
        )  # fmt: skip


def _in_brackets(build: str) -> str:
    return f" ({build})" if build else ""
