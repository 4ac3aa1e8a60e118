"""How many regions are called where nothing differs: predicted and measured values, by cells and by donors.

Cortex, test cells, predictions of `Dense`. Labels are permuted, so that no region differs between the two groups:

- over batches, six against six, as donors are cases and controls: cells of one batch share a label;
- over cells, as if each cell were drawn by itself;
- thinned: over cells, and the RNA of those of one label keeps half of its molecules, as where libraries were sequenced
  to different depths. Their ATAC is the same; what is predicted from their RNA is not.

Printed: share of regions called at an FDR of 5% (tests) or whose 95% interval leaves out 0 (rank_regions), mean and
largest over the permutations, and the share of permutations with any call. A nominal 5% of intervals leaves out 0.

Run: python benchmarks/rank_regions_null.py [n_permutations]
"""

from __future__ import annotations

import sys
import warnings

import mudata
import numpy as np
import pandas as pd
import scanpy as sc
import scipy.sparse as sp
from _data import load, prepare, save
from anndata import AnnData
from mudata import MuData

import chromatell as ctl


def predicted_cortex(seed: int = 0) -> tuple[MuData, ctl.models.Dense]:
    """Return the test cells of cortex with predictions, and the model."""
    mdata = prepare(load("cortex"), "cortex", seed)
    ctl.tl.dense(mdata, seed=seed)
    test = mdata[(mdata.obs["ctl_split"] == "test").to_numpy()].copy()
    regions = test.mod["atac_pred"].var["region"].to_numpy()
    kept = MuData({"rna": test.mod["rna"], "atac": test.mod["atac"][:, regions].copy()})
    kept.obs["batch"] = test.obs["batch"].to_numpy() if "batch" in test.obs else test.mod["rna"].obs["batch"].to_numpy()
    ctl.tl.add_prediction(kept, np.asarray(test.mod["atac_pred"].X), key="dense")
    return kept, ctl.models.load(mdata, key="dense")


def thinned(mdata: MuData, model: ctl.models.Dense, labels: pd.Categorical, rng: np.random.Generator) -> np.ndarray:
    """Return predictions where cells labelled '1' have half of their RNA molecules, none of them empty."""
    rna = mdata.mod["rna"].copy()
    x = rna.X.toarray().astype(np.int64)
    half = np.asarray(labels == "1")
    few = rng.binomial(x[half], 0.5)
    few[few.sum(axis=1) == 0] = x[half][few.sum(axis=1) == 0]
    x[half] = few
    rna.X = sp.csr_matrix(x.astype(np.float32))
    return model.predict(rna)


def permuted(mdata: MuData, by: str, rng: np.random.Generator) -> pd.Categorical:
    """Return two labels of no meaning."""
    if by.startswith("cells"):
        return pd.Categorical(rng.permutation(np.arange(mdata.n_obs) % 2).astype(str))
    batches = rng.permutation(np.unique(mdata.obs["batch"].astype(str)))
    half = set(batches[: len(batches) // 2])
    return pd.Categorical(np.where(mdata.obs["batch"].astype(str).isin(half), "0", "1"))


def by_scanpy(values: np.ndarray, labels: pd.Categorical, method: str) -> float:
    """Return the share of regions that scanpy calls at an FDR of 5%."""
    adata = AnnData(values, obs=pd.DataFrame({"label": labels}, index=[str(i) for i in range(len(labels))]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sc.tl.rank_genes_groups(adata, "label", groups=["1"], reference="0", method=method)
    return float((adata.uns["rank_genes_groups"]["pvals_adj"]["1"] < 0.05).mean())


def by_rank_regions(mdata: MuData, labels: pd.Categorical, seed: int) -> dict[str, float]:
    """Return the shares of the intervals and tests of rank_regions."""
    mdata.obs["label"] = labels
    found = {}
    for resampled, donors in (("cells", None), ("batches", "batch")):
        ctl.tl.rank_regions(mdata, "label", groups=["1"], sample_key=donors, n_bootstrap=200, seed=seed)
        table = mdata.uns["ctl"]["rank_regions"]["table"]
        outside = (table["low"] > 0) | (table["high"] < 0)
        found[f"predicted, `rank_regions` interval over {resampled}"] = float(outside.mean())
        found[f"measured, `rank_regions` test by {resampled}"] = float((table["measured_fdr"] < 0.05).mean())
    return found


def main() -> None:
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    mudata.set_options(pull_on_update=False)
    mdata, model = predicted_cortex()
    whole = np.asarray(mdata.mod["atac_pred"].X).copy()
    measured = np.log1p(mdata.mod["atac"].X.toarray().astype(np.float32))
    rows = []
    for by in ("batches", "cells", "cells, thinned"):
        shares: dict[str, list[float]] = {}
        for i in range(n):
            rng = np.random.default_rng(i)
            labels = permuted(mdata, by, rng)
            predicted = thinned(mdata, model, labels, rng) if by == "cells, thinned" else whole
            ctl.tl.add_prediction(mdata, predicted, key="dense")
            found = {
                "predicted, Wilcoxon of cells (scanpy)": by_scanpy(predicted, labels, "wilcoxon"),
                "predicted, t-test of cells (scanpy)": by_scanpy(predicted, labels, "t-test"),
                "measured, Wilcoxon of cells (scanpy)": by_scanpy(measured, labels, "wilcoxon"),
                **by_rank_regions(mdata, labels, i),
            }
            for name, share in found.items():
                shares.setdefault(name, []).append(share)
        rows += [
            f"| {by} | {name} | {np.mean(s):.1%} | {np.max(s):.1%} | {np.mean(np.array(s) > 0):.0%} |"
            for name, s in shares.items()
        ]
    text = "\n".join(
        [
            f"# Called where nothing differs: cortex, {mdata.n_obs:,} test cells x {whole.shape[1]:,} regions",
            "",
            f"{n} permutations of each kind; made by `benchmarks/rank_regions_null.py`.",
            "",
            "| labels permuted over | values and method | regions called | at most | permutations with any |",
            "| --- | --- | --- | --- | --- |",
            *rows,
        ]
    )
    save("rank_regions_null", text)


if __name__ == "__main__":
    main()
