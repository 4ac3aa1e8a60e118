"""What was tried: variants of Dense on the *validation* cells of random splits; the test cells are not looked at.

Usage: python benchmarks/dense_choices.py [pbmc cortex] [--splits 2]
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np
from _data import data_dir, load, prepare, save

import chromatell as ctl
from chromatell.data.accessibility import open_matrix, true_depth
from chromatell.models.dense._presets import SmoothingConfig

VARIANTS: dict[str, dict] = {
    "default": {},
    "poisson": {"likelihood": "poisson"},
    "focal_dice": {"loss": "focal_dice"},
    "focal": {"loss": "focal"},
    "1 member": {"n_members": 1},
    "4 members": {"n_members": 4},
    "members share the head": {"shared_head": True},
    "no smoothing": {"smoothing": None},
    "smoothing 0.25": {"smoothing": SmoothingConfig(k=20, mix=0.25)},
    "smoothing 0.5": {"smoothing": SmoothingConfig(k=20, mix=0.5)},
    "smoothing 0.25, expression only": {"smoothing": SmoothingConfig(k=20, mix=0.25, space="rna")},
    "depth not shrunk": {"depth_shrink": 1.0},
    "depth by ridge": {"depth_hidden": 0},
    "depth by a network": {"depth_hidden": 64},
    "no depth term": {"depth_term": False},
    "mlp": {"encoder": "mlp"},
    "autoencoder, reconstruction 0.1": {"encoder": "autoencoder", "reconstruction_weight": 0.1},
    "linked genes": {"linked_genes": True},
    "shared space": {"encoder": "shared"},
    "transformer": {"encoder": "transformer", "n_members": 1},
}


def scores(mdata, model) -> list[float]:
    """Return AP, per-cell AUROC, depth-matched AUROC, deviation Pearson and ECE on the validation cells."""
    rows = np.flatnonzero(mdata.obs["ctl_split"] == "val")
    cols = mdata["atac"].var["ctl_selected"].to_numpy()
    y = open_matrix(mdata["atac"], rows, cols).toarray()
    p = model.predict(mdata["rna"][rows].copy())
    types = mdata["rna"].obs["cell_type"].astype(str).to_numpy()[rows]
    names = [t for t in np.unique(types) if (types == t).sum() >= 20]
    seen, said = (np.stack([x[types == t].mean(0) for t in names]) for x in (y, p))
    deviation = np.mean(
        [np.corrcoef(a, b)[0, 1] for a, b in zip(seen - seen.mean(0), said - said.mean(0), strict=True)]
    )
    matched = ctl.metrics.depth_matched_auroc(y, p, true_depth(mdata["atac"])[rows])
    return [
        float(ctl.metrics.average_precision(y, p)),
        float(np.nanmean(ctl.metrics.auroc(y, p, axis=1))),
        float(getattr(matched, "mean", matched)),
        float(deviation),
        float(ctl.metrics.expected_calibration_error(y.ravel(), p.ravel())),
    ]


def run(name: str, n_splits: int, wanted: list[str]) -> str:
    """Return the table of one data set."""
    data = load(name)
    genome = {"pbmc": "hg38", "cortex": "mm10"}[name]
    lines = [
        f"## {name}: validation cells, mean of {n_splits} splits",
        "",
        "| variant | AP | per-cell AUROC | depth-matched AUROC | deviation Pearson | ECE | seconds |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    prepared = [prepare(data, name, seed=split) for split in range(n_splits)]
    for mdata in prepared:
        ctl.pp.link_genes(mdata, data_dir() / "annotation" / f"{genome}_genes.tsv.gz")
        ctl.models.Dense.setup_mudata(mdata)
    for variant in wanted:
        if name == "cortex" and variant == "transformer":
            continue  # attention over 1,677 gene tokens takes many minutes on a CPU
        results, seconds = [], []
        for mdata in prepared:
            model = ctl.models.Dense(mdata, **VARIANTS[variant])
            start = time.perf_counter()
            model.train(seed=0)
            seconds.append(time.perf_counter() - start)
            results.append(scores(mdata, model))
        cells = " | ".join(f"{v:.4f}" for v in np.mean(results, axis=0))
        lines.append(f"| {variant} | {cells} | {np.median(seconds):.1f} |")
        print(lines[-1], flush=True)
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*", default=["pbmc", "cortex"])
    parser.add_argument("--splits", type=int, default=2)
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS))
    args = parser.parse_args()
    ctl.settings.verbosity = 0
    warnings.filterwarnings("ignore")
    for which in args.sets:
        save(f"dense_choices_{which}", run(which, args.splits, args.variants))
