"""The nearest cells of baselines, against scikit-learn: many in any order are those that it sorts."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.neighbors import NearestNeighbors

from chromatell.models.baselines import neighbours, parts, protocol


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


@pytest.mark.parametrize("block", [150, 1_000_000])
def test_nested_neighbours_are_the_nearest_of_each_number(rng, monkeypatch, block):
    monkeypatch.setattr(neighbours, "_DISTANCES", block)
    space = (rng.normal(size=(90, 4)) + 30).astype(np.float32)
    own = np.array([5, -1, 89, 0, -1])
    queries = np.where(own[:, None] >= 0, space[own], rng.normal(size=(5, 4)) + 30).astype(np.float32)
    ks = (1, 2, 7, 50, 200)
    found = neighbours.nearest_nested(space, queries, ks, own)
    assert found.shape == (5, 89)
    order = NearestNeighbors(n_neighbors=90, algorithm="brute").fit(space).kneighbors(queries, return_distance=False)
    for near, every, self in zip(found, order, own, strict=True):
        for k in ks:
            assert set(near[:k]) == set(every[every != self][: min(k, 89)])


@pytest.mark.parametrize("k", [1, 2, 3, 40])
@pytest.mark.parametrize("dense", [1, 10_000])
def test_sums_over_neighbours_are_those_of_a_loop(rng, monkeypatch, k, dense):
    monkeypatch.setattr(neighbours, "_DENSE", dense)
    monkeypatch.setattr(neighbours, "_QUERIES", 3)
    truth = sp.random(40, 9, 0.3, format="csr", dtype=np.float32, random_state=0)
    truth.data[:] = 1
    near = np.stack([rng.permutation(40)[:k] for _ in range(8)]).astype(np.int32)
    expected = np.stack([truth.toarray()[row].sum(axis=0) for row in near])
    np.testing.assert_array_equal(neighbours.neighbour_sum(near, truth), expected)


def test_neighbours_are_sought_once_for_every_number_of_them(rng):
    space = rng.normal(size=(60, 3)).astype(np.float32)
    truth = sp.csr_matrix(rng.random((50, 4)) < 0.4, dtype=np.float32)
    asked, among, rows, prior = [], np.arange(10, 60), np.array([3, 12]), np.full(4, 0.5, dtype=np.float32)
    means = parts.NeighbourMeans(among, (2, 5, 20))
    for k in (5, 20, 2):
        found = means.mean("one", lambda: asked.append(1) or space, rows, k, truth, prior)
        for place, row in enumerate(rows):
            near = np.argsort(np.linalg.norm(space[among] - space[row], axis=1) + 1e9 * (among == row))[:k]
            np.testing.assert_allclose(found[place], (truth.toarray()[near].sum(axis=0) + 0.5) / (k + 1), rtol=1e-6)
    assert len(asked) == 1
    means.mean("other", lambda: asked.append(1) or space, rows, 2, truth, prior)
    assert len(asked) == 2


def test_what_was_asked_for_longest_ago_is_let_go_and_nothing_is_sent_to_a_worker(monkeypatch):
    monkeypatch.setattr(neighbours, "_FEWEST", 1)
    made, kept = [], neighbours.Recent(most=100)

    def get(name):
        return kept.get(name, lambda: made.append(name) or np.zeros(40, dtype=np.uint8))

    for name in ("a", "b", "a", "c", "a", "b"):
        get(name)
    assert made == ["a", "b", "c", "b"]  # b went for c, since a was asked for again
    monkeypatch.setattr(neighbours, "_FEWEST", 3)
    for name in ("c", "a", "b"):
        get(name)
    assert made == ["a", "b", "c", "b", "c"]  # three are kept, however large
    sent = pickle.loads(pickle.dumps(kept))
    assert sent.get("a", lambda: np.ones(1)) == 1
