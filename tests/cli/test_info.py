"""``chromatell info`` and ``export``: what a file holds, and one model out of it."""

from __future__ import annotations

import json

import numpy as np

import chromatell as ctl
from chromatell.cli import _console, main


def said(path, capsys) -> dict:
    assert main(["info", str(path), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_info_names_data_split_models_predictions_and_scores(by_api, tmp_path, capsys):
    mdata = by_api.copy()
    ctl.tl.evaluate(mdata, baselines=["region_mean"], views=["overall"], labels=None, n_bootstrap=0, seed=0)
    ctl.io.write(mdata, tmp_path / "a.h5mu")
    ctl.io.write(mdata, tmp_path / "a.zarr")
    found = said(tmp_path / "a.h5mu", capsys)
    assert found == said(tmp_path / "a.zarr", capsys)
    assert [(row["modality"], row["cells"], row["variables"]) for row in found["data"]] == [
        (name, a.n_obs, a.n_vars) for name, a in mdata.mod.items()
    ]
    counts = mdata.obs["ctl_split"].value_counts()
    assert {row["part"]: row["cells"] for row in found["split"]} == counts.to_dict()
    (model,) = found["models"]
    record = ctl.io.read_record(mdata, "dense")
    assert (model["key"], model["family"], model["hash"]) == ("dense", "dense", ctl.io.content_hash(record))
    assert (model["rna in use"], model["atac in use"]) == (25, 60)
    assert found["predictions"][0]["key"] == "dense"
    table = mdata.uns["ctl"]["evaluation"]
    np.testing.assert_allclose([row["value"] for row in found["scores"]], table["value"])
    assert found["scores"][0]["ci_low"] is None
    assert main(["info", str(tmp_path / "a.h5mu")]) == 0
    shown = capsys.readouterr().out
    for word in ("Models", "dense", "atac_pred", "region_mean", record.family):
        assert word in shown


def test_info_breaks_no_word_on_a_terminal_of_80_columns(by_api, tmp_path, capsys, monkeypatch):
    mdata = by_api.copy()
    ctl.tl.evaluate(mdata, baselines=["region_mean_depth"], views=["overall"], labels=None, n_bootstrap=20, seed=0)
    ctl.io.write(mdata, tmp_path / "a.h5mu")
    monkeypatch.setattr(_console, "_WIDTH", 80)
    assert main(["info", str(tmp_path / "a.h5mu")]) == 0
    said = capsys.readouterr().out
    words = set(said.split())
    model = ctl.io.read_record(mdata, "dense")
    scores = mdata.uns["ctl"]["evaluation"]
    assert {
        model.card["date"][:10],
        model.card["package"],
        ctl.io.content_hash(model)[:8],
        "region_mean_depth",
    } <= words
    assert set(scores[["model", "view", "metric"]].astype(str).to_numpy().ravel()) <= words
    row = scores.iloc[0]
    assert f"{row['value']:.4f}" in words
    assert f"{row['ci_low']:.4f} to {row['ci_high']:.4f}" in said
    assert "Scores, split test, pairs cross-cell" in said


def test_info_of_one_modality_of_tracks_and_of_a_model(shared, simulated, tmp_path, capsys):
    simulated.mod["rna"].write_h5ad(tmp_path / "rna.h5ad")
    found = said(tmp_path / "rna.h5ad", capsys)
    assert (found["kind"], found["data"][0]["cells"], found["models"]) == ("an AnnData", 160, [])
    values = {"chr1": np.ones((2, 40), dtype="f4")}
    ctl.data.BinnedTracks(values, ["plus", "mark"], chrom_sizes={"chr1": 2000}).save(tmp_path / "t.zarr")
    found = said(tmp_path / "t.zarr", capsys)
    assert found["kind"] == "tracks in bins of 50 bp on 1 chromosomes"
    assert [row["track"] for row in found["data"]] == ["plus", "mark"]
    folder = ctl.io.export_model(shared, None, tmp_path / "model")
    assert said(folder, capsys)["models"][0]["hash"] == said(shared, capsys)["models"][0]["hash"]


def test_export_is_that_of_the_api_and_info_refuses_what_is_no_data(shared, tmp_path, refused, capsys):
    assert main(["export", str(shared), "-o", str(tmp_path / "model")]) == 0
    assert "no cell goes with it" in capsys.readouterr().out
    ctl.io.export_model(shared, None, tmp_path / "api")
    names = ["README.md", "model.safetensors"]
    assert sorted(p.name for p in (tmp_path / "model").iterdir()) == names
    first, second = (ctl.io.load_record(tmp_path / name) for name in ("model", "api"))
    assert ctl.io.content_hash(first) == ctl.io.content_hash(second)
    assert (tmp_path / "model" / names[0]).read_text() == (tmp_path / "api" / names[0]).read_text()
    assert "say --overwrite" in refused(["export", shared, "-o", tmp_path / "model"], 2)
    assert "must be a folder" in refused(["export", shared, "-o", tmp_path / "m.h5mu"], 2)
    assert "'other'" in refused(["export", shared, "-o", tmp_path / "new", "--key", "other"], 1)
    (tmp_path / "notes.h5mu").write_text("mine")
    assert "notes.h5mu" in refused(["info", tmp_path / "notes.h5mu"], 1)
    assert "absent" in refused(["info", tmp_path / "absent.h5mu"], 1)
