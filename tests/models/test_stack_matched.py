"""The network's share in a stack is raised where cells of one depth would be told apart worse than by it alone."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score

import chromatell as ctl
from chromatell.models.stack import _fit as fit_file
from chromatell.models.stack import _matched as matched_file
from chromatell.models.stack._matched import ERRORS, STEPS, TOLERANCE, Watched

N, M = 400, 60


def members_of(rng, *, depth_noise: float = 0.2, level: float = 0.5, ridge: float = 0.4):
    """Cells of four depths exactly, whose network knows their type well and their depth worse than regressions do."""
    depth = np.repeat([500.0, 1000.0, 2000.0, 4000.0], N // 4)
    mean = np.linspace(0.02, 0.3, M).astype("f4")
    kind = rng.normal(0, 1, (N, 1)) * np.where(np.arange(M) % 2, 1.0, -1.0)
    deep = (depth / depth.mean())[:, None]
    truth = (rng.random((N, M)) < np.clip(mean * deep * np.exp(0.6 * kind), 0, 1)).astype("f4")
    told = deep * rng.lognormal(0, depth_noise, (N, 1))
    by_depth = np.clip(mean * told, 1e-3, 0.9)
    by_ridge = np.clip(mean * told * np.exp(ridge * kind), 1e-3, 0.9)
    network = np.clip(mean * deep**level * np.exp(0.6 * kind), 1e-3, 0.9)
    return depth, mean, truth, [q.astype("f4") for q in (by_depth, by_ridge, by_ridge, network)]


def watched_of(depth, mean, truth, members) -> Watched:
    found = Watched(mean, sp.csr_matrix(truth), depth, len(members))
    found.add(slice(0, N), slice(0, M), members)
    return found


def matched(depth, truth, p) -> float:
    """Depth-matched AUROC by SciPy's ranks: cells of each depth apart, weighed by k n / (k + n), then over regions."""
    total, held = np.zeros(M), np.zeros(M)
    for own in np.unique(depth):
        y, ranks = truth[depth == own] > 0, rankdata(p[depth == own], axis=0)
        k = y.sum(axis=0)
        n = len(y) - k
        both = (k > 0) & (n > 0)
        auc = ((ranks * y).sum(axis=0) - k * (k + 1) / 2) / np.maximum(k * n, 1)
        weight = np.where(both, k * n / len(y), 0)
        total, held = total + weight * auc, held + weight
    return float((total[held > 0] / held[held > 0]).mean())


def test_the_share_is_the_least_with_which_nothing_is_lost(rng):
    """Against every share, with a standard error from cells drawn again."""
    depth, mean, truth, members = members_of(rng)
    weights = np.array([0.1, 0.5, 0.3, 0.1])
    got = watched_of(depth, mean, truth, members).raised(weights)
    shares = np.linspace(0, 1, STEPS + 1)
    tried = [weights + s * (np.eye(4)[-1] - weights) for s in shares]
    at = int(np.argmin([np.abs(t - got).max() for t in tried]))
    np.testing.assert_allclose(got, tried[at], atol=1e-12)
    p = [sum(w * q for w, q in zip(t, members, strict=True)) for t in tried]
    least = max(average_precision_score(truth.ravel(), q.ravel()) for q in members[:-1])
    assert average_precision_score(truth.ravel(), p[at].ravel()) >= least
    lost = [matched(depth, truth, members[-1]) - matched(depth, truth, q) for q in p]
    draws = np.random.default_rng(1)

    def error(i: int) -> float:
        apart = []
        for _ in range(100):
            rows = np.concatenate([draws.choice(np.flatnonzero(depth == d), N // 4) for d in np.unique(depth)])
            apart.append(matched(depth, truth[rows], members[-1][rows]) - matched(depth, truth[rows], p[i][rows]))
        return float(np.std(apart))

    assert 0 < at < STEPS
    assert lost[0] > 0.01
    assert lost[at] < max(1.4 * ERRORS * error(at), TOLERANCE)
    assert lost[at - 1] > max(ERRORS * error(at - 1) / 1.4, TOLERANCE)


def test_average_precision_is_not_given_up_for_it(rng):
    """A network that does not know the depth at all, beside regressions that do: some share, and no more."""
    depth, mean, truth, members = members_of(rng, depth_noise=0.02, level=0.0)
    weights = np.array([0.0, 1.0, 0.0, 0.0])
    got = watched_of(depth, mean, truth, members).raised(weights)
    p = sum(w * q for w, q in zip(got, members, strict=True))
    regressions = max(average_precision_score(truth.ravel(), q.ravel()) for q in members[:-1])
    assert average_precision_score(truth.ravel(), members[-1].ravel()) < regressions - 0.02
    assert average_precision_score(truth.ravel(), p.ravel()) >= regressions
    assert got[-1] < 1


def test_weights_that_lose_nothing_stay(rng):
    depth, mean, truth, members = members_of(rng)
    for weights, own in (
        (np.array([0.2, 0.3, 0.4, 0.1]), [*members[:3], members[1]]),  # the network is no better than ridge
        (np.eye(4)[3], members),
    ):
        np.testing.assert_array_equal(watched_of(depth, mean, truth, own).raised(weights), weights)


def test_blocks_in_any_order_and_the_most_open_regions(rng, monkeypatch):
    depth, mean, truth, members = members_of(rng)
    weights = np.array([0.1, 0.5, 0.3, 0.1])
    expected = watched_of(depth, mean, truth, members).raised(weights)
    found = Watched(mean, sp.csr_matrix(truth), depth, 4)
    for cols in (np.arange(40, M), slice(0, 17), np.arange(17, 40)[::-1]):
        for rows in (slice(250, N), slice(0, 250)):
            found.add(rows, cols, [q[rows][:, cols] for q in members])
    np.testing.assert_array_equal(found.raised(weights), expected)
    monkeypatch.setattr(matched_file, "MOST_OPEN", 30)
    part = watched_of(depth, mean, truth, members).raised(weights)
    for q in members:  # the others are not looked at
        q[:, :30] = rng.random((N, 30))
    np.testing.assert_array_equal(watched_of(depth, mean, truth, members).raised(weights), part)


@pytest.mark.parametrize(("fractions", "asked"), [((0.2, 0.6, 0.2), True), ((0.5, 0.3, 0.2), False)])
def test_few_validation_cells_are_not_asked(fractions, asked, monkeypatch):
    mdata = ctl.datasets.simulate_multiome(520, 20, 30, n_types=3, depth=15.0, seed=1)
    ctl.pp.split_cells(mdata, fractions=fractions, seed=0)
    seen = []

    class Asked(Watched):
        def raised(self, weights: np.ndarray) -> np.ndarray:
            seen.append(self._said.copy())
            return np.array([0.0, 0.0, 0.25, 0.75])

    monkeypatch.setattr(fit_file, "Watched", Asked)
    ctl.models.Dense.setup_mudata(mdata)
    model = ctl.models.Dense(mdata, n_hidden=8, n_latent=4)
    model.train(max_epochs=1, seed=0)
    assert bool(seen) == asked
    if asked:
        assert model.fitted.stack.weights == pytest.approx({"ridge": 0.25, "network": 0.75})
        val = (mdata.obs["ctl_split"] == "val").to_numpy()
        p = model.predict(mdata)[val]
        order = np.argsort(np.argsort(-model.fitted.stack.simple.mean, kind="stable"), kind="stable")
        assert order.size == 30
        np.testing.assert_allclose(0.25 * seen[0][2] + 0.75 * seen[0][3], p, atol=1e-5)
