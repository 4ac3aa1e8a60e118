"""Fixtures that all tests share: small real data where it is at hand, and simulated data that needs nothing."""

from __future__ import annotations

import os

# Two workers on two cores: threads of their own would wait for each other, spinning. Set before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")  # else UMAP leaves torch with more threads, and sums in another order

from pathlib import Path

import mudata
import numpy as np
import pytest

if not hasattr(mudata, "settings"):  # mudata 0.3: as 0.4 does by default
    mudata.set_options(pull_on_update=False)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of small real data sets; the test is skipped where it is absent."""
    default = Path(__file__).parents[2] / "shared" / "data"
    path = Path(os.environ.get("CHROMATELL_DATA", default))
    if not path.is_dir():
        pytest.skip(f"real data not found at {path}; set CHROMATELL_DATA")
    return path


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
