"""Run-on signal with known start sites, for tests of 'transfer'."""

from __future__ import annotations

import numpy as np
import pandas as pd

import chromatell as ctl

TRAIN = {"max_epochs": 30, "seed": 0}


def made(seed=0, n=4000, level=2.0, width=7):
    """Start sites where polymerases part, each with a mark so many bins wide; background and genes without one."""
    rng = np.random.default_rng(seed)
    sites = np.zeros(n, dtype=bool)
    sites[rng.choice(np.arange(40, n - 40), n // 80, replace=False)] = True
    rate = np.full((2, n), 0.05)
    for at in np.flatnonzero(sites):
        rate[0, at : at + 4] += level
        rate[1, at - 3 : at + 1] += level
    for at in rng.choice(n - 60, n // 200, replace=False):
        rate[rng.integers(2), at : at + 60] += level / 2
    mark = np.convolve(sites, np.ones(width), mode="same") > 0
    return np.stack([*rng.poisson(rate), 50.0 * mark]).astype(np.float32)


def tracks_of(values, names=("plus", "minus", "mark")):
    table = pd.DataFrame({"name": names, "assay": ["PRO", "PRO", "mark"][: len(names)]})
    table["strand"], table["role"] = ["+", "-", "."][: len(names)], ["input", "input", "target"][: len(names)]
    return ctl.data.BinnedTracks({"chr1": values}, table, chrom_sizes={"chr1": 50 * values.shape[1]})
