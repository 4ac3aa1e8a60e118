import json

import mudata
import numpy as np
import pandas as pd
import pytest

import chromatell as ctl
from chromatell import ChromatellError


def sizes(data, key="ctl_split"):
    return data.obs[key].value_counts().reindex(["train", "val", "test"]).tolist()


def test_random_sizes_and_record(mdata, fields):
    before = fields(mdata)
    assert ctl.pp.split_cells(mdata, fractions=(0.7, 0.1, 0.2), seed=5) is None
    after = fields(mdata)
    assert sizes(mdata) == [140, 20, 40]
    assert list(mdata.obs["ctl_split"].cat.categories) == ["train", "val", "test"]
    how = mdata.uns["ctl"]["split"]
    assert (how["by"], how["holdout"], how["seed"]) == ("", "", 5)
    np.testing.assert_array_equal(how["fractions"], [0.7, 0.1, 0.2])
    new = {k for k in after if k not in before}
    assert new == {"obs/ctl_split", *(f"uns/ctl/split/{k}" for k in ("by", "holdout", "seed", "fractions"))}
    assert {k: after[k] for k in before} == before


def test_fractions_by_name(mdata):
    ctl.pp.split_cells(mdata, fractions={"test": 0.2, "train": 0.8}, seed=3)
    by_name = mdata.obs["ctl_split"].tolist()
    np.testing.assert_array_equal(mdata.uns["ctl"]["split"]["fractions"], [0.8, 0, 0.2])
    ctl.pp.split_cells(mdata, fractions=(0.8, 0, 0.2), seed=3)
    assert mdata.obs["ctl_split"].tolist() == by_name
    for wrong, said in (({"tran": 0.8, "test": 0.2}, "fractions='tran'"), ("0.8", "must be three numbers")):
        with pytest.raises(ChromatellError, match=said):
            ctl.pp.split_cells(mdata, fractions=wrong)


def test_same_seed_same_split(mdata):
    splits = []
    for seed in (1, 1, 2):
        ctl.pp.split_cells(mdata, seed=seed)
        splits.append(mdata.obs["ctl_split"].tolist())
    assert splits[0] == splits[1] != splits[2]
    changed = sum(a != b for a, b in zip(splits[0], splits[2], strict=True)) / 200
    assert 0.3 < changed < 0.6  # two independent splits agree in 0.49 + 0.01 + 0.04 of the cells


def test_settings_seed_is_the_default(mdata, monkeypatch):
    ctl.pp.split_cells(mdata, seed=7)
    want = mdata.obs["ctl_split"].tolist()
    monkeypatch.setattr(ctl.settings, "seed", 7)
    ctl.pp.split_cells(mdata)
    assert mdata.obs["ctl_split"].tolist() == want


@pytest.mark.parametrize(("n", "wanted"), [(10, [7, 1, 2]), (11, [8, 1, 2]), (13, [9, 1, 3]), (19, [13, 2, 4])])
def test_largest_remainders(n, wanted):
    data = ctl.datasets.simulate_multiome(n, 5, 5, seed=0)
    ctl.pp.split_cells(data, seed=0)
    assert sizes(data) == wanted


def test_no_test_part():
    data = ctl.datasets.simulate_multiome(10, 5, 5, seed=0)
    ctl.pp.split_cells(data, fractions=(0.8, 0.2, 0))
    assert data.obs["ctl_split"].value_counts().to_dict() == {"train": 8, "val": 2, "test": 0}


def test_groups_stay_whole_and_vary_with_the_seed(mdata):
    seen = set()
    for seed in range(8):
        ctl.pp.split_cells(mdata, by="donor", seed=seed)
        table = pd.crosstab(mdata.obs["donor"], mdata.obs["ctl_split"])
        assert ((table > 0).sum(axis=1) == 1).all()
        assert ((table > 0).sum(axis=0) >= 1).all()
        assert abs(sizes(mdata)[0] - 140) < 35  # a donor has about 33 of the 200
        seen.add(tuple(table.idxmax(axis=1)))
    assert len(seen) > 3
    assert mdata.uns["ctl"]["split"]["by"] == "donor"


def test_grouped_sizes_with_many_groups():
    data = ctl.datasets.simulate_multiome(2000, 5, 5, n_donors=40, seed=0)
    ctl.pp.split_cells(data, by="donor", seed=1)
    np.testing.assert_allclose(np.array(sizes(data)) / 2000, [0.7, 0.1, 0.2], atol=0.02)


def test_column_of_a_modality(mdata):
    ctl.pp.split_cells(mdata, by="batch", holdout="b1", seed=0)  # in rna.obs only
    held = mdata.mod["rna"].obs["batch"] == "b1"
    assert (mdata.obs["ctl_split"] == "test").tolist() == held.tolist()
    np.testing.assert_allclose(sizes(mdata)[0] / (~held).sum(), 0.7 / 0.8, atol=0.01)


def test_holdout_of_labels(mdata):
    ctl.pp.split_cells(mdata, by="cell_type", holdout=["type_1", "type_3"], seed=0)
    assert set(mdata.obs.loc[mdata.obs["ctl_split"] == "test", "cell_type"]) == {"type_1", "type_3"}
    assert json.loads(mdata.uns["ctl"]["split"]["holdout"]) == {"cell_type": ["type_1", "type_3"]}


def test_holdout_dict_with_groups(mdata):
    ctl.pp.split_cells(mdata, by="donor", holdout={"cell_type": "type_2"}, seed=0)
    held = mdata.obs["cell_type"] == "type_2"
    assert (mdata.obs["ctl_split"] == "test").tolist() == held.tolist()
    rest = mdata.obs[~held]
    table = pd.crosstab(rest["donor"], rest["ctl_split"].astype(str))
    assert ((table > 0).sum(axis=1) == 1).all()


def test_numbers_as_labels(mdata):
    mdata.obs["lane"] = np.arange(200) % 3
    ctl.pp.split_cells(mdata, by="lane", holdout=2)
    assert (mdata.obs["ctl_split"] == "test").sum() == 66


def test_copy_and_key_added(mdata, fields):
    before = fields(mdata)
    new = ctl.pp.split_cells(mdata, key_added="fold_1", copy=True)
    assert fields(mdata) == before
    assert sizes(new, "fold_1") == [140, 20, 40]
    assert new.uns["ctl"]["fold_1"]["by"] == ""
    assert "split" not in new.uns["ctl"]


def test_ann_data(mdata):
    rna = mdata.mod["rna"]
    ctl.pp.split_cells(mdata, seed=4)
    assert ctl.pp.split_cells(rna, seed=4) is None
    assert rna.obs["ctl_split"].tolist() == mdata.obs["ctl_split"].tolist()
    new = ctl.pp.split_cells(rna, by="batch", holdout="b2", copy=True)
    assert (new.obs["ctl_split"] == "test").sum() == 150


def test_round_trip(mdata, tmp_path):
    ctl.pp.split_cells(mdata, by="donor", holdout={"cell_type": "type_2"})
    mdata.write(tmp_path / "x.h5mu")
    mdata.write_zarr(tmp_path / "x.zarr")
    for back in (mudata.read_h5mu(tmp_path / "x.h5mu"), mudata.read_zarr(tmp_path / "x.zarr")):
        assert back.obs["ctl_split"].tolist() == mdata.obs["ctl_split"].tolist()
        assert json.loads(back.uns["ctl"]["split"]["holdout"]) == {"cell_type": ["type_2"]}
        assert int(back.uns["ctl"]["split"]["seed"]) == 0
        np.testing.assert_array_equal(back.uns["ctl"]["split"]["fractions"], [0.7, 0.1, 0.2])


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"fractions": (0.7, 0.2, 0.2)}, "sum to 1; they sum to 1.1"),
        ({"fractions": (1.1, -0.1, 0.0)}, "must not be negative"),
        ({"fractions": (0.5, 0.5)}, "three numbers"),
        ({"fractions": (np.nan, 0.5, 0.5)}, "must sum to 1"),
        ({"fractions": (0, 0.5, 0.5)}, "no cell to train on"),
        ({"fractions": (0.998, 0.001, 0.001)}, r"no cell to val \(0.001\), test \(0.001\) of the 200"),
        ({"by": "absent"}, "Did not find 'absent' in obs; columns there: 'cell_type', 'donor', 'factor', 'number'"),
        ({"by": "batch"}, "'batch' has 2 groups .* for 3 parts"),
        (
            {"by": "cell_type", "holdout": "type_9"},
            "no cell has 'cell_type' = 'type_9'; labels there: 'type_1', 'type_2'",
        ),
        ({"holdout": "type_1"}, "needs the column of these labels"),
        ({"by": "cell_type", "holdout": []}, "names no label"),
        ({"by": "batch", "holdout": ["b1", "b2"]}, "holds out all 200 cells"),
        ({"by": "half"}, "100 of 200 cells have no 'half'"),
        ({"key_added": "a/b"}, "cannot be stored"),
    ],
)
def test_bad_input_changes_nothing(mdata, fields, arguments, match):
    mdata.obs["half"] = np.where(np.arange(200) % 2, "a", None)
    before = fields(mdata)
    with pytest.raises(ChromatellError, match=match):
        ctl.pp.split_cells(mdata, **arguments)
    assert fields(mdata) == before


def test_bad_objects(mdata):
    with pytest.raises(ChromatellError, match="Expected a MuData or an AnnData, got DataFrame"):
        ctl.pp.split_cells(mdata.obs)
    shuffled = mudata.MuData({"rna": mdata.mod["rna"], "atac": mdata.mod["atac"][::-1].copy()})
    with pytest.raises(ChromatellError, match="same barcodes in a different order"):
        ctl.pp.split_cells(shuffled)
    mdata.uns["ctl"] = "text"
    with pytest.raises(ChromatellError, match="is not a dict"):
        ctl.pp.split_cells(mdata)


@pytest.mark.parametrize(
    ("name", "by", "label"),
    [
        ("pbmc10k_51genes", "cell_type", "NK"),
        ("snare_mouse_cortex", "batch", "09A"),
        ("bmmc_500cells", "batch", "s1d1"),
    ],
)
def test_real_data(data_dir, name, by, label):
    data = mudata.read_h5mu(data_dir / "multiome" / f"{name}.h5mu")
    ctl.pp.split_cells(data, seed=0)
    np.testing.assert_allclose(np.array(sizes(data)) / data.n_obs, [0.7, 0.1, 0.2], atol=1e-3)
    ctl.pp.split_cells(data, by=by, holdout=label, seed=0)
    labels = data.mod["rna"].obs[by].astype(str)
    assert (data.obs["ctl_split"] == "test").tolist() == (labels == label).tolist()
    if name == "snare_mouse_cortex":
        ctl.pp.split_cells(data, by="batch", seed=0)
        np.testing.assert_allclose(np.array(sizes(data)) / data.n_obs, [0.7, 0.1, 0.2], atol=0.06)
