"""Dense against scvi-tools' MultiVI on the cortex set: the time each needs to reach MultiVI's best validation score.

Usage: python benchmarks/dense_vs_peers.py [--epochs 60]

Both are tuned alike, over learning rates and epochs, on the validation cells of one split. MultiVI sees paired training
cells and, for the validation cells, expression only (their ATAC is set to zero); its prediction is
``get_normalized_accessibility`` at the batch of the paired cells, which has no depth in it: its counterpart is Dense at
``depth='fixed'``. Scores are depth-matched and per-cell AUROC on the validation cells. Time counts training alone; both
run on the same CPU, one after the other.
"""

from __future__ import annotations

import argparse
import time
import warnings

import anndata as ad
import mudata
import numpy as np
import scipy.sparse as sp
from _data import load, prepare, save

import chromatell as ctl
from chromatell._compat import no_pull
from chromatell.data.accessibility import open_matrix, true_depth


class Judge:
    """Scores of predictions for the validation cells."""

    def __init__(self, mdata):
        rows = np.flatnonzero(mdata.obs["ctl_split"] == "val")
        cols = mdata["atac"].var["ctl_selected"].to_numpy()
        self.y = open_matrix(mdata["atac"], rows, cols).toarray()
        self.depth = true_depth(mdata["atac"])[rows]

    def __call__(self, p: np.ndarray) -> tuple[float, float]:
        """Return (depth-matched AUROC, per-cell AUROC)."""
        matched = ctl.metrics.depth_matched_auroc(self.y, p, self.depth)
        return float(getattr(matched, "mean", matched)), float(np.nanmean(ctl.metrics.auroc(self.y, p, axis=1)))


def multivi(mdata, judge: Judge, lr: float, epochs: int, every: int) -> list[tuple[float, int, float, float]]:
    """Return (seconds, epoch, depth-matched, per-cell) along one run of MultiVI."""
    import scvi

    scvi.settings.seed = 0
    split = mdata.obs["ctl_split"].to_numpy()
    genes, regions = mdata["rna"], mdata["atac"][:, mdata["atac"].var["ctl_selected"].to_numpy()]
    y = open_matrix(mdata["atac"], slice(None), mdata["atac"].var["ctl_selected"].to_numpy())
    hidden = sp.diags((split == "train").astype(np.float32)) @ y
    hidden = sp.csr_matrix(hidden)
    hidden.eliminate_zeros()
    train_or_val = np.flatnonzero(split != "test")
    with no_pull():
        both = mudata.MuData(
            {
                "rna": ad.AnnData(sp.csr_matrix(genes.X)[train_or_val], obs=genes.obs.iloc[train_or_val][[]].copy()),
                "atac": ad.AnnData(hidden[train_or_val], obs=genes.obs.iloc[train_or_val][[]].copy()),
            }
        )
    both["rna"].var_names, both["atac"].var_names = genes.var_names, regions.var_names
    both.update()
    both.obs["modality"] = np.where(split[train_or_val] == "train", "paired", "expression")
    scvi.model.MULTIVI.setup_mudata(
        both, batch_key="modality", modalities={"rna_layer": "rna", "atac_layer": "atac", "batch_key": None}
    )
    model = scvi.model.MULTIVI(both, n_genes=genes.n_vars, n_regions=regions.n_vars)
    path, spent = [], 0.0
    rows = np.flatnonzero(both.obs["modality"] == "expression")
    for epoch in range(every, epochs + 1, every):
        start = time.perf_counter()
        model.train(
            max_epochs=every,
            lr=lr,
            train_size=1.0,
            early_stopping=False,
            enable_progress_bar=False,
            accelerator="cpu",
            batch_size=128,
        )
        spent += time.perf_counter() - start
        p = model.get_normalized_accessibility(both, indices=rows, transform_batch="paired")
        p = p.to_numpy() if hasattr(p, "to_numpy") else p
        path.append((spent, epoch, *judge(np.asarray(p, dtype=np.float32))))
        print("multivi", lr, path[-1], flush=True)
    return path


def dense(mdata: mudata.MuData, judge: Judge, lr: float, epochs: int) -> tuple[float, dict[str, tuple[float, float]]]:
    """Return (seconds, scores by depth) of one training of Dense."""
    copy = mdata.copy()
    ctl.models.Dense.setup_mudata(copy)
    model = ctl.models.Dense(copy)
    start = time.perf_counter()
    model.train(seed=0, lr=lr, max_epochs=epochs)
    spent = time.perf_counter() - start
    val = copy["rna"][(copy.obs["ctl_split"] == "val").to_numpy()].copy()
    return spent, {depth: judge(model.predict(val, depth=depth)) for depth in ("fixed", "predicted")}


def main(epochs: int, every: int) -> str:
    """Return the table."""
    mdata = prepare(load("cortex"), "cortex", seed=0)
    judge = Judge(mdata)
    ours = {(lr, n): dense(mdata, judge, lr, n) for lr in (1e-3, 2e-3, 4e-3) for n in (5, 10, 20)}
    for key, value in ours.items():
        print("dense", key, value, flush=True)
    theirs = {lr: multivi(mdata, judge, lr, epochs, every) for lr in (1e-4, 1e-3)}
    return report(ours, theirs)


def report(ours: dict, theirs: dict) -> str:
    """Return the tables and who was faster, as text."""
    lines = [
        "## Dense and MultiVI on the cortex set, validation cells of one split, CPU",
        "",
        "| method | learning rate | epochs | seconds | depth-matched AUROC | per-cell AUROC |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for (lr, n), (spent, scores) in ours.items():
        for depth, (matched, cell) in scores.items():
            lines.append(f"| Dense, depth={depth!r} | {lr:g} | {n} | {spent:.1f} | {matched:.4f} | {cell:.4f} |")
    for lr, path in theirs.items():
        for spent, epoch, matched, cell in path:
            lines.append(f"| MultiVI | {lr:g} | {epoch} | {spent:.1f} | {matched:.4f} | {cell:.4f} |")
    lines.append("")
    for place, what in ((0, "depth-matched"), (1, "per-cell")):
        best = max((r for path in theirs.values() for r in path), key=lambda r: r[2 + place])
        enough = [
            (spent, scores["fixed"]) for spent, scores in ours.values() if scores["fixed"][place] >= best[2 + place]
        ]
        text = f"MultiVI's best {what} AUROC is {best[2 + place]:.4f}, after {best[0]:.0f} s ({best[1]} epochs). "
        if enough:
            spent, scores = min(enough, key=lambda r: r[0])
            text += f"Dense passes it with {scores[place]:.4f} after {spent:.1f} s: {best[0] / spent:.0f} times faster."
        else:
            text += "Dense did not reach it."
        lines.append(text + "\n")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--every", type=int, default=10)
    args = parser.parse_args()
    ctl.settings.verbosity = 0
    warnings.filterwarnings("ignore")
    save("dense_vs_peers", main(args.epochs, args.every))
