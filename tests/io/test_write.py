"""Writing: nothing of the user's is lost, and what a full disk, missing rights or a kill do to it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import anndata
import mudata
import numpy as np
import pandas as pd
import pytest

import chromatell as ctl
from chromatell import ChromatellError
from chromatell._compat import plain_strings
from chromatell.io import Record, _write, _zarr_memory
from chromatell.io._replace import check_target

REGIONS = pd.DataFrame(index=["chr1:0-500", "chr1:500-1000"])


def small_mdata(value: float = 1.0) -> mudata.MuData:
    rna = anndata.AnnData(np.full((3, 2), value, "float32"))
    return mudata.MuData({"rna": rna})


def small_tracks(value: float = 1.0):
    return ctl.data.BinnedTracks({"chr1": np.array([[0, value, 5]])}, ["signal"], chrom_sizes={"chr1": 120})


def write_predictions(path: Path, value: float = 0.5, overwrite: bool = False) -> None:
    with ctl.io.PredictionWriter(path, ["c1", "c2"], REGIONS, overwrite=overwrite) as writer:
        writer.write(slice(0, 2), slice(0, 2), np.full((2, 2), value))


WRITERS = {
    "h5mu": lambda p, o: ctl.io.write(small_mdata(), p, overwrite=o),
    "h5ad": lambda p, o: ctl.io.write(small_mdata().mod["rna"], p, overwrite=o),
    "zarr": lambda p, o: ctl.io.write(small_mdata(), p, overwrite=o),
    "tracks.zarr": lambda p, o: small_tracks().save(p, overwrite=o),
    "predictions.zarr": lambda p, o: write_predictions(p, overwrite=o),
    "bw": lambda p, o: ctl.io.bigwig.write(small_tracks(), p, overwrite=o),
    "safetensors": lambda p, o: ctl.io.save_record(Record("dense", 1, {}, {"b": np.zeros(2)}), p, overwrite=o),
}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("kind", WRITERS)
def test_only_its_own_kind_is_replaced_and_only_when_asked(kind, tmp_path):
    path, write = tmp_path / f"x.{kind}", WRITERS[kind]
    write(path, False)
    first = contents(tmp_path)
    with pytest.raises(ChromatellError, match=r"exists\. Choose another path, or pass overwrite=True"):
        write(path, False)
    assert contents(tmp_path) == first
    write(path, True)
    assert contents(tmp_path).keys() == first.keys()

    _write.remove(path)
    if kind != "safetensors":  # a folder gets the model as a file in it
        path.mkdir()
        (path / "thesis.txt").write_text("years of work")
        before = contents(tmp_path)
        with pytest.raises(ChromatellError, match="so it is not replaced|is a folder"):
            write(path, True)
        assert contents(tmp_path) == before
        shutil.rmtree(path)
    path.write_text("years of work")
    with pytest.raises(ChromatellError, match="so it is not replaced"):
        write(path, True)
    assert path.read_text() == "years of work"


@pytest.mark.parametrize("kind", ["zarr", "tracks.zarr", "predictions.zarr"])
@pytest.mark.parametrize("where", ["", "deep"])
def test_a_store_with_a_users_file_in_it_stays(kind, where, tmp_path):
    path, write = tmp_path / f"x.{kind}", WRITERS[kind]
    write(path, False)
    group = path if not where else next(p for p in sorted(path.iterdir()) if p.is_dir())
    (group / "notes.txt").write_text("mine")
    before = contents(tmp_path)
    with pytest.raises(ChromatellError, match=r"and nothing else, so it is not replaced"):
        write(path, True)
    assert contents(tmp_path) == before


def test_one_kind_of_store_is_not_replaced_by_another(tmp_path):
    stores = {kind: tmp_path / f"x.{kind}" for kind in ("zarr", "tracks.zarr", "predictions.zarr")}
    for kind, path in stores.items():
        WRITERS[kind](path, False)
    for kind, other in (("tracks.zarr", "zarr"), ("predictions.zarr", "zarr"), ("zarr", "tracks.zarr")):
        with pytest.raises(ChromatellError, match="so it is not replaced"):
            WRITERS[kind](stores[other], True)


def test_a_readme_of_the_users_stays(tmp_path):
    mdata = small_mdata()
    ctl.io.write_record(mdata, "m", Record("dense", 1, {}, {"b": np.zeros(2)}))
    (tmp_path / "README.md").write_text("# My project")
    with pytest.raises(ChromatellError, match="card of a model"):
        ctl.io.export_model(mdata, "m", tmp_path, overwrite=True)
    assert sorted(contents(tmp_path)) == ["README.md"]
    (tmp_path / "README.md").unlink()
    for _ in range(2):
        ctl.io.export_model(mdata, "m", tmp_path, overwrite=True)
    assert sorted(contents(tmp_path)) == ["README.md", "model.safetensors"]


@pytest.mark.parametrize("suffix", [".h5mu", ".zarr"])
def test_write_and_read_are_the_same(suffix, tmp_path):
    mdata = ctl.datasets.simulate_multiome(30, 6, 9, seed=0)
    before = mdata.copy()
    path = ctl.io.write(mdata, tmp_path / "new folder" / f"x{suffix}", compression="gzip")
    found = ctl.io.read(path)
    for name in ("rna", "atac"):
        assert (found.mod[name].X != before.mod[name].X).sum() == 0
        pd.testing.assert_frame_equal(mdata.mod[name].var, before.mod[name].var)  # of text stay of text
        pd.testing.assert_frame_equal(
            found.mod[name].var.astype(before.mod[name].var.dtypes), before.mod[name].var, check_names=False
        )
    assert list(found.obs.columns) == list(before.obs.columns) == list(mdata.obs.columns)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_what_write_refuses(tmp_path):
    with pytest.raises(ChromatellError, match=r"must end in \.h5mu or \.zarr"):
        ctl.io.write(small_mdata(), tmp_path / "x.h5ad")
    with pytest.raises(ChromatellError, match=r"tracks\.save"):
        ctl.io.write(small_tracks(), tmp_path / "x.zarr")
    (tmp_path / "file").write_text("")
    with pytest.raises(ChromatellError, match="is a file, not a folder"):
        ctl.io.write(small_mdata(), tmp_path / "file" / "x.h5mu")
    ctl.io.write(small_mdata().mod["rna"], tmp_path / "x.h5ad")
    backed = anndata.read_h5ad(tmp_path / "x.h5ad", backed="r")
    with pytest.raises(ChromatellError, match="is being read"):
        ctl.io.write(backed, tmp_path / "x.h5ad", overwrite=True)
    ctl.io.write(backed, tmp_path / "y.h5ad")
    assert Path(backed.filename).name == "x.h5ad"
    assert anndata.read_h5ad(tmp_path / "y.h5ad").X.sum() == 6


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    ctl.io.write(small_mdata(1), tmp_path / "real" / "x.h5mu")
    (tmp_path / "x.h5mu").symlink_to(tmp_path / "real" / "x.h5mu")
    ctl.io.write(small_mdata(2), tmp_path / "x.h5mu", overwrite=True)
    assert (tmp_path / "x.h5mu").is_symlink()
    assert ctl.io.read(tmp_path / "real" / "x.h5mu").mod["rna"].X.mean() == 2


def test_who_writes_first_keeps_the_name(tmp_path):
    """Two processes that found nothing at a path: the second one says so and changes nothing."""
    path = tmp_path / "p.zarr"
    writer = ctl.io.PredictionWriter(path, ["c1"], REGIONS)
    writer.__enter__()
    writer.write(slice(0, 1), slice(0, 2), np.ones((1, 2)))
    write_predictions(path, 0.25)
    with pytest.raises(ChromatellError, match="another process wrote it"):
        writer.__exit__(None, None, None)
    assert (ctl.io.open_prediction(path).to_memory().X == 0.25).all()

    def late() -> None:
        with _write.sibling(tmp_path / "f.txt", overwrite=False) as temporary:
            temporary.write_text("mine")
            (tmp_path / "f.txt").write_text("theirs")

    with pytest.raises(ChromatellError, match="another process wrote it"):
        late()
    assert contents(tmp_path)["f.txt"] == b"theirs"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["f.txt", "p.zarr"]


def dead_process() -> int:
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    return int(ended.stdout)


def test_leftovers_of_a_killed_write_are_swept_and_said(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(ctl.io._write.logger, "propagate", True)
    target, ours = tmp_path / "x.h5mu", _write._machine()
    dead, alive = dead_process(), os.getppid()
    left = tmp_path / f".x.h5mu.{ours}-{dead}-0123abcd.tmp"
    kept = [
        tmp_path / f".x.h5mu.{ours}-{alive}-0123abcd.tmp",  # somebody writes it
        tmp_path / f".x.h5mu.00000000-{dead}-0123abcd.tmp",  # of another machine, and new
        tmp_path / f".y.h5mu.{ours}-{dead}-0123abcd.tmp",  # of another file
        tmp_path / ".x.h5mu.mine.tmp",
    ]
    for path in (left, *kept):
        path.write_text("half")
    ctl.io.write(small_mdata(), target)
    assert sorted(tmp_path.iterdir()) == sorted([target, *kept])
    assert f"Removed {left.name}" in caplog.text
    old = kept[1]
    os.utime(old, (0, 0))
    _write.sweep(target)
    assert not old.exists()


def test_a_store_that_was_moved_aside_comes_back(tmp_path, monkeypatch):
    """Where names cannot be exchanged, a kill between two renames leaves the old store whole, and it is put back."""
    path = tmp_path / "p.zarr"
    write_predictions(path, 0.25)
    aside = tmp_path / f".p.zarr.{_write._machine()}-{dead_process()}-0123abcd.tmp.old"
    path.rename(aside)
    _write.sweep(path)
    assert (ctl.io.open_prediction(path).to_memory().X == 0.25).all()
    for exchange in (_write._exchange, lambda *_: False):
        monkeypatch.setattr(_write, "_exchange", exchange)
        write_predictions(path, 0.75, overwrite=True)
        assert [p.name for p in tmp_path.iterdir()] == ["p.zarr"]
        assert (ctl.io.open_prediction(path).to_memory().X == 0.75).all()


KILLED = """
    import os, sys
    sys.path.insert(0, {tests!r})
    import anndata.io, pybigtools, zarr
    from test_write import WRITERS, _write
    for kind in {kinds!r}:
        if os.fork() == 0:  # killed when all is written and nothing has its name yet
            _write._place_file = _write._place_folder = lambda *args: os.kill(os.getpid(), 9)
            WRITERS[kind]({path!r} + "/x." + kind, True)
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.wait()[1]))
"""


def test_killed_in_the_middle(tmp_path):
    kinds = ["h5mu", "zarr", "tracks.zarr", "bw", "safetensors"]
    for kind in kinds:
        WRITERS[kind](tmp_path / f"x.{kind}", False)
    first = contents(tmp_path)
    script = textwrap.dedent(KILLED).format(tests=str(Path(__file__).parent), path=str(tmp_path), kinds=kinds)
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == [str(-signal.SIGKILL)] * len(kinds)
    after = contents(tmp_path)
    assert {name: raw for name, raw in after.items() if name in first} == first
    assert {name.split("/")[0][0] for name in after.keys() - first.keys()} == {"."}
    for kind in kinds:
        WRITERS[kind](tmp_path / f"x.{kind}", True)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(f"x.{kind}" for kind in kinds)


FULL = """
    import resource
    import numpy as np
    import chromatell as ctl
    from chromatell import ChromatellError
    rng = np.random.default_rng(0)
    big = rng.random((400, 400)).astype("float32")
    import anndata.io, mudata, zarr, pybigtools, safetensors.numpy
    mdata = mudata.MuData({{"rna": anndata.AnnData(big)}})
    tracks = ctl.data.BinnedTracks({{"chr1": rng.random((2, 100_000))}}, ["a", "b"], chrom_sizes={{"chr1": 5_000_000}})
    record = ctl.io.Record("dense", 1, {{}}, {{"b": big}})
    import pandas as pd
    def predictions(path):
        var = pd.DataFrame(index=[f"chr1:{{i}}-{{i + 1}}" for i in range(400)])
        with ctl.io.PredictionWriter(path, [f"c{{i}}" for i in range(400)], var) as writer:
            writer.write(slice(0, 400), slice(0, 400), big)
    calls = {{
        "x.h5mu": lambda p: ctl.io.write(mdata, p),
        "x.h5ad": lambda p: ctl.io.write(mdata.mod["rna"], p),
        "x.zarr": lambda p: ctl.io.write(mdata, p),
        "t.zarr": tracks.save,
        "p.zarr": predictions,
        "folder": lambda p: ctl.io.bigwig.write(tracks, p),
        "m.safetensors": lambda p: ctl.io.save_record(record, p),
    }}
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    for name, call in calls.items():
        try:
            call({path!r} + "/" + name)
        except ChromatellError as error:
            print(name, error)
        else:
            print(name, "no error")
"""


def test_a_full_disk_is_one_error_of_ours(tmp_path):
    """A limit on the size of files stands for a disk that fills: the same error comes out of the same call."""
    script = textwrap.dedent(FULL).format(path=str(tmp_path))
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert len(lines) == 7
    for line in lines:
        assert "could not be written: it would be larger than files may be here. Nothing was changed there." in line
    assert "Exception ignored" not in ended.stderr  # only pybigtools speaks, a panic of Rust's, which cannot be caught
    assert "h5py" not in ended.stderr
    assert [p.name for p in tmp_path.rglob("*") if p.name != "folder"] == []


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_no_rights(tmp_path):
    tmp_path.chmod(0o500)
    for kind, write in WRITERS.items():
        with pytest.raises(ChromatellError, match="is not writable"):
            write(tmp_path / f"x.{kind}", False)
    tmp_path.chmod(0o700)


def test_rights_that_are_missed_only_on_writing(tmp_path):
    def failing(error: Exception) -> None:
        with _write.sibling(tmp_path / "x") as temporary:
            temporary.write_text("half")
            raise error

    for error in (PermissionError(13, "Permission denied"), OSError(28, "No space"), RuntimeError("(os error 30)")):
        with pytest.raises(ChromatellError, match=r"could not be written: (you may not|there is no room|the disk is)"):
            failing(error)
    with pytest.raises(PermissionError), _write.sibling(tmp_path / "x"):
        raise PermissionError(13, "Permission denied", "/elsewhere/input.fa")  # of a file that was read
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_kind(tmp_path):
    with pytest.raises(ChromatellError, match="kind='cells' is not known"):
        check_target(tmp_path / "x", "cells")


def test_tables_that_to_memory_leaves_as_views_are_written(tmp_path):
    rna = ctl.datasets.simulate_multiome(20, 5, 6, seed=0).mod["rna"]
    rna.varm["t"] = pd.DataFrame({"a": np.arange(5.0), "b": list("vwxyz")}, index=rna.var_names)
    rna.obsm["t"] = pd.DataFrame({"a": ["x"] * 20}, index=rna.obs_names)
    rna.write_h5ad(tmp_path / "rna.h5ad")
    backed = anndata.read_h5ad(tmp_path / "rna.h5ad", backed="r")
    part = backed[:12].to_memory()
    ctl.io.write(part, tmp_path / "part.h5ad")
    found = ctl.io.read(tmp_path / "part.h5ad")
    assert found.varm["t"]["a"].tolist() == [0, 1, 2, 3, 4]
    assert found.varm["t"]["b"].astype(str).tolist() == list("vwxyz")
    assert found.obsm["t"].index.tolist() == rna.obs_names[:12].tolist()
    backed.file.close()


@pytest.mark.parametrize("most", [1 << 26, 100])
def test_a_zarr_store_is_what_mudata_writes_whether_it_fits_into_memory_or_not(tmp_path, monkeypatch, most):
    monkeypatch.setattr(_zarr_memory, "MOST", most)
    mdata = ctl.datasets.simulate_multiome(30, 5, 8, seed=0)
    ctl.io.write(mdata, tmp_path / "ours.zarr")
    with plain_strings():  # as older libraries write text
        mudata.write_zarr(tmp_path / "theirs.zarr", mdata)

    def files(folder: Path) -> dict[Path, bytes]:
        return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}

    assert files(tmp_path / "ours.zarr") == files(tmp_path / "theirs.zarr")
