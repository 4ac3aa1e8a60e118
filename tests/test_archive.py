"""Files that older releases wrote are read, and predict what they predicted then; tests/archive/make.py made them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import chromatell as ctl

ARCHIVE = Path(__file__).parent / "archive"
CLOSE = {"rtol": 0, "atol": 1e-6}


def files(name: str) -> list[Path]:
    return sorted(ARCHIVE.glob(f"*/{name}"))


@pytest.mark.parametrize("path", files("dense.h5mu") + files("xchrom.h5mu"), ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_a_model_predicts_from_expression_as_it_did(path):
    query = ctl.tl.predict(ctl.io.read(path).mod["rna"], model=path)
    np.testing.assert_allclose(query.mod["atac_pred"].X, np.load(path.with_suffix(".npy")), **CLOSE)


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
    assert [p.parent.name for p in files("dense.h5mu")][0] == "0.1.0"
