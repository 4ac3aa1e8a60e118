"""Genome builds, known by the lengths of their chromosomes."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from chromatell._keys import CHROM, END
from chromatell._validate import ChromatellError
from chromatell.genome.regions import normalise_chrom

# bp of chr1, chr2, ..., chrX, chrY, from UCSC's chrom.sizes
_LENGTHS = {
    "hg19": "249250621 243199373 198022430 191154276 180915260 171115067 159138663 146364022 141213431 135534747 "
    "135006516 133851895 115169878 107349540 102531392 90354753 81195210 78077248 59128983 63025520 48129895 "
    "51304566 155270560 59373566",
    "hg38": "248956422 242193529 198295559 190214555 181538259 170805979 159345973 145138636 138394717 133797422 "
    "135086622 133275309 114364328 107043718 101991189 90338345 83257441 80373285 58617616 64444167 46709983 "
    "50818468 156040895 57227415",
    "hs1": "248387328 242696752 201105948 193574945 182045439 172126628 160567428 146259331 150617247 134758134 "
    "135127769 133324548 113566686 101161492 99753195 96330374 84276897 80542538 61707364 66210255 45090682 "
    "51324926 154259566 62460029",
    "mm9": "197195432 181748087 159599783 155630120 152537259 149517037 152524553 131738871 124076172 129993255 "
    "121843856 121257530 120284312 125194864 103494974 98319150 95272651 90772031 61342430 166650296 15902555",
    "mm10": "195471971 182113224 160039680 156508116 151834684 149736546 145441459 129401213 124595110 130694993 "
    "122082543 120129022 120421639 124902244 104043685 98207768 94987271 90702639 61431566 171031299 91744698",
    "mm39": "195154279 181755017 159745316 156860686 151758149 149588044 144995196 130127694 124359700 130530862 "
    "121973369 120092757 120883175 125139656 104073951 98008968 95294699 90720763 61420004 169476592 91455967",
}
_ALIASES = {
    "grch37": "hg19",
    "b37": "hg19",
    "hs37d5": "hg19",
    "grch38": "hg38",
    "chm13": "hs1",
    "t2t-chm13": "hs1",
    "ncbim37": "mm9",
    "grcm38": "mm10",
    "grcm39": "mm39",
}
_MAX_LINES = 5_000_000
_MAX_NAME = 512


def _named(text: str) -> dict[str, int]:
    lengths = [int(length) for length in text.split()]
    numbers = [str(i + 1) for i in range(len(lengths) - 2)]
    return {f"chr{c}": length for c, length in zip([*numbers, "X", "Y"], lengths, strict=True)}


BUILDS: dict[str, dict[str, int]] = {build: _named(text) for build, text in _LENGTHS.items()}


def build_name(text: str) -> str:
    """Return UCSC's name of a build (hg19, hg38, hs1, mm9, mm10, mm39) from any of its names; ``''`` if unknown.

    Examples
    --------
    >>> from chromatell.genome.builds import build_name
    >>> build_name("GRCh38"), build_name("mm10-2020-A"), build_name("GRCh38_and_mm10")
    ('hg38', 'mm10', '')
    """
    lower = str(text).strip().lower()
    for name in (*BUILDS, *_ALIASES):
        # a suffix such as .p13 or -2020-A is a release; two species together are no build
        if re.fullmatch(rf"{re.escape(name)}([.\-_ ].*|v\d.*)?", lower) and "_and_" not in lower:
            return _ALIASES.get(name, name)
    return ""


def identify(sizes: Mapping[str, int]) -> str:
    """Return the known build whose chromosome lengths these are; ``''`` if none or several.

    Parameters
    ----------
    sizes
        Chromosome to length in bp; some chromosomes are enough. Names may be ``1`` or ``chr1``.

    Examples
    --------
    >>> from chromatell.genome.builds import identify
    >>> identify({"20": 64444167, "KI270728.1": 1872759})
    'hg38'
    """
    plain = normalised(sizes)
    matching = []
    for build, lengths in BUILDS.items():
        shared = plain.keys() & lengths.keys()
        if shared and all(plain[c] == lengths[c] for c in shared):
            matching.append(build)
    return matching[0] if len(matching) == 1 else ""


def builds_that_fit(table: pd.DataFrame) -> list[str]:
    """Return the known builds that hold all regions that lie on chromosomes 1, 2, ..., X, Y.

    Parameters
    ----------
    table
        Regions: `chrom` and `end`.
    """
    chrom = normalise_chrom(table[CHROM])
    furthest = table[END].groupby(chrom.to_numpy()).max()
    main = {str(c): int(end) for c, end in furthest.items() if re.fullmatch(r"chr(\d{1,2}|X|Y)", str(c))}
    if not main:
        return []
    return [b for b, lengths in BUILDS.items() if all(c in lengths and end <= lengths[c] for c, end in main.items())]


ChromSizes: TypeAlias = "str | os.PathLike[str] | Mapping[str, int] | pd.Series | Iterable[tuple[str, int]]"


def chromosome_sizes(source: ChromSizes) -> dict[str, int]:
    """Return chromosome lengths in bp, names as given.

    Parameters
    ----------
    source
        Name of a build (hg19, hg38, hs1, mm9, mm10, mm39, or GRCh38 and such); a dict, a Series or pairs of name and
        length, as bioframe and cooler return them; or the path of a ``chrom.sizes`` file (name and length, divided by
        a tab; plain text).

    Raises
    ------
    ChromatellError
        Neither a known build nor a file, a line or a length that does not parse, a length of 0, or a name that comes
        twice with two lengths.

    Examples
    --------
    >>> from chromatell.genome.builds import chromosome_sizes
    >>> chromosome_sizes("GRCm38")["chr19"]
    61431566
    """
    if not isinstance(source, str | os.PathLike):
        return _gathered(((n, _length(v, n, "chrom_sizes")) for n, v in _pairs(source)), "chrom_sizes")
    if isinstance(source, str) and build_name(source) and not Path(source).is_file():
        return dict(BUILDS[build_name(source)])
    path = Path(source)
    if not path.is_file():
        raise ChromatellError(
            f"chrom_sizes={str(source)!r} is neither a file nor one of the builds {sorted(BUILDS)}. "
            "Give a dict of chromosome to length, or a file of 'name<tab>length' lines."
        )
    rows: list[tuple[str, int]] = []
    try:
        with path.open("rt", encoding="utf-8") as handle:
            for number in range(_MAX_LINES):
                line = handle.readline(4 * _MAX_NAME)
                if not line:
                    break
                fields = line.rstrip("\r\n").split("\t")
                if not line.strip() or line.startswith("#"):
                    continue
                if len(fields) < 2 or not fields[0] or len(fields[0]) > _MAX_NAME:
                    raise ChromatellError(
                        f"{str(path)!r}, line {number + 1}: {line[:60]!r} is not 'name<tab>length'. Mend the file."
                    )
                rows.append((fields[0], _length(fields[1], fields[0], str(path))))
    except UnicodeDecodeError as error:
        raise ChromatellError(f"{str(path)!r} is not a text file; 'name<tab>length' lines are needed.") from error
    return _gathered(rows, str(path))


def _pairs(source: Any) -> list[tuple[Any, Any]]:
    """Return pairs of name and length of a mapping, a Series, or pairs."""
    if isinstance(source, Mapping | pd.Series):
        return list(source.items())
    try:
        return [(name, length) for name, length in source]
    except (TypeError, ValueError):
        raise ChromatellError(
            f"chrom_sizes is a {type(source).__name__}, from which no chromosomes and lengths can be read. Give a "
            "build ('hg38'), a chrom.sizes file, or a dict, a Series or pairs of chromosome and length."
        ) from None


def _gathered(rows: Iterable[tuple[Any, int]], where: str) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for name, length in rows:
        if sizes.setdefault(str(name), length) != length:
            raise ChromatellError(
                f"{where} names {str(name)[:60]!r} twice, with {sizes[str(name)]:,} and {length:,} bp. Leave one of "
                "them out."
            )
    return sizes


def normalised(sizes: Mapping[str, int]) -> dict[str, int]:
    """Return the lengths under names in one style: ``1`` and ``chr1`` meet."""
    names = normalise_chrom(sizes)
    return {str(name): int(length) for name, length in zip(names, sizes.values(), strict=True)}


def _length(value: Any, name: Any, where: str) -> int:
    whole = isinstance(value, int | np.integer) or (isinstance(value, float | np.floating) and value == value // 1)
    text = str(int(value)) if whole else str(value).strip()
    if not (text.isascii() and text.isdigit() and 0 < len(text) < 13 and int(text) > 0):
        raise ChromatellError(
            f"{where}: {value!r} is not the length of {str(name)[:60]!r}; whole bp, at least 1, are needed. Mend it."
        )
    return int(text)
