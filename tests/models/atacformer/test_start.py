"""Where training starts: vectors of the bins."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from chromatell.models.atacformer._start import lsi_vectors


def test_bins_of_the_same_cells_start_side_by_side(rng):
    groups = np.repeat([0, 1], 20)
    p = np.where(groups == np.arange(80)[:, None] % 2, 0.6, 0.1)
    opened = sp.csr_matrix((rng.random((80, 40)) < p).astype(np.float32))
    vectors = lsi_vectors(opened, 4, seed=0)
    assert vectors.dtype == np.float32
    assert vectors.shape == (40, 4)
    np.testing.assert_allclose(np.mean(vectors.astype(float) ** 2), 1 / 4, rtol=1e-5)
    unit = vectors[:, :2] / np.linalg.norm(vectors[:, :2], axis=1, keepdims=True)
    cosine = unit @ unit.T
    same = groups[:, None] == groups
    assert cosine[same].min() > cosine[~same].max()


def test_more_numbers_than_cells_are_zeros():
    opened = sp.csr_matrix(np.tri(3, 6, dtype=np.float32))
    vectors = lsi_vectors(opened, 5, seed=0)
    assert vectors.shape == (6, 5)
    assert vectors[:, :3].any(axis=0).all()
    assert not vectors[:, 3:].any()
    assert not vectors[3:].any()  # bins open nowhere
    np.testing.assert_allclose(np.mean(vectors.astype(float) ** 2), 1 / 5, rtol=1e-5)
