"""One small simulated multiome and one model trained on it, shared by the tests of this folder."""

from __future__ import annotations

import pytest

import chromatell as ctl


@pytest.fixture(scope="session")
def multiome():
    mdata = ctl.datasets.simulate_multiome(900, 110, 120, n_types=4, seed=3)
    ctl.pp.split_cells(mdata, seed=1)
    return mdata


@pytest.fixture(scope="session")
def trained(multiome):
    mdata = multiome.copy()
    ctl.models.Dense.setup_mudata(mdata)
    model = ctl.models.Dense(mdata)
    model.train(max_epochs=20, seed=5)
    return model, mdata
