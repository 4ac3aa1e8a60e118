"""Z-scores that stay sparse are those of the dense way, and their components those of scikit-learn."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.utils.extmath import randomized_svd

from chromatell._rows import as_rows
from chromatell.data import expression as module
from chromatell.data.expression import Embedding, Expression
from chromatell.data.sparse_expression import is_sparse, projected, sparse_scores


@pytest.fixture
def counts(rng):
    rate = np.outer(rng.lognormal(0, 0.4, 300), rng.lognormal(-1.5, 1, 40)) * (1 + 3 * rng.integers(0, 2, (300, 1)))
    x = rng.poisson(rate)
    x[:, 3] = 7  # expressed in every cell: far from zero in units of its own spread
    x[:, 4] = 0
    x[0, 4] = 50  # in one cell alone: beyond the clip
    return sp.csr_matrix(x, dtype=np.float32)


@pytest.mark.parametrize("kind", ["counts", "normalised"])
def test_statistics_and_scores_are_those_of_the_dense_matrix(counts, kind, rng):
    x = counts if kind == "counts" else counts * np.float32(0.37)
    genes = pd.Index([f"g{i}" for i in range(40)])
    sparse, dense = Expression.fit(x, genes), Expression.fit(x.toarray(), genes)
    assert sparse.kind == kind
    for name, value in dense.arrays().items():
        np.testing.assert_allclose(sparse.arrays()[name], value, rtol=1e-6, err_msg=name)
    z, library = dense.transform(x)
    found = sparse_scores(sparse, x)
    np.testing.assert_allclose(found.base + found.delta.toarray(), z, atol=1e-5)
    np.testing.assert_allclose(found.library, library, atol=1e-5)
    assert (np.abs(z) == 10).any()
    weights = rng.normal(size=(40, 3)).astype(np.float32)
    for data in (x, x.toarray()):
        scores, sizes = projected(sparse, data, weights)
        np.testing.assert_allclose(scores, z @ weights, atol=1e-4)
        np.testing.assert_allclose(sizes[:, 0], library, atol=1e-5)
        assert sizes.shape[1] == (2 if kind == "counts" else 1)
        if kind == "counts":
            n = np.log1p((x.toarray() > 0).sum(axis=1))
            np.testing.assert_allclose(sizes[:, 1], (n - n.mean()) / n.std(), atol=1e-5)


def test_components_are_those_of_scikit_learn(counts, monkeypatch):
    genes = pd.Index([f"g{i}" for i in range(40)])
    expression = Expression.fit(counts, genes)
    z, _ = expression.transform(counts)
    _, _, expected = randomized_svd(z, 5, n_iter=4, random_state=0)
    monkeypatch.setattr(module, "_FIT_VALUES", 300 * 39)  # 300 x 40 are more: fitted without a dense matrix
    found = Embedding.fit(expression, counts, 5, seed=0)
    agree = np.abs((found.components * expected.T).sum(axis=0))
    np.testing.assert_allclose(agree, 1, atol=1e-4)
    np.testing.assert_allclose(found.sd, (z @ found.components).std(axis=0), rtol=1e-4)
    np.testing.assert_array_equal(Embedding.fit(expression, counts, 5, seed=0).components, found.components)
    fewer = Embedding.fit(expression, counts.toarray(), 5, seed=0)  # dense: as many cells as the room allows
    assert fewer.components.shape == (40, 5)


def test_duplicates_are_summed(counts):
    genes = pd.Index([f"g{i}" for i in range(40)])
    coo = counts.tocoo()
    order = np.argsort(np.concatenate([coo.row, coo.row]), kind="stable")
    twice = sp.csr_matrix(counts.shape, dtype=np.float32)
    twice.data = np.concatenate([coo.data - 0.0, np.zeros_like(coo.data)])[order].astype(np.float32)
    twice.indices = np.concatenate([coo.col, coo.col])[order].astype(np.int32)
    twice.indptr = (2 * counts.indptr).astype(np.int32)
    np.testing.assert_array_equal(twice.toarray(), counts.toarray())
    once, found = Expression.fit(counts, genes), Expression.fit(twice, genes)
    np.testing.assert_allclose(found.mean, once.mean, rtol=1e-6)
    np.testing.assert_allclose(found.rate, once.rate)
    np.testing.assert_allclose(sparse_scores(once, twice).delta.toarray(), sparse_scores(once, counts).delta.toarray())


def test_sparse_is_told_by_a_row(counts, tmp_path):
    import anndata as ad

    ad.AnnData(counts).write_h5ad(tmp_path / "a.h5ad")
    assert is_sparse(counts)
    assert is_sparse(as_rows(ad.read_h5ad(tmp_path / "a.h5ad", backed="r").X))
    assert not is_sparse(counts.toarray())
