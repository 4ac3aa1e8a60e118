"""Nascent carried over: other depths and assays on folds of chr21, and PRO-cap of chr22, beside the log signal.

    python benchmarks/nascent_transfer.py [--part folds carried] [--models transfer xgboost cnn] [--max-bins N]

K562, hg19; average precision in bins of 200 bp, positive where half and more lies in a peak. `folds`: the signal of
chr21 as it is, thinned to 10% and 3%, and changed as PRO-cap and GRO-seq would see it (`_augment.changed`, with seeds
that training does not draw); trained on one half of its 1-Mb blocks, scored on the other, both ways. `carried`:
trained on PRO-seq of chr21, applied to PRO-cap of chr22; and of the bins there in peaks of one cell line only, whether
those of K562 are told from those of GM12878. Choose by `folds` alone.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from _data import data_dir, save
from scipy.ndimage import gaussian_filter1d
from sklearn.metrics import average_precision_score, roc_auc_score

import chromatell as ctl
from chromatell.models.nascent._augment import changed
from chromatell.models.nascent._carry import Densities, assays_of, sample_scale
from chromatell.models.nascent._signal import input_values

ARTEFACT = {"chr21": ["chr21:9,820,000-9,840,000"]}
STRANDS = ("plus", "minus")
MARKS = ("H3K4me3", "H3K9ac", "H3K27ac", "H3K4me1")
CHANGED = {
    "as it is": ("as it is", 1),
    "10% of reads": ("thin 0.1", 2),
    "3% of reads": ("thin 0.03", 3),
    "as PRO-cap": ("cap", 4),
    "as GRO-seq": ("run-on", 5),
}
BINS = 4  # of 50 bp in one that is scored
Score = dict[str, np.ndarray]  # mark to values (bins,)


def peak_file(name: str) -> Path:
    return data_dir() / "nascent" / "peaks_k562_gm12878" / f"{name}.bed.gz"


def load(chrom: str, targets: dict[str, Path]) -> ctl.data.BinnedTracks:
    folder = data_dir() / "nascent" / f"k562_{chrom}"
    tracks = ctl.pp.bin_tracks({**{s: folder / f"{s}.bw" for s in STRANDS}, **targets}, chroms=chrom)
    ctl.pp.mask_bins(tracks, blacklist=ARTEFACT.get(chrom))
    return tracks


def training_tracks() -> ctl.data.BinnedTracks:
    """PRO-seq of chr21 with the narrow lists of three marks; of H3K27ac there is the wide one alone."""
    folder = data_dir() / "nascent" / "k562_chr21"
    targets = {mark: folder / f"{mark}.bw" for mark in MARKS if mark != "H3K27ac"}
    tracks = load("chr21", {**targets, "H3K27ac": peak_file("K562_H3K27ac")})
    ctl.pp.smooth_tracks(tracks, sigma=10)
    return tracks


def by_four(values: np.ndarray) -> np.ndarray:
    """Means of four bins, along the last axis."""
    n = values.shape[-1] // BINS * BINS
    return values[..., :n].reshape(*values.shape[:-1], -1, BINS).mean(axis=-1)


def log_signals(tracks: ctl.data.BinnedTracks, chrom: str) -> dict[str, np.ndarray]:
    """The smoothed log signal, as it is and with its highest bins clipped."""
    values, usable = input_values(tracks, chrom, STRANDS), tracks.usable(chrom)
    plain = gaussian_filter1d(values.sum(axis=0, dtype=np.float64), 20)
    assays = assays_of([{"assay": "a", "strand": s} for s in "+-"])
    clipped = Densities(values, assays, sample_scale([values[:, usable]], assays), 501)
    return {"log signal": np.log1p(plain / plain[usable].mean()), "clipped": clipped.log_signal(slice(0, plain.size))}


def trained(tracks: ctl.data.BinnedTracks, name: str, options: dict) -> ctl.models.Nascent:
    start = time.process_time()
    model = ctl.models.Nascent(tracks, architecture=name, **options)
    model.train(seed=0)
    print(f"{name}: trained in {time.process_time() - start:.0f} s of the processor", flush=True)
    return model


def applied(model: ctl.models.Nascent, tracks: ctl.data.BinnedTracks) -> np.ndarray:
    found = model.predict(tracks, depth="predicted")
    return found.values(tracks.chroms[0], [f"{m}_nascent" for m in MARKS])


def table(title: str, rows: dict[str, dict[str, list[float]]], columns: list[str]) -> list[str]:
    lines = ["", title, "", f"| | {' | '.join(columns)} |", "|" + " --- |" * (len(columns) + 1)]
    for name, values in rows.items():
        lines.append(f"| {name} | " + " | ".join(" / ".join(f"{v:.3f}" for v in values[c]) for c in columns) + " |")
    return lines


def folds(names: list[str], options: dict) -> list[str]:
    """Halves of chr21, each predicted by models of the other."""
    tracks, chrom = training_tracks(), "chr21"
    truth = by_four((tracks.values(chrom, MARKS, layer="raw") > 0).astype(float)) >= 0.5
    ctl.pp.split_regions(tracks, by="blocks", fractions=(0.5, 0, 0.5), seed=0)
    samples = {}
    values = input_values(tracks, chrom, STRANDS)
    read = float(sample_scale([values], assays_of([{"assay": "a", "strand": s} for s in "+-"]))[0, 2])
    for title, (kind, seed) in CHANGED.items():
        sample = tracks.select(STRANDS)
        sample.masks = tracks.masks
        rng = np.random.default_rng([2026, seed])
        sample.replace({chrom: changed(values, kind, "+-", read, tracks.bin_size, rng)}, STRANDS, keep=None)
        samples[title] = sample
    found: dict[str, dict[str, np.ndarray]] = {title: log_signals(s, chrom) for title, s in samples.items()}
    halves = [tracks.splits[chrom].copy(), tracks.splits[chrom].copy()]
    halves[1][halves[0] == 0], halves[1][halves[0] == 2] = 2, 0
    scored = [by_four((h == 2) & tracks.usable(chrom)) == 1 for h in halves]
    for name in names:
        for half, test in zip(halves, scored, strict=True):
            tracks.splits[chrom] = half
            model = trained(tracks, name, options.get(name, {}))
            for title, sample in samples.items():
                whole = found[title].setdefault(name, np.zeros(truth.shape))
                whole[:, test] = by_four(applied(model, sample))[:, test]
    test = scored[0] | scored[1]
    lines = []
    for title, of in found.items():
        rows = {}
        for name, v in of.items():
            v = v if v.ndim == 2 else np.tile(by_four(v), (len(MARKS), 1))
            rows[name] = {m: [average_precision_score(truth[i][test], v[i][test])] for i, m in enumerate(MARKS)}
        lines += table(f"chr21, {title}:", rows, list(MARKS))
    return lines


def carried(names: list[str], options: dict) -> list[str]:
    """From PRO-seq of chr21 to PRO-cap of chr22."""
    tracks = training_tracks()
    ctl.pp.split_regions(tracks, by="blocks", fractions=(1, 0, 0), seed=0)
    cells = ("K562", "GM12878")
    there = load("chr22", {f"{cell}_{m}": peak_file(f"{cell}_{m}") for cell in cells for m in MARKS})
    chrom, usable = "chr22", by_four(there.usable("chr22").astype(float)) == 1
    peaks = {c: by_four(there.values(chrom, [f"{c}_{m}" for m in MARKS])) >= 0.5 for c in cells}
    sample = there.select(STRANDS)
    found = {k: np.tile(by_four(v), (len(MARKS), 1)) for k, v in log_signals(sample, chrom).items()}
    for name in names:
        found[name] = by_four(applied(trained(tracks, name, options.get(name, {})), sample))
    rows: dict[str, dict[str, list[float]]] = {}
    told: dict[str, dict[str, list[float]]] = {}
    for name, v in found.items():
        rows[name], told[name] = {}, {}
        for i, m in enumerate(MARKS):
            ours, theirs = peaks["K562"][i], peaks["GM12878"][i]
            rows[name][m] = [average_precision_score(ours[usable], v[i][usable])]
            alone = usable & (ours != theirs)
            told[name][m] = [roc_auc_score(ours[alone], v[i][alone])]
    return [
        *table("PRO-seq of chr21 -> PRO-cap of chr22, average precision, K562 peaks as truth:", rows, list(MARKS)),
        *table("Of bins in peaks of one cell line alone, K562 told from GM12878, AUROC:", told, list(MARKS)),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", nargs="+", default=["folds", "carried"], choices=["folds", "carried"])
    parser.add_argument("--models", nargs="+", default=["transfer", "xgboost"])
    parser.add_argument("--max-bins", type=int, help="training bins of trees")
    parser.add_argument("--name", default="nascent_transfer", help="of the file of results")
    args = parser.parse_args()
    options = {"transfer": {"max_bins": args.max_bins}, "xgboost": {"max_bins": args.max_bins}} if args.max_bins else {}
    lines = ["# Nascent carried over", "", (__doc__ or "").split("\n\n")[2].replace("\n", " ")]
    for part in args.part:
        lines += {"folds": folds, "carried": carried}[part](args.models, options)
        save(args.name, "\n".join(lines))


if __name__ == "__main__":
    main()
