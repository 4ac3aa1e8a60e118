"""Sequence x expression as a user has them, and a tiny model trained on it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import chromatell as ctl
from chromatell._compat import layer_names

WIDTH, LENGTH = 220, 200
TINY = {"kind": "motifs", "sequence_length": LENGTH, "stem_filters": 8, "n_hidden": 16, "n_embed": 6, "n_pcs": 6}
QUICK = {**TINY, "warm_epochs": 2, "train_kwargs": {"max_epochs": 2}, "seed": 0}


def simulated(fasta_out, n_cells, n_regions, seed=0):
    mdata = ctl.datasets.simulate_sequence_multiome(
        n_cells=n_cells,
        n_regions=n_regions,
        width=WIDTH,
        region_width=200,
        n_genes=60,
        n_types=4,
        n_tfs=4,
        depth=0.13 * n_regions,
        fasta_out=fasta_out,
        seed=seed,
    )
    ctl.pp.split_cells(mdata, seed=0)
    ctl.pp.split_regions(mdata, by="random", seed=0)
    return mdata


def snapshot(mdata):
    """Every field of the user's, to be compared afterwards."""
    state = {"obs": mdata.obs.copy(), "uns": sorted(mdata.uns), "mods": sorted(mdata.mod)}
    for name in ("rna", "atac"):
        a = mdata.mod[name]
        arrays = {k: np.array(v) for k, v in {**a.obsm, **a.varm}.items()}
        state[name] = (a.obs.copy(), a.var.copy(), a.X.copy(), sorted(a.uns), layer_names(a), arrays)
    return state


def assert_same(before, after, more=()):
    pd.testing.assert_frame_equal(before["obs"], after["obs"])
    for name in ("rna", "atac"):
        for one, two in zip(before[name], after[name], strict=True):
            if isinstance(one, pd.DataFrame):
                pd.testing.assert_frame_equal(one, two)
            elif sp.issparse(one):
                assert (one != two).nnz == 0
            elif isinstance(one, dict):
                assert sorted(two) == sorted([*one, *(key for mod, key in more if mod == name)])
                for key, value in one.items():
                    np.testing.assert_array_equal(value, two[key])
            else:
                assert one == two


def rows_of(table, part):
    return np.flatnonzero(table["ctl_split"] == part)


@pytest.fixture(scope="session")
def fasta(tmp_path_factory):
    return tmp_path_factory.mktemp("genome") / "made_up.fa"


@pytest.fixture(scope="session")
def base(fasta):
    return simulated(fasta, 120, 130)


@pytest.fixture
def mdata(base):
    return base.copy()


@pytest.fixture(scope="session")
def done(base):
    mdata = base.copy()
    ctl.tl.xchrom(mdata, **QUICK)
    return mdata


@pytest.fixture(scope="session", name="simulated")
def _simulated():
    return simulated


@pytest.fixture(scope="session", name="snapshot")
def _snapshot():
    return snapshot


@pytest.fixture(scope="session", name="assert_same")
def _assert_same():
    return assert_same


@pytest.fixture(scope="session", name="rows_of")
def _rows_of():
    return rows_of


@pytest.fixture(scope="session")
def quick():
    return dict(QUICK)
