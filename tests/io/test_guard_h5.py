"""Crafted HDF5 files: each is refused by its metadata, wherever the trap stands, and nothing in it runs."""

from __future__ import annotations

import pickle
import shutil
import zlib
from pathlib import Path

import h5py
import mudata
import numpy as np
import pytest
from tests.helpers import Trap

from chromatell import ChromatellError
from chromatell._compat import no_pull
from chromatell.io import check_file, import_model, read, read_record_file

MODEL = "uns/ctl/models/my.model-1"


@pytest.fixture
def path(stores, tmp_path) -> Path:
    shutil.copy(stores / "x.h5mu", tmp_path / "x.h5mu")
    with h5py.File(tmp_path / "secret.h5", "w") as f:
        f["data"] = np.arange(6.0)
    (tmp_path / "secret.bin").write_bytes(b"\0" * 4096)
    return tmp_path / "x.h5mu"


def external_link(g, tmp_path):
    g["trap"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "/data")


def soft_link(g, tmp_path):
    g["trap"] = h5py.SoftLink("/obs")


def external_storage(g, tmp_path):
    g.create_dataset("trap", shape=(6,), dtype="f8", external=[(str(tmp_path / "secret.bin"), 0, 48)])


def virtual(g, tmp_path):
    layout = h5py.VirtualLayout(shape=(6,), dtype="f8")
    layout[:] = h5py.VirtualSource(str(tmp_path / "secret.h5"), "data", shape=(6,))
    g.create_virtual_dataset("trap", layout)


def pickled_object(g, tmp_path):
    data = g.create_dataset("trap", (1,), dtype=h5py.vlen_dtype(np.uint8))
    data[0] = np.frombuffer(pickle.dumps(Trap(tmp_path / "ran")), "uint8")


def opaque(g, tmp_path):
    raw = pickle.dumps(Trap(tmp_path / "ran"))
    g["trap"] = np.void(raw)


def reference(g, tmp_path):
    g.create_dataset("trap", data=g.file["obs"].ref, dtype=h5py.ref_dtype)


def reference_in_a_record(g, tmp_path):
    g.create_dataset("trap", (2,), dtype=np.dtype([("a", "f4"), ("b", h5py.ref_dtype)]))


def reference_in_an_attribute(g, tmp_path):
    g.attrs.create("trap", g.file["obs"].ref, dtype=h5py.ref_dtype)


def named_type(g, tmp_path):
    g["trap"] = np.dtype("f8")


def cycle(g, tmp_path):
    g["trap"] = g


def unknown_filter(g, tmp_path):
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk((4,))
    plist.set_filter(31999, h5py.h5z.FLAG_OPTIONAL, ())
    h5py.h5d.create(g.id, b"trap", h5py.h5t.NATIVE_FLOAT, h5py.h5s.create_simple((4,)), plist)


TRAPS = {
    external_link: "trap is a link to another file",
    soft_link: "trap is a soft link",
    external_storage: "keeps its values in another file",
    virtual: "virtual dataset",
    pickled_object: "objects of variable length .*a pickle",
    opaque: "opaque bytes .*a pickle",
    reference: "references",
    reference_in_a_record: "references|compound",
    reference_in_an_attribute: "@trap holds references",
    named_type: "named HDF5 type",
    cycle: "contains itself",
    unknown_filter: "HDF5 filter 31999",
}


@pytest.mark.parametrize("trap", TRAPS, ids=lambda t: t.__name__)
@pytest.mark.parametrize("place", [MODEL, f"{MODEL}/weights", "mod/rna/obsm"])
def test_traps_are_refused_by_metadata(trap, place, path, tmp_path, monkeypatch):
    with h5py.File(path, "r+") as f:
        trap(f[place], tmp_path)

    def never(*args, **kwargs):
        raise AssertionError("data were read before the check was over")

    monkeypatch.setattr(h5py.Dataset, "__getitem__", never)
    in_model = place.startswith(MODEL)
    calls = [lambda: check_file(path), lambda: read(path)]
    if in_model:
        calls += [lambda: read_record_file(path), lambda: import_model(path)]
    for call in calls:
        with pytest.raises(ChromatellError, match=TRAPS[trap]):
            call()
    assert not (tmp_path / "ran").exists()


def test_only_the_model_is_read_never_the_cells(path, record):
    with h5py.File(path, "r+") as f:
        del f["mod"]
        f["mod"] = h5py.ExternalLink("/nowhere.h5", "/mod")
    assert read_record_file(path).config == record.config


@pytest.mark.parametrize("link", ["external", "soft"])
@pytest.mark.parametrize("step", ["uns", "uns/ctl", "uns/ctl/models", MODEL])
def test_no_step_on_the_way_to_the_model_may_be_a_link(step, link, path, tmp_path):
    other = tmp_path / "other.h5mu"
    other.write_bytes(path.read_bytes())
    with h5py.File(path, "r+") as f:
        f.move("uns", "elsewhere")
        if step != "uns":
            f.copy("elsewhere", "uns")
            del f[step]
        inner = step.replace("uns", "elsewhere", 1)
        f[step] = h5py.ExternalLink(str(other), f"/{step}") if link == "external" else h5py.SoftLink(f"/{inner}")
    with pytest.raises(ChromatellError, match="is a (soft )?link"):
        read_record_file(path)


def test_text_arrays_in_a_model_are_refused(path):
    with h5py.File(path, "r+") as f:
        f[f"{MODEL}/weights"].create_dataset("trap", data=["a", "b"], dtype=h5py.string_dtype())
    with pytest.raises(ChromatellError, match="only numbers may stand there"):
        read_record_file(path)


def gzip_bomb(g):
    g.create_dataset("trap", (400_000_000,), dtype="f8", chunks=(500_000,), compression="gzip")


def unallocated(g):
    g.create_dataset("trap", (400_000_000,), dtype="f8")


def written_zeros(g):
    data = g.create_dataset("trap", (2**28,), dtype="f4", chunks=(2**20,), compression="gzip")
    block = zlib.compress(bytes(2**22))
    for start in range(0, 2**28, 2**20):
        data.id.write_direct_chunk((start,), block)


@pytest.mark.parametrize("bomb", [gzip_bomb, unallocated, written_zeros], ids=lambda b: b.__name__)
@pytest.mark.parametrize("place", [f"{MODEL}/weights", "uns/mine"])
def test_a_small_file_that_inflates_to_gigabytes(bomb, place, path, little_memory):
    with h5py.File(path, "r+") as f:
        bomb(f[place])
        f[place].create_dataset("more", (100_000_000,), dtype="f4")
    assert path.stat().st_size < 3e6
    with pytest.raises(ChromatellError, match="would inflate to|take .* or more in memory"):
        read(path)
    if place.startswith(MODEL):
        with pytest.raises(ChromatellError, match="would inflate to"):
            read_record_file(path)


def test_one_chunk_that_inflates_is_refused(path):
    with h5py.File(path, "r+") as f:
        f[f"{MODEL}/weights"].create_dataset(
            "trap", (1,), maxshape=(None,), dtype="f4", chunks=(2**22,), compression="gzip"
        )
    with pytest.raises(ChromatellError, match="compressed chunk of 16777216 bytes"):
        read_record_file(path)


def test_sizes_are_bounded(path):
    with pytest.raises(ChromatellError, match="or more in memory"):
        read(path, max_bytes=100)
    with h5py.File(path, "r+") as f:
        f[f"{MODEL}/weights"].create_dataset("trap", (2**30,), dtype="f8")
    with pytest.raises(ChromatellError, match="at most 4 GB"):
        read_record_file(path)


def test_depth_and_number_of_keys_are_bounded(path):
    with h5py.File(path, "r+") as f:
        f.create_group(f"{MODEL}/a/b/c/d/e")
    with pytest.raises(ChromatellError, match="nested 5 deep; at most 4"):
        read_record_file(path)
    with h5py.File(path, "r+") as f:
        del f[f"{MODEL}/a"]
        group = f.create_group(f"{MODEL}/many")
        for i in range(10_001):
            group.create_group(str(i))
    with pytest.raises(ChromatellError, match="at most 10000 are read"):
        read_record_file(path)


@pytest.mark.parametrize("keep", [0.0, 0.001, 0.3, 0.9, 0.999])
def test_a_file_cut_short_is_one_clear_error(keep, path):
    raw = path.read_bytes()
    path.write_bytes(raw[: int(len(raw) * keep)])
    for call in (read, check_file, read_record_file):
        with pytest.raises(ChromatellError, match="cut short, damaged or of another format: copy or download it again"):
            call(path)


def test_foreign_files(tmp_path):
    (tmp_path / "text.h5mu").write_text("this is no HDF5 file\n" * 100)
    with h5py.File(tmp_path / "other.h5", "w") as f:
        f["x"] = np.arange(3)
    for call in (read, read_record_file):
        with pytest.raises(ChromatellError, match="of another format"):
            call(tmp_path / "text.h5mu")
        with pytest.raises(ChromatellError, match="no file or folder at"):
            call(tmp_path / "nowhere.h5mu")
    with pytest.raises(ChromatellError, match="There is no model in"):
        read_record_file(tmp_path / "other.h5")
    with pytest.raises(ChromatellError, match="is no .h5ad, .h5mu or .zarr. ctl.datasets.multiome_10x"):
        read(tmp_path / "other.h5")


def test_damage_inside_is_never_a_trace_of_h5py(path, record):
    """Whatever byte of the file is changed, the model is read as it was or refused with our own error."""
    raw = bytearray(path.read_bytes())
    rng = np.random.default_rng(0)
    refused = 0
    for position in rng.integers(0, len(raw), 80):
        damaged = raw.copy()
        damaged[position] ^= 0xFF
        path.write_bytes(damaged)
        try:
            found = read_record_file(path)
        except ChromatellError:
            refused += 1
        else:
            assert found.config == record.config
    assert refused > 0


def test_unknown_key_lists_those_there(path):
    with pytest.raises(ChromatellError, match=r"no model 'x' in .*x.h5mu; choose one of 'my.model-1'"):
        read_record_file(path, "x")


def test_good_files_pass(path, data_dir):
    check_file(path)
    assert read(path).shape == (5, 3)
    for file in sorted((data_dir / "multiome").glob("*.h5mu")):
        check_file(file)
    small = data_dir / "multiome" / "bmmc_500cells.h5mu"
    with no_pull():
        assert read(small).shape == mudata.read_h5mu(small).shape
