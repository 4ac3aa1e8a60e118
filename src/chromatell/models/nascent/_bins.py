"""What training takes from tracks: which bins, and the scale of each target in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from chromatell._keys import RAW, REGION_SPLIT_HOW, TRAIN, VAL
from chromatell._settings import logger
from chromatell._validate import ChromatellError, examples
from chromatell.data._tracks_inputs import input_values
from chromatell.data._tracks_table import ASSAY, STRAND
from chromatell.data.tracks import BinnedTracks

if TYPE_CHECKING:
    from chromatell.models.nascent._config import NascentConfig

_NO_FLOOR = -1e30
_VALIDATION = 400_000  # validation bins that are looked at, however few train


@dataclass(frozen=True)
class TargetScale:
    """Statistics of each target over training bins, float64 (targets,).

    Attributes
    ----------
    mean, deviation, low
        Mean, standard deviation and least value (at most 0). For classes
        the last two are 1 and 0, or no limit of a hinge's margin.
    share
        Share of the bins that are not 0.
    """

    mean: np.ndarray
    deviation: np.ndarray
    low: np.ndarray
    share: np.ndarray


def _nonzero(data: BinnedTracks, targets: Sequence[str], split: str) -> bool:
    """Return whether any target is known and not 0 in the usable bins of a part; true where there are no such bins."""
    usable = {c: data.usable(c, split) for c in data.chroms}
    held = {c: np.nan_to_num(data.values(c, targets)[:, at]) for c, at in usable.items() if at.any()}
    return not held or any(values.any() for values in held.values())


def target_scale(data: BinnedTracks, targets: Sequence[str], options: NascentConfig) -> TargetScale:
    """Return the scale of targets; raise where one cannot be learned."""
    if not any(data.usable(c, TRAIN).any() for c in data.chroms):
        raise ChromatellError("No usable bin is marked 'train'. Run ctl.pp.split_regions(tracks, by='blocks').")
    n, total, squares, low, share = (np.zeros(len(targets)) for _ in range(5))
    for chrom in data.chroms:
        values = read_targets(data, chrom, targets, options)[:, data.usable(chrom, TRAIN)].astype(np.float64)
        known = np.isfinite(values)
        values[~known] = 0
        n += known.sum(axis=1)
        total += values.sum(axis=1)
        squares += (values**2).sum(axis=1)
        low = np.minimum(low, values.min(axis=1, initial=0))
        share += (values != 0).sum(axis=1)
    mean, share = total / np.maximum(n, 1), share / np.maximum(n, 1)
    deviation = np.sqrt(np.maximum(squares / np.maximum(n, 1) - mean**2, 0))
    flat = [name for name, d, m in zip(targets, deviation, mean, strict=True) if not d > 1e-6 * abs(m)]
    if flat:
        what = f"are on one side of threshold={options.threshold:g}" if classifies(options) else "do not vary"
        if not n.all():
            flat, what = [name for name, known in zip(targets, n, strict=True) if not known], "are unknown"
        others = [name for name in targets if name not in flat]
        raise ChromatellError(
            f"The targets {examples(flat)} {what} in the training bins: there is nothing to learn. "
            f"{f'Take the others, targets={others}' if others else 'Name other targets'}, or split otherwise."
        )
    if options.loss == "masked_mse" and not _nonzero(data, targets, VAL):
        raise ChromatellError(
            "loss='masked_mse' looks at targets that are not 0 alone, and in the validation bins all are 0: no epoch "
            "would be better than another. Take loss='mse', or split otherwise: ctl.pp.split_regions(tracks, "
            "by='blocks', seed=1)."
        )
    if options.loss == "poisson" and low.min() < 0:
        names = [name for name, x in zip(targets, low, strict=True) if x < 0]
        raise ChromatellError(
            f"loss='poisson' needs targets of 0 and above; {examples(names)} reach {low.min():g}. Take loss='mse', or "
            "shift them."
        )
    if classifies(options):
        deviation = np.ones(len(targets))
        low = np.full(len(targets), _NO_FLOOR if options.loss == "hinge" else 0.0)
    return TargetScale(mean / deviation, deviation, low, share)


def classifies(options: NascentConfig) -> bool:
    """Return whether targets are classes."""
    return options.task == "classification"


def check_gap(data: BinnedTracks, window: int, margin: int, beyond: int = 0) -> None:
    """Say where the blocks of the split lie nearer to each other than half of what a bin is predicted from.

    `window` is that of the signal, `margin` the sequence on each side of a bin, 0 where none is read, and `beyond` how
    far away, on each side, lie bins whose windows are read too (`bins_beyond`); all in bins.
    """
    how = data.uns.get(REGION_SPLIT_HOW, {})
    if how.get("by") != "blocks" or how.get("leaky"):
        return
    reach = max(window // 2 + beyond, margin) * data.bin_size
    if reach > int(how.get("gap", 0)) + data.bin_size:  # the middle bin counts to both sides
        logger.warning(
            "Blocks of the split lie %d bp apart, and the model reads %d bp on each side of a bin: training reaches "
            "into test blocks. Split for it: ctl.pp.split_regions(tracks, by='blocks', width=%d).",
            how.get("gap", 0), reach, (2 * reach // data.bin_size + 1) * data.bin_size,
        )  # fmt: skip


def read_targets(data: BinnedTracks, chrom: str, targets: Sequence[str], options: NascentConfig) -> np.ndarray:
    """Return targets as they are, or, of classes, 1 where the unsmoothed value is above the threshold, else 0."""
    if not classifies(options):
        return data.values(chrom, targets)
    values = data.values(chrom, targets, layer=RAW if RAW in data.layers else None)
    return np.where(np.isnan(values), np.nan, values > options.threshold).astype(np.float32)


def most_bins(options: NascentConfig, split: str) -> int:
    """Return how many bins of a part are drawn at most; a small `max_bins` leaves validation as it is."""
    return options.max_bins if split == TRAIN else max(options.max_bins, _VALIDATION)


def draw_bins(
    data: BinnedTracks, split: str, most: int, seed: np.random.SeedSequence, *, piece: int = 1, say: bool = True
) -> tuple[dict[str, np.ndarray], int]:
    """Return usable bins of a part on each chromosome that has any, at most so many in all, and how many there are.

    They are drawn one by one, or by pieces of so many bins in a row.
    """
    at = {c: np.flatnonzero(data.usable(c, split)) for c in data.chroms}
    n = sum(x.size for x in at.values())
    if n > most and say:
        logger.info("%s: %s of %s bins, drawn at random.", split, f"{most:,}", f"{n:,}")
    if n > most:
        rng, chosen = np.random.default_rng(seed), np.zeros(n, dtype=bool)
        if piece == 1:
            chosen[rng.choice(n, most, replace=False)] = True
        else:
            places = [(i << 40) + x // piece for i, x in enumerate(at.values())]
            _, of, size = np.unique(np.concatenate(places), return_inverse=True, return_counts=True)
            order = rng.permutation(size.size)
            kept = order[np.cumsum(size[order]) <= most]
            chosen[np.isin(of, kept if kept.size else order[:1])] = True
        ends = np.cumsum([x.size for x in at.values()])
        at = {c: x[part] for (c, x), part in zip(at.items(), np.split(chosen, ends[:-1]), strict=True)}
    return {c: bins for c, bins in at.items() if bins.size}, n


def target_values(
    data: BinnedTracks, chrom: str, targets: Sequence[str], options: NascentConfig, deviation: np.ndarray
) -> np.ndarray:
    """Return targets in standard deviations, or classes, float32 (targets, bins)."""
    return (read_targets(data, chrom, targets, options) / deviation[:, np.newaxis]).astype(np.float32)


def scaled_inputs(data: BinnedTracks, chrom: str, inputs: Sequence[str], scale: np.ndarray) -> np.ndarray:
    """Return inputs in units of their mean, float32 (inputs, bins)."""
    return input_values(data, chrom, inputs) / scale[:, np.newaxis].astype(np.float32)


def other_strands(inputs: Sequence[dict[str, str]]) -> tuple[list[int], bool]:
    """Return which input is the other strand of each one's assay, itself where none is, and whether none lacks its own.

    Examples
    --------
    >>> other_strands([{"assay": "PRO", "strand": "-"}, {"assay": "PRO", "strand": "+"}])
    ([1, 0], True)
    """
    keys = [(x[ASSAY], x[STRAND]) for x in inputs]
    turned = [(assay, {"+": "-", "-": "+"}.get(strand, strand)) for assay, strand in keys]
    return [keys.index(t) if t in keys else i for i, t in enumerate(turned)], all(t in keys for t in turned)
