"""The name that was meant: in a sentence, in a list, and in every error that lists what there is."""

from __future__ import annotations

import pytest

import chromatell as ctl
from chromatell import ChromatellError
from chromatell._nearest import _ELSEWHERE, did_you_mean, names_there, nearest, nearest_keyword


def test_the_nearest_whatever_the_case():
    assert nearest("CELLTYPE", ["batch", "cell_type"]) == "cell_type"
    assert nearest("leiden", ["batch", "cell_type"]) is None
    assert nearest("A", ["a", "A"]) == "a"  # of two that differ in case alone, the first
    assert nearest(3, [30, 4]) == "30"
    assert did_you_mean("rigde", ["ridge", "knn"]) == " Did you mean 'ridge'?"
    assert did_you_mean("rigde", []) == ""


def test_a_list_is_cut_and_names_the_nearest_beyond_the_cut():
    names = [f"batch{i}" for i in range(20)] + ["cell_type"]
    assert names_there(names, "celltype", 2) == "'batch0', 'batch1', ... (did you mean 'cell_type'?)"
    assert names_there([], "x") == "none"
    assert names_there(iter(["a"]), "zz") == "'a'"
    assert names_there(["ridge", "knn"], ["rigde", "kn"]) == "'ridge', 'knn' (did you mean 'ridge'?)"
    assert names_there(["ridge", "knn"], []) == "'ridge', 'knn'"


@pytest.fixture(scope="module")
def mdata():
    mdata = ctl.datasets.simulate_multiome(60, 20, 30, seed=0)
    ctl.pp.split_cells(mdata, seed=0)
    ctl.tl.baseline(mdata, "region_mean")
    mdata.mod["rna"].layers["counts"] = mdata.mod["rna"].X
    return mdata


def scored(mdata):
    ctl.tl.evaluate(mdata, views=["overall"], baselines=None, n_bootstrap=0)
    return mdata


@pytest.mark.parametrize(
    ("call", "meant"),
    [
        (lambda m: ctl.pp.split_cells(m, by="cell_typ"), "cell_type"),
        (lambda m: ctl.pp.split_cells(m, by="cell_type", holdout="Type_1"), "type_1"),
        (lambda m: ctl.tl.baseline(m, "rigde"), "ridge"),
        (lambda m: ctl.tl.baseline(m, "knn", atac="atacs"), "atac"),
        (lambda m: ctl.tl.baseline(m, "knn", layer={"rna": "count"}), "counts"),
        (lambda m: ctl.tl.evaluate(m, baselines=["region_means"], n_bootstrap=0), "region_mean"),
        (lambda m: ctl.tl.evaluate(m, ["region_men"], n_bootstrap=0), "region_mean"),
        (lambda m: ctl.tl.evaluate(m, views=["per-cell"], n_bootstrap=0), "per_cell"),
        (lambda m: ctl.tl.evaluate(m, labels="cell_types", n_bootstrap=0), "cell_type"),
        (lambda m: ctl.tl.rank_regions(m, "celltype", key="atac"), "cell_type"),
        (lambda m: ctl.tl.rank_regions(m, "cell_type", groups=["typ_1"], key="atac"), "type_1"),
        (lambda m: ctl.tl.dense(m, encoder="mpl"), "mlp"),
        (lambda m: ctl.tl.dense(m, n_latnt=4), "n_latent"),
        (lambda m: ctl.tl.dense(m, train_kwargs={"max_epoch": 1}), "max_epochs"),
        (lambda m: ctl.tl.dense(m, stak=False), "stack"),  # a keyword of the class, and no option of the network
        (lambda m: ctl.tl.dense(m, learning_rate=0.1), "lr"),
        (lambda m: ctl.tl.dense(m, n_epochs=3), "max_epochs"),
        (lambda m: ctl.tl.evaluate(m, n_bootstraps=3), "n_bootstrap"),
        (lambda m: ctl.tl.evaluate(m, random_state=3), "seed"),
        (lambda m: ctl.tl.evaluate(m, metrics=["auroc"]), "views"),
        (lambda m: ctl.tl.evaluate(m, cell_type_key="cell_type"), "labels"),
        (lambda m: ctl.tl.dense(m, key="mine"), "key_added"),  # of the verb, and not of the class
        (lambda m: ctl.tl.dense(m, inplace=False), "copy"),
        (lambda m: ctl.tl.dense(m, random_state=0), "seed"),
        (lambda m: ctl.tl.dense(m, device="cpu"), "accelerator"),
        (lambda m: ctl.get.prediction(m, "region_maen"), "region_mean"),
        (lambda m: ctl.pl.leaderboard(scored(m), models="region_maen"), "region_mean"),
        (lambda m: ctl.pl.leaderboard(scored(m), models=["region_mean", "region_maen"]), "region_mean"),
        (lambda m: ctl.pl.leaderboard(scored(m), views="overal"), "overall"),
    ],
)
def test_errors_name_what_was_meant(mdata, call, meant):
    with pytest.raises(ChromatellError, match=rf"[Dd]id you mean '{meant}'\?"):
        call(mdata)


@pytest.mark.parametrize(
    ("call", "meant"),
    [
        (lambda: ctl.pp.select_features(None, n_top_genes=2000), "n_genes"),  # scanpy
        (lambda: ctl.pp.split_cells(None, test_size=0.2), "fractions"),  # scikit-learn
        (lambda: ctl.pp.split_cells(None, random_state=0), "seed"),
        (lambda: ctl.datasets.simulate_multiome(n_cell=3), "n_cells"),
    ],
)
def test_a_keyword_of_another_library_names_ours(call, meant):
    with pytest.raises(TypeError, match=rf"unexpected keyword argument '\w+'. Did you mean {meant}=\?$"):
        call()


def test_a_keyword_without_a_like_is_answered_with_all():
    with pytest.raises(TypeError, match=r"keyword argument 'nope'. It takes mdata, key, groupby\.$"):
        ctl.get.prediction(None, nope=1)


def test_an_option_of_the_training_is_shown_where_it_goes(mdata):
    with pytest.raises(ChromatellError, match=r"lr is of the training: ctl.tl takes train_kwargs=dict\(lr=0.1\)"):
        ctl.tl.dense(mdata, learning_rate=0.1)


def test_a_meaning_that_is_not_to_be_had_is_no_guess():
    assert nearest_keyword("train_size", ["batch_size", "lr"]) is None
    assert nearest_keyword("name", ["names", "lr"]) == "names"
    assert names_there(["_scvi_batch", "donor"], "batch") == "'donor'"  # a column that scvi-tools keeps for itself


def test_use_gpu_names_an_accelerator_that_there_is(mdata):
    with pytest.raises(ChromatellError, match=r"train_kwargs=dict\(accelerator='gpu'\), a model train"):
        ctl.tl.dense(mdata, use_gpu=True)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda m: ctl.tl.dense(m, n_jobs=4), r"ctl.settings.n_jobs = 2"),
        (lambda m: ctl.tl.dense(m, verbose=True), r"ctl.settings.verbosity = 2"),
        (lambda m: ctl.pl.leaderboard(m, dpi=300), r"matplotlib.rcParams\['savefig.dpi'\] = 300"),
    ],
)
def test_what_is_said_once_for_all_calls_is_shown_there(mdata, call, said):
    with pytest.raises((ChromatellError, TypeError), match=rf"It is said once for all calls: {said}\.$"):
        call(mdata)


def test_no_keyword_of_ours_is_taken_for_that_of_another_library():
    """A name that a model takes must not be answered with another one."""
    options = {p for family in ("Dense", "XChrom", "AtacFormer", "Nascent") for p in own_options(family)}
    assert not options & set(_ELSEWHERE)


def own_options(family):
    try:
        getattr(ctl.models, family)(nope=1)
    except ChromatellError as error:
        return eval(str(error).split("it knows ")[1].split("]")[0] + "]", {"__builtins__": {}})
    raise AssertionError(family)


def test_the_name_of_a_model_is_no_path(mdata):
    with pytest.raises(ChromatellError, match="A model in a MuData is named so: model=mdata, key='dense'"):
        ctl.tl.predict(mdata, "dense")


def test_modules_and_settings_name_what_was_meant():
    with pytest.raises(AttributeError, match=r"no attribute 'dence'; there: .*'xchrom' \(did you mean 'dense'\?\)"):
        _ = ctl.tl.dence
    with pytest.raises(AttributeError, match="no attribute 'train'; there: .*'dense'"):
        _ = ctl.tl.train
    with pytest.raises(AttributeError, match=r"ctl.settings has no 'sed'.*did you mean 'seed'"):
        ctl.settings.sed = 3
    assert not hasattr(ctl.settings, "sed")
    assert not hasattr(ctl.tl, "__wrapped__")
