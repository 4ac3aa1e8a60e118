"""The family that docs/contributing/add-a-model.md builds works as it stands there."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import numpy as np
import pytest

import chromatell as ctl

PAGE = Path(__file__).parents[2] / "docs" / "contributing" / "add-a-model.md"


def _blocks() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), flags=re.M | re.S)


def _module(name: str, source: str, folder: Path, monkeypatch: pytest.MonkeyPatch):
    """Import a block as the module whose place the page names."""
    path = folder / f"{name.rpartition('.')[2]}.py"
    path.write_text(source, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def namespace(tmp_path, monkeypatch):
    """The page's blocks, run in their order up to the last."""
    module, model, line, verb, _ = _blocks()
    package = "chromatell.models.lowrank"
    spec = importlib.util.spec_from_loader(package, loader=None, is_package=True)
    parent = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, package, parent)
    _module(f"{package}._module", module, tmp_path, monkeypatch)
    parent.LowRank = _module(f"{package}._model", model, tmp_path, monkeypatch).LowRank
    said: dict = {}
    exec(line, said)
    assert {k: said["FAMILIES"][k] for k in ctl.models.FAMILIES} == ctl.models.FAMILIES, "the page lists other families"
    monkeypatch.setitem(ctl.models.FAMILIES, "lowrank", said["FAMILIES"]["lowrank"])
    names: dict = {}
    exec(verb, names)
    monkeypatch.chdir(tmp_path)
    return names


def test_the_page_runs_and_the_family_learns(namespace):
    exec(_blocks()[-1], namespace)
    mdata, query = namespace["mdata"], namespace["query"]
    np.testing.assert_allclose(query.mod["atac_pred"].X, mdata.mod["atac_pred"].X, atol=1e-6)
    table = mdata.uns["ctl"]["evaluation"].set_index(["model", "view", "metric"])["value"]
    assert table["lowrank", "per_cell", "auroc"] > table["region_mean", "per_cell", "auroc"]
    assert table["lowrank", "depth_matched", "auroc"] > 0.52
    assert not [c for c in mdata.obs if "scvi" in c]


def test_it_is_not_scored_on_held_out_regions_which_it_has_read(namespace):
    mdata = ctl.datasets.simulate_multiome(300, 20, 120, seed=2)
    ctl.pp.split_cells(mdata, seed=2)
    ctl.pp.split_regions(mdata, by="random", seed=2)
    namespace["lowrank"](mdata, rank=3, seed=2, train_kwargs={"max_epochs": 2})
    origin = mdata.mod["atac_pred"].uns["ctl"]["provenance"]["lowrank"]
    assert origin["reads_region_atac"]
    assert ctl.models.load(mdata).config["reads_region_atac"]
    asked = {"baselines": ["region_mean_true_depth"], "views": "overall", "n_bootstrap": 0}
    ctl.tl.evaluate(mdata, **asked)
    assert set(mdata.uns["ctl"]["evaluation"]["pairs"]) == {"cross-cell"}
    for pairs in ("cross-region", "cross-both"):
        with pytest.raises(ctl.ChromatellError, match="'lowrank' has, or was made"):
            ctl.tl.evaluate(mdata, pairs=pairs, **asked)


def test_a_model_that_was_loaded_predicts_the_same_and_an_altered_one_is_refused(namespace):
    mdata = ctl.datasets.simulate_multiome(120, 20, 30, seed=1)
    ctl.pp.split_cells(mdata, seed=1)
    namespace["lowrank"](mdata, rank=3, seed=1, train_kwargs={"max_epochs": 2})
    folder = ctl.io.export_model(mdata, "lowrank", "model")
    model = ctl.models.load(folder)
    assert type(model).__name__ == "LowRank"
    np.testing.assert_allclose(model.predict(mdata), mdata.mod["atac_pred"].X, atol=1e-6)
    regions = mdata.mod["atac"].var_names[[5, 2]]
    np.testing.assert_allclose(model.predict(mdata, regions=regions), mdata.mod["atac_pred"].X[:, [5, 2]], atol=1e-6)

    record = ctl.io.load_record(folder)
    for name in ("weights.up", "scaling.gene_mean"):
        arrays = {**record.arrays, name: record.arrays[name][..., :-1].copy()}
        wrong = ctl.io.Record(record.family, record.schema, record.config, arrays, record.var_names)
        with pytest.raises(ctl.ChromatellError, match="Ask for the file again"):
            ctl.models.load(wrong)
