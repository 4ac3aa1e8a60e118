"""What the models read: input tracks, scaled, and sums of them around each bin. No bins x window matrix is kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chromatell._validate import ChromatellError, examples
from chromatell.data._tracks_inputs import input_values
from chromatell.data._tracks_table import ASSAY, INPUT, ROLE, SAMPLE, SIGMA, STAT, STRAND, TARGET, check_words
from chromatell.data.tracks import BinnedTracks


def segments(window: int) -> list[tuple[int, int]]:
    """Return intervals of bins around a bin, [first, behind the last), one bin wide near it and wider outwards.

    Examples
    --------
    >>> segments(21)
    [(-10, -8), (-8, -6), (-6, -5), (-5, -4), (-4, -3), (-3, -2), (-2, -1), (-1, 0), (0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 6), (6, 7), (7, 9), (9, 11)]
    """  # noqa: E501
    half = window // 2
    edges, width = [1], 1
    while edges[-1] <= half:
        for _ in range(6 if width == 1 else 2):  # six single bins on each side, then two of each width
            edges.append(min(edges[-1] + width, half + 1))
            if edges[-1] > half:
                break
        width *= 2
    right = list(zip(edges[:-1], edges[1:], strict=True))
    left = [(1 - b, 1 - a) for a, b in reversed(right)]
    return [*left, (0, 1), *right]


def mean_signal(
    tracks: BinnedTracks, names: Sequence[str], groups: Sequence[str], split: str | None = None
) -> np.ndarray:
    """Return the mean of each input over usable bins, float64 (tracks,); the strands of a group share theirs."""
    total, n = np.zeros(len(names)), 0
    for chrom in tracks.chroms:
        keep = tracks.usable(chrom, split)
        total += input_values(tracks, chrom, names)[:, keep].sum(axis=1, dtype=np.float64)
        n += int(keep.sum())
    mean = total / max(n, 1)
    for group in set(groups):
        own = [i for i, g in enumerate(groups) if g == group]
        mean[own] = mean[own].mean()
    silent = [name for name, m in zip(names, mean, strict=True) if not m > 0]
    if silent:
        raise ChromatellError(
            f"The inputs {silent} have no signal in the {split or 'usable'} bins. Check the files, the mask and the "
            "split."
        )
    return mean


def choose_tracks(
    tracks: BinnedTracks, inputs: str | Sequence[str] | None, targets: str | Sequence[str] | None
) -> tuple[list[str], list[str], dict[str, list[dict[str, Any]]]]:
    """Return the names of inputs and of targets, None is all of the role; and what a record keeps of each."""
    read = tracks.check_names(inputs, INPUT)
    asked = tracks.check_names(targets, TARGET)
    if both := set(read) & set(asked):
        raise ChromatellError(f"{examples(both)} would be read and predicted. Name it once: inputs=, targets=.")
    check_words(tracks.table)
    of_inputs, of_targets = tracks.table.loc[read], tracks.table.loc[asked]
    if of_inputs[SAMPLE].nunique() > 1:
        raise ChromatellError(
            f"The inputs are of several samples ({examples(of_inputs[SAMPLE].unique())}). Train on one: "
            f"tracks = tracks.select(sample={of_inputs[SAMPLE].iloc[0]!r})."
        )
    described = [{c: str(row[c]) for c in (ASSAY, STRAND, STAT)} for _, row in of_inputs.iterrows()]
    wanted = [{ASSAY: str(row[ASSAY]), SIGMA: float(row[SIGMA])} for _, row in of_targets.iterrows()]
    return read, asked, {"input_tracks": described, "target_tracks": wanted}


def find_inputs(tracks: BinnedTracks, names: list[str], wanted: list[dict[str, str]]) -> list[str]:
    """Return the names that a model's inputs have in other tracks."""
    if all(name in tracks.names for name in names):
        return names
    table = tracks.table[tracks.table[ROLE] == INPUT]
    for columns in ((ASSAY, STRAND), (STRAND,)):
        matches = [list(table.index[np.all([table[c] == w[c] for c in columns], axis=0)]) for w in wanted]
        single = [str(n[0]) for n in matches if len(n) == 1]
        if len(single) == len(wanted) == len(set(single)):
            return single
    samples = [s for s in table[SAMPLE].unique() if s]
    own = table.groupby(ASSAY, sort=False)[STRAND].agg(list)
    pairs = [a for a, strands in own.items() if sorted(strands) == sorted(w[STRAND] for w in wanted)]
    cure = "."
    if len(samples) > 1:
        cure = f", or give one sample: tracks.select(sample={samples[0]!r})."
    elif pairs:
        cure = f", or give one sample: tracks.select({[str(n) for n in table.index[table[ASSAY] == pairs[0]]]})."
    raise ChromatellError(
        f"The model reads {examples(names)} ({', '.join(w[ASSAY] + ' ' + w[STRAND] for w in wanted)}); among the "
        f"inputs {examples(table.index) or '(none)'} those are not to be told. Name them alike{cure}"
    )


class Signal:
    """Inputs of one chromosome as running sums, from which sums over any interval are differences.

    Parameters
    ----------
    values
        float32 (tracks, bins), scaled.
    window
        In bins, odd. Beyond a chromosome's ends there is no signal.
    """

    def __init__(self, values: np.ndarray, window: int) -> None:
        self.n_bins = values.shape[1]
        self.segments = segments(window)
        self.reach = window // 2
        sums = np.zeros((values.shape[0], self.n_bins + 1 + 2 * self.reach))
        middle = slice(self.reach + 1, self.reach + 1 + self.n_bins)
        np.cumsum(values, axis=1, out=sums[:, middle], dtype=np.float64)
        sums[:, middle.stop :] = sums[:, middle.stop - 1 : middle.stop]
        self.sums = sums

    def features(self, bins: slice | np.ndarray) -> np.ndarray:
        """Return log(1 + sum) over each interval around bins, float32 (tracks * intervals, bins)."""
        n_rows = bins.stop - bins.start if isinstance(bins, slice) else bins.size
        sums = np.empty((len(self.sums), len(self.segments), n_rows), dtype=np.float32)
        for i, (first, behind) in enumerate(self.segments):
            sums[:, i] = self._at(bins, behind) - self._at(bins, first)
        return np.log1p(sums, out=sums).reshape(-1, n_rows)

    def _at(self, bins: slice | np.ndarray, offset: int) -> np.ndarray:
        by = self.reach + offset
        if isinstance(bins, slice):
            return self.sums[:, bins.start + by : bins.stop + by]
        return self.sums[:, bins + by]
