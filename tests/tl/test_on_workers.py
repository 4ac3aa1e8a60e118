"""Prediction on the workers of a dask cluster of two processes, of which one is killed midway."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest

import chromatell as ctl
from chromatell._dask import current_client
from chromatell.io import _zarr_partial
from chromatell.models import _outputs

distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def mdata():
    mdata = ctl.datasets.simulate_multiome(400, 30, 40, seed=0)
    ctl.pp.split_cells(mdata, seed=0)
    ctl.tl.dense(mdata, seed=0, n_pcs=5, train_kwargs={"max_epochs": 1})
    return mdata


@pytest.fixture(scope="module")
def client():
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster, set_as_default=False) as client:
        yield client


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(_outputs, "PART", 32)  # 13 parts
    monkeypatch.setattr(_zarr_partial, "CHUNKS", (32, 16))


def test_a_store_is_complete_and_equal_though_a_worker_is_killed(mdata, client, tmp_path, monkeypatch):
    rna = mdata.mod["rna"]
    whole = ctl.tl.predict(rna, mdata).mod["atac_pred"].X
    before = client.run(os.getpid)
    mark, killed = _zarr_partial.ResumableWriter.mark, []

    def marked(self, rows):
        mark(self, rows)
        if not killed:
            killed.append(min(before.values()))
            os.kill(killed[0], signal.SIGKILL)

    monkeypatch.setattr(_zarr_partial.ResumableWriter, "mark", marked)
    ctl.tl.predict(rna, mdata, out=tmp_path / "p.zarr", client=client)
    assert killed
    found = ctl.io.open_prediction(tmp_path / "p.zarr", verify=True)
    np.testing.assert_array_equal(found.obs_names, rna.obs_names)
    np.testing.assert_allclose(found.X.compute(), whole, atol=1e-6)
    best = ctl.tl.predict(rna, mdata, client=client, top_k=5).mod["atac_pred"].X
    np.testing.assert_allclose(-np.sort(-best.toarray(), axis=1)[:, :5], -np.sort(-whole, axis=1)[:, :5], atol=1e-6)
    with client.as_current():  # the user's own, which need not be handed over
        assert current_client() is client
        again = ctl.tl.predict(rna, mdata).mod["atac_pred"].X
    np.testing.assert_allclose(again, whole, atol=1e-6)
    means = ctl.tl.predict(rna, mdata, client=client, groupby="cell_type").mod["atac_pred"]
    np.testing.assert_allclose(means.X, ctl.tl.predict(rna, mdata, groupby="cell_type").mod["atac_pred"].X, atol=1e-6)
