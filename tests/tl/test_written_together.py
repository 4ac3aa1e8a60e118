"""What a verb writes is there as a whole or not at all, whatever else the object holds; names are looked at first."""

from __future__ import annotations

import re

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest
from tests.helpers import split_multiome

import chromatell as ctl
from chromatell import ChromatellError, ChromatellWarning
from chromatell._compat import layer_names
from chromatell.data import predictions
from chromatell.data._tracks_rows import check_memory
from chromatell.models._support import check_dense
from chromatell.tl._sequences import check_output
from chromatell.tl._targets import fits_in_memory

QUICK = {"train_kwargs": {"max_epochs": 1}, "seed": 0}


@pytest.fixture(scope="module")
def base():
    return split_multiome(120, 20, 30, seed=0)


def with_proteins(base):
    """The same cells and a third modality, two of whose four names are genes' too, before the ATAC in order."""
    names = [*base.mod["rna"].var_names[:2], "IgG1", "IgG2"]
    prot = ad.AnnData(np.ones((base.n_obs, 4), "float32"), obs=pd.DataFrame(index=base.obs_names))
    prot.var_names = names
    mods = {"rna": base.mod["rna"].copy(), "prot": prot, "atac": base.mod["atac"].copy()}
    with pytest.warns(UserWarning, match="var_names are not unique"):
        mdata = md.MuData(mods)
    mdata.obs["ctl_split"] = base.obs["ctl_split"]
    mdata.var["number"] = np.arange(mdata.n_vars)
    mdata.var["name"] = list(mdata.var_names)
    return mdata


def snapshot(data):
    """All that a verb could change, as plain values."""
    mods = dict(data.mod) if isinstance(data, md.MuData) else {}
    parts = {"": data, **mods}
    tables = {name: (part.obs.copy(), part.var.copy()) for name, part in parts.items()}
    keys = {name: (sorted(part.obsm), sorted(part.varm)) for name, part in parts.items()}
    layers = {name: sorted(layer_names(part)) for name, part in mods.items()}
    values = {name: part.X.copy() for name, part in mods.items() if name == "atac_pred"}
    return tables, keys, layers, values, repr(data.uns), repr(mods["atac_pred"].uns) if "atac_pred" in mods else ""


def assert_same(before, after):
    for name, tables in before[0].items():
        for one, two in zip(tables, after[0][name], strict=True):
            pd.testing.assert_frame_equal(one, two)
    assert before[0].keys() == after[0].keys()
    assert before[1:3] == after[1:3]
    for name, x in before[3].items():
        np.testing.assert_array_equal(x, after[3][name])
    assert before[4:] == after[4:]


@pytest.mark.filterwarnings("ignore:.*var_names are not unique")
@pytest.mark.filterwarnings("ignore:.*names are not unique")
def test_names_shared_with_another_modality_change_nothing(base):
    verbs = {
        "dense": lambda m: ctl.tl.dense(m, **QUICK),
        "region_mean": lambda m: ctl.tl.baseline(m, "region_mean"),
        "mine": lambda m: ctl.tl.add_prediction(m, np.full((120, 30), 0.1), key="mine"),
    }
    for key, verb in verbs.items():
        two, three = base.copy(), with_proteins(base)
        verb(two)
        verb(three)
        np.testing.assert_array_equal(three.mod["atac_pred"].X, two.mod["atac_pred"].X)
        assert three.mod["atac_pred"].uns["ctl"]["provenance"][key]["family"]
        assert three.var["number"].tolist()[:54] == list(range(54))  # the user's columns stand where they stood
        assert three.var["name"].tolist()[:54] == three.var_names.tolist()[:54]
        ctl.pp.split_cells(three, seed=5)
        if key == "dense":
            with pytest.raises(ChromatellError, match="are among those that 'dense' was trained or tuned on"):
                ctl.tl.evaluate(three, n_bootstrap=5)


@pytest.mark.parametrize(
    ("place", "there"),
    [("attach", False), *((p, t) for p in ("write_prediction", "store_prediction") for t in (False, True))],
)
def test_an_error_while_writing_leaves_everything_as_it_was(base, monkeypatch, place, there):
    from chromatell.tl import _add_prediction, _train

    mdata = base.copy()
    if there:
        ctl.tl.baseline(mdata, "region_mean")
    before = snapshot(mdata)

    def broken(module, name):
        real = getattr(module, name)

        def stopped(*args, **kwargs):
            real(*args, **kwargs)
            raise KeyboardInterrupt

        monkeypatch.setattr(module, name, stopped)

    modules = {"attach": [predictions], "store_prediction": [_train], "write_prediction": [_train, _add_prediction]}
    for module in modules[place]:
        broken(module, place)
    calls = [lambda: ctl.tl.dense(mdata, **QUICK)]
    calls += [lambda: ctl.tl.add_prediction(mdata, np.full((120, 30), 0.1), key="mine")] * (place != "store_prediction")
    for call in calls:
        with pytest.raises(KeyboardInterrupt):
            call()
        assert_same(before, snapshot(mdata))
    monkeypatch.undo()
    ctl.tl.dense(mdata, **QUICK)  # and the object is as good as new
    assert (
        mdata.mod["atac_pred"].uns["ctl"]["provenance"]["dense"]["hash"]
        == mdata.uns["ctl"]["models"]["dense"]["hash"].tobytes().decode()
    )


def test_an_error_while_writing_cells_of_bins(base, monkeypatch):
    from chromatell.tl import _atacformer

    adata = base.mod["atac"].copy()
    adata.obs["ctl_split"] = base.obs["ctl_split"]
    before = snapshot(adata)
    monkeypatch.setattr(_atacformer, "write_cell_columns", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        ctl.tl.atacformer(adata, d=16, n_hidden=16, n_layers=1, **QUICK)
    assert_same(before, snapshot(adata))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: ctl.tl.dense(m, key_added="knn"), "'knn' is the name of a baseline; choose another, such as"),
        (lambda m: ctl.tl.xchrom(m, key_added="gc"), "'gc' is the name of a baseline"),
        (lambda m: ctl.tl.atacformer(m, key_added="lsi"), "'lsi' is the name of a baseline"),
        (lambda m: ctl.tl.dense(m, train_kwargs={"max_epochs": 0}), "max_epochs=0 is out of range: a whole number"),
    ],
)
def test_what_could_not_end_well_is_refused_before_training(base, call, message):
    before = snapshot(base)
    with pytest.raises(ChromatellError, match=message):
        call(base)
    assert_same(before, snapshot(base))


def test_a_query_takes_no_name_of_a_baseline(base):
    mdata = base.copy()
    ctl.tl.dense(mdata, **QUICK)
    with pytest.raises(ChromatellError, match="'region_mean' is the name of a baseline"):
        ctl.tl.predict(mdata.mod["rna"], ctl.models.load(mdata), key="region_mean")


def test_a_modality_of_the_same_name_that_is_not_ours(base):
    mods = {"rna": base.mod["rna"].copy(), "atac": base.mod["atac"].copy()}
    mods["atac_pred"] = ad.AnnData(np.ones((120, 3), "float32"), obs=pd.DataFrame(index=base.obs_names))
    mdata = md.MuData(mods)
    mdata.obs["ctl_split"] = base.obs["ctl_split"]
    for call in (lambda: ctl.tl.dense(mdata, **QUICK), lambda: ctl.tl.baseline(mdata, "region_mean")):
        with pytest.raises(ChromatellError, match="is not of this package.*mdata.mod.pop") as caught:
            call()
    exec(re.search(r"Rename yours: (.*)\.$", str(caught.value)).group(1), {"mdata": mdata})  # the cure cures
    ctl.tl.baseline(mdata, "region_mean")
    assert set(mdata.mod) == {"rna", "atac", "other", "atac_pred"}


def test_names_of_another_dtype_are_the_same_names(base):
    """As where one modality was read from a file that a newer anndata wrote."""
    atac = base.mod["atac"].copy()
    atac.obs.index = atac.obs.index.astype("string")
    mdata = md.MuData({"rna": base.mod["rna"].copy(), "atac": atac})
    ctl.pp.split_cells(mdata, seed=0)
    ctl.tl.dense(mdata, **QUICK)
    two = base.copy()
    ctl.tl.dense(two, **QUICK)
    np.testing.assert_array_equal(mdata.mod["atac_pred"].X, two.mod["atac_pred"].X)
    other = md.MuData({"rna": base.mod["rna"].copy(), "atac": atac[::-1].copy()})
    with pytest.raises(ChromatellError, match="the same barcodes in a different order"):
        ctl.pp.split_cells(other)


@pytest.mark.parametrize("of", ["mdata", "mdata.mod['rna']"])
def test_cells_without_a_batch_are_named_and_the_cure_cures(base, of):
    mdata = base.copy()
    owner = mdata if of == "mdata" else mdata.mod["rna"]
    owner.obs["batch"] = pd.Categorical(np.where(np.arange(120) < 20, None, np.where(np.arange(120) % 2, "a", "b")))
    for call in (
        lambda: ctl.tl.dense(mdata, batch_key="batch", **QUICK),
        lambda: ctl.pp.split_cells(mdata, by="batch", seed=0),
    ):
        with pytest.raises(ChromatellError, match="20 of 120 cells have no 'batch'. Give them a label") as caught:
            call()
    exec(re.search(r"own: (.*)\.$", str(caught.value)).group(1), {"mdata": mdata})
    ctl.tl.dense(mdata, batch_key="batch", **QUICK)
    assert ctl.models.load(mdata).config["covariates"]["levels"] == ["a", "b", "unknown"]


def test_a_query_without_a_batch_takes_the_mean_effect(base):
    mdata = base.copy()
    mdata.obs["batch"] = np.where(np.arange(120) % 3, "a", "b")
    ctl.tl.dense(mdata, batch_key="batch", **QUICK)
    query = mdata.mod["rna"].copy()
    query.obs["batch"] = pd.Series(["a"] * 100 + [None] * 20, index=query.obs_names)
    with pytest.warns(ChromatellWarning, match="20 of 120 cells have no 'batch': the mean effect is used"):
        got = ctl.tl.predict(query, mdata).mod["atac_pred"].X
    del query.obs["batch"]
    with pytest.warns(ChromatellWarning, match="no column 'batch'"):
        mean = ctl.tl.predict(query, mdata).mod["atac_pred"].X
    np.testing.assert_allclose(got[100:], mean[100:], atol=1e-6)


def test_sizes_are_told_in_one_unit(monkeypatch):
    monkeypatch.setattr(ctl.settings, "dense_limit", 1024**3 // 2)
    for call in (
        lambda: check_dense(20_000, 100_000),
        lambda: fits_in_memory(20_000, 100_000),
        lambda: check_output((20_000, 100_000)),
        lambda: check_memory(8 * 10**9, "Take fewer."),
        lambda: ctl.datasets.simulate_multiome(20_000, 10, 100_000),
    ):
        with pytest.raises(ChromatellError, match=r"7\.45 GiB.*\(0\.5 GiB\)"):
            call()


@pytest.mark.parametrize("place", ["write_record", "with_prediction", "provenance"])
@pytest.mark.parametrize("error", [RuntimeError("no room"), KeyboardInterrupt()], ids=["error", "ctrl-c"])
def test_tracks_have_prediction_model_and_provenance_or_none(monkeypatch, place, error):
    from chromatell.tl import _nascent

    signal = np.random.default_rng(0).poisson(0.4, 400)
    tracks = ctl.data.BinnedTracks({"chr1": [signal, signal > 1]}, ["plus", "mark"], chrom_sizes={"chr1": 20_000})
    tracks.table.loc["plus", "role"] = "input"
    tracks.uns["ctl"] = {"mine": {"a": 1}}
    run = lambda: ctl.tl.nascent(tracks, window=5, train_kwargs={"max_epochs": 2}, seed=0)  # noqa: E731
    real = getattr(_nascent, place)

    def broken(*args, **options):
        if place != "provenance":
            real(*args, **options)
        raise error

    monkeypatch.setattr(_nascent, place, broken)
    before = tracks.table.copy()
    with pytest.raises(type(error)):
        run()
    pd.testing.assert_frame_equal(tracks.table, before)
    assert tracks.names == ["plus", "mark"]
    assert tracks.uns == {"ctl": {"mine": {"a": 1}}}
    monkeypatch.setattr(_nascent, place, real)
    run()
    assert tracks.names == ["plus", "mark", "mark_nascent"]
    assert set(tracks.uns["ctl"]) == {"mine", "models", "predictions"}
