"""``chromatell train`` of a Dense model: the same as the Python calls."""

from __future__ import annotations

import numpy as np
from tests.helpers import file_names, one_line, predicted

import chromatell as ctl
from chromatell.cli import main

FAST = ["--max-epochs", "2"]


def test_train_writes_the_same_prediction_and_model_as_the_api(shared, by_api, simulated):
    written = ctl.io.read(shared)
    np.testing.assert_array_equal(predicted(written), predicted(by_api))
    assert list(written.obs["ctl_split"].astype(str)) == list(by_api.obs["ctl_split"].astype(str))
    assert (written.mod["rna"].X != simulated.mod["rna"].X).nnz == 0
    assert file_names(shared.parent) == {"cells.h5mu", "shared.h5mu"}
    loaded, own = ctl.models.load(shared), ctl.models.load(by_api)
    for name, values in own.to_record().arrays.items():
        np.testing.assert_array_equal(loaded.to_record().arrays[name], values, err_msg=name)


def test_train_says_that_it_makes_a_split_and_what_to_do_next(cells, capsys):
    out = cells.with_name("my out.h5mu")
    assert main(["train", str(cells), "-o", str(out), "--seed", "5", "--key", "mine", *FAST]) == 0
    said = capsys.readouterr()
    assert "it has no obs['ctl_split'], so cells are split at random, seed 5" in one_line(said.err)
    assert "Cells: 112 train, 16 val, 32 test" in one_line(said.err)
    assert f"chromatell evaluate '{out}'\n" in said.out
    assert ctl.io.model_keys(ctl.io.read(out)) == ["mine"]


def test_train_keeps_the_split_and_the_features_that_are_there(simulated, tmp_path, capsys):
    mdata = simulated.copy()
    ctl.pp.split_cells(mdata, fractions=(0.5, 0.2, 0.3), seed=9)
    ctl.pp.select_features(mdata, n_regions=17)
    mdata.write_h5mu(tmp_path / "in.h5mu")
    assert main(["train", str(tmp_path / "in.h5mu"), "-o", str(tmp_path / "out.h5mu"), *FAST]) == 0
    written = ctl.io.read(tmp_path / "out.h5mu")
    assert list(written.obs["ctl_split"]) == list(mdata.obs["ctl_split"])
    assert written.mod["atac_pred"].n_vars == 17
    assert "is used" in capsys.readouterr().err


def test_train_replaces_a_split_only_when_told_to(simulated, tmp_path, capsys):
    mdata = simulated.copy()
    ctl.pp.split_cells(mdata, seed=9)
    mdata.write_h5mu(tmp_path / "in.h5mu")
    call = ["train", str(tmp_path / "in.h5mu"), "-o", str(tmp_path / "out.h5mu"), *FAST]
    assert main([*call, "--split-by", "donor", "--fractions", "0.5", "0.25", "0.25"]) == 0
    written = ctl.io.read(tmp_path / "out.h5mu")
    assert written.obs.groupby("donor", observed=True)["ctl_split"].nunique().eq(1).all()
    assert "its split is replaced by 'donor'" in one_line(capsys.readouterr().err)


def test_train_selects_features_and_passes_options_on(cells, simulated, capsys):
    out = cells.with_name("out.zarr")
    options = ["--n-genes", "12", "--n-regions", "20", "--min-open", "0.01", "--loss", "focal", "--batch-key", "donor"]
    call = ["train", str(cells), "-o", str(out), "--seed", "3", "--depth", "fixed", *options, *FAST]
    assert main(call) == 0
    mdata = simulated.copy()
    ctl.pp.split_cells(mdata, seed=3)
    ctl.pp.select_features(mdata, n_genes=12, n_regions=20, min_open=0.01, seed=3)
    ctl.tl.dense(mdata, seed=3, loss="focal", batch_key="donor", depth="fixed", train_kwargs={"max_epochs": 2})
    written = ctl.io.read(out)
    np.testing.assert_array_equal(predicted(written), predicted(mdata))
    assert list(written.mod["atac_pred"].var["region"]) == list(mdata.mod["atac_pred"].var["region"])
    assert file_names(cells.parent) == {"cells.h5mu", "out.zarr"}


def test_train_writes_predictions_into_a_store_beside_the_output(cells, by_api):
    out, store = cells.with_name("out.h5mu"), cells.with_name("values.zarr")
    assert main(["train", str(cells), "-o", str(out), "--seed", "3", "--predictions", str(store), *FAST]) == 0
    assert "atac_pred" not in ctl.io.read(out).mod
    opened = ctl.io.open_prediction(out)
    np.testing.assert_allclose(np.asarray(opened.X), predicted(by_api), atol=1e-6)


def test_train_keeps_its_state_where_told_to(cells):
    state = cells.with_name("state")
    call = ["train", str(cells), "-o", str(cells.with_name("out.h5mu")), "--checkpoint-dir", str(state), "--seed", "3"]
    assert main([*call, "--max-epochs", "1"]) == 0
    assert (state / "last.ckpt").is_file()
