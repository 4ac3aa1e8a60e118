"""``ctl.pp.match_regions``: from one set of regions to another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from mudata import MuData

from chromatell._arguments import arguments
from chromatell._keys import ATAC, CHROM, END, START
from chromatell._settings import logger
from chromatell._validate import ChromatellError, examples, in_range, warn
from chromatell.genome.bed import read_regions
from chromatell.genome.liftover import lift, read_chain
from chromatell.genome.overlaps import overlaps
from chromatell.genome.regions import misplaced, normalise_chrom, parse_regions, region_table, unplaced

_NEEDED = "Needed: names like 'chr1:100-600', a table with chrom, start, end, BED, or an AnnData or MuData of regions."
_FEW = 20  # regions, under which a shift cannot be told
_SAME_SHIFT = 0.5  # share of regions with one and the same distance, from which on it is a shift


@dataclass(frozen=True)
class RegionMap:
    """From the regions of a target, such as a model, to those of a query.

    Attributes
    ----------
    weights
        float32 CSR (n query, n target): share of each target region in the query's; rows sum to 1, or to 0 where a
        region has no match. ``weights @ values`` carries values of the target, (n target, ...), to the query.
    query, target
        Names of the regions.
    covered
        float64 (n query,): share of each query region's bases that target regions cover.
    matched
        bool (n query,): `covered` is at least `min_overlap`.
    lifted
        bool (n query,): has a place in the target's build; all true without a chain.
    shift
        Bases by which the query lies right of the target where they are one set, shifted; 0 where not.
    """

    weights: sp.csr_matrix
    query: pd.Index
    target: pd.Index
    covered: np.ndarray
    matched: np.ndarray
    lifted: np.ndarray
    shift: int

    def __repr__(self) -> str:
        return (
            f"RegionMap: {int(self.matched.sum()):,} of {len(self.query):,} regions matched in "
            f"{len(self.target):,}, {self.share_bases:.1%} of their bases"
        )

    @property
    def share_regions(self) -> float:
        """Share of the query's regions that are matched."""
        return float(self.matched.mean())

    @property
    def share_bases(self) -> float:
        """Share of the query's bases that the target covers, mean over regions."""
        return float(self.covered.mean())


@arguments
def match_regions(
    query: AnnData | MuData | pd.DataFrame | Sequence[str] | str | Path,
    target: Any,
    *,
    min_overlap: float = 0.5,
    min_matched: float = 0.1,
    chain: str | Path | None = None,
) -> RegionMap:
    """Map the regions of a target, such as a model's, to another set of regions by their overlap.

    A query region is given the mean of the target regions that it overlaps, weighted by the shared bases. It counts as
    matched where they cover `min_overlap` of its bases.

    Parameters
    ----------
    query
        The regions that are wanted: AnnData, MuData with `atac`, names 'chr1:100-600', a table with `chrom`, `start`,
        `end`, or the path of a BED file.
    target
        What has values: a model, an AnnData, a MuData with `atac`, names, a table, or a BED file.
    min_overlap
        Share of a query region's bases.
    min_matched
        Share of the query's regions below which it is refused: it is of another build, or another data set.
    chain
        UCSC chain file, plain or gzip, from the query's build to the target's: regions are lifted over first. One is
        lifted where a chain holds 90% of its bases.

    Returns
    -------
    RegionMap
        `weights` (sparse, n query x n target), `covered`, `matched`, `share_regions`, `share_bases`, `shift`.

    Raises
    ------
    ChromatellError
        Regions without coordinates, no common chromosome, under `min_matched` matched, or a chain that cannot be read.

    Notes
    -----
    Warns where the query is the target moved by a constant number of bases, as where 1-based starts or resized peaks
    meet: nearly all regions overlap, and none is the same. Chromosomes `1` and `chr1` are the same.

    Examples
    --------
    >>> import chromatell as ctl
    >>> found = ctl.pp.match_regions(["chr1:150-250"], ["chr1:100-200", "chr1:200-220"])
    >>> found.weights.toarray().astype(float).round(3).tolist()
    [[0.714, 0.286]]
    >>> float(found.covered[0])
    0.7
    """
    min_overlap = in_range(min_overlap, 0.0, 1.0, "min_overlap", whole=False)
    min_matched = in_range(min_matched, 0.0, 1.0, "min_matched", whole=False)
    wanted, known = _table(query, "query"), _table(target, "target")
    names, lifted = wanted.index, np.ones(len(wanted), dtype=bool)
    place = wanted
    if chain is not None:
        place, lifted = lift(wanted, read_chain(chain))
        logger.info("Lifted over: %d of %d regions.", len(place), len(wanted))
    row, col, bases = overlaps(place, known)
    row = np.flatnonzero(lifted)[row]
    length = np.ones(len(wanted))
    length[lifted] = (place[END] - place[START]).to_numpy()
    shared = np.bincount(row, weights=bases, minlength=len(wanted))
    covered = _union(place, known, row, col, len(wanted), lifted) / length
    matched = (covered >= min_overlap) & (shared > 0)
    keep = matched[row]
    values = (bases[keep] / shared[row[keep]]).astype(np.float32)
    weights = sp.csr_matrix((values, (row[keep], col[keep])), shape=(len(wanted), len(known)))
    shift = _shift(place, known)
    if matched.mean() < min_matched:
        raise ChromatellError(_refusal(wanted, known, covered, matched, min_overlap, shift, chain))
    if shift:
        warn(
            f"The query's regions are the target's, moved by {shift:+,} bp: {len(wanted):,} regions, of which "
            f"{matched.mean():.0%} overlap by {min_overlap:.0%} or more. "
            f"{'Starts may be 1-based in one of the two: subtract 1. ' if abs(shift) == 1 else ''}"
            "They are matched as they lie. Mend the coordinates, or use the target's own names."
        )
    return RegionMap(weights, pd.Index(names), pd.Index(known.index), covered, matched, lifted, shift)


def _union(
    place: pd.DataFrame, known: pd.DataFrame, row: np.ndarray, col: np.ndarray, n: int, lifted: np.ndarray
) -> np.ndarray:
    """Return how many bases of each region the others cover, each base once where they overlap; float64 (n,)."""
    at = np.cumsum(lifted)[row] - 1  # the row of `place`
    low = np.maximum(place[START].to_numpy()[at], known[START].to_numpy()[col])
    high = np.minimum(place[END].to_numpy()[at], known[END].to_numpy()[col])
    order = np.lexsort((low, row))
    low, high, row = low[order], high[order], row[order]
    apart = (int(high.max(initial=0)) + 1) * row  # regions lie one behind the other
    before = np.concatenate([[0], np.maximum.accumulate(high + apart)[:-1]]) if row.size else low
    return np.bincount(row, weights=np.maximum(high + apart - np.maximum(low + apart, before), 0), minlength=n)


def _table(source: Any, what: str) -> pd.DataFrame:
    """Return `chrom`, `start`, `end` by name."""
    if isinstance(source, MuData):
        if ATAC not in source.mod:
            raise ChromatellError(f"The {what} has no modality 'atac'; it has {sorted(source.mod)}.")
        source = source.mod[ATAC]
    if isinstance(source, AnnData):
        return region_table(source)
    named = getattr(source, "var_names", None)
    if isinstance(named, dict) and ATAC in named:  # a model
        source = list(named[ATAC])
    if isinstance(source, pd.DataFrame | Path | str):
        table = read_regions(source, f"the {what}")
        names = pd.Index([f"{c}:{s}-{e}" for c, s, e in table[[CHROM, START, END]].itertuples(index=False)])
        if isinstance(source, pd.DataFrame) and source.index.dtype.kind == "O" and len(source) == len(table):
            names = source.index
        table = table[[CHROM, START, END]].set_axis(names)
    elif isinstance(source, Iterable):
        table = parse_regions(pd.Index(list(source)).astype(str))
    else:
        raise ChromatellError(f"The {what} is {source!r}, of type {type(source).__name__}. {_NEEDED}")
    if table.empty:
        raise ChromatellError(f"The {what} names no region. {_NEEDED}")
    bad = misplaced(table)
    if bad.any():
        raise ChromatellError(
            f"{int(bad.sum())} of {len(table)} regions of the {what} {unplaced(table[bad])}. {_NEEDED}"
        )
    if not table.index.is_unique:
        raise ChromatellError(
            f"The {what} names {examples(table.index[table.index.duplicated()])} more than once. Leave repeats out."
        )
    return table


def _shift(query: pd.DataFrame, target: pd.DataFrame) -> int:
    """Return by how much most query regions are moved, start and end, from the nearest target region; 0 if not.

    A start alone that is off by one counts too: it is 1-based.
    """
    if len(query) < _FEW:
        return 0
    starts, ends = [], []
    chrom_query, chrom_target = (normalise_chrom(t[CHROM]).to_numpy() for t in (query, target))
    for chrom in np.intersect1d(pd.unique(chrom_query), pd.unique(chrom_target)):
        targets = target[chrom_target == chrom][[START, END]].to_numpy()
        own = query[chrom_query == chrom][[START, END]].to_numpy()
        targets = targets[np.argsort(targets.sum(axis=1), kind="stable")]
        middle = targets.sum(axis=1)
        right = np.minimum(np.searchsorted(middle, own.sum(axis=1)), len(targets) - 1)
        left = np.maximum(right - 1, 0)
        nearer = np.abs(own.sum(axis=1) - middle[left]) < np.abs(own.sum(axis=1) - middle[right])
        difference = own - targets[np.where(nearer, left, right)]
        starts.append(difference[:, 0])
        ends.append(difference[:, 1])
    if not starts:
        return 0
    pairs, counts = np.unique(np.stack([np.concatenate(starts), np.concatenate(ends)]), axis=1, return_counts=True)
    start, end = (int(v) for v in pairs[:, np.argmax(counts)])
    if counts.max() < _SAME_SHIFT * len(query):
        return 0
    return start if start == end or (end == 0 and abs(start) == 1) else 0


def _refusal(
    query: pd.DataFrame,
    target: pd.DataFrame,
    covered: np.ndarray,
    matched: np.ndarray,
    min_overlap: float,
    shift: int,
    chain: Any,
) -> str:
    text = (
        f"Only {int(matched.sum())} of {len(query)} regions of the query (such as {examples(query.index)}) overlap the "
        f"{len(target)} of the target (such as {examples(target.index)}) by {min_overlap:.0%} or more; they cover "
        f"{covered.mean():.1%} of the query's bases. "
    )
    if shift:
        return text + f"Its regions are the target's moved by {shift:+,} bp: mend the coordinates."
    if not set(normalise_chrom(query[CHROM])) & set(normalise_chrom(target[CHROM])):
        return text + "They have no chromosome in common: is it another species?"
    cure = "check that the chain goes from the query's build to the target's" if chain else "lift it over with chain="
    call = "ctl.pp.match_regions(query, target, chain=..., min_overlap=..., min_matched=...)"
    return text + f"Is it of another build ({cure}), or a set of other regions? {call} takes less of an overlap."
