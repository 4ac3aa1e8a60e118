"""Regions: ``chrom:start-end``, 0-based and half-open."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
import pandas as pd
from anndata import AnnData

from chromatell._keys import CHROM, END, START
from chromatell._settings import logger
from chromatell._validate import ChromatellError, examples

_NAME = re.compile(r"^(?P<chrom>[^\s:]+)[:\-_](?P<start>\d[\d,]{0,14})[\-_](?P<end>\d[\d,]{0,14})$")


def parse_regions(names: pd.Index | list[str]) -> pd.DataFrame:
    """Return coordinates read from names such as ``chr1:100-600``, ``chr1-100-600`` or ``chr1_100_600``.

    Parameters
    ----------
    names
        Names of the regions, of length n. Scaffold names with a dot or an underscore are understood.

    Returns
    -------
    pandas.DataFrame
        Indexed by the names, with `chrom` (str), `start` and `end` (int64; 0-based, half-open). Where a name does not
        parse, `chrom` is ``""`` and both positions are -1.

    Examples
    --------
    >>> from chromatell.genome.regions import parse_regions
    >>> parse_regions(["chr1:100-600"]).to_dict("records")
    [{'chrom': 'chr1', 'start': 100, 'end': 600}]
    """
    rows = [_NAME.match(str(name)) for name in names]
    return pd.DataFrame(
        {
            CHROM: [m["chrom"] if m else "" for m in rows],
            START: np.array([int(m["start"].replace(",", "")) if m else -1 for m in rows], dtype=np.int64),
            END: np.array([int(m["end"].replace(",", "")) if m else -1 for m in rows], dtype=np.int64),
        },
        index=pd.Index(names),
    )


def region_table(atac: AnnData) -> pd.DataFrame:
    """Return the coordinates of every region of `atac`, from `var` columns or else from its names.

    Parameters
    ----------
    atac
        Its `var` holds `chrom`, `start`, `end` (any of `chr`, `seqnames`, `chromosome` for the first is understood), or
        an `interval` column, or its `var_names` are coordinates.

    Returns
    -------
    pandas.DataFrame
        Indexed by `atac.var_names`, with `chrom` (str), `start`, `end` (int64; 0-based, half-open).

    Raises
    ------
    ChromatellError
        A region has no coordinates, or a start that is not below its end.
    """
    var = atac.var
    chrom = next((c for c in (CHROM, "chr", "seqnames", "chromosome", "Chromosome") if c in var), None)
    start = next((c for c in (START, "Start", "chromStart") if c in var), None)
    end = next((c for c in (END, "End", "chromEnd") if c in var), None)
    if chrom and start and end:
        table = pd.DataFrame(
            {
                CHROM: var[chrom].astype(object).where(var[chrom].notna(), "").astype(str).to_numpy(),
                START: pd.to_numeric(var[start], errors="coerce").fillna(-1).astype(np.int64).to_numpy(),
                END: pd.to_numeric(var[end], errors="coerce").fillna(-1).astype(np.int64).to_numpy(),
            },
            index=atac.var_names,
        )
    else:
        source = var["interval"].astype(str) if "interval" in var else atac.var_names
        table = parse_regions(pd.Index(source)).set_axis(atac.var_names)
    bad = (table[START] < 0) | (table[END] <= table[START]) | (table[CHROM] == "")
    if bad.any():
        raise ChromatellError(
            f"{int(bad.sum())} of {len(table)} regions have no coordinates (such as {examples(table.index[bad])}). "
            "Needed: var['chrom'], var['start'], var['end'] (0-based, half-open), or names like 'chr1:100-600'. "
            "Remove the others with mdata.mod['atac'] = atac[:, atac.var_names.str.match(r'^chr')].copy()."
        )
    return table


def normalise_chrom(names: pd.Series) -> pd.Series:
    """Return chromosome names in one style (``chr1``, ``chrX``, ``chrM``), so that ``1`` and ``chr1`` meet.

    Scaffolds such as ``GL000205.2`` and ``KI270728.1`` keep their name.
    """
    text = names.astype(str)
    bare = text.str.replace(r"^chr", "", regex=True, case=False)
    plain = bare.str.fullmatch(r"\d{1,2}|X|Y|M|MT|Z|W", case=False)
    return text.where(~plain, "chr" + bare.str.upper().replace({"MT": "M"}))


def same_names(theirs: Iterable[str], ours: Iterable[str], where: str) -> dict[str, str]:
    """Return chromosomes of a file that are the regions' own under another spelling: ``1`` for ``chr1``, or back.

    Logged, once a call. A name that both have is left out, and so is a spelling of one that the file has as well.

    Parameters
    ----------
    theirs, ours
        Names of chromosomes in the file and in the regions.
    where
        The file, for the log.

    Examples
    --------
    >>> from chromatell.genome.regions import same_names
    >>> same_names(["1", "X", "GL000205.2"], ["chr1", "chrX"], "genes.gtf")
    {'1': 'chr1', 'X': 'chrX'}
    """
    there, here = list(dict.fromkeys(map(str, theirs))), list(dict.fromkeys(map(str, ours)))
    own = dict(zip(normalise_chrom(pd.Series(here, dtype=object)), here, strict=True))
    plain = normalise_chrom(pd.Series(there, dtype=object))
    found = {name: own[p] for name, p in zip(there, plain, strict=True) if p in own}
    found = {name: mine for name, mine in found.items() if name not in here and mine not in there}
    if found:
        theirs_first, ours_first = next(iter(found.items()))
        logger.info(
            "%d chromosomes have another name in %s than in the regions (%s, %s): taken as the same.",
            len(found), where, theirs_first, ours_first,
        )  # fmt: skip
    return found
