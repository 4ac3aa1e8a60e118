"""A trained model applied to the scaled inputs of one chromosome, a block of bins at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from chromatell.models.nascent._signal import Signal
from chromatell.models.nascent._trees import Trees
from chromatell.models.nascent._windows import padded

_WINDOWS = 4096  # of a block, windows in memory
Predictor = Callable[[slice], np.ndarray]  # bins -> float32 (targets, bins)


def tree_predictor(trees: Trees, scaled: np.ndarray, window: int, n_targets: int) -> Predictor:
    """Return what predicts some bins by trees."""
    signal = Signal(scaled, window)

    def predict(columns: slice) -> np.ndarray:
        x = signal.features(columns)
        silent = np.logical_not(x.any(axis=0))
        alike = np.flatnonzero(silent)
        silent[alike[:1]] = False  # one bin without any signal stands for all of them
        block = np.empty((n_targets, x.shape[1]), dtype=np.float32)
        block[:, ~silent] = trees.predict(x[:, ~silent] if alike.size > 1 else x)
        block[:, silent] = block[:, alike[:1]]
        return block

    return predict


def network_predictor(network: torch.nn.Module, scaled: np.ndarray, window: int, device: torch.device) -> Predictor:
    """Return what predicts some bins by a network."""
    signal, half = padded(scaled, window), window // 2
    network.eval()

    def predict(columns: slice) -> np.ndarray:
        part = signal[:, columns.start : columns.stop + 2 * half].to(device)
        windows = part.unfold(1, window, 1).transpose(0, 1)  # (bins, inputs, window), a view
        with torch.no_grad():
            found = torch.cat([network(x) for x in windows.split(_WINDOWS)])
        return found.float().cpu().numpy().T

    return predict
