"""`tl.evaluate` on the workers of a dask cluster gives the table that it gives here, though one of them is killed."""

from __future__ import annotations

import os
import signal

import pandas as pd
import pytest

import chromatell as ctl
from chromatell._keys import CURVES, EVALUATION, GAINS
from chromatell.evaluation import run

distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def client():
    options = {"n_workers": 2, "threads_per_worker": 2, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster, set_as_default=False) as client:
        yield client


def test_the_table_is_the_same_though_a_worker_is_killed(client, monkeypatch):
    mdata = ctl.datasets.simulate_multiome(200, 30, 40, seed=0)
    ctl.pp.split_cells(mdata, seed=0)
    ctl.tl.dense(mdata, seed=0, n_pcs=5, train_kwargs={"max_epochs": 1})
    asked = {"baselines": ["region_mean", "ridge", "knn", "knn_atac"], "n_bootstrap": 20, "seed": 0}
    here = ctl.tl.evaluate(mdata, **asked, copy=True).uns["ctl"]
    workers, made, killed = client.run(os.getpid), run.shared, []

    def killing(*arguments):
        """Kill one of the two when both are about to be given work."""
        found = made(*arguments)
        killed.append(min(workers.values()))
        os.kill(killed[0], signal.SIGKILL)
        return found

    monkeypatch.setattr(run, "shared", killing)
    there = ctl.tl.evaluate(mdata, **asked, client=client, copy=True).uns["ctl"]
    assert killed
    for name in (EVALUATION, GAINS):
        pd.testing.assert_frame_equal(there[name], here[name], rtol=1e-12)
    assert there[CURVES].keys() == here[CURVES].keys()


def test_of_tracks(client):
    from tests.models import tiny_families as tiny

    tracks = tiny.tracks()
    ctl.tl.nascent(tracks, **tiny.CNN, train_kwargs={"max_epochs": 1}, seed=0)
    here = ctl.tl.evaluate(tracks, n_bootstrap=10, seed=0, copy=True).uns["ctl"]["evaluation"]
    there = ctl.tl.evaluate(tracks, n_bootstrap=10, seed=0, client=client, copy=True).uns["ctl"]["evaluation"]
    pd.testing.assert_frame_equal(there, here, rtol=1e-12)


def test_what_is_no_client_is_told():
    mdata = ctl.datasets.simulate_multiome(60, 5, 6, seed=0)
    with pytest.raises(ctl.ChromatellError, match=r"client= is int; a dask.distributed client is needed"):
        ctl.tl.evaluate(mdata, client=3)
