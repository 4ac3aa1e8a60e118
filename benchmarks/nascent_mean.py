"""The mean of xgboost, cnn and dense beside each of them: Pearson on folds of the training half of chr21.

    python benchmarks/nascent_mean.py [--keep FOLDER]

K562 PRO-seq, hg19; tracks, mask and smoothing as in `nascent_numbers`, of whose blocks of 1 Mb the training ones alone
are looked at: every other one of them trains, the rest are predicted, both ways. `cnn twice`: a mean in which the CNN
counts as two. Intervals resample the blocks. Predictions stay in `--keep`: a second call trains what is not there yet.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from _data import data_dir, save
from nascent_numbers import load

import chromatell as ctl

MEMBERS = ("xgboost", "cnn", "dense")
WEIGHTS = {"mean": (1, 1, 1), "mean, cnn twice": (1, 2, 1)}


def folds_of(train: np.ndarray) -> np.ndarray:
    """Turns 0 and 1 of the training blocks, -1 elsewhere."""
    edges = np.flatnonzero(np.diff(train.astype(np.int8), prepend=0, append=0))
    fold = np.full(train.size, -1)
    for i, (first, behind) in enumerate(zip(edges[::2], edges[1::2], strict=True)):
        fold[first:behind] = i % 2
    return fold


def predicted(tracks: ctl.data.BinnedTracks, name: str, fold: np.ndarray) -> np.ndarray:
    """What models of one fold say of the other, (targets, bins)."""
    chrom, found = tracks.chroms[0], np.full((len(tracks.names_of(role="target")), fold.size), np.nan, dtype=np.float32)
    for own in (0, 1):
        tracks.splits[chrom] = np.where(fold == own, 0, 2).astype(tracks.splits[chrom].dtype)
        model, start = ctl.models.Nascent(tracks, architecture=name), time.process_time()
        model.train(seed=0)
        found[:, fold == 1 - own] = model.predict(tracks).values(chrom)[:, fold == 1 - own]
        print(f"{name}, fold {own}: {time.process_time() - start:.0f} s of the processor", flush=True)
    return found


def correlation(y: np.ndarray, x: np.ndarray, blocks: np.ndarray) -> list[float]:
    """Pearson, and its 2.5th and 97.5th percentile over 1,000 draws of blocks."""
    moments = np.stack([np.ones_like(y), y, x, y * y, x * x, x * y])
    each = np.stack([np.bincount(blocks, m) for m in moments])
    each = each[:, each[0] > 0]
    rng = np.random.default_rng(0)
    draws = rng.multinomial(each.shape[1], np.full(each.shape[1], 1 / each.shape[1]), 1000)
    n, sy, sx, yy, xx, xy = each @ np.vstack([np.ones(each.shape[1]), draws]).T
    r = (xy - sx * sy / n) / np.sqrt((yy - sy**2 / n) * (xx - sx**2 / n))
    return [float(r[0]), *np.quantile(r[1:], (0.025, 0.975)).tolist()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, default=Path("nascent_mean"), help="predictions, made where not there")
    args = parser.parse_args()
    tracks = load(data_dir() / "nascent" / "k562_chr21")
    chrom, targets = tracks.chroms[0], tracks.names_of(role="target")
    fold, usable = folds_of(tracks.splits[chrom] == 0), tracks.usable(chrom)
    args.keep.mkdir(parents=True, exist_ok=True)
    found = {}
    for name in MEMBERS:
        file = args.keep / f"{name}.npy"
        if not file.exists():
            np.save(file, predicted(tracks, name, fold))
        found[name] = np.load(file)
    members = [found[name] for name in MEMBERS]
    found |= {name: np.average(members, axis=0, weights=w) for name, w in WEIGHTS.items()}
    where = usable & (fold >= 0)
    blocks = np.flatnonzero(where) * tracks.bin_size // 1_000_000
    lines = ["# Nascent: the mean of three architectures", "", (__doc__ or "").split("\n\n")[2].replace("\n", " "), ""]
    lines += [f"{where.sum():,} bins of 50 bp. In brackets: 95%.", ""]
    lines += [f"| target | {' | '.join(found)} |", "|" + " --- |" * (len(found) + 1)]
    for i, target in enumerate(targets):
        y = tracks.values(chrom, target)[0][where].astype(np.float64)
        shown = []
        for v in found.values():
            r, low, high = correlation(y, v[i][where].astype(np.float64), blocks)
            shown.append(f"{r:.3f} ({low:.2f} to {high:.2f})")
        lines.append(f"| {target} | {' | '.join(shown)} |")
    save("nascent_mean", "\n".join(lines))


if __name__ == "__main__":
    main()
