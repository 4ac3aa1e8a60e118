from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from chromatell import ChromatellError
from chromatell.io import (
    Record,
    content_hash,
    export_model,
    import_model,
    model_keys,
    read_record,
    read_record_file,
    write_record,
)


@pytest.fixture
def evaluated(mdata):
    mdata.uns["ctl"]["evaluation"] = pd.DataFrame(
        {
            "model": ["my.model-1", "region_mean", "my.model-1"],
            "split": "test",
            "view": ["overall", "overall", "per_cell"],
            "metric": ["AP", "AP", "AUROC"],
            "value": [0.3361, 0.285, np.nan],
            "ci_low": [0.33, 0.28, np.nan],
            "ci_high": [0.34, 0.29, np.nan],
            "n": np.array([2000, 2000, 5]),
            "cells": [["BARCODE0"], None, None],
        }
    )
    return mdata


def test_export_and_import_keep_the_model(evaluated, record, tmp_path):
    folder = export_model(evaluated, "my.model-1", tmp_path / "shared")
    assert sorted(f.name for f in folder.iterdir()) == ["README.md", "model.safetensors"]
    back = import_model(folder)
    assert content_hash(back) == content_hash(record)
    assert back.card["data"] == {"n_obs": 5}
    assert back.card["versions"]["chromatell"]
    overall, per_cell = back.card["scores"]
    assert overall == {
        "split": "test", "view": "overall", "metric": "AP", "value": 0.3361, "ci_low": 0.33, "ci_high": 0.34, "n": 2000,
    }  # fmt: skip
    assert per_cell["value"] is None
    readme = (folder / "README.md").read_text("utf-8")
    assert "| test | overall | AP | 0.3361 | 0.33 | 0.34 | 2000 |" in readme
    assert content_hash(record) in readme
    assert "4 rna, 0 atac" in readme


def test_no_cell_goes_with_the_model(evaluated, tmp_path):
    record = read_record(evaluated)
    card = {**record.card, "barcodes": list(evaluated.obs_names), "donors": ["DONOR7"]}
    write_record(evaluated, "told", Record("dense", 1, {}, record.arrays, record.var_names, card))
    for key in ("my.model-1", "told"):
        folder = export_model(evaluated, key, tmp_path / key)
        for file in folder.iterdir():
            assert b"BARCODE" not in file.read_bytes()
            assert b"DONOR" not in file.read_bytes()


@pytest.mark.parametrize("store", ["x.h5mu", "x.zarr"])
def test_export_from_a_file(store, mdata, record, tmp_path):
    (mdata.write if store.endswith("h5mu") else mdata.write_zarr)(tmp_path / store)
    folder = export_model(tmp_path / store, None, tmp_path / "shared")
    assert content_hash(read_record_file(folder)) == content_hash(record)


def test_import_writes_into_the_data_under_its_name(mdata, record, tmp_path):
    folder = export_model(mdata, "my.model-1", tmp_path / "shared")
    with pytest.raises(ChromatellError, match="has a model 'my.model-1' already.*key='my.model-1_2'"):
        import_model(folder, mdata)
    import_model(folder, mdata, key="theirs")
    assert model_keys(mdata) == ["my.model-1", "theirs"]
    assert content_hash(read_record(mdata, "theirs")) == content_hash(record)
    del mdata.uns["ctl"]
    import_model(folder, mdata)
    assert model_keys(mdata) == ["my.model-1"]


def test_bad_calls(mdata, tmp_path):
    with pytest.raises(ChromatellError, match="choose one of"):
        export_model(mdata, "x", tmp_path / "shared")
    with pytest.raises(ChromatellError, match="must be a folder to make"):
        export_model(mdata, None, tmp_path / "x.safetensors")
    assert not list(tmp_path.iterdir())
    export_model(mdata, None, tmp_path / "shared")
    with pytest.raises(ChromatellError, match="overwrite=True"):
        export_model(mdata, None, tmp_path / "shared")
    export_model(mdata, None, tmp_path / "shared", overwrite=True)


def test_the_readme_escapes_what_others_wrote(mdata, tmp_path):
    wild = (
        "<script>alert(1)</script> [click](javascript:x) ![i](http://x/y.png) `a` | b\n# big\n\n- http://evil.example"
    )
    record = Record(
        "dense`<b>`", 1, {}, {"weights.b": np.zeros(1)}, {"<i>": ["a"]}, {"notes": [wild], "data": {wild: wild}}
    )
    write_record(mdata, "wild", record)
    readme = (export_model(mdata, "wild", tmp_path / "shared") / "README.md").read_text("utf-8")
    assert "<" not in readme
    for live in ("](", "![", "\n# big", "http://", "javascript:"):
        assert live not in readme
    assert json.dumps(readme)
