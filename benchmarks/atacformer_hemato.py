"""AtacFormer `small` on 14,125 bone-marrow cells: removed bins, cell types and clusters of new cells, beside baselines.

Usage: python benchmarks/atacformer_hemato.py [--seeds 0 1 2] [--threads 2] [--epochs N] [--variants self labels]

Rows are added to `--keep` as they come, so that seeds may run side by side; the table is made of all that are there.

Cells are split 70 / 10 / 20. Of each test cell a fifth of the open bins is removed, and every method scores the bins
that are then closed: average precision over all such pairs, and the mean over cells. Baselines are fitted on training
cells, their sizes chosen on validation cells treated alike. Cell types: macro-F1 on test cells. Clusters of the test
cells: adjusted Rand index at as many clusters as there are types (Leiden where igraph is there, else Louvain), and the
share of 15 neighbours of the same type. The embedding of 'labels' has seen the types of training cells, that of 'self'
has not. With `--val` everything is scored on the validation cells: options are chosen so.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from _data import data_dir, save
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_rand_score, average_precision_score, f1_score
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler
from sklearn.utils.extmath import randomized_svd

import chromatell as ctl

LABEL = "cell_type"


def held_out(x: sp.csr_matrix, share: float, seed: int) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """A share of each cell's open bins apart: (the rest, what was removed)."""
    rng = np.random.default_rng(seed)
    n = np.diff(x.indptr)
    cell = np.repeat(np.arange(x.shape[0]), n)
    order = np.lexsort((rng.random(len(cell)), cell))
    gone = np.zeros(len(cell), dtype=bool)
    gone[order] = np.arange(len(cell)) - x.indptr[cell] < np.rint(share * n)[cell]
    parts = [sp.csr_matrix((np.ones(m.sum(), "f4"), (cell[m], x.indices[m])), shape=x.shape) for m in (~gone, gone)]
    return parts[0], parts[1]


def precision(score: np.ndarray, seen: sp.csr_matrix, gone: sp.csr_matrix) -> tuple[float, float]:
    """Average precision of removed against closed bins: over all pairs, and the mean over cells."""
    closed, y = seen.toarray() == 0, gone.toarray() > 0
    overall = average_precision_score(y[closed], score[closed])
    order = np.argsort(-np.where(closed, score, -np.inf), axis=1)
    hit = np.take_along_axis(y, order, axis=1)
    rank = np.arange(1, hit.shape[1] + 1)
    per_cell = (hit.cumsum(axis=1) / rank * hit).sum(axis=1) / np.maximum(hit.sum(axis=1), 1)
    return float(overall), float(per_cell.mean())


class Lsi:
    """TF-IDF and singular vectors of the training cells; the first component, which is depth, is left out."""

    def __init__(self, x: sp.csr_matrix, k: int = 51):
        self.idf = np.log1p(x.shape[0] / (1 + np.asarray(x.sum(axis=0)).ravel()))
        _, _, vt = randomized_svd(self._tf_idf(x), k, random_state=0)
        self.v = vt.T[:, 1:]

    def _tf_idf(self, x: sp.csr_matrix) -> sp.csr_matrix:
        share = sp.diags(1 / np.maximum(np.asarray(x.sum(axis=1)).ravel(), 1)) @ x
        return sp.csr_matrix(share.multiply(self.idf[None] * 1e4)).log1p()

    def __call__(self, x: sp.csr_matrix, k: int = 50) -> np.ndarray:
        """Return the first `k` components of cells, (cells, k)."""
        return np.asarray(self._tf_idf(x) @ self.v[:, :k])


def knn(lsi: Lsi, train: sp.csr_matrix, seen: sp.csr_matrix, k: int, d: int) -> np.ndarray:
    """Mean of the neighbours' bins, each by its depth, with a little of the overall share, times the cell's depth."""
    unit = [z / np.linalg.norm(z, axis=1, keepdims=True) for z in (lsi(train, d), lsi(seen, d))]
    near = NearestNeighbors(n_neighbors=k).fit(unit[0]).kneighbors(unit[1], return_distance=False)
    pick = sp.csr_matrix((np.ones(near.size), near.ravel(), np.arange(0, near.size + 1, k)), (len(near), len(unit[0])))
    share = sp.diags(1 / np.maximum(np.asarray(train.sum(axis=1)).ravel(), 1)) @ train
    p = (pick @ share).toarray() / k + 0.05 * np.asarray(share.mean(axis=0))
    return p * np.asarray(seen.sum(axis=1))


def low_rank(train: sp.csr_matrix, seen: sp.csr_matrix, k: int) -> np.ndarray:
    """Projection on the first singular vectors of the training cells."""
    _, _, vt = randomized_svd(train, k, random_state=0)
    return np.asarray(seen @ vt.T @ vt)


def best_on_val(make: Callable, grid: list[tuple], val: tuple, test: tuple) -> tuple[tuple[float, float], tuple]:
    """Scores on the test cells of the options with the best overall precision on the validation cells."""
    scores = [precision(make(val[0], *options), *val)[0] for options in grid]
    chosen = grid[int(np.argmax(scores))]
    return precision(make(test[0], *chosen), *test), chosen


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


def of_embedding(z: np.ndarray, types: np.ndarray) -> dict[str, float]:
    """Agreement of an embedding with the cell types."""
    near = NearestNeighbors(n_neighbors=16).fit(z).kneighbors(z, return_distance=False)[:, 1:]
    found = clusters(z, len(np.unique(types)))
    return {
        "ARI": adjusted_rand_score(types, found),
        "clusters": int(found.max() + 1),
        "kNN label": float((types[near] == types[:, None]).mean()),
    }


def logistic(lsi: Lsi, x: dict[str, sp.csr_matrix], y: dict[str, np.ndarray], where: str) -> float:
    """Macro-F1 of logistic regression on LSI, its penalty and weights chosen on validation cells."""
    scale = StandardScaler().fit(lsi(x["train"]))
    z = {name: scale.transform(lsi(part)) for name, part in x.items()}
    best = (-1.0, None)
    for c in (0.01, 0.1, 1.0):
        for weight in (None, "balanced"):
            model = LogisticRegression(C=c, class_weight=weight, max_iter=300).fit(z["train"], y["train"])
            best = max(best, (f1_score(y["val"], model.predict(z["val"]), average="macro"), model), key=lambda b: b[0])
    return f1_score(y[where], best[1].predict(z[where]), average="macro")


def run(seed: int, args: argparse.Namespace) -> None:
    """All methods on one split; each row goes to the file."""
    adata = anndata.read_h5ad(data_dir() / "scatac" / "hemato_scatac.h5ad")
    ctl.pp.split_cells(adata, seed=seed)
    adata.X = sp.csr_matrix(adata.X, dtype=np.float32)
    adata.X.data[:] = 1
    adata.X.sort_indices()
    parts = {s: adata[adata.obs["ctl_split"] == s].copy() for s in ("train", "val", "test")}
    x = {s: sp.csr_matrix(a.X) for s, a in parts.items()}
    y = {s: a.obs[LABEL].astype(str).to_numpy() for s, a in parts.items()}
    where = "val" if args.val else "test"
    val, test = held_out(x["val"], 0.2, seed), held_out(x[where], 0.2, seed)
    if not args.no_baselines:
        for row in baselines(x, y, val, test, where):
            keep(args.keep, seed, row)
    for variant in args.variants:
        keep(args.keep, seed, atacformer(variant, adata, parts[where], test, seed, args))


def keep(path: Path, seed: int, row: dict) -> None:
    """Add a row to the file."""
    with path.open("a") as file:
        file.write(json.dumps({"seed": seed, **row}) + "\n")
    print(seed, row, flush=True)


def baselines(x: dict, y: dict, val: tuple, test: tuple, where: str) -> list[dict]:
    """Bin frequency x depth, LSI and its neighbours, low rank."""
    train = x["train"]
    lsi, frequency = Lsi(train), np.asarray(train.mean(axis=0))
    score = precision(np.asarray(test[0].sum(axis=1)) * frequency, *test)
    rows = [{"method": "bin frequency x depth", "AP": score[0], "AP per cell": score[1]}]
    grid = [(k, d) for k in (100, 300, 600) for d in (20, 50)]
    score, chosen = best_on_val(lambda seen, k, d: knn(lsi, train, seen, k, d), grid, val, test)
    of = {"macro-F1": logistic(lsi, x, y, where), **of_embedding(lsi(x[where], 30), y[where])}
    rows.append({"method": "LSI, kNN", "chosen": chosen, "AP": score[0], "AP per cell": score[1], **of})
    score, chosen = best_on_val(lambda seen, k: low_rank(train, seen, k), [(k,) for k in (3, 5, 8, 12, 20)], val, test)
    rows.append({"method": "SVD", "chosen": chosen, "AP": score[0], "AP per cell": score[1]})
    return rows


def atacformer(variant: str, adata, part, test: tuple, seed: int, args: argparse.Namespace) -> dict:
    """Train one variant and score it."""
    labels = LABEL if variant == "labels" else None
    data = adata.copy()
    ctl.models.AtacFormer.setup_anndata(data, labels=labels)
    model = ctl.models.AtacFormer(data, **json.loads(args.model))
    start = time.perf_counter()
    model.train(args.epochs, seed=seed, accelerator="cpu", **json.loads(args.train))
    seconds = time.perf_counter() - start
    query = part.copy()
    query.X = test[0]
    score = precision(model.predict(query), *test)
    types = part.obs[LABEL].astype(str).to_numpy()
    z, tables = model.embed_and_label(part)
    row = {"method": f"AtacFormer, {variant}", "AP": score[0], "AP per cell": score[1]}
    if labels:
        row["macro-F1"] = f1_score(types, tables[LABEL].idxmax(axis=1), average="macro")
    epochs = len(model.history["validation_loss"])
    return row | of_embedding(z, types) | {"minutes": seconds / 60, "epochs": epochs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--variants", nargs="*", default=["self", "labels"])
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
