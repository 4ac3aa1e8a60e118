"""A trained model applied to the scaled inputs of one chromosome, a block of bins at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from chromatell._progress import progress
from chromatell.data._tracks_table import ASSAY, PREDICTION, ROLE, SAMPLE, track_table, with_own_columns
from chromatell.data.tracks import BinnedTracks
from chromatell.models._outputs import check_predicted
from chromatell.models.nascent._losses import to_value
from chromatell.models.nascent._networks import TrackNetwork
from chromatell.models.nascent._sequence import MARGIN
from chromatell.models.nascent._signal import Signal
from chromatell.models.nascent._trees import Trees
from chromatell.models.nascent._windows import padded

_BLOCK = 1 << 15  # bins predicted at a time
Predictor = Callable[[slice], np.ndarray]  # bins -> float32 (targets, bins)


def tree_predictor(trees: Trees, scaled: np.ndarray, window: int, kind: str) -> Predictor:
    """Return what predicts some bins by trees."""
    signal = Signal(scaled, window)

    def predict(columns: slice) -> np.ndarray:
        x = signal.features(columns)
        silent = np.logical_not(x.any(axis=0))
        alike = np.flatnonzero(silent)
        silent[alike[:1]] = False  # one bin without any signal stands for all of them
        block = np.empty((trees.base.size, x.shape[1]), dtype=np.float32)
        block[:, ~silent] = trees.predict(x[:, ~silent] if alike.size > 1 else x)
        block[:, silent] = block[:, alike[:1]]
        return to_value(kind, torch.from_numpy(block)).numpy()

    return predict


def network_predictor(
    network: TrackNetwork,
    scaled: np.ndarray,
    window: int,
    device: torch.device,
    tokens: Callable[[int, int], np.ndarray | None],
) -> Predictor:
    """Return what predicts some bins by a network; `tokens` gives the sequence of some bins, or None."""
    signal, half = padded(scaled, window), window // 2
    network.eval()

    def predict(columns: slice) -> np.ndarray:
        predicted = []
        for first in range(columns.start, columns.stop, network.piece):
            behind = min(first + network.piece, columns.stop)
            x = signal[None, :, first : behind + 2 * half].to(device)
            read = tokens(first - MARGIN, behind + MARGIN)
            bases = None if read is None else torch.from_numpy(read)[None].to(device)
            with torch.inference_mode():
                predicted.append(to_value(network.kind, network(x, bases).float())[0].cpu().numpy())
        return np.concatenate(predicted, axis=1)

    return predict


def predicted_chromosomes(
    tracks: BinnedTracks,
    chroms: Sequence[str],
    predictor: Callable[[str], Predictor],
    deviation: np.ndarray,
    low: np.ndarray,
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield each chromosome with its predictions, float32 (targets, bins), in the targets' units.

    Parameters
    ----------
    predictor
        From a chromosome to what predicts its bins, in standard deviations; made when its turn comes.
    deviation, low
        Standard deviation and least value of each target, (targets,).
    """
    deviation, low = deviation[:, np.newaxis], low[:, np.newaxis]
    with progress("Predicting", total=sum(tracks.n_bins_of(c) for c in chroms), unit="bins") as advance:
        for chrom in chroms:
            predict, n_bins = predictor(chrom), tracks.n_bins_of(chrom)
            values = np.empty((len(low), n_bins), dtype=np.float32)
            for first in range(0, n_bins, _BLOCK):
                columns = slice(first, min(first + _BLOCK, n_bins))
                block = predict(columns)
                check_predicted(block)
                values[:, columns] = np.maximum(block * deviation, low)
                advance(block.shape[1])
            yield chrom, values


def prediction_table(
    tracks: BinnedTracks,
    inputs: Sequence[str],
    targets: Sequence[str],
    described: Sequence[dict[str, Any]],
    suffix: str,
) -> pd.DataFrame:
    """Return the table of predicted tracks: the targets' assays and own columns, the inputs' sample.

    An assay that nobody told is the target's name, which an earlier version took whole, the sample with it: of a track
    of that name it is what the track says.
    """
    known = {t: str(x[ASSAY]) for t, x in zip(targets, described, strict=True)}
    assays = [tracks.table.loc[t, ASSAY] if a == t and t in tracks.table.index else a for t, a in known.items()]
    table = track_table(
        pd.DataFrame(
            {
                "name": [f"{name}_{suffix}" for name in targets],
                ASSAY: assays,
                ROLE: PREDICTION,
                SAMPLE: tracks.table.loc[inputs[0], SAMPLE],
            }
        )
    )
    return with_own_columns(table, tracks.table, [t if t in tracks.table.index else inputs[0] for t in targets])
