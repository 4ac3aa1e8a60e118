"""The mean of `Nascent`'s 'transfer' and of a small CNN that reads its features, on halves of chr21.

    python benchmarks/nascent_carried_cnn.py [--halves 0 1] [--conditions "as it is" "as PRO-cap" ...] [--epochs 2]

Tracks, conditions and scores as in `nascent_transfer`, AP in bins of 200 bp: trained on one half of the 1-Mb blocks,
scored on the other; chr22 is not read. The CNN reads the 57 features of each bin in all samples that training sees,
and predicts all lists of peaks at once. It is no part of the model; all predictions are smoothed over 5 bins.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import numpy as np
import torch
from _data import save
from nascent_transfer import CHANGED, STRANDS, by_four, otherwise, table, trained, training_tracks
from sklearn.metrics import average_precision_score
from torch import Tensor, nn
from torch.nn.functional import gelu

import chromatell as ctl
from chromatell.data._other_assays import KINDS, changed, one_read
from chromatell.data._tracks_inputs import input_values
from chromatell.data._tracks_smooth import smooth
from chromatell.models.nascent._carry import Densities, Sample, assays_of

ASSAYS = assays_of([{"assay": "a", "strand": s} for s in "+-"])
WINDOW, BIN, LENGTH, MARGIN, BATCH = 501, 50, 512, 64, 16


class Block(nn.Module):
    """A dilated convolution beside its input."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.wide = nn.Conv1d(width, width, 5, padding=2 * dilation, dilation=dilation)
        self.narrow = nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (pieces, width, bins)."""
        return x + self.narrow(gelu(self.wide(x)))


class Cnn(nn.Module):
    """Features (pieces, features, bins) to targets (pieces, targets, bins)."""

    def __init__(self, mean: np.ndarray, deviation: np.ndarray, start: np.ndarray, width: int = 24) -> None:
        super().__init__()
        self.mean, self.deviation = (torch.from_numpy(x)[:, None] for x in (mean, deviation))
        self.first, self.last = nn.Conv1d(len(mean), width, 1), nn.Conv1d(width, len(start), 1)
        self.blocks = nn.Sequential(*(Block(width, d) for d in (1, 2, 4, 8)))
        self.last.weight.data *= 0.1
        self.last.bias.data = torch.from_numpy(start.astype(np.float32))

    def forward(self, x: Tensor) -> Tensor:
        """Return (pieces, targets, bins)."""
        return self.last(self.blocks(gelu(self.first((x - self.mean) / self.deviation))))


def densities(values: np.ndarray, usable: np.ndarray) -> Densities:
    """Features of a sample, scaled by its usable bins."""
    return Densities(values, ASSAYS, Sample.of([(values, usable)], ASSAYS, WINDOW, True), WINDOW)


def fitted(values: np.ndarray, y: np.ndarray, usable: np.ndarray, half: int, epochs: int) -> Cnn:
    """A CNN of the usable bins; `y` (targets, bins) in standard deviations."""
    start, n_bins, read = time.process_time(), usable.size, one_read(values[:, usable].sum(axis=0))
    at = [a for a in range(0, n_bins, LENGTH) if usable[a : a + LENGTH].mean() > 0.3]
    around = np.clip(np.arange(-MARGIN, LENGTH + MARGIN) + np.array(at)[:, None], 0, n_bins - 1)
    x = []
    for i, kind in enumerate(KINDS):
        own = changed(values, kind, "+-", read, BIN, np.random.default_rng([100, half, i])).astype(np.float32)
        found = densities(own, usable)
        x.append(np.stack([found.features(a) for a in around]).astype(np.float16))
    padded = np.pad(y, ((0, 0), (0, LENGTH))), np.pad(usable, (0, LENGTH)).astype(np.float32)
    targets, known = (torch.from_numpy(np.stack([p[..., a : a + LENGTH] for a in at])) for p in padded)
    plain = x[0].astype(np.float32)
    torch.manual_seed(0)
    network = Cnn(plain.mean(axis=(0, 2)), plain.std(axis=(0, 2)) + 1e-3, y[:, usable].mean(axis=1))
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=1e-3)
    steps, rng = epochs * len(at) * len(KINDS) // BATCH, np.random.default_rng(0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps, pct_start=0.1)
    for _ in range(steps):
        kinds, pieces = rng.integers(len(KINDS), size=BATCH), rng.integers(len(at), size=BATCH)
        batch = torch.from_numpy(np.stack([x[k][p] for k, p in zip(kinds, pieces, strict=True)]).astype(np.float32))
        weight = known[pieces][:, None]
        error = (network(batch)[:, :, MARGIN:-MARGIN] - targets[pieces]) ** 2
        optimiser.zero_grad()
        ((error * weight).sum() / (weight.sum() * len(y) + 1)).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    print(f"CNN: trained in {time.process_time() - start:.0f} s of the processor", flush=True)
    return network


def predicted(network: Cnn, values: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """Predictions of all bins, (targets, bins), in standard deviations."""
    signal, found = densities(values, usable), []
    with torch.inference_mode():
        for first in range(0, usable.size, 1 << 15):
            behind = min(first + (1 << 15), usable.size)
            a, b = max(first - MARGIN, 0), min(behind + MARGIN, usable.size)
            block = network(torch.from_numpy(signal.features(slice(a, b)))[None])[0].numpy()
            found.append(block[:, first - a : behind - a])
    return np.concatenate(found, axis=1)


def seen(tracks: ctl.data.BinnedTracks, title: str) -> ctl.data.BinnedTracks:
    """The signal in one condition, as `nascent_transfer` draws it."""
    kind, seed = CHANGED[title]
    values, rng = input_values(tracks, "chr21", STRANDS), np.random.default_rng([2026, seed])
    read = one_read(values.sum(axis=0))
    own = otherwise(values, read, rng) if kind == "otherwise" else changed(values, kind, "+-", read, BIN, rng)
    found = tracks.select(STRANDS)
    found.replace({"chr21": own}, STRANDS, keep=None)
    return found


def scores(half: int, conditions: list[str], epochs: int) -> list[str]:
    """A table of one half that trains and the other that is scored."""
    tracks = training_tracks()
    targets, usable = tracks.names_of(role="target"), tracks.usable("chr21")
    positive = by_four((tracks.values("chr21", targets, layer="raw") > 0).astype(float)) >= 0.5
    ctl.pp.split_regions(tracks, by="blocks", fractions=(0.5, 0, 0.5), seed=0)
    split = tracks.splits["chr21"]
    tracks.splits["chr21"] = split if half == 0 else np.select([split == 0, split == 2], [2, 0], split).astype(np.int8)
    train, test = tracks.usable("chr21", "train"), tracks.usable("chr21", "test")
    deviation = tracks.values("chr21", targets)[:, train].std(axis=1)[:, None]
    y = (tracks.values("chr21", targets) / deviation).astype(np.float32)
    network = fitted(input_values(tracks, "chr21", STRANDS), y, train, half, epochs)
    model = trained(tracks, "transfer", {"smooth": False})
    blend, scored, rows = model.module.blend, by_four(test) == 1, {}
    model.module.blend = replace(blend, share=np.zeros_like(blend.share))
    for title in conditions:
        sample = seen(tracks, title)
        values = input_values(sample, "chr21", STRANDS)
        trees = model.predict(sample, depth="predicted").values("chr21") / deviation
        found = {"transfer": blend.apply(trees, densities(values, usable).log_signal(slice(0, usable.size)))}
        found["CNN"] = predicted(network, values, usable)
        found["mean of both"] = (found["transfer"] + found["CNN"]) / 2
        found["mean of trees alone and CNN"] = (trees + found["CNN"]) / 2
        for name, value in found.items():
            smoothed = by_four(np.stack([smooth(v, test, 5) for v in value]))[:, scored]
            truth = positive[:, scored]
            own = {t: [average_precision_score(a, b)] for t, a, b in zip(targets, truth, smoothed, strict=True)}
            rows[f"{title}: {name}"] = own | {"mean": [float(np.mean(list(own.values())))]}
    return table(f"Half {half} trains:", rows, [*targets, "mean"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--halves", nargs="+", type=int, default=[0, 1], choices=[0, 1])
    parser.add_argument("--conditions", nargs="+", default=list(CHANGED), choices=list(CHANGED))
    parser.add_argument("--epochs", type=int, default=2)
    args = parser.parse_args()
    lines = ["# Nascent: a CNN on the features of 'transfer'", *(__doc__ or "").split("\n\n")[2:3]]
    for half in args.halves:
        lines += scores(half, args.conditions, args.epochs)
        save("nascent_carried_cnn", "\n".join(lines))


if __name__ == "__main__":
    main()
