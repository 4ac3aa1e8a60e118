"""Neighbour and label scores against a plain loop over scikit-learn's neighbours."""

from __future__ import annotations

import mudata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.neighbors import NearestNeighbors

import chromatell as ctl
from chromatell import ChromatellError
from chromatell._settings import logger
from chromatell._validate import ChromatellWarning
from chromatell.data.accessibility import open_matrix
from chromatell.data.lsi import Lsi
from chromatell.tl import _neighbor_score as module


@pytest.fixture(scope="module")
def cells() -> mudata.MuData:
    mdata = ctl.datasets.simulate_multiome(300, 40, 200, n_types=3, depth=30.0, truth=False, seed=0)
    rng = np.random.default_rng(0)
    code = mdata.obs["cell_type"].cat.codes.to_numpy()
    mdata["rna"].obsm["X_pca"] = (np.eye(3)[code] * 2 + rng.normal(size=(300, 3))).astype(np.float32)
    mdata["rna"].obsm["X_xchrom"] = mdata["rna"].obsm["X_pca"] + rng.normal(0, 0.5, (300, 3)).astype(np.float32)
    mdata["atac"].var["ctl_split"] = rng.choice(["train", "test"], 200)
    return mdata


@pytest.fixture
def mdata(cells) -> mudata.MuData:
    return cells.copy()


def table(mdata, key="neighbor_score") -> pd.Series:
    return mdata.uns["ctl"][key].set_index(["embedding", "metric", "space", "k"])["value"]


def held_out_lsi(mdata, held, seed):
    opened = open_matrix(mdata["atac"], slice(None), held)
    return Lsi.fit(opened, 29, seed=seed).transform(opened)


def near(space, k, among=None):
    """Sets of the k nearest cells, by name."""
    among = np.arange(len(space)) if among is None else among
    found = NearestNeighbors(n_neighbors=k + 1).fit(space[among]).kneighbors(space, return_distance=False)
    return [[j for j in among[row] if j != i][:k] for i, row in enumerate(found)]


def published(a, b, k, rows):
    """As scBasset and XChrom compute it."""
    return np.mean([len(np.intersect1d(a[i], b[i])) / k for i in rows])


def test_scores_equal_a_plain_loop(mdata):
    assert ctl.tl.neighbor_score(mdata, n_neighbors=(10, 50), seed=3) is None
    found, rna = table(mdata), mdata["rna"]
    held = np.flatnonzero(mdata["atac"].var["ctl_split"] == "test")
    space = held_out_lsi(mdata, held, _seed(3))
    known = np.flatnonzero(np.any(space != 0, axis=1))
    kind = mdata.obs["cell_type"].to_numpy()
    for k in (10, 50):
        near_in = {name: near(rna.obsm[name], k) for name in ("X_xchrom", "X_pca")}
        in_atac = near(space, k, known)
        for name, neighbours in near_in.items():
            expected = published(neighbours, in_atac, k, known)
            assert found[name, "neighbor", "atac_held_out", k] == pytest.approx(expected)
            same = np.mean([np.mean(kind[neighbours[i]] == kind[i]) for i in range(300)])
            assert found[name, "label", "cell_type", k] == pytest.approx(same)
        assert found["X_xchrom", "neighbor", "rna", k] == pytest.approx(published(*near_in.values(), k, range(300)))
        assert ("X_pca", "neighbor", "rna", k) not in found.index
    t = mdata.uns["ctl"]["neighbor_score"]
    assert (t.loc[t["space"] == "atac_held_out", "n"] == known.size).all()
    assert (t.loc[t["space"] != "atac_held_out", "n"] == 300).all()


def test_a_sparse_embedding_is_read_as_the_dense_one(mdata):
    ctl.tl.neighbor_score(mdata, n_neighbors=10, seed=3)
    wanted = table(mdata)
    mdata["rna"].obsm["X_xchrom"] = sp.csr_matrix(mdata["rna"].obsm["X_xchrom"])
    ctl.tl.neighbor_score(mdata, n_neighbors=10, seed=3)
    pd.testing.assert_series_equal(table(mdata), wanted)


def _seed(seed):
    return int(np.random.SeedSequence(seed).spawn(2)[1].generate_state(1)[0])


def test_chance_is_what_an_embedding_of_noise_scores(mdata):
    mdata["rna"].obsm["X_xchrom"] = np.random.default_rng(7).normal(size=(300, 4))
    ctl.tl.neighbor_score(mdata, n_neighbors=[20, 60])
    found = table(mdata)
    for k in (20, 60):
        assert found["random", "neighbor", "rna", k] == k / 299
        for metric, space in (("neighbor", "rna"), ("neighbor", "atac_held_out"), ("label", "cell_type")):
            random = found["random", metric, space, k]
            assert found["X_xchrom", metric, space, k] == pytest.approx(random, abs=0.03), space
    size = mdata.obs["cell_type"].value_counts()
    assert found["random", "label", "cell_type", 20] == pytest.approx((size * (size - 1)).sum() / 300 / 299)


def test_what_the_model_adds_shows_in_the_space_that_it_did_not_read(mdata):
    held = np.flatnonzero(mdata["atac"].var["ctl_split"] == "test")
    mdata["rna"].obsm["X_xchrom"] = held_out_lsi(mdata, held, _seed(0))
    ctl.tl.neighbor_score(mdata, n_neighbors=[30], seed=0)
    found = table(mdata)
    assert found["X_xchrom", "neighbor", "atac_held_out", 30] > 0.99  # the space itself
    assert found["X_pca", "neighbor", "atac_held_out", 30] < 0.5
    assert found["X_xchrom", "neighbor", "rna", 30] == pytest.approx(
        found["X_pca", "neighbor", "atac_held_out", 30], abs=0.02
    )


def test_only_some_cells_are_scored_among_all(mdata):
    ctl.pp.split_cells(mdata, seed=0)
    ctl.tl.neighbor_score(mdata, n_neighbors=[15], split="test")
    test = np.flatnonzero(mdata.obs["ctl_split"] == "test")
    a, b = (near(mdata["rna"].obsm[name], 15) for name in ("X_xchrom", "X_pca"))
    assert table(mdata)["X_xchrom", "neighbor", "rna", 15] == pytest.approx(published(a, b, 15, test))
    t = mdata.uns["ctl"]["neighbor_score"]
    assert set(t.loc[t["space"] == "rna", "n"]) == {test.size}
    with pytest.raises(ChromatellError, match="split='held' is not known"):
        ctl.tl.neighbor_score(mdata, split="held")


def test_many_cells_are_thinned_out(mdata, monkeypatch, caplog):
    monkeypatch.setattr(logger, "propagate", True)
    monkeypatch.setattr(module, "_MAX_CELLS", 100)
    caplog.set_level("INFO")
    ctl.tl.neighbor_score(mdata, n_neighbors=[10, 500], seed=1)
    assert "Neighbours of 100 of 300 cells" in caplog.text
    assert "k = [500]" in caplog.text
    t = mdata.uns["ctl"]["neighbor_score"]
    assert t.loc[t["space"] == "rna", "n"].unique().tolist() == [100]
    assert t["k"].unique().tolist() == [10]
    again = ctl.tl.neighbor_score(mdata, n_neighbors=[10], seed=1, key_added="again", copy=True)
    pd.testing.assert_frame_equal(again.uns["ctl"]["again"], t)
    assert "again" not in mdata.uns["ctl"]


def test_without_held_out_regions_it_says_so(mdata, recwarn):
    del mdata["atac"].var["ctl_split"]
    ctl.pp.split_cells(mdata, seed=0)
    with pytest.warns(ChromatellWarning, match="No region is held out.*ctl.pp.split_regions"):
        ctl.tl.neighbor_score(mdata, n_neighbors=[10])
    assert set(table(mdata).index.get_level_values("space")) == {"rna", "atac_all", "cell_type"}
    ctl.tl.neighbor_score(mdata, n_neighbors=[10], split="test")  # no model has read the ATAC of these cells
    assert not [w for w in recwarn if "held out" in str(w.message)]


def test_components_stand_in_for_a_space_that_is_not_there(mdata):
    del mdata["rna"].obsm["X_pca"]
    ctl.pp.split_cells(mdata, seed=0)
    ctl.tl.neighbor_score(mdata, n_neighbors=[10])
    assert table(mdata)["X_pca", "label", "cell_type", 10] > table(mdata)["random", "label", "cell_type", 10] + 0.1
    assert "X_pca" not in mdata["rna"].obsm
    with pytest.raises(ChromatellError, match=r"Did not find mdata.mod\['rna'\].obsm\['X_pca'\]; there: 'X_xchrom'"):
        ctl.tl.neighbor_score(mdata, space="X_pca")


def test_labels_may_be_missing_or_left_out(mdata):
    labels = mdata.obs["cell_type"].astype(object)
    labels.iloc[:100] = None
    mdata.obs["partly"] = labels
    ctl.tl.neighbor_score(mdata, labels="partly", n_neighbors=[10])
    t = mdata.uns["ctl"]["neighbor_score"]
    assert t.loc[t["metric"] == "label", "n"].unique().tolist() == [200]
    neighbours, kind = near(mdata["rna"].obsm["X_pca"], 10), labels.to_numpy()
    expected = np.mean([[kind[j] == kind[i] for j in neighbours[i]] for i in range(100, 300)])
    assert table(mdata)["X_pca", "label", "partly", 10] == pytest.approx(expected)
    ctl.tl.neighbor_score(mdata, labels=None, n_neighbors=[10])
    assert set(mdata.uns["ctl"]["neighbor_score"]["metric"]) == {"neighbor"}


def test_an_embedding_beside_itself(mdata):
    ctl.tl.neighbor_score(mdata, key="X_pca", n_neighbors=[10])
    assert set(table(mdata).index.get_level_values("embedding")) == {"X_pca", "random"}


def test_cells_with_equal_embeddings_are_not_their_own_neighbours(mdata):
    mdata["rna"].obsm["X_xchrom"] = np.repeat(np.arange(60), 5)[:, None].astype(float)  # groups of five
    mdata.obs["group"] = np.repeat(np.arange(60), 5).astype(str)
    ctl.tl.neighbor_score(mdata, labels="group", n_neighbors=[4])
    assert table(mdata)["X_xchrom", "label", "group", 4] == 1


@pytest.mark.parametrize("suffix", ["h5mu", "zarr"])
def test_round_trip(mdata, tmp_path, suffix):
    ctl.tl.neighbor_score(mdata, n_neighbors=[10, 20])
    path = tmp_path / f"n.{suffix}"
    mdata.write(path) if suffix == "h5mu" else mdata.write_zarr(path)
    back = mudata.read_h5mu(path) if suffix == "h5mu" else mudata.read_zarr(path)
    a, b = mdata.uns["ctl"]["neighbor_score"], back.uns["ctl"]["neighbor_score"]
    assert list(b.columns) == list(module.COLUMNS)
    for name in module.COLUMNS:
        assert a[name].tolist() == b[name].tolist()
    assert b["k"].dtype == b["n"].dtype == np.int64


def _nan(m):
    m["rna"].obsm["X_xchrom"] = np.full((300, 2), np.nan)


def _closed(m):
    m["atac"].var["ctl_split"] = np.where(np.arange(200) < 5, "test", "train")


@pytest.mark.parametrize(
    ("spoil", "kwargs", "match"),
    [
        (None, {"key": "X_scvi"}, r"obsm\['X_scvi'\]; there: .*Train a model, ctl.tl.xchrom"),
        (_nan, {}, r"shape \(300, 2\) and 600 NaN"),
        (None, {"labels": "kind"}, r"Did not find mdata.obs\['kind'\]"),
        (None, {"n_neighbors": []}, "n_neighbors= names no number"),
        (None, {"n_neighbors": [0, 5]}, "n_neighbors=0 is out of range: a whole number from 1"),
        (None, {"n_neighbors": [400]}, r"n_neighbors=\[400\], but only .* Give fewer"),
        (_closed, {}, "5 test regions are open in a cell; LSI needs 10.*ctl.pp.split_regions"),
        (None, {"split": "test"}, r"Did not find mdata.obs\['ctl_split'\]. Run ctl.pp.split_cells"),
        (None, {"key_added": "a/b"}, "cannot be stored"),
    ],
)
def test_bad_input_changes_nothing(mdata, spoil, kwargs, match):
    if spoil is not None:
        spoil(mdata)
    with pytest.raises(ChromatellError, match=match):
        ctl.tl.neighbor_score(mdata, **{"n_neighbors": [10], **kwargs})
    assert "ctl" not in mdata.uns
