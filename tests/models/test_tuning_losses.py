"""The losses by which baselines of cells are tuned, against scikit-learn and plain loops."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from chromatell.models.baselines.cell_data import PURPOSES, Tuning


def mean_auroc(truth, p):
    return np.mean([roc_auc_score(y, s) for y, s in zip(truth, p, strict=True) if 0 < y.sum() < y.size])


def matched(truth, p, stratum):
    """Mantel and Haenszel's weights over strata of equal depth, then the mean over regions."""
    found = []
    for y, s in zip(truth.T, p.T, strict=True):
        held = [i for i in (stratum == k for k in np.unique(stratum)) if 0 < y[i].sum() < i.sum()]
        weights = [y[i].sum() * (1 - y[i]).sum() / i.sum() for i in held]
        if held:
            found.append(np.average([roc_auc_score(y[i], s[i]) for i in held], weights=weights))
    return np.mean(found)


def deviation(truth, p, labels):
    """Pearson's correlation of what each label's mean has over the mean of the labels' means."""
    of_truth, of_p = (np.stack([x[labels == t].mean(axis=0) for t in "ab"]) for x in (truth, p))
    pairs = zip(of_truth - of_truth.mean(axis=0), of_p - of_p.mean(axis=0), strict=True)
    return np.mean([np.corrcoef(*pair)[0, 1] for pair in pairs])


@pytest.mark.parametrize("regions", [12, 520])  # of more than 500 the most open ones are ranked
def test_losses_are_those_of_scikit_learn(rng, regions):
    labels, stratum = np.repeat(["a", "b"], 30), np.tile([0, 1, 2], 20)
    p = rng.random((60, regions), dtype=np.float32)
    truth = (rng.random((60, regions)) < 0.1 + 0.3 * p).astype(np.float32)
    ranked = np.sort(np.argsort(-truth.sum(axis=0), kind="stable")[:500])
    tuning = Tuning(
        np.arange(60), np.arange(regions), sp.csr_matrix(truth), np.array([10.0, 20.0, 40.0])[stratum], labels
    )
    expected = {
        "calibration": brier_score_loss(truth.ravel(), p.ravel()),
        "overall": -average_precision_score(truth.ravel(), p.ravel()),
        "per_cell": -mean_auroc(truth, p),
        "per_region": -mean_auroc(truth[:, ranked].T, p[:, ranked].T),
        "depth_matched": -matched(truth[:, ranked], p[:, ranked], stratum),
        "profile": -deviation(truth, p, labels),
    }
    assert list(expected) == list(PURPOSES)
    found = {name: tuning.loss(name, p) for name in PURPOSES}
    assert found.pop("overall") == pytest.approx(expected.pop("overall"), rel=2e-4)  # close scores count as tied
    assert found == pytest.approx(expected, rel=1e-5)


def test_without_two_labels_the_profile_has_no_loss(rng):
    truth = sp.csr_matrix(rng.random((30, 5)) < 0.4, dtype=np.float32)
    tuning = Tuning(np.arange(30), np.arange(5), truth, np.ones(30), None)
    assert np.isnan(tuning.loss("profile", rng.random((30, 5), dtype=np.float32)))
