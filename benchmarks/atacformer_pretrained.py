"""AtacFormer `small` on 500 cells of a new donor: trained anew, or going on from a model of another donor (hemato).

Usage: python benchmarks/atacformer_pretrained.py [--seeds 0] [--first 6000] [--threads 2]

The first model is trained on cells of the donor BMMC_D6T1. BMMC_D5T1 gives 400 cells for training, 100 for
validation and 1,500 for the test; removed bins are scored as in atacformer_hemato.py. The first model is applied as it
is, and beside it are scored the same network trained anew on the 400 cells, and trained on them from the first model,
``pretrained=``. Baselines see the 400 cells alone, or those of both donors.
"""

from __future__ import annotations

import argparse
import time
import warnings

import anndata
import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from _data import data_dir, save
from atacformer_hemato import scores

import chromatell as ctl

NAMES = ["AP", "AP per cell", "kNN label", "minutes", "epochs"]


def marked(adata: anndata.AnnData, rows: dict[str, np.ndarray]) -> anndata.AnnData:
    """Return the cells of the parts, with their names in ``obs['ctl_split']``."""
    part = adata[np.concatenate(list(rows.values()))].copy()
    split = np.repeat(list(rows), [len(r) for r in rows.values()])
    part.obs["ctl_split"] = pd.Categorical(split, categories=["train", "val", "test"])
    return part


def trained(adata: anndata.AnnData, seed: int, **options) -> tuple[ctl.models.AtacFormer, float]:
    """Return a model without labels, and the minutes of the processor that its training took."""
    data = adata.copy()
    ctl.models.AtacFormer.setup_anndata(data)
    model = ctl.models.AtacFormer(data, **options)
    start = time.process_time()
    model.train(seed=seed, accelerator="cpu")
    return model, (time.process_time() - start) / 60


def run(seed: int, n_first: int) -> list[dict]:
    """Return a row for each way."""
    adata = anndata.read_h5ad(data_dir() / "scatac" / "hemato_scatac.h5ad")
    adata.X = sp.csr_matrix(adata.X > 0, dtype=np.float32)
    rng, donor = np.random.default_rng(seed), adata.obs["sample"].to_numpy()
    old = rng.permutation(np.flatnonzero(donor == "BMMC_D6T1"))[:n_first]
    own = rng.permutation(np.flatnonzero(donor == "BMMC_D5T1"))[:2000]
    new = {"train": own[:400], "val": own[400:500], "test": own[500:]}
    cut = len(old) // 10
    query = marked(adata, new)
    rows = []

    def add(method: str, found: dict, **more) -> None:
        rows.append({"seed": seed, "method": method, **found, **more})
        print(rows[-1], flush=True)

    for name, data in (
        ("400 new cells", query),
        ("both donors", marked(adata, {**new, "train": np.concatenate([old[cut:], new["train"]])})),
    ):
        found = scores(data, {}, "all", seed, "test")
        for method in ("bin_frequency_depth", "lsi_knn", "svd"):
            add(f"{method}, {name}", found[method] | (found["lsi"] if method == "lsi_knn" else {}))
    first, minutes = trained(marked(adata, {"train": old[cut:], "val": old[:cut]}), seed)
    add("AtacFormer of the other donor", scores(query, {"m": first}, None, seed, "test")["m"], minutes=minutes)
    for method, options in (("anew", {}), ("pretrained=", {"pretrained": first})):
        model, minutes = trained(query, seed, **options)
        found = scores(query, {"m": model}, None, seed, "test")["m"]
        add(f"AtacFormer, {method}", found, minutes=minutes, epochs=len(model.history["validation_loss"]))
    return rows


def main() -> None:
    """Run all seeds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--first", type=int, default=6000, help="cells of the first donor, a tenth for validation")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    ctl.settings.verbosity = 0
    warnings.filterwarnings("ignore")
    table = pd.DataFrame([row for seed in args.seeds for row in run(seed, args.first)])
    lines = [f"# AtacFormer on 500 cells of a new donor (hemato), first model on {args.first:,} cells of another", ""]
    lines += ["| method | " + " | ".join(NAMES) + " |", "| --- " * (len(NAMES) + 1) + "|"]
    for method, own in table.groupby("method", sort=False):
        cells = ["" if own[n].isna().all() else " ".join(f"{v:.4g}" for v in own[n]) for n in NAMES]
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    lines += [
        "",
        f"1,500 test cells of BMMC_D5T1; seeds {args.seeds}. 400 of the new cells are for training, 100 for "
        "validation. AP of removed bins; kNN label: share of 15 neighbours in the embedding of the same type. "
        "Minutes are of the processor, for the training. No labels were learned.",
    ]
    save("atacformer_pretrained", "\n".join(lines))


if __name__ == "__main__":
    main()
