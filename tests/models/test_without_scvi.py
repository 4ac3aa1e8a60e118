"""A stored model is read, and predicts, without the libraries that train: they take seconds to import."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scvi.model.base import BaseModelClass

import chromatell as ctl

ARCHIVE = Path(__file__).parents[1] / "archive" / "0.2.0.dev"
PREDICT = """
import json, sys
import chromatell as ctl
folder = sys.argv[1]
shapes = {}
for name in ("dense.h5mu", "xchrom.h5mu", "atacformer.h5ad", "nascent.zarr"):
    path = f"{folder}/{name}"
    found = ctl.tl.predict(path, model=path)
    family = ctl.models.load(path).family
    shapes[family] = found.names_of(role="prediction") if name == "nascent.zarr" else found.mod["atac_pred"].shape
heavy = {"scvi", "lightning", "muon", "scanpy", "sklearn", "torchmetrics", "torch._dynamo", "scipy.stats", "xgboost"}
print(json.dumps([shapes, sorted(heavy & set(sys.modules))]))
"""


def test_every_family_predicts_from_a_file_without_what_trains():
    """In a process of its own; of the compiler of torch, too, nothing is loaded."""
    done = subprocess.run(
        [sys.executable, "-c", PREDICT, str(ARCHIVE)], capture_output=True, text=True, check=True, timeout=300
    )
    shapes, heavy = json.loads(done.stdout.splitlines()[-1])
    assert heavy == []
    assert set(shapes) == set(ctl.models.FAMILIES)
    assert shapes["dense"] == list(np.load(ARCHIVE / "dense.npy").shape)
    assert shapes["nascent"]


@pytest.fixture(scope="module")
def mdata():
    mdata = ctl.datasets.simulate_multiome(80, 12, 16, seed=0)
    ctl.pp.split_cells(mdata, seed=0)
    ctl.models.Dense.setup_mudata(mdata)
    return mdata


def test_a_model_with_data_is_one_of_scvi_tools(mdata):
    model = ctl.models.Dense(mdata, stack=False)
    assert isinstance(model, ctl.models.Dense)
    assert isinstance(model, BaseModelClass)
    assert type(model).__name__ == "Dense"
    assert type(model) is type(ctl.models.Dense(mdata=mdata))
    assert model.adata is mdata
    assert model.adata_manager.adata is mdata
    model.train(max_epochs=1, seed=0)
    assert model.is_trained


def test_one_without_data_predicts_and_says_that_it_cannot_train(mdata):
    model = ctl.models.Dense(mdata, stack=False)
    model.train(max_epochs=1, seed=0)
    stored = ctl.models.Dense.from_record(model.to_record())
    assert isinstance(stored, ctl.models.Dense)
    assert not isinstance(stored, BaseModelClass)
    for one in (stored, copy.deepcopy(stored), type(model).from_record(model.to_record())):
        np.testing.assert_array_equal(one.predict(mdata), model.predict(mdata))
        with pytest.raises(ctl.ChromatellError, match="has no data to train on"):
            one.train()
