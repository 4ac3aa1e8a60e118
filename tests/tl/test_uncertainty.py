"""`tl.uncertainty`: its numbers written out, and its coverage on cells whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import chromatell as ctl
from chromatell.models.dense._draws import draw_blocks


def each_draw(model, data, **how):
    """Draws of all cells and regions, as the stack has them: (draws, cells, regions)."""
    n = model.network.n_members if how["method"] == "members" else how["n_draws"]
    out = np.full((n, data.n_obs, len(model.regions)), np.nan)
    for rows, cols, block in draw_blocks(model, data, model.regions, **how):
        for i, p in enumerate(block.network):
            out[i][rows, cols] = block.scale * p.numpy() + (0 if block.rest is None else block.rest)
    return out


@pytest.fixture(scope="module")
def mdata():
    mdata = ctl.datasets.simulate_multiome(1500, 60, 100, seed=0)
    ctl.pp.split_cells(mdata, fractions=(0.6, 0.2, 0.2), seed=0)
    ctl.tl.dense(mdata, seed=0, n_members=3, train_kwargs={"max_epochs": 4})
    return mdata


def test_the_table_is_the_formula(mdata):
    out = ctl.tl.uncertainty(mdata, "cell_type", level=0.8, copy=True)
    assert "uncertainty" not in mdata.uns["ctl"]
    result = out.uns["ctl"]["uncertainty"]
    settings = result["settings"].iloc[0]
    assert (settings["method"], settings["n_draws"], bool(settings["calibrated"])) == ("members", 3, True)

    model = ctl.models.load(mdata, key="dense")
    draws = each_draw(model, mdata, method="members", n_draws=2, seed=0)
    np.testing.assert_allclose(draws.mean(axis=0), mdata.mod["atac_pred"].X, atol=1e-6)
    x = (mdata.mod["atac"].X.toarray() > 0).astype(float)
    kind, split = mdata.obs["cell_type"].to_numpy(), mdata.obs["ctl_split"].to_numpy()

    def case(which):
        parts = []
        for group in sorted(set(kind)):
            cells = (kind == group) & (split == which)
            means = draws[:, cells].mean(axis=1)
            mean, n = means.mean(axis=0), cells.sum()
            root = np.sqrt(means.var(axis=0, ddof=1) + mean * (1 - mean) / n)
            parts.append((mean, root, x[cells].mean(axis=0)))
        return (np.concatenate(part) for part in zip(*parts, strict=True))

    mean, root, observed = case("val")
    scores = np.sort(np.abs(observed - mean) / root)
    q = scores[int(np.ceil((len(scores) + 1) * 0.8)) - 1]
    mean, root, observed = case("test")
    table = result["table"].sort_values("group", kind="stable")
    np.testing.assert_allclose(table["predicted"], mean, rtol=1e-4)
    np.testing.assert_allclose(table["observed"], observed, rtol=1e-5)
    np.testing.assert_allclose(table["high"], np.clip(mean + q * root, 0, 1), rtol=1e-3)
    np.testing.assert_allclose(table["low"], np.clip(mean - q * root, 0, 1), atol=1e-5)

    pred = out.mod["atac_pred"]
    spread = draws.var(axis=0, ddof=1)
    np.testing.assert_allclose(pred.obs["ctl_uncertainty"], np.sqrt(spread.mean(axis=1)), rtol=1e-4)
    np.testing.assert_allclose(pred.var["ctl_uncertainty"], np.sqrt(spread.mean(axis=0)), rtol=1e-4)


@pytest.mark.parametrize("method", ["members", "dropout"])
def test_intervals_hold_the_measured_share_of_test_cells(mdata, method, tmp_path):
    out = ctl.tl.uncertainty(mdata, "cell_type", method=method, n_draws=8, seed=0, copy=True)
    coverage = out.uns["ctl"]["uncertainty"]["coverage"].set_index(["split", "level"])
    for level in (0.8, 0.9, 0.95):
        assert coverage.loc[("val", level), "covered"] == pytest.approx(level, abs=0.01)  # by construction
        assert coverage.loc[("test", level), "covered"] == pytest.approx(level, abs=0.06)
    table = out.uns["ctl"]["uncertainty"]["table"]
    inside = (table["observed"] >= table["low"] - 1e-9) & (table["observed"] <= table["high"] + 1e-9)
    assert inside.mean() == pytest.approx(coverage.loc[("test", 0.9), "covered"])
    out.write(tmp_path / "x.h5mu")
    read = ctl.io.read(tmp_path / "x.h5mu").uns["ctl"]["uncertainty"]
    np.testing.assert_allclose(read["table"]["low"], table["low"])


def test_dropout_is_reproducible_and_leaves_the_model_as_it_was(mdata):
    model = ctl.models.load(mdata, key="dense")
    model.fitted.stack = None  # of few cells the network may have no share, and then draws do not differ
    before = model.predict(mdata)

    def draw(seed):
        return each_draw(model, mdata[:50], method="dropout", n_draws=4, seed=seed)

    np.testing.assert_array_equal(draw(1), draw(1))
    assert np.abs(draw(1) - draw(2)).max() > 1e-4
    assert draw(1).shape == (4, 50, 100)
    np.testing.assert_array_equal(model.predict(mdata), before)


def test_without_measured_cells_it_is_not_calibrated_and_says_so(mdata):
    query = ctl.tl.predict(mdata.mod["rna"], mdata)
    query.obs["cell_type"] = mdata.obs["cell_type"].to_numpy()
    with pytest.warns(ctl.ChromatellWarning, match="not calibrated"):
        ctl.tl.uncertainty(query, "cell_type", model=ctl.models.load(mdata, key="dense"))
    result = query.uns["ctl"]["uncertainty"]
    assert "coverage" not in result
    assert "observed" not in result["table"]
    row = result["table"].iloc[5]
    half = stats.norm.ppf(0.95) * np.sqrt(
        row["spread"] ** 2 + row["predicted"] * (1 - row["predicted"]) / row["n_cells"]
    )
    assert row["high"] - row["predicted"] == pytest.approx(half, rel=1e-5)


def test_what_cannot_be_used_is_said(mdata):
    one = ctl.tl.dense(mdata, seed=0, key_added="one", n_members=1, train_kwargs={"max_epochs": 1}, copy=True)
    mdata.obs["each"] = np.arange(mdata.n_obs).astype(str)
    for data, arguments, message in (
        (one, {"groupby": "cell_type", "key": "one", "method": "members"}, r"one member.*method='dropout'"),
        (mdata, {"groupby": "cell_type", "method": "bayes"}, "choose one of"),
        (mdata, {"groupby": "cell_type", "key": "x"}, "There is no model 'x'"),
        (mdata, {"groupby": "cell_type", "level": 1.0}, "level=1.0 is out of range"),
        (mdata, {"groupby": "cell_type", "n_draws": 0}, "n_draws=0 is out of range"),
        (mdata, {"groupby": "kind"}, "Did not find mdata.obs"),
    ):
        with pytest.raises(ctl.ChromatellError, match=message):
            ctl.tl.uncertainty(data, **arguments)
    with (
        pytest.warns(ctl.ChromatellWarning, match="not calibrated"),
        pytest.raises(ctl.ChromatellError, match="No group of mdata.obs"),
    ):
        ctl.tl.uncertainty(mdata, "each")
    del mdata.obs["each"]
    assert "uncertainty" not in mdata.uns["ctl"]


def test_the_plot_shows_the_coverage(mdata):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    with pytest.raises(ctl.ChromatellError, match="Run ctl.tl.uncertainty"):
        ctl.pl.uncertainty(mdata)
    out = ctl.tl.uncertainty(mdata, "cell_type", copy=True)
    ax = ctl.pl.uncertainty(out)
    table = out.uns["ctl"]["uncertainty"]["coverage"]
    np.testing.assert_allclose(ax.lines[2].get_ydata(), table[table["split"] == "test"]["covered"])
    matplotlib.pyplot.close("all")


def test_groups_that_are_too_small_and_a_network_without_a_share_are_named(caplog):
    mdata = ctl.datasets.simulate_multiome(200, 30, 60, seed=0)
    ctl.pp.split_cells(mdata, seed=0)
    ctl.tl.dense(mdata, seed=0, n_members=3, train_kwargs={"max_epochs": 1})
    test = np.flatnonzero(mdata.obs["ctl_split"] == "test")
    mdata.obs["k"] = "large"
    mdata.obs.iloc[test[:9], mdata.obs.columns.get_loc("k")] = "nine"
    with caplog.at_level("INFO", logger="chromatell"):
        ctl.tl.uncertainty(mdata, "k")
    table = mdata.uns["ctl"]["uncertainty"]["table"]
    assert table["group"].unique().tolist() == ["large"]
    assert table["n_cells"].unique().tolist() == [len(test) - 9]
    assert "Under ten test cells, left out: 'nine'." in caplog.text
    assert (table["spread"] < 1e-12).all()
    assert "no share in the prediction" in caplog.text
