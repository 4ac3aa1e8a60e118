"""Regions into train, val and test, so that no sequence is in two of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, Unpack

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from chromatell._docs import documented
from chromatell._keys import ATAC, CHROM, DNA, END, REGION_SPLIT_HOW, SPLIT, SPLITS, START, UNS
from chromatell._settings import logger, settings
from chromatell._unread import refuse_unread, usual
from chromatell._validate import (
    ChromatellError,
    check_tables,
    free_split,
    in_range,
    one_of,
    result_key,
    split_fractions,
)
from chromatell.data._tracks_anndata import is_tracks
from chromatell.data.named import Modalities, modalities
from chromatell.data.tracks import BinnedTracks
from chromatell.genome.regions import normalise_chrom, region_table
from chromatell.pp._held_out import DRAWS, MAX_BP, USUAL, draw_parts, held_out
from chromatell.pp._region_data import regions_of
from chromatell.pp._split_tracks import split_tracks

_FEW = 1000  # groups; with more, a draw that misses the fractions by _CLOSE of the regions ends the search
_CLOSE = 0.005


@modalities
@documented("split")
def split_regions(
    mdata: MuData | AnnData | BinnedTracks,
    *,
    by: Literal["chromosome", "blocks", "random"] = "chromosome",
    fractions: Sequence[float] | Mapping[str, float] = (0.8, 0.1, 0.1),
    holdout: Mapping[str, str | Iterable[str]] | str | Sequence[str] | None = None,
    width: int | None = None,
    gap: int | None = None,
    block: int = 1_000_000,
    allow_leaky: bool = False,
    seed: int | None = None,
    key_added: str = SPLIT,
    copy: bool = False,
    **more: Unpack[Modalities],
) -> MuData | AnnData | BinnedTracks | None:
    """Each region's part in training, or each bin's of tracks: train, val or test.

    A model that reads sequence has seen a test region if a training window overlaps it. So regions are put apart in
    whole chromosomes, or in whole groups of windows that overlap or lie next to each other. Bins of tracks are put
    apart in whole chromosomes or in blocks of them, with a gap between blocks that no window spans.

    Parameters
    ----------
    mdata
        With modality `atac`, or an AnnData of regions. Coordinates: `var` columns `chrom`, `start`, `end` (0-based,
        half-open), or names such as ``chr1:100-600``. Or :class:`chromatell.data.BinnedTracks`, or an AnnData of them.
    by
        - ``'chromosome'``: whole chromosomes, in random order, so that the parts come near to `fractions` as far as
          whole chromosomes allow. `1` and `chr1` are the same.
        - ``'blocks'`` (of tracks): intervals of `block` bp, spread evenly: with ``fractions=(0.5, 0, 0.5)`` every other
          one is a test block. `seed` says which part comes first.
        - ``'random'``: groups of regions at random. Two regions are in one group if their windows overlap, touch, or
          are at most `gap` bp apart, directly or through others. Single bins of tracks leak through their neighbours,
          so that it takes `allow_leaky` there.
    fractions
        Shares of (train, val, test) of the regions, which sum to 1, or by name, ``{'train': .8, 'test': .2}``. Val or
        test may be 0.
    holdout
        Chromosomes held out: ``{'test': ['chr20'], 'val': 'chr8'}``, or one or more names, which are test. A part that
        is not named is drawn from the other chromosomes as `by` says, in the ratio of its fraction to that of train.
    width
        In bp, of the window around a region's middle that the model reads. None takes that of ``varm['dna_code']``,
        and without it the regions themselves; for tracks it takes 2,561 bins. A region wider than its window counts as
        a whole.
    gap
        In bp. More than 0 puts windows that are near each other into one part as well; None is 0. Between two blocks of
        tracks: bins that are in neither part; None is half a window and three times the widest smoothing.
    block
        In bp, of a block of tracks.
    allow_leaky
        Let bins of tracks be split so that training sees what is tested.

    Returns
    -------
    None, or with ``copy=True`` a new object. Written into ``mdata.mod['atac']``, or the AnnData:

    ``var[key_added]`` : categorical
        'train', 'val' or 'test'.

    And into `uns` of what was given:

    ``uns['ctl']['region_split']`` : dict
        How: `by`, `holdout` (JSON of ``{part: chromosomes}``, or ``''``), `seed`, `fractions` (float64, 3), `width`,
        `gap`, `n_groups` (chromosomes, or groups of windows). Under `key_added` where that is not the default.

    Tracks get ``splits`` (int8 a bin: 0 train, 1 val, 2 test, -1 none; in an AnnData ``var['ctl_split']``) and
    ``uns['region_split']``.

    Raises
    ------
    ChromatellError
        Regions without coordinates; fractions that are negative, do not sum to 1 or leave a part without regions; fewer
        chromosomes or groups than parts; a chromosome that is not there or is held out twice; bins of tracks that would
        leak, without leave.

    Notes
    -----
    Peak memory: a few integers a region. Held-out chromosomes keep whole domains and gene families apart, a random
    split only the sequence itself: scores of the latter are higher.

    References
    ----------
    Whole chromosomes are held out as by Schreiber, Singh, Bilmes and Noble, A pitfall for machine learning methods
    aiming to predict across cell types (Genome Biology, 2020).

    Examples
    --------
    >>> import chromatell as ctl
    >>> mdata = ctl.datasets.simulate_multiome(50, 20, 400, seed=0)
    >>> ctl.pp.split_regions(mdata, holdout={"test": ["chr2"]}, seed=0)
    >>> atac = mdata.mod["atac"]
    >>> sorted(atac.var["chrom"][atac.var["ctl_split"] == "test"].unique())
    ['chr2']
    >>> ctl.pp.split_regions(mdata, by="random", width=1344, seed=0)
    >>> import numpy as np
    >>> tracks = ctl.data.BinnedTracks({"chr1": np.ones((1, 80))}, ["plus"], chrom_sizes={"chr1": 4000})
    >>> ctl.pp.split_regions(tracks, by="blocks", fractions=(0.5, 0, 0.5), block=1000, width=150, seed=0)
    >>> [int((tracks.splits["chr1"] == code).sum()) for code in (0, 2, -1)]
    [37, 37, 6]
    """
    check_tables(mdata)
    if isinstance(mdata, BinnedTracks) or is_tracks(mdata):
        if key_added != SPLIT:
            raise ChromatellError(f"key_added={key_added!r} is for regions; the split of tracks is tracks.splits.")
        given: dict[str, Any] = {
            "fractions": fractions,
            "holdout": holdout,
            "width": width,
            "gap": gap,
            "block": block,
            "seed": seed,
        }
        return split_tracks(mdata, by=by, allow_leaky=allow_leaky, copy=copy, **given)
    if by == "blocks":
        raise ChromatellError(
            "by='blocks' is for tracks. For regions use by='random', which keeps neighbours together."
        )
    one_of(by, ("chromosome", "random"), "by")
    options = {"block": block, "allow_leaky": allow_leaky, "gap": gap}
    readers = [(("block", "allow_leaky"), False, "tracks"), (("gap",), by == "random", "by='random'")]
    refuse_unread(options, usual(split_regions), readers)
    result_key(key_added, REGION_SPLIT_HOW)
    atac = regions_of(mdata)
    free_split(key_added, atac.var, "var")
    asked = split_fractions(fractions, USUAL, "region")
    parts = asked.copy()
    window = _window(atac, width)
    gap = in_range(0 if gap is None else gap, 0, MAX_BP, "gap")
    table = region_table(atac)
    chrom = normalise_chrom(table[CHROM]).to_numpy(dtype=object)
    held = held_out(holdout, chrom)
    resolved = settings.resolve_seed(seed)
    rng = np.random.default_rng(np.random.SeedSequence(resolved))

    groups = pd.factorize(chrom)[0] if by == "chromosome" else connected(table, chrom, window, gap)
    code = np.full(len(table), -1, dtype=np.int8)
    for part, names in held.items():
        code[np.isin(chrom, names)] = SPLITS.index(part)
        parts[SPLITS.index(part)] = 0.0
    rest = np.flatnonzero(code < 0)
    if rest.size == 0:
        raise ChromatellError(
            f"holdout={holdout!r} holds out all {len(table)} regions; none is left to train on. Hold out fewer of them."
        )
    code[rest] = _assign(rng, groups[rest], parts / parts.sum(), by)

    how = {
        "by": by,
        "holdout": json.dumps(held) if held else "",
        "seed": resolved,
        "fractions": asked,
        "width": window,
        "gap": int(gap),
        "n_groups": int(groups.max()) + 1,
    }
    target = _write(mdata.copy() if copy else mdata, code, how, key_added)
    logger.info(
        "Regions: %d train, %d val, %d test (%s%s).",
        *np.bincount(code, minlength=3),
        "whole chromosomes" if by == "chromosome" else f"{how['n_groups']} groups of windows",
        f"; held out: {held}" if held else "",
    )
    return target if copy else None


def _write(target: MuData | AnnData, code: np.ndarray, how: dict[str, Any], key_added: str) -> MuData | AnnData:
    written = target.mod[ATAC] if isinstance(target, MuData) else target
    written.var[key_added] = pd.Categorical.from_codes(code, list(SPLITS))
    target.uns[UNS] = {**target.uns.get(UNS, {}), (REGION_SPLIT_HOW if key_added == SPLIT else key_added): how}
    return target


def connected(table: pd.DataFrame, chrom: np.ndarray, width: int, gap: int) -> np.ndarray:
    """Return each region's group, int64, 0 to n - 1: windows that overlap, touch or are up to `gap` bp apart."""
    start, end = table[START].to_numpy(), table[END].to_numpy()
    if width:
        low = (start + end) // 2 - width // 2
        start, end = np.minimum(start, low), np.maximum(end, low + width)
    codes = pd.factorize(chrom)[0]
    order = np.lexsort((start, codes))
    first, last, where = start[order], end[order], codes[order]
    reach = pd.Series(last).groupby(where).cummax().to_numpy()  # how far the regions so far extend
    new = np.ones(len(order), dtype=bool)
    new[1:] = (where[1:] != where[:-1]) | (first[1:] > reach[:-1] + gap)
    groups = np.empty(len(order), dtype=np.int64)
    groups[order] = np.cumsum(new) - 1
    return groups


def _window(atac: AnnData, width: int | None) -> int:
    """Return the width of the window; 0 stands for the region itself."""
    if width is not None:
        return in_range(width, 1, MAX_BP, "width")
    tokens = atac.varm[DNA] if DNA in atac.varm else np.empty((0, 0))
    return int(tokens.shape[1])


def _assign(rng: np.random.Generator, groups: np.ndarray, parts: np.ndarray, by: str) -> np.ndarray:
    """Return codes 0, 1, 2 of the regions, whole groups together, near to the fractions."""
    _, member, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    wanted = np.flatnonzero(parts > 0)
    if len(sizes) < len(wanted):
        what, cure = (
            ("chromosomes", "ctl.pp.split_regions(mdata, by='random')")
            if by == "chromosome"
            else (
                "groups of windows",
                "ctl.pp.split_regions(mdata, by='random', gap=0, width=...) with a narrower width",
            )
        )
        raise ChromatellError(
            f"The regions to split lie in {len(sizes)} {what}, for {len(wanted)} parts "
            f"({', '.join(SPLITS[i] for i in wanted)}). Set a fraction to 0, or use {cure}."
        )
    target = parts * sizes.sum()
    best, least = np.empty(0, dtype=np.int8), np.inf
    for _ in range(DRAWS):
        draw = draw_parts(rng, sizes, target, wanted.tolist())
        miss = float(np.abs(np.bincount(draw, weights=sizes, minlength=3) - target).sum())
        if miss < least:
            best, least = draw, miss
        if len(sizes) > _FEW and least <= _CLOSE * sizes.sum():
            break
    return best[member]
