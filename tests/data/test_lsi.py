"""Latent semantic indexing against dense decompositions of NumPy and scikit-learn's truncated one."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.linalg import subspace_angles
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfTransformer

from chromatell.data.lsi import Lsi, tf_idf

K = 4


@pytest.fixture
def opened() -> np.ndarray:
    """90 cells of three types x 60 bins, 0/1; depth differs, one cell and one bin are empty."""
    rng = np.random.default_rng(0)
    p = np.full((3, 60), 0.06)
    for kind in range(3):
        p[kind, 15 * kind : 15 * kind + 15] = 0.6
    x = rng.random((90, 60)) < p[np.arange(90) % 3] * rng.uniform(0.4, 1, (90, 1))
    x[5], x[:, 50] = False, False
    return x.astype(np.float32)


def weighted(x: np.ndarray, of: np.ndarray) -> np.ndarray:
    """TF-IDF written out for dense counts `x`, the weights counted in `of`."""
    n_open = (of > 0).sum(axis=0)
    idf = np.where(n_open > 0, np.log1p(len(of) / (1 + n_open)), 0)
    share = x / np.maximum(x.sum(axis=1, keepdims=True), 1)
    return np.log1p(share * idf * 1e4)


def test_tf_idf_by_hand_and_by_scikit_learn(opened):
    x = sp.csr_matrix(np.array([[1, 1, 0], [2, 0, 6], [0, 0, 0]], dtype=np.float32))
    found = tf_idf(x, np.array([1.0, 0.5, 2.0], dtype=np.float32))
    want = np.log1p([[5000, 2500, 0], [2500, 0, 15000], [0, 0, 0]])
    np.testing.assert_allclose(found.toarray(), want, rtol=1e-6)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(x.toarray(), [[1, 1, 0], [2, 0, 6], [0, 0, 0]])  # the caller's is as it was

    share = TfidfTransformer(norm="l1", use_idf=False).fit_transform(opened)
    idf = np.linspace(0, 3, 60, dtype=np.float32)
    want = np.log1p(1e4 * share.toarray() * idf)
    np.testing.assert_allclose(tf_idf(sp.csr_matrix(opened), idf).toarray(), want, rtol=1e-5)


@pytest.mark.parametrize("counts", [False, True], ids=["0/1", "counts"])
def test_cells_equal_a_full_decomposition(opened, counts):
    x = opened * np.random.default_rng(1).integers(1, 4, opened.shape) if counts else opened
    u, s, vt = np.linalg.svd(weighted(x, x), full_matrices=False)
    lsi = Lsi.fit(sp.csr_matrix(x), 2, seed=0)
    np.testing.assert_allclose(lsi.singular_values, s[1:3], rtol=1e-4)
    assert np.rad2deg(subspace_angles(lsi.components, vt[1:3].T)).max() < 0.5
    want = (u * s)[:, 1:3]
    found = lsi.transform(sp.csr_matrix(x), unit_length=False)
    np.testing.assert_allclose(found @ found.T, want @ want.T, atol=0.02 * (want**2).sum(axis=1).max())


def test_new_cells_are_projected_as_scikit_learn_does(opened):
    fitted, new = opened[:60], opened[60:]
    svd = TruncatedSVD(K + 1, algorithm="arpack", random_state=0).fit(weighted(fitted, fitted))
    want = svd.transform(weighted(new, fitted))[:, 1:]
    lsi = Lsi.fit(sp.csr_matrix(fitted), K, seed=0)
    found = lsi.transform(sp.csr_matrix(new), unit_length=False)
    np.testing.assert_allclose(np.abs(found), np.abs(want), atol=0.02 * np.abs(want).max())
    unit = lsi.transform(sp.csr_matrix(new))
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, rtol=1e-5)
    cosine = (found * unit).sum(axis=1) / np.linalg.norm(found, axis=1)
    np.testing.assert_allclose(cosine, 1, rtol=1e-5)


def test_the_first_component_follows_depth_and_is_left_out(opened):
    x = sp.csr_matrix(opened)
    depth = opened.sum(axis=1)
    every = Lsi.fit(x, K + 1, seed=0, drop_first=False)
    first, rest = every.transform(x, unit_length=False)[:, 0], Lsi.fit(x, K, seed=0)
    assert abs(np.corrcoef(first, depth)[0, 1]) > 0.85
    np.testing.assert_array_equal(rest.components, every.components[:, 1:])
    assert rest.components.shape == (60, K)


def test_empty_cells_and_bins_are_zeros(opened):
    x = sp.csr_matrix(opened)
    lsi = Lsi.fit(x, K, seed=0)
    z = lsi.transform(x)
    assert z.dtype == np.float32
    np.testing.assert_array_equal(np.flatnonzero(~z.any(axis=1)), [5])
    assert lsi.idf[50] == 0
    assert not lsi.components[50].any()
    only = np.zeros((1, 60), dtype=np.float32)
    only[0, 50] = 1  # open only where nothing was learned
    assert not lsi.transform(sp.csr_matrix(only)).any()


def test_an_explicit_zero_is_not_open(opened):
    x = sp.csr_matrix(opened)
    padded = sp.coo_matrix((np.r_[x.tocoo().data, 0], (np.r_[x.tocoo().row, 5], np.r_[x.tocoo().col, 50])), (90, 60))
    a, b = (Lsi.fit(m.tocsr(), K, seed=0) for m in (x, padded))
    np.testing.assert_array_equal(a.idf, b.idf)
    np.testing.assert_allclose(a.transform(x), b.transform(padded.tocsr()), atol=1e-5)


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (1, 1), (1, 5), (5, 1), (2, 5), (3, 3)])
def test_few_cells_or_bins_leave_at_least_one_component(shape):
    x = sp.csr_matrix(np.tri(*shape, dtype=np.float32))
    lsi = Lsi.fit(x, K, seed=0)
    k = max(min(*shape, K + 1) - 1, 1)
    z = lsi.transform(x)
    assert lsi.components.shape == (shape[1], k)
    assert z.shape == (shape[0], k)
    assert np.isfinite(z).all()
    if shape in ((1, 1), (1, 5), (5, 1)):
        np.testing.assert_allclose(np.abs(z), 1, rtol=1e-6)  # the only one is kept


def test_rounding_is_not_blown_up_to_unit_length():
    """All cells are alike: beside the first component there is nothing, and nothing is what they get."""
    x = sp.csr_matrix(np.ones((6, 5), dtype=np.float32))
    assert not Lsi.fit(x, 3, seed=0).transform(x).any()
    assert not Lsi.fit(sp.csr_matrix((6, 5), dtype=np.float32), 3, seed=0).transform(x).any()


def test_bin_vectors_are_singular_vectors_by_the_root_of_their_values(opened):
    lsi = Lsi.fit(sp.csr_matrix(opened), K, seed=0, drop_first=False)
    _, s, vt = np.linalg.svd(weighted(opened, opened), full_matrices=False)
    want = vt[:3].T * np.sqrt(s[:3])
    found = lsi.bin_vectors()
    assert found.shape == (60, K)
    assert not found[50].any()
    np.testing.assert_allclose(np.abs(found[:, :3]), np.abs(want), atol=0.02 * np.abs(want).max())


def test_the_seed_gives_the_same_components(opened):
    x = sp.csr_matrix(opened)
    a, b = (Lsi.fit(x, K, seed=3) for _ in range(2))
    np.testing.assert_array_equal(a.components, b.components)
