"""Verbs on a MuData whose modalities have other names, and whose counts lie in layers: the same, by one rule."""

from __future__ import annotations

import inspect

import mudata as md
import numpy as np
import pandas as pd
import pytest
from tests.helpers import assert_same, snapshot

import chromatell as ctl
from chromatell._compat import no_pull

NAMES = {"rna": "gex", "atac": "peaks"}
CALL = {**NAMES, "layer": "counts"}
OTHERS = {"get": {"measured", "merge_results", "prediction"}, "pp": {"match_regions", "bin_genome"}}
OTHERS["pl"] = {"calibration", "confusion", "embedding_scores", "gene_activity", "history", "leaderboard"}
OTHERS["pl"] |= {"per_cell_per_region", "perturb", "pr_curve", "rank_regions", "uncertainty", "ism_heatmap", "logo"}
VERBS = [
    (space, name)
    for space in ("pp", "tl", "pl", "get")
    for name in getattr(ctl, space).__all__
    if "MuData" in str(next(iter(inspect.signature(getattr(getattr(ctl, space), name)).parameters.values())).annotation)
    and name not in OTHERS.get(space, ())
] + [("io", "write_tracks"), ("io", "report")]


@pytest.mark.parametrize(("space", "name"), VERBS, ids=[f"{s}.{n}" for s, n in VERBS])
def test_each_verb_takes_names_and_a_layer_and_says_so(space, name):
    function = getattr(getattr(ctl, space), name)
    parameters = inspect.signature(function).parameters
    defaults = [parameters[p].default for p in ("rna", "atac", "layer")]
    assert defaults == ["rna", "atac", None]
    assert "\nrna, atac\n    Your names" in inspect.getdoc(function)
    codes, found = set(), function
    while hasattr(found, "__wrapped__"):
        codes.add(found.__code__)
        found = found.__wrapped__
    assert ctl.pp.link_genes.__code__ in codes, "not through chromatell.data.named.modalities"


@pytest.fixture(scope="module")
def plain():
    return ctl.datasets.simulate_multiome(150, 30, 60, n_types=2, seed=0)


@pytest.fixture
def named(plain):
    """The same cells as a user may have them: other names, and `X` that is not what verbs are to read."""
    rng = np.random.default_rng(0)
    mods = {}
    for name, own in NAMES.items():
        adata = plain.mod[name].copy()
        adata.layers["counts"] = adata.X
        adata.X = rng.random(adata.shape, dtype=np.float32)
        mods[own] = adata
    with no_pull():
        mdata = md.MuData(mods)
    for column in plain.obs:
        mdata.obs[column] = plain.obs[column]
    mdata.obs["number"] = np.arange(mdata.n_obs)
    return mdata


def test_a_run_through_gives_what_the_plain_names_give(plain, named):
    expected = plain.copy()
    matrices = {own: named.mod[own].X.copy() for own in NAMES.values()}
    for mdata, names in ((expected, {}), (named, CALL)):
        ctl.pp.split_cells(mdata, seed=0, **names)
        ctl.pp.select_features(mdata, n_genes=25, n_regions=50, **names)
        ctl.pp.link_genes(mdata, plain.mod["rna"].var, **names)
        ctl.tl.dense(mdata, seed=0, train_kwargs={"max_epochs": 1}, **names)
        ctl.tl.baseline(mdata, "region_mean", **names)
        ctl.tl.evaluate(mdata, baselines=["region_mean_depth"], n_bootstrap=0, **names)
        ctl.tl.perturb(mdata, ["gene_1"], n_cells=20, seed=0, **names)
        ctl.tl.gene_activity(mdata, key="atac", **names)
    assert list(named.mod) == ["gex", "peaks", "atac_pred", "gene_activity"]
    for name in ("atac_pred", "gene_activity"):
        np.testing.assert_array_equal(named.mod[name].X, expected.mod[name].X)
        pd.testing.assert_frame_equal(named.mod[name].var, expected.mod[name].var)
    np.testing.assert_array_equal(
        named.mod["atac_pred"].layers["region_mean"], expected["atac_pred"].layers["region_mean"]
    )
    for name, own in NAMES.items():
        np.testing.assert_array_equal(named.mod[own].X, matrices[own])
        pd.testing.assert_frame_equal(named.mod[own].var, expected.mod[name].var)
    pd.testing.assert_frame_equal(named.uns["ctl"]["evaluation"], expected.uns["ctl"]["evaluation"])
    np.testing.assert_array_equal(
        named.uns["ctl"]["perturbation"]["effect"], expected.uns["ctl"]["perturbation"]["effect"]
    )
    assert named.obs["number"].dtype == np.arange(1).dtype
    assert named.obs["ctl_split"].tolist() == expected.obs["ctl_split"].tolist()

    query = ctl.tl.predict(named, named, **CALL)
    assert list(query.mod) == ["gex", "peaks", "atac_pred"]
    assert query.mod["gex"] is named.mod["gex"]
    np.testing.assert_allclose(query["atac_pred"].X, expected["atac_pred"].X, atol=1e-6)
    alone = ctl.tl.predict(named.mod["gex"], named, layer="counts")
    np.testing.assert_allclose(alone["atac_pred"].X, expected["atac_pred"].X, atol=1e-6)
    place = plain.mod["atac"].var.iloc[0]
    where = f"{place['chrom']}:{place['start'] - 2000}-{place['end'] + 2000}"
    axes = [ctl.pl.region(m, where, **n) for m, n in ((expected, {}), (named, CALL))]
    heights = [[p.get_height() for p in ax.patches] for ax in axes]
    np.testing.assert_allclose(*heights)


def test_a_copy_leaves_the_given_alone_and_has_its_names(named):
    ctl.pp.split_cells(named, seed=0, **NAMES)
    before = sorted(named.mod), named.obs.copy(), sorted(named.uns["ctl"])
    new = ctl.tl.baseline(named, "region_mean", copy=True, **CALL)
    assert (sorted(named.mod), sorted(named.uns["ctl"])) == (before[0], before[2])
    pd.testing.assert_frame_equal(named.obs, before[1])
    assert list(new.mod) == ["gex", "peaks", "atac_pred"]
    np.testing.assert_array_equal(new.mod["gex"].X, named.mod["gex"].X)


def test_what_was_measured_is_called_atac_whatever_the_users_name_of_it(named):
    ctl.tl.add_prediction(named, np.full((150, 60), 0.5, np.float32), key="mine", **CALL)
    with pytest.raises(ctl.ChromatellError, match=r"No prediction 'peaks' .* What was measured is key='atac'"):
        ctl.tl.rank_regions(named, "cell_type", key="peaks", n_bootstrap=3, **CALL)
    ctl.tl.rank_regions(named, "cell_type", key="atac", n_bootstrap=3, **CALL)


def test_a_modality_that_is_made_again_is_the_new_one(named, plain):
    expected = plain.copy()
    for half_distance in (2_000, 200_000):  # more genes meet a region the second time
        ctl.tl.gene_activity(named, key="atac", half_distance=half_distance, **CALL)
    ctl.tl.gene_activity(expected, key="atac", half_distance=200_000)
    made, wanted = (m.mod["gene_activity"] for m in (named, expected))
    np.testing.assert_array_equal(made.X, wanted.X)
    assert list(made.var_names) == list(wanted.var_names)
    assert made.uns["ctl"]["half_distance"] == 200_000
    assert named.n_vars == expected.n_vars


@pytest.mark.parametrize(
    "how", [NAMES, {**NAMES, "layer": "counts"}, {"layer": {"rna": "counts"}}, {"layer": "counts"}]
)
def test_genes_are_renamed_under_other_names_and_with_a_layer(how, named, plain):
    table = pd.DataFrame({"mouse": plain.mod["rna"].var_names[:20], "human": [f"HUMAN{i}" for i in range(20)]})
    expected = plain.copy()
    ctl.pp.map_orthologs(expected, table)
    if "rna" not in how:
        with no_pull():
            named = md.MuData({"rna": named.mod["gex"], "atac": named.mod["peaks"]})
    data = named.mod["rna"].copy() if how == {"layer": "counts"} else named  # an AnnData
    ctl.pp.map_orthologs(data, table, **how)
    rna = data if how == {"layer": "counts"} else data.mod[how.get("rna", "rna")]
    wanted = expected.mod["rna"]
    assert list(rna.var_names) == list(wanted.var_names)
    for column in ("ctl_ortholog", "ortholog_of"):
        assert rna.var[column].tolist() == wanted.var[column].tolist()
    if data is named:
        assert list(data.var_names) == list(expected.var_names)


def test_what_a_verb_removes_goes_from_the_users_object_too(plain):
    bins = plain.mod["atac"].copy()
    bins.layers["counts"] = bins.X.copy()
    ctl.pp.split_cells(bins, seed=0)
    how = {"d": 16, "n_hidden": 32, "n_layers": 1, "train_kwargs": {"max_epochs": 1}, "layer": "counts"}
    ctl.tl.atacformer(bins, labels=["cell_type", "donor"], **how)
    ctl.tl.atacformer(bins, labels="cell_type", **how)
    assert [c for c in bins.obs if c.endswith("atacformer")] == ["cell_type_atacformer"]
    assert set(bins.obsm) == {"cell_type_atacformer", "X_atacformer"}


def test_one_layer_of_one_modality(plain):
    mdata = plain.copy()
    mdata.mod["rna"].layers["counts"], mdata.mod["rna"].X = mdata.mod["rna"].X, mdata.mod["rna"].X.sign()
    ctl.pp.split_cells(mdata, seed=0)
    before = snapshot(mdata)
    chosen = ctl.pp.select_features(mdata, n_genes=10, layer={"rna": "counts"}, copy=True)
    assert_same(before, snapshot(mdata))
    expected = plain.copy()
    ctl.pp.split_cells(expected, seed=0)
    ctl.pp.select_features(expected, n_genes=10)
    assert chosen["rna"].var["ctl_selected"].tolist() == expected["rna"].var["ctl_selected"].tolist()


def test_what_is_not_there_is_said_by_the_users_names_and_nothing_is_written(named, plain):
    both = md.MuData({**named.mod, "rna": plain.mod["rna"].copy()})
    for mdata, options, message in (
        (named, {"rna": "expression"}, "rna='expression' is no modality of the MuData; it has 'gex', 'peaks'"),
        (named, {"rna": "peaks", "atac": "peaks"}, "both name 'peaks'"),
        (named, {**NAMES, "layer": "raw"}, r"mdata.mod\['gex'\] has no layer 'raw'; there: 'counts'"),
        (named, {**NAMES, "layer": {"rna": "counts"}}, "layer= names modalities 'rna'; it is for 'gex' and 'peaks'"),
        (both, NAMES, "the MuData has a modality 'rna' as well"),
        ("a.h5mu", NAMES, "A file is read first"),
        (named.mod["gex"], NAMES, "An AnnData has one modality"),
    ):
        with pytest.raises(ctl.ChromatellError, match=message):
            ctl.pp.split_cells(mdata, seed=0, **options)
    assert "ctl_split" not in named.obs
    ctl.pp.split_cells(named, seed=0, **NAMES)
    named.mod["peaks"].layers["counts"].data[0] = -1
    with pytest.raises(ctl.ChromatellError, match=r"mdata.mod\['peaks'\]"):
        ctl.tl.dense(named, **CALL)
    assert list(named.mod) == ["gex", "peaks"]


def test_a_warning_points_at_the_users_line(named):
    ctl.pp.split_cells(named, seed=0, fractions=(0.8, 0, 0.2), **NAMES)
    ctl.tl.dense(named, seed=0, train_kwargs={"max_epochs": 1}, **CALL)
    with pytest.warns(ctl.ChromatellWarning, match="no validation cells") as found:
        ctl.tl.uncertainty(named, "cell_type", n_draws=2, method="dropout", **CALL)
    assert [w.filename for w in found if w.category is ctl.ChromatellWarning] == [__file__]


COPYING = [(s, n) for s, n in VERBS if "copy" in inspect.signature(getattr(getattr(ctl, s), n)).parameters]


@pytest.mark.parametrize(("space", "name"), COPYING, ids=[f"{s}.{n}" for s, n in COPYING])
def test_cells_in_a_file_are_not_copied(space, name, plain, tmp_path):
    """mudata and anndata each ask for a file name there, which no verb takes; before any work, and by whatever name."""
    plain.write(tmp_path / "cells.h5mu")
    verb = getattr(getattr(ctl, space), name)
    mdata = md.read_h5mu(tmp_path / "cells.h5mu", backed="r")
    try:
        for given in (mdata, mdata.mod["rna"], md.MuData({"rna": mdata.mod["rna"]})):
            with pytest.raises(ctl.ChromatellError, match=r"lie in a file \(cells.h5mu\).*Leave copy= out.*io.read"):
                verb(given, copy=True)
    finally:
        mdata.file.close()


def test_both_cures_of_a_copy_of_a_file_work(plain, tmp_path):
    ctl.pp.split_cells(plain, seed=0, copy=True).write(tmp_path / "cells.h5mu")
    bytes_before = (tmp_path / "cells.h5mu").read_bytes()
    mdata = md.read_h5mu(tmp_path / "cells.h5mu", backed="r")
    try:
        ctl.tl.baseline(mdata, "region_mean", seed=0)
        whole = ctl.io.read(tmp_path / "cells.h5mu")
        copied = ctl.tl.baseline(whole, "region_mean", seed=0, copy=True)
        np.testing.assert_array_equal(mdata.mod["atac_pred"].X, copied.mod["atac_pred"].X)
        assert "atac_pred" not in whole.mod
    finally:
        mdata.file.close()
    assert (tmp_path / "cells.h5mu").read_bytes() == bytes_before


def test_names_of_modalities_for_what_has_none():
    tracks = ctl.data.BinnedTracks({"chr1": np.ones((1, 10))}, ["plus"], chrom_sizes={"chr1": 500})
    with pytest.raises(
        ctl.ChromatellError, match=r"^rna=, layer= is for a MuData .*got BinnedTracks\. Leave it out\.$"
    ):
        ctl.tl.evaluate(tracks, rna="gex", layer="counts")
    with pytest.raises(
        ctl.ChromatellError, match=r"^atac= is for .*got str\. A file is read first: mdata = ctl\.io\.read"
    ):
        ctl.tl.evaluate("cells.h5mu", atac="peaks")
