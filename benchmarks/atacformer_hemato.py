"""AtacFormer `small` on 14,125 bone-marrow cells: removed bins, cell types and clusters of new cells, beside baselines.

Usage: python benchmarks/atacformer_hemato.py [--seeds 0 1 2] [--threads 2] [--epochs N] [--variants self labels]

Rows are added to `--keep` as they come, so that seeds may run side by side; the table is made of all that are there.

Cells are split 70 / 10 / 20, and scored by ``ctl.tl.evaluate``. A fifth of each test cell's open bins is removed,
and every method scores the bins that are then closed: average precision over all such pairs, and the mean over cells.
Baselines are fitted on training cells, their sizes chosen on validation cells treated alike. Cell types: macro-F1 on
test cells. Embedding: the share of 15 neighbours of the same type, and, computed here, the adjusted Rand index of
clusters of the test cells, as many as there are types (Leiden where igraph is there, else Louvain). The embedding of
'labels' has seen the types of training cells, that of 'self' has not. With `--val` everything is scored on the
validation cells: options are chosen so. `--cells` takes some of the cells, to try the script.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import time
import warnings
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from _data import data_dir, save
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import NearestNeighbors

import chromatell as ctl
from chromatell.data.lsi import Lsi

LABEL = "cell_type"
COLUMNS = {  # pairs, view, metric -> column of the table
    ("completion", "overall", "ap"): "AP",
    ("completion", "per_cell", "ap"): "AP per cell",
    ("labels", LABEL, "macro_f1"): "macro-F1",
    ("embedding", LABEL, "knn_label"): "kNN label",
}


def clusters(z: np.ndarray, n: int) -> np.ndarray:
    """Labels of about `n` communities of the graph of 15 neighbours, the resolution found by bisection."""
    graph = NearestNeighbors(n_neighbors=15).fit(z).kneighbors_graph()
    graph = graph.maximum(graph.T)
    low, high, best = 0.05, 20.0, None
    for _ in range(12):
        middle = float(np.sqrt(low * high))
        labels = communities(graph, middle)
        found = labels.max() + 1
        if best is None or abs(found - n) < abs(best.max() + 1 - n):
            best = labels
        if found == n:
            break
        low, high = (middle, high) if found < n else (low, middle)
    return best


def communities(graph: sp.csr_matrix, resolution: float) -> np.ndarray:
    """Leiden where igraph is there, else Louvain."""
    if importlib.util.find_spec("igraph"):
        import igraph

        edges = sp.triu(graph).tocoo()
        g = igraph.Graph(n=graph.shape[0], edges=list(zip(edges.row, edges.col, strict=True)))
        options = {"objective_function": "modularity", "resolution": resolution, "n_iterations": 5}
        return np.array(g.community_leiden(**options).membership)
    import networkx as nx

    groups = nx.community.louvain_communities(nx.from_scipy_sparse_array(graph), resolution=resolution, seed=0)
    labels = np.empty(graph.shape[0], dtype=int)
    for i, members in enumerate(groups):
        labels[list(members)] = i
    return labels


def groups(z: np.ndarray, types: np.ndarray) -> dict[str, float]:
    """Agreement of the clusters of an embedding with the cell types."""
    found = clusters(z, len(np.unique(types)))
    return {"ARI": adjusted_rand_score(types, found), "clusters": int(found.max() + 1)}


def scores(adata: anndata.AnnData, models: dict, baselines: str | None, seed: int, where: str) -> dict[str, dict]:
    """What ``ctl.tl.evaluate`` says of each model or baseline, under the names of the table's columns."""
    options = {"split": where, "labels": LABEL, "views": ["overall", "per_cell"], "n_bootstrap": 0, "seed": seed}
    table = ctl.tl.evaluate(adata, models, baselines=baselines, copy=True, **options).uns["ctl"]["evaluation"]
    found: dict[str, dict] = {}
    for row in table.itertuples():
        column = COLUMNS.get((row.pairs, row.view.removesuffix("_supervised"), row.metric))
        if column is not None:
            found.setdefault(row.model, {})[column] = row.value
    return found


def run(seed: int, args: argparse.Namespace) -> None:
    """All methods on one split; each row goes to the file."""
    adata = anndata.read_h5ad(data_dir() / "scatac" / "hemato_scatac.h5ad")
    if args.cells is not None:
        adata = adata[np.sort(np.random.default_rng(seed).permutation(adata.n_obs)[: args.cells])].copy()
    ctl.pp.split_cells(adata, seed=seed)
    adata.X = sp.csr_matrix(adata.X > 0, dtype=np.float32)
    where = "val" if args.val else "test"
    if not args.no_baselines:
        for row in baselines(adata, seed, where):
            keep(args.keep, seed, row)
    for variant in args.variants:
        keep(args.keep, seed, atacformer(variant, adata, seed, where, args))


def keep(path: Path, seed: int, row: dict) -> None:
    """Add a row to the file."""
    with path.open("a") as file:
        file.write(json.dumps({"seed": seed, **row}) + "\n")
    print(seed, row, flush=True)


def baselines(adata: anndata.AnnData, seed: int, where: str) -> list[dict]:
    """Bin frequency x depth, LSI with its neighbours and a regression on it, low rank."""
    found = scores(adata, {}, "all", seed, where)
    split = adata.obs["ctl_split"].to_numpy()
    types = adata.obs[LABEL].astype(str).to_numpy()[split == where]
    z = Lsi.fit(adata.X[split == "train"], 30, seed=seed).transform(adata.X[split == where])
    of_lsi = found["lsi_logistic"] | found["lsi"] | groups(z, types)
    return [
        {"method": "bin frequency x depth", **found["bin_frequency_depth"]},
        {"method": "LSI, kNN", **found["lsi_knn"], **of_lsi},
        {"method": "SVD", **found["svd"]},
    ]


def atacformer(variant: str, adata: anndata.AnnData, seed: int, where: str, args: argparse.Namespace) -> dict:
    """Train one variant and score it."""
    data = adata.copy()
    ctl.models.AtacFormer.setup_anndata(data, labels=LABEL if variant == "labels" else None)
    model = ctl.models.AtacFormer(data, **json.loads(args.model))
    start = time.perf_counter()
    model.train(args.epochs, seed=seed, accelerator="cpu", **json.loads(args.train))
    seconds = time.perf_counter() - start
    part = adata[adata.obs["ctl_split"] == where].copy()
    row = {"method": f"AtacFormer, {variant}", **scores(adata, {"model": model}, None, seed, where)["model"]}
    epochs = len(model.history["validation_loss"])
    row |= groups(model.embed(part), part.obs[LABEL].astype(str).to_numpy())
    return row | {"minutes": seconds / 60, "epochs": epochs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--variants", nargs="*", default=["self", "labels"])
    parser.add_argument("--cells", type=int, help="a random part of the cells")
    parser.add_argument("--val", action="store_true")
    parser.add_argument("--no-baselines", action="store_true")
    parser.add_argument("--model", default="{}", help="JSON: options of AtacFormer")
    parser.add_argument("--train", default="{}", help="JSON: options of train")
    parser.add_argument("--out", default="atacformer_hemato")
    parser.add_argument("--keep", type=Path, default=Path("atacformer_hemato.jsonl"))
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    ctl.settings.verbosity = 0
    warnings.filterwarnings("ignore")
    for seed in args.seeds:
        run(seed, args)
    table = pd.read_json(args.keep, lines=True)
    names = ["AP", "AP per cell", "macro-F1", "ARI", "clusters", "kNN label", "minutes", "epochs"]
    lines = ["| method | " + " | ".join(names) + " |", "| --- " * (len(names) + 1) + "|"]
    for method, rows in table.sort_values("seed").groupby("method", sort=False):
        cells = [shown(rows[n].dropna()) if n in rows else "" for n in names]
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    part, seeds = "validation" if args.val else "test", sorted(table["seed"].unique().tolist())
    lines += ["", f"{part} cells; splits and seeds {seeds}, mean and in brackets each; {args.threads} thread(s)."]
    save(args.out + ("_val" if args.val else ""), "\n".join(lines))


def shown(values: pd.Series) -> str:
    """Mean of the seeds, and each where there are several."""
    if values.empty:
        return ""
    each = " (" + " ".join(f"{v:.3g}" for v in values) + ")" if len(values) > 1 else ""
    return f"{values.mean():.4g}{each}"


if __name__ == "__main__":
    main()
