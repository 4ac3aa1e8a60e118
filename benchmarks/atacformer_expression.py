"""Expression alone to the 5-kb bins of pbmc10k: models beside each other and the baselines, on the same splits.

    python benchmarks/atacformer_expression.py [--models dense atacformer] [--seeds 3]

Bins come from the fragments (near 51 genes), of the cells that have expression; those open in 0.5% of the training
cells are used. Each seed is a split of its own (70 / 10 / 20) and seeds the model. Nothing is chosen here by the test
cells.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Mapping, Sequence

import pandas as pd
from _data import data_dir, interval, load, save
from mudata import MuData

import chromatell as ctl
from chromatell._compat import no_pull

BASELINES = ["region_mean_depth", "knn", "svd_ridge"]
SHOWN = [("depth_matched", "auroc"), ("per_cell", "auroc"), ("overall", "ap")]


def binned() -> MuData:
    """pbmc10k with 5-kb bins of its fragments for `atac`: 8,748 cells x 51 genes x 2,086 bins."""
    rna = load("pbmc").mod["rna"]
    fragments = data_dir() / "multiome" / "pbmc10k_fragments.tsv.gz"
    atac = ctl.pp.bin_genome(fragments, chrom_sizes="hg38", barcodes=rna.obs_names)
    with no_pull():
        return MuData({"rna": rna, "atac": atac})


def prepare(mdata: MuData, seed: int) -> MuData:
    """Split the cells and select the bins on the training cells."""
    mdata = mdata.copy()
    ctl.pp.split_cells(mdata, seed=seed)
    ctl.pp.select_features(mdata, min_open=0.005)
    return mdata


def fit_dense(mdata: MuData, seed: int) -> None:
    """Write the prediction 'dense'."""
    ctl.tl.dense(mdata, seed=seed)


def fit_atacformer(mdata: MuData, seed: int) -> None:
    """Write the prediction 'atacformer', from the principal components of expression alone."""
    ctl.tl.atacformer(mdata, context="X_pca", seed=seed)


FITS: dict[str, Callable[[MuData, int], None]] = {"dense": fit_dense, "atacformer": fit_atacformer}


def numbers(fits: Mapping[str, Callable[[MuData, int], None]], seeds: Sequence[int]) -> pd.DataFrame:
    """Return a row a seed, split ('val', 'test'), model, view and metric; a model's time to train and predict as well.

    Each of `fits` trains on the MuData of a seed and writes its prediction under its name.
    """
    data, tables = binned(), []
    for seed in seeds:
        mdata = prepare(data, seed)
        seconds = {}
        for name, fit in fits.items():
            start = time.perf_counter()
            fit(mdata, seed)
            seconds[name] = time.perf_counter() - start
        for split in ("val", "test"):
            views = [view for view, _ in SHOWN]
            ctl.tl.evaluate(
                mdata, list(fits), split=split, baselines=BASELINES, views=views, labels=None, n_bootstrap=20, seed=seed
            )
            table = mdata.uns["ctl"]["evaluation"]
            tables.append(table.assign(seed=seed, seconds=table["model"].map(seconds)))
            print(f"seed {seed}, {split}: done", flush=True)
    return pd.concat(tables, ignore_index=True)


def report(table: pd.DataFrame) -> str:
    """Return the means over the seeds; of the first of the scores also each seed's, and its difference from Dense."""
    titles = " | ".join(f"{view} {metric}" for view, metric in SHOWN)
    first = " ".join(SHOWN[0])
    lines = [f"| cells | method | {titles} | {first} of each seed | minus dense, 95% interval over seeds | seconds |"]
    lines.append("| --- " * (len(SHOWN) + 5) + "|")
    for (split, model), rows in table.groupby(["split", "model"], sort=False):
        scores = [_by_seed(rows, view, metric) for view, metric in SHOWN]
        each = " ".join(f"{value:.4f}" for value in scores[0])
        against = table[(table["split"] == split) & (table["model"] == "dense")]
        gain = "" if model == "dense" or against.empty else _gain(scores[0] - _by_seed(against, *SHOWN[0]))
        seconds = rows.groupby("seed")["seconds"].first()
        took = "" if seconds.isna().all() else f"{seconds.median():.0f}"
        means = " | ".join(f"{s.mean():.4f}" for s in scores)
        lines.append(f"| {split} | {model} | {means} | {each} | {gain} | {took} |")
    return "\n".join(lines)


def _by_seed(rows: pd.DataFrame, view: str, metric: str) -> pd.Series:
    return rows[(rows["view"] == view) & (rows["metric"] == metric)].set_index("seed")["value"]


def _gain(difference: pd.Series) -> str:
    mean, low, high = interval(difference.to_numpy())
    return f"{mean:+.4f} ({low:+.4f} to {high:+.4f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=list(FITS), choices=list(FITS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", default="atacformer_expression")
    args = parser.parse_args()
    ctl.settings.verbosity = 0
    warnings.filterwarnings("ignore")
    table = numbers({name: FITS[name] for name in args.models}, range(args.seeds))
    head = f"## pbmc10k, 5-kb bins near 51 genes, from expression alone: {args.seeds} seeds, each a split of its own"
    note = "Seconds: to train and predict all cells, on a shared machine of 2 cores, busy with other work."
    save(args.out, f"{head}\n\n{report(table)}\n\n{note}")


if __name__ == "__main__":
    main()
