"""``ctl.tl.evaluate`` on cells x bins: values against scikit-learn or by hand, with a model whose scores are known.

The model is made up: what it predicts, embeds and labels is given. One small AtacFormer is trained to see that the
parts fit.
"""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.metrics import accuracy_score, average_precision_score, f1_score, roc_auc_score
from tests.tl.made_bins import Made, made, some_bins, table, typed, value

import chromatell as ctl
from chromatell.evaluation.predictors import Prediction, Predictor
from chromatell.evaluation.tables import EVALUATION_COLUMNS, GAIN_COLUMNS, PAIRS, best_baselines, gain_table
from chromatell.evaluation.tasks.bin_cells import remove_bins
from chromatell.evaluation.tasks.bins import RemovedBins
from chromatell.evaluation.views import Score, Scores, score
from chromatell.evaluation.views.cells import label_scores
from chromatell.metrics.views import depth_strata
from chromatell.models.baselines.bins import COMPLETIONS


@pytest.fixture(scope="module")
def bins() -> ad.AnnData:
    return some_bins()


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
    strongest = dict.fromkeys(["mine", "lsi_knn", "svd", "mean"])
    strongest.update(made_of({"mine": 0.35, "svd": 0.4, "lsi_knn": 0.3}, 0.001) | made_of({"mean": 0.45}, 0.2))
    strongest |= made_of({"lsi": np.nan}, 0)
    four = [*predictors, *(Predictor(name, len, is_baseline=True) for name in ("lsi", "mean"))]
    found = gain_table(strongest, four, best, *about).iloc[0]  # 'svd' is ahead by its interval, 'mean' by more without
    assert (found["ahead"], found["gain_over_ahead"]) == ("mean", pytest.approx(-0.1))
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
