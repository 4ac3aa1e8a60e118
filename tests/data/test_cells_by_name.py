"""Modalities hold the cells of a MuData in any order, or not all of them: results are those of one order, by name."""

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest

import chromatell as ctl
from chromatell._validate import ChromatellError

N = 160
_ORDER = np.random.default_rng(1).permutation(N)


@pytest.fixture(scope="module")
def made():
    """A MuData in one order, with a `Dense` of three members."""
    mdata = ctl.datasets.simulate_multiome(N, 20, 40, seed=0)
    ctl.pp.split_cells(mdata, fractions=(0.5, 0.25, 0.25), seed=0)
    ctl.tl.dense(mdata, n_members=3, stack=False, train_kwargs={"max_epochs": 2}, seed=0)
    return mdata


def rebuilt(mdata, mods):
    """Return a MuData of these modalities, with the columns of the cells of another."""
    new = md.MuData(mods)
    for column in mdata.obs:
        new.obs[column] = mdata.obs[column].reindex(new.obs_names)
    new.uns = dict(mdata.uns)
    return new


def turned(mdata, names):
    """Return the same cells, of which some modalities hold them in another order."""
    first = [n for n in mdata.mod if n not in names]
    mods = {n: mdata.mod[n].copy() if n in first else mdata.mod[n][_ORDER].copy() for n in [*first, *names]}
    new = rebuilt(mdata, mods)
    assert list(new.obs_names) == list(mdata.obs_names)
    assert list(new.mod[names[0]].obs_names) != list(new.obs_names)
    return new


def by_hand(mdata):
    """Return the prediction as a table, by the names in its own modality."""
    pred = mdata.mod["atac_pred"]
    return pd.DataFrame(np.asarray(pred.X), index=pred.obs_names)


def uncertainty(mdata):
    ctl.tl.uncertainty(mdata, "cell_type", seed=0)
    return mdata.uns["ctl"]["uncertainty"]["table"].select_dtypes("number")


def ranks(mdata):
    ctl.tl.rank_regions(mdata, "cell_type", n_bootstrap=10, seed=0)
    table = mdata.uns["ctl"]["rank_regions"]["table"]
    return table.sort_values(["group", "region"])[["effect", "low", "high"]]


def activity(mdata):
    ctl.tl.gene_activity(mdata)
    return mdata.mod["gene_activity"].to_df()


def fisher(mdata):
    ctl.tl.fisher(mdata, baselines=["region_mean"], n_bootstrap=5, seed=0)
    return mdata.uns["ctl"]["fisher"][["threshold", "tp", "fp", "fn", "tn", "ci_low"]]


def groups(mdata):
    return ctl.get.prediction(mdata, groupby="cell_type")


def knocked_out(mdata):
    ctl.tl.perturb(mdata, list(mdata.mod["rna"].var_names[:2]), n_cells=N, seed=0)
    return pd.DataFrame(mdata.uns["ctl"]["perturbation"]["effect"].reshape(2, -1))


CASES = [
    ("rna", uncertainty),
    ("rna", ranks),
    ("rna", knocked_out),
    ("atac", uncertainty),
    ("atac_pred", uncertainty),
    ("atac_pred", ranks),
    ("atac_pred", activity),
    ("atac_pred", fisher),
    ("atac_pred", groups),
]


@pytest.mark.parametrize(("name", "verb"), CASES, ids=[f"{n}-{v.__name__}" for n, v in CASES])
def test_order_of_cells_changes_nothing(made, name, verb):
    found, expected = verb(turned(made, [name])), verb(made.copy())
    np.testing.assert_allclose(found.to_numpy(float), expected.to_numpy(float), atol=1e-4)


@pytest.mark.parametrize("part", ["turned", "half"])
def test_that_nothing_measured_stands_beside_is_said(made, caplog, part):
    half = {"rna": made.mod["rna"].copy(), "atac": made.mod["atac"][::2].copy(), "atac_pred": made.mod["atac_pred"]}
    mdata = turned(made, ["atac"]) if part == "turned" else rebuilt(made, half)
    with caplog.at_level("WARNING", logger="chromatell"):
        ranks(mdata)
    assert "measured_effect" not in mdata.uns["ctl"]["rank_regions"]["table"]
    scope = {"mdata": mdata}
    exec(caplog.records[-1].getMessage().split("together: ")[1].rstrip("."), scope)
    ranks(scope["mdata"])
    expected = made.copy() if part == "turned" else made[::2].copy()
    ranks(expected)
    columns = ["group", "region", "measured_effect", "measured_pvalue"]
    found, wanted = (
        one.uns["ctl"]["rank_regions"]["table"][columns].set_index(columns[:2]).sort_index().astype(float)
        for one in (scope["mdata"], expected)
    )
    pd.testing.assert_frame_equal(found, wanted, atol=1e-6)


@pytest.mark.parametrize("name", ["rna", "atac_pred"])
def test_uncertainty_of_a_cell_goes_to_that_cell(made, name):
    mdata, expected = turned(made, [name]), made.copy()
    for one in (mdata, expected):
        ctl.tl.uncertainty(one, "cell_type", seed=0)
    found, wanted = (one.mod["atac_pred"].obs["ctl_uncertainty"] for one in (mdata, expected))
    assert wanted.std() > 0
    np.testing.assert_allclose(found[wanted.index], wanted, atol=1e-6)


def test_prediction_in_another_order_is_read_by_name(made):
    mdata = turned(made, ["atac_pred"])
    found = ctl.get.prediction(mdata)
    np.testing.assert_array_equal(found.X, by_hand(mdata).loc[found.obs_names])


def test_a_second_prediction_beside_one_in_another_order_is_refused(made):
    mdata = turned(made, ["atac_pred"])
    with pytest.raises(ChromatellError, match=r"another order.*mdata = mdata\[mdata.obs_names\].copy\(\)"):
        ctl.tl.baseline(mdata, "region_mean_depth")
    cured = mdata[mdata.obs_names].copy()
    ctl.tl.baseline(cured, "region_mean_depth")
    np.testing.assert_array_equal(by_hand(cured).loc[made.obs_names], by_hand(made))


def test_prediction_of_some_of_the_cells(made):
    some = made.mod["atac_pred"][: N // 2].copy()
    mdata = rebuilt(made, {"rna": made.mod["rna"].copy(), "atac": made.mod["atac"].copy(), "atac_pred": some})
    for verb in (groups, ranks, activity, fisher):
        with pytest.raises(ChromatellError, match=f"holds {N // 2} of the {N} cells") as error:
            verb(mdata)
    scope = {"mdata": mdata}
    exec(str(error.value).split("were predicted: ")[1].rstrip("."), scope)
    pd.testing.assert_frame_equal(groups(scope["mdata"]), groups(made[: N // 2].copy()))
    with pytest.raises(ChromatellError, match=f"holds {N // 2} cells that are not the {N} of mdata"):
        ctl.tl.baseline(mdata, "region_mean_depth")
    with pytest.raises(ChromatellError, match=f"holds {N // 2} cells that are not the {N} of mdata"):
        ctl.tl.evaluate(mdata, baselines=["region_mean_depth"])


def test_store_is_read_by_name(made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # stores are looked for beside the data
    model = ctl.models.load(made)
    mdata = rebuilt(made, {"rna": made.mod["rna"].copy(), "atac": made.mod["atac"].copy()})
    stored = ctl.tl.predict(mdata, model, out="all.zarr")
    whole = by_hand(made)
    for part in (stored[::-1].copy(), stored[5:40].copy(), stored[_ORDER].copy()):
        np.testing.assert_array_equal(np.asarray(ctl.get.prediction(part).X), whole.loc[part.obs_names])
    renamed = stored.copy()
    for adata in (renamed, *renamed.mod.values()):
        adata.obs_names = adata.obs_names + "_2"
    renamed = rebuilt(renamed, dict(renamed.mod))
    with pytest.raises(ChromatellError, match=f"holds 0 of the {N} cells of mdata"):
        ctl.get.prediction(renamed)


@pytest.mark.parametrize("first", ["rna", "atac"])
def test_cells_without_expression(made, first):
    """As muon's filters of one modality leave them."""
    half = made.mod["rna"][::2].copy()
    mods = {"rna": half, "atac": made.mod["atac"].copy()}
    mdata = rebuilt(made, {first: mods.pop(first), **mods})
    expected = rebuilt(made, {"rna": half, "atac": made.mod["atac"][half.obs_names].copy()})
    with pytest.raises(ChromatellError, match=f"{N // 2} of the {N} cells of mdata have no expression"):
        uncertainty(mdata)
    np.testing.assert_allclose(knocked_out(mdata), knocked_out(expected), atol=1e-5)
    ctl.pp.link_genes(mdata, mdata.mod["rna"].var)
    ctl.pp.link_genes(expected, expected.mod["rna"].var)
    tables = []
    for one in (mdata, expected):
        ctl.tl.link_regions(one, n_cells=N // 2, seed=0)
        tables.append(one.uns["ctl"]["region_links"]["table"].set_index(["gene", "region"])["effect"].sort_index())
    pd.testing.assert_series_equal(*tables, rtol=1e-4, atol=1e-6)
    with pytest.raises(ChromatellError, match=f"holds {N // 2} cells that data.mod\\['rna'\\]") as error:
        ctl.tl.predict(mdata, made)
    scope = {"data": mdata}
    exec(str(error.value).split("Keep its cells: ")[1].rstrip("."), scope)
    predicted = ctl.tl.predict(scope["data"], made).mod["atac_pred"]
    whole = by_hand(made).loc[predicted.obs_names]
    np.testing.assert_allclose(predicted.X, whole, atol=1e-6)
    by_group = ctl.tl.predict(mdata, made, groupby="cell_type").mod["atac_pred"]
    assert by_group.obs["n_cells"].sum() == N // 2


def test_a_third_modality_in_another_order(made):
    """All of ours in one order, which is not that of mdata: said with a line that brings them together."""
    third = ad.AnnData(np.ones((N, 1), np.float32), obs=pd.DataFrame(index=made.obs_names))
    mods = {name: made.mod[name][_ORDER].copy() for name in ("rna", "atac")}
    mdata = rebuilt(made, {"prot": third, **mods})
    with pytest.raises(ChromatellError, match="in another order") as error:
        ctl.pp.split_cells(mdata, seed=1)
    scope = {"mdata": mdata}
    exec(str(error.value).split("Call ")[1].rstrip("."), scope)
    ctl.pp.split_cells(scope["mdata"], seed=1)
    assert set(scope["mdata"].obs["ctl_split"]) == {"train", "val", "test"}


def test_mask_of_cells_is_taken_by_name():
    mdata = ctl.datasets.simulate_sequence_multiome(n_cells=60, n_regions=24, seed=0)
    ctl.pp.split_cells(mdata, seed=0)
    ctl.tl.xchrom(mdata, train_kwargs={"max_epochs": 1}, seed=0)
    order = np.random.default_rng(0).permutation(60)
    other = rebuilt(mdata, {"atac": mdata.mod["atac"].copy(), "rna": mdata.mod["rna"][order].copy()})
    found = []
    for one in (mdata, other):
        mask = one.obs["cell_type"] == "type_1"
        region = one.mod["atac"].var_names[:1]
        ctl.tl.ism(one, region, window=4, groupby="cell_type", cells=mask)
        assert list(one.uns["ctl"]["ism"]["groups"]) == ["type_1"]
        found.append(one.uns["ctl"]["ism"]["effect"])
    np.testing.assert_allclose(*found, atol=1e-6)


def test_regions_are_named_once(made):
    twice = list(made.mod["atac"].var_names[[3, 3]])
    with pytest.raises(ChromatellError, match="more than once"):
        ctl.tl.predict(made.mod["rna"], made, regions=twice)
