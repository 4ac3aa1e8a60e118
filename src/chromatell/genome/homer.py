"""What HOMER's ``annotatePeaks.pl`` writes."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pandas as pd

from chromatell._keys import CHROM, END, START, TSS_DISTANCE
from chromatell._validate import ChromatellError, examples
from chromatell.genome.odd_rows import keep_rows

_COLUMNS = {"Chr": CHROM, "Start": START, "End": END, "Annotation": "annotation"}
_OPTIONAL = {"Distance to TSS": TSS_DISTANCE, "Gene Name": "gene"}
_CURE = "Needed: what annotatePeaks.pl writes to its standard output, tabs and header as they are."


def is_homer(first_line: str) -> bool:
    """Return whether a file that begins so is HOMER's."""
    return first_line.startswith("PeakID") and "\tAnnotation" in first_line


def read_homer(path: str | Path) -> pd.DataFrame:
    """Peaks as HOMER annotated them.

    Parameters
    ----------
    path
        Output of ``annotatePeaks.pl``, plain or gzip.

    Returns
    -------
    pandas.DataFrame
        Indexed by HOMER's name of the peak: `chrom`, `start`, `end` (0-based, half-open; HOMER's own are 1-based,
        closed), `annotation` as HOMER has it, `label` (that up to its bracket, so ``'intron'`` of
        ``'intron (NM_1, intron 2 of 5)'``; ``''`` for none), and where there, `gene` and `tss_distance` (float, bp).

    Raises
    ------
    ChromatellError
        No such file, or not of this form.

    References
    ----------
    Heinz et al., Molecular Cell 2010 (HOMER).
    """
    path = Path(path)
    if not path.is_file():
        raise ChromatellError(f"No HOMER output at {str(path)!r}. {_CURE}")
    compression = "gzip" if path.open("rb").read(2) == b"\x1f\x8b" else None
    try:
        table = pd.read_csv(
            path, sep="\t", dtype=str, na_filter=False, quoting=3, compression=compression, index_col=False
        )
    except (ValueError, EOFError, OSError, zlib.error) as error:
        reason = str(error).splitlines()[0]
        raise ChromatellError(f"{str(path)!r} does not read as a table ({reason}). {_CURE}") from error
    lacking = [c for c in _COLUMNS if c not in table]
    if lacking or not len(table):
        raise ChromatellError(f"{str(path)!r} lacks the columns {examples(lacking, 4)} or has no row. {_CURE}")
    peaks = table[[*_COLUMNS, *(c for c in _OPTIONAL if c in table)]].rename(columns={**_COLUMNS, **_OPTIONAL})
    peaks.index = pd.Index(table.iloc[:, 0].astype(str), name=None)
    number = {c: pd.to_numeric(peaks[c], errors="coerce").to_numpy(dtype=np.float64) for c in (START, END)}
    bad = ~((number[START] >= 1) & (number[END] >= number[START]) & (number[END] < 10**11))  # 1-based, closed
    bad |= (number[START] % 1 != 0) | (number[END] % 1 != 0)
    first = peaks[[CHROM, START, END]].iloc[int(np.argmax(bad))]
    shown = f"'{first[CHROM]}:{first[START]}-{first[END]}'"
    keep = keep_rows(
        bad,
        repr(str(path)),
        f"rows whose Start is no position from 1 on, or whose End is below it (such as {shown})",
        _CURE,
    )
    peaks = peaks.assign(**{c: np.where(bad, 1, number[c]).astype(np.int64) for c in (START, END)})[keep]
    peaks[START] -= 1
    label = peaks["annotation"].str.split(" (", regex=False).str[0].str.strip()
    peaks["label"] = label.where(label != "NA", "")
    if TSS_DISTANCE in peaks:
        peaks[TSS_DISTANCE] = pd.to_numeric(peaks[TSS_DISTANCE], errors="coerce")
    return peaks


def match_peaks(peaks: pd.DataFrame, regions: pd.DataFrame, where: str) -> np.ndarray:
    """Return for each region the row of its peak, by name or else by place.

    Raises
    ------
    ChromatellError
        A region has no peak.
    """
    at = peaks.index.get_indexer(regions.index) if peaks.index.is_unique else np.full(len(regions), -1)
    same = at >= 0
    if same.any():  # a name such as peak_1 may be that of another peak
        same[same] &= (peaks[CHROM].to_numpy()[at[same]] == regions[CHROM].to_numpy()[same]) & (
            np.abs(peaks[START].to_numpy()[at[same]] - regions[START].to_numpy()[same]) <= 1
        )
    for shift in (0, 1):  # some peak files come with 0-based starts
        rows = np.flatnonzero(at < 0) if shift else np.flatnonzero(~same)
        places = pd.MultiIndex.from_arrays([peaks[CHROM], peaks[START] + shift, peaks[END]])
        first = np.flatnonzero(~places.duplicated())
        wanted = pd.MultiIndex.from_arrays([regions[c].to_numpy()[rows] for c in (CHROM, START, END)])
        hit = places[first].get_indexer(wanted)
        at[rows] = np.where(hit >= 0, first[hit], -1)
    lacking = at < 0
    if lacking.any():
        raise ChromatellError(
            f"{int(lacking.sum())} of {len(regions)} regions (such as {examples(regions.index[lacking])}) are not "
            f"among the {len(peaks)} peaks of {where} (such as {examples(peaks.index)}), by name or by place. Run "
            "annotatePeaks.pl on these regions, or give the annotation files themselves."
        )
    return at
