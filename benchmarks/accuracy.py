"""Accuracy of every family on every real set, over splits, beside its baselines: resumable, each row alone.

    python -m benchmarks accuracy                           # what is not there yet
    python -m benchmarks accuracy dense/cortex --seeds 0 1  # one row, two splits
    python -m benchmarks accuracy --list

A row is a function of a seed that returns scores; :func:`row` registers it. What it returns is kept after each split,
in ``results/accuracy.json``, and the table of its family, ``results/accuracy_<family>.md``, is written anew. Nothing
is chosen on test data: best baselines, weights and what is tuned come from validation cells.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
import warnings
from collections.abc import Callable
from typing import Any

import mudata
import numpy as np
import pandas as pd
from benchmarks._data import RESULTS, data_dir, interval, load, prepare
from benchmarks._table import machine

import chromatell as ctl
from chromatell._compat import no_pull

Scores = list[dict[str, Any]]  # of one split: predictor, is_baseline, score (a name), value, best (chosen baseline)
Row = Callable[[int], Scores]
ROWS: dict[str, tuple[Row, tuple[int, ...]]] = {}
KEPT = RESULTS / "accuracy.json"
SCORES = {
    ("overall", "ap"): "AP",
    ("per_cell", "auroc"): "per cell",
    ("depth_matched", "auroc"): "depth-matched",
    ("profile", "deviation_pearson"): "deviation",
}
OF_TRACKS = {("smoothed", "pearson"): "r", ("peaks", "ap"): "AP"}
ARTEFACT = {"k562_chr21": ["chr21:9,820,000-9,840,000"]}
LEAST = 0.001  # a loss that counts
ABOUT = """Minus the baseline that is best on the validation cells (or bins) of the split, mean [95% t interval over
splits], lowest split; minus the one that is best on the test cells; in how many splits it is more than .001 below the
chosen one, and, where that was asked, in how many of these the 95% interval over test cells (blocks of bins) is below 0
too:""".replace("\n", " ")


def row(name: str, seeds: tuple[int, ...] = (10, 11, 12, 13, 14)) -> Callable[[Row], Row]:
    """Register a row 'family/set' and the splits that it is run on."""

    def register(function: Row) -> Row:
        ROWS[name] = function, seeds
        return function

    return register


def told(table: pd.DataFrame, gains: pd.DataFrame, score: str) -> Scores:
    """Return the rows of one score: of the evaluation `table`, with what `gains` says of the models among them."""
    of, found = gains.set_index("model"), []
    for _, r in table.iterrows():
        reference = bool(r["uses_target_assay"]) or r["model"] == "other_targets"
        around = of.loc[r["model"], ["ci_low", "ci_high"]].tolist() if r["model"] in of.index else [np.nan]
        found.append(
            {
                "predictor": r["model"],
                "is_baseline": bool(r["is_baseline"]) and not reference,
                "score": score,
                "value": float(r["value"]),
                "best": str(of["baseline"].iloc[0]) if len(of) else "",
                **({"within": around} if np.isfinite(around).all() else {}),
            }
        )
    return found


def scored(mdata: mudata.MuData, scores: dict[tuple[str, str], str] = SCORES) -> Scores:
    """Return the main scores of what `tl.evaluate` wrote for training regions in new cells."""
    table, gains = mdata.uns["ctl"]["evaluation"], mdata.uns["ctl"]["gains"]
    found: Scores = []
    for (view, metric), name in scores.items():
        here, of = (t[(t["view"] == view) & (t["metric"] == metric)] for t in (table, gains))
        found += told(here[here["pairs"] == "cross-cell"], of, name)
    return found


def cells(name: str, seed: int) -> mudata.MuData:
    """Return a set of paired cells, split; of bone marrow all 500 cells or 250 of them."""
    if name.startswith("bmmc"):
        mdata = mudata.read_h5mu(data_dir() / "multiome" / "bmmc_500cells.h5mu")
        if name == "bmmc250":
            mdata = mdata[np.sort(np.random.default_rng(seed).choice(mdata.n_obs, 250, replace=False))].copy()
        ctl.pp.split_cells(mdata, seed=seed)
        return mdata
    return prepare(load(name), name, seed)


def _dense(name: str) -> Row:
    def run(seed: int) -> Scores:
        mdata = cells(name, seed)
        ctl.tl.dense(mdata, key_added="network", stack=False, seed=seed)
        ctl.tl.dense(mdata, seed=seed)
        kinds = ["region_mean_depth", "celltype_mean", "knn", "ridge", "svd_ridge", "region_mean_true_depth"]
        ctl.tl.evaluate(mdata, baselines=kinds, views=sorted({v for v, _ in SCORES}), seed=seed)
        return scored(mdata)

    return run


for _name in ("bmmc250", "bmmc", "pbmc", "cortex"):
    row(f"dense/{_name}")(_dense(_name))


@row("xchrom/mouse_brain", (0, 1, 2, 3, 4))
def _mouse_brain(fold: int) -> Scores:
    """91 cells x 901 peaks, a fifth of the cells held out; known regions in new cells."""
    with no_pull():
        source = mudata.read_h5mu(data_dir() / "xchrom" / "mouse_brain_100cells.h5mu")
        mdata = mudata.MuData({"rna": source["rna"][source["atac"].obs_names].copy(), "atac": source["atac"]})
    ctl.pp.add_sequence(mdata)
    test = np.array_split(np.random.default_rng(0).permutation(mdata.n_obs), 5)[fold]
    rest = np.setdiff1d(np.arange(mdata.n_obs), test)
    split = np.full(mdata.n_obs, "train", dtype=object)
    split[test], split[np.random.default_rng(fold).choice(rest, 10, replace=False)] = "test", "val"
    mdata.obs["ctl_split"] = pd.Categorical(split, categories=["train", "val", "test"])
    ctl.tl.xchrom(mdata, embedding=None, key_added="network", stack=False, seed=0)
    ctl.tl.xchrom(mdata, embedding=None, seed=0)
    kinds, scores = (
        ["region_mean_depth", "knn", "ridge", "svd_ridge"],
        {**SCORES, ("per_region", "auroc"): "per region"},
    )
    ctl.tl.evaluate(mdata, labels=None, baselines=kinds, views=sorted({v for v, _ in scores} - {"profile"}),
                    seed=fold)  # fmt: skip
    return scored(mdata, scores)


def _nascent(name: str) -> Row:
    def run(seed: int) -> Scores:
        """Blocks take turns, two fifths are tested; their size, 1 Mb and more, makes the split (a seed does not)."""
        folder = data_dir() / "nascent" / name
        tracks = ctl.pp.bin_tracks({path.stem: path for path in sorted(folder.glob("*.bw"))})
        ctl.pp.mask_bins(tracks, blacklist=ARTEFACT.get(name))
        ctl.pp.smooth_tracks(tracks, sigma=10)
        ctl.pp.split_regions(tracks, by="blocks", fractions=(0.5, 0.1, 0.4), block=1_000_000 + 100_000 * seed)
        ctl.tl.nascent(tracks, seed=seed)
        ctl.tl.nascent(tracks, key_added="cnn", architecture="cnn", seed=seed)
        ctl.tl.evaluate(tracks, resolutions=(50,), seed=seed)
        table, gains = (tracks.uns["ctl"][k].query("chrom == 'all'") for k in ("evaluation", "gains"))
        found: Scores = []
        for target, ((view, metric), score) in itertools.product(tracks.names_of(role="target"), OF_TRACKS.items()):
            at = f"target == {target!r} and view == {view!r} and metric == {metric!r}"
            found += told(table.query(at), gains.query(at), f"{target}, {score}")
        return found

    return run


for _name in ("k562_chr21", "k562_chr22"):
    row(f"nascent/{_name}", (0, 1, 2, 3, 4))(_nascent(_name))


def write(family: str, kept: dict[str, Any]) -> None:
    """Write the table of a family: means over splits, and the difference to the best baseline with its t interval."""
    lines = [f"# Accuracy: {family}", "", __doc__.split("\n", 1)[0], ""]
    for name in [n for n in kept if n.split("/")[0] == family]:
        splits = kept[name]
        table = pd.concat(
            [pd.DataFrame(s["scores"]).assign(seed=int(seed)) for seed, s in splits.items()], ignore_index=True
        )
        lines += [f"## {name}: {len(splits)} splits", ""]
        means = table.pivot_table(index="predictor", columns="score", values="value", sort=False)
        lines += ["| predictor | " + " | ".join(means.columns) + " |", "| --- |" + " --- |" * means.shape[1]]
        lines += [f"| {p} | " + " | ".join(f"{v:.4f}" for v in means.loc[p]) + " |" for p in means.index]
        lines += ["", ABOUT, ""]
        lines += ["| model | score | gain | lowest | over the best on test | below by .001, clearly |"]
        lines += ["| --- | --- | --- | --- | --- | --- |"]
        for (model, score), own in table[table["best"] != ""].groupby(["predictor", "score"], sort=False):
            if own["is_baseline"].any() or model in ("region_mean_true_depth", "other_targets"):
                continue
            others = table[(table["score"] == score) & table["is_baseline"]].set_index(["seed", "predictor"])["value"]
            at = own.set_index("seed")
            gain = np.array([at.loc[s, "value"] - others[s, at.loc[s, "best"]] for s in at.index])
            top = np.array([at.loc[s, "value"] - others[s].max() for s in at.index])
            mean, low, high = interval(gain)
            around = f"[{low:+.4f}, {high:+.4f}]" if gain.size > 1 else "(one split)"
            below = at.index[gain < -LEAST]
            intervals = [at.loc[i].get("within") for i in below]  # not in older rows
            clear = [w[1] < 0 for w in intervals if isinstance(w, list)]
            said = f"{len(below)} of {gain.size}" + (f", {sum(clear)}" if clear else "")
            cells = [model, score, f"{mean:+.4f} {around}", f"{gain.min():+.4f}", f"{top.mean():+.4f}", said]
            lines.append("| " + " | ".join(cells) + " |")
        seconds = [s["seconds"] for s in splits.values()]
        lines += ["", f"{np.mean(seconds):.0f} s of the processor a split.", ""]
    lines.append("The last row with: " + ", ".join(f"{k} {v}" for k, v in machine().items()))
    (RESULTS / f"accuracy_{family}.md").write_text("\n".join(lines) + "\n")


def main(argv: list[str]) -> int:
    """Run rows, and write the tables of their families."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks accuracy", description=__doc__.split("\n", 1)[0])
    parser.add_argument("rows", nargs="*", metavar="ROW", help="such as dense/cortex; all without")
    parser.add_argument("--seeds", nargs="+", type=int, help="of the splits; those of the row without")
    parser.add_argument("--again", action="store_true", help="run what is there too")
    parser.add_argument("--list", action="store_true", help="name the rows and what is there of each")
    args = parser.parse_args(argv)
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    unknown = sorted(set(args.rows) - set(ROWS))
    if unknown:
        parser.error(f"there is no row {unknown[0]!r}; there are {', '.join(ROWS)}")
    if args.list:
        print("\n".join(f"{name:<20} splits {', '.join(kept.get(name, {})) or 'none'}" for name in ROWS))
        return 0
    for name in args.rows or ROWS:
        function, seeds = ROWS[name]
        for seed in args.seeds or seeds:
            if str(seed) in kept.get(name, {}) and not args.again:
                continue
            start = time.process_time()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                scores = function(seed)
            seconds = round(time.process_time() - start, 1)
            print(f"{name} split {seed}: {seconds} s", flush=True)
            kept.setdefault(name, {})[str(seed)] = {"seconds": seconds, "scores": scores}
            RESULTS.mkdir(exist_ok=True)
            KEPT.write_text(json.dumps(kept, indent=1) + "\n")
            write(name.split("/")[0], kept)
    return 0
