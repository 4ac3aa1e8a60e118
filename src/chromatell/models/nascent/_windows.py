"""Single windows for a network, gathered a batch at a time from the scaled tracks: none are stored."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from chromatell.models.nascent._networks import TrackBatch


def padded(values: np.ndarray, window: int) -> Tensor:
    """Return float32 (inputs, bins) with half a window of silence on each side."""
    half = window // 2
    return torch.nn.functional.pad(torch.from_numpy(values), (half, half))


class Windows(Dataset):
    """Bins of several chromosomes, of which indices give a batch.

    Parameters
    ----------
    signal
        Signal of each chromosome, as `padded` gives it.
    bins
        Which bins of each chromosome.
    targets
        Targets of each chromosome, float32 (targets, bins).
    window
        In bins.
    """

    def __init__(self, signal: list[Tensor], bins: list[np.ndarray], targets: list[np.ndarray], window: int) -> None:
        starts = np.cumsum([0] + [s.shape[1] for s in signal])[:-1]
        self.signal = torch.cat(signal, dim=1)
        self.at = torch.from_numpy(np.concatenate([b + s for b, s in zip(bins, starts, strict=True)]))
        self.targets = torch.from_numpy(np.concatenate(targets, axis=1).T.copy())
        self.offsets = torch.arange(window)

    def __len__(self) -> int:
        return len(self.at)

    def __getitem__(self, rows: np.ndarray) -> TrackBatch:
        rows = torch.as_tensor(rows)
        at = self.at[rows][:, None] + self.offsets  # (bins, window)
        return TrackBatch(self.signal[:, at].transpose(0, 1), self.targets[rows].unsqueeze(2))
