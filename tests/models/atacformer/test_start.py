"""Where training starts: vectors of the bins, and of their DNA."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from anndata import AnnData

from chromatell.models.atacformer._data import dna_table
from chromatell.models.atacformer._start import lsi_vectors


def test_bins_of_the_same_cells_start_side_by_side(rng):
    groups = np.repeat([0, 1], 20)
    p = np.where(groups == np.arange(80)[:, None] % 2, 0.6, 0.1)
    binarized = sp.csr_matrix((rng.random((80, 40)) < p).astype(np.float32))
    vectors = lsi_vectors(binarized, 4, seed=0)
    assert vectors.dtype == np.float32
    assert vectors.shape == (40, 4)
    np.testing.assert_allclose(np.mean(vectors.astype(float) ** 2), 1 / 4, rtol=1e-5)
    unit = vectors[:, :2] / np.linalg.norm(vectors[:, :2], axis=1, keepdims=True)
    cosine = unit @ unit.T
    same = groups[:, None] == groups
    assert cosine[same].min() > cosine[~same].max()


def test_more_numbers_than_cells_are_zeros():
    binarized = sp.csr_matrix(np.tri(3, 6, dtype=np.float32))
    vectors = lsi_vectors(binarized, 5, seed=0)
    assert vectors.shape == (6, 5)
    assert vectors[:, :3].any(axis=0).all()
    assert not vectors[:, 3:].any()
    assert not vectors[3:].any()  # bins open nowhere
    np.testing.assert_allclose(np.mean(vectors.astype(float) ** 2), 1 / 5, rtol=1e-5)


def test_dna_keeps_the_weight_of_its_components_and_its_zeros(rng):
    table = rng.normal(size=(50, 3)) * [3.0, 1.0, 0.1]
    table[7] = 0  # no sequence
    atac = AnnData(np.zeros((2, 60), dtype=np.float32), varm={"X_dna": np.vstack([table, np.full((10, 3), 99.0)])})
    found = dna_table(atac, "X_dna", np.arange(60) < 50)  # the last ten are not in use
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, table / np.sqrt((table**2).mean()), rtol=1e-5)
    assert not found[7].any()
    assert dna_table(atac, None, np.ones(60, dtype=bool)) is None


def test_dna_of_zeros_stays_so_and_a_value_far_out_is_cut():
    whole = np.ones(1000, dtype=bool)
    table = np.zeros((1000, 1))
    atac = AnnData(np.zeros((2, 1000), dtype=np.float32), varm={"none": table, "one": table + np.eye(1000, 1) * 1e6})
    assert not dna_table(atac, "none", whole).any()
    found = dna_table(atac, "one", whole)
    assert found[0, 0] == 20
    assert not found[1:].any()
