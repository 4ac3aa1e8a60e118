"""Sequence x expression as a user has them, and a tiny model trained on it."""

from __future__ import annotations

import pytest
from tests.tl.xchrom.made import QUICK, simulated

import chromatell as ctl


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
