"""tl.evaluate on real tracks: seconds, memory, and whether its numbers are those of `metrics.track_scores` and NumPy.

    python benchmarks/evaluate_tracks_speed.py [--set k562_chr21] [--rounds 100]

Set and split as in `nascent_numbers.py`; boosted trees of four targets. Peaks that `tl.call_regions` calls are compared
with the observed ones in test blocks: share of called bins that hold a peak, and of peak bins that are called.
"""

from __future__ import annotations

import argparse
import platform
import resource
import time

import numpy as np
import pandas as pd
from _data import data_dir, save
from nascent_numbers import load

import chromatell as ctl


def peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", default="k562_chr21")
    parser.add_argument("--rounds", type=int, default=100)
    args = parser.parse_args()
    tracks = load(data_dir() / "nascent" / args.set)
    ctl.tl.nascent(tracks, seed=0, train_kwargs={"max_epochs": args.rounds})
    chrom = tracks.chroms[0]
    test = tracks.usable(chrom, "test")
    before, start, cpu = peak_gb(), time.perf_counter(), time.process_time()
    ctl.tl.evaluate(tracks, seed=0)
    seconds, cpu, after = time.perf_counter() - start, time.process_time() - cpu, peak_gb()
    table, gains = tracks.uns["ctl"]["evaluation"], tracks.uns["ctl"]["gains"]
    lines = [
        f"# tl.evaluate on tracks: {args.set}",
        "",
        f"`python benchmarks/evaluate_tracks_speed.py --set {args.set} --rounds {args.rounds}`: {test.sum():,} test "
        f"bins, {table['target'].nunique()} targets, {table['model'].nunique()} predictions (4 of them baselines, "
        f"fitted in the call), 3 resolutions, 200 replicates: {seconds:.0f} s ({cpu:.0f} s of one core), peak "
        f"memory {before:.2f} GB before, {after:.2f} GB after; {platform.machine()}, {ctl.settings.n_jobs} threads, "
        "other jobs beside it.",
        "",
        "Smoothed target, bins of 50 bp. Baselines are fitted on all training bins and, as the model, do not fall "
        "below the least training value, which makes ridge stronger than one that is not clipped. There are no "
        "validation bins in this split: thresholds and the best baseline are chosen on the training bins.",
        "",
        "| target | trees: r | NumPy | log 5 kb | ridge | other targets | best baseline | gain in r (95%) | "
        "AP of peaks | AP of ridge | F1 |",
        "| " + " | ".join(["---"] * 11) + " |",
    ]
    at = (table["chrom"] == "all") & (table["resolution"] == 50)
    wide = table[at & (table["view"] == "smoothed") & (table["metric"] == "pearson")]
    wide = wide.pivot(index="target", columns="model", values="value")
    peaks = table[at & (table["view"] == "peaks")].set_index(["target", "model", "metric"])["value"]
    for target, row in wide.iterrows():
        pair = [tracks.values(chrom, n)[0][test].astype(float) for n in (target, f"{target}_nascent")]
        g = gains[(gains["target"] == target) & (gains["metric"] == "pearson") & (gains["view"] == "smoothed")]
        g = g[(g["chrom"] == "all") & (g["resolution"] == 50)].iloc[0]
        shown = [
            str(target),
            *(f"{v:.3f}" for v in (row["nascent"], np.corrcoef(*pair)[0, 1])),
            *(f"{row[k]:.3f}" for k in ("log_signal", "ridge", "other_targets")),
            str(g["baseline"]),
            f"{g['gain']:.3f} ({g['ci_low']:.3f} to {g['ci_high']:.3f})",
            *(f"{peaks[target, *k]:.3f}" for k in (("nascent", "ap"), ("ridge", "ap"), ("nascent", "f1"))),
        ]
        lines.append("| " + " | ".join(shown) + " |")
    lines += ["", *called(tracks, chrom, test, list(wide.index))]
    save(f"evaluate_tracks_{args.set}", "\n".join(lines))


def called(tracks: ctl.data.BinnedTracks, chrom: str, test: np.ndarray, targets: list[str]) -> list[str]:
    """Return a table of what `tl.call_regions` calls, at two lengths of the shuffled pieces."""
    lines = ["`tl.call_regions`, `fdr=0.05`, test blocks:", ""]
    lines += ["| target | shuffled in | threshold | regions | bins with a peak | of called | of peaks called |"]
    lines += ["| " + " | ".join(["---"] * 7) + " |"]
    for target in targets:
        peak = tracks.values(chrom, target, layer="raw")[0] > 0
        for piece in (50, 1000):
            found: pd.DataFrame = ctl.tl.call_regions(tracks, f"{target}_nascent", shuffle=piece, seed=0)
            inside = np.zeros(test.size, dtype=bool)
            for start, end in zip(found["start"], found["end"], strict=True):
                inside[start // tracks.bin_size : -(-end // tracks.bin_size)] = True
            n, both = (inside & test).sum(), (inside & test & peak).sum()
            share = f"{both / n:.2f}" if n else "-"
            lines.append(
                f"| {target} | {piece} bp | {found.attrs['threshold']:.3g} | {len(found)} | {(peak & test).sum():,} | "
                f"{share} | {both / (peak & test).sum():.2f} |"
            )
    return lines


if __name__ == "__main__":
    main()
