"""One small simulated multiome and one model trained on it, shared by the tests of this folder."""

from __future__ import annotations

import pytest
from tests.helpers import split_multiome

import chromatell as ctl


@pytest.fixture(scope="session")
def multiome():
    return split_multiome(900, 110, 120, n_types=4, seed=3, split=1)


@pytest.fixture(scope="session")
def trained(multiome):
    mdata = multiome.copy()
    ctl.models.Dense.setup_mudata(mdata)
    model = ctl.models.Dense(mdata)
    model.train(max_epochs=20, seed=5)
    return model, mdata
