"""Nascent on real tracks: Pearson per target on test blocks, beside the log signal in 5 kb and ridge on the window.

    python benchmarks/nascent_numbers.py [--set k562_chr21] [--architecture xgboost] [--bins 400000] [--bootstrap 200]

K562, hg19. Alternate 1-Mb blocks train and test, with the default gap between them (half a window of 128 kb and three
smoothing widths); targets are smoothed over 10 bins; Options of the trees were chosen on
blocks of the training half. chr21:9.82-9.84 Mb, an artefact with 17% of the plus reads, is
masked, and so are stretches without any signal. Intervals resample blocks of 1 Mb.
"""

from __future__ import annotations

import argparse
import platform
import time
from pathlib import Path

import numpy as np
from _data import data_dir, save

import chromatell as ctl
from chromatell.models.nascent._signal import Signal, input_values, mean_signal

ARTEFACT = {"chr21": ["chr21:9,820,000-9,840,000"]}
NARROW = 101  # bins: 5 kb
RIDGE_BINS = 100_000
PENALTY = 10.0


def load(folder: Path) -> ctl.data.BinnedTracks:
    tracks = ctl.pp.bin_tracks({path.stem: path for path in sorted(folder.glob("*.bw"))})
    ctl.pp.mask_bins(tracks, blacklist=ARTEFACT.get(tracks.chroms[0]))
    ctl.pp.smooth_tracks(tracks, sigma=10)
    ctl.pp.split_regions(tracks, by="blocks", fractions=(0.5, 0, 0.5), seed=0)
    return tracks


def baselines(tracks: ctl.data.BinnedTracks, inputs: list[str], targets: list[str]) -> dict[str, np.ndarray]:
    """Predictions (targets, bins) of the log signal in 5 kb, and of ridge on the features that the trees read."""
    chrom = tracks.chroms[0]
    values = input_values(tracks, chrom, inputs)
    values /= mean_signal(tracks, inputs, ["PRO"] * len(inputs), "train")[:, np.newaxis].astype(np.float32)
    window = np.convolve(values.sum(axis=0, dtype=np.float64), np.ones(NARROW), mode="same")
    narrow = np.log1p(np.maximum(window, 0))
    train = np.flatnonzero(tracks.usable(chrom, "train"))
    train = np.sort(np.random.default_rng(0).choice(train, min(RIDGE_BINS, train.size), replace=False))
    signal = Signal(values, 2561)
    x = signal.features(train).astype(np.float64)
    y = tracks.values(chrom, targets)[:, train].astype(np.float64)
    centre, spread = x.mean(axis=1, keepdims=True), x.std(axis=1, keepdims=True) + 1e-9
    x = (x - centre) / spread
    weights = np.linalg.solve(x @ x.T + PENALTY * np.eye(len(x)), x @ (y - y.mean(axis=1, keepdims=True)).T)
    ridge = np.empty((len(targets), tracks.n_bins), dtype=np.float32)
    for first in range(0, tracks.n_bins, 1 << 15):
        part = slice(first, min(first + (1 << 15), tracks.n_bins))
        ridge[:, part] = weights.T @ ((signal.features(part) - centre) / spread)
    return {"log 5 kb": np.tile(narrow, (len(targets), 1)), "ridge": ridge}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", default="k562_chr21")
    parser.add_argument("--architecture", default="xgboost", choices=["xgboost", "dense"])
    parser.add_argument("--bins", type=int, default=400_000)
    parser.add_argument("--bootstrap", type=int, default=200)
    args = parser.parse_args()
    laps = [time.perf_counter()]
    tracks = load(data_dir() / "nascent" / args.set)
    laps.append(time.perf_counter())
    ctl.tl.nascent(tracks, architecture=args.architecture, max_bins=args.bins, seed=0)
    laps.append(time.perf_counter())
    model = ctl.models.load(tracks)
    targets, chrom = model.var_names["target"], tracks.chroms[0]
    others = baselines(tracks, model.var_names["input"], targets)
    usable = tracks.usable(chrom, "test")
    used = model.config["training_bins"]
    lines = [
        f"# Nascent, {args.architecture}: {args.set}",
        "",
        f"`python benchmarks/nascent_numbers.py --set {args.set} --architecture {args.architecture} --bins "
        f"{args.bins}`; {usable.sum():,} test bins; {used['used']:,} of {used['of']:,} training bins; "
        f"smoothed targets, 50-bp bins. "
        f"Intervals (95%) resample 1-Mb blocks. Binning, masking and smoothing took {laps[1] - laps[0]:.0f} s, "
        f"training {len(targets)} targets and predicting {tracks.n_bins:,} bins {laps[2] - laps[1]:.0f} s, on "
        f"{platform.machine()}, {ctl.settings.n_jobs} threads, other jobs beside it.",
        "",
        f"| target | log 5 kb | ridge | {args.architecture} | interval |",
        "| --- | --- | --- | --- | --- |",
    ]
    for i, target in enumerate(targets):
        observed = tracks.values(chrom, target)[0]
        found = {**{k: v[i] for k, v in others.items()}, "model": tracks.values(chrom, f"{target}_nascent")[0]}
        scores = {
            k: ctl.metrics.track_scores([observed], [v], [usable], resolutions=(50,), n_bootstrap=args.bootstrap)
            for k, v in found.items()
        }
        shown = " | ".join(f"{s['value'][0]:.3f}" for s in scores.values())
        low, high = scores["model"]["ci_low"][0], scores["model"]["ci_high"][0]
        lines.append(f"| {target} | {shown} | {low:.3f} to {high:.3f} |")
    save(f"nascent_numbers_{args.set}_{args.architecture}", "\n".join(lines))


if __name__ == "__main__":
    main()
