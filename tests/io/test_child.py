"""A file that this process did not write is opened in a child process first."""

from __future__ import annotations

import sys

import anndata
import h5py
import numpy as np
import pytest

import chromatell as ctl
from chromatell import ChromatellError
from chromatell.io import Record, _child, read_record_file


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
    monkeypatch.setattr(ctl.settings, "check_seconds", 1)
    with pytest.raises(ChromatellError, match=f"child process, which .*{said}.*refused"):
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
    _child.look(path)
    assert {"/obs/_index", "/obs/type/categories", "/obs/type/codes", "/X", "/uns/ctl/models/m/arrays/b"} <= set(seen)
    seen.clear()
    monkeypatch.setattr(_child, "_NUMBERS", 0)
    _child.look(path)
    assert "/obs/type/categories" in seen
    assert "/X" not in seen
    seen.clear()
    _child.look(path, "uns/ctl/models")
    _child.look(path, "uns/not/there")
    assert all(name.startswith("/uns/ctl/models") for name in seen)
