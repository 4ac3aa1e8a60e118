"""Tracks in a Zarr store: what is saved comes back, and what is not ours is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import anndata as ad
import numpy as np
import pytest
import zarr
from tests.data.made_tracks import SIZES, same

import chromatell as ctl
from chromatell.data._tracks_store import TracksWriter


def test_what_is_saved_comes_back_the_same(full, tmp_path):
    full.save(tmp_path / "t.zarr")
    back = ctl.data.BinnedTracks.open(tmp_path / "t.zarr")
    same(back, full)
    assert back.uns == full.uns
    assert not back.in_memory
    assert "on disk" in repr(back)
    np.testing.assert_array_equal(back.values("chr1", "minus", bins=slice(4, 9)), full.values("chr1", "minus")[:, 4:9])
    loaded = ctl.data.BinnedTracks.open(tmp_path / "t.zarr", load=True)
    same(loaded, full)
    assert loaded.in_memory
    with pytest.raises(ctl.ChromatellError, match="overwrite=True"):
        full.save(tmp_path / "t.zarr")
    back.select(["plus"]).save(tmp_path / "t2.zarr")  # from a store to a store
    same(ctl.data.BinnedTracks.open(tmp_path / "t2.zarr"), full.select(["plus"]))
    full.save(tmp_path / "t.zarr", overwrite=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["t.zarr", "t2.zarr"]


def test_odd_names_of_chromosomes_and_zeros_survive(tmp_path):
    sizes = {"HLA-A*01:01": 500, "..": 100, "zarr.json": 50, "a/b": 70}
    values = {c: np.zeros((1, -(-n // 50)), dtype=np.float32) for c, n in sizes.items()}
    values["a/b"][0, 1] = 3
    tracks = ctl.data.BinnedTracks(values, ["../x"], chrom_sizes=sizes)
    tracks.save(tmp_path / "t.zarr")
    same(ctl.data.BinnedTracks.open(tmp_path / "t.zarr"), tracks)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["t.zarr"]


def test_memory_mapped_arrays_are_used_as_they_are(tmp_path):
    mapped = np.memmap(tmp_path / "m.bin", dtype="float32", mode="w+", shape=(1, 20))
    mapped[0, 3] = 5
    tracks = ctl.data.BinnedTracks({"chr1": mapped}, ["a"], chrom_sizes=SIZES)
    assert not tracks.in_memory
    assert tracks.values("chr1")[0, 3] == 5
    assert tracks.load().in_memory


def test_a_store_over_the_limit_is_not_loaded(full, tmp_path, monkeypatch):
    full.save(tmp_path / "t.zarr")
    monkeypatch.setattr(ctl.settings, "dense_limit", 100)
    back = ctl.data.BinnedTracks.open(tmp_path / "t.zarr")
    assert back.values("chr2", "plus").shape == (1, 9)
    with pytest.raises(ctl.ChromatellError, match="above ctl.settings.dense_limit"):
        back.load()


def test_a_writer_that_fails_leaves_nothing(tmp_path, table):
    writer = TracksWriter(tmp_path / "t.zarr", table.set_index("name"), chrom_sizes=SIZES, bin_size=50)

    def half() -> None:
        with writer:
            writer.write("chr1", np.zeros((2, 20), dtype=np.float32))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        half()
    assert list(tmp_path.iterdir()) == []


def change_manifest(path: Path, change) -> None:
    file = path / "zarr.json"
    root = json.loads(file.read_text())
    said = json.loads(root["attributes"]["manifest"])
    change(said)
    root["attributes"]["manifest"] = json.dumps(said)
    file.write_text(json.dumps(root))


@pytest.mark.parametrize(
    ("change", "cure"),
    [
        (lambda s: s.update(schema=9, needs="1.2.0"), r"has schema 9, this version reads 1\. Release 1\.2\.0 reads it"),
        (lambda s: s.update(schema=9, needs="rm -rf"), "reads 1. Upgrade it: pip install --upgrade chromatell"),
        (lambda s: s.pop("table"), "lacks one of"),
        (lambda s: s.update(bin_size=10), "100 bins are needed"),
        (lambda s: s.update(bin_size="50"), "bin_size='50'"),
        (lambda s: s["chrom_sizes"].append(["chr3", 100]), "lacks values/chr3"),
        (lambda s: s["chrom_sizes"].append(["chr3", -1]), "not the length of a chromosome"),
        (lambda s: s["table"]["name"].append("more"), "no store of tracks that can be read"),
        (lambda s: s["layers"].update(raw=["no"]), "no track 'no'"),
        (lambda s: s["layers"].update({"../..": ["me3"]}), "cannot be stored"),
        (lambda s: s.update(layers=3), "no store of tracks that can be read"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(full, tmp_path, change, cure):
    full.save(tmp_path / "t.zarr")
    change_manifest(tmp_path / "t.zarr", change)
    with pytest.raises(ctl.ChromatellError, match=cure):
        ctl.data.BinnedTracks.open(tmp_path / "t.zarr")


def test_a_strangers_store_is_checked_before_it_is_read(full, tmp_path):
    path = tmp_path / "t.zarr"
    full.save(path)
    array = path / "values" / "chr1" / "zarr.json"
    original = array.read_text()
    array.write_text(original.replace('"float32"', '"variable_length_bytes"'))
    with pytest.raises(ctl.ChromatellError, match="refused"):
        ctl.data.BinnedTracks.open(path)
    array.write_text(original)
    (path / "values" / "link").symlink_to(tmp_path)
    with pytest.raises(ctl.ChromatellError, match="link to another place"):
        ctl.data.BinnedTracks.open(path)
    (path / "values" / "link").unlink()
    zarr.open_group(str(path), mode="a")["splits/chr1"][:] = np.full(20, 7, dtype=np.int8)
    with pytest.raises(ctl.ChromatellError, match="other codes than"):
        ctl.data.BinnedTracks.open(path)


FUZZ = """
import sys
from pathlib import Path
import numpy as np
import chromatell as ctl
ctl.settings.check_seconds = 0  # what is tried is this process's own reading
rng = np.random.default_rng(0)
path = Path(sys.argv[1])
files = sorted(p for p in path.rglob("*") if p.is_file())
outcomes = {"read": 0, "refused": 0}
for i in range(200):
    file = files[i % len(files)]
    raw = file.read_bytes()
    changed = bytearray(raw)
    for _ in range(int(rng.integers(1, 4))):
        changed[int(rng.integers(0, len(raw)))] = int(rng.integers(0, 256))
    file.write_bytes(changed)
    try:
        tracks = ctl.data.BinnedTracks.open(path)
        for chrom in tracks.chroms:
            tracks.values(chrom)
        outcomes["read"] += 1
    except ctl.ChromatellError:
        outcomes["refused"] += 1
    file.write_bytes(raw)
print(outcomes)
"""


def test_altered_bytes_end_in_values_or_one_kind_of_error_never_in_a_crash(full, tmp_path):
    full.save(tmp_path / "t.zarr")
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FUZZ, str(tmp_path / "t.zarr")],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert run.returncode == 0, run.stderr[-800:]
    assert int(run.stdout.rstrip("}\n").split()[-1]) > 40


def test_a_damaged_chunk_is_said_when_it_is_read(full, tmp_path):
    full.save(tmp_path / "t.zarr")
    chunk = tmp_path / "t.zarr" / "values" / "chr1" / "c" / "0" / "0"
    raw = bytearray(chunk.read_bytes())
    raw[20:] = bytes(len(raw) - 20)
    raw[0] = 99
    chunk.write_bytes(raw)
    tracks = ctl.data.BinnedTracks.open(tmp_path / "t.zarr")
    np.testing.assert_array_equal(tracks.values("chr2"), full.values("chr2"))
    with pytest.raises(ctl.ChromatellError, match="the store is damaged"):
        tracks.values("chr1")


def test_other_stores_and_files_are_named(tmp_path):
    ad.AnnData(np.ones((2, 2), dtype=np.float32)).write_zarr(tmp_path / "a.zarr")
    with pytest.raises(ctl.ChromatellError, match="not of tracks"):
        ctl.data.BinnedTracks.open(tmp_path / "a.zarr")
    with pytest.raises(ctl.ChromatellError, match="not a Zarr store"):
        ctl.data.BinnedTracks.open(tmp_path / "no.zarr")


def test_a_store_is_named_as_one(full, tmp_path):
    with pytest.raises(ctl.ChromatellError, match=r"notes.txt' must end in .zarr: tracks become a Zarr store"):
        full.save(tmp_path / "notes.txt")
    assert list(tmp_path.iterdir()) == []


def test_what_json_cannot_hold_is_said_before_anything_is_written(tracks, tmp_path):
    tracks.uns["array"] = np.zeros(3)
    with pytest.raises(ctl.ChromatellError, match="cannot be stored"):
        tracks.save(tmp_path / "t.zarr")
    assert list(tmp_path.iterdir()) == []


# as an AnnData
