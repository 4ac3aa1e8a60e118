"""Inputs beside expression: how each is read, that a model gains by them, and that a query must bring them."""

from __future__ import annotations

import dataclasses

import mudata as md
import numpy as np
import pytest
import scipy.sparse as sp
from anndata import AnnData
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score

import chromatell as ctl
from chromatell.data.inputs import CLR, COUNTS, GIVEN, Input
from chromatell.models.baselines.cells import BaselineFitter
from chromatell.models.baselines.parts import RidgePath
from chromatell.models.stack._regressions import Cells, fit_regressions

N, OWN = 500, 25  # cells; regions that follow a state which expression does not show
DENSE = {"seed": 0, "train_kwargs": {"max_epochs": 2}, "n_members": 1}


@pytest.fixture(scope="module")
def cells() -> md.MuData:
    """Cells in two states that open 25 regions and raise three of eight proteins, and no gene."""
    rng = np.random.default_rng(0)
    mdata = ctl.datasets.simulate_multiome(N, 40, 100, depth=10, seed=0)
    state = rng.random(N) < 0.5
    atac = mdata.mod["atac"].X.toarray()
    atac[:, :OWN] = rng.poisson(np.where(state, 0.5, 0.05)[:, None], (N, OWN))
    mdata.mod["atac"].X = sp.csr_matrix(atac.astype(np.float32))
    level = np.full((N, 8), 20.0)
    level[:, :3] *= np.where(state, 3.0, 1.0)[:, None]
    level *= rng.lognormal(0, 0.4, N)[:, None]  # of each cell's staining
    prot = AnnData(sp.csr_matrix(rng.poisson(level).astype(np.float32)))
    prot.obs_names, prot.var_names = mdata.obs_names, [f"P{i}" for i in range(8)]
    mdata = md.MuData({**mdata.mod, "prot": prot})
    ctl.pp.split_cells(mdata, seed=0)
    return mdata


@pytest.fixture(scope="module")
def trained(cells: md.MuData) -> md.MuData:
    mdata = cells.copy()
    ctl.tl.dense(mdata, inputs=("rna", "prot"), **DENSE)
    return mdata


def own_auroc(mdata: md.MuData, values: np.ndarray) -> float:
    test = (mdata.obs["ctl_split"] == "test").to_numpy()
    opened = mdata.mod["atac"].X[test][:, :OWN].toarray() > 0
    return float(np.mean([roc_auc_score(opened[:, i], values[test][:, i]) for i in range(OWN)]))


def test_a_model_gains_by_an_input_that_carries_signal(cells: md.MuData, trained: md.MuData) -> None:
    plain = ctl.tl.dense(cells, copy=True, **DENSE)
    without, with_it = (own_auroc(cells, m.mod["atac_pred"].X) for m in (plain, trained))
    assert without < 0.58
    assert with_it > 0.68  # the state alone gives .69
    assert "prot" in ctl.models.load(trained, key="dense").card["inputs"]


def test_a_stored_model_reads_its_inputs_by_name(tmp_path, cells: md.MuData, trained: md.MuData) -> None:
    trained.write(tmp_path / "m.h5mu")
    rna, prot = cells.mod["rna"], cells.mod["prot"]
    turned = prot[::-1, ["P7", *prot.var_names[:7]]].copy()  # other orders of cells and of proteins
    query = ctl.tl.predict(md.MuData({"rna": rna, "prot": turned}), model=tmp_path / "m.h5mu")
    np.testing.assert_allclose(query.mod["atac_pred"].X, trained.mod["atac_pred"].X, atol=1e-5)
    assert "prot" in query.mod
    with pytest.raises(ctl.ChromatellError, match="reads 'prot' beside 'rna'"):
        ctl.tl.predict(rna, model=trained)
    with pytest.raises(ctl.ChromatellError, match="reads 'prot' beside 'rna'"):
        ctl.tl.predict(md.MuData({"rna": rna}), model=trained)
    with pytest.raises(ctl.ChromatellError, match=r"20 of the 500 cells of 'rna' are not in it"):
        ctl.tl.predict(md.MuData({"rna": rna, "prot": prot[20:].copy()}), model=trained)
    with pytest.warns(ctl.ChromatellWarning, match="1 of the 8 variables"):
        ctl.tl.predict(md.MuData({"rna": rna, "prot": prot[:, 1:].copy()}), model=trained)
    with pytest.raises(ctl.ChromatellError, match="holds 3 of the 8 variables"):
        ctl.tl.predict(md.MuData({"rna": rna, "prot": prot[:, :3].copy()}), model=trained)
    logged = prot.copy()
    logged.X = np.log1p(prot.X.toarray())
    with pytest.raises(ctl.ChromatellError, match=r"trained on counts of 'prot'"):
        ctl.tl.predict(md.MuData({"rna": rna, "prot": logged}), model=trained)


def test_altered_statistics_are_refused(trained: md.MuData) -> None:
    record = ctl.io.read_record(trained, "dense")
    for name, place in (("sd", 0), ("numbers", 3)):
        value = record.arrays[f"inputs.0.{name}"].copy()
        value[place] = 0
        altered = dataclasses.replace(record, arrays={**record.arrays, f"inputs.0.{name}": value})
        with pytest.raises(ctl.ChromatellError, match="statistics of 'prot' are none"):
            ctl.models.Dense.from_record(altered)


def test_other_verbs_read_the_inputs_too(trained: md.MuData) -> None:
    mdata = trained.copy()
    ctl.tl.perturb(mdata, mdata.mod["rna"].var_names[:1].tolist(), groupby="cell_type", n_cells=20)
    ctl.tl.uncertainty(mdata, "cell_type", method="dropout", n_draws=2)
    effect = mdata.uns["ctl"]["perturbation"]["effect"]
    assert np.isfinite(effect).all()
    assert np.abs(effect).max() > 0


def test_evaluate_says_what_an_input_adds_and_baselines_read_it(trained: md.MuData, tmp_path) -> None:
    mdata = trained.copy()
    ctl.tl.evaluate(mdata, baselines=["ridge"], views=["per_region"], n_bootstrap=50, seed=0)
    ((_, row),) = mdata.uns["ctl"]["input_gains"].query("metric == 'auroc'").iterrows()
    assert (row["input"], row["pairs"], row["view"]) == ("prot", "cross-cell", "per_region")
    test = np.flatnonzero(mdata.obs["ctl_split"] == "test")
    opened = mdata.mod["atac"].X[test].toarray() > 0
    values = {}
    for name, inputs in (("all", ("rna", "prot")), ("rna", ("rna",))):
        ctl.tl.baseline(mdata, "ridge", view="per_region", inputs=inputs, key_added=name, seed=0)
        p = mdata.mod["atac_pred"].layers[name]
        both = [j for j in range(100) if 0 < opened[:, j].sum() < len(test)]
        values[name] = np.mean([roc_auc_score(opened[:, j], p[test, j]) for j in both])
    assert row["with_it"] == pytest.approx(values["all"], abs=1e-5)
    assert row["without_it"] == pytest.approx(values["rna"], abs=1e-5)
    assert row["gain"] == pytest.approx(values["all"] - values["rna"], abs=1e-5)
    assert row["ci_low"] > 0.01
    scores = mdata.uns["ctl"]["evaluation"].query("model == 'ridge' and metric == 'auroc'")
    assert scores["value"].item() == pytest.approx(values["all"], abs=1e-5)
    mdata.write(tmp_path / "m.h5mu")


def test_an_input_that_says_nothing_is_left_out_of_what_is_regressed(cells: md.MuData) -> None:
    other = cells.copy()
    other.mod["prot"].X = cells.mod["prot"].X[np.random.default_rng(5).permutation(N)]  # those of another cell
    weight = {}
    for name, mdata in (("own", cells), ("other", other)):
        fitter = BaselineFitter(mdata, mdata.mod["atac"].var_names, inputs=("rna", "prot"))
        for kind in ("ridge", "knn"):
            fitter.predict(kind, np.arange(2))
            weight[kind, name] = fitter.chosen()[f"{kind}_weight_of_prot"]
    assert weight["ridge", "other"] == weight["knn", "other"] == 0
    assert min(weight["ridge", "own"], weight["knn", "own"]) > 0
    plain = BaselineFitter(cells, cells.mod["atac"].var_names)
    plain.predict("ridge", np.arange(2))
    assert list(plain.chosen()) == ["ridge_components", "ridge_alpha"]


@pytest.mark.parametrize("says", [False, True])
def test_the_regressions_of_the_stack_leave_out_an_input_that_says_nothing(
    rng: np.random.Generator, says: bool
) -> None:
    def drawn(n: int) -> Cells:
        scores, more = rng.normal(size=(n, 2)).astype("f4"), rng.normal(size=(n, 20)).astype("f4")
        p = np.linspace(0.1, 0.5, 60) + 0.1 * np.clip(more[:, :1] if says else scores[:, 1:], -1, 1)
        truth = sp.csr_matrix((rng.random(p.shape) < p).astype("f4"))
        sizes, one = rng.normal(size=(n, 2)).astype("f4"), np.ones(n)
        return Cells(scores, more, sizes, 1000 * one, one, truth)

    train, val = drawn(200), drawn(400)
    given = {"components": np.eye(2, dtype="f4"), "depth_mean": 1.0, "embed": None, "seed": 0, "inputs": {"prot": 20}}
    simple, _ = fit_regressions(train, val, **given)
    for beta in (simple.beta, simple.low):
        assert beta.shape[0] == 23
        assert beta[2:-1].any() == says


def test_weights_of_inputs_scale_their_columns(rng: np.random.Generator) -> None:
    x = rng.normal(size=(80, 9))  # three components, inputs of two and three columns, the library size
    y = (rng.random((80, 4)) < 0.4).astype(np.float32)
    path = RidgePath(x, sp.csr_matrix(y), inputs=(2, 3))
    for inputs, of in (((0.5, 0), [1, 1, 0, 0.5, 0.5, 0, 0, 0, 1]), ((), [1, 1, 0, 1, 1, 1, 1, 1, 1])):
        scaled = x * np.array(of)
        expected = Ridge(alpha=2.0).fit(scaled, y).predict(scaled) - y.mean(axis=0)
        np.testing.assert_allclose(path.at(2.0, 2, inputs=inputs).change(x), expected, atol=1e-5)


@pytest.mark.parametrize("how", [COUNTS, CLR, GIVEN])
def test_values_are_normalised_as_is_said(how: str) -> None:
    rng = np.random.default_rng(1)
    x = rng.poisson(0.3 if how == COUNTS else 9.0, (60, 5)).astype(np.float32)
    x[:, 0] += 1
    if how == GIVEN:
        x = rng.normal(size=(60, 5)).astype(np.float32)
    adata = AnnData(x)
    found = Input.fit(adata, np.arange(40), 0)
    assert found.how == how
    total = x.sum(axis=1, keepdims=True)
    if how == COUNTS:
        wanted = np.log1p(x / total * np.median(total[:40]))
    else:
        wanted = x if how == GIVEN else np.log1p(x) - np.log1p(x).mean(axis=1, keepdims=True)
    z = (wanted - wanted[:40].mean(axis=0)) / wanted[:40].std(axis=0)
    columns = found.transform(adata, np.arange(60), "m")
    # all components are kept, so that products of cells are those of their z-scores, in units of a mean square of 1
    np.testing.assert_allclose(columns[:, :5] @ columns[:, :5].T, z @ z.T, rtol=2e-3, atol=2e-3)
    assert columns[:40, :5].std(axis=0).max() == pytest.approx(found.units[0], rel=1e-3)
    if how == GIVEN:
        assert columns.shape[1] == 5
    else:
        log = np.log1p(total[:, 0])
        np.testing.assert_allclose(columns[:, 5], (log - log[:40].mean()) / log[:40].std(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (("prot",), "leaves out 'rna'"),
        (("rna", "atac"), "which is what is predicted"),
        (("rna", "proteins"), r"no modality 'proteins'; it has 'atac', 'prot', 'rna'"),
    ],
)
def test_inputs_that_cannot_be_read_are_refused(cells: md.MuData, inputs: tuple, message: str) -> None:
    with pytest.raises(ctl.ChromatellError, match=message):
        ctl.tl.dense(cells, inputs=inputs)
    other = md.MuData({**cells.mod, "prot": cells.mod["prot"][::-1].copy()})
    other.obs["ctl_split"] = cells.obs["ctl_split"]
    with pytest.raises(ctl.ChromatellError, match="in their order; their order is another"):
        ctl.tl.dense(other, inputs=("rna", "prot"))
