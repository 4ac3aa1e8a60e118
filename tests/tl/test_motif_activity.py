"""`tl.motif_activity` against chromVAR's formula in plain numpy, pychromvar where they agree, and simulated truth."""

from __future__ import annotations

import anndata as ad
import mudata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import chromatell as ctl
from chromatell.tl._motif_activity import matched_backgrounds

MOTIFS = ["SPI1", "EBF1", "CEBPA", "CTCF"]


def plain(x, held, backgrounds):
    """chromVAR's z-scores, motif by motif, as ``compute_deviations_single`` of its R package computes them."""
    x, held = np.asarray(x, dtype=float), np.asarray(held, dtype=bool)
    expected = np.outer(x.sum(axis=1), x.sum(axis=0) / x.sum())

    def deviation(regions):  # one that is drawn twice counts twice
        wanted = expected[:, regions].sum(axis=1)
        return (x[:, regions].sum(axis=1) - wanted) / wanted

    scores = []
    for motif in held.T:
        peaks = np.flatnonzero(motif)
        sampled = np.array([deviation(backgrounds[peaks, b]) for b in range(backgrounds.shape[1])])
        scores.append((deviation(peaks) - sampled.mean(axis=0)) / sampled.std(axis=0, ddof=1))
    return np.column_stack(scores)


@pytest.fixture(scope="module")
def simulated():
    mdata = ctl.datasets.simulate_sequence_multiome(n_cells=300, n_regions=400, depth=80, seed=1)
    ctl.tl.add_prediction(mdata, mdata.mod["atac"].layers["truth"], key="truth")
    return mdata


@pytest.fixture
def small():
    rng = np.random.default_rng(0)
    x = (rng.random((40, 60)) < 0.3).astype(np.float32)
    names = [f"chr1:{1000 * i}-{1000 * i + 500}" for i in range(60)]
    atac = ad.AnnData(sp.csr_matrix(x), var=pd.DataFrame(index=names))
    mdata = mudata.MuData({"rna": ad.AnnData(np.ones((40, 2), dtype=np.float32)), "atac": atac})
    ctl.tl.add_prediction(mdata, rng.random((40, 60)).astype(np.float32), key="mine")
    held = pd.DataFrame(rng.random((60, 3)) < 0.3, index=names, columns=["A", "B", "C"])
    return mdata, held, rng.integers(60, size=(60, 12))


@pytest.mark.parametrize("key", ["mine", "atac"])
def test_it_is_chromvars_formula(small, key):
    mdata, held, backgrounds = small
    x = mdata.mod["atac"].X.toarray() if key == "atac" else mdata.mod["atac_pred"].X
    ctl.tl.motif_activity(mdata, key=key, matches=held.iloc[::-1], backgrounds=backgrounds)
    found = mdata.mod["rna"].obsm["motif_activity"]
    np.testing.assert_allclose(found, plain(x, held, backgrounds), atol=1e-4)
    about = mdata.uns["ctl"]["motif_activity"]
    table = about["motifs"].set_index("motif")
    np.testing.assert_allclose(table.loc[["A", "B", "C"], "variability"], found.std(ddof=0), rtol=1e-5)
    assert table.loc["B", "n_regions"] == held["B"].sum()
    assert about["settings"]["matched"].iloc[0] == "mean"


def test_it_equals_pychromvar_where_regions_stand_for_each_other(small):
    """pychromvar asks whether the background of a region holds the motif: the same where two regions swap places."""
    compute = pytest.importorskip("pychromvar.compute_deviations")
    mdata, held, _ = small
    rng = np.random.default_rng(1)
    backgrounds = np.empty((60, 12), dtype=int)
    for b in range(12):
        one, other = rng.permutation(60).reshape(2, 30)
        backgrounds[one, b], backgrounds[other, b] = other, one
    x = mdata.mod["atac"].X.toarray()
    ctl.tl.motif_activity(mdata, key="atac", matches=held, backgrounds=backgrounds)
    expectation = compute.compute_expectation(x.copy())
    m = held.to_numpy(float)
    own = compute._compute_deviations((m.T, x.T, expectation.T)).T
    each = np.stack([compute._compute_deviations((m[b].T, x.T, expectation.T)).T for b in backgrounds.T])
    wanted = (own - each.mean(axis=0)) / each.std(axis=0, ddof=1)  # R's sd
    np.testing.assert_allclose(mdata.mod["rna"].obsm["motif_activity"], wanted, atol=1e-4)


def test_motifs_are_found_in_the_sequence_and_follow_the_true_activity(simulated):
    truth = simulated.uns["ctl"]["simulation"]["activity"]
    activity = {}
    for key in ("truth", "atac"):
        ctl.tl.motif_activity(simulated, MOTIFS, key=key, seed=0, key_added=key)
        found = simulated.mod["rna"].obsm[key]
        means = found.groupby(simulated.obs["cell_type"].to_numpy()).mean()
        activity[key] = means
        shared = [m for m in MOTIFS if m in truth]
        r = [np.corrcoef(means[m], truth.loc[means.index, m])[0, 1] for m in shared]
        assert min(r) > 0.8, key
    held = simulated.mod["atac"].varm["motif_occupancy"] > 0.5
    table = simulated.uns["ctl"]["truth"]["motifs"].set_index("motif")
    for name in shared:  # the simulator's own threshold is stricter
        assert held[name].sum() <= table.loc[name, "n_regions"] <= 2.5 * held[name].sum()
    assert simulated.uns["ctl"]["truth"]["settings"]["matched"].iloc[0] == "gc and mean"


def test_backgrounds_are_like_the_region_and_never_itself():
    rng = np.random.default_rng(0)
    share, gc = np.exp(rng.normal(0, 1, 2000)), rng.beta(5, 5, 2000)
    share /= share.sum()
    drawn = matched_backgrounds(share, gc, 20, rng)
    assert drawn.shape == (2000, 20)
    assert not (drawn == np.arange(2000)[:, None]).any()
    for values in (np.log10(share), gc):
        assert np.corrcoef(values, values[drawn].mean(axis=1))[0, 1] > 0.95
    alike = matched_backgrounds(np.full(200, 1 / 200), None, 5, rng)  # all equal: anything but itself
    assert not (alike == np.arange(200)[:, None]).any()


def test_the_same_seed_gives_the_same_and_nothing_else_is_touched(simulated, tmp_path):
    first = ctl.tl.motif_activity(simulated, MOTIFS[:2], key="truth", n_backgrounds=5, seed=3, copy=True)
    again = ctl.tl.motif_activity(simulated, MOTIFS[:2], key="truth", n_backgrounds=5, seed=3, copy=True)
    a, b = (m.mod["rna"].obsm["motif_activity"] for m in (first, again))
    pd.testing.assert_frame_equal(a, b)
    assert "motif_activity" not in simulated.mod["rna"].obsm
    first.write(tmp_path / "x.h5mu")
    read = ctl.io.read(tmp_path / "x.h5mu")
    np.testing.assert_array_equal(read.mod["rna"].obsm["motif_activity"], a)


@pytest.mark.parametrize("missing", [np.nan, None, pd.NA])
def test_a_missing_match_is_none(small, missing):
    mdata, held, backgrounds = small
    given = held.astype("boolean" if missing is pd.NA else object if missing is None else float).where(held, missing)
    tables = []
    for matches, others in ((held, backgrounds), (given, backgrounds.astype(float))):
        ctl.tl.motif_activity(mdata, matches=matches, backgrounds=others)
        tables.append(mdata.uns["ctl"]["motif_activity"]["motifs"])
    assert dict(zip(tables[1]["motif"], tables[1]["n_regions"], strict=True)) == held.sum().to_dict()
    pd.testing.assert_frame_equal(*tables)


def test_what_cannot_be_used_is_said(small):
    mdata, held, backgrounds = small
    for arguments, message in (
        ({"motifs": MOTIFS}, r"Run ctl.pp.add_sequence\(mdata, 'genome.fa'\)"),
        ({"matches": held.iloc[1:]}, "no row of its own for 1 of 60 regions"),
        ({"matches": pd.concat([held, held])}, r"several rows of .*matches = matches.groupby\(level=0\).max\(\)"),
        ({"matches": held.to_numpy()}, "matches=.*is of type ndarray; a table or None is needed"),
        ({"matches": held & False}, "matches says of none of its 3 motifs that any of the regions holds it"),
        ({"matches": held, "backgrounds": backgrounds[:5]}, r"shape \(5, 12\); \(60, n_backgrounds\) is needed"),
        ({"matches": held, "backgrounds": backgrounds + 5}, "positions a region, from 0 to 59"),
        ({"matches": held, "backgrounds": backgrounds > 5}, "backgrounds is of dtype bool"),
        ({"matches": held, "backgrounds": backgrounds + 0.5}, "whole numbers, are needed"),
        ({"matches": held.astype(str)}, r"matches\['A'\] holds '(True|False)'; true and false, or numbers"),
        ({"matches": held.astype(int).astype(str)}, r"matches = matches.isin\(\['True', 'true', '1'\]\)"),
        ({"matches": held, "n_backgrounds": 1}, "n_backgrounds=1 is out of range"),
        ({"matches": held, "key": "x"}, "No prediction 'x'"),
    ):
        with pytest.raises(ctl.ChromatellError, match=message):
            ctl.tl.motif_activity(mdata, **arguments)
    mdata.mod["rna"].obsm["motif_activity"] = np.ones((40, 2))
    with pytest.raises(ctl.ChromatellError, match="not from this function"):
        ctl.tl.motif_activity(mdata, matches=held)


def test_the_plot_shows_means_of_groups(small):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    mdata, held, backgrounds = small
    mdata.obs["kind"] = ["x", "y"] * 20
    with pytest.raises(ctl.ChromatellError, match=r"Run ctl.tl.motif_activity\(mdata, motifs\)"):
        ctl.pl.motif_activity(mdata, groupby="kind")
    ctl.tl.motif_activity(mdata, matches=held, backgrounds=backgrounds)
    ax = ctl.pl.motif_activity(mdata, ["C", "A"], groupby="kind")
    means = mdata.mod["rna"].obsm["motif_activity"].groupby(mdata.obs["kind"].to_numpy()).mean().T
    np.testing.assert_allclose(ax.images[0].get_array(), means.loc[["C", "A"]], rtol=1e-5)
    with pytest.raises(ctl.ChromatellError, match=r"No activity of \['Z'\]"):
        ctl.pl.motif_activity(mdata, ["Z"], groupby="kind")
    assert len(ctl.pl.motif_activity(mdata, groupby="kind", n_top=2).get_yticklabels()) == 2
    matplotlib.pyplot.close("all")


def test_motifs_are_of_the_release_that_is_named(simulated, log):
    options = {"key": "truth", "n_backgrounds": 4, "seed": 0, "copy": True}
    found = ctl.tl.motif_activity(simulated, "SPI1", release="2018", **options)
    named = ctl.genome.motifs.read_motifs("SPI1", release="JASPAR2018")
    assert log.count("Motifs are of JASPAR2018.") == 2
    assert named["SPI1"].shape != ctl.genome.motifs.read_motifs("SPI1", release="2024")["SPI1"].shape
    wanted = ctl.tl.motif_activity(simulated, named, **options)
    pd.testing.assert_frame_equal(*(m.mod["rna"].obsm["motif_activity"] for m in (found, wanted)))
    with pytest.raises(ctl.ChromatellError, match="release='1999' of JASPAR is not there"):
        ctl.tl.motif_activity(simulated, ["SPI1"], release="1999", **options)
