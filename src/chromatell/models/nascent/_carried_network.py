"""The CNN of 'transfer': it reads the features of a bin and of its neighbours, of samples that might have been."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chromatell._keys import TRAIN
from chromatell._progress import progress
from chromatell._settings import logger
from chromatell._validate import ChromatellError
from chromatell.models.nascent._losses import mean_loss, to_output
from chromatell.models.nascent._networks import DilatedBlock

if TYPE_CHECKING:
    from chromatell.data.tracks import BinnedTracks
    from chromatell.models.nascent._carry import Densities

LENGTH = 512  # bins of a piece that trains
_WIDTH, _DILATIONS = 24, (1, 2, 4, 8, 16)
REACH = sum(_DILATIONS)  # bins: what is said of one depends on none further away
_BATCH = 8  # pieces
_STEPS, _PASSES = 2000, 10  # at most
_LR, _WEIGHT_DECAY = 3e-3, 1e-3
PIECES_HOLD = 2  # pieces hold so many times the bins of trees, in half precision
_FEWEST = 32  # unchanged pieces, 0.8 Mb in bins of 50 bp: of fewer no network is fitted
_KNOWN = 0.3  # least share of a piece's bins that train


class CarriedNetwork(nn.Module):
    """Features standardised, a layer of width 1, and residual dilated convolutions; all targets at once."""

    def __init__(self, n_features: int, n_targets: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_features, 1))
        self.register_buffer("deviation", torch.ones(n_features, 1))
        self.first = nn.Conv1d(n_features, _WIDTH, 1)
        self.blocks = nn.Sequential(*(DilatedBlock(_WIDTH, d, 0.0) for d in _DILATIONS))
        self.last = nn.Conv1d(_WIDTH, n_targets, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return outputs (pieces, targets, bins) of features (pieces, features, bins + 2 * REACH)."""
        h = self.first((x - self.get_buffer("mean")) / self.get_buffer("deviation"))
        return self.last(self.blocks(F.gelu(h, approximate="tanh")))

    def output(self, features: np.ndarray) -> np.ndarray:
        """Return outputs, float32 (targets, bins), of features, float32 (features, bins + 2 * REACH)."""
        with torch.inference_mode():
            return self(torch.from_numpy(features)[None])[0].numpy()

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], n_features: int, n_targets: int) -> CarriedNetwork:
        """Return it of stored weights; raise where they are none of so many features and targets."""
        for name, w in arrays.items():
            if w.dtype != np.float32 or not np.isfinite(w).all() or (name == "deviation" and not (w > 0).all()):
                raise ChromatellError(f"The stored CNN has a wrong {name!r}. Ask for the file again, or train anew.")
        with torch.device("meta"):  # a wrong shape is refused, not allocated
            network = cls(n_features, n_targets)
        state = {name: torch.from_numpy(w.copy()) for name, w in arrays.items()}
        network.load_state_dict(state, strict=True, assign=True)
        return network


def around(columns: slice, n_bins: int) -> np.ndarray:
    """Return the bins that outputs of some bins depend on; beyond a chromosome's ends its last bin is repeated."""
    return np.clip(np.arange(columns.start - REACH, columns.stop + REACH), 0, n_bins - 1)


@dataclass
class Pieces:
    """Pieces of chromosomes of several samples, for training; features in half precision.

    Attributes
    ----------
    x
        float16 (features, LENGTH + 2 * REACH) for each piece.
    y
        float32 (targets, LENGTH) for each piece: scaled, NaN where it is unknown or does not train.
    plain
        How many of the first are of the sample as it is.
    """

    x: list[np.ndarray] = field(default_factory=list)
    y: list[np.ndarray] = field(default_factory=list)
    plain: int = 0

    def add(self, signal: Densities, y: np.ndarray, usable: np.ndarray, starts: Sequence[int]) -> None:
        """Add pieces of one chromosome and sample, given where they start, all targets and which bins train."""
        for first in starts:
            self.x.append(signal.features(around(slice(first, first + LENGTH), usable.size)).astype(np.float16))
            part = np.full((len(y), LENGTH), np.nan, dtype=np.float32)
            own = np.where(usable[first : first + LENGTH], y[:, first : first + LENGTH], np.nan)
            part[:, : own.shape[1]] = own
            self.y.append(part)


def drawn_starts(usable: Mapping[str, np.ndarray], most: int, rng: np.random.Generator) -> dict[str, list[int]]:
    """Return where pieces start that hold enough usable bins, of at most so many bins in all, drawn at random."""
    starts = [
        (chrom, first)
        for chrom, known in usable.items()
        for first in range(0, known.size, LENGTH)
        if known[first : first + LENGTH].sum() > _KNOWN * LENGTH
    ]
    drawn = sorted(rng.permutation(len(starts))[: max(most // LENGTH, 1)])
    return {chrom: [starts[i][1] for i in drawn if starts[i][0] == chrom] for chrom in usable}


def fitted_network(pieces: Pieces, loss: str, seed: np.random.SeedSequence) -> CarriedNetwork | None:
    """Return a network of the pieces, None where they are too few."""
    if pieces.plain < _FEWEST:
        return None
    n, rng = len(pieces.x), np.random.default_rng(seed)
    with torch.random.fork_rng([]):
        torch.manual_seed(int(rng.integers(2**31)))
        network = CarriedNetwork(len(pieces.x[0]), len(pieces.y[0]))
    _start(network, pieces, loss)
    steps = min(_STEPS, _PASSES * -(-n // _BATCH))
    optimiser = torch.optim.AdamW(network.parameters(), lr=_LR, weight_decay=_WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _LR, total_steps=steps, pct_start=0.1)
    share = torch.empty(0)  # no loss of trees reads it
    losses = []
    with progress("Training the CNN", total=steps, unit="steps") as advance:
        for _ in range(steps):
            drawn = rng.integers(n, size=_BATCH)
            x, y = (
                torch.from_numpy(np.stack([of[i] for i in drawn]).astype(np.float32)) for of in (pieces.x, pieces.y)
            )
            error = mean_loss(loss, network(x), y, share)
            optimiser.zero_grad()
            error.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            losses.append(error.item())
            advance(1)
    logger.info(f"The CNN of 'transfer' was fitted in {steps} steps: loss {np.mean(losses[-50:]):.4g}.")
    return network.eval()


def warn_too_few(pieces: Pieces, data: BinnedTracks, most: int, n_samples: int) -> None:
    """Say that no network was fitted, why, and what would let one be: more bins drawn, or more there to draw.

    `most` bins were to be drawn at most in `n_samples` samples.
    """
    usable = {c: data.usable(c, TRAIN) for c in data.chroms}
    every = LENGTH * sum(map(len, usable.values()))
    held = sum(map(len, drawn_starts(usable, every, np.random.default_rng(0)).values()))
    if held < _FEWEST:
        bins = f"{_FEWEST * LENGTH * data.bin_size / 1e6:.3g} Mb"
        cure = f"the training bins hold {held}. Train on more of the genome, at least {bins}, or leave cnn= out."
    else:
        enough = n_samples * -(-_FEWEST * LENGTH // PIECES_HOLD)
        cure = f"max_bins={most} draws {pieces.plain} of {held}. Draw more: max_bins={enough}, or leave cnn= out."
    logger.warning(
        "No CNN was fitted, the model is trees alone: it needs %d pieces of %d bins in a row, and %s",
        _FEWEST, LENGTH, cure,
    )  # fmt: skip


def _start(network: CarriedNetwork, pieces: Pieces, loss: str) -> None:
    """Standardise features by those of the sample as it is, and start from the targets' means there."""
    x = [piece.astype(np.float64) for piece in pieces.x[: pieces.plain]]
    n = sum(piece.shape[1] for piece in x)
    mean = sum(piece.sum(axis=1) for piece in x) / n
    variance = sum(((piece - mean[:, None]) ** 2).sum(axis=1) for piece in x) / n
    y = np.concatenate(pieces.y[: pieces.plain], axis=1)
    start = np.nansum(y, axis=1) / np.maximum(np.isfinite(y).sum(axis=1), 1)  # a target may be unknown in all of them
    with torch.no_grad():
        network.get_buffer("mean").copy_(torch.from_numpy(mean)[:, None])
        network.get_buffer("deviation").copy_(torch.from_numpy(np.sqrt(variance) + 1e-3)[:, None])
        network.last.weight.mul_(0.1)
        network.last.bias.copy_(to_output(loss, torch.from_numpy(start)))
