"""`tl.rank_regions` against formulas written out, other libraries' tests, and data whose truth is known."""

from __future__ import annotations

import anndata as ad
import mudata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy import stats

import chromatell as ctl
from chromatell._compat import no_pull
from chromatell.tl._measured_tests import by_cells, by_deseq2, by_donors, false_discovery
from chromatell.tl._resampling import cell_weights, group_effects

N, R = 600, 40


@pytest.fixture
def mdata():
    """Three types, four donors; the first five regions are four times as open in type b."""
    rng = np.random.default_rng(0)
    kind = np.repeat(["a", "b", "c"], N // 3)
    p = np.full((N, R), 0.1)
    p[kind == "b", :5] = 0.4
    p *= rng.uniform(0.5, 1.5, N)[:, None]  # depth
    x = (rng.random((N, R)) < p).astype(np.float32)
    names = [f"chr1:{1000 * i}-{1000 * i + 500}" for i in range(R)]
    atac = ad.AnnData(sp.csr_matrix(x), var=pd.DataFrame(index=names))
    rna = ad.AnnData(sp.csr_matrix(np.ones((N, 2), dtype=np.float32)))
    mdata = mudata.MuData({"rna": rna, "atac": atac})
    mdata.obs["kind"] = pd.Categorical(kind)
    mdata.obs["donor"] = [f"d{i}" for i in rng.integers(4, size=N)]
    ctl.tl.add_prediction(mdata, p.astype(np.float32), key="mine")
    return mdata


def test_a_group_of_one_cell_is_in_the_rest_of_the_others_and_groups_named_twice_are_one(mdata):
    kind = mdata.obs["kind"].astype(object)
    kind.iloc[0], kind.iloc[1] = "alone", np.nan
    mdata.obs["kind"] = kind
    ctl.tl.rank_regions(mdata, "kind", groups=["b", "b", "c"], n_bootstrap=5)
    table = mdata.uns["ctl"]["rank_regions"]["table"].set_index(["group", "region"])
    assert len(table) == 2 * R
    x, labelled, b = mdata.mod["atac"].X.toarray().astype(float), kind.notna(), kind.to_numpy() == "b"
    total, rest = x[labelled].sum() / labelled.sum(), (labelled & ~b).to_numpy()  # with the cell that stands alone
    inside, outside = (x[of].sum(axis=0) / x[of].sum() * total for of in (b, rest))
    found = table.loc["b"].loc[mdata.mod["atac"].var_names]
    np.testing.assert_allclose(found["measured_outside"], outside, rtol=1e-5)
    np.testing.assert_allclose(found["measured_effect"], np.log2((inside + 1e-3) / (outside + 1e-3)), atol=1e-5)
    np.testing.assert_allclose(
        found["measured_pvalue"], by_cells(mdata.mod["atac"].X, np.flatnonzero(b), np.flatnonzero(rest)), rtol=1e-6
    )


def test_a_number_and_its_text_are_one_group(mdata):
    mixed = mdata.obs["kind"].map({"a": 1, "b": "b", "c": "1"}).astype(object)
    results = []
    for column in (mixed, mixed.astype(str)):
        mdata.obs["mixed"] = column
        ctl.tl.rank_regions(mdata, "mixed", n_bootstrap=5, seed=0)
        results.append(mdata.uns["ctl"]["rank_regions"]["table"])
    assert set(results[0]["group"]) == {"1", "b"}
    by = [t.sort_values(["group", "region"]).astype({"group": str}).reset_index(drop=True) for t in results]
    np.testing.assert_allclose(by[0]["effect"], by[1]["effect"])


def test_effects_are_the_log_ratios_of_means_at_the_mean_depth(mdata):
    ctl.tl.rank_regions(mdata, "kind", n_bootstrap=20, seed=0)
    table = mdata.uns["ctl"]["rank_regions"]["table"].set_index(["group", "region"])
    p = np.asarray(mdata.mod["atac_pred"].X, dtype=float)
    x = mdata.mod["atac"].X.toarray().astype(float)
    b = (mdata.obs["kind"] == "b").to_numpy()
    for values, prefix in ((p, ""), (x, "measured_")):
        inside = values[b].sum(axis=0) / values[b].sum() * values.sum() / N
        outside = values[~b].sum(axis=0) / values[~b].sum() * values.sum() / N
        found = table.loc["b"].loc[mdata.mod["atac"].var_names]
        np.testing.assert_allclose(found[f"{prefix}inside"], inside, rtol=1e-5)
        wanted = np.log2((inside + 1e-3) / (outside + 1e-3))
        np.testing.assert_allclose(found[f"{prefix}effect"], wanted, atol=1e-5)
    ctl.tl.rank_regions(mdata, "kind", groups=["b"], reference="a", n_bootstrap=5, key_added="two")
    a = (mdata.obs["kind"] == "a").to_numpy()
    two = mdata.uns["ctl"]["two"]["table"].set_index("region").loc[mdata.mod["atac"].var_names]
    outside = p[a].sum(axis=0) / p[a].sum() * p.sum() / N
    np.testing.assert_allclose(two["outside"], outside, rtol=1e-5)
    assert list(two["group"].unique()) == ["b"]


def test_the_regions_that_differ_are_ranked_first_and_both_agree(mdata):
    ctl.tl.rank_regions(mdata, "kind", n_bootstrap=50, seed=0)
    result = mdata.uns["ctl"]["rank_regions"]
    table = result["table"]
    first = table[(table["group"] == "b") & (table["rank"] <= 5)]
    assert set(first["region"]) == set(mdata.mod["atac"].var_names[:5])
    assert (first["low"] > 0).all()
    assert (first["measured_fdr"] < 1e-4).all()
    assert (table["rank"].to_numpy().reshape(3, R) == np.arange(1, R + 1)).all()
    agreement = result["agreement"].set_index("group")
    assert agreement.loc["b", "same_sign"] == 1.0
    part = table[table["group"] == "b"]
    assert agreement.loc["b", "pearson"] == pytest.approx(np.corrcoef(part["effect"], part["measured_effect"])[0, 1])
    settings = result["settings"].iloc[0]
    assert (settings["resampled"], settings["test"], settings["n_members"]) == ("cells", "cells", 0)


def test_the_error_of_resampled_cells_is_that_of_the_delta_method():
    rng = np.random.default_rng(1)
    x = rng.random((400, 6))
    x[:, 5] = 5 - x[:, :5].sum(axis=1)  # every cell has the same depth
    codes = np.repeat([0, 1], 200)
    weights = cell_weights(codes, 2, None, 4000, rng)
    assert (weights.sum(axis=1) == 400).all()
    found = group_effects(x, codes, 2, weights=weights, reference=None)
    parts = [x[codes == g] for g in (0, 1)]
    relative = sum(part.var(axis=0) / 200 / (part.mean(axis=0) + 1e-3) ** 2 for part in parts)
    np.testing.assert_allclose(found.error[0], np.sqrt(relative) / np.log(2), rtol=0.06)
    low, high = found.interval(0.95)
    np.testing.assert_allclose((high - low) / found.error, 2 * stats.norm.ppf(0.975))
    sparse = group_effects(sp.csr_matrix(x), codes, 2, weights=weights, reference=None)
    np.testing.assert_allclose(sparse.error, found.error, rtol=1e-4)


def test_resampled_donors_are_as_uncertain_as_their_own_means():
    rng = np.random.default_rng(2)
    donors = np.repeat(np.arange(8), 50)
    codes = np.tile([0, 1], 200)
    own = rng.normal(0, 0.3, 8)
    x = np.ones((400, 3))
    x[:, 0] = np.exp(own[donors] * (codes - 0.5))  # the effect differs between donors, cells of one are the same
    x[:, 2] = 10 - x[:, 0]
    weights = cell_weights(codes, 2, donors, 4000, rng)
    found = group_effects(x, codes, 2, weights=weights, reference=None, n_samples=8)
    wanted = own.std(ddof=1) / np.sqrt(8) / np.log(2)
    np.testing.assert_allclose(found.error[0, 0], wanted, rtol=0.08)
    assert found.df == 7
    cells = group_effects(x, codes, 2, weights=cell_weights(codes, 2, None, 500, rng), reference=None)
    assert cells.error[0, 0] < 0.4 * found.error[0, 0]


def test_disagreement_of_members_widens_the_interval(mdata):
    ctl.pp.split_cells(mdata, seed=0)
    mdata.mod["rna"].X = sp.csr_matrix(np.random.default_rng(0).poisson(3.0, (N, 2)).astype(np.float32) + 1)
    del mdata.mod["atac_pred"]
    with no_pull():
        mdata.update()
    ctl.tl.dense(mdata, seed=0, n_members=3, stack=False, train_kwargs={"max_epochs": 2})  # the network alone
    ctl.tl.rank_regions(mdata, "kind", n_bootstrap=100, seed=0)
    with_members = mdata.uns["ctl"]["rank_regions"]
    without = mudata.MuData({"atac": mdata.mod["atac"], "atac_pred": mdata.mod["atac_pred"]})
    without.uns, without.obs["kind"] = mdata.uns, mdata.obs["kind"]
    ctl.tl.rank_regions(without, "kind", key="dense", n_bootstrap=5, key_added="without")
    assert without.uns["ctl"]["without"]["settings"]["n_members"].iloc[0] == 0  # nothing for them to read
    assert with_members["settings"]["n_members"].iloc[0] == 3
    ctl.tl.add_prediction(mdata, np.asarray(mdata.mod["atac_pred"].X), key="same")
    ctl.tl.rank_regions(mdata, "kind", key="same", n_bootstrap=100, seed=0, key_added="cells")
    keys = ["group", "region"]
    a, b = (mdata.uns["ctl"][k]["table"].set_index(keys) for k in ("rank_regions", "cells"))
    b = b.loc[a.index]
    np.testing.assert_allclose(a["effect"], b["effect"], atol=1e-6)
    assert ((a["high"] - a["low"]).mean()) > ((b["high"] - b["low"]).mean())

    from chromatell.data.chosen import indicator
    from chromatell.models.dense._draws import draws_of_sets

    model = ctl.models.load(mdata, key="dense")
    codes = mdata.obs["kind"].cat.codes.to_numpy()
    draws = draws_of_sets(model, mdata, model.regions, indicator(codes, 3)).means
    wanted = np.stack([model.predict(mdata)[codes == g].mean(axis=0) for g in range(3)])
    np.testing.assert_allclose(draws.mean(axis=0), wanted, rtol=1e-5)
    assert draws.std(axis=0).max() > 0


def test_the_error_of_members_is_their_standard_deviation():
    x = np.full((40, 4), 0.5)  # cells do not differ
    codes = np.repeat([0, 1], 20)
    wobble = np.zeros((3, 2, 4))
    wobble[:, 0, 0] = [-0.2, 0.0, 0.2]  # members differ in one region of the first group
    picks = np.tile(np.arange(3), 200)
    found = group_effects(
        x, codes, 2, weights=np.ones((600, 40), np.float32), reference=None, wobble=wobble, picks=picks
    )
    inside = 0.5 * np.exp(wobble[:, 0, 0]) + 1e-3
    assert found.error[0, 0] == pytest.approx(np.log2(inside)[picks].std(ddof=1), rel=1e-5)
    np.testing.assert_allclose(found.error[0, 1:], 0, atol=1e-6)


def test_pvalues_by_cells_are_binomial_and_uniform_where_nothing_differs():
    rng = np.random.default_rng(3)
    x = sp.csr_matrix((rng.random((500, 300)) < rng.uniform(0.02, 0.3, 500)[:, None]).astype(np.float32))
    inside, outside = np.arange(200), np.arange(200, 500)
    p = by_cells(x, inside, outside)
    d, n = x.toarray().astype(float), int(x[:, 7].sum())
    for j in (7, 100):
        k, n = int(d[inside, j].sum()), int(d[:, j].sum())
        share = d[inside].sum() / d.sum()
        each = [stats.binomtest(k, n, share, alternative=side).pvalue for side in ("less", "greater")]
        assert p[j] == pytest.approx(min(1, 2 * min(each)), rel=1e-12)  # of float32 counts too
    assert 0.01 < np.mean(p < 0.05) < 0.09


def test_pvalues_by_donors_are_those_of_a_paired_t_test():
    rng = np.random.default_rng(4)
    samples = np.tile(np.arange(5), 80)
    inside, outside = np.arange(200), np.arange(200, 400)
    x = (rng.random((400, 3)) < 0.4).astype(np.float32)
    logs = []
    for cells in (inside, outside):
        rows = [x[cells[samples[cells] == d]] for d in range(5)]
        logs.append(np.log2(np.stack([r.sum(axis=0) / r.sum() for r in rows]) * x.sum() / 400 + 1e-3))
    wanted = stats.ttest_rel(*logs, axis=0).pvalue
    np.testing.assert_allclose(by_donors(sp.csr_matrix(x), inside, outside, samples), wanted, rtol=1e-5)
    apart = np.where(np.arange(400) < 200, samples, samples + 5)  # no donor has cells on both sides
    wanted = stats.ttest_ind(*logs, axis=0, equal_var=False).pvalue
    np.testing.assert_allclose(by_donors(sp.csr_matrix(x), inside, outside, apart), wanted, rtol=1e-5)
    assert np.isnan(by_donors(sp.csr_matrix(x), inside[:3], outside, samples)).all()


@pytest.mark.filterwarnings("ignore:The dispersion trend curve")  # what pydeseq2 says of so few counts
def test_deseq2_finds_what_differs():
    pytest.importorskip("pydeseq2")
    rng = np.random.default_rng(5)
    rate = np.full((400, 30), 0.5)
    rate[:200, 0] = 3.0
    x = sp.csr_matrix(rng.poisson(rate).astype(np.float32))
    p = by_deseq2(x, np.arange(200), np.arange(200, 400), np.tile(np.arange(4), 100))
    assert p[0] < 1e-6
    assert np.mean(p[1:] < 0.05) < 0.3


def test_without_pydeseq2_the_extra_is_named(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pydeseq2", None)
    monkeypatch.setitem(sys.modules, "pydeseq2.dds", None)
    with pytest.raises(ctl.ChromatellError, match=r"chromatell\[differential\]"):
        by_deseq2(sp.csr_matrix((4, 2)), np.arange(2), np.arange(2, 4), np.arange(4))


def test_missing_pvalues_do_not_count_in_the_adjustment():
    p = np.array([0.01, np.nan, 0.02, 0.5])
    np.testing.assert_allclose(false_discovery(p)[[0, 2, 3]], stats.false_discovery_control(p[[0, 2, 3]]))
    assert np.isnan(false_discovery(p)[1])


def test_donors_are_resampled_and_tested_where_they_are_named(mdata):
    before = {k: mdata.obs[k].copy() for k in mdata.obs}
    copied = ctl.tl.rank_regions(mdata, "kind", sample_key="donor", n_bootstrap=30, seed=1, copy=True)
    assert "rank_regions" not in mdata.uns.get("ctl", {})
    settings = copied.uns["ctl"]["rank_regions"]["settings"].iloc[0]
    assert (settings["resampled"], settings["test"]) == ("donors", "donors")
    assert all(mdata.obs[k].equals(before[k]) for k in before)
    again = ctl.tl.rank_regions(mdata, "kind", sample_key="donor", n_bootstrap=30, seed=1, copy=True)
    pd.testing.assert_frame_equal(copied.uns["ctl"]["rank_regions"]["table"], again.uns["ctl"]["rank_regions"]["table"])


def test_a_query_without_atac_has_effects_and_no_pvalue_and_goes_to_disk(mdata, tmp_path):
    query = mudata.MuData({"rna": mdata.mod["rna"], "atac_pred": mdata.mod["atac_pred"]})
    query.obs["kind"] = mdata.obs["kind"]
    ctl.tl.rank_regions(query, "kind", n_bootstrap=5, seed=0)
    table = query.uns["ctl"]["rank_regions"]["table"]
    assert not [c for c in table if "measured" in c]
    assert "agreement" not in query.uns["ctl"]["rank_regions"]
    with pytest.raises(ctl.ChromatellError, match="No prediction 'rna'.* What was measured is key='atac'"):
        ctl.tl.rank_regions(query, "kind", key="rna", n_bootstrap=5)
    query.write(tmp_path / "x.h5mu")
    read = ctl.io.read(tmp_path / "x.h5mu").uns["ctl"]["rank_regions"]
    np.testing.assert_allclose(read["table"]["effect"], table["effect"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"groupby": "type"}, r"Did not find mdata.obs\['type'\]"),
        ({"groupby": "kind", "groups": ["z"]}, r"No group 'z' of two or more cells.*'a', 'b', 'c'"),
        ({"groupby": "kind", "reference": "z"}, "No group 'z'"),
        ({"groupby": "kind", "test": "deseq2"}, "name their column, sample_key='donor'"),
        ({"groupby": "kind", "test": "wilcoxon"}, "choose one of"),
        ({"groupby": "kind", "split": "test"}, r"Run ctl.pp.split_cells\(mdata\)"),
        ({"groupby": "kind", "sample_key": "one"}, "has 1 donor among these cells"),
        ({"groupby": "one"}, "has 1 groups of two or more cells; two are needed"),
        ({"groupby": "number"}, "different numbers, not labels of groups"),
        ({"groupby": "kind", "n_bootstrap": 1}, "n_bootstrap=1 is out of range"),
        ({"groupby": "kind", "key_added": "models"}, "is what another tool"),
    ],
)
def test_what_cannot_be_used_is_said(mdata, arguments, message):
    mdata.obs["one"] = "x"
    mdata.obs["number"] = np.random.default_rng(0).random(N)
    with pytest.raises(ctl.ChromatellError, match=message):
        ctl.tl.rank_regions(mdata, **arguments)
    assert "rank_regions" not in mdata.uns.get("ctl", {})


def test_the_plot_shows_the_first_regions_of_a_group(mdata):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    with pytest.raises(ctl.ChromatellError, match="Run ctl.tl.rank_regions"):
        ctl.pl.rank_regions(mdata)
    ctl.tl.rank_regions(mdata, "kind", n_bootstrap=20, seed=0)
    ax = ctl.pl.rank_regions(mdata, n_top=5)
    assert ax.get_xlabel().startswith("log2 ratio, b to")
    table = mdata.uns["ctl"]["rank_regions"]["table"]
    part = table[(table["group"] == "b") & (table["rank"] <= 5)]
    assert [t.get_text() for t in ax.get_yticklabels()] == list(part["region"])
    np.testing.assert_allclose(ax.lines[1].get_xdata(), part["effect"])
    with pytest.raises(ctl.ChromatellError, match=r"No group 'z'.*'a', 'b', 'c'"):
        ctl.pl.rank_regions(mdata, "z")
    matplotlib.pyplot.close("all")


def test_groups_that_are_numbers(mdata):
    mdata.obs["cluster"] = (mdata.obs_names.argsort() % 2).astype(int)
    ctl.tl.rank_regions(mdata, "cluster", groups=[0], n_bootstrap=2, seed=0)
    assert mdata.uns["ctl"]["rank_regions"]["table"]["group"].unique().tolist() == ["0"]
    for column, groups, reference in (("cluster", [0], 1), ("odd", [False], True)):
        mdata.obs["odd"] = mdata.obs["cluster"].to_numpy() == 1
        ctl.tl.rank_regions(mdata, column, groups=groups, reference=reference, n_bootstrap=2, seed=0)
        found = mdata.uns["ctl"]["rank_regions"]
        assert found["table"]["group"].unique().tolist() == [str(groups[0])]
        assert found["settings"]["reference"].iloc[0] == str(reference)


def test_regions_that_are_open_in_no_cell_come_last_without_an_effect(mdata):
    """Their interval would be 0 to 0, above that of each rare region: they were 459 of the first 500 of a rare type."""
    x = mdata.mod["atac"].X.toarray()
    x[:, 7] = 0  # nowhere
    x[:, 8] = 0
    x[(mdata.obs["kind"] == "c").to_numpy(), 8] = 1  # outside of what is compared below
    mdata.mod["atac"].X = sp.csr_matrix(x)
    names = mdata.mod["atac"].var_names
    for reference, silent in (("rest", {names[7]}), ("a", {names[7], names[8]})):
        ctl.tl.rank_regions(mdata, "kind", key="atac", groups="b", reference=reference, n_bootstrap=10, seed=0)
        table = mdata.uns["ctl"]["rank_regions"]["table"]
        assert set(table["region"][-len(silent) :]) == silent
        told = table["region"].isin(silent)
        for column in ("effect", "low", "high", "measured_effect", "measured_pvalue", "measured_fdr"):
            np.testing.assert_array_equal(table[column].isna(), told)
        assert table["rank"].tolist() == list(range(1, R + 1))
        known = table[~told]
        assert known["low"].is_monotonic_decreasing
        np.testing.assert_allclose(known["measured_fdr"], stats.false_discovery_control(known["measured_pvalue"]))
    ctl.pl.rank_regions(mdata, "b", n_top=R)  # draws those that are known, and names the others
    ctl.tl.rank_regions(mdata, "kind", key="mine", groups="b", reference="a", n_bootstrap=10, seed=0)
    table = mdata.uns["ctl"]["rank_regions"]["table"].set_index("region")  # a prediction is never 0
    assert table["effect"].notna().all()
    assert set(table.index[table["measured_effect"].isna()]) == {names[7], names[8]}
