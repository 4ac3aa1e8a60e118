"""Every decoder of AtacFormer on bone-marrow cells, plain, with contrastive learning, and with DNA: what helps.

Usage: python benchmarks/atacformer_decoders.py [--cells 3000] [--others 500] [--epochs 4] [--seeds 1] [--rows NAME ...]

A reduced setting, so that a table of some 16 models takes minutes on one core: part of the cells, few epochs and a
smaller network than `small`. Split, removed bins and scores are those of `atacformer_hemato.py`. All models but two
learn the cell types of the training cells beside the removed bins. Classes of the peaks come from hg19 genes (canonical
exons: no UTRs and no ncRNA), DNA from a k-mer spectrum of the peaks that the FASTA here holds, 396 of 10,000; the
others have zeros. Nothing is chosen by these numbers; they are of test cells. kNN label: share of the 15 nearest test
cells in the embedding that are of the same type.
"""

from __future__ import annotations

import argparse
import time
import warnings
from typing import Any

import anndata
import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from _data import data_dir, save
from atacformer_hemato import LABEL, scores

import chromatell as ctl

NETWORK = {"d": 64, "k": 32, "n_layers": 2, "n_heads": 4, "n_hidden": 256, "tokens_per_batch": 4096}
DECODERS = ("chromosome", "region_class", "cross_attention")
ROWS: dict[str, dict[str, Any]] = {
    **{name: {"decoder": name} for name in DECODERS},
    **{f"{name}, contrastive": {"decoder": name, "contrastive": True} for name in DECODERS},
    "chromosome, no labels": {"decoder": "chromosome", "labels": False},
    "chromosome, no labels, contrastive": {"decoder": "chromosome", "labels": False, "contrastive": True},
    **{f"{name}, DNA": {"decoder": name, "dna": True} for name in DECODERS},
    "chromosome, eos outside": {"decoder": "chromosome", "eos": "outside"},
    "chromosome, eos both": {"decoder": "chromosome", "eos": "both"},
    "chromosome, eos outside, contrastive": {"decoder": "chromosome", "eos": "outside", "contrastive": True},
    "chromosome, eos both, contrastive": {"decoder": "chromosome", "eos": "both", "contrastive": True},
    **{f"{name}, contrastive, DNA": {"decoder": name, "contrastive": True, "dna": True} for name in DECODERS},
    "chromosome, contrastive of weight 1": {"decoder": "chromosome", "contrastive": {"weight": 1.0}},
}


def cells(seed: int, n_train: int, n_others: int) -> anndata.AnnData:
    """The cells, binary, split 70 / 10 / 20, then so many of each part; classes and DNA of the peaks."""
    adata = anndata.read_h5ad(data_dir() / "scatac" / "hemato_scatac.h5ad")
    ctl.pp.split_cells(adata, seed=seed)
    adata.X = sp.csr_matrix(adata.X, dtype=np.float32)
    adata.X.data[:] = 1
    adata.X.sort_indices()
    rng, split = np.random.default_rng(seed), adata.obs["ctl_split"].to_numpy()
    sizes = {"train": n_train, "val": n_others, "test": n_others}
    kept = [rng.permutation(np.flatnonzero(split == part))[:n] for part, n in sizes.items()]
    adata = adata[np.sort(np.concatenate(kept))].copy()
    folder = data_dir() / "annotation"
    ctl.pp.annotate_regions(adata, [folder / "hg19_canonical_exons.bed12.gz"], chrom_sizes="hg19")
    with_dna = adata.var["has_seq"].to_numpy(dtype=bool)
    part = adata[:1, with_dna].copy()
    ctl.pp.embed_sequence(part, data_dir() / "genome" / "hg19_chr20_chr22.fa.gz", n_components=16)
    table = np.zeros((adata.n_vars, 16), dtype=np.float32)
    table[with_dna] = part.varm["X_dna"]
    adata.varm["X_dna"] = table
    return adata


def score(name: str, adata: anndata.AnnData, seed: int, epochs: int) -> dict[str, Any]:
    """Train one model and score it on the test cells."""
    options = dict(ROWS[name])
    data = adata.copy()
    labels = LABEL if options.pop("labels", True) else None
    ctl.models.AtacFormer.setup_anndata(data, labels=labels, dna_key="X_dna" if options.pop("dna", False) else None)
    model = ctl.models.AtacFormer(data, **NETWORK, **options)
    start = time.process_time()
    model.train(epochs, seed=seed, accelerator="cpu")
    trained = time.process_time() - start
    start = time.process_time()
    model.predict(adata[adata.obs["ctl_split"] == "test"].copy())
    predicted = time.process_time() - start
    return {
        "model": name,
        **scores(adata, {"model": model}, None, seed, "test")["model"],
        "best validation loss": min(model.history["validation_loss"]),
        "train, CPU s": trained,
        "predict, CPU s": predicted,
    }


def write(rows: list[dict[str, Any]], args: argparse.Namespace) -> None:
    """Write what there is so far: the mean over the seeds."""
    table = pd.DataFrame(rows).groupby("model", sort=False).mean(numeric_only=True)
    seeds = pd.DataFrame(rows).groupby("model", sort=False).size()
    lines = [f"## hemato, {args.cells:,} training and {args.others} test cells, {args.epochs} epochs, {NETWORK}", ""]
    lines += ["| model | " + " | ".join(table.columns) + " | seeds |", "| --- " * (table.shape[1] + 2) + "|"]
    for name, row in table.iterrows():
        shown = ["" if np.isnan(v) else (f"{v:.0f}" if "CPU" in k else f"{v:.4f}") for k, v in row.items()]
        lines.append(f"| {name} | " + " | ".join(shown) + f" | {seeds[name]} |")
    note = __doc__.split("\n\n", 2)[2].replace("\n", " ").strip()
    save("atacformer_decoders", "\n".join([*lines, "", note, "", "One thread of a shared machine; CPU seconds."]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=3000)
    parser.add_argument("--others", type=int, default=500, help="validation cells, and test cells")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--rows", nargs="*", default=list(ROWS), choices=list(ROWS))
    args = parser.parse_args()
    torch.set_num_threads(1)
    ctl.settings.verbosity = 0
    warnings.filterwarnings("ignore")
    rows: list[dict[str, Any]] = []
    for seed in range(args.seeds):
        adata = cells(seed, args.cells, args.others)
        rows += [{"model": kind, **of} for kind, of in scores(adata, {}, "all", seed, "test").items()]
        for name in args.rows:
            rows.append(score(name, adata, seed, args.epochs))
            write(rows, args)


if __name__ == "__main__":
    main()
