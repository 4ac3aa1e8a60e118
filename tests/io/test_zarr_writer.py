from __future__ import annotations

import sys

import anndata
import mudata
import numpy as np
import pandas as pd
import pytest

import chromatell as ctl
from chromatell import ChromatellError
from chromatell._compat import no_pull
from chromatell.io import PredictionWriter, open_prediction, prediction_reference, resolve_sibling

CELLS, REGIONS = 7, 11


@pytest.fixture
def values(rng) -> np.ndarray:
    return rng.random((CELLS, REGIONS)).astype("float32")


@pytest.fixture
def obs() -> pd.DataFrame:
    split = pd.Categorical(["train", "val", "test", "train", "train", "val", "test"])
    return pd.DataFrame({"ctl_split": split}, index=[f"cell{i}" for i in range(CELLS)])


@pytest.fixture
def var() -> pd.DataFrame:
    regions = [f"chr1:{i}-{i + 500}" for i in range(REGIONS)]
    return pd.DataFrame({"region": regions}, index=[f"atac_pred:{r}" for r in regions])


def fill(writer, values, rows=3, columns=4):
    for i in range(0, CELLS, rows):
        for j in range(0, REGIONS, columns):
            block = values[i : i + rows, j : j + columns]
            writer.write(slice(i, i + block.shape[0]), slice(j, j + block.shape[1]), block)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("chunks", [None, (2, 5)])
def test_store_is_an_anndata_whatever_the_blocks(dtype, chunks, values, obs, var, tmp_path):
    path = tmp_path / "p.zarr"
    for rows, columns in ((3, 4), (7, 11)):
        with PredictionWriter(path, obs, var, dtype=dtype, chunks=chunks, uns={"model": "m"}, overwrite=True) as writer:
            fill(writer, values, rows, columns)
        for adata in (anndata.read_zarr(path), open_prediction(path).to_memory(), ctl.io.read(path)):
            assert adata.X.dtype == dtype
            np.testing.assert_array_equal(adata.X, values.astype(dtype))
            pd.testing.assert_frame_equal(adata.obs, obs, check_categorical=False)
            pd.testing.assert_frame_equal(adata.var, var)
            assert adata.uns["model"] == "m"
    assert prediction_reference(path) == writer.reference() == {"path": "p.zarr", "hash": writer.hash}
    assert anndata.experimental.read_lazy(path).shape == (CELLS, REGIONS)


def test_opens_lazily(values, obs, var, tmp_path):
    dask = pytest.importorskip("dask.array")
    with PredictionWriter(tmp_path / "p.zarr", obs, var, chunks=(2, 5)) as writer:
        fill(writer, values)
    lazy = open_prediction(tmp_path / "p.zarr")
    assert isinstance(lazy.X, dask.Array)
    np.testing.assert_array_equal(lazy[["cell3"], 4:6].to_memory().X, values[3:4, 4:6])


def test_without_dask_it_is_read_up_to_the_limit(values, obs, var, tmp_path, monkeypatch):
    with PredictionWriter(tmp_path / "p.zarr", obs, var) as writer:
        fill(writer, values)
    for name in [n for n in sys.modules if n.split(".")[0] == "dask"]:
        monkeypatch.setitem(sys.modules, name, None)
    np.testing.assert_array_equal(open_prediction(tmp_path / "p.zarr").X, values)
    monkeypatch.setattr(ctl.settings, "dense_limit", 100)
    with pytest.raises(ChromatellError, match=r"dense_limit.*pip install 'chromatell\[dask\]'"):
        open_prediction(tmp_path / "p.zarr")


def test_nothing_stays_behind_on_failure(values, obs, var, tmp_path):
    path = tmp_path / "p.zarr"

    def stopped():
        with PredictionWriter(path, obs, var, overwrite=True) as writer:
            writer.write(slice(0, 3), slice(0, REGIONS), values[:3])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert list(tmp_path.iterdir()) == []
    with PredictionWriter(path, obs, var) as writer:
        fill(writer, values)
    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert [p.name for p in tmp_path.iterdir()] == ["p.zarr"]
    np.testing.assert_array_equal(anndata.read_zarr(path).X, values)
    with pytest.raises(ChromatellError, match="exists.*overwrite=True"):
        PredictionWriter(path, obs, var)


def test_blocks_are_checked(values, obs, var, tmp_path):
    def write(*args, dtype="float32"):
        with PredictionWriter(tmp_path / "p.zarr", obs, var, dtype=dtype) as writer:
            writer.write(*args)

    for args, match in (
        ((slice(0, 3), slice(0, REGIONS), values[:2]), "does not fit"),
        ((slice(5, 9), slice(0, REGIONS), values[:4]), "does not fit"),
        ((slice(0, 4, 2), slice(0, REGIONS), values[:2]), "does not fit"),
        ((slice(0, 7), slice(0, REGIONS), values * np.nan), "not all finite"),
        ((slice(0, 6), slice(0, REGIONS), values[:6]), r"1 of 7 cells .*'cell6': 0 of 11 regions"),
    ):
        with pytest.raises(ChromatellError, match=match):
            write(*args)
    with pytest.raises(ChromatellError, match="not all finite in float16"):
        write(slice(0, 7), slice(0, REGIONS), values + 70_000, dtype="float16")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ChromatellError, match="names of regions repeat"):
        PredictionWriter(tmp_path / "p.zarr", obs, var.iloc[[0, 0]])
    with pytest.raises(ChromatellError, match="nothing to write"):
        PredictionWriter(tmp_path / "p.zarr", [], var)


@pytest.fixture
def linked(values, obs, var, tmp_path) -> mudata.MuData:
    """A MuData whose .uns names a store beside its file."""
    with PredictionWriter(tmp_path / "p.zarr", obs, var) as writer:
        fill(writer, values)
    with no_pull():
        made = mudata.MuData({"rna": anndata.AnnData(np.ones((CELLS, 2), "float32"), obs=obs[[]])})
    made.uns["ctl"] = {"predictions": {"dense": writer.reference()}}
    made.write(tmp_path / "x.h5mu")
    made.write_zarr(tmp_path / "x.zarr")
    return made


def test_a_file_finds_its_predictions_beside_it(linked, values, tmp_path, monkeypatch):
    for source in (tmp_path / "x.h5mu", tmp_path / "x.zarr"):
        np.testing.assert_array_equal(open_prediction(source, "dense", verify=True).to_memory().X, values)
    np.testing.assert_array_equal(open_prediction(linked, folder=tmp_path).to_memory().X, values)
    monkeypatch.chdir(tmp_path)
    assert open_prediction(linked).shape == (CELLS, REGIONS)
    with pytest.raises(ChromatellError, match=r"no .*'x' .*choose one of 'dense'"):
        open_prediction(linked, "x")
    with pytest.raises(ChromatellError, match="no stored prediction"):
        open_prediction(mudata.MuData({"rna": linked.mod["rna"]}))


def test_changed_stores_are_refused(linked, values, obs, var, tmp_path):
    chunk = next((tmp_path / "p.zarr" / "X" / "c").rglob("*/0"))
    raw = chunk.read_bytes()
    chunk.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    with pytest.raises(ChromatellError, match="1 files .*changed"):
        open_prediction(tmp_path / "x.h5mu", verify=True)
    chunk.write_bytes(raw + b"\0")
    with pytest.raises(ChromatellError, match="1 files .*changed"):
        open_prediction(tmp_path / "x.h5mu")
    with PredictionWriter(tmp_path / "p.zarr", obs, var, overwrite=True) as writer:
        fill(writer, values + 1)
    with pytest.raises(ChromatellError, match="hash differs"):
        open_prediction(tmp_path / "x.h5mu")


CLIMBING = [
    "../p.zarr",
    "..",
    ".",
    "",
    "/etc/passwd",
    "a/b",
    "a\\b",
    "C:x",
    "s3://x",
    "http:x",
    "file:x",
    "~",
    "p.zarr\n",
]


def test_a_climbing_path_is_refused(linked, tmp_path):
    for name in [*CLIMBING, ".p", "x..", "é"]:
        climb(name, linked, tmp_path)


def climb(name, linked, tmp_path):
    with pytest.raises(ChromatellError, match="not a plain name in its own folder"):
        resolve_sibling(tmp_path / "x.h5mu", name)
    linked.uns["ctl"]["predictions"]["dense"]["path"] = name
    with pytest.raises(ChromatellError, match="not a plain name in its own folder"):
        open_prediction(linked, folder=tmp_path)


def test_siblings(tmp_path):
    (tmp_path / "p.zarr").mkdir()
    assert resolve_sibling(tmp_path / "x.h5mu", "p.zarr") == tmp_path / "p.zarr"
    (tmp_path / "link.zarr").symlink_to(tmp_path / "p.zarr")
    with pytest.raises(ChromatellError, match="link to another place"):
        resolve_sibling(tmp_path / "x.h5mu", "link.zarr")
    with pytest.raises(ChromatellError, match="Keep the two in one folder"):
        resolve_sibling(tmp_path / "x.h5mu", "gone.zarr")


@pytest.mark.parametrize("with_torch", [True, False])
def test_float16_is_that_of_numpy(tmp_path, rng, monkeypatch, with_torch):
    """Ties, the smallest and the largest that float16 holds; torch, where loaded, is only faster."""
    if not with_torch:
        monkeypatch.delitem(sys.modules, "torch", raising=False)
    else:
        pytest.importorskip("torch")
    values = rng.random((64, 33)).astype(np.float32)
    values[0, :6] = [65519.99, -65519.99, 6e-8, 2.9e-8, 1 + 2**-11, 1 + 3 * 2**-11]
    with PredictionWriter(tmp_path / "p.zarr", [str(i) for i in range(64)], table(33), dtype="float16") as writer:
        writer.write(slice(0, 64), slice(0, 33), values)
        for bad in (65520.0, -np.inf, np.nan):
            with pytest.raises(ChromatellError, match="not all finite in float16"):
                writer.write(slice(0, 1), slice(0, 1), np.full((1, 1), bad, dtype=np.float32))
    found = anndata.read_zarr(tmp_path / "p.zarr").X
    np.testing.assert_array_equal(found.view(np.uint16), values.astype(np.float16).view(np.uint16))


def table(n: int) -> pd.DataFrame:
    return pd.DataFrame(index=[f"chr1:{i}-{i + 1}" for i in range(n)])
