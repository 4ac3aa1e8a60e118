"""Cells x bins, and a model of them that says what it was told to, for the tests of the leaderboard of bins."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd

import chromatell as ctl
from chromatell.models._base import ChromatinModel
from chromatell.models._declared import Declared

TINY = {"d": 16, "k": 8, "n_hidden": 32, "n_layers": 1, "n_heads": 2, "train_kwargs": {"max_epochs": 2}, "seed": 0}


class MadeBins(ChromatinModel):
    """A model that says of bins what it was told to, and nothing of cells."""

    family = "made"
    reads_atac = True
    var_names = None
    __abstractmethods__ = frozenset()

    def __init__(self, score: pd.DataFrame):
        self.score = score
        self.var_names = {"rna": [], "atac": list(score.columns)}
        self.read: list[ad.AnnData] = []
        self.trained_cells = {}

    def predict(self, data, *, regions=None, **options):
        self.read.append(data)
        return self.score.loc[data.obs_names, list(regions)].to_numpy(dtype=np.float32)


class Made(MadeBins):
    """One that says an embedding and labels of cells too."""

    declared = Declared(cell_columns=True)
    __abstractmethods__ = frozenset()

    def __init__(self, score: pd.DataFrame, embedding: pd.DataFrame | None = None, labels: dict | None = None):
        super().__init__(score)
        self.embedding, self.labels = embedding, labels or {}

    def embed_and_label(self, data, *, sentence=True):
        z = None if self.embedding is None else self.embedding.loc[data.obs_names].to_numpy()
        return z, {key: table.loc[data.obs_names] for key, table in self.labels.items()}


for one in (MadeBins, Made):
    one.__abstractmethods__ = frozenset()


def some_bins() -> ad.AnnData:
    """240 cells x 90 bins of 3 types, split."""
    adata = ctl.datasets.simulate_multiome(240, 20, 90, n_types=3, depth=25.0, seed=1).mod["atac"]
    ctl.pp.split_cells(adata, fractions=(0.5, 0.2, 0.3), seed=0)
    return adata


def made(bins, seed=0, **more) -> Made:
    rng = np.random.default_rng(seed)
    truth = (bins.X > 0).toarray()
    score = np.round(rng.random(truth.shape) + 0.4 * truth, 2)
    return Made(pd.DataFrame(score, bins.obs_names, bins.var_names.astype(str)), **more)


def typed(bins, right=0.8, seed=0) -> dict[str, pd.DataFrame]:
    rng = np.random.default_rng(seed)
    types = bins.obs["cell_type"].astype(str).to_numpy()
    names = np.unique(types)
    said = np.where(rng.random(len(types)) < right, types, rng.choice(names, len(types)))
    return {"cell_type": pd.DataFrame((said[:, None] == names).astype("f4"), bins.obs_names, names)}


def table(adata, key="evaluation"):
    return adata.uns["ctl"][key]


def value(adata, model, pairs, view, metric, column="value", key="evaluation"):
    t = table(adata, key)
    row = t[(t["model"] == model) & (t["pairs"] == pairs) & (t["view"] == view) & (t["metric"] == metric)]
    assert len(row) == 1
    return row[column].item()
