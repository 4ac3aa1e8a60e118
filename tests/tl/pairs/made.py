"""Cells and regions of which some are held out, with two predictions: the truth and a noisy version of it."""

from __future__ import annotations

import mudata
import numpy as np

import chromatell as ctl


def simulated(n_cells: int = 600, n_regions: int = 240, seed: int = 0, **kwargs) -> mudata.MuData:
    """Regions whose GC content follows how open they are; the truth and a noisy version of it as predictions."""
    mdata = ctl.datasets.simulate_multiome(n_cells, 40, n_regions, n_types=3, depth=16.0, seed=seed, **kwargs)
    ctl.pp.split_cells(mdata, fractions=(0.5, 0.2, 0.3), seed=0)
    atac, rng = mdata["atac"], np.random.default_rng(seed)
    truth = np.clip(atac.layers["truth"], 1e-4, 1 - 1e-4)
    gc = 0.3 + 0.4 * np.argsort(np.argsort(truth.mean(axis=0) + rng.normal(0, 0.02, n_regions))) / n_regions
    strong = rng.random((n_regions, 80)) < gc[:, None]
    tokens = np.where(strong, rng.integers(1, 3, strong.shape), 3 * rng.integers(0, 2, strong.shape))
    atac.varm["dna_code"] = tokens.astype(np.int8)
    atac.var["ctl_split"] = rng.choice(["train", "val", "test"], n_regions, p=[0.5, 0.2, 0.3])
    atac.obs["n_fragments"] = np.asarray(atac.X.sum(axis=1)).ravel()
    noisy = np.log(truth / (1 - truth)) + rng.normal(0, 1, truth.shape)
    ctl.tl.add_prediction(mdata, noisy, key="noisy", transform="sigmoid")
    ctl.tl.add_prediction(mdata, truth, key="true")
    return mdata


def sub(mdata, kind: str, part: str = "test"):
    """Places of the cells and regions of a kind, and the truth there."""
    cells, regions = mdata.obs["ctl_split"].to_numpy(), mdata["atac"].var["ctl_split"].to_numpy()
    rows = np.flatnonzero(cells == ("train" if kind == "cross-region" else part))
    cols = np.flatnonzero(regions == ("train" if kind == "cross-cell" else part))
    return rows, cols, mdata["atac"].X[rows][:, cols].toarray() > 0


def prediction(mdata, key: str):
    pred = mdata["atac_pred"]
    return pred.layers.get(key, pred.X)


def only_held_out(plain):
    """An object in which only the held-out regions are predicted."""
    held = plain.copy()
    test = (held["atac"].var["ctl_split"] == "test").to_numpy()
    del held.mod["atac_pred"]
    held["atac"].var["ctl_selected"] = test
    ctl.tl.add_prediction(held, prediction(plain, "noisy")[:, test], key="mine")
    return held


def value(mdata, kind, model, view, metric, column="value", table="evaluation"):
    t = mdata.uns["ctl"][table]
    row = t[(t["pairs"] == kind) & (t["model"] == model) & (t["view"] == view) & (t["metric"] == metric)]
    assert len(row) == 1
    return row[column].item()


def kinds_of(mdata, table="evaluation"):
    return list(dict.fromkeys(mdata.uns["ctl"][table]["pairs"]))
