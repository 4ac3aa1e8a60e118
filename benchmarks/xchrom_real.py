"""XChrom on small real data: checks against regressions, not claims.

Usage: python benchmarks/xchrom_real.py [mouse_brain] [hemato] [--seeds 3]

mouse_brain: 91 cells x 901 peaks of the reference's quick-start set, 5-fold over cells, every view beside region mean x
predicted depth; and how far the model overfits when nothing stops it. Its `X_pca` was fitted on all 100 cells, so
components are fitted again on the training cells (embedding=None).

hemato: 396 peaks with hg19 sequence. What regions of the other chromosome, or of another fold, are predicted to be:
Pearson's r of the level and of the lymphoid deviation beside ridges, with an interval over regions. The set has no
expression; a cell's embedding is the LSI of the peaks that have no sequence here, which the test peaks are not among.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import anndata as ad
import mudata
import numpy as np
import pandas as pd
import scipy.sparse as sp
from _data import data_dir, save
from sklearn.decomposition import TruncatedSVD
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import chromatell as ctl
from chromatell._compat import no_pull
from chromatell.genome.motifs import family_motifs
from chromatell.genome.region_covariates import StartSites, region_covariates, tss_proximity
from chromatell.metrics import auroc
from chromatell.models.baselines.sequence import KmerRidge
from chromatell.models.baselines.sequence_rates import Regions, SequenceRates

ANNOTATION = data_dir() / "annotation" / "hg19_genes.tsv.gz"

VIEWS = [
    ("overall", "ap"),
    ("overall", "auroc"),
    ("per_cell", "auroc"),
    ("per_region", "auroc"),
    ("depth_matched", "auroc"),
]


def mouse_brain(n_seeds: int, folds: bool) -> str:
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


LYMPHOID = ("CD4.M", "CD4.N1", "CD4.N2", "CD8.CM", "CD8.N", "CD8.EM", "NK", "B", "Pre.B")


@dataclass(frozen=True)
class Hemato:
    """The 396 peaks: cells, what is to be predicted of each region, and what the linear models read."""

    mdata: mudata.MuData
    level: np.ndarray
    lymphoid: np.ndarray
    cells: np.ndarray
    covariates: dict[str, np.ndarray]
    motifs: dict[str, np.ndarray]

    @classmethod
    def read(cls) -> Hemato:
        """Return it with the start sites of hg19 and one motif of each family of JASPAR's."""
        mdata, motifs = hemato_data(), family_motifs()
        atac = mdata.mod["atac"]
        cells = np.isin(atac.obs["cell_type"].astype(str), LYMPHOID)
        truth = (atac.X > 0).astype(np.float32)
        sites = StartSites.read(ANNOTATION)
        table = region_covariates(np.asarray(atac.varm["dna_code"]), atac.var, sites=sites, motifs=motifs).to_numpy()
        near = tss_proximity(atac.var, sites)[:, None]
        sets = {
            "GC + CpG ridge": table[:, :2],
            "GC + CpG + log distance ridge": table[:, :3],
            "GC + CpG + proximity ridge": np.hstack([table[:, :2], near]),
            "GC + CpG + proximity + motifs ridge": np.hstack([table[:, :2], near, table[:, 3:]]),
        }
        return cls(mdata, log_mean(truth), deviation(truth, cells), cells, sets, motifs)


def log_mean(x: np.ndarray) -> np.ndarray:
    """Return the log share of cells in which each region is open."""
    return np.log(np.asarray(x.mean(axis=0), dtype=np.float64).ravel() + 1e-4)


def deviation(x: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Return how much more open each region is in some cells than in all, as a log ratio with 0.001 added."""
    own, every = (np.asarray(part.mean(axis=0), dtype=np.float64).ravel() + 1e-3 for part in (x[cells], x))
    return np.log(own / every)


def linear(features: np.ndarray, target: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Return what a ridge on standardised features, its penalty by leave-one-out, says of the test regions."""
    model = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-1, 5, 13)))
    return model.fit(features[~test], target[~test]).predict(features[test])


def xchrom(data: Hemato, test: np.ndarray, seed: int, **options) -> tuple[np.ndarray, np.ndarray]:
    """Return level and deviation that XChrom says of the test regions; an eighth of the others are for validation."""
    part, rng = data.mdata.copy(), np.random.default_rng(seed)
    ctl.pp.split_cells(part, seed=seed)
    split = np.where(test, "test", "train").astype(object)
    split[rng.choice(np.flatnonzero(~test), int((~test).sum() // 8), replace=False)] = "val"
    part.mod["atac"].var["ctl_split"] = pd.Categorical(split, categories=["train", "val", "test"])
    # terms of seen regions say nothing of others, and take as long as all the rest
    ctl.tl.xchrom(part, embedding="X_lsi", depth="fixed", region_effect=False, seed=seed, **options)
    said = part.mod["atac_pred"].X
    print(options.keys(), seed, ctl.models.load(part).config["share_of_filters"], flush=True)
    return log_mean(said)[test], deviation(said, data.cells)[test]


def kmers(data: Hemato, test: np.ndarray) -> np.ndarray:
    """Return what the baseline `kmer_ridge` says of the level of the test regions."""
    atac = data.mdata.mod["atac"]
    tokens, truth = np.asarray(atac.varm["dna_code"]), (atac.X > 0).astype(np.float32).tocsr()
    no_factors = np.zeros((atac.n_obs, 0), dtype=np.float32)
    shown = Regions.read(tokens[~test], None, truth[:, np.flatnonzero(~test)], no_factors)
    return SequenceRates(KmerRidge.reads, shown, atac.n_obs).predict(tokens[test])[0]


def r(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's r."""
    return float(np.corrcoef(a, b)[0, 1])


def ahead(mine: np.ndarray, other: np.ndarray, truth: np.ndarray) -> str:
    """Return the difference of two r with its 95% interval, from 5,000 draws of regions."""
    rng, n = np.random.default_rng(0), len(truth)
    draws = [rng.integers(0, n, n) for _ in range(5000)]
    low, high = np.quantile([r(mine[i], truth[i]) - r(other[i], truth[i]) for i in draws], [0.025, 0.975])
    return f"{r(mine, truth) - r(other, truth):+.3f} [{low:+.3f}, {high:+.3f}]"


def hemato(n_seeds: int, folds: bool) -> str:
    """Return r of level and lymphoid deviation with what is said of chromosomes and folds that were left out."""
    data = Hemato.read()
    chr22 = (data.mdata.mod["atac"].var["chrom"] == "chr22").to_numpy()
    fold = np.random.default_rng(0).permutation(len(chr22)) % 5
    designs = {"chromosomes": [chr22, ~chr22]} | ({"5 folds": [fold == k for k in range(5)]} if folds else {})
    given = {"annotation": ANNOTATION}
    options = {
        "XChrom": {},
        "XChrom, annotation": given,
        "XChrom, annotation, motifs": {**given, "motifs": data.motifs},
    }
    level: dict[tuple[str, str], np.ndarray] = {}
    lymphoid: dict[tuple[str, str], np.ndarray] = {}
    for design, masks in designs.items():
        for name in [*data.covariates, "kmer_ridge", *options]:
            level[design, name], lymphoid[design, name] = (np.full(len(chr22), np.nan) for _ in range(2))
            for test in masks:
                if name in data.covariates:
                    x = data.covariates[name]
                    level[design, name][test] = linear(x, data.level, test)
                    lymphoid[design, name][test] = linear(x, data.lymphoid, test)
                elif name == "kmer_ridge":
                    level[design, name][test] = kmers(data, test)
                else:
                    seeds = range(n_seeds if design == "chromosomes" else 1)
                    runs = np.mean([xchrom(data, test, seed, **options[name]) for seed in seeds], axis=0)
                    level[design, name][test], lymphoid[design, name][test] = runs
    lines = [f"## hemato: 396 peaks with sequence, seeds: {n_seeds} (one for the folds)", ""]
    columns = ["", "chr20 -> chr22", "chr22 -> chr20", "pooled", "ahead of GC + CpG", "lymphoid, pooled"]
    columns += ["5 folds", "lymphoid, 5 folds"] if folds else []
    lines += ["| " + " | ".join(columns) + " |", "| --- |" + " --- |" * (len(columns) - 1)]
    plain = level["chromosomes", "GC + CpG ridge"]
    for name in [*data.covariates, "kmer_ridge", *options]:
        own, t = level["chromosomes", name], data.level
        cells = [f"{r(own[m], t[m]):.3f}" for m in (chr22, ~chr22, np.ones(len(t), dtype=bool))]
        cells.append(ahead(own, plain, t))
        for design in designs:
            said = lymphoid[design, name]
            cells += [] if design == "chromosomes" else [f"{r(level[design, name], t):.3f}"]
            cells.append("" if np.isnan(said).any() else f"{r(said, data.lymphoid):.3f}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += [
        "",
        "Pearson's r over regions. Pooled: each chromosome predicted from the other, then one r. Level: log of the "
        "share of cells in which a region is open. Lymphoid: log ratio of that share in lymphoid cells to that in all. "
        "Ahead: difference of pooled r, 95% interval over regions. Ridges choose their penalty by leave-one-out. The "
        "form of the proximity, 1 / (1 + bp / 1,000), was picked after a look at both chromosomes, so that the rows "
        "that read it are a little optimistic here.",
    ]
    return "\n".join(lines)


def main() -> None:
    """Run what was asked for and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*", default=["mouse_brain", "hemato"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folds", action="store_true", help="hemato: five folds beside the two chromosomes")
    args = parser.parse_args()
    ctl.settings.verbosity = 1
    run = {"mouse_brain": mouse_brain, "hemato": hemato}
    for name in args.sets:
        save(f"xchrom_{name}", "# XChrom, preset 'small', on small real data\n\n" + run[name](args.seeds, args.folds))


if __name__ == "__main__":
    main()
