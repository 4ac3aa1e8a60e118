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

# R writes 100000 as 1e+05 where it turns numbers into text
_NUMBER = r"\d[\d,]{0,14}|\d(?:\.\d{1,14})?e\+\d\d"
_NAME = re.compile(rf"^(?P<chrom>[^\s:]+)[:\-_](?P<start>{_NUMBER})[\-_](?P<end>{_NUMBER})$")
_COLUMNS = {
    CHROM: (CHROM, "chr", "seqnames", "chromosome", "Chromosome"),
    START: (START, "Start", "chromStart"),
    END: (END, "End", "chromEnd"),
}
WIDTHS = ("width", "length", "Width", "Length")  # columns that say how long an interval is
_MAX_POSITION = 10**11
# what UCSC, Ensembl, WormBase, SGD and FlyBase call it
_MITOCHONDRION = "M|MT|MITO|MTDNA|MITOCHONDRION|MITOCHONDRION_GENOME"
_PLASTID = "C|PT|PLTD|CP|CPDNA|CHLOROPLAST|PLASTID"  # TAIR, Ensembl Plants, NCBI; no nuclear chromosome is called so


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
    start, end = ([_whole(m[c]) if m else -1 for m in rows] for c in (START, END))
    good = [s >= 0 and e >= 0 for s, e in zip(start, end, strict=True)]
    return pd.DataFrame(
        {
            CHROM: [m["chrom"] if m and known else "" for m, known in zip(rows, good, strict=True)],
            START: np.where(good, np.array(start, dtype=np.int64), -1),
            END: np.where(good, np.array(end, dtype=np.int64), -1),
        },
        index=pd.Index(names),
    )


def misplaced(table: pd.DataFrame) -> np.ndarray:
    """Return which regions have no coordinates, or end where they start or before it, bool (regions,)."""
    return ((table[START] < 0) | (table[END] <= table[START])).to_numpy()


def unplaced(table: pd.DataFrame, n: int = 3) -> str:
    """Return which regions have no place, for a message: 'chr1:600-100' ends before it starts, 'peak_1' names none."""
    shown, end = examples(table.index, n), table[END].to_numpy()
    if len(table) and (end >= 0).all() and (table[CHROM] != "").all():
        return f"end where they start, or before it (such as {shown})"
    return f"have no coordinates (such as {shown})"


def _whole(text: str) -> int:
    """Return a position; -1 where ``1.5e+00`` is no whole number."""
    if "e" not in text:
        return int(text.replace(",", ""))
    number = float(text)
    return int(number) if number < _MAX_POSITION and number.is_integer() else -1


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
    table, good = _coordinates(atac)
    if not good.all():
        raise ChromatellError(
            f"{int((~good).sum())} of {len(table)} regions {unplaced(table[~good])}. Needed: var['chrom'], "
            "var['start'], var['end'] (0-based, half-open), or names like 'chr1:100-600'. Keep the others: atac = "
            "atac[:, ctl.genome.has_coordinates(atac)].copy(); in a MuData that is mdata.mod['atac'], and the "
            "MuData is updated then."
        )
    return table


def places_of(atac: AnnData) -> pd.DataFrame:
    """Return the coordinates of the regions, from `var` or their names; -1 where there are none."""
    try:
        return region_table(atac)
    except ChromatellError:  # it names the first region without; here the others still count
        return parse_regions(atac.var_names)


def has_coordinates(atac: AnnData) -> np.ndarray:
    """Which regions have coordinates that :func:`region_table` reads.

    Parameters
    ----------
    atac
        Regions, as for `region_table`.

    Returns
    -------
    numpy.ndarray
        bool (n_regions,).

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> import chromatell as ctl
    >>> from anndata import AnnData
    >>> atac = AnnData(np.ones((2, 2)), var=pd.DataFrame(index=["chr1:0-500", "peak_2"]))
    >>> ctl.genome.has_coordinates(atac).tolist()
    [True, False]
    """
    return _coordinates(atac)[1]


def _coordinates(atac: AnnData) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the table of all regions, and which of its rows are right; what `var` leaves open the names may tell."""
    var = atac.var
    columns = {key: next((c for c in names if c in var), None) for key, names in _COLUMNS.items()}
    if all(columns.values()):
        chrom = var[columns[CHROM]]
        start, end = (pd.to_numeric(var[columns[c]], errors="coerce").to_numpy(dtype=np.float64) for c in (START, END))
        open_ = chrom.isna().to_numpy() | np.isnan(start) | np.isnan(end)
        whole = np.abs(start) + np.abs(end) < _MAX_POSITION
        whole &= (start % 1 == 0) & (end % 1 == 0)
        table = pd.DataFrame(
            {
                CHROM: chrom.astype(object).where(chrom.notna(), "").astype(str).to_numpy(dtype=object, copy=True),
                START: np.where(whole, start, -1).astype(np.int64) - (whole & one_based(var, start, end)),
                END: np.where(whole, end, -1).astype(np.int64),
            },
            index=atac.var_names,
        )
    elif "interval" in var:
        open_ = var["interval"].isna().to_numpy(copy=True)
        table = parse_regions(pd.Index(var["interval"].astype(str))).set_axis(atac.var_names)
        open_ |= (table[CHROM] == "").to_numpy() & var["interval"].astype(str).isin(["NA", "nan", ""]).to_numpy()
    else:
        open_ = np.zeros(atac.n_vars, dtype=bool)
        table = parse_regions(atac.var_names)
    if open_.any():
        table.loc[open_] = parse_regions(atac.var_names[open_]).to_numpy()
        table = table.astype({START: np.int64, END: np.int64})
    good = (table[START] >= 0) & (table[END] > table[START]) & (table[CHROM] != "")
    return table, good.to_numpy()


def one_based(table: pd.DataFrame, start: np.ndarray, end: np.ndarray) -> bool:
    """Return whether a table's own `width` or `length` says that it counts from 1, both ends included.

    R's GRanges come so, as do the ``.xls`` of MACS: there a width is ``end - start + 1``.
    """
    for name in WIDTHS:
        if name in table:
            width = pd.to_numeric(table[name], errors="coerce").to_numpy(dtype=np.float64)
            if len(width) and np.array_equal(width, end - start + 1):
                logger.info("The regions count from 1, as their column %r tells: taken as 0-based, half-open.", name)
                return True
    return False


def normalise_chrom(names: pd.Series | Iterable[str]) -> pd.Series:
    """Return chromosome names in one style, so that a name meets itself with and without ``chr``, in any species.

    ``1``, ``Chr1`` and ``Chr01`` become ``chr1``, ``2L`` becomes ``chr2L``, ``MT`` and ``mitochondrion_genome``
    ``chrM``, ``Pt`` and ``chloroplast`` ``chrC``. Names with a dot, such as ``GL000205.2``, are accessions: these stay,
    and lose a ``chr``.

    Examples
    --------
    >>> import pandas as pd
    >>> from chromatell.genome.regions import normalise_chrom
    >>> normalise_chrom(pd.Series(["1", "Chr01", "2L", "III", "MT", "Pt", "GL000205.2"])).tolist()
    ['chr1', 'chr1', 'chr2L', 'chrIII', 'chrM', 'chrC', 'GL000205.2']
    """
    names = names if isinstance(names, pd.Series) else pd.Series(list(names), dtype=object)
    codes, distinct = pd.factorize(names.astype(object).astype(str))  # a million regions lie on few chromosomes
    text = pd.Series(distinct, dtype=object)
    bare = text.str.replace(r"^chr(?=.)", "", regex=True, case=False)
    bare = bare.where(~bare.str.fullmatch("X|Y|Z|W", case=False), bare.str.upper())
    bare = bare.where(~bare.str.fullmatch(_MITOCHONDRION, case=False), "M")
    bare = bare.where(~bare.str.fullmatch(_PLASTID, case=False), "C")
    bare = bare.str.replace(r"^0+(?=[1-9]\d*[A-Za-z]?$)", "", regex=True)  # Chr01 of rice and maize, 01A of wheat
    plain = bare.where(bare.str.contains(".", regex=False) | bare.isin(["", "chr"]), "chr" + bare)
    return pd.Series(plain.to_numpy(dtype=object)[codes], index=names.index, name=names.name, dtype=object)


def plain_chrom(name: str) -> str:
    """Return one chromosome's name in the style of `normalise_chrom`."""
    return str(normalise_chrom([name])[0])


def same_names(theirs: Iterable[str], ours: Iterable[str], where: str) -> dict[str, str]:
    """Return chromosomes of a file that are the regions' own under another spelling: ``2L`` for ``chr2L``, or back.

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
    in_file, in_regions = list(dict.fromkeys(map(str, theirs))), list(dict.fromkeys(map(str, ours)))
    own = dict(zip(normalise_chrom(in_regions), in_regions, strict=True))
    plain = normalise_chrom(in_file)
    renamed = {name: own[p] for name, p in zip(in_file, plain, strict=True) if p in own}
    renamed = {name: mine for name, mine in renamed.items() if name not in in_regions and mine not in in_file}
    if renamed:
        theirs_first, ours_first = next(iter(renamed.items()))
        logger.info(
            "%d chromosomes have another name in %s than in the regions (%s, %s): taken as the same.",
            len(renamed), where, theirs_first, ours_first,
        )  # fmt: skip
    return renamed
