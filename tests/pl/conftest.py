"""A MuData with tables as `tl.evaluate`, `tl.fisher` and `tl.dense` write them, made by hand."""

from __future__ import annotations

from collections.abc import Iterator

import anndata as ad
import matplotlib as mpl
import matplotlib.pyplot as plt
import mudata as md
import numpy as np
import pandas as pd
import pytest

mpl.use("agg")

MODELS = {"dense": False, "multivi": False, "region_mean": True, "knn": True, "svd_ridge": True, "knn_atac": True}
PAIRS = [
    ("overall", "auroc"),
    ("overall", "ap"),
    ("per_cell", "auroc"),
    ("per_region", "auroc"),
    ("depth_matched", "auroc"),
    ("calibration", "ece"),
    ("calibration", "brier"),
]
BEST = {"per_region": "svd_ridge"}  # in all other views: knn


@pytest.fixture(autouse=True)
def close() -> Iterator[None]:
    """No figure of one test is open in the next."""
    plt.close("all")
    yield
    plt.close("all")


@pytest.fixture
def mdata() -> md.MuData:
    rng = np.random.default_rng(0)
    mdata = md.MuData({"rna": ad.AnnData(np.ones((4, 3), dtype=np.float32))})
    rows, gains, curves = [], [], {"_prevalence": 0.1}
    for i, (name, is_baseline) in enumerate(MODELS.items()):
        for j, (view, metric) in enumerate(PAIRS):
            value = 0.8 - 0.02 * i - 0.05 * j
            rows.append(
                (
                    name,
                    is_baseline,
                    name in ("region_mean_true_depth", "knn_atac"),
                    "test",
                    "cross-cell",
                    view,
                    metric,
                    value,
                    value - 0.01,
                    value + 0.02,
                    100,
                )
            )
            if not is_baseline:
                gains.append((name, BEST.get(view, "knn"), "test", "cross-cell", view, metric, 0.01, 0.0, 0.02, 100))
        recall = np.linspace(0.01, 1, 50)
        curves[name] = {
            "pr": np.stack([recall, 0.1 + (0.5 - 0.05 * i) * (1 - recall)]).astype(np.float32),
            "reliability": np.stack([np.logspace(-3, -0.5, 8), np.logspace(-3, -0.6, 8), np.full(8, 10)]).astype("f4"),
            "per_cell": np.clip(rng.normal(0.8 - 0.02 * i, 0.05, 200), 0, 1).astype(np.float32),
            "per_region": np.append(np.clip(rng.normal(0.65, 0.1, 80), 0, 1), [np.nan, np.nan]).astype(np.float32),
        }
    curves["region_mean"]["per_region"][:] = 0.5
    columns = [
        "model",
        "is_baseline",
        "uses_target_assay",
        "split",
        "pairs",
        "view",
        "metric",
        "value",
        "ci_low",
        "ci_high",
        "n",
    ]
    names = ["model", "baseline", "split", "pairs", "view", "metric", "gain", "ci_low", "ci_high", "n"]
    fisher = pd.DataFrame(
        {
            "model": ["dense", "region_mean", "knn", "knn_atac"],
            "threshold": [0.2, 0.15, 0.18, 0.19],
            "split": "test",
            "tp": [400, 300, 350, 500],
            "fp": [600, 700, 650, 500],
            "fn": [600, 700, 650, 500],
            "tn": [8400, 8300, 8350, 8500],
            "log_odds_ratio": [2.2, 1.6, 1.9, 3.0],
            "ci_low": [2.1, 1.5, 1.8, 2.9],
            "ci_high": [2.3, 1.7, 2.0, 3.1],
            "is_baseline": [False, True, True, True],
        }
    )
    history = {"train_loss": np.array([0.5, 0.4, 0.35, 0.3]), "validation_loss": np.array([0.55, 0.45, 0.42, 0.44])}
    mdata.uns["ctl"] = {
        "evaluation": pd.DataFrame(rows, columns=columns),
        "gains": pd.DataFrame(gains, columns=names),
        "curves": {"cross-cell": curves},
        "fisher": fisher,
        "models": {"dense": {"history": history}},
    }
    return mdata
