"""Files that older releases wrote are read, and predict what they predicted then; tests/archive/make.py made them."""

from __future__ import annotations

import tarfile
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

import chromatell as ctl
from chromatell.io._migrate import STEPS, migrated
from chromatell.io._record import FIRST_RELEASE
from chromatell.models import family_class

ARCHIVE = Path(__file__).parent / "archive"
CLOSE = {"rtol": 0, "atol": 5e-6}  # of float32 up to 3, which processors round each in their way


def files(name: str) -> list[Path]:
    return sorted(ARCHIVE.glob(f"*/{name}"))


@pytest.mark.parametrize("path", files("dense.h5mu") + files("xchrom.h5mu"), ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_a_model_predicts_from_expression_as_it_did(path):
    query = ctl.tl.predict(ctl.io.read(path).mod["rna"], model=path)
    np.testing.assert_allclose(query.mod["atac_pred"].X, np.load(path.with_suffix(".npy")), **CLOSE)


@pytest.mark.parametrize("path", files("dense.h5ad"), ids=lambda p: p.parent.name)
def test_a_model_beside_its_cells_alone_predicts_as_it_did(path):
    query = ctl.tl.predict(ctl.io.read(path), model=path)
    np.testing.assert_allclose(query.mod["atac_pred"].X, np.load(path.with_name("dense.npy")), **CLOSE)


@pytest.mark.parametrize("path", files("dense.zarr.tar.gz"), ids=lambda p: p.parent.name)
def test_a_zarr_store_predicts_as_it_did(path, tmp_path):
    with tarfile.open(path) as archive:
        archive.extractall(tmp_path, filter="data")
    store = tmp_path / "dense.zarr"
    expected = np.load(path.with_name("dense.npy"))
    mdata = ctl.io.read(store)
    np.testing.assert_allclose(mdata.mod["atac_pred"].X, expected, **CLOSE)
    query = ctl.tl.predict(mdata.mod["rna"], model=store)
    np.testing.assert_allclose(query.mod["atac_pred"].X, expected, **CLOSE)


@pytest.mark.parametrize(
    "path",
    [p for name in ("dense.h5mu", "xchrom.h5mu", "atacformer.h5ad", "nascent.zarr") for p in files(name)],
    ids=lambda p: f"{p.parent.name}-{p.stem}",
)
def test_a_model_that_is_saved_again_stays_readable(path, tmp_path):
    """By the release that wrote it too: a record of an older schema is not passed off as one of the newer."""
    before = ctl.io.read_record_file(path)
    ctl.models.load(path).save(tmp_path / "again")
    after = ctl.io.load_record(tmp_path / "again")
    assert after.schema == before.schema
    assert after.card["needs"] == {1: "0.1.0", 2: "0.2.0"}[before.schema]
    assert after.config == before.config
    assert after.var_names == before.var_names
    assert sorted(after.arrays) == sorted(before.arrays)
    for name, value in before.arrays.items():
        np.testing.assert_array_equal(after.arrays[name], value)
    assert ctl.models.load(tmp_path / "again").family == before.family


@pytest.mark.parametrize("folder", files("dense_exported"), ids=lambda p: p.parent.name)
def test_an_exported_model_predicts_as_it_did(folder):
    rna = ctl.io.read(folder.with_name("dense.h5mu")).mod["rna"]
    query = ctl.tl.predict(rna, model=folder)
    np.testing.assert_allclose(query.mod["atac_pred"].X, np.load(folder.with_name("dense.npy")), **CLOSE)


@pytest.mark.parametrize("path", files("atacformer.h5ad"), ids=lambda p: p.parent.name)
def test_an_embedding_is_what_it_was(path):
    adata = ctl.io.read(path)
    model = ctl.models.load(path)
    np.testing.assert_allclose(model.embed(adata), np.load(path.with_suffix(".npy")), **CLOSE)


@pytest.mark.parametrize("path", files("nascent.zarr"), ids=lambda p: p.parent.name)
def test_tracks_are_predicted_as_they_were(path):
    tracks = ctl.data.BinnedTracks.open(path)
    (stored,) = tracks.table.index[tracks.table["role"] == "prediction"]
    found = ctl.models.load(path).predict(tracks).values("chr1")
    np.testing.assert_allclose(found[0], tracks.values("chr1", stored)[0], **CLOSE)


def test_every_release_left_its_files():
    assert {p.name for p in ARCHIVE.iterdir() if p.is_dir() and p.name[0].isdigit()} >= {"0.1.0", "0.2.0.dev"}
    for name in ("dense.h5mu", "dense.h5ad", "dense.zarr.tar.gz", "dense_exported"):
        assert [p.parent.name for p in files(name)][0] == "0.1.0"


@pytest.mark.parametrize(
    "path",
    files("dense.h5mu") + files("xchrom.h5mu") + files("nascent.zarr"),
    ids=lambda p: f"{p.parent.name}-{p.stem}",
)
def test_an_older_description_says_all_that_a_new_one_does(path):
    """What it meant without saying so is filled in by a step, not by a default of today, which may move."""
    record = ctl.io.read_record_file(path)
    model = ctl.models.load(path)
    said = migrated(record.family, record.schema, record.config)
    assert set(said["train"]) == {field.name for field in fields(model.train_config)}
    own = {"dense": "network", "xchrom": "network", "nascent": "options"}[record.family]
    options = model.options if record.family == "nascent" else model.network
    assert set(said[own]) == {field.name for field in fields(options)}
    assert {k: v for k, v in said.items() if k in record.config and k not in ("train", own)} == {
        k: v for k, v in record.config.items() if k not in ("train", own)
    }


def test_steps_of_several_schemas_are_taken_in_turn():
    """And what a description says itself is kept, at every depth."""
    old = {"train": {"order": "cells"}, "stack": "kept"}
    assert migrated("dense", 1, old) == {
        "train": {"order": "cells", "betas": [0.9, 0.999], "full_rate_at": 0, "block_cells": 64},
        "stack": "kept",
    }
    assert migrated("dense", 2, {}) == {"stack": False}
    assert migrated("dense", 3, old) == old
    assert old == {"train": {"order": "cells"}, "stack": "kept"}


def test_every_newer_schema_of_a_family_has_its_release():
    for family, steps in STEPS.items():
        assert max(steps) == family_class(family).schema
        assert set(steps) <= set(FIRST_RELEASE)
