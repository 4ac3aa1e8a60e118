"""``ctl.tl.evaluate`` on cells x bins: values against scikit-learn or by hand, with a model whose scores are known.

The model is made up: what it predicts, embeds and labels is given. One small AtacFormer is trained to see that the
parts fit.
"""

from __future__ import annotations

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from matplotlib.figure import Figure
from sklearn.metrics import accuracy_score, average_precision_score, f1_score, roc_auc_score

import chromatell as ctl
from chromatell._validate import ChromatellError, ChromatellWarning
from chromatell.evaluation.predictors import Prediction, Predictor
from chromatell.evaluation.tables import EVALUATION_COLUMNS, GAIN_COLUMNS, PAIRS, best_baselines, gain_table
from chromatell.evaluation.tasks.bin_cells import remove_bins
from chromatell.evaluation.tasks.bins import RemovedBins
from chromatell.evaluation.views import Score, Scores, score
from chromatell.evaluation.views.cells import label_scores
from chromatell.metrics.views import depth_strata
from chromatell.models._base import ChromatinModel
from chromatell.models.baselines.bins import COMPLETIONS

TINY = {"d": 16, "k": 8, "n_hidden": 32, "n_layers": 1, "n_heads": 2, "train_kwargs": {"max_epochs": 2}, "seed": 0}


class Made(ChromatinModel):
    """A model that says what it was told to."""

    family = "made"
    reads_atac = True
    var_names = None
    __abstractmethods__ = frozenset()

    def __init__(self, score: pd.DataFrame, embedding: pd.DataFrame | None = None, labels: dict | None = None):
        self.score, self.embedding, self.labels = score, embedding, labels or {}
        self.var_names = {"rna": [], "atac": list(score.columns)}
        self.read: list[ad.AnnData] = []
        self.trained_cells = {}

    def predict(self, data, *, regions=None, **options):
        self.read.append(data)
        return self.score.loc[data.obs_names, list(regions)].to_numpy(dtype=np.float32)

    def embed_and_label(self, data, *, sentence=True):
        z = None if self.embedding is None else self.embedding.loc[data.obs_names].to_numpy()
        return z, {key: table.loc[data.obs_names] for key, table in self.labels.items()}


Made.__abstractmethods__ = frozenset()


@pytest.fixture(scope="module")
def bins() -> ad.AnnData:
    """240 cells x 90 bins of 3 types, split."""
    adata = ctl.datasets.simulate_multiome(240, 20, 90, n_types=3, depth=25.0, seed=1).mod["atac"]
    ctl.pp.split_cells(adata, fractions=(0.5, 0.2, 0.3), seed=0)
    return adata


def made(bins, seed=0, **more) -> Made:
    rng = np.random.default_rng(seed)
    truth = (bins.X > 0).toarray()
    score = np.round(rng.random(truth.shape) + 0.4 * truth, 2)
    return Made(pd.DataFrame(score, bins.obs_names, bins.var_names.astype(str)), **more)


def typed(bins, right=0.8, seed=0) -> dict[str, pd.DataFrame]:
    rng = np.random.default_rng(seed)
    types = bins.obs["cell_type"].astype(str).to_numpy()
    names = np.unique(types)
    said = np.where(rng.random(len(types)) < right, types, rng.choice(names, len(types)))
    return {"cell_type": pd.DataFrame((said[:, None] == names).astype("f4"), bins.obs_names, names)}


def table(adata, key="evaluation"):
    return adata.uns["ctl"][key]


def value(adata, model, pairs, view, metric, column="value", key="evaluation"):
    t = table(adata, key)
    row = t[(t["model"] == model) & (t["pairs"] == pairs) & (t["view"] == view) & (t["metric"] == metric)]
    assert len(row) == 1
    return row[column].item()


@pytest.fixture(scope="module")
def scored(bins):
    z = pd.DataFrame(np.random.default_rng(2).normal(size=(240, 4)), bins.obs_names)
    z[0] += 1.5 * bins.obs["cell_type"].cat.codes.to_numpy()
    model = made(bins, embedding=z, labels=typed(bins))
    other = made(bins, seed=1, embedding=z + 0.1)
    done = ctl.tl.evaluate(bins, {"mine": model, "other": other}, seed=0, top=40, copy=True)
    return done, model, other


def test_tables_have_the_shape_of_all_others(scored, bins):
    done, *_ = scored
    scores, gains = table(done), table(done, "gains")
    assert tuple(scores.columns) == EVALUATION_COLUMNS
    assert tuple(gains.columns) == GAIN_COLUMNS
    assert list(dict.fromkeys(scores["pairs"])) == ["completion", "labels", "embedding"]
    assert scores["uses_target_assay"].all()  # all read the cell's own ATAC
    of = {k: set(t["model"]) for k, t in scores[scores["is_baseline"]].groupby("pairs")}
    assert of == {"completion": set(COMPLETIONS), "labels": {"lsi_logistic", "majority"}, "embedding": {"lsi"}}
    assert set(gains["model"]) == {"mine", "other"}
    assert (scores["split"] == "test").all()
    views = set(scores.loc[scores["pairs"] == "embedding", "view"])
    assert views == {"cell_type", "cell_type_supervised"}  # `mine` was trained with the types
    assert "evaluation" not in bins.uns["ctl"]


def test_values_equal_sklearn(scored, bins):
    done, model, _ = scored
    test = (bins.obs["ctl_split"] == "test").to_numpy()
    read = model.read[0]
    assert list(read.obs_names) == list(bins.obs_names[test])
    opened, seen = (bins.X[test] > 0).toarray(), read.X.toarray() > 0
    assert (seen <= opened).all()
    removed = opened & ~seen
    np.testing.assert_array_equal(removed.sum(axis=1), np.rint(0.2 * opened.sum(axis=1)))
    p = model.score.to_numpy()[test]
    y, s = removed[~seen], p[~seen]
    assert value(done, "mine", "completion", "overall", "ap") == pytest.approx(average_precision_score(y, s), abs=1e-9)
    assert value(done, "mine", "completion", "overall", "auroc") == pytest.approx(roc_auc_score(y, s), abs=1e-9)
    assert value(done, "mine", "completion", "overall", "ap", "n") == y.size
    assert table(done, "curves")["completion"]["_prevalence"] == pytest.approx(y.mean())
    held = [i for i in range(test.sum()) if removed[i].any()]
    for metric, f in (("auroc", roc_auc_score), ("ap", average_precision_score)):
        cells = [f(removed[i][~seen[i]], p[i][~seen[i]]) for i in held]
        assert value(done, "mine", "completion", "per_cell", metric) == pytest.approx(np.mean(cells))
        assert value(done, "mine", "completion", "per_cell", metric, "n") == len(held)


def test_depth_matched_by_hand(scored, bins):
    done, model, _ = scored
    test = (bins.obs["ctl_split"] == "test").to_numpy()
    opened, seen = (bins.X[test] > 0).toarray(), model.read[0].X.toarray() > 0
    removed, p = opened & ~seen, model.score.to_numpy()[test]
    strata = depth_strata(np.asarray(bins.X.sum(axis=1)).ravel()[test])
    of_bins = []
    for b in np.argsort(-opened.sum(axis=0), kind="stable")[:40]:
        inside, weight = [], []
        for k in range(strata.max() + 1):
            cells = (strata == k) & ~seen[:, b]
            n, n_open = cells.sum(), removed[cells, b].sum()
            if 0 < n_open < n:
                inside.append(roc_auc_score(removed[cells, b], p[cells, b]))
                weight.append(n_open * (n - n_open) / n)
        of_bins += [np.average(inside, weights=weight)] if inside else []
    assert value(done, "mine", "completion", "depth_matched", "auroc") == pytest.approx(np.mean(of_bins))
    assert value(done, "mine", "completion", "depth_matched", "auroc", "n") == len(of_bins)


def test_labels_equal_sklearn(scored, bins):
    done, model, _ = scored
    test = (bins.obs["ctl_split"] == "test").to_numpy()
    true = bins.obs["cell_type"].astype(str).to_numpy()
    said = model.labels["cell_type"].idxmax(axis=1).to_numpy()
    f1 = f1_score(true[test], said[test], average="macro")
    assert value(done, "mine", "labels", "cell_type", "macro_f1") == pytest.approx(f1)
    assert value(done, "mine", "labels", "cell_type", "accuracy") == pytest.approx((true == said)[test].mean())
    most = pd.Series(true[(bins.obs["ctl_split"] == "train").to_numpy()]).mode()[0]
    assert value(done, "majority", "labels", "cell_type", "accuracy") == pytest.approx((true[test] == most).mean())
    low, high = (value(done, "mine", "labels", "cell_type", "macro_f1", c) for c in ("ci_low", "ci_high"))
    assert low < f1 < high


def test_replicates_of_labels_equal_sklearn_on_the_cells_drawn():
    rng = np.random.default_rng(0)
    true, said = rng.choice(["a", "b", "rare"], 40, p=[0.5, 0.45, 0.05]), rng.choice(["a", "b", "never"], 40)
    drawn = [rng.integers(0, 40, 40) for _ in range(6)]
    weights = np.stack([np.bincount(d, minlength=40) for d in drawn]).astype("f4")
    result = Scores().add(label_scores("x", true, said, weights))
    whole = f1_score(true, said, average="macro")
    assert (result["x", "macro_f1"].value, result["x", "macro_f1"].n) == (pytest.approx(whole), 40)
    f1 = [f1_score(true[d], said[d], average="macro") - whole for d in drawn]
    np.testing.assert_allclose(result["x", "macro_f1"].change, f1, atol=1e-12)
    right = [accuracy_score(true[d], said[d]) - accuracy_score(true, said) for d in drawn]
    np.testing.assert_allclose(result["x", "accuracy"].change, right, atol=1e-7)


def test_neighbours_in_an_embedding_by_hand(scored, bins):
    done, model, other = scored
    test = (bins.obs["ctl_split"] == "test").to_numpy()
    types = bins.obs["cell_type"].astype(str).to_numpy()[test]
    for name, m, view in (("mine", model, "cell_type_supervised"), ("other", other, "cell_type")):
        z = m.embedding.to_numpy()[test]
        away = ((z[:, None] - z[None]) ** 2).sum(axis=2)
        np.fill_diagonal(away, np.inf)
        near = np.argsort(away, axis=1)[:, :15]
        share = (types[near] == types[:, None]).mean()
        assert value(done, name, "embedding", view, "knn_label") == pytest.approx(share)
    of_lsi = [value(done, "lsi", "embedding", v, "knn_label") for v in ("cell_type", "cell_type_supervised")]
    assert of_lsi[0] == of_lsi[1]
    assert 0.34 < of_lsi[0] < 1


def test_gains_are_over_the_baseline_best_on_validation_cells_and_paired(scored):
    done, *_ = scored
    gains = table(done, "gains")
    for row in gains.itertuples():
        at = (row.pairs, row.view, row.metric)
        assert row.gain == pytest.approx(value(done, row.model, *at) - value(done, row.baseline, *at))
        assert row.ci_low < row.gain < row.ci_high


def test_a_baseline_that_is_ahead_on_the_scored_data_is_named_beside_the_gain():
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.01, 200)

    def made_of(values, spread):
        return {
            k: Scores().add([Score("overall", "ap", v, 9, noise + spread * rng.normal(0, 1, 200))])
            for k, v in values.items()
        }

    best = best_baselines("pairs", made_of({"svd": 0.1, "lsi_knn": 0.2}, 0))  # on validation data
    predictors = [Predictor(n, len, is_baseline=n != "mine") for n in ("mine", "svd", "lsi_knn")]
    about = PAIRS, {"split": "test", "pairs": "completion"}
    for spread, ahead in ((0.001, "svd"), (0.2, "")):  # paired: an interval of the difference without and with 0
        scores = made_of({"mine": 0.35, "svd": 0.4, "lsi_knn": 0.3}, spread)
        found = gain_table(scores, predictors, best, *about).iloc[0]
        assert (found["baseline"], found["gain"]) == ("lsi_knn", pytest.approx(0.05))
        assert found["ahead"] == ahead
        assert found["gain_over_ahead"] == pytest.approx(-0.05 if ahead else np.nan, nan_ok=True)


def test_intervals_hold_the_scores_of_cells_drawn_anew():
    """Interval of the overall and per-cell scores against a bootstrap written out with sklearn."""
    rng = np.random.default_rng(0)
    opened = rng.random((80, 60)) < rng.uniform(0.05, 0.5, (80, 1))
    seen, removed = remove_bins(sp.csr_matrix(opened.astype("f4")), 0.3, rng)
    p = (rng.random(opened.shape) + 0.5 * removed.toarray()).astype("f4")
    drawn = [rng.integers(0, 80, 80) for _ in range(60)]
    weights = np.stack([np.bincount(d, minlength=80) for d in drawn]).astype("f4")
    at, none = (np.arange(80), np.arange(60)), np.zeros((0, 60), dtype="f4")
    pairs = RemovedBins(*at, removed, opened.sum(axis=1) * 1.0, None, 60, weights, none, seen, seen=seen)
    found = score(pairs, Prediction("p", p), ("overall", "depth_matched"))
    y, gone = removed.toarray() > 0, seen.toarray() > 0
    for metric, f in (("auroc", roc_auc_score), ("ap", average_precision_score)):
        brute = [f(y[d][~gone[d]], p[d][~gone[d]]) for d in drawn]
        expected = np.array(brute) - f(y[~gone], p[~gone])
        np.testing.assert_allclose(found["overall", metric].change, expected, atol=2e-3)
    assert found["depth_matched", "auroc"].change.std() > 0.005


def test_a_model_that_is_a_baseline_gains_nothing(bins):
    rows = bins.obs["ctl_split"].to_numpy() == "train"
    frequency = (bins.X[rows] > 0).toarray().mean(axis=0)

    class Frequency(Made):
        def predict(self, data, *, regions=None, **options):
            return (np.asarray(data.X.sum(axis=1)) * frequency).astype("f4")

    model = Frequency(made(bins).score)
    done = ctl.tl.evaluate(bins, {"same": model}, baselines="bin_frequency_depth", pairs="completion", copy=True)
    gains = table(done, "gains")
    assert set(gains["baseline"]) == {"bin_frequency_depth"}
    np.testing.assert_allclose(
        gains[["gain", "ci_low", "ci_high"]].to_numpy(), 0, atol=5e-4
    )  # but for rounding of ties


def test_what_was_asked_for_and_where_it_is_written(bins, tmp_path):
    adata, model = bins.copy(), {"mine": made(bins, labels=typed(bins))}
    before = adata.copy()
    few = {"baselines": ["svd", "majority"], "n_bootstrap": 0, "views": "overall"}
    assert ctl.tl.evaluate(adata, model, pairs=["completion", "labels"], key_added="again", seed=3, **few) is None
    assert set(adata.uns["ctl"]) == {*before.uns["ctl"], "again", "again_gains", "again_curves"}
    scores = table(adata, "again")
    assert set(scores["view"]) == {"overall", "cell_type"}
    assert set(scores["model"]) == {"mine", "svd", "majority"}
    assert scores["ci_low"].isna().all()
    pd.testing.assert_frame_equal(adata.obs, before.obs)
    pd.testing.assert_frame_equal(adata.var, before.var)
    assert list(adata.obsm) == list(before.obsm)
    np.testing.assert_array_equal(adata.X.toarray(), before.X.toarray())
    repeated = ctl.tl.evaluate(adata, model, pairs=["completion", "labels"], seed=3, copy=True, **few)
    pd.testing.assert_frame_equal(table(repeated), scores)  # the same seed removes the same bins
    other = ctl.tl.evaluate(adata, model, pairs="completion", seed=4, copy=True, **few)
    assert (table(other)["value"].to_numpy() != scores["value"].to_numpy()[: len(table(other))]).all()
    adata.write_h5ad(tmp_path / "scored.h5ad")
    stored = table(ad.read_h5ad(tmp_path / "scored.h5ad"), "again")
    pd.testing.assert_frame_equal(stored, scores, check_dtype=False)  # text may come back as pandas' own dtype
    alone = ctl.tl.evaluate(adata, [], baselines="all", n_bootstrap=0, copy=True)  # no model: baselines by themselves
    assert table(alone)["is_baseline"].all()
    assert len(table(alone, "gains")) == 0


def test_cells_are_thinned_at_the_limit_and_bins_on_request(bins, monkeypatch, caplog):
    model = made(bins)
    caplog.set_level("INFO", "chromatell")
    ctl.tl.evaluate(bins, {"m": model}, max_regions=30, pairs="completion", n_bootstrap=0, copy=True)
    assert "Scored are 30 of 90 bins" in caplog.text
    assert model.read[-1].n_vars == 90  # all are read
    names = list(bins.var_names[[5, 3]])
    done = ctl.tl.evaluate(bins, {"m": model}, regions=names, pairs="completion", views="overall", copy=True)
    assert value(done, "m", "completion", "overall", "ap", "n") < 2 * 72
    monkeypatch.setattr(ctl.settings, "dense_limit", 90 * 4 * 20)
    done = ctl.tl.evaluate(bins, {"m": model}, pairs="completion", views="per_cell", copy=True)
    assert "20 of 72 test cells, drawn at random" in caplog.text
    assert model.read[-1].n_obs == 20
    assert value(done, "m", "completion", "per_cell", "ap", "n") <= 20


def test_whole_groups_are_drawn_where_cells_were_split_by_group(bins, monkeypatch):
    adata = bins.copy()
    adata.obs["donor"] = np.repeat([f"d{i}" for i in range(12)], 20)
    ctl.pp.split_cells(adata, by="donor", fractions=(0.5, 0.2, 0.3), seed=0)
    drawn = {}
    made_pairs = RemovedBins.__post_init__
    monkeypatch.setattr(
        RemovedBins, "__post_init__", lambda self: drawn.setdefault("w", self.cell_weights) is None or made_pairs(self)
    )
    ctl.tl.evaluate(adata, {"m": made(bins)}, pairs="completion", baselines=None, n_bootstrap=5)
    donors = adata.obs["donor"][(adata.obs["ctl_split"] == "test").to_numpy()].to_numpy()
    for d in np.unique(donors):
        assert (np.ptp(drawn["w"][:, donors == d], axis=1) == 0).all()
    assert np.ptp(drawn["w"]) > 0


# ---- a model that was trained


@pytest.fixture(scope="module")
def trained(bins):
    adata = bins.copy()
    ctl.tl.atacformer(adata, labels="cell_type", **TINY)
    ctl.tl.atacformer(adata, key_added="alone", **TINY)
    return adata


def test_models_in_the_object_are_found_and_scored(trained):
    ctl.tl.evaluate(trained, n_bootstrap=20)
    scores = table(trained)
    assert {"atacformer", "alone"} < set(scores["model"])
    assert set(scores.loc[scores["model"] == "alone", "view"]) == {
        "overall",
        "per_cell",
        "depth_matched",
        "cell_type",
    }
    model = ctl.models.load(trained, key="alone")
    test = (trained.obs["ctl_split"] == "test").to_numpy()
    z = model.embed(trained[test].copy())
    away = ((z[:, None] - z[None]) ** 2).sum(axis=2)
    np.fill_diagonal(away, np.inf)
    types = trained.obs["cell_type"].astype(str).to_numpy()[test]
    share = (types[np.argsort(away, axis=1)[:, :15]] == types[:, None]).mean()
    assert value(trained, "alone", "embedding", "cell_type", "knn_label") == pytest.approx(share, abs=2e-3)
    f1 = f1_score(types, trained.obs["cell_type_atacformer"].astype(str)[test], average="macro")
    assert value(trained, "atacformer", "labels", "cell_type", "macro_f1") == pytest.approx(f1)
    axes = ctl.pl.leaderboard(trained, ax=Figure().subplots(1, 3))
    assert [a.get_xlabel().split("\n")[1] for a in axes] == ["(all pairs)", "(per cell)", "(depth-matched)"]
    assert [t.get_text() for t in axes[0].get_yticklabels() if "(" in t.get_text()] == []  # none is an upper bound
    filled = {line.get_markerfacecolor() for line in axes[0].lines if line.get_marker() in ("o", "s", "D")}
    assert "white" not in filled
    axes = ctl.pl.leaderboard(trained, pairs="embedding", ax=Figure().subplots(1, 2))
    assert [a.get_xlabel().split("\n")[1] for a in axes] == ["(cell_type)", "(cell_type_supervised)"]
    ax = ctl.pl.leaderboard(trained, pairs="labels", views="cell_type", ax=Figure().subplots())
    assert ax.get_xlabel() == "macro-F1 (cell_type)"
    assert ctl.pl.pr_curve(trained, ax=Figure().subplots()).get_title(loc="left") == "removed bins"


def test_a_mudata_with_such_models(bins, trained):
    rna = ctl.datasets.simulate_multiome(240, 20, 90, n_types=3, depth=25.0, seed=1).mod["rna"]
    mdata = md.MuData({"rna": rna, "atac": bins.copy()})
    del mdata.mod["atac"].obs["ctl_split"]
    mdata.obs["ctl_split"] = bins.obs["ctl_split"]
    mdata.obs["cell_type"] = bins.obs["cell_type"]
    ctl.tl.atacformer(mdata, key_added="alone", **TINY)
    options = {"models": "alone", "n_bootstrap": 0, "seed": 0}
    ctl.tl.evaluate(mdata, **options)  # no prediction is there: the models that read bins are scored
    expected = ctl.tl.evaluate(trained, copy=True, **options)
    pd.testing.assert_frame_equal(table(mdata), table(expected), atol=1e-6)
    ctl.tl.dense(mdata, train_kwargs={"max_epochs": 1})
    ctl.tl.evaluate(mdata, n_bootstrap=0, baselines="region_mean", views="overall")
    assert set(table(mdata)["pairs"]) == {"cross-cell"}
    ctl.tl.evaluate(mdata, pairs="completion", n_bootstrap=0, models="alone")
    assert set(table(mdata)["pairs"]) == {"completion"}
    with pytest.raises(ChromatellError, match=r"'dense' do not read a cell's own open bins"):
        ctl.tl.evaluate(mdata, "dense", pairs="completion")
    with pytest.raises(ChromatellError, match="Make two calls"):
        ctl.tl.evaluate(mdata, pairs=["completion", "cross-cell"])
    with pytest.raises(ChromatellError, match=r"adata.obs\['ctl_split'\] = mdata.obs\['ctl_split'\]"):
        ctl.tl.evaluate(mdata.mod["atac"], {"alone": ctl.models.load(mdata, key="alone")})
    with pytest.raises(ChromatellError, match=r"A MuData keeps its models itself: ctl.tl.evaluate\(mdata, pairs="):
        ctl.tl.evaluate(mdata.mod["atac"])
    atac = mdata.mod["atac"].copy()
    atac.obs["ctl_split"] = mdata.obs["ctl_split"]
    done = ctl.tl.evaluate(atac, {"alone": ctl.models.load(mdata, key="alone")}, n_bootstrap=0, seed=0, copy=True)
    pd.testing.assert_frame_equal(table(done), table(expected), atol=1e-6)


def test_a_model_of_other_bins_is_scored_in_those_it_knows(trained, bins, caplog):
    caplog.set_level("INFO", "chromatell")
    part = bins[:, 20:].copy()
    done = ctl.tl.evaluate(part, {"theirs": ctl.models.load(trained, key="alone")}, n_bootstrap=0, copy=True)
    assert set(table(done)["pairs"]) == {"completion", "embedding"}
    known = {"mine": made(part), "theirs": made(bins[:, :40].copy())}
    ctl.tl.evaluate(part, known, pairs="completion", n_bootstrap=0, copy=True)
    assert "Read and scored are 20 of 70 bins" in caplog.text
    assert known["theirs"].read[0].n_vars == 20


# ---- what cannot be scored


def test_wrong_input_names_the_cure_and_changes_nothing(bins, trained):
    model = {"m": made(bins)}
    genes = ctl.datasets.simulate_multiome(60, 20, 30, seed=0).mod["rna"]
    no_split = bins.copy()
    del no_split.obs["ctl_split"]
    no_test = bins[bins.obs["ctl_split"] != "test"].copy()
    negative = bins.copy()
    negative.X = -negative.X
    context = ctl.tl.atacformer(bins_with_context(bins), context="X_own", copy=True, **TINY)
    for data, models, options, message in (
        (no_split, model, {}, r"Did not find adata.obs\['ctl_split'\]"),
        (no_test, model, {}, "holds no 'test' cell"),
        (bins, None, {}, r"Did not find a model in adata.uns\['ctl'\]\['models'\]"),
        (genes, None, {}, r"Expression belongs into a MuData with 'rna' and 'atac'"),
        (genes, model, {}, "None of the 20 variables .* is a bin of the model 'm'"),
        (bins, "none", {}, "There is no model"),
        (trained, "none", {}, "There is no model 'none'"),
        (context, None, {}, "do not read a cell's own open bins: they predict from a context"),
        (negative, model, {}, "negative values"),
        (bins, {"svd": made(bins)}, {}, "'svd' has the name of a baseline"),
        (bins, model, {"removed": 0}, "removed=0 is out of range"),
        (bins, model, {"removed": 1.0}, "removed=1.0 is out of range"),
        (bins, model, {"removed": 0.01, "pairs": "completion"}, "takes no scored bin of any of the 72 'test' cells"),
        (bins, model, {"pairs": "cross-cell"}, "pairs='cross-cell' is not known"),
        (bins, model, {"views": "profile"}, "views='profile' is not known"),
        (bins, model, {"baselines": "knn"}, "baselines='knn' is not known"),
        (bins, model, {"regions": "predictable"}, "a list of names of bins is needed"),
        (bins, model, {"regions": ["chr9:1-2"]}, "are not among the 90"),
        (bins, model, {"max_regions": 0}, "max_regions=0 is out of range"),
        (bins, model, {"n_bootstrap": -1}, "n_bootstrap=-1 is out of range"),
        (bins, model, {"pairs": "labels"}, "no model was trained with labels"),
        (bins, model, {"pairs": "embedding", "labels": "none"}, "there is no column 'none'"),
        (bins, model, {"split": "all"}, "split='all' is not known"),
        (bins, model, {"threshold": 1}, r"\['threshold'\] are no options for cells x bins"),
        (bins, model, {"key_added": "a/b"}, "cannot be stored"),
    ):
        before = data.copy()
        with pytest.raises(ChromatellError, match=message):
            ctl.tl.evaluate(data, models, **{"n_bootstrap": 0, **options})
        assert set(data.uns.get("ctl", {})) == set(before.uns.get("ctl", {}))
        pd.testing.assert_frame_equal(data.obs, before.obs)
    with pytest.raises(ChromatellError, match=r"\['removed'\] are no options for cells"):
        ctl.tl.evaluate(ctl.datasets.simulate_multiome(60, 20, 30, seed=0), removed=0.2)
    with pytest.raises(ChromatellError, match="models= as a dict is for cells x bins"):
        ctl.tl.evaluate(ctl.datasets.simulate_multiome(60, 20, 30, seed=0), model)


def bins_with_context(bins):
    adata = bins.copy()
    adata.obsm["X_own"] = np.random.default_rng(0).normal(size=(240, 3))
    return adata


def test_cells_that_a_model_was_trained_on_are_refused(trained):
    adata = trained.copy()
    ctl.pp.split_cells(adata, fractions=(0.5, 0.2, 0.3), seed=9)
    with pytest.raises(ChromatellError, match=r"'test' cells .* are among those that 'alone' was trained or tuned"):
        ctl.tl.evaluate(adata, "alone", n_bootstrap=0, key_added="again")
    assert "again" not in adata.uns["ctl"]


def test_without_validation_cells_it_warns(bins):
    adata = bins.copy()
    adata.obs["ctl_split"] = np.where(adata.obs["ctl_split"] == "val", "train", adata.obs["ctl_split"].astype(str))
    with pytest.warns(ChromatellWarning, match="There is no validation cell: baselines take usual sizes"):
        ctl.tl.evaluate(adata, {"m": made(bins, labels=typed(bins))}, n_bootstrap=0)
    best = table(adata)[lambda t: t["is_baseline"] & (t["metric"] == "ap") & (t["view"] == "overall")]
    gains = table(adata, "gains")[lambda t: (t["metric"] == "ap") & (t["view"] == "overall")]
    assert gains["baseline"].item() == best.sort_values("value")["model"].iloc[-1]  # of the scored cells


def test_cells_with_one_or_no_open_bin(bins, caplog):
    adata = bins.copy()
    x = adata.X.toarray()
    test = np.flatnonzero(adata.obs["ctl_split"] == "test")
    x[test[:5]] = 0
    x[test[5:9]] = 0
    x[test[5:9], 3] = 1
    adata.X = sp.csr_matrix(x)
    caplog.set_level("INFO", "chromatell")
    done = ctl.tl.evaluate(
        adata, {"m": made(bins, embedding=pd.DataFrame(x, bins.obs_names))}, n_bootstrap=10, copy=True
    )
    assert value(done, "m", "completion", "per_cell", "ap", "n") <= 72 - 9
    assert "cells have too few open bins to remove one: left out of per-cell scores only" in caplog.text
    assert np.isfinite(table(done)["value"]).all()


def test_labels_with_one_class_or_missing_ones(bins, caplog):
    caplog.set_level("INFO", "chromatell")
    adata, one = bins.copy(), bins.copy()
    one.obs["cell_type"] = "same"
    model = {"m": made(bins, labels=typed(bins), embedding=pd.DataFrame(np.eye(240), bins.obs_names))}
    ctl.tl.evaluate(one, model, n_bootstrap=0)
    assert set(table(one)["pairs"]) == {"completion"}
    assert "obs['cell_type'] names 1 label" in caplog.text
    with pytest.raises(ChromatellError, match="two labels and three cells are needed"):
        ctl.tl.evaluate(one, model, pairs="embedding")
    with pytest.raises(ChromatellError, match="two labels and a cell are needed"):
        ctl.tl.evaluate(one, model, pairs="labels")
    test = np.flatnonzero(adata.obs["ctl_split"] == "test")
    types = adata.obs["cell_type"].astype(object)
    types.iloc[test[:10]] = None
    types.iloc[test[10:13]] = "new"
    adata.obs["cell_type"] = types
    ctl.tl.evaluate(adata, model, pairs="labels", n_bootstrap=0)
    said = model["m"].labels["cell_type"].idxmax(axis=1).to_numpy()[test[10:]]
    expected = f1_score(types.iloc[test[10:]].astype(str), said, average="macro")
    assert value(adata, "m", "labels", "cell_type", "macro_f1") == pytest.approx(expected)
    assert value(adata, "m", "labels", "cell_type", "accuracy", "n") == 62
    assert "no training cell is 'new'" in caplog.text
