"""What proteins beside expression add to Dense, on simulated cells of which the truth is known, as in CITE-seq.

    python benchmarks/input_gains.py [--seeds 0 1 2]

2,000 cells of `ctl.datasets.simulate_multiome`, 200 genes, 600 regions, and counts of 30 proteins with a staining of
each cell's own: ten follow the cell types, ten the continuous factor, five a state of half of the cells, five nothing.
In four sets: genes as they are; with a tenth of their counts; as they are, where the state opens 60 regions and moves
no gene; and with the proteins of another cell. `tl.evaluate` says what proteins add to ridge regression in each set
(`uns["ctl"]["input_gains"]`), and Dense is trained with and without them. Nothing is chosen here.
"""

from __future__ import annotations

import argparse
import warnings

import mudata as md
import numpy as np
import scipy.sparse as sp
from _data import interval, save
from anndata import AnnData

import chromatell as ctl

N_CELLS, N_GENES, N_REGIONS, N_OWN = 2_000, 200, 600, 60
KINDS = ("type", "type", "factor", "factor", "state", "nothing")  # of five proteins each
SETS = {
    "genes and proteins tell the same": {},
    "a tenth of the genes' counts": {"thin": 0.1},
    "a state that proteins alone show": {"own": True},
    "proteins of another cell": {"shuffled": True},
}
VIEWS = {("overall", "ap"): "AP", ("depth_matched", "auroc"): "depth-matched AUROC"}


def proteins(mdata: md.MuData, state: np.ndarray, rng: np.random.Generator) -> AnnData:
    """Counts of 30 proteins, (cells, 30): about 20 of each, twice to four times as many where they are up."""
    types = mdata.obs["cell_type"].cat.codes.to_numpy()
    factor = mdata.obs["factor"].to_numpy()
    level = np.full((mdata.n_obs, 5 * len(KINDS)), 20.0)
    for i, kind in enumerate(np.repeat(KINDS, 5)):
        up = rng.uniform(2, 4)
        of = {"type": types == i % 4, "factor": factor if i % 2 else 1 - factor, "state": state, "nothing": 0.0}[kind]
        level[:, i] *= up ** np.asarray(of, dtype=float)
    level *= rng.lognormal(0, 0.4, mdata.n_obs)[:, None]  # staining
    found = AnnData(sp.csr_matrix(rng.poisson(level).astype(np.float32)))
    found.obs_names, found.var_names = mdata.obs_names, [f"protein_{i}" for i in range(level.shape[1])]
    return found


def cells(seed: int, *, thin: float = 1.0, own: bool = False, shuffled: bool = False) -> md.MuData:
    """One of the sets, split."""
    mdata = ctl.datasets.simulate_multiome(N_CELLS, N_GENES, N_REGIONS, seed=seed)
    rng = np.random.default_rng([seed, 16])
    state, rna, atac = rng.random(N_CELLS) < 0.5, mdata.mod["rna"], mdata.mod["atac"]
    if thin < 1:
        rna.X.data = rng.binomial(rna.X.data.astype(int), thin).astype(np.float32)
        rna.X.eliminate_zeros()
    if own:
        which = rng.choice(N_REGIONS, N_OWN, replace=False)
        rate = -np.log1p(-atac.layers["truth"][:, which]) * np.where(state, 1.6, 0.4)[:, None]
        counts = atac.X.toarray()
        counts[:, which] = rng.poisson(rate)
        atac.X, atac.layers["truth"][:, which] = sp.csr_matrix(counts), -np.expm1(-rate)
    prot = proteins(mdata, state, rng)
    if shuffled:
        prot.X = prot.X[rng.permutation(N_CELLS)]
    mdata = md.MuData({"rna": rna, "atac": atac, "prot": prot})
    mdata.obs["cell_type"] = rna.obs["cell_type"]
    ctl.pp.split_cells(mdata, seed=seed)
    return mdata


def scores(mdata: md.MuData, values: np.ndarray) -> dict[str, float]:
    """Both scores of test cells."""
    test = (mdata.obs["ctl_split"] == "test").to_numpy()
    atac = mdata.mod["atac"]
    truth, depth = (atac.X[test] > 0).astype(np.float32), atac.obs["expected_fragments"].to_numpy()[test]
    matched = ctl.metrics.depth_matched_auroc(truth, np.asarray(values[test], dtype=np.float32), depth).mean
    precision = ctl.metrics.average_precision(truth.tocsc(), np.asarray(values[test], dtype=np.float32))
    return dict(zip(VIEWS.values(), (float(precision), float(matched)), strict=True))


def run(seed: int, options: dict) -> dict[str, dict[str, float]]:
    """Scores of all predictors on one set; of ridge regression as `tl.evaluate` says them."""
    mdata = cells(seed, **options)
    found = {"truth": scores(mdata, mdata.mod["atac"].layers["truth"])}
    without = ctl.tl.dense(mdata, copy=True, seed=seed)
    found["Dense, genes"] = scores(mdata, without.mod["atac_pred"].X)
    ctl.tl.dense(mdata, inputs=("rna", "prot"), seed=seed)
    found["Dense, genes and proteins"] = scores(mdata, mdata.mod["atac_pred"].X)
    ctl.tl.evaluate(mdata, baselines=["ridge"], views=[v for v, _ in VIEWS], n_bootstrap=0, seed=seed)
    table = mdata.uns["ctl"]["input_gains"]
    of = table[table["input"] == "prot"].set_index(["view", "metric"])
    names = {"ridge, genes": "without_it", "ridge, genes and proteins": "with_it"}
    return found | {k: {say: float(of.loc[at, c]) for at, say in VIEWS.items()} for k, c in names.items()}


def main() -> None:
    """Print and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    seeds = parser.parse_args().seeds
    warnings.simplefilter("ignore")
    ctl.settings.verbosity = 0
    about = (__doc__ or "").split("\n\n")
    lines = ["# What proteins beside expression add", "", about[2].replace("\n", " ").strip(), ""]
    lines += [f"Test cells, mean over seeds {', '.join(map(str, seeds))}; gain: mean [95% t interval over seeds].", ""]
    columns = ("genes", "genes and proteins", "gain")
    for score in VIEWS.values():
        head = ["set", *(f"{m}: {c}" for m in ("ridge", "Dense") for c in columns), "the truth"]
        lines += [f"{score}:", "", "| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
        lines += [f"@ {name} {score}" for name in SETS]
        lines.append("")
    for name, options in SETS.items():
        found = []
        for seed in seeds:
            found.append(run(seed, options))
            print(name, seed, found[-1], flush=True)
        for score in VIEWS.values():
            row = [name]
            for m in ("ridge", "Dense"):
                both = np.array([[f[f"{m}, {c}"][score] for c in columns[:2]] for f in found])
                mean, low, high = interval(both[:, 1] - both[:, 0])
                row += [f"{v:.4f}" for v in both.mean(axis=0)] + [f"{mean:+.4f} [{low:+.4f}, {high:+.4f}]"]
            row.append(f"{np.mean([f['truth'][score] for f in found]):.4f}")
            lines[lines.index(f"@ {name} {score}")] = "| " + " | ".join(row) + " |"
    save("input_gains", "\n".join(lines))


if __name__ == "__main__":
    main()
