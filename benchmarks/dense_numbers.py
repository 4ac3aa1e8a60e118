"""Dense beside every baseline on real sets: random splits x seeds, all methods on the same splits.

Usage: python benchmarks/dense_numbers.py [pbmc cortex bmmc] [--splits 5] [--seeds 3]

The gain is over the best baseline of each view and metric, chosen on the validation cells of each split. Two intervals
are given: Student's t over splits (the seeds of a split averaged first), and how many single runs
have a bootstrap interval over cells above zero.
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np
import pandas as pd
from _data import interval, load, prepare, save

import chromatell as ctl

METRICS = [
    ("overall", "ap"),
    ("overall", "auroc"),
    ("per_cell", "auroc"),
    ("depth_matched", "auroc"),
    ("profile", "deviation_pearson"),
    ("calibration", "ece"),
]


def run(name: str, n_splits: int, n_seeds: int, presets: list[str]) -> str:
    """Return the table of one data set."""
    data = load(name)
    scores, gains, odds, seconds = [], [], [], []
    for split in range(n_splits):
        mdata = prepare(data, name, seed=split)
        for preset in presets:
            for seed in range(n_seeds):
                start = time.perf_counter()
                ctl.tl.dense(mdata, preset=preset, key_added=f"{preset}_{seed}", seed=seed)
                seconds.append((preset, time.perf_counter() - start))
        views = ["overall", "per_cell", "depth_matched", "profile", "calibration"]
        ctl.tl.evaluate(mdata, views=views, n_bootstrap=100, seed=split)
        table, gain = mdata.uns["ctl"]["evaluation"], mdata.uns["ctl"]["gains"]
        scores.append(table.assign(run=split))
        gains.append(gain.assign(run=split))
        ctl.tl.fisher(mdata, f"{presets[0]}_0", n_bootstrap=50)
        odds.append(mdata.uns["ctl"]["fisher"].assign(run=split))
        print(f"{name} split {split} done", flush=True)
    return report(name, pd.concat(scores), pd.concat(gains), pd.concat(odds), seconds, presets)


def report(
    name: str,
    scores: pd.DataFrame,
    gains: pd.DataFrame,
    odds: pd.DataFrame,
    seconds: list[tuple[str, float]],
    presets: list[str],
) -> str:
    """Return the tables as text."""
    titles = " | ".join(f"{view} {metric}" for view, metric in METRICS)
    lines = [f"## {name}: {scores['run'].nunique()} random splits, test cells", "", f"| method | {titles} |"]
    lines.append("| --- " * (len(METRICS) + 1) + "|")
    family = scores["model"].str.replace(r"_\d+$", "", regex=True).where(~scores["is_baseline"], scores["model"])
    for method, rows in scores.groupby(family, sort=False):
        values = []
        for view, metric in METRICS:
            v = rows[(rows["view"] == view) & (rows["metric"] == metric)].groupby("run")["value"].mean()
            values.append(f"{v.mean():.4f}" if len(v) else "")
        lines.append(f"| {method} | " + " | ".join(values) + " |")
    lines += ["", "| preset | view, metric | best baseline | gain | 95% interval over splits | runs above 0 |"]
    lines.append("| --- | --- | --- | --- | --- | --- |")
    for preset in presets:
        mine = gains[gains["model"].str.startswith(f"{preset}_")]
        for view, metric in METRICS[:5]:
            rows = mine[(mine["view"] == view) & (mine["metric"] == metric)]
            if rows.empty:
                continue
            mean, low, high = interval(rows.groupby("run")["gain"].mean().to_numpy())
            best = ", ".join(sorted(rows["baseline"].unique()))
            above = f"{int((rows['ci_low'] > 0).sum())} of {len(rows)}"
            cells = [preset, f"{view} {metric}", best, f"{mean:+.4f}", f"{low:+.4f} to {high:+.4f}", above]
            lines.append("| " + " | ".join(cells) + " |")
    lines += ["", "Log odds ratio, each method at the share of predicted positives of the first model:", ""]
    ratios = odds.groupby("model", sort=False)["log_odds_ratio"].mean()
    lines += [", ".join(f"{m} {v:.3f}" for m, v in ratios.items()), ""]
    for preset in presets:
        s = np.array([t for p, t in seconds if p == preset])
        lines.append(
            f"{preset}: to train, store and predict all cells took {np.median(s):.1f} s "
            f"(median of {len(s)}; {s.min():.1f} to {s.max():.1f})."
        )
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*", default=["pbmc", "cortex"])
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--presets", nargs="+", default=["default"])
    parser.add_argument("--out", default="dense_numbers")
    args = parser.parse_args()
    ctl.settings.verbosity = 0
    warnings.filterwarnings("ignore")
    for which in args.sets:
        save(f"{args.out}_{which}", run(which, args.splits, args.seeds, args.presets))
