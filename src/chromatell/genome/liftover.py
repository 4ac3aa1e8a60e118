"""Regions from one genome build to another, by a chain file of the user's."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd

from chromatell._keys import CHROM, END, START
from chromatell._validate import ChromatellError
from chromatell.genome.overlaps import overlaps

_LINE = 4096  # characters
_MAX_BLOCKS = 50_000_000
_CURE = "Needed: a UCSC chain file, plain or gzip, from the build of the regions to that of the target."


def read_chain(path: str | Path) -> pd.DataFrame:
    r"""Return the aligned blocks of a chain file.

    Returns
    -------
    pandas.DataFrame
        `chrom`, `start`, `end` in the old build (0-based, half-open); `to_chrom`, `to_start`, where the block's first
        base lies on the + strand of the new one, or its last where `reverse`; `chain`, int64.

    Raises
    ------
    ChromatellError
        No such file, or not a chain file.

    Examples
    --------
    >>> from pathlib import Path
    >>> from chromatell.genome.liftover import read_chain
    >>> text = "chain 9 chr1 100 + 10 40 chr2 200 + 50 85 1\n10 5 10\n15\n\n"
    >>> _ = Path("x.chain").write_text(text)
    >>> read_chain("x.chain")[["start", "end", "to_start"]].values.tolist()
    [[10, 20, 50], [25, 40, 70]]
    """
    file = Path(path)
    if not file.is_file():
        raise ChromatellError(f"No chain file at {str(path)!r}. {_CURE}")
    try:
        with file.open("rb") as handle:
            compressed = handle.read(2) == b"\x1f\x8b"
        with file.open("rb") as plain:
            text: Any = gzip.GzipFile(fileobj=plain) if compressed else plain
            return _parse(text, str(path))
    except (EOFError, gzip.BadGzipFile, zlib.error, UnicodeDecodeError) as error:
        raise ChromatellError(
            f"{str(path)!r} is cut short or no text file ({type(error).__name__}). {_CURE}"
        ) from error


def _lines(handle: IO[bytes], where: str) -> Iterator[list[str]]:
    while line := handle.readline(_LINE):
        if len(line) == _LINE and not line.endswith(b"\n"):
            raise ChromatellError(f"{where!r} has a line of over {_LINE} characters. {_CURE}")
        if line.strip() and not line.startswith(b"#"):
            yield line.decode("utf-8").split()


def _parse(handle: IO[bytes], where: str) -> pd.DataFrame:
    rows: list[tuple[str, int, int, str, int, bool, int]] = []
    head: list[str] | None = None
    at = to = size = end = 0
    reverse, number = False, -1
    for fields in _lines(handle, where):
        try:
            if fields[0] == "chain":
                _whole(head, end, where)
                head, number = fields, number + 1
                at, to, size = int(fields[5]), int(fields[10]), int(fields[8])
                reverse = {"+": False, "-": True}[fields[9]]
                continue
            if head is None or len(fields) not in (1, 3) or len(rows) >= _MAX_BLOCKS:
                raise ChromatellError(f"{where!r}: {' '.join(fields)[:60]!r} is no line of a chain. {_CURE}")
            n = int(fields[0])
            end = at + n
            rows.append((head[2], at, end, head[7], size - to - n if reverse else to, reverse, number))
            if len(fields) == 3:
                at, to = at + n + int(fields[1]), to + n + int(fields[2])
        except (ValueError, IndexError, KeyError) as error:
            if isinstance(error, ChromatellError):
                raise
            raise ChromatellError(f"{where!r}: {' '.join(fields)[:60]!r} is no line of a chain. {_CURE}") from error
    _whole(head, end, where)
    if not rows:
        raise ChromatellError(f"{where!r} holds no chain. {_CURE}")
    return pd.DataFrame(rows, columns=[CHROM, START, END, "to_chrom", "to_start", "reverse", "chain"])


def _whole(head: list[str] | None, end: int, where: str) -> None:
    if head is not None and end != int(head[6]):
        raise ChromatellError(f"{where!r}: a chain ends at {end} and not at {head[6]}; the file is cut short. {_CURE}")


def lift(regions: pd.DataFrame, chain: pd.DataFrame, *, min_share: float = 0.9) -> tuple[pd.DataFrame, np.ndarray]:
    """Return regions in the new build, and which of the given ones these are.

    A region is lifted where one chain holds at least `min_share` of its bases, and its length changes by under half;
    the chain with the most of its bases counts.

    Parameters
    ----------
    regions
        `chrom`, `start`, `end` (0-based, half-open).
    chain
        From `read_chain`.

    Returns
    -------
    (pandas.DataFrame, numpy.ndarray)
        `chrom`, `start`, `end` of those that were lifted, by their own index; bool (n,).
    """
    i, j, _ = overlaps(regions, chain)
    start = np.maximum(regions[START].to_numpy()[i], chain[START].to_numpy()[j])
    end = np.minimum(regions[END].to_numpy()[i], chain[END].to_numpy()[j])
    reverse, to = chain["reverse"].to_numpy()[j], chain["to_start"].to_numpy()[j]
    ahead = np.where(reverse, chain[END].to_numpy()[j] - end, start - chain[START].to_numpy()[j])
    table = pd.DataFrame(
        {
            "region": i,
            "chain": chain["chain"].to_numpy()[j],
            CHROM: chain["to_chrom"].to_numpy()[j],
            START: to + ahead,
            END: to + ahead + (end - start),
            "bases": end - start,
        }
    )
    merged = table.groupby(["region", "chain"], as_index=False).agg(
        {CHROM: "first", START: "min", END: "max", "bases": "sum"}
    )
    best = merged.sort_values(["region", "bases"], ascending=[True, False], kind="stable").drop_duplicates("region")
    length = (regions[END] - regions[START]).to_numpy()[best["region"]]
    new = (best[END] - best[START]).to_numpy()
    good = (best["bases"].to_numpy() >= min_share * length) & (new < 1.5 * length) & (new > 0.5 * length)
    kept = best[good]
    lifted = np.zeros(len(regions), dtype=bool)
    lifted[kept["region"]] = True
    return kept[[CHROM, START, END]].set_axis(regions.index[kept["region"]]), lifted
