"""The simulated cells and regions, and what `tl.evaluate` says of them."""

from __future__ import annotations

import mudata
import pytest
from tests.tl.pairs.made import simulated

import chromatell as ctl


@pytest.fixture(scope="session")
def plain() -> mudata.MuData:
    return simulated()


@pytest.fixture(scope="session")
def evaluated(plain) -> mudata.MuData:
    return ctl.tl.evaluate(plain, seed=0, copy=True)
