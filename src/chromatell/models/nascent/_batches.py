"""The batches that a `Nascent` model trains on: bins for trees, windows or intervals for networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch.utils.data import DataLoader

from chromatell._keys import RAW, TRAIN
from chromatell.data.sampler import RowBatches, batch_loader
from chromatell.data.tracks import BinnedTracks
from chromatell.genome.genome import Genome
from chromatell.models._train_config import TrainConfig
from chromatell.models.nascent._bins import scaled_inputs, target_values
from chromatell.models.nascent._carry import Sample
from chromatell.models.nascent._config import NascentConfig
from chromatell.models.nascent._intervals import Intervals, interval_loader
from chromatell.models.nascent._sequence import bin_tokens
from chromatell.models.nascent._signal import Signal
from chromatell.models.nascent._windows import Windows, padded


@dataclass(frozen=True)
class Source:
    """Tracks and what scales them."""

    data: BinnedTracks
    inputs: Sequence[str]
    targets: Sequence[str]
    scale: np.ndarray
    deviation: np.ndarray
    options: NascentConfig
    genome: Genome | None = None
    sample: Sample | None = None  # the scale of a sample, where 'transfer' reads it

    def x(self, chrom: str) -> np.ndarray:
        """Return scaled inputs, float32 (inputs, bins)."""
        return scaled_inputs(self.data, chrom, self.inputs, self.scale)

    def y(self, chrom: str) -> np.ndarray:
        """Return scaled targets, float32 (targets, bins)."""
        return target_values(self.data, chrom, self.targets, self.options, self.deviation)

    def peaks(self, chrom: str) -> np.ndarray:
        """Return which bins hold a peak, their unsmoothed value above the threshold, bool (targets, bins)."""
        layer = RAW if RAW in self.data.layers else None
        return self.data.values(chrom, self.targets, layer=layer) > self.options.threshold


def tree_bins(source: Source, at: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return features (features, bins) and scaled targets (targets, bins) of bins."""
    features = [Signal(source.x(c), source.options.window).features(bins) for c, bins in at.items()]
    targets = [source.y(c)[:, bins] for c, bins in at.items()]
    none = np.empty((0, 0), dtype=np.float32)
    return np.concatenate(features or [none], axis=1), np.concatenate(targets or [none], axis=1)


def window_batches(
    source: Source, at: dict[str, np.ndarray], split: str, config: TrainConfig, seed: int
) -> DataLoader | None:
    """Return batches of single bins."""
    if not at:
        return None
    window = source.options.window
    signal = [padded(source.x(c), window) for c in at]
    targets = [source.y(c)[:, bins] for c, bins in at.items()]
    windows = Windows(signal, list(at.values()), targets, window)
    n = len(windows)
    return batch_loader(windows, RowBatches(n, config.batch_for(n), shuffle=split == TRAIN, seed=seed))


def interval_batches(source: Source, split: str, config: TrainConfig, seed: int) -> DataLoader | None:
    """Return batches of intervals, in which the usable bins of a part count; None where there are none."""
    usable = {c: source.data.usable(c, split) for c in source.data.chroms}
    chroms = [c for c, u in usable.items() if u.any()]
    if not chroms:
        return None
    targets = [np.where(usable[c], source.y(c), np.float32(np.nan)) for c in chroms]
    length = min(source.options.stretch, max(y.shape[1] for y in targets))
    genome, bin_size = source.genome, source.data.bin_size
    tokens = None
    if genome is not None:

        def tokens(number: int, first: int, behind: int) -> np.ndarray:
            return bin_tokens(genome, chroms[number], first, behind, bin_size)

    dataset = Intervals([source.x(c) for c in chroms], targets, source.options.window, length, tokens)
    return interval_loader(dataset, config.batch_size, shuffle=split == TRAIN, seed=seed)
