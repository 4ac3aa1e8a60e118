"""The nearest cells of baselines, against scikit-learn, and sums over them, against a loop."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.neighbors import NearestNeighbors

from chromatell.models.baselines import neighbours


@pytest.mark.parametrize("k", [1, 2, 63, 100, 199, 200, 500])
@pytest.mark.parametrize("block", [1, 8_000_000])
def test_the_nearest_are_those_of_scikit_learn(rng, monkeypatch, k, block):
    monkeypatch.setattr(neighbours, "_DISTANCES", block)
    monkeypatch.setattr(neighbours, "_FEWEST_ROWS", 2)
    space = (rng.normal(size=(200, 7)) + 30).astype(np.float32)
    own = np.array([5, -1, 199, 0, -1])
    queries = np.where(own[:, None] >= 0, space[own], rng.normal(size=(5, 7)) + 30).astype(np.float32)
    found = neighbours.nearest(space, queries, k, own)
    anyhow = neighbours.nearest(space, queries, k, own, ordered=False)
    assert found.shape == anyhow.shape == (5, min(k, 199))
    order = NearestNeighbors(n_neighbors=200, algorithm="brute").fit(space.astype(float))
    for near, unordered, every, self in zip(
        found, anyhow, order.kneighbors(queries.astype(float), return_distance=False), own, strict=True
    ):
        np.testing.assert_array_equal(near, every[every != self][: min(k, 199)])
        assert set(unordered) == set(near)


def test_of_cells_equally_far_away_the_lower_place_is_nearer(rng):
    space = np.repeat(rng.integers(0, 3, size=(30, 2)), 4, axis=0).astype(np.float32)
    found = neighbours.nearest(space, space[:5], 119, np.array([0, 1, -1, 3, 4]))
    for near, query, own in zip(found, space, (0, 1, -1, 3, 4), strict=False):
        distance = np.square(space - query).sum(axis=1)
        order = np.lexsort((np.arange(120), distance))
        np.testing.assert_array_equal(near, order[order != own][:119])


def test_places_beyond_two_bytes_are_told(rng):
    space = rng.normal(size=(70_000, 2)).astype(np.float32)
    found = neighbours.nearest(space, space[[69_999, 3]], 3, np.array([-1, -1]))
    assert found.dtype == np.int32
    assert found[:, 0].tolist() == [69_999, 3]
    assert neighbours.nearest(space[:500], space[:1], 3, np.array([0])).dtype == np.uint16


@pytest.mark.parametrize("most", [0, 1 << 20])
def test_sums_go_on_from_the_last_number_up_and_down(rng, monkeypatch, most):
    monkeypatch.setattr(neighbours, "_KEPT_SUMS", most)
    truth, other = (sp.csr_matrix(rng.random((40, 9)) < 0.3, dtype=np.float32) for _ in range(2))
    near = np.stack([rng.permutation(40)[:30] for _ in range(8)]).astype(np.uint16)
    held = neighbours.Neighbourhood(near)
    for k, y in ((5, truth), (20, truth), (18, truth), (30, truth), (2, truth), (3, other), (50, other), (1, truth)):
        total, n = held.total(k, y)
        assert n == min(k, 30)
        np.testing.assert_array_equal(total, np.stack([y.toarray()[row[:n]].sum(axis=0) for row in near]))


def test_columns_are_cut_anew_only_where_others_are_asked_for():
    matrix, columns = sp.random(9, 6, 0.5, format="csr", random_state=0), neighbours.LastColumns()
    first = columns(matrix, np.array([0, 3]))
    assert columns(matrix, np.array([0, 3])) is first
    np.testing.assert_array_equal(columns(matrix, np.array([1, 3])).toarray(), matrix.toarray()[:, [1, 3]])
    other = matrix * 2
    np.testing.assert_array_equal(columns(other, np.array([1, 3])).toarray(), other.toarray()[:, [1, 3]])
    assert len(pickle.dumps(columns)) < 200  # nothing is sent to a worker


@pytest.mark.parametrize("k", [1, 2, 3, 70, 300])
@pytest.mark.parametrize("together", [3, 64])
def test_sums_over_neighbours_are_those_of_a_loop(rng, monkeypatch, k, together):
    monkeypatch.setattr(neighbours, "_QUERIES", together)
    truth = sp.random(300, 9, 0.3, format="csr", dtype=np.float32, random_state=0)
    truth.data[:] = 1
    # three groups of queries, each with cells of its own near
    near = np.stack([(100 * (i % 3) + rng.permutation(300 if k > 100 else 100))[:k] % 300 for i in range(40)])
    expected = np.stack([truth.toarray()[row].sum(axis=0) for row in near])
    found = neighbours.neighbour_sum(near.astype(np.uint16), truth)
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, expected)
    assert neighbours.neighbour_sum(near[:0], truth).shape == (0, 9)


@pytest.mark.parametrize("far", [slice(1, None, 2), np.arange(3000) % 16 > 0])
def test_few_among_many_are_found_from_a_bound_and_without_one(rng, far):
    n = 3000
    space = np.round(4 * rng.normal(size=(n, 3))).astype(np.float32) / 4  # many tie, and distances are exact
    space[far] += 50  # a sample of each 16th row sees none of these
    queries = np.concatenate([space[:20], space[1:40:2]])
    own = np.concatenate([np.arange(20), np.full(20, -1)])
    exact = np.square(queries[:, None].astype(float) - space[None].astype(float)).sum(axis=2)
    exact[np.arange(20), own[:20]] = np.inf
    for k in (1, 5, 60):
        found = neighbours.nearest(space, queries, k, own)
        np.testing.assert_array_equal(found, np.argsort(exact, axis=1, kind="stable")[:, :k])
        anyhow = neighbours.nearest(space, queries, k, own, ordered=False)
        np.testing.assert_array_equal(np.sort(anyhow, axis=1), np.sort(found, axis=1))


def test_neighbours_are_sought_once_for_every_number_of_them(rng):
    space = rng.normal(size=(60, 3)).astype(np.float32)
    truth = sp.csr_matrix(rng.random((50, 4)) < 0.4, dtype=np.float32)
    asked, among, rows, prior = [], np.arange(10, 60), np.array([3, 12]), np.full(4, 0.5, dtype=np.float32)
    means, ks = neighbours.NeighbourMeans(among), (2, 5, 20)
    for k in (5, 20, 2):
        found = means.mean("one", lambda: asked.append(1) or space, rows, (k, *ks), truth, prior)
        for place, row in enumerate(rows):
            near = np.argsort(np.linalg.norm(space[among] - space[row], axis=1) + 1e9 * (among == row))[:k]
            np.testing.assert_allclose(found[place], (truth.toarray()[near].sum(axis=0) + 0.5) / (k + 1), rtol=1e-6)
    assert len(asked) == 1
    means.mean("other", lambda: asked.append(1) or space, rows, (2,), truth, prior)
    assert len(asked) == 2


def test_neighbours_that_are_held_serve_fewer_of_them_where_they_are_in_order(rng, monkeypatch):
    space = rng.normal(size=(40, 3)).astype(np.float32)
    truth = sp.csr_matrix(rng.random((40, 4)) < 0.4, dtype=np.float32)
    asked, rows, prior = [], np.array([3, 12]), np.full(4, 0.5, dtype=np.float32)
    nearest = neighbours.nearest

    def noted(space, queries, k, own, **options):
        asked.append(k)
        return nearest(space, queries, k, own, **options)

    monkeypatch.setattr(neighbours, "nearest", noted)

    def sums(means, *ks):
        return means.mean("one", lambda: space, rows, ks, truth, prior) * (ks[0] + 1) - prior

    def expected(k):
        near = [np.argsort(np.linalg.norm(space - space[r], axis=1) + 1e9 * (np.arange(40) == r))[:k] for r in rows]
        return np.stack([truth.toarray()[at].sum(axis=0) for at in near])

    means = neighbours.NeighbourMeans(np.arange(40))
    np.testing.assert_allclose(sums(means, 5, 20), expected(5), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(sums(means, 9), expected(9), rtol=1e-5, atol=1e-5)
    assert asked == [20]
    np.testing.assert_allclose(sums(means, 25), expected(25), rtol=1e-5, atol=1e-5)  # more than are held
    np.testing.assert_allclose(sums(means, 25), expected(25), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(sums(means, 7), expected(7), rtol=1e-5, atol=1e-5)  # the 25 are in no order
    np.testing.assert_allclose(sums(means, 39, 60), expected(39), rtol=1e-5, atol=1e-5)  # all but itself
    np.testing.assert_allclose(sums(means, 39, 70), expected(39), rtol=1e-5, atol=1e-5)
    assert asked == [20, 25, 7, 60]


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
