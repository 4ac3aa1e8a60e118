"""Targets, depth and neighbours."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from chromatell import ChromatellError, ChromatellWarning
from chromatell._values import nonnegative
from chromatell.data.accessibility import fragment_counts, open_matrix, true_depth
from chromatell.data.smoothing import Smoothing, fit_smoothing, neighbor_graph


def atac(x) -> ad.AnnData:
    return ad.AnnData(sp.csr_matrix(np.asarray(x, dtype=np.float32)))


def test_open_matrix_is_one_where_counted():
    x = atac([[0, 2, 1], [1, 0, 0]])
    x.X.data[-1] = 0  # an explicit zero is not open
    np.testing.assert_array_equal(open_matrix(x).toarray(), [[0, 1, 1], [0, 0, 0]])
    assert x.X[0, 1] == 2  # the user's matrix is as it was


def test_a_region_with_256_repeated_entries_is_open():
    reads = np.zeros(256, dtype=int)  # as uint8 their sum is 0
    x = ad.AnnData(sp.csr_matrix((np.ones(256, np.uint8), reads, [0, 256]), shape=(1, 2)))
    np.testing.assert_array_equal(open_matrix(x).toarray(), [[1, 0]])
    assert x.X.nnz == 256


def test_cut_sites_are_halved_and_fragments_are_not():
    np.testing.assert_array_equal(fragment_counts(atac([[2, 4, 0], [2, 0, 6]])).toarray(), [[1, 2, 0], [1, 0, 3]])
    np.testing.assert_array_equal(fragment_counts(atac([[1, 4, 0], [2, 0, 3]])).toarray(), [[1, 4, 0], [2, 0, 3]])


def test_depth_is_fragments_where_known():
    x = atac([[1, 2], [0, 0]])
    np.testing.assert_array_equal(true_depth(x), [3, 0])
    x.obs["n_fragments"] = [70.0, 10.0]
    np.testing.assert_array_equal(true_depth(x), [70, 10])
    x.obs["mine"] = [7.0, 1.0]
    np.testing.assert_array_equal(true_depth(x, "mine"), [7, 1])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0, "many"])
def test_a_depth_that_is_no_number_is_refused(bad):
    x = atac([[1, 2], [0, 3], [4, 0]])
    x.obs_names = ["a", "b", "c"]
    x.obs["n_fragments"] = pd.Series([5, bad, 6], index=x.obs_names, dtype=object if bad == "many" else float)
    with pytest.raises(ChromatellError, match=r"obs\['n_fragments'\].*negative values for 1 of 3 cells \(such as 'b'"):
        true_depth(x)
    with pytest.raises(ChromatellError, match="depth_key='...'"):
        true_depth(x, "n_fragments")


def test_smoothing_by_hand():
    targets = sp.csr_matrix(np.array([[1, 0], [0, 1], [0, 0]], dtype=np.float32))
    neighbors = sp.csr_matrix(np.array([[0.5, 0.5, 0], [0, 0.5, 0.5], [0, 0, 1.0]], dtype=np.float32))
    smoothing = Smoothing(neighbors, targets, mix=0.5)
    got = smoothing(targets, np.array([0, 1, 2])).toarray()
    np.testing.assert_allclose(got, [[0.75, 0.25], [0, 0.75], [0, 0]], atol=1e-6)


def test_neighbours_stay_within_their_group(rng):
    space = np.concatenate([rng.normal(size=(20, 3)), rng.normal(size=(20, 3)) + 50])
    graph = neighbor_graph(space, 5, seed=0)
    assert graph[:20, 20:].nnz == 0
    np.testing.assert_allclose(np.asarray(graph.sum(1)).ravel(), 1, atol=1e-6)
    assert (graph.diagonal() > 0).all()


def test_joint_smoothing_raises_agreement_with_the_truth(rng):
    """The point of smoothing: the mean over neighbours is closer to the true probability than the cell's own draw."""
    truth = np.clip(rng.beta(0.5, 4, size=(3, 80)), 0.01, 0.9)
    label = np.repeat([0, 1, 2], 60)
    y = (rng.random((180, 80)) < truth[label]).astype(np.float32)
    scores = np.eye(3)[label] * 5 + rng.normal(size=(180, 3))
    smooth = fit_smoothing(scores.astype(np.float32), sp.csr_matrix(y), space="joint", k=20, mix=1.0, seed=0)
    got = smooth(sp.csr_matrix(y), np.arange(180)).toarray()
    error = ((got - truth[label]) ** 2).mean()
    assert error < 0.5 * ((y - truth[label]) ** 2).mean()


def test_neighbours_among_some_cells(rng):
    """Above a number of entries neighbours are sought among cells drawn at random; a cell's own target stays."""
    truth = np.array([[0.9, 0.0], [0.0, 0.9]])[np.repeat([0, 1], 3000)]
    y = sp.csr_matrix((rng.random((6000, 2)) < truth).astype(np.float32))
    scores = np.repeat([[0.0], [50.0]], 3000, axis=0) + rng.normal(size=(6000, 1))
    smooth = fit_smoothing(scores.astype(np.float32), y, space="rna", k=20, mix=0.5, seed=0, n_entries=80_000_000)
    assert smooth.reference.shape == (3000, 2)  # half of the entries
    found = smooth(y, np.arange(6000)).toarray() - 0.5 * y.toarray()
    np.testing.assert_allclose(found[:3000].mean(0), [0.45, 0], atol=0.03)
    np.testing.assert_allclose(found[3000:].mean(0), [0, 0.45], atol=0.03)


def test_index_is_untouched():
    x = ad.AnnData(np.eye(2, dtype=np.float32), var=pd.DataFrame(index=["a", "b"]))
    open_matrix(x)
    np.testing.assert_array_equal(x.X, np.eye(2))


def test_a_matrix_in_which_nearly_all_is_open_is_warned_of():
    """9 of 200 zeros are 95.5% above zero; with 10 there are 95%, which is let through."""
    x = np.ones((10, 20), dtype=np.float32)
    x.reshape(-1)[:9] = 0
    atac = ad.AnnData(x)
    with pytest.warns(ChromatellWarning, match=r"95.5% of mdata.mod\['atac'\].X is above 0.*read the file again"):
        nonnegative(atac, "atac")
    atac.layers["counts"] = atac.X
    with pytest.warns(ChromatellWarning, match=r"mdata.mod\['atac'\].X = mdata.mod\['atac'\].layers\['counts'\]"):
        nonnegative(atac, "atac")
    atac.X[0, 9] = 0
    nonnegative(atac, "atac")  # a warning would be an error here
    nonnegative(ad.AnnData(np.ones((10, 20), dtype=np.float32)), "rna")


@pytest.mark.parametrize("name", ["rna", "prot"])
def test_a_centred_matrix_is_refused_whatever_its_largest_value(name, rng):
    """Its negative values are half of all, by size; those of smoothing are next to nothing. All of them are counted."""
    counts = rng.poisson(0.5, (60, 30)).astype(np.float64)
    counts[0, 0] = 200
    z = (counts - counts.mean(axis=0)) / counts.std(axis=0)
    z[1, 1] = 100  # the smallest, about -1, is within 5% of it
    with pytest.raises(ChromatellError, match=f"holds {(z < 0).sum()} negative values .*Use the matrix before scaling"):
        nonnegative(ad.AnnData(z), name, smoothed=True)
    smoothed = counts + 0.3
    smoothed[:, 3] = -0.05  # a gene that smoothing left a little below zero
    nonnegative(ad.AnnData(smoothed), name, smoothed=True)
