"""A simulated file of paired cells, a model that a command trained on it, and the same in Python."""

from __future__ import annotations

import pytest

import chromatell as ctl
from chromatell.cli import main

FAST = ["--max-epochs", "2"]


@pytest.fixture(scope="session")
def simulated():
    return ctl.datasets.simulate_multiome(160, 25, 60, n_types=2, seed=0)


@pytest.fixture
def cells(simulated, tmp_path):
    """A file of paired cells without a split, alone in its folder."""
    path = tmp_path / "cells.h5mu"
    simulated.write_h5mu(path)
    return path


@pytest.fixture(scope="session")
def shared(simulated, tmp_path_factory):
    """A trained file, as the command writes it."""
    folder = tmp_path_factory.mktemp("shared")
    simulated.write_h5mu(folder / "cells.h5mu")
    assert main(["train", str(folder / "cells.h5mu"), "-o", str(folder / "shared.h5mu"), "--seed", "3", *FAST]) == 0
    return folder / "shared.h5mu"


@pytest.fixture(scope="session")
def by_api(simulated):
    """The same in Python."""
    mdata = simulated.copy()
    ctl.pp.split_cells(mdata, seed=3)
    ctl.tl.dense(mdata, seed=3, train_kwargs={"max_epochs": 2})
    return mdata


@pytest.fixture
def query(simulated, tmp_path):
    path = tmp_path / "query.h5ad"
    rna = simulated.mod["rna"][:30].copy()
    rna[:, rna.var_names[::-1]].copy().write_h5ad(path)
    return path


@pytest.fixture
def refused(capsys):
    """Run a command that must fail; return what it wrote to stderr."""

    def run(argv, code) -> str:
        assert main([str(word) for word in argv]) == code
        said = capsys.readouterr()
        assert said.out == ""
        assert "Traceback" not in said.err
        return said.err

    return run
