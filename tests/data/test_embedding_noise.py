"""Components that hardly vary in training are not stretched: noise in a few genes of a panel would be read as state."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pytest
from sklearn.decomposition import PCA

from chromatell.data.cell_embedding import CellEmbedding

ROWS = np.arange(300)


@pytest.fixture
def panel():
    """40 smoothed genes of 400 cells: 3 states make all of it but 1% of a gene's standard deviation."""
    rng = np.random.default_rng(0)
    state = rng.normal(size=(400, 3)) @ rng.normal(size=(3, 40))
    values = 5 + state / state.std(axis=0) + 0.01 * rng.normal(size=state.shape)
    return ad.AnnData(np.maximum(values, 0.1).astype(np.float32))


def test_noise_of_a_few_percent_stays_small_in_what_is_read(panel):
    embedding = CellEmbedding.fit(panel, ROWS, key=None, n_pcs=20, seed=0)
    z = embedding.transform(panel)[0]
    x = np.asarray(panel.X, dtype=np.float64)
    own = PCA(20).fit((x[ROWS] - x[ROWS].mean(axis=0)) / x[ROWS].std(axis=0)).explained_variance_[:20] ** 0.5
    np.testing.assert_allclose(z[ROWS].std(axis=0)[:3], 1, atol=0.02)
    np.testing.assert_allclose(z[ROWS].std(axis=0)[3:], own[3:] / 0.1, rtol=0.15)  # a tenth of a gene's is the least
    noisy = panel.copy()
    noisy.X = x + 0.03 * x.std(axis=0) * np.random.default_rng(1).normal(size=x.shape)
    moved = embedding.transform(noisy)[0] - z
    assert moved.std(axis=0).max() < 0.4  # 0.03 / 0.1, and not 0.03 / 0.01


def test_of_the_users_embedding_a_component_of_under_2_percent_of_the_largest_is_not_stretched(panel):
    values = np.random.default_rng(2).normal(size=(400, 4)) * [10, 1, 0.3, 0.01]
    panel.obsm["X_mine"] = values
    z = CellEmbedding.fit(panel, ROWS, key="X_mine", n_pcs=4, seed=0).transform(panel)[0]
    sd = values[ROWS].std(axis=0)
    np.testing.assert_allclose(z[ROWS].std(axis=0), [1, 1, 1, sd[3] / (0.02 * sd[0])], rtol=1e-3)
