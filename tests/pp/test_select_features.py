import mudata
import numpy as np
import pytest
import scipy.sparse as sp
from scipy.stats import spearmanr
from tests.helpers import in_halves

import chromatell as ctl
from chromatell import ChromatellError
from chromatell.data.expression import Expression


def select(mdata, **arguments):
    ctl.pp.select_features(mdata, **arguments)
    return mdata.mod["rna"].var, mdata.mod["atac"].var


@pytest.fixture
def split(mdata):
    ctl.pp.split_cells(mdata, seed=0)
    return mdata


def training(mdata, name):
    return mdata.mod[name].X[(mdata.obs["ctl_split"] == "train").to_numpy()]


def test_variance_by_definition(split, fields):
    before = fields(split)
    assert ctl.pp.select_features(split, n_genes=10, n_regions=25) is None
    rna, atac = split.mod["rna"].var, split.mod["atac"].var
    opened = (training(split, "atac").toarray() > 0).astype(float)
    np.testing.assert_allclose(atac["ctl_score"], opened.var(axis=0), rtol=1e-6)
    counts = training(split, "rna").toarray()
    total = counts.sum(axis=1, keepdims=True)
    log = np.log1p(counts * (np.median(total) / total))
    np.testing.assert_allclose(rna["ctl_score"], log.var(axis=0), rtol=1e-5)
    for var, n in ((rna, 10), (atac, 25)):
        assert var["ctl_selected"].sum() == n
        assert var.loc[var["ctl_selected"], "ctl_score"].min() >= var.loc[~var["ctl_selected"], "ctl_score"].max()
        assert (var["ctl_selected"].dtype, var["ctl_score"].dtype) == (bool, np.float32)
    after = fields(split)
    assert {k for k in after if k not in before} == {
        f"{m}:var/{c}" for m in ("rna", "atac") for c in ("ctl_selected", "ctl_score")
    }
    assert {k: after[k] for k in before} == before


def test_the_models_normalisation(split):
    rna, _ = select(split)
    fitted = Expression.fit(training(split, "rna"), split.mod["rna"].var_names)
    np.testing.assert_allclose(rna["ctl_score"], fitted.sd**2, rtol=1e-4)


def test_test_cells_are_not_read(split):
    first = [var[["ctl_selected", "ctl_score"]].copy() for var in select(split, n_genes=10, n_regions=25)]
    others = np.flatnonzero(split.obs["ctl_split"] != "train")
    for mod in split.mod.values():
        x = mod.X.tolil()
        x[others] = 7
        mod.X = x.tocsr()
    second = select(split, n_genes=10, n_regions=25)
    for a, b in zip(first, second, strict=True):
        assert a.equals(b[["ctl_selected", "ctl_score"]])


@pytest.mark.parametrize("form", ["dense", "csc", "in halves", "integers"])
def test_any_matrix(split, form):
    want = [var["ctl_score"].copy() for var in select(split, n_genes=10, n_regions=25)]
    for mod in split.mod.values():
        x = mod.X
        if form == "dense":
            mod.X = x.toarray()
        elif form == "csc":
            mod.X = x.tocsc()
        elif form == "integers":
            mod.X = x.astype(np.int64)
        else:
            mod.X = in_halves(x)
            assert not mod.X.has_canonical_format
    got = select(split, n_genes=10, n_regions=25)
    for a, var in zip(want, got, strict=True):
        np.testing.assert_allclose(var["ctl_score"], a, rtol=1e-5)
        assert var["ctl_selected"].sum() in (10, 25)


def test_regions_open_in_no_training_cell_and_min_open(split):
    atac = split.mod["atac"]
    train = (split.obs["ctl_split"] == "train").to_numpy()
    x = atac.X.tolil()
    x[train, :5] = 0
    x[~train, :5] = 1
    atac.X = x.tocsr()
    _, var = select(split)
    assert not var["ctl_selected"].iloc[:5].any()
    share = (training(split, "atac") > 0).mean(axis=0).A1
    assert var["ctl_selected"].tolist() == (share > 0).tolist()
    _, var = select(split, min_open=0.03)
    assert var["ctl_selected"].tolist() == (share >= 0.03).tolist()
    assert 0 < var["ctl_selected"].sum() < 75
    n = int((share >= 0.03).sum())
    with pytest.raises(ChromatellError, match=rf"n_regions={n + 1} is above the {n} of 80 regions .*at least 0.03"):
        ctl.pp.select_features(split, n_regions=n + 1, min_open=0.03)


def test_genes_that_do_not_vary(split):
    rna = split.mod["rna"]
    x = rna.X.toarray()
    x[(split.obs["ctl_split"] == "train").to_numpy(), 3] = 0
    rna.X = sp.csr_matrix(x)
    var, _ = select(split)
    assert var["ctl_selected"].all()
    assert var["ctl_score"].iloc[3] == 0
    with pytest.raises(ChromatellError, match="n_genes=30 is above the 29 of 30 genes that vary in training"):
        ctl.pp.select_features(split, n_genes=30)


def test_normalised_values_are_taken_as_they_are(split):
    rna = split.mod["rna"]
    rna.X = np.log1p(rna.X.toarray() / 3) - 0.01  # smoothed: slightly negative
    var, _ = select(split)
    np.testing.assert_allclose(var["ctl_score"], np.asarray(training(split, "rna")).var(axis=0), rtol=1e-4)


@pytest.fixture(scope="module")
def informative():
    """Expression where only genes 0-9 know anything: the others are shuffled over the cells."""
    mdata = ctl.datasets.simulate_multiome(1500, 60, 400, depth=60, seed=2)
    rna = mdata.mod["rna"]
    x = rna.X.toarray()
    spread = np.log1p(x / x.sum(axis=1, keepdims=True) * 100).astype(float)
    known = [abs(spearmanr(spread[:, g], mdata.obs["cell_type"].cat.codes).statistic) for g in range(60)]
    informed = np.argsort(known)[::-1][:10]
    rng = np.random.default_rng(0)
    for g in np.setdiff1d(np.arange(60), informed):
        x[:, g] = rng.permutation(x[:, g])
    rna.X = sp.csr_matrix(x)
    ctl.pp.split_cells(mdata, seed=0)
    return mdata, set(rna.var_names[informed])


@pytest.mark.parametrize("method", ["lasso", "random_forest"])
def test_scored_methods_find_the_genes_that_know(informative, method):
    mdata, informed = informative
    var, _ = select(mdata, method=method, n_genes=10, seed=0)
    assert len(informed & set(var.index[var["ctl_selected"]])) >= 8
    by_variance, _ = select(mdata.copy(), n_genes=10)
    assert len(informed & set(by_variance.index[by_variance["ctl_selected"]])) < 8
    again, _ = select(mdata.copy(), method=method, n_genes=10, seed=0)
    np.testing.assert_array_equal(var["ctl_score"], again["ctl_score"])


def test_all_genes_when_none_is_asked_for(informative):
    mdata, _ = informative
    var, _ = select(mdata, method="lasso", n_regions=50)
    assert var["ctl_selected"].all()
    assert (var["ctl_score"] > 0).any()


def test_genes_past_the_scored_ones_follow_by_variance(split, monkeypatch):
    import importlib

    monkeypatch.setattr(importlib.import_module("chromatell.pp._select_features"), "_MAX_GENES", 12)
    monkeypatch.setattr(importlib.import_module("chromatell.pp._select_features"), "_MAX_CELLS", 100)
    by_variance = select(split.copy(), n_genes=20)[0]
    var, _ = select(split, n_genes=20, method="random_forest")
    assert var["ctl_selected"].tolist() == by_variance["ctl_selected"].tolist()
    assert ((var["ctl_score"] > 0) <= (by_variance["ctl_score"].rank(ascending=False) <= 12)).all()


def test_proximity(split):
    ctl.pp.link_genes(split, split.mod["rna"].var, max_distance=50_000)
    rna, atac = select(split, method="proximity", n_regions=30)
    distance = split.uns["ctl"]["links"]["distance"].toarray()[:, atac["ctl_selected"].to_numpy()]
    want = np.where(distance > 0, np.exp(-(distance - 1) / 10_000), 0).sum(axis=1)
    np.testing.assert_allclose(rna["ctl_score"], want, rtol=1e-5)
    assert rna["ctl_selected"].tolist() == (want > 0).tolist()
    rna, _ = select(split, method="proximity", n_regions=30, n_genes=5)
    assert set(rna.index[rna["ctl_selected"]]) == set(rna.index[np.argsort(-want)[:5]])
    n = int((want > 0).sum())
    with pytest.raises(ChromatellError, match=f"above the {n} of 30 genes that are linked to a selected region"):
        ctl.pp.select_features(split, method="proximity", n_regions=30, n_genes=n + 1)


def test_links_follow_the_names_when_features_were_dropped(split):
    ctl.pp.link_genes(split, split.mod["rna"].var, max_distance=50_000)
    whole = select(split, method="proximity")[0]["ctl_score"].copy()
    genes = split.mod["rna"].var_names[::-1][:20]
    part = mudata.MuData({"rna": split.mod["rna"][:, genes].copy(), "atac": split.mod["atac"][:, ::-1].copy()})
    part.obs["ctl_split"], part.uns["ctl"] = split.obs["ctl_split"], split.uns["ctl"]
    np.testing.assert_allclose(select(part, method="proximity")[0]["ctl_score"], whole[genes], rtol=1e-5)


def test_copy(split, fields):
    before = fields(split)
    new = ctl.pp.select_features(split, n_genes=10, n_regions=20, copy=True)
    assert fields(split) == before
    assert new.mod["atac"].var["ctl_selected"].sum() == 20


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"n_regions": 81}, r"n_regions=81 is above the \d+ of 80 regions that are open in training"),
        ({"n_genes": 31}, r"n_genes=31 is above the 30 of 30 genes"),
        ({"n_genes": 0}, "n_genes=0 must be a positive whole number"),
        ({"n_regions": 2.5}, "n_regions=2.5 must be a positive whole number"),
        ({"min_open": 1.0}, "min_open=1.0 must be a share"),
        ({"method": "magic"}, "method='magic' is not known; choose one of"),
        ({"method": "proximity"}, "Run ctl.pp.link_genes"),
    ],
)
def test_bad_arguments_change_nothing(split, fields, arguments, match):
    before = fields(split)
    with pytest.raises(ChromatellError, match=match):
        ctl.pp.select_features(split, **arguments)
    assert fields(split) == before


def test_bad_data_changes_nothing(mdata, fields):
    before = fields(mdata)
    with pytest.raises(ChromatellError, match=r"Run ctl.pp.split_cells\(mdata\) first"):
        ctl.pp.select_features(mdata)
    assert fields(mdata) == before
    ctl.pp.split_cells(mdata)
    for name, value, match in (("rna", np.nan, "1 NaN"), ("atac", -1, "1 negative"), ("rna", -100, "negative")):
        old = mdata.mod[name].X.copy()
        mdata.mod[name].X.data[0] = value
        before = fields(mdata)
        with pytest.raises(ChromatellError, match=match):
            ctl.pp.select_features(mdata)
        assert fields(mdata) == before
        mdata.mod[name].X = old


@pytest.mark.parametrize("name", ["pbmc10k_51genes", "snare_mouse_cortex", "bmmc_500cells"])
def test_real_data(data_dir, name):
    mdata = mudata.read_h5mu(data_dir / "multiome" / f"{name}.h5mu")
    ctl.pp.split_cells(mdata, seed=0)
    rna, atac = select(mdata, n_genes=40, n_regions=500)
    share = np.asarray((training(mdata, "atac") > 0).mean(axis=0)).ravel()
    np.testing.assert_allclose(atac["ctl_score"], share * (1 - share), rtol=1e-5, atol=1e-9)
    assert rna["ctl_selected"].sum() == 40
    assert atac["ctl_selected"].sum() == 500
    assert (share[atac["ctl_selected"]] > 0).all()
    if name == "pbmc10k_51genes":
        assert abs(share[atac["ctl_selected"]].mean() - 0.097) < 0.003  # the published prevalence
    if name == "snare_mouse_cortex":
        _, atac = select(mdata, min_open=0.005)
        assert 5000 < atac["ctl_selected"].sum() < 5800
