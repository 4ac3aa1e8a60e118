"""Expression as the models read it, against scanpy and scikit-learn."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import scipy.sparse as sp
from sklearn.decomposition import PCA

from chromatell import ChromatellError, ChromatellWarning
from chromatell.data.expression import Embedding, Expression

GENES = pd.Index([f"g{i}" for i in range(12)])


@pytest.fixture
def counts(rng):
    x = rng.poisson(rng.gamma(1, 2, size=12), size=(60, 12)).astype(np.float32)
    x[:, 5] = 0  # a gene never seen
    x[0, 0] += 1
    return x


@pytest.mark.parametrize("make", [np.asarray, sp.csr_matrix])
def test_counts_as_scanpy_does(counts, make):
    expression = Expression.fit(make(counts), GENES)
    z, library = expression.transform(make(counts))
    adata = ad.AnnData(counts.copy())
    sc.pp.normalize_total(adata, target_sum=float(np.median(counts.sum(1))))
    sc.pp.log1p(adata)
    sd = adata.X.std(0)
    want = (adata.X - adata.X.mean(0)) / np.where(sd > 0, sd, 1)
    np.testing.assert_allclose(z, want, atol=1e-5)
    total = np.log1p(counts.sum(1))
    np.testing.assert_allclose(library, (total - total.mean()) / total.std(), atol=1e-5)
    assert expression.kind == "counts"
    assert np.isfinite(z).all()
    assert (z[:, 5] == 0).all()


def test_sizes_are_the_total_and_of_counts_the_number_of_genes(counts):
    expression = Expression.fit(counts, GENES)
    _, library = expression.transform(counts)
    n = np.log1p((counts > 0).sum(axis=1))
    sizes = expression.sizes(library, counts)
    np.testing.assert_allclose(sizes, np.column_stack([library, (n - n.mean()) / n.std()]), atol=1e-5)
    for x in (np.log1p(counts / 3), np.log1p(counts + 0.3), counts + 1):  # no counts, smoothed; no zero to tell by
        other = Expression.fit(x, GENES)
        _, library = other.transform(x)
        np.testing.assert_array_equal(other.sizes(library, x), library[:, None])
    part = np.arange(12) != 3  # a gene that is not there is not one that no cell expresses
    guess = expression.sizes(library, counts[:, part], part)[:, 1]
    n_part = np.log1p((counts[:, part] > 0).sum(axis=1) / (1 - (counts[:, 3] > 0).mean() * 60 / (counts > 0).sum()))
    np.testing.assert_allclose(guess, (n_part - n.mean()) / n.std(), atol=1e-5)


def test_normalised_is_detected_and_left_alone(counts):
    x = np.log1p(counts / 3)
    expression = Expression.fit(x, GENES)
    z, _ = expression.transform(x)
    assert expression.kind == "normalised"
    sd = x.std(0)
    np.testing.assert_allclose(z, (x - x.mean(0)) / np.where(sd > 0, sd, 1), atol=1e-4)


def test_order_and_extra_genes_change_nothing(counts):
    expression = Expression.fit(counts, GENES)
    want, want_library = expression.transform(counts)
    order = np.random.default_rng(1).permutation(12)
    extra = np.full((60, 2), 50, dtype=np.float32)
    query = ad.AnnData(
        np.hstack([extra, counts[:, order]]), var=pd.DataFrame(index=["other1", "other2", *GENES[order]])
    )
    x, present = expression.align(query)
    got, library = expression.transform(x, present)
    assert present.all()
    np.testing.assert_allclose(got, want, atol=1e-6)
    np.testing.assert_allclose(library, want_library, atol=1e-6)


def test_missing_genes_stand_at_the_training_mean(counts):
    expression = Expression.fit(counts, GENES)
    query = ad.AnnData(counts[:, :9], var=pd.DataFrame(index=GENES[:9]))
    with pytest.warns(ChromatellWarning, match="3 of the model's 12 genes are not in the query"):
        x, present = expression.align(query)
    z, _ = expression.transform(x, present)
    assert (z[:, 9:] == 0).all()
    full, _ = expression.transform(counts)
    assert np.corrcoef(z[:, :9].ravel(), full[:, :9].ravel())[0, 1] > 0.95


def test_missing_genes_are_the_expectation_given_the_others(rng):
    """Against the conditional mean of a normal distribution with the model's covariance, and against the truth."""
    x = rng.normal(size=(800, 3)) @ rng.normal(size=(3, 12)) + 0.1 * rng.normal(size=(800, 12)) + 20
    expression = Expression.fit(x, GENES)
    expression = expression.filled_by(Embedding.fit(expression, x, 3))
    full, library = expression.transform(x)
    present = np.arange(12) < 9
    query = ad.AnnData(x[:, :9], var=pd.DataFrame(index=GENES[:9]))
    with pytest.warns(ChromatellWarning, match="3 of the model's 12 genes.*they are estimated from the others"):
        part, there = expression.align(query)
    z, filled_library = expression.transform(part, there)
    np.testing.assert_allclose(z[:, present], full[:, present], atol=1e-6)
    covariance = expression.loadings @ expression.loadings.T + np.diag(expression.noise)
    want = full[:, :9] @ np.linalg.solve(covariance[:9, :9], covariance[:9, 9:])
    np.testing.assert_allclose(z[:, 9:], want, atol=1e-3)
    assert np.corrcoef(z[:, 9:].ravel(), full[:, 9:].ravel())[0, 1] > 0.98
    rms = np.sqrt(np.mean((filled_library - library) ** 2))
    assert rms < 0.1  # the log total is of all genes, the estimated ones among them
    again = Expression.from_arrays(expression.genes, "normalised", expression.arrays())
    np.testing.assert_array_equal(again.transform(part, there)[0], z)
    old = {k: v for k, v in expression.arrays().items() if "loadings" not in k and "noise" not in k}
    assert (Expression.from_arrays(expression.genes, "normalised", old).transform(part, there)[0][:, 9:] == 0).all()


def test_under_half_of_the_genes_is_refused(counts):
    expression = Expression.fit(counts, GENES)
    query = ad.AnnData(counts[:, :5], var=pd.DataFrame(index=GENES[:5]))
    with pytest.raises(ChromatellError, match=r"5 of the model's 12 genes \(42%; at least 50% are needed\)"):
        expression.align(query)


def test_other_kind_of_values_is_refused(counts):
    expression = Expression.fit(counts, GENES)
    query = ad.AnnData(counts + 0.5, var=pd.DataFrame(index=GENES))
    with pytest.raises(ChromatellError, match="trained on counts; the query's X holds normalised"):
        expression.align(query)


def test_embedding_spans_what_scikit_learn_finds(counts):
    expression = Expression.fit(counts, GENES)
    z, _ = expression.transform(counts)
    ours = Embedding.fit(expression, counts, 3).transform(z)
    theirs = PCA(3, svd_solver="full").fit_transform(z)
    overlap = np.abs(np.corrcoef(ours.T, theirs.T)[:3, 3:])
    np.testing.assert_allclose(np.diag(overlap), 1, atol=1e-2)


def test_blocks_equal_the_whole(counts):
    big = np.tile(counts, (100, 1))
    expression = Expression.fit(big, GENES)
    whole, _ = expression.transform(big)
    parts = np.concatenate([z for _, z, _ in expression.blocks(sp.csr_matrix(big))])
    np.testing.assert_allclose(parts, whole, atol=1e-6)
