"""Bins of tracks into train, val and test: whole chromosomes, or blocks of them with a gap between."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from anndata import AnnData

from chromatell._keys import REGION_SPLIT_HOW, SPLITS
from chromatell._settings import logger, settings
from chromatell._validate import ChromatellError, in_range, one_of, split_fractions
from chromatell.data._tracks_anndata import update_anndata
from chromatell.data._tracks_info import NO_SPLIT
from chromatell.data._tracks_table import SIGMA
from chromatell.data.tracks import BinnedTracks, as_tracks
from chromatell.genome.regions import normalise_chrom
from chromatell.pp._held_out import DRAWS, MAX_BP, USUAL, draw_parts, held_out

WIDEST = 2561  # bins: the widest window of the package's models
REACH = 3  # smoothing widths
_PIECES = 20  # blocks that are offered where those asked for are too few


def split_tracks(
    tracks: BinnedTracks | AnnData,
    *,
    by: str,
    fractions: Sequence[float] | Mapping[str, float],
    holdout: Any,
    width: int | None,
    gap: int | None,
    block: int,
    seed: int | None,
    allow_leaky: bool,
    copy: bool,
) -> BinnedTracks | AnnData | None:
    """Write ``tracks.splits``; see :func:`chromatell.pp.split_regions`."""
    one_of(by, ("chromosome", "blocks", "random"), "by")
    asked = split_fractions(fractions, USUAL, "region")
    parts = asked.copy()
    block = in_range(block, 1, MAX_BP, "block")
    target = (tracks.copy() if copy else tracks) if isinstance(tracks, BinnedTracks) else as_tracks(tracks)
    width = WIDEST * target.bin_size if width is None else width
    apart, leaky = _gap(target, by, width, gap, allow_leaky)
    resolved = settings.resolve_seed(seed)
    rng = np.random.default_rng(np.random.SeedSequence(resolved))
    plain = normalise_chrom(target.chroms).to_numpy(dtype=object)
    held = held_out(holdout, plain)
    for part in held:
        parts[SPLITS.index(part)] = 0.0
    splits = {
        chrom: np.full(target.n_bins_of(chrom), SPLITS.index(part), dtype=np.int8)
        for part, names in held.items()
        for chrom, name in zip(target.chroms, plain, strict=True)
        if name in names
    }
    rest = [c for c in target.chroms if c not in splits]
    if not rest:
        raise ChromatellError(f"holdout={holdout!r} holds out every chromosome; none is left to train on. Name fewer.")
    splits |= _draw(target, rest, by, parts / parts.sum(), block, apart, rng)
    _check_parts(
        target, splits, parts, _fitting(target, rest, block, apart, width) if by == "blocks" else ". Use by='blocks'"
    )

    target.splits = {c: splits[c] for c in target.chroms}
    target.uns = {
        **target.uns,
        REGION_SPLIT_HOW: {
            "by": by,
            "holdout": json.dumps(held) if held else "",
            "seed": resolved,
            "fractions": asked.tolist(),
            "width": int(width),
            "gap": int(apart) if by == "blocks" else 0,
            "block": block if by == "blocks" else 0,
            "leaky": leaky,
        },
    }
    counts = [sum(int(target.usable(c, part).sum()) for c in target.chroms) for part in SPLITS]
    logger.info("Usable bins: %d train, %d val, %d test (%s).", *counts, by)
    if isinstance(tracks, AnnData):
        divided = tracks.copy() if copy else tracks
        update_anndata(divided, target)
        return divided if copy else None
    return target if copy else None


def _gap(tracks: BinnedTracks, by: str, width: int, gap: int | None, allow_leaky: bool) -> tuple[int, bool]:
    """Return the bp between blocks, and whether training then sees what is tested, which needs leave."""
    in_range(width, 1, MAX_BP, "width")
    needed = width // 2 + int(np.ceil(REACH * tracks.table[SIGMA].max() * tracks.bin_size))
    apart = in_range(needed if gap is None else gap, 0, MAX_BP, "gap")
    if by == "random" and not allow_leaky:
        raise ChromatellError(
            "by='random' puts single bins into train and test: a test bin's neighbours, whose windows and smoothed "
            "targets hold it, would be trained on, and every score would be too high. Use by='blocks' or "
            "by='chromosome'; to see how much too high, pass allow_leaky=True."
        )
    if by == "blocks" and apart < needed and not allow_leaky:
        raise ChromatellError(
            f"gap={apart} bp lets training windows ({width:,} bp) and smoothed targets reach into test blocks; at "
            f"least {needed} bp are needed. Leave gap out, name a smaller window, width=..., or pass allow_leaky=True."
        )
    return int(apart), by == "random" or (by == "blocks" and apart < needed)


def _draw(
    tracks: BinnedTracks, chroms: list[str], by: str, parts: np.ndarray, block: int, gap: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Return the part of each bin of the chromosomes that are not held out."""
    sizes = [tracks.n_bins_of(c) for c in chroms]
    if np.count_nonzero(parts) == 1:  # the others were held out
        return {c: np.full(n, int(np.argmax(parts)), dtype=np.int8) for c, n in zip(chroms, sizes, strict=True)}
    if by == "chromosome":
        return {
            c: np.full(n, part, dtype=np.int8)
            for c, n, part in zip(chroms, sizes, _whole(rng, np.array(sizes), parts).tolist(), strict=True)
        }
    if by == "random":
        return {c: rng.choice(len(SPLITS), n, p=parts).astype(np.int8) for c, n in zip(chroms, sizes, strict=True)}
    return _blocks(tracks, chroms, parts, block, gap, rng)


def _whole(rng: np.random.Generator, sizes: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Return the part of each chromosome: of several draws the one that is nearest to the fractions."""
    wanted = np.flatnonzero(parts > 0)
    if len(sizes) < len(wanted):
        names = ", ".join(SPLITS[i] for i in wanted)
        raise ChromatellError(
            f"The tracks have {len(sizes)} chromosomes to split into {len(wanted)} parts ({names}). Use by='blocks', "
            "or set a fraction to 0: fractions=(0.5, 0, 0.5)."
        )
    target = parts * sizes.sum()
    draws = [draw_parts(rng, sizes, target, wanted.tolist()) for _ in range(DRAWS)]
    return min(draws, key=lambda d: float(np.abs(np.bincount(d, weights=sizes, minlength=3) - target).sum()))


def _blocks(
    tracks: BinnedTracks, chroms: list[str], parts: np.ndarray, block: int, gap: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Give each block along the chromosomes to the part that is furthest behind its share: parts alternate evenly."""
    length = -(-block // tracks.bin_size)
    half = -(-gap // (2 * tracks.bin_size))  # bins left out on each side of a border
    behind = rng.permutation(np.count_nonzero(parts)).astype(np.float64)  # which part comes first
    lacking = np.where(parts > 0, 0.0, -np.inf)
    lacking[parts > 0] = 1e-3 * behind
    codes = {}
    for chrom in chroms:
        n = tracks.n_bins_of(chrom)
        usable = tracks.usable(chrom)
        starts = np.arange(0, n, length)
        weight = np.add.reduceat(usable, starts).astype(np.float64) / length
        chosen = np.zeros(len(starts), dtype=np.int8)
        for i in np.flatnonzero(weight):
            lacking += parts * weight[i]
            chosen[i] = np.argmax(lacking)
            lacking[chosen[i]] -= weight[i]
        # a block without usable bins goes with the one before it (the first ones with the one behind): no border there
        filled = np.maximum.accumulate(np.where(weight > 0, np.arange(len(starts)), -1))
        filled[filled < 0] = np.argmax(weight > 0)
        code = np.repeat(chosen[filled], length)[:n]
        borders = np.flatnonzero(np.diff(code)) + 1
        for border in borders.tolist():
            code[max(0, border - half) : border + half] = NO_SPLIT
        codes[chrom] = code
    return codes


def _fitting(tracks: BinnedTracks, chroms: list[str], block: int, gap: int, width: int) -> str:
    """Return how blocks lie, and sizes of blocks and windows with which each part gets bins."""
    usable = sum(int(tracks.usable(c).sum()) for c in chroms) * tracks.bin_size
    size = max(usable // _PIECES // tracks.bin_size, 1) * tracks.bin_size
    return (
        f": blocks of {block:,} bp lie {gap:,} bp apart for windows of {width:,} bp, and {usable:,} bp are usable. "
        f"Take block={min(size, block)}, width={min(size, block, width)} (bp), for a model whose window is no wider"
    )


def _check_parts(tracks: BinnedTracks, splits: Mapping[str, np.ndarray], parts: np.ndarray, why: str) -> None:
    for i, part in enumerate(SPLITS):
        usable = sum(int((tracks.usable(c) & (s == i)).sum()) for c, s in splits.items())
        if parts[i] > 0 and usable == 0:
            raise ChromatellError(f"No usable bin is left for {part!r} (fraction {parts[i]:g}){why}.")
