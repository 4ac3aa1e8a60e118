"""XChrom on small real data: checks against regressions, not claims.

Usage: python benchmarks/xchrom_real.py [mouse_brain] [hemato] [--seeds 3]

mouse_brain: 91 cells x 901 peaks of the reference's quick-start set, 5-fold over cells, every view beside region mean x
predicted depth; and how far the model overfits when nothing stops it. Its `X_pca` was fitted on all 100 cells, so
components are fitted again on the training cells (embedding=None).

hemato: 396 peaks with hg19 sequence. Sequence -> log mean accessibility, chr20 -> chr22 and random 80/20: Pearson's r
beside a ridge on GC and CpG, as a paired difference. It has no expression; a cell's embedding is the LSI of the peaks
that have no sequence here, which the test peaks are not among.
"""

from __future__ import annotations

import argparse

import anndata as ad
import mudata
import numpy as np
import pandas as pd
import scipy.sparse as sp
from _data import data_dir, interval, save
from sklearn.decomposition import TruncatedSVD
from sklearn.linear_model import RidgeCV

import chromatell as ctl
from chromatell._compat import no_pull
from chromatell.metrics import auroc

VIEWS = [
    ("overall", "ap"),
    ("overall", "auroc"),
    ("per_cell", "auroc"),
    ("per_region", "auroc"),
    ("depth_matched", "auroc"),
]


def mouse_brain(n_seeds: int) -> str:
    """Return the table of the 5-fold run."""
    path = data_dir() / "xchrom" / "mouse_brain_100cells.h5mu"
    with no_pull():
        source = mudata.read_h5mu(path)
        rna = source.mod["rna"][source.mod["atac"].obs_names].copy()
        whole = mudata.MuData({"rna": rna, "atac": source.mod["atac"]})
    ctl.pp.add_sequence(whole)
    order = np.random.default_rng(0).permutation(whole.n_obs)
    rows = []
    for fold, test in enumerate(np.array_split(order, 5)):
        rest = np.setdiff1d(order, test)
        split = np.full(whole.n_obs, "train", dtype=object)
        split[test] = "test"
        split[np.random.default_rng(fold).choice(rest, 10, replace=False)] = "val"
        for seed in range(n_seeds):
            mdata = whole.copy()
            mdata.obs["ctl_split"] = pd.Categorical(split, categories=["train", "val", "test"])
            ctl.tl.xchrom(mdata, embedding=None, seed=seed)
            ctl.tl.evaluate(
                mdata, labels=None, n_bootstrap=0, baselines=["region_mean", "region_mean_depth", "svd_ridge"]
            )
            rows.append(mdata.uns["ctl"]["evaluation"].assign(fold=fold, seed=seed))
    table = pd.concat(rows)
    lines = ["## mouse brain, 91 cells x 901 peaks, 5-fold over cells", ""]
    lines += ["| | " + " | ".join(f"{v} {m}" for v, m in VIEWS) + " |", "| --- |" + " --- |" * len(VIEWS)]
    for model in ("xchrom", "region_mean_depth", "region_mean", "svd_ridge"):
        own = table[table["model"] == model]
        cells = [own[(own["view"] == v) & (own["metric"] == m)].groupby("fold")["value"].mean() for v, m in VIEWS]
        lines.append(f"| {model} | " + " | ".join(f"{c.mean():.4f}" for c in cells) + " |")
    lines += [
        "",
        f"Mean over folds and {n_seeds} seeds. Overfit on all cells, nothing stopped early: " + overfit(whole),
    ]
    return "\n".join(lines)


def overfit(whole: mudata.MuData) -> str:
    """Return the training AUROC where the model is left to learn the data by heart."""
    mdata = whole.copy()
    mdata.obs["ctl_split"] = pd.Categorical(["train"] * mdata.n_obs, categories=["train", "val", "test"])
    ctl.tl.xchrom(
        mdata,
        embedding=None,
        depth="observed",
        dropout=0.0,
        depth_mix=0.0,
        warm_epochs=200,
        freeze_cells=False,
        train_kwargs={"max_epochs": 100, "weight_decay": 0.0, "early_stopping": False},
    )
    truth = (mdata.mod["atac"].X > 0).astype(np.float32)
    return f"AUROC {auroc(sp.csr_matrix(truth).toarray().ravel(), mdata.mod['atac_pred'].X.ravel()):.4f}."


def hemato_data() -> mudata.MuData:
    """Return the 396 peaks with sequence, and as embedding the LSI of all the others."""
    atac = ad.read_h5ad(data_dir() / "scatac" / "hemato_scatac.h5ad")
    has = atac.var["has_seq"].to_numpy(dtype=bool)
    other = (atac.X[:, ~has] > 0).astype(np.float32)
    idf = np.log1p(other.shape[0] / (1 + np.asarray(other.sum(axis=0)).ravel()))
    tf = sp.diags(1 / np.maximum(np.asarray(other.sum(axis=1)).ravel(), 1)) @ other @ sp.diags(idf)
    lsi = TruncatedSVD(31, random_state=0).fit_transform(tf)[:, 1:].astype(np.float32)
    rna = ad.AnnData(sp.csr_matrix(np.ones((atac.n_obs, 1), dtype=np.float32)), obs=pd.DataFrame(index=atac.obs_names))
    rna.obsm["X_lsi"] = lsi
    peaks = atac[:, has].copy()
    peaks.obs["n_fragments"] = np.asarray(atac.X.sum(axis=1)).ravel()
    with no_pull():
        mdata = mudata.MuData({"rna": rna, "atac": peaks})
    ctl.pp.add_sequence(mdata, data_dir() / "genome" / "hg19_chr20_chr22.fa.gz")
    return mdata


def composition(tokens: np.ndarray) -> np.ndarray:
    """Return GC content and CpG (observed over expected) of each window."""
    c, g = (tokens == 1), (tokens == 2)
    cpg = (c[:, :-1] & g[:, 1:]).mean(axis=1)
    return np.column_stack([(c | g).mean(axis=1), cpg / np.maximum(c.mean(axis=1) * g.mean(axis=1), 1e-3)])


def hemato(n_seeds: int) -> str:
    """Return Pearson's r of sequence with log mean accessibility, and of the ridge on GC and CpG."""
    mdata = hemato_data()
    atac = mdata.mod["atac"]
    target = np.log(np.asarray((atac.X > 0).mean(axis=0)).ravel() + 1e-4)
    features = composition(np.asarray(atac.varm["dna_code"]))
    chr22 = (atac.var["chrom"] == "chr22").to_numpy()
    rng = np.random.default_rng(0)
    held = {
        "chr20 -> chr22": [chr22],
        "random 80/20": [rng.permutation(len(chr22)) < len(chr22) // 5 for _ in range(4)],
    }
    lines = ["## hemato: sequence -> log mean accessibility, 396 peaks", ""]
    lines += ["| split | XChrom | GC + CpG ridge | difference (95%, t over runs) |", "| --- | --- | --- | --- |"]
    for name, masks in held.items():
        mine, ridge = [], []
        for test in masks:
            linear = RidgeCV(np.logspace(-3, 3, 13)).fit(features[~test], target[~test])
            for seed in range(n_seeds):
                part = mdata.copy()
                ctl.pp.split_cells(part, seed=seed)
                split = np.where(test, "test", "train").astype(object)
                split[rng.choice(np.flatnonzero(~test), int((~test).sum() // 8), replace=False)] = "val"
                part.mod["atac"].var["ctl_split"] = pd.Categorical(split, categories=["train", "val", "test"])
                ctl.tl.xchrom(part, embedding="X_lsi", depth="fixed", seed=seed)
                mean = part.mod["atac_pred"].X.mean(axis=0)
                mine.append(np.corrcoef(np.log(mean[test]), target[test])[0, 1])
                ridge.append(np.corrcoef(linear.predict(features[test]), target[test])[0, 1])
        m, low, high = interval(np.subtract(mine, ridge))
        lines.append(f"| {name} | {np.mean(mine):.3f} | {np.mean(ridge):.3f} | {m:+.3f} [{low:+.3f}, {high:+.3f}] |")
    lines += ["", "Under 100 test peaks each; the runs share peaks, so the interval is too narrow."]
    return "\n".join(lines)


def main() -> None:
    """Run what was asked for and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*", default=["mouse_brain", "hemato"])
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    ctl.settings.verbosity = 1
    run = {"mouse_brain": mouse_brain, "hemato": hemato}
    save(
        "xchrom_real",
        "\n\n".join(["# XChrom, preset 'small', on small real data", *(run[s](args.seeds) for s in args.sets)]),
    )


if __name__ == "__main__":
    main()
