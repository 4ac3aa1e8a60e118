"""Losses in blocks against their plain dense formulas."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.metrics import log_loss

from chromatell.data.targets import BlockedRows, sparse_target
from chromatell.nn.losses import LossConfig, blocked_loss

CELLS, REGIONS, MEMBERS = 7, 23, 2


@pytest.fixture
def case():
    rng = np.random.default_rng(1)
    logits = torch.tensor(rng.normal(size=(MEMBERS, CELLS, REGIONS)), dtype=torch.float64)
    target = (rng.random((CELLS, REGIONS)) < 0.2).astype(np.float64)
    target[:, 3] = 0  # a region open nowhere
    target[2] = 0  # a cell with no open region
    return logits, target


def dense_formula(logits: np.ndarray, y: np.ndarray, c: LossConfig) -> float:
    """The textbook formula, on the whole matrix."""
    p = 1 / (1 + np.exp(-logits))
    ce = -(y * np.log(p) + (1 - y) * np.log(1 - p))
    p_true = np.where(y == 1, p, 1 - p)
    alpha = 1.0 if c.focal_alpha is None else np.where(y == 1, c.focal_alpha, 1 - c.focal_alpha)
    focal = (alpha * (1 - p_true) ** c.focal_gamma * ce).mean()
    dice = 1 - (2 * (p * y).sum() + c.dice_smooth) / (p.sum() + y.sum() + c.dice_smooth)
    values = {
        "bce": ce.mean(),
        "focal": focal,
        "dice": dice,
        "focal_dice": focal + c.dice_weight * dice,
        "poisson": (np.exp(logits) - y * logits).mean(),
    }
    return float(values[c.name])


@pytest.mark.parametrize("block", [1, 5, 23, 100])
@pytest.mark.parametrize("name", ["bce", "focal", "dice", "focal_dice", "poisson"])
@pytest.mark.parametrize("alpha", [None, 0.25])
def test_equals_dense_formula(case, name, block, alpha):
    logits, y = case
    config = LossConfig(name=name, focal_gamma=1.5, focal_alpha=alpha, dice_weight=0.7)
    got = blocked_loss(
        lambda a, b: logits[:, :, a:b],
        sparse_target(sp.csr_matrix(y), block),
        n_cells=CELLS,
        n_regions=REGIONS,
        config=config,
    )
    want = [dense_formula(logits[m].numpy(), y, config) for m in range(MEMBERS)]
    np.testing.assert_allclose(got.numpy(), want, atol=1e-6)


def test_bce_equals_scikit_learn(case):
    logits, y = case
    got = blocked_loss(
        lambda a, b: logits[:1, :, a:b],
        sparse_target(sp.csr_matrix(y), 4),
        n_cells=CELLS,
        n_regions=REGIONS,
        config=LossConfig("bce"),
    )
    assert got.item() == pytest.approx(log_loss(y.ravel(), torch.sigmoid(logits[0]).numpy().ravel()), abs=1e-6)


@pytest.mark.parametrize("name", ["bce", "focal_dice", "poisson"])
def test_gradient_does_not_depend_on_the_block(case, name):
    _, y = case
    rng = np.random.default_rng(2)
    z = torch.tensor(rng.normal(size=(1, CELLS, 4)), dtype=torch.float64)
    gradients = []
    for block in (3, 1000):
        w = torch.tensor(np.random.default_rng(3).normal(size=(1, REGIONS, 4)), dtype=torch.float64, requires_grad=True)

        def decode(a: int, b: int, w: torch.Tensor = w) -> torch.Tensor:
            return z @ w[:, a:b].transpose(1, 2)

        loss = blocked_loss(
            decode, sparse_target(sp.csr_matrix(y), block), n_cells=CELLS, n_regions=REGIONS, config=LossConfig(name)
        )
        loss.sum().backward()
        gradients.append(w.grad.numpy())
    np.testing.assert_allclose(gradients[0], gradients[1], atol=1e-6)


def test_target_block_is_the_dense_slice(case):
    _, y = case
    target = sparse_target(sp.csr_matrix(y), 9)
    for i, (start, stop) in enumerate([(0, 9), (9, 18), (18, REGIONS)]):
        np.testing.assert_array_equal(target.block(i, REGIONS).numpy(), y[:, start:stop])


@pytest.mark.parametrize("width", [1, 4, 23, 1000])
def test_rows_in_any_order_give_their_own_targets(width):
    """Rows may repeat, be empty or unsorted, and values other than 1."""
    rng = np.random.default_rng(0)
    dense = np.where(rng.random((40, 23)) < 0.3, rng.random((40, 23)), 0).astype(np.float32)
    dense[5] = 0
    shuffled = sp.csr_matrix(dense)
    for i in range(40):
        at = slice(shuffled.indptr[i], shuffled.indptr[i + 1])
        order = rng.permutation(at.stop - at.start)
        shuffled.indices[at], shuffled.data[at] = shuffled.indices[at][order], shuffled.data[at][order]
    shuffled.has_sorted_indices = False
    blocked = BlockedRows(shuffled, width)
    for rows in ([7, 0, 7, 39, 5], [5], np.arange(40)):
        target = blocked.target(np.asarray(rows))
        blocks = [target.block(i, 23).numpy() for i in range(blocked.n_blocks)]
        np.testing.assert_array_equal(np.hstack(blocks), dense[rows])
