from __future__ import annotations

import hashlib
import json
import struct

import anndata
import mudata
import numpy as np
import pytest

from chromatell import ChromatellError
from chromatell.io import (
    Record,
    content_hash,
    load_record,
    model_keys,
    read_record,
    read_record_file,
    save_record,
    write_record,
)


def same(a: Record, b: Record) -> None:
    assert (a.family, a.schema, a.config, a.var_names, a.card, a.manifest) == (
        b.family, b.schema, b.config, b.var_names, b.card, b.manifest,
    )  # fmt: skip
    assert a.arrays.keys() == b.arrays.keys()
    for name, array in a.arrays.items():
        other = b.arrays[name]
        assert (array.dtype, array.shape) == (other.dtype, other.shape), name
        assert array.tobytes() == other.tobytes(), name
    assert content_hash(a) == content_hash(b)


@pytest.mark.parametrize("store", ["h5mu", "gzip.h5mu", "v2.zarr", "v3.zarr", "folder", "file.safetensors"])
def test_round_trip_is_exact_in_every_store(store, record, mdata, tmp_path):
    path = tmp_path / f"x.{store}"
    if store.endswith("h5mu"):
        mdata.write(path, **({"compression": "gzip"} if "gzip" in store else {}))
        same(record, read_record(mudata.read_h5mu(path)))
    elif store.endswith("zarr"):
        with anndata.settings.override(zarr_write_format=int(store[1])):
            mdata.write_zarr(path)
        same(record, read_record(mudata.read_zarr(path)))
    else:
        save_record(record, path)
        same(record, load_record(path))
    same(record, read_record_file(path))


def test_model_travels_in_an_anndata_too(record, tmp_path):
    adata = anndata.AnnData(np.ones((2, 2), "float32"))
    write_record(adata, "m", record)
    adata.write_h5ad(tmp_path / "x.h5ad")
    same(record, read_record_file(tmp_path / "x.h5ad", "m"))


def test_hash_is_the_one_that_the_design_defines():
    record = Record("dense", 1, {"a": 1}, {"weights.b": np.array([[1.5, -2]], ">f4")}, {"rna": ["é"]})
    blob = '{"rna":["é"]}'.encode()
    manifest = json.dumps(
        {
            "arrays": {"names": ["uint8", [len(blob)]], "weights.b": ["float32", [1, 2]]},
            "config": {"a": 1},
            "family": "dense",
            "format": "chromatell-model",
            "schema": 1,
        },
        separators=(",", ":"),
    ).encode()

    def sized(raw: bytes) -> bytes:
        return struct.pack("<Q", len(raw)) + raw

    parts = sized(manifest)
    parts += sized(b"names") + sized(b"uint8") + sized(str(len(blob)).encode()) + blob
    parts += sized(b"weights.b") + sized(b"float32") + sized(b"1,2") + struct.pack("<2f", 1.5, -2)
    assert content_hash(record) == hashlib.sha256(parts).hexdigest()


def test_hash_sees_every_part_but_the_card(record):
    reference = content_hash(record)

    def changed(**kwargs):
        fields = {n: getattr(record, n) for n in ("family", "schema", "config", "arrays", "var_names", "card")}
        return content_hash(Record(**{**fields, **kwargs}))

    assert changed() == reference == changed(card={"notes": "x"})
    flipped = record.arrays["weights.zeros"].copy()
    flipped[0, 0] = -0.0
    others = [
        changed(family="xchrom"),
        changed(config={**record.config, "dropout": 2e-7}),
        changed(var_names={"rna": ["Sox2", "Näß", "遺伝子"], "atac": [""]}),
        changed(arrays={**record.arrays, "weights.zeros": flipped}),
        changed(arrays={**record.arrays, "weights.zeros": record.arrays["weights.zeros"].reshape(2, 5)}),
        changed(arrays={**record.arrays, "weights.as_int32": record.arrays["weights.as_int32"].view("uint32")}),
    ]
    assert len({reference, *others}) == 7


def test_bfloat16_is_stored_as_its_bits():
    torch = pytest.importorskip("torch")  # seconds, unless another test has loaded it
    value = torch.tensor([1.0, -2.5, 0.1]).bfloat16()
    stored = Record("dense", 1, {}, {"weights.b": value}).arrays["weights.b"]
    assert stored.dtype == np.uint16
    np.testing.assert_array_equal((stored.astype("uint32") << 16).view("float32"), value.float().numpy())


@pytest.mark.parametrize(
    ("kwargs", "match"),
    [
        ({"arrays": {"weights.a/b": np.zeros(1)}}, "cannot be stored; use letters"),
        ({"arrays": {"weights.": np.zeros(1)}}, "cannot be stored"),
        ({"arrays": {"weights.zarr.json": np.zeros(1)}}, "cannot be stored"),
        ({"arrays": {"weights..zarray": np.zeros(1)}}, "cannot be stored"),
        ({"arrays": {"names": np.zeros(1)}}, "cannot be stored"),
        ({"arrays": {"weights.o": np.array([{}], object)}}, "dtype object"),
        ({"arrays": {"weights.s": np.array(["a"])}}, "dtype <U1"),
        ({"arrays": {"weights.c": np.zeros(1, complex)}}, "complex128"),
        ({"config": {"x": float("nan")}}, "plain JSON"),
        ({"config": {1: "x"}}, "keys that are not text"),
        ({"config": {"x": object()}}, "plain JSON"),
        ({"config": {"x": "\ud800"}}, "plain JSON"),
        ({"card": {"x": "y" * 17 * 1024**2}}, "17 MB of JSON"),
    ],
)
def test_what_cannot_be_stored_is_refused_at_once(kwargs, match):
    with pytest.raises(ChromatellError, match=match):
        Record(**{"family": "dense", "schema": 1, "config": {}, "arrays": {}, **kwargs})


def test_nothing_else_in_uns_is_touched(mdata, record):
    mdata.uns["ctl"]["evaluation"] = "kept"
    shallow = dict(mdata.uns)
    write_record(mdata, "other", record)
    assert model_keys(mdata) == ["my.model-1", "other"]
    assert list(shallow["ctl"]["models"]) == ["my.model-1"]
    assert mdata.uns["ctl"]["evaluation"] == "kept"
    assert mdata.uns["mine"]["text"] == "kept"


def test_stored_arrays_do_not_follow_the_weights_of_further_training(mdata):
    weights = np.zeros(3)
    write_record(mdata, "m", Record("dense", 1, {}, {"weights.b": weights}))
    weights += 1
    np.testing.assert_array_equal(read_record(mdata, "m").arrays["weights.b"], 0)


def test_history_reads_as_a_dict_of_arrays(mdata):
    history = mdata.uns["ctl"]["models"]["my.model-1"]["history"]
    np.testing.assert_array_equal(history["train_loss"], [1, np.nan, 0.5])


def test_keys(mdata, record):
    assert read_record(mdata).family == "dense"
    with pytest.raises(ChromatellError, match=r"no model 'best' in .*choose one of 'my.model-1'"):
        read_record(mdata, "best")
    write_record(mdata, "b", record)
    with pytest.raises(ChromatellError, match=r"holds 2 models: \['b', 'my.model-1'\]. Name one: key='b'"):
        read_record(mdata)
    with pytest.raises(ChromatellError, match="cannot be stored"):
        write_record(mdata, "a/b", record)
    assert model_keys(mdata) == ["b", "my.model-1"]
    del mdata.uns["ctl"]
    with pytest.raises(ChromatellError, match="There is no model in .*ctl.tl.dense"):
        read_record(mdata)


def test_changed_weights_are_refused(mdata, tmp_path):
    entry = mdata.uns["ctl"]["models"]["my.model-1"]
    entry["weights"]["zeros"][2, 1] = 1e-30
    with pytest.raises(ChromatellError, match=r"hash .* does not match its weights.*export_model"):
        read_record(mdata)
    mdata.write(tmp_path / "x.h5mu")
    mdata.write_zarr(tmp_path / "x.zarr")
    for name in ("x.h5mu", "x.zarr"):
        with pytest.raises(ChromatellError, match="does not match its weights"):
            read_record_file(tmp_path / name)


@pytest.mark.parametrize("part", ["manifest", "hash", "card", "names"])
def test_a_missing_part_is_named(part, mdata):
    del mdata.uns["ctl"]["models"]["my.model-1"][part]
    with pytest.raises(ChromatellError, match=f"not a whole chromatell model: {part} missing"):
        read_record(mdata)


@pytest.mark.parametrize(
    ("card", "cure"),
    [
        ({"needs": "3.1.0"}, r"Release 3.1.0 reads it: pip install --upgrade 'chromatell>=3.1.0'"),
        ({}, "Upgrade it: pip install --upgrade chromatell"),
        ({"needs": "rm -rf; 3"}, "Upgrade it: pip install --upgrade chromatell"),  # the card may be a stranger's
    ],
)
def test_a_newer_schema_says_which_release_reads_it(mdata, tmp_path, card, cure):
    new = Record("dense", 99, {}, {"weights.b": np.zeros(1)}, card=card)
    write_record(mdata, "new", new)
    save_record(new, tmp_path / "new")
    mdata.write(tmp_path / "x.h5mu")
    for call in (
        lambda: read_record(mdata, "new"),
        lambda: load_record(tmp_path / "new"),
        lambda: read_record_file(tmp_path / "x.h5mu", "new"),
    ):
        with pytest.raises(ChromatellError, match=f"schema 99; .*reads up to 6.*{cure}"):
            call()


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ('{"a": NaN}', "not valid JSON"),
        ('{"a": 1e999}', "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ('"' + "x" * (16 * 1024**2) + '"', "more than 16 MB"),
    ],
    ids=["nan", "infinity", "deep", "long"],
)
def test_wild_json_is_refused(text, match, mdata):
    mdata.uns["ctl"]["models"]["my.model-1"]["card"] = text
    with pytest.raises(ChromatellError, match=match):
        read_record(mdata)


def test_save_never_leaves_half_a_file(record, tmp_path, monkeypatch):
    file = save_record(record, tmp_path / "m")
    before = file.read_bytes()
    with pytest.raises(ChromatellError, match="overwrite=True"):
        save_record(record, tmp_path / "m")

    def broken(arrays, path, metadata):
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr("safetensors.numpy.save_file", broken)
    with pytest.raises(OSError, match="disk full"):
        save_record(record, tmp_path / "m", overwrite=True)
    assert file.read_bytes() == before
    assert [f.name for f in (tmp_path / "m").iterdir()] == ["model.safetensors"]


def test_damaged_and_foreign_model_files(record, tmp_path):
    file = save_record(record, tmp_path / "m.safetensors")
    raw = file.read_bytes()
    cases = {
        "short": (raw[:-10], "not a whole safetensors"),
        "header": (raw[:40], "not a whole safetensors"),
        "none": (b"", "not a whole safetensors"),
        "text": (b"hello, this is some text that is long enough", "not a whole safetensors"),
        "huge": (b"\xff" * 8 + raw[8:], "not a whole safetensors"),
        "flipped": (raw[:-1] + bytes([raw[-1] ^ 1]), "does not match its weights"),
    }
    for name, (content, match) in cases.items():
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(content)
        with pytest.raises(ChromatellError, match=match):
            read_record_file(path)
    from safetensors.numpy import save_file

    save_file({"w": np.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(ChromatellError, match="not a model that chromatell wrote"):
        load_record(tmp_path / "other.safetensors")
    with pytest.raises(ChromatellError, match="no model file at"):
        load_record(tmp_path / "nowhere")
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "model.safetensors").symlink_to(file)
    with pytest.raises(ChromatellError, match="link to another place"):
        load_record(tmp_path / "linked")
