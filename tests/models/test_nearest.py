"""The nearest cells of baselines, against scikit-learn: many in any order are those that it sorts."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from chromatell.models.baselines import protocol


@pytest.mark.parametrize("k", [1, 63, 64, 100, 199, 200, 500])
@pytest.mark.parametrize("block", [150, 8_000_000])
def test_many_in_any_order_are_the_same(rng, monkeypatch, k, block):
    monkeypatch.setattr(protocol, "_DISTANCES", block)
    space = (rng.normal(size=(200, 7)) + 30).astype(np.float32)
    own = np.array([5, -1, 199, 0, -1])
    queries = np.where(own[:, None] >= 0, space[own], rng.normal(size=(5, 7)) + 30).astype(np.float32)
    found = protocol.nearest_set(space, queries, k, own)
    assert found.shape == protocol.nearest(space, queries, k, own).shape == (5, min(k, 199))
    order = NearestNeighbors(n_neighbors=200, algorithm="brute").fit(space).kneighbors(queries, return_distance=False)
    for near, every, self in zip(found, order, own, strict=True):
        assert set(near) == set(every[every != self][: min(k, 199)])
