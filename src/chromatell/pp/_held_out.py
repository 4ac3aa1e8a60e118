"""What splits of regions and of tracks share: the chromosomes held out, and parts drawn near to the fractions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from chromatell._keys import TEST, VAL
from chromatell._nearest import names_there
from chromatell._validate import ChromatellError, examples
from chromatell.genome.regions import normalise_chrom

MAX_BP = 1_000_000_000  # the longest window, gap or block
USUAL = (0.8, 0.1, 0.1)  # shares
DRAWS = 20  # the closest to the fractions is kept; more would leave one split of few chromosomes for every seed


def held_out(holdout: Any, chrom: np.ndarray) -> dict[str, list[str]]:
    """Return {part: chromosomes}, in one style of names, each of them there and named once."""
    if holdout is None:
        return {}
    if not isinstance(holdout, Mapping):
        holdout = {TEST: holdout}
    unknown = [part for part in holdout if part not in (VAL, TEST)]
    if unknown:
        raise ChromatellError(
            f"holdout has the keys {examples(unknown)}; 'val' and 'test' are known, such as "
            "holdout={'test': ['chr20'], 'val': ['chr8']}."
        )
    as_list = {part: [names] if isinstance(names, str) else list(names) for part, names in holdout.items()}
    if not as_list or not all(as_list.values()):
        raise ChromatellError(f"holdout={holdout!r} names no chromosome. Leave it out for a split at random.")
    held = {part: normalise_chrom(names).tolist() for part, names in as_list.items()}
    chroms = sorted(set(chrom))
    lacking = [name for names in held.values() for name in names if name not in chroms]
    if lacking:
        raise ChromatellError(
            f"holdout: no region lies on {examples(lacking)}; chromosomes there: {names_there(chroms, lacking[0], 40)}."
        )
    twice = set(held.get(VAL, [])) & set(held.get(TEST, []))
    if twice:
        raise ChromatellError(f"holdout names {examples(sorted(twice))} in both val and test; leave each in one.")
    return held


def draw_parts(rng: np.random.Generator, sizes: np.ndarray, target: np.ndarray, wanted: list[int]) -> np.ndarray:
    """Return each group's part: in random order, where most regions are lacking; no wanted part stays empty."""
    part = np.empty(len(sizes), dtype=np.int8)
    lacking = target.tolist()
    empty = set(wanted)
    for i, group in enumerate(rng.permutation(len(sizes)).tolist()):
        choice = empty if empty and len(sizes) - i <= len(empty) else wanted
        best = max(choice, key=lambda p: lacking[p])
        part[group] = best
        lacking[best] -= int(sizes[group])
        empty.discard(best)
    return part
