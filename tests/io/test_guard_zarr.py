"""Crafted Zarr stores: each is refused by its metadata files, wherever the trap stands, and nothing in it runs."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from pathlib import Path

import anndata
import numcodecs
import numpy as np
import pytest
import zarr
from tests.helpers import Trap

from chromatell import ChromatellError
from chromatell.io import check_file, content_hash, read, read_record_file

MODEL = "uns/ctl/models/my.model-1"


@pytest.fixture(params=[2, 3])
def version(request) -> int:
    return request.param


@pytest.fixture
def store(version, stores, tmp_path) -> Path:
    return Path(shutil.copytree(stores / f"{version}.zarr", tmp_path / "x.zarr"))


def array_v2(folder: Path, raw: bytes, **kwargs) -> None:
    folder.mkdir()
    metadata = {"shape": [1], "chunks": [1], "dtype": "<f4", "fill_value": None, "order": "C", "filters": None}
    metadata |= {"compressor": None, "zarr_format": 2, **kwargs}
    (folder / ".zarray").write_text(json.dumps(metadata))
    (folder / "0").write_bytes(raw)


def array_v3(folder: Path, raw: bytes, **kwargs) -> None:
    (folder / "c").mkdir(parents=True)
    metadata = {
        "shape": [1],
        "data_type": "float32",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0,
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
        "attributes": {},
        "zarr_format": 3,
        "node_type": "array",
        "storage_transformers": [],
        **kwargs,
    }
    (folder / "zarr.json").write_text(json.dumps(metadata))
    (folder / "c" / "0").write_bytes(raw)


PICKLE = {"id": "pickle", "protocol": 5}
TEXT = {"id": "vlen-utf8"}
TRAPS_V2 = [
    ({"dtype": "|O", "filters": [PICKLE]}, "filter 'pickle'"),
    ({"dtype": "|O", "filters": [TEXT, PICKLE]}, "filter 'pickle'"),  # numcodecs up to 0.16.5 ran this one
    ({"dtype": "<f4", "filters": [PICKLE]}, "filter 'pickle'"),
    ({"dtype": "|O", "filters": [TEXT], "compressor": PICKLE}, "compressor 'pickle'"),
    ({"dtype": "|O", "filters": [{"id": "json2"}]}, "filter 'json2'"),
    ({"dtype": "|O", "filters": [{"id": "vlen-array", "dtype": "<f4"}]}, "filter 'vlen-array'"),
    ({"dtype": "|O"}, "type 'object'"),
    ({"dtype": [["a", "<f4"], ["b", "|O"]]}, "type '|O'|records"),
    ({"dtype": "<f4", "filters": [TEXT]}, "codec for text"),
    ({"dtype": "|V8"}, r"type '\|V8'"),
    ({"dtype": "wild"}, "type 'wild'"),
    ({"shape": [-1]}, "not Zarr's"),
    ({"shape": None}, "not Zarr's"),
    ({"compressor": {"id": "new"}}, "compressor 'new'"),
]
TRAPS_V3 = [
    ({"codecs": [{"name": "numcodecs.pickle", "configuration": {}}]}, "codec 'numcodecs.pickle'"),
    ({"data_type": "object"}, "type 'object'"),
    ({"data_type": {"name": "variable_length_bytes"}}, "type 'variable_length_bytes'"),
    ({"data_type": {"name": "structured", "configuration": {"fields": [["a", "object"]]}}}, "type 'structured'"),
    ({"codecs": [{"name": "vlen-utf8"}]}, "codec for text"),
    ({"codecs": [{"name": "sharding_indexed", "configuration": {"codecs": [{"name": "pickle"}]}}]}, "codec 'pickle'"),
    ({"storage_transformers": [{"name": "reference", "configuration": {"url": "s3://x"}}]}, "another store"),
    ({"chunk_grid": {"name": "rectilinear", "configuration": {}}}, "chunk grid"),
    ({"chunk_grid": 3}, "not Zarr's"),
]


@pytest.mark.parametrize(
    ("version", "metadata", "match"),
    [*((2, *t) for t in TRAPS_V2), *((3, *t) for t in TRAPS_V3)],
    indirect=["version"],
)
def test_traps_are_refused_by_metadata(version, metadata, match, store, tmp_path, monkeypatch):
    raw = pickle.dumps(Trap(tmp_path / "ran"))
    monkeypatch.setattr(zarr, "open_group", None)
    monkeypatch.setattr(zarr, "open", None)
    for place in ("uns/mine", f"{MODEL}/weights"):
        (array_v2 if version == 2 else array_v3)(store / place / "trap", raw, **metadata)
        calls = (read, check_file) if place == "uns/mine" else (read, check_file, read_record_file)
        for call in calls:
            with pytest.raises(ChromatellError, match=match):
                call(store)
        shutil.rmtree(store / place / "trap")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("kind", ["file", "folder", "chunk", "pipe"])
def test_links_are_refused(kind, store, version, tmp_path):
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "data").write_bytes(b"\0" * 96)
    weights = store / MODEL / "weights"
    if kind == "file":
        (weights / "trap").symlink_to(secret / "data")
    elif kind == "folder":
        (weights / "trap").symlink_to(secret)
    elif kind == "pipe":
        os.mkfifo(weights / "trap")
    else:
        chunk = next(
            p
            for p in (weights / "as_float32").rglob("*")
            if p.is_file() and p.name not in (".zarray", ".zattrs", "zarr.json")
        )
        chunk.unlink()
        chunk.symlink_to(secret / "data")
    for call in (check_file, read, read_record_file):
        with pytest.raises(ChromatellError, match="link to another place|neither a file nor a folder"):
            call(store)


@pytest.mark.parametrize("step", ["uns", "uns/ctl", "uns/ctl/models", MODEL])
def test_no_step_on_the_way_to_the_model_may_be_a_link(step, store, tmp_path):
    (store / step).rename(tmp_path / "moved")
    (store / step).symlink_to(tmp_path / "moved")
    for call in (check_file, read, read_record_file):
        with pytest.raises(ChromatellError, match="link to another place"):
            call(store)


def test_only_the_model_is_read_never_the_cells(store, small):
    (store / "mod" / "rna" / "X").rename(store / "gone")
    assert content_hash(read_record_file(store)) == content_hash(small)


def bomb(store: Path, version: int, place: str, raw: bytes, **kwargs) -> None:
    if version == 2:
        array_v2(store / place / "trap", raw, **kwargs)
    else:
        kwargs = {
            "shape": kwargs["shape"],
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": kwargs["chunks"]}},
            "codecs": [
                {"name": "bytes", "configuration": {"endian": "little"}},
                *([{"name": kwargs["compressor"]["id"], "configuration": {}}] if kwargs.get("compressor") else []),
            ],
        }
        array_v3(store / place / "trap", raw, **kwargs)


@pytest.mark.parametrize("place", [f"{MODEL}/weights", "uns/mine"])
def test_a_small_store_that_inflates_to_gigabytes(place, store, version, little_memory):
    bomb(store, version, place, b"", shape=[400_000_000], chunks=[1000])
    with pytest.raises(ChromatellError, match="would inflate to 1.49 GB"):
        read(store)
    if place.startswith(MODEL):
        with pytest.raises(ChromatellError, match="would inflate to 1.49 GB"):
            read_record_file(store)


@pytest.mark.parametrize("codec", ["zstd", "blosc", "gzip"])
def test_a_chunk_that_inflates_beyond_its_array(codec, store, version):
    raw = numcodecs.get_codec({"id": codec}).encode(bytes(50_000_000))
    bomb(store, version, f"{MODEL}/weights", raw, shape=[10], chunks=[10], compressor={"id": codec})
    if codec == "gzip":  # no word of its size: bounded by 1032 times its own, and refused by the missing hash
        with pytest.raises(ChromatellError, match="cut short or damaged|does not match its weights"):
            read_record_file(store)
        (store / MODEL / "weights" / "trap" / ("0" if version == 2 else "c/0")).write_bytes(raw[:10] + bytes(5 * 2**20))
        with pytest.raises(ChromatellError, match="cannot be told before it is read"):
            read_record_file(store)
    else:
        with pytest.raises(ChromatellError, match="chunk of at most 40 bytes that would inflate to 50000"):
            read_record_file(store)


def shards(store: Path) -> Path:
    """Write the MuData again with sharded arrays and return the shard of one of the model's."""
    whole = read(store)
    shutil.rmtree(store)
    # one inside the other: anndata 0.12.6 puts back the format first, and refuses to while shards are on
    with anndata.settings.override(zarr_write_format=3), anndata.settings.override(auto_shard_zarr_v3=True):
        whole.write_zarr(store)
    return store / MODEL / "weights" / "as_float32" / "c" / "0" / "0"


@pytest.mark.parametrize("version", [3], indirect=True)
def test_shards_are_looked_into(store, small):
    whole = shards(store)
    check_file(store)
    assert content_hash(read_record_file(store)) == content_hash(small)
    metadata = json.loads((whole.parents[2] / "zarr.json").read_text())
    assert metadata["codecs"][0]["name"] == "sharding_indexed"

    raw = whole.read_bytes()
    n = np.prod(metadata["chunk_grid"]["configuration"]["chunk_shape"]) // np.prod(
        metadata["codecs"][0]["configuration"]["chunk_shape"]
    )
    index, rest = bytearray(raw[-(16 * n + 4) :]), raw[: -(16 * n + 4)]
    packed = bytes(numcodecs.Zstd().encode(bytes(50_000_000)))
    index[:16] = len(rest).to_bytes(8, "little") + len(packed).to_bytes(8, "little")
    whole.write_bytes(rest + packed + index)
    with pytest.raises(ChromatellError, match="would inflate to 50000000"):
        read_record_file(store)
    index[:16] = (10**6).to_bytes(8, "little") + len(packed).to_bytes(8, "little")
    whole.write_bytes(rest + index)
    with pytest.raises(ChromatellError, match="lie outside of it"):
        read_record_file(store)
    whole.write_bytes(raw[:10])
    with pytest.raises(ChromatellError, match="shard cut short"):
        read_record_file(store)


def test_the_header_of_zstd_is_read_as_zstd_writes_it():
    from chromatell.io._zarr_chunks import _zstd_size

    for n in (0, 1, 200, 255, 256, 257, 65_535, 65_791, 65_792, 10**6, 2**26):
        raw = numcodecs.Zstd().encode(bytes(n)) if n else b"\x28\xb5\x2f\xfd\x20\x00\x01\x00\x00"
        assert _zstd_size(bytes(raw[:18]), Path("x")) == n
    with pytest.raises(ChromatellError, match="does not say how large"):
        _zstd_size(b"\x28\xb5\x2f\xfd\x00\x58" + bytes(12), Path("x"))
    with pytest.raises(ChromatellError, match="not a zstd chunk"):
        _zstd_size(b"\x80\x04pickle", Path("x"))


def test_consolidated_metadata_must_say_what_the_files_say(store, version):
    zarr.consolidate_metadata(str(store))
    check_file(store)
    assert read(store).shape == (5, 3)
    file = store / (".zmetadata" if version == 2 else "zarr.json")
    text = file.read_text()
    collected = json.loads(text)
    entries = collected["metadata"] if version == 2 else collected["consolidated_metadata"]["metadata"]
    key = "mod/rna/X/.zarray" if version == 2 else "mod/rna/X"
    entries[key]["shape"] = [10**6, 10**6]
    file.write_text(json.dumps(collected))
    with pytest.raises(ChromatellError, match="disagree"):
        read(store)
    entries["../../x/.zarray"] = entries.pop(key)
    file.write_text(json.dumps(collected))
    with pytest.raises(ChromatellError, match="outside of it"):
        read(store)


def test_depth_keys_and_foreign_files(store, version, tmp_path):
    root = zarr.open_group(str(store / MODEL))
    root.create_group("a/b/c/d/e")
    with pytest.raises(ChromatellError, match="nested 5 deep; at most 4"):
        read_record_file(store)
    for call in (check_file, read, read_record_file):
        with pytest.raises(ChromatellError, match="no Zarr store|neither"):
            call(tmp_path)
    (store / "uns" / "run.py").write_text("import os")
    with pytest.raises(ChromatellError, match=r"no Zarr metadata, such as \['run.py'\]"):
        read(store)
    (store / "uns" / "run.py").unlink()
    meta = store / "mod" / ("zarr.json" if version == 2 else ".zgroup")
    meta.write_text('{"zarr_format": 2}')
    with pytest.raises(ChromatellError, match="says twice what it is"):
        read(store)


def test_damage_inside_is_one_clear_error(store, version, small):
    files = [p for p in (store / MODEL).rglob("*") if p.is_file()]
    rng = np.random.default_rng(0)
    refused = 0
    for i in rng.choice(len(files), 15, replace=False):
        raw = files[i].read_bytes()
        for damaged in (raw[: len(raw) // 2], bytes(reversed(raw))):
            files[i].write_bytes(damaged)
            try:
                assert read_record_file(store).config == small.config
            except ChromatellError:
                refused += 1
        files[i].write_bytes(raw)
    assert refused > 20
    assert content_hash(read_record_file(store)) == content_hash(small)


@pytest.mark.parametrize("bad", [1, "text", [1], True])
def test_consolidated_metadata_that_are_no_table(bad, stores, tmp_path):
    shutil.copytree(stores / "3.zarr", tmp_path / "x.zarr")
    root = tmp_path / "x.zarr" / "zarr.json"
    root.write_text(json.dumps(json.loads(root.read_text()) | {"consolidated_metadata": bad}))
    with pytest.raises(ChromatellError, match="no table"):
        check_file(tmp_path / "x.zarr")
