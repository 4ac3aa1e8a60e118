"""Simulated cells with known truth and two predictions of them."""

from __future__ import annotations

import mudata
import numpy as np

from chromatell.data.predictions import write_prediction
from chromatell.datasets._simulate_multiome import simulate_multiome
from chromatell.pp._split_cells import split_cells


def _noisy(truth: np.ndarray, amount: float) -> np.ndarray:
    logit = np.log(truth / (1 - truth)) + np.random.default_rng(5).normal(0, amount, truth.shape)
    return (1 / (1 + np.exp(-logit))).astype(np.float32)


def predicted_cells() -> mudata.MuData:
    """900 cells x 200 regions with two predictions: the truth, and the truth under heavy noise."""
    mdata = simulate_multiome(900, 40, 200, n_types=3, depth=16.0, seed=0)
    split_cells(mdata, fractions=(0.5, 0.25, 0.25), seed=0)
    atac = mdata["atac"]
    truth = np.clip(atac.layers["truth"], 1e-4, 1 - 1e-4).astype(np.float32)
    write_prediction(mdata, "noisy", _noisy(truth, 1.5), atac.var_names, {"family": "external"})
    write_prediction(mdata, "true", truth, atac.var_names, {"family": "external"})
    return mdata
