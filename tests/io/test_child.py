"""A file that this process did not write is opened in a child process first."""

from __future__ import annotations

import sys

import anndata
import h5py
import numpy as np
import pytest
import zarr

import chromatell as ctl
from chromatell import ChromatellError
from chromatell.io import Record, _child, _look, read_record_file


@pytest.fixture(autouse=True)
def child(monkeypatch):
    monkeypatch.setattr(ctl.settings, "check_seconds", 60)
    monkeypatch.setattr(_child, "_KNOWN", set())


@pytest.fixture
def started(monkeypatch):
    """Count the child processes."""
    calls, run = [], _child.subprocess.run

    def counted(call, **options):
        calls.append(call)
        return run(call, **options)

    monkeypatch.setattr(_child.subprocess, "run", counted)
    return calls


@pytest.fixture
def path(tmp_path):
    adata = anndata.AnnData(np.ones((3, 2), "float32"))
    adata.obs["type"] = ["a", "b", "a"]
    ctl.io.write_record(adata, "m", Record("dense", 1, {}, {"b": np.zeros(2)}))
    adata.write_h5ad(tmp_path / "x.h5ad")
    return tmp_path / "x.h5ad"


def test_a_file_is_looked_at_once(path, started, tmp_path, monkeypatch):
    assert ctl.io.read(path).shape == (3, 2)
    assert len(started) == 1
    ctl.io.read(path)
    assert read_record_file(path).family == "dense"
    assert len(started) == 1
    with h5py.File(path, "r+") as file:
        file["uns/more"] = 1
    ctl.io.check_file(path)
    assert len(started) == 2
    ours = ctl.io.write(ctl.io.read(path), tmp_path / "y.h5ad")
    ctl.io.read(ours)
    assert len(started) == 2  # what this process wrote needs none
    monkeypatch.setattr(_child, "_KNOWN", set())
    monkeypatch.setattr(ctl.settings, "check_seconds", 0)
    ctl.io.read(ours)
    assert len(started) == 2


def test_what_the_child_refuses_is_said_as_if_it_were_here(path, started, monkeypatch):
    with h5py.File(path, "r+") as file:
        file["uns/ctl/models/m/link"] = h5py.SoftLink("/X")
    said = []
    for seconds in (60, 0):
        monkeypatch.setattr(ctl.settings, "check_seconds", seconds)
        for call in (ctl.io.read, read_record_file):
            with pytest.raises(ChromatellError, match="a soft link") as caught:
                call(path)
            said.append(str(caught.value))
    assert said[:2] == said[2:]
    assert len(started) == 2
    path.write_bytes(b"no HDF5")
    monkeypatch.setattr(ctl.settings, "check_seconds", 60)
    with pytest.raises(ChromatellError, match="cannot be read as an HDF5 file"):
        ctl.io.read(path)


@pytest.mark.parametrize(
    ("code", "said"),
    [("import time; time.sleep(60)", "did not end in 2 s"), ("import os; os.kill(os.getpid(), 11)", "signal 11")],
)
def test_a_child_that_does_not_come_back(code, said, path, monkeypatch):
    """What HDF5 does to some damaged files, done by harmless code."""
    monkeypatch.setattr(_child, "_CODE", code)
    monkeypatch.setattr(_child, "_START", 1)
    monkeypatch.setattr(_child, "_BUSY", 1)
    monkeypatch.setattr(ctl.settings, "check_seconds", 1)
    with pytest.raises(ChromatellError, match=f"child process, which .*{said}.*refused"):
        ctl.io.read(path)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows counts no seconds of the processor here")
def test_the_child_counts_its_own_seconds_of_the_processor(path, monkeypatch):
    """On a busy machine it may take long by the clock; what computes for ever is ended all the same."""
    begin = _child._CODE.rpartition("main(")[0]
    waits = begin + "import time; time.sleep(3); main(sys.argv[1:])"
    monkeypatch.setattr(_child, "_CODE", waits)
    monkeypatch.setattr(_child, "_START", 1)
    monkeypatch.setattr(ctl.settings, "check_seconds", 1)
    assert ctl.io.read(path).shape == (3, 2)
    monkeypatch.setattr(_child, "_KNOWN", set())
    spins = begin + "import itertools; from chromatell.io import _look; "
    spins += "_look.look = lambda *a: [None for _ in itertools.count() if False]; main(sys.argv[1:])"
    monkeypatch.setattr(_child, "_CODE", spins)
    with pytest.raises(ChromatellError, match="used up 2 s of the processor: .*busy machine"):
        ctl.io.read(path)


def test_where_no_child_can_be_started_the_guard_here_is_left(path, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/no/such/python3")
    assert ctl.io.read(path).shape == (3, 2)
    monkeypatch.setattr(sys, "executable", "/usr/bin/server")
    assert ctl.io.read(path).shape == (3, 2)


def test_the_child_reads_text_and_numbers(path, monkeypatch):
    seen = []
    read = h5py.Dataset.__getitem__
    monkeypatch.setattr(h5py.Dataset, "__getitem__", lambda self, key: seen.append(self.name) or read(self, key))
    _look.look(path)
    wanted = ["/obs/_index", "/obs/type/categories", "/obs/type/codes", "/X", "/uns/ctl/models/m/arrays/b"]
    read_of = [part.removesuffix("/values") for part in seen]  # text of pandas 3 is a group, of values and a mask
    assert set(wanted) <= set(read_of)
    seen.clear()
    monkeypatch.setattr(_look, "_NUMBERS", 0)
    _look.look(path)
    assert "/obs/type/categories" in [part.removesuffix("/values") for part in seen]
    assert "/X" not in seen
    seen.clear()
    _look.look(path, "uns/ctl/models")
    _look.look(path, "uns/not/there")
    assert all(name.startswith("/uns/ctl/models") for name in seen)


def test_a_zarr_store_is_looked_at_once_in_a_child_too(path, started, tmp_path, monkeypatch):
    adata = ctl.io.read(path)
    adata.write_zarr(tmp_path / "theirs.zarr")
    calls = len(started)
    ctl.io.read(tmp_path / "theirs.zarr")
    ctl.io.read(tmp_path / "theirs.zarr")
    assert len(started) == calls + 1
    assert read_record_file(tmp_path / "theirs.zarr").family == "dense"  # a part of it, walked by itself
    calls = len(started)
    chunk = next(p for p in (tmp_path / "theirs.zarr" / "X").rglob("*") if p.is_file() and p.name != "zarr.json")
    chunk.write_bytes(chunk.read_bytes())
    ctl.io.check_file(tmp_path / "theirs.zarr")
    assert len(started) == calls + 1  # a chunk was written anew
    ctl.io.read(ctl.io.write(adata, tmp_path / "ours.zarr"))
    tracks = ctl.data.BinnedTracks({"chr1": np.ones((1, 40))}, ["a"], chrom_sizes={"chr1": 2000})
    tracks.save(tmp_path / "tracks.zarr")
    ctl.data.BinnedTracks.open(tmp_path / "tracks.zarr")
    assert len(started) == calls + 1
    monkeypatch.setattr(_child, "_KNOWN", set())
    assert ctl.data.BinnedTracks.open(tmp_path / "tracks.zarr").names == ["a"]
    assert len(started) == calls + 2
    monkeypatch.setattr(_child, "_CODE", "import os; os.kill(os.getpid(), 11)")
    chunk.write_bytes(chunk.read_bytes())
    with pytest.raises(ChromatellError, match="theirs.zarr was first opened in a child process, which .*signal 11"):
        ctl.io.read(tmp_path / "theirs.zarr")


def test_the_child_reads_text_and_numbers_of_a_store(path, tmp_path, monkeypatch):
    ctl.io.read(path).write_zarr(tmp_path / "x.zarr")
    seen = []
    read = zarr.Array.__getitem__
    monkeypatch.setattr(zarr.Array, "__getitem__", lambda self, key: seen.append(self.path) or read(self, key))
    _look.look(tmp_path / "x.zarr")
    wanted = {"obs/_index", "obs/type/categories", "obs/type/codes", "X", "uns/ctl/models/m/arrays/b"}
    assert wanted <= {part.removesuffix("/values") for part in seen}
    seen.clear()
    monkeypatch.setattr(_look, "_NUMBERS", 0)
    _look.look(tmp_path / "x.zarr")
    assert "obs/type/categories" in [part.removesuffix("/values") for part in seen]
    assert "X" not in seen


def test_a_bigwig_is_looked_at_in_a_child(started, tmp_path, monkeypatch):
    pytest.importorskip("pybigtools")
    tracks = ctl.data.BinnedTracks({"chr1": np.arange(40.0)[None]}, ["a"], chrom_sizes={"chr1": 2000})
    ctl.io.bigwig.write(tracks, tmp_path / "a.bw")
    ctl.io.bigwig.read(tmp_path / "a.bw")
    assert started == []
    monkeypatch.setattr(_child, "_KNOWN", set())
    for _ in range(2):
        assert ctl.io.bigwig.read(tmp_path / "a.bw")["chr1"].tolist() == list(range(40))
    assert len(started) == 1
    (tmp_path / "a.bw").write_bytes((tmp_path / "a.bw").read_bytes())
    monkeypatch.setattr(_child, "_CODE", "import os; os.kill(os.getpid(), 11)")
    with pytest.raises(ChromatellError, match="a.bw was first opened in a child process, which .*signal 11"):
        ctl.io.bigwig.read(tmp_path / "a.bw")
