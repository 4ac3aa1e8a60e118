"""``ctl.tl.evaluate`` on cells x bins: trained models, those in a MuData, wrong input, and cells with hardly a bin."""

from __future__ import annotations

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from matplotlib.figure import Figure
from sklearn.metrics import f1_score
from tests.tl.made_bins import TINY, MadeBins, made, some_bins, table, typed, value

import chromatell as ctl
from chromatell._validate import ChromatellError, ChromatellWarning


@pytest.fixture(scope="module")
def bins() -> ad.AnnData:
    return some_bins()


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


def test_a_model_that_a_modality_carries_is_named(trained):
    mdata = md.MuData({"atac": trained})
    for call in (
        lambda: ctl.models.load(mdata, key="atacformer"),
        lambda: ctl.tl.perturb(mdata, "r", key="atacformer"),
    ):
        with pytest.raises(ChromatellError, match=r"mdata\.mod\['atac'\] carries 'atacformer': give it in place"):
            call()
    assert ctl.models.load(mdata.mod["atac"], key="atacformer").family == "atacformer"


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
        (bins, model, {"regions": 3}, "regions=3 is of type int; text, a list of names"),
        (bins, model, {"n_bootstrap": -1}, "n_bootstrap=-1 is out of range"),
        (bins, model, {"pairs": "labels"}, "no model was trained with labels"),
        (bins, model, {"pairs": "embedding", "labels": "none"}, "labels='none' is no column of adata.obs"),
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


def test_a_family_that_says_nothing_of_cells_is_scored_by_its_bins(bins):
    """As another one with the same scores is; embeddings are compared without it, and labels, which none has, not."""
    adata, quiet = bins.copy(), MadeBins(made(bins).score)
    assert not hasattr(quiet, "embed_and_label")
    ctl.tl.evaluate(adata, {"quiet": quiet, "made": made(bins)}, n_bootstrap=5, seed=0)
    scores = table(adata)
    found = scores[scores["pairs"] == "completion"]
    columns = ["view", "metric", "value", "ci_low", "ci_high", "n"]
    one, other = (found.loc[found["model"] == name, columns].reset_index(drop=True) for name in ("quiet", "made"))
    assert len(one) >= 5
    pd.testing.assert_frame_equal(one, other)
    assert set(scores.loc[scores["pairs"] == "embedding", "model"]) == {"lsi"}
    assert set(scores["pairs"]) == {"completion", "embedding"}


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
