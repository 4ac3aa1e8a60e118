"""Nascent on real tracks: Pearson per target on test blocks, every architecture beside what needs no training.

    python benchmarks/nascent_numbers.py [--set k562_chr21] [--models xgboost cnn cnn:stanford2019] [--keep FOLDER]

K562, hg19. Alternate 1-Mb blocks train and test, with the default gap between them (half a window of 128 kb and three
smoothing widths); targets are smoothed over 10 bins. Options were chosen on blocks of the training half.
chr21:9.82-9.84 Mb, an artefact with 17% of the plus reads, is masked, and so are intervals without any signal.
Intervals resample blocks of 1 Mb. Predictions and models stay in `--keep`: a second call trains what is not there yet.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path

import numpy as np
import pandas as pd
from _data import data_dir, save
from sklearn.metrics import average_precision_score

import chromatell as ctl
from chromatell.data._tracks_inputs import input_values
from chromatell.models.nascent._signal import Signal, mean_signal

ARTEFACT = {"chr21": ["chr21:9,820,000-9,840,000"]}
NARROW = 101  # bins: 5 kb
RIDGE_BINS = 100_000
PENALTY = 10.0
OTHER = {"k562_chr21": "k562_chr22", "k562_chr22": "k562_chr21"}


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


def fitted(tracks: ctl.data.BinnedTracks, name: str, keep: Path) -> tuple[ctl.models.Nascent, np.ndarray, dict]:
    """The model, its predictions (targets, bins), and seconds of training and predicting."""
    folder = keep / name.replace(":", "_")
    targets = tracks.names_of(role="target")
    if not (folder / "laps.json").exists():
        architecture, _, preset = name.partition(":")
        model = ctl.models.Nascent(tracks, architecture=architecture, preset=preset or "default")
        laps = [(time.perf_counter(), time.process_time())]
        model.train(seed=0)
        laps.append((time.perf_counter(), time.process_time()))
        found = model.predict(tracks)
        laps.append((time.perf_counter(), time.process_time()))
        said = {
            part: {"wall": b[0] - a[0], "cpu": b[1] - a[1]}
            for part, a, b in zip(("train", "predict"), laps[:-1], laps[1:], strict=True)
        }
        model.save(folder / "model", overwrite=True)
        found.save(folder / "predicted.zarr", overwrite=True)
        (folder / "laps.json").write_text(json.dumps(said))
    found = ctl.data.BinnedTracks.open(folder / "predicted.zarr")
    values = found.values(tracks.chroms[0], [f"{t}_nascent" for t in targets])
    return ctl.models.load(folder / "model"), values, json.loads((folder / "laps.json").read_text())


def distance_to_tss(tracks: ctl.data.BinnedTracks) -> np.ndarray:
    """How near a bin is to the next TSS: minus the log of the distance in bp."""
    genes = pd.read_csv(data_dir() / "annotation" / "hg19_genes.tsv.gz", sep="\t")
    tss = np.sort(genes.loc[genes["#chrom"] == tracks.chroms[0], "tss"].to_numpy())
    middle = (np.arange(tracks.n_bins) + 0.5) * tracks.bin_size
    at = np.clip(np.searchsorted(tss, middle), 1, len(tss) - 1)
    return -np.log1p(np.minimum(np.abs(middle - tss[at - 1]), np.abs(middle - tss[at])))


def score(observed: np.ndarray, found: np.ndarray, usable: np.ndarray, n_bootstrap: int) -> str:
    s = ctl.metrics.track_scores([observed], [found], [usable], resolutions=(50,), n_bootstrap=n_bootstrap)
    return f"{s['value'][0]:.3f} ({s['ci_low'][0]:.2f} to {s['ci_high'][0]:.2f})"


def elements(tracks: ctl.data.BinnedTracks, found: dict[str, np.ndarray], n_bootstrap: int) -> list[str]:
    """H3K27ac inside the elements in which it was measured, which were built from DNase peaks and TSSs."""
    chrom = tracks.chroms[0]
    i = tracks.names_of(role="target").index("H3K27ac")
    measured = tracks.values(chrom, ["H3K27ac"], layer="raw")[0] > 0
    inside = measured & tracks.usable(chrom, "test")
    columns = {"distance to TSS": distance_to_tss(tracks), **{k: v[i] for k, v in found.items()}}
    observed = tracks.values(chrom, ["H3K27ac"])[0]
    shown = [score(observed, v, inside, n_bootstrap) for v in columns.values()]
    return [
        "",
        f"H3K27ac inside its measured elements ({inside.sum():,} test bins), where DNase peaks and TSSs, of which its "
        "support was built, no longer help:",
        "",
        "| " + " | ".join(columns) + " |",
        "|" + " --- |" * len(columns),
        "| " + " | ".join(shown) + " |",
    ]


def peaks(
    tracks: ctl.data.BinnedTracks, found: dict[str, np.ndarray], targets: list[str], usable: np.ndarray
) -> list[str]:
    """Average precision of bins whose raw target is above 0, beside their share."""
    lines = []
    for i, target in enumerate(targets):
        is_peak = tracks.values(tracks.chroms[0], [target], layer="raw")[0][usable] > 0
        shown = [f"{average_precision_score(is_peak, v[i][usable]):.3f}" for v in found.values()]
        lines.append(f"| {target} | {is_peak.mean():.3f} | {' | '.join(shown)} |")
    head = "Average precision of bins in peaks (raw target above 0), same bins:"
    return ["", head, "", f"| target | share | {' | '.join(found)} |", "|" + " --- |" * (len(found) + 2), *lines]


def transfer(
    tracks: ctl.data.BinnedTracks, models: dict[str, ctl.models.Nascent], other: str, n_bootstrap: int
) -> list[str]:
    """The models on the other set's inputs, by their own depth, for the targets that both have."""
    there = load(data_dir() / "nascent" / other)
    chrom, lines = there.chroms[0], []
    usable = there.usable(chrom, "test")
    shared = [t for t in tracks.names_of(role="target") if t in there.names]
    found = {name: model.predict(there, depth="predicted") for name, model in models.items()}
    for target in shared:
        observed = there.values(chrom, [target])[0]
        shown = [
            score(observed, f.values(chrom, [f"{target}_nascent"])[0], usable, n_bootstrap) for f in found.values()
        ]
        lines.append(f"| {target} | {' | '.join(shown)} |")
    head = f"Trained here, applied to {other} (another protocol; `depth='predicted'`), on its test bins:"
    return ["", head, "", f"| target | {' | '.join(found)} |", "|" + " --- |" * (len(found) + 1), *lines]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", default="k562_chr21", choices=sorted(OTHER))
    parser.add_argument(
        "--models", nargs="+", default=["xgboost", "dense", "cnn", "dense:stanford2019", "cnn:stanford2019"]
    )
    parser.add_argument("--bootstrap", type=int, default=200)
    parser.add_argument("--keep", type=Path, default=Path("nascent_numbers"))
    args = parser.parse_args()
    tracks = load(data_dir() / "nascent" / args.set)
    targets, chrom = tracks.names_of(role="target"), tracks.chroms[0]
    found, models, laps = baselines(tracks, tracks.names_of(role="input"), targets), {}, {}
    for name in args.models:
        models[name], found[name], laps[name] = fitted(tracks, name, args.keep / args.set)
    usable = tracks.usable(chrom, "test")
    lines = [
        f"# Nascent: {args.set}",
        "",
        f"`python benchmarks/nascent_numbers.py --set {args.set} --models {' '.join(args.models)}`. Pearson on "
        f"{usable.sum():,} test bins of 50 bp; smoothed targets; {tracks.usable(chrom, 'train').sum():,} training "
        "bins. In brackets: 95%, resampling 1-Mb blocks.",
        "",
        f"| target | {' | '.join(found)} |",
        "|" + " --- |" * (len(found) + 1),
    ]
    for i, target in enumerate(targets):
        observed = tracks.values(chrom, target)[0]
        shown = " | ".join(score(observed, v[i], usable, args.bootstrap) for v in found.values())
        lines.append(f"| {target} | {shown} |")
    lines += peaks(tracks, found, targets, usable)
    if "H3K27ac" in targets:
        lines += elements(tracks, found, args.bootstrap)
    lines += transfer(tracks, models, OTHER[args.set], args.bootstrap)
    lines += [
        "",
        f"Seconds of processor (and by the clock, other jobs beside it) on {platform.machine()}, "
        f"{ctl.settings.n_jobs} thread(s), {len(targets)} targets, {tracks.n_bins:,} bins predicted:",
        "",
        "| model | training | prediction |",
        "| --- | --- | --- |",
    ]
    for name, lap in laps.items():
        cells = " | ".join(f"{lap[k]['cpu']:.0f} ({lap[k]['wall']:.0f})" for k in ("train", "predict"))
        lines.append(f"| {name} | {cells} |")
    save(f"nascent_numbers_{args.set}", "\n".join(lines))


if __name__ == "__main__":
    main()
