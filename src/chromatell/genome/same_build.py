"""Whether regions and an annotation are of one build, told by names and ends of chromosomes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from chromatell._keys import CHROM, END, START
from chromatell._validate import ChromatellError, examples
from chromatell.genome.builds import BUILDS, builds_that_fit, chromosome_sizes, identify, normalised
from chromatell.genome.chromosome_ends import Ends, listed, within
from chromatell.genome.regions import normalise_chrom


def check_ends(
    regions: pd.DataFrame,
    sizes: Mapping[str, int],
    cure: str = "Name their build: chrom_sizes='hg38'.",
    *,
    where: str = "chrom_sizes",
    done: str = "they stay as they are",
) -> None:
    """Raise where regions end beyond their chromosomes, warn of few; names of chromosomes may be ``1`` or ``chr1``.

    Examples
    --------
    >>> import pandas as pd
    >>> from chromatell.genome.same_build import check_ends
    >>> check_ends(pd.DataFrame({"chrom": ["1"], "end": [100]}), {"chr1": 100})
    """
    length = _lengths(regions[CHROM], normalised(sizes))
    ends = Ends("regions", where, sizes, cure)
    within(regions, length, ends)
    ends.finish(done)


def _lengths(chrom: pd.Series, known: Mapping[str, int]) -> np.ndarray:
    """Return the length of each row's chromosome, float64; NaN where it is not known."""
    return normalise_chrom(chrom).map(known).to_numpy(dtype=np.float64)


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
        No chromosome is shared, or over 1% of the intervals end beyond their chromosome, or no known build holds both.
    """
    furthest = regions[END].groupby(regions[CHROM].to_numpy()).max().to_dict()
    lengths = normalised(sizes or (chromosome_sizes(identify(furthest)) if identify(furthest) else {}))
    fit = builds_that_fit(regions)
    for name in dict.fromkeys(name for name, _ in tables):
        table = pd.concat([part[[CHROM, START, END]] for other, part in tables if other == name], ignore_index=True)
        end = table[END].groupby(table[CHROM].to_numpy(dtype=object)).max()
        _check_names(name, list(end.index), list(furthest))
        tried = [_held(name, table, known) for known in ([lengths] if lengths else [BUILDS[b] for b in fit])]
        held = next((ends for ends in tried if not ends.wrong()), None)
        if tried and held is None:
            _, chrom, at, size = tried[0].worst
            theirs = builds_that_fit(pd.DataFrame({CHROM: end.index, END: end.to_numpy()}))
            raise ChromatellError(
                f"{name} is of another build than the regions: it reaches {chrom}:{at}, which has {size} bp. "
                f"It fits {listed(theirs)}, the regions {identify(lengths) or listed(fit)}. Give the annotation of the "
                "regions' build; if it is theirs that is taken wrong, name it: chrom_sizes='hg38'."
            )
        if held is not None and lengths:
            held.finish("they stay as they are")


def _held(name: str, table: pd.DataFrame, known: Mapping[str, int]) -> Ends:
    ends = Ends(f"intervals of {name}", "the regions' build", known, strict=False)
    within(table, _lengths(table[CHROM], known), ends)
    return ends


def _check_names(name: str, theirs: list[str], ours: list[str]) -> None:
    if not set(normalise_chrom(theirs)) & set(normalise_chrom(ours)):
        raise ChromatellError(
            f"{name} has none of the regions' chromosomes ({examples(ours, 6)}); it has {examples(theirs, 6)}. Give "
            "the annotation of the regions' species and build."
        )
