"""Whether regions and an annotation are of one build, told by names and ends of chromosomes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from chromatell._keys import CHROM, END
from chromatell._validate import ChromatellError, examples
from chromatell.genome.builds import builds_that_fit, chromosome_sizes, identify, normalised
from chromatell.genome.regions import normalise_chrom

_UNKNOWN = "no known build"


def check_ends(
    regions: pd.DataFrame, sizes: Mapping[str, int], cure: str = "Name their build: chrom_sizes='hg38'."
) -> None:
    """Raise where a region ends beyond its chromosome; names of chromosomes may be ``1`` or ``chr1``.

    Examples
    --------
    >>> import pandas as pd
    >>> from chromatell.genome.same_build import check_ends
    >>> check_ends(pd.DataFrame({"chrom": ["1"], "end": [100]}), {"chr1": 100})
    """
    length = normalise_chrom(regions[CHROM]).map(normalised(sizes)) if sizes else pd.Series(np.nan, regions.index)
    beyond = (regions[END] > length).to_numpy()  # a chromosome without a length has NaN, and passes
    if beyond.any():
        first = int(np.argmax(beyond))
        raise ChromatellError(
            f"{int(beyond.sum())} of {len(regions)} regions end beyond their chromosome: {regions.index[first]!r} ends "
            f"at {regions[END].iloc[first]}, {regions[CHROM].iloc[first]} has {int(length.iloc[first])} bp. They fit "
            f"{' or '.join(builds_that_fit(regions)) or _UNKNOWN}. {cure}"
        )


def check_same_build(
    tables: list[tuple[str, pd.DataFrame]], regions: pd.DataFrame, sizes: Mapping[str, int] | None = None
) -> None:
    """Raise where an annotation is of another build than the regions; chromosomes may be ``1`` or ``chr1``.

    Parameters
    ----------
    tables
        (file, intervals with `chrom` and `end`); a file may come in several parts.
    regions
        `chrom`, `end`.
    sizes
        Lengths of the chromosomes of the regions' build. Where they are not known, and the regions end where the
        chromosomes of a known build do, as bins do, that is taken.

    Raises
    ------
    ChromatellError
        No chromosome is shared, or an interval ends beyond its chromosome, or no known build
        holds both.
    """
    furthest = regions[END].groupby(regions[CHROM].to_numpy()).max().to_dict()
    lengths = normalised(sizes or (chromosome_sizes(identify(furthest)) if identify(furthest) else {}))
    fit = builds_that_fit(regions)
    for name in dict.fromkeys(name for name, _ in tables):
        table = pd.concat([part[[CHROM, END]] for other, part in tables if other == name], ignore_index=True)
        end = table[END].groupby(table[CHROM].to_numpy(dtype=object)).max()
        _check_names(name, list(end.index), list(furthest))
        length = normalise_chrom(pd.Series(end.index, dtype=object)).map(lengths).to_numpy(dtype=float)
        beyond = np.flatnonzero(end.to_numpy() > length)
        theirs = builds_that_fit(pd.DataFrame({CHROM: end.index, END: end.to_numpy()}))
        if beyond.size or (not lengths and fit and theirs and not set(fit) & set(theirs)):
            at = beyond[0] if beyond.size else 0
            chrom_has = f", which has {int(length[at])} bp" if beyond.size else ""
            raise ChromatellError(
                f"{name} is of another build than the regions: it reaches {end.index[at]}:{end.iloc[at]}{chrom_has}. "
                f"It fits {' or '.join(theirs) or _UNKNOWN}, the regions "
                f"{identify(lengths) or ' or '.join(fit) or _UNKNOWN}. Give the annotation of the regions' build; if "
                "it is theirs that is taken wrong, name it: chrom_sizes='hg38'."
            )


def _check_names(name: str, theirs: list[str], ours: list[str]) -> None:
    if not set(normalise_chrom(pd.Series(theirs, dtype=object))) & set(normalise_chrom(pd.Series(ours, dtype=object))):
        raise ChromatellError(
            f"{name} has none of the regions' chromosomes ({examples(ours, 6)}); it has {examples(theirs, 6)}. Give "
            "the annotation of the regions' species and build."
        )
