"""What a prediction becomes: the best regions of each cell, means of groups, a store that a stopped run fills on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import zarr

import chromatell as ctl
from chromatell import ChromatellError
from chromatell.data.predictions import read_prediction
from chromatell.io import _write, _zarr_partial
from chromatell.models import _outputs
from chromatell.models.dense import _store

CELLS, REGIONS = 1300, 80


@pytest.fixture(scope="module")
def mdata():
    mdata = ctl.datasets.simulate_multiome(CELLS, 40, REGIONS, seed=0)
    ctl.pp.split_cells(mdata, seed=0)
    ctl.tl.dense(mdata, seed=0, n_pcs=5, train_kwargs={"max_epochs": 1})
    return mdata


@pytest.fixture(scope="module")
def model(mdata):
    return ctl.models.load(mdata)


@pytest.fixture(scope="module")
def rna(mdata):
    adata = mdata.mod["rna"].copy()
    adata.obs["kind"] = pd.Categorical(np.resize(["b", "a", "c"], CELLS), categories=["c", "a", "b", "none"])
    adata.obs.iloc[5, adata.obs.columns.get_loc("kind")] = np.nan
    return adata


@pytest.fixture(scope="module")
def whole(rna, model):
    return ctl.tl.predict(rna, model).mod["atac_pred"].X


@pytest.mark.parametrize("k", [1, 7, REGIONS, 1000])
def test_top_k_keeps_the_largest(rna, model, whole, k, tmp_path):
    n = min(k, REGIONS)
    best = np.sort(np.argsort(-whole, axis=1, kind="stable")[:, :n], axis=1)
    expected = np.take_along_axis(whole, best, axis=1)
    in_memory = ctl.tl.predict(rna, model, top_k=k)
    ctl.tl.predict(rna, model, top_k=k, out=tmp_path / "p.zarr")
    on_disk = ctl.io.open_prediction(tmp_path / "p.zarr")
    for x in (in_memory.mod["atac_pred"].X, on_disk.X.to_memory()):
        assert sp.issparse(x)
        assert x.shape == whole.shape
        assert x.dtype == np.float32
        np.testing.assert_array_equal(x.indices.reshape(CELLS, n), best)
        np.testing.assert_array_equal(x.data.reshape(CELLS, n), expected)
    assert in_memory.mod["atac_pred"].uns["ctl"]["provenance"]["dense"]["top_k"] == n
    with pytest.raises(ChromatellError, match="most probable regions of each cell alone.*without top_k="):
        read_prediction(in_memory, "dense")


def test_of_equal_values_the_first_are_kept():
    values = np.array([[0.2, 0.5, 0.5, 0.5, 0.1, 0.5]], dtype=np.float32)
    blocks = [(slice(0, 1), slice(i, i + 2), values[:, i : i + 2]) for i in (0, 2, 4)]
    place, value = _outputs._best(1, 3, blocks)
    np.testing.assert_array_equal(place, [[1, 2, 3]])
    np.testing.assert_array_equal(value, [[0.5, 0.5, 0.5]])


def test_groups_are_means_of_their_cells(rna, model, whole, tmp_path):
    expected = pd.DataFrame(whole).groupby(rna.obs["kind"].astype(str).to_numpy()).mean().loc[["c", "a", "b"]]
    with pytest.warns(ctl.ChromatellWarning, match="1 of 1,300 cells have no label"):
        found = ctl.tl.predict(rna, model, groupby="kind").mod["atac_pred"]
    assert list(found.obs_names) == ["c", "a", "b"]
    assert list(found.var["region"]) == list(model.regions)
    np.testing.assert_array_equal(found.obs["n_cells"], [432, 433, 434])
    np.testing.assert_allclose(found.X, expected, atol=1e-6)
    with pytest.warns(ctl.ChromatellWarning):
        result = ctl.tl.predict(rna, model, groupby="kind", out=tmp_path / "g.zarr", dtype="float16")
    stored = ctl.io.open_prediction(tmp_path / "g.zarr")
    assert list(result.uns["ctl"]["predictions"]) == ["dense"]
    np.testing.assert_allclose(stored.X.compute(), expected, atol=1e-3)
    np.testing.assert_array_equal(stored.obs["n_cells"], [432, 433, 434])


@pytest.mark.parametrize("tile", [7, 16])
def test_regions_computed_few_at_a_time_are_joined(rna, model, whole, tile, tmp_path, monkeypatch):
    monkeypatch.setattr(_store, "TILE", tile)
    monkeypatch.setattr(_outputs, "CHUNKS", (512, 32))
    widths, write = [], _outputs.Place.write

    def written(self, rows, columns, values):
        widths.append(values.shape[1])
        write(self, rows, columns, values)

    monkeypatch.setattr(_outputs.Place, "write", written)
    ctl.tl.predict(rna, model, out=tmp_path / "p.zarr")
    assert widths == 3 * ([28, 28, 24] if tile == 7 else [32, 32, 16])
    np.testing.assert_allclose(
        ctl.io.open_prediction(tmp_path / "p.zarr", verify=True).X.compute(), whole, rtol=1e-6, atol=1e-9
    )
    best = ctl.tl.predict(rna, model, top_k=REGIONS).mod["atac_pred"].X
    np.testing.assert_allclose(best.toarray(), whole, rtol=1e-6, atol=1e-9)


def test_what_float16_cannot_hold_is_told_with_its_cells():
    blocks = [(slice(0, 512), slice(0, 2), np.full((512, 2), 1e6, dtype=np.float32))]
    with pytest.raises(ChromatellError, match=r"rows slice\(512, 1024, None\) are not all finite in float16"):
        _outputs._written_to(_outputs.Place("", (1024, 2), "float16"), slice(512, 1024), blocks)


def test_float16_halves_the_store(rna, model, whole, tmp_path):
    ctl.tl.predict(rna, model, out=tmp_path / "p.zarr", dtype="float16")
    found = ctl.io.open_prediction(tmp_path / "p.zarr").X
    assert found.dtype == np.float16
    np.testing.assert_array_equal(found.compute(), whole.astype(np.float16))


KILLED = """
import os, signal, sys
import anndata
import chromatell as ctl
from chromatell.io._zarr_partial import ResumableWriter

mark = ResumableWriter.mark

def one_part(self, rows):
    mark(self, rows)
    os.kill(os.getpid(), signal.SIGKILL)

ResumableWriter.mark = one_part
ctl.tl.predict(anndata.read_h5ad(sys.argv[1]), sys.argv[2], out=sys.argv[3])
"""


def test_a_killed_run_says_so_and_is_gone_on_with(rna, model, whole, tmp_path, monkeypatch):
    rna.write_h5ad(tmp_path / "q.h5ad")
    model.save(tmp_path / "model")
    out, partial = tmp_path / "p.zarr", tmp_path / "p.zarr.partial"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    arguments = [sys.executable, "-c", KILLED, tmp_path / "q.h5ad", tmp_path / "model", out]
    done = subprocess.run(arguments, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not out.exists()
    for read in (ctl.io.open_prediction, ctl.io.read):
        with pytest.raises(ChromatellError, match=r"not complete.*out='.*p.zarr'\): it goes on from there"):
            read(partial)
    with pytest.raises(ChromatellError, match="of another run: other cells, regions, model or options"):
        ctl.tl.predict(rna, model, out=out, depth="fixed")
    with pytest.raises(ChromatellError, match="of another run"):
        ctl.tl.predict(rna[1:], model, out=out)
    seen = []
    blocks = type(model)._blocks

    def counted(self, x, **query):
        seen.append(x.shape[0])
        return blocks(self, x=x, **query)

    monkeypatch.setattr(type(model), "_blocks", counted)
    ctl.tl.predict(rna, ctl.models.load(tmp_path / "model"), out=out)
    assert seen == [512, 276]  # the first 512 cells were there
    assert not partial.exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model", "p.zarr", "q.h5ad"]
    found = ctl.io.open_prediction(out, verify=True).X.compute()
    np.testing.assert_allclose(found, whole, rtol=1e-6)  # threads of another number sum in another order


def test_a_run_that_fails_keeps_what_is_there(rna, model, whole, tmp_path, monkeypatch):
    blocks = type(model)._blocks

    def full(self, x, **query):
        if x.shape[0] < 512:
            raise OSError(28, "No space left on device", str(tmp_path / "p.zarr.partial" / "X" / "c"))
        return blocks(self, x=x, **query)

    with monkeypatch.context() as patch:
        patch.setattr(type(model), "_blocks", full)
        with pytest.raises(ChromatellError, match="no room left on the disk"):
            ctl.tl.predict(rna, model, out=tmp_path / "p.zarr")
    ctl.tl.predict(rna, model, out=tmp_path / "p.zarr")
    np.testing.assert_array_equal(ctl.io.open_prediction(tmp_path / "p.zarr").X.compute(), whole)
    with pytest.raises(ChromatellError, match="exists"):
        ctl.tl.predict(rna, model, out=tmp_path / "p.zarr")


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"top_k": 0}, "top_k=0 is out of range"),
        ({"top_k": 3, "groupby": "cell_type"}, "give one of them"),
        ({"dtype": "float16"}, r"none is named: out='predictions.zarr'"),
        ({"dtype": "int8", "out": "p.zarr"}, "dtype"),
        ({"groupby": "no"}, r"Did not find .*'no'.*kind"),
        ({"client": 3}, "dask.distributed client is needed"),
    ],
)
def test_what_cannot_be_is_refused(rna, model, options, match, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ChromatellError, match=match):
        ctl.tl.predict(rna, model, **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("made", ["nothing", "a group", "all but the note"])
def test_a_run_that_is_killed_while_its_store_is_made_can_be_called_again(
    rna, model, whole, made, tmp_path, monkeypatch
):
    """What has no note of what is done is complete but for its name: it was taken for that, or refused."""
    one = _zarr_partial.make_store

    def make_store(folder, *args, **kwargs):
        if made == "a group":
            zarr.open_group(str(folder), mode="w", zarr_format=3)
        elif made != "nothing":
            one(folder, *args, **kwargs)
        raise KeyboardInterrupt

    with monkeypatch.context() as killed:  # nobody clears up
        killed.setattr(_zarr_partial, "make_store", make_store)
        killed.setattr(_write, "remove", lambda path: None)
        killed.setattr(_zarr_partial, "remove", lambda path: None)
        with pytest.raises(KeyboardInterrupt):
            ctl.tl.predict(rna, model, out=tmp_path / "p.zarr")
    assert not (tmp_path / "p.zarr.partial").exists()
    ctl.tl.predict(rna, model, out=tmp_path / "p.zarr")
    np.testing.assert_allclose(ctl.io.open_prediction(tmp_path / "p.zarr").X, whole, atol=1e-6)
