"""Batches of regions x cells: what is in them, in which order, and that the loss over them is the plain one."""

from __future__ import annotations

from collections import Counter
from copy import copy
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from chromatell.data.sampler import batch_loader
from chromatell.data.sequences import Block, RegionBatches, RegionCells
from chromatell.models.xchrom._module import XChromConfig, XChromModule
from chromatell.nn.sequence_tower import TowerConfig

N_REGIONS, N_CELLS, WIDTH = 37, 53, 40
TOWER = TowerConfig(
    sequence_length=36,
    stem_filters=6,
    stem_kernel=5,
    stem_pool=3,
    filters=(6,),
    last_filters=4,
    n_bottleneck=5,
    dropout=0.0,
    max_shift=0,
    reverse_complement=False,
)


@pytest.fixture(scope="module")
def truth():
    return (np.random.default_rng(0).random((N_REGIONS, N_CELLS)) < 0.3).astype(np.float32)


@pytest.fixture(scope="module")
def dataset(truth):
    rng = np.random.default_rng(1)
    return RegionCells(
        rng.integers(0, 5, (N_REGIONS, WIDTH)).astype(np.int8),
        sp.csr_matrix(truth),
        rng.normal(size=(N_CELLS, 3)).astype(np.float32),
        rng.normal(size=N_CELLS).astype(np.float32),
        rng.normal(size=N_CELLS).astype(np.float32),
    )


@pytest.fixture
def module():
    torch.manual_seed(0)
    config = XChromConfig(tower=TOWER, n_inputs=3, n_hidden=8, n_embed=5, noise=0.0, depth_mix=0.0)
    module = XChromModule(config, (-1.0, 0.4))
    module.head.weight.data.normal_()
    return module


def dense(target, n_regions, n_cells):
    return target.block(0, n_cells).numpy()


@pytest.mark.parametrize("n_cells", [N_CELLS, 20, 1])
def test_a_batch_holds_what_was_asked_for(dataset, truth, n_cells):
    rng = np.random.default_rng(2)
    regions = rng.permutation(N_REGIONS)[:11]
    cells = np.sort(rng.choice(N_CELLS, n_cells, replace=False))
    batch = dataset[regions, cells]
    assert len(batch) == 11
    assert len(dataset) == N_REGIONS
    assert batch.tokens.dtype == torch.int8
    np.testing.assert_array_equal(batch.tokens, dataset.tokens[regions])
    np.testing.assert_array_equal(batch.cells, dataset.cells[cells])
    np.testing.assert_array_equal(batch.depth, dataset.depth[cells])
    np.testing.assert_array_equal(batch.predicted_depth, dataset.predicted_depth[cells])
    np.testing.assert_array_equal(dense(batch.target, 11, n_cells), truth[np.ix_(regions, cells)])


def test_batches_in_turn_do_not_mix_their_cells(dataset, truth):
    regions, some = np.arange(5), np.arange(7, 20)
    for cells in (some, np.arange(N_CELLS), some, some[::-1].copy(), some):
        batch = dataset[regions, cells]
        np.testing.assert_array_equal(dense(batch.target, 5, len(cells)), truth[np.ix_(regions, cells)])


def test_part_of_the_targets_as_blocks(dataset, truth):
    regions, cells = np.arange(3, 12), np.arange(0, N_CELLS, 2)
    narrow = copy(dataset)
    narrow.block = 10
    target = narrow[regions, cells].target
    for i, (start, stop) in enumerate(((0, 10), (10, 20), (20, 27))):
        np.testing.assert_array_equal(target.block(i, 27), truth[np.ix_(regions, cells[start:stop])])


def test_a_batch_moves_as_a_whole(dataset):
    batch = dataset[np.arange(4), np.arange(6)]
    moved = batch.to("meta")
    for name in ("tokens", "cells", "depth", "predicted_depth"):
        assert getattr(moved, name).device.type == "meta"
        assert getattr(moved, name).shape == getattr(batch, name).shape
    assert {t.device.type for t in vars(moved.target).values() if isinstance(t, torch.Tensor)} == {"meta"}
    assert moved.target.bounds == batch.target.bounds  # known on the host: no block waits for the device
    assert batch.tokens.device.type == "cpu"
    assert replace(batch, target=None).to("meta").target is None


# ---- order


def drawn(blocks, batch_size, epoch=0, **options):
    batches = RegionBatches(blocks, batch_size, **options)
    batches.set_epoch(epoch)
    out = list(batches)
    assert len(batches) == len(out)
    return out


@pytest.mark.parametrize(("n", "batch_size", "expected"), [(37, 8, [8, 8, 8, 8, 5]), (32, 8, [8] * 4), (5, 8, [5])])
@pytest.mark.parametrize("shuffle", [True, False])
def test_every_region_once_an_epoch(n, batch_size, expected, shuffle):
    regions, cells = np.arange(100, 100 + n), np.arange(9)
    out = drawn([Block(regions, cells)], batch_size, shuffle=shuffle)
    assert [len(r) for r, _ in out] == expected
    assert Counter(np.concatenate([r for r, _ in out]).tolist()) == Counter(regions.tolist())
    for _, c in out:
        np.testing.assert_array_equal(c, cells)


def test_a_last_batch_of_one_region_is_left_out_of_training_alone():
    """Batch norm cannot train on it; which region that is changes from epoch to epoch."""
    block = Block(np.arange(33), np.arange(9))
    left_out = set()
    for epoch in range(8):
        out = drawn([block], 8, epoch, shuffle=True)
        assert [len(r) for r, _ in out] == [8] * 4
        left_out |= set(range(33)) - set(np.concatenate([r for r, _ in out]).tolist())
    assert len(left_out) > 3
    assert [len(r) for r, _ in drawn([block], 8, shuffle=False)] == [8, 8, 8, 8, 1]
    assert [len(r) for r, _ in drawn([Block(np.arange(1), np.arange(9))], 8, shuffle=True)] == [1]


def test_order_depends_on_seed_and_epoch_alone():
    block = Block(np.arange(40), np.arange(30))

    def order(seed, epoch):
        out = drawn([block], 16, epoch, shuffle=True, seed=seed, cells_per_batch=10)
        return [np.concatenate([r for r, _ in out]).tolist(), np.concatenate([c for _, c in out]).tolist()]

    once = RegionBatches([block], 16, shuffle=True, seed=3, cells_per_batch=10)
    for epoch in range(3):  # a sampler that is used again, and one that starts there
        once.set_epoch(epoch)
        again = list(once)
        assert [np.concatenate([r for r, _ in again]).tolist()] == order(3, epoch)[:1]
        assert [np.concatenate([c for _, c in again]).tolist()] == order(3, epoch)[1:]
    assert order(3, 0)[0] != order(3, 1)[0]
    assert order(3, 0)[0] != order(4, 0)[0]
    assert order(3, 0)[1] != order(3, 1)[1]
    np.random.seed(0)  # the global generator plays no part
    assert order(3, 0) == order(3, 0)


def test_cells_are_drawn_anew_for_each_step():
    cells = np.arange(50, 80)
    out = drawn([Block(np.arange(320), cells)], 4, shuffle=True, cells_per_batch=6)
    for _, c in out:
        assert len(set(c.tolist())) == 6
        assert (np.diff(c) > 0).all()
        assert set(c.tolist()) <= set(cells.tolist())
    counts = np.bincount(np.concatenate([c for _, c in out]) - 50, minlength=30)
    assert counts.sum() == 80 * 6
    assert counts.min() > 0  # each cell has its turn; 16 are expected
    assert counts.max() < 40
    for at_least in (0, 30, 99):  # none, or all that there are
        whole = drawn([Block(np.arange(8), cells)], 4, shuffle=True, cells_per_batch=at_least)
        np.testing.assert_array_equal(whole[0][1], cells)


def test_blocks_come_one_after_the_other_and_empty_ones_not_at_all():
    none = np.arange(0)
    blocks = [Block(np.arange(5), np.arange(4)), Block(none, np.arange(4)), Block(np.arange(5), none)]
    blocks.append(Block(np.arange(10, 17), np.arange(4, 9)))
    out = drawn(blocks, 4, shuffle=False)
    assert [r.tolist() for r, _ in out] == [[0, 1, 2, 3], [4], [10, 11, 12, 13], [14, 15, 16]]
    assert [len(c) for _, c in out] == [4, 4, 5, 5]
    assert len(RegionBatches(blocks[1:3], 4, shuffle=False)) == 0


def test_a_loader_gives_whole_batches(dataset, truth):
    batches = RegionBatches([Block(np.arange(N_REGIONS), np.arange(0, 40))], 8, shuffle=True, seed=5)
    loader = batch_loader(dataset, batches)
    assert len(loader) == 5
    for batch, (regions, cells) in zip(loader, batches, strict=True):
        np.testing.assert_array_equal(batch.tokens, dataset.tokens[regions])
        np.testing.assert_array_equal(dense(batch.target, len(regions), 40), truth[np.ix_(regions, cells)])


# ---- the loss over them


def plain_loss(module, batch, y):
    """Cross entropy of every pair, from the dense matrix."""
    w = module.from_one_hot(F.one_hot(batch.tokens[:, 2:38].long(), 5)[..., :4].transpose(1, 2).float())
    x = module.cell_tower(batch.cells)
    depth = batch.depth if module.training else batch.predicted_depth
    logits = w[:, :5] @ x.T + w[:, 5:6] + w[:, 6:7] * depth
    return F.binary_cross_entropy_with_logits(logits, torch.from_numpy(y))


@pytest.mark.parametrize("block", [7, 1, 20, 10_000])
@pytest.mark.parametrize("training", [True, False])
def test_loss_is_the_plain_cross_entropy(dataset, truth, module, block, training):
    """In blocks over cells or at once, over some regions and some cells: value and gradients."""
    regions, cells = np.array([5, 1, 30, 8, 9, 12]), np.arange(3, 50, 2)
    batch, y = dataset[regions, cells], truth[np.ix_(regions, cells)]
    module.train(training)
    module.config = replace(module.config, block=block)
    got = module.loss(batch)
    own = torch.autograd.grad(got, list(module.parameters()))
    want = plain_loss(module, batch, y)
    plain = torch.autograd.grad(want, list(module.parameters()))
    torch.testing.assert_close(got, want, atol=1e-6, rtol=1e-5)
    for name, a, b in zip(dict(module.named_parameters()), own, plain, strict=True):
        torch.testing.assert_close(a, b, atol=2e-6, rtol=1e-4, msg=name)


def test_logits_by_hand(dataset, module):
    """``logit[r, c] = u[r] . v[c] + bias[r] + slope[r] * depth[c]``."""
    batch = dataset[np.arange(6), np.arange(10)]
    module.eval()
    with torch.no_grad():
        logits = module(batch)
        w, v = module.regions(batch.tokens), module.cells(batch.cells, batch.predicted_depth)
    assert logits.shape == (6, 10)
    assert w.shape == (6, 7)
    assert v.shape == (10, 7)
    assert (v[:, 5] == 1).all()
    torch.testing.assert_close(v[:, 6], batch.predicted_depth)
    u = w[:, :5]
    torch.testing.assert_close(w[:, 5:], u @ module.head.weight.T + module.head.bias)
    hand = (u[:, None] * v[None, :, :5]).sum(-1) + w[:, 5:6] + w[:, 6:7] * batch.predicted_depth
    torch.testing.assert_close(logits, hand)


def test_cell_tower_by_hand(module):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, 3)).astype(np.float32)
    norm, first, _, second = module.cell_tower
    z = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + norm.eps)
    z = z * norm.weight.detach().numpy() + norm.bias.detach().numpy()
    h = np.maximum(z @ first.weight.detach().numpy().T + first.bias.detach().numpy(), 0)
    want = h @ second.weight.detach().numpy().T + second.bias.detach().numpy()
    with torch.no_grad():
        got = module.eval().cells(torch.from_numpy(x), torch.zeros(4))
    np.testing.assert_allclose(got[:, :5], want, atol=1e-5)


def test_training_cells_are_given_their_own_or_their_predicted_depth(module):
    own, predicted = torch.zeros(4000), torch.ones(4000)
    for share in (0.0, 0.3, 1.0):
        module.config = replace(module.config, depth_mix=share)
        torch.manual_seed(0)
        mixed = module.mixed_depth(own, predicted)
        assert set(mixed.tolist()) <= {0.0, 1.0}
        assert abs(float(mixed.mean()) - share) < 0.03


def test_noise_is_added_to_cells_in_training_alone(module):
    module.config = replace(module.config, noise=0.01)
    seen = []
    module.cell_tower.register_forward_hook(lambda _m, given, _out: seen.append(given[0]))
    x, depth = torch.zeros(3000, 3), torch.zeros(3000)
    torch.manual_seed(0)
    module.train().cells(x, depth)
    module.eval().cells(x, depth)
    assert float(seen[0].std()) == pytest.approx(0.01, rel=0.05)
    assert torch.equal(seen[1], x)


class Largest(TorchDispatchMode):
    """Remembers the largest tensor that any operation makes."""

    def __init__(self):
        super().__init__()
        self.numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        sizes = [t.numel() for t in tree_flatten(out)[0] if isinstance(t, torch.Tensor)]
        self.numel = max([self.numel, *sizes])
        return out


def test_nothing_of_regions_x_cells_x_hidden_is_ever_made():
    """The largest tensor of a step is that of cells x hidden, not of regions x cells."""
    n_regions, n_cells, hidden, block = 64, 6000, 32, 50
    rng = np.random.default_rng(0)
    data = RegionCells(
        rng.integers(0, 4, (n_regions, 36)).astype(np.int8),
        sp.random(n_regions, n_cells, 0.05, "csr", dtype=np.float32, random_state=0),
        rng.normal(size=(n_cells, 3)).astype(np.float32),
        np.zeros(n_cells, np.float32),
        np.zeros(n_cells, np.float32),
        block=block,
    )
    module = XChromModule(XChromConfig(tower=TOWER, n_inputs=3, n_hidden=hidden, n_embed=5, block=block)).train()
    batch = data[np.arange(n_regions), np.arange(n_cells)]
    with Largest() as seen:
        module.loss(batch).backward()
    assert seen.numel == n_cells * hidden
    # and the cell tower, which is what grows with the cells, runs once
    runs = []
    module.cell_tower.register_forward_hook(lambda *_: runs.append(1))
    module.loss(batch)
    assert len(runs) == 1


def test_regions_alone_are_what_costs_without_cells():
    """Fewer cells: nothing is larger than the activations of the sequence tower."""
    rng = np.random.default_rng(0)
    data = RegionCells(
        rng.integers(0, 4, (64, 36)).astype(np.int8),
        sp.random(64, 40, 0.1, "csr", dtype=np.float32, random_state=0),
        rng.normal(size=(40, 3)).astype(np.float32),
        np.zeros(40, np.float32),
        np.zeros(40, np.float32),
    )
    module = XChromModule(XChromConfig(tower=TOWER, n_inputs=3, n_hidden=8, n_embed=5)).train()
    with Largest() as seen:
        module.loss(data[np.arange(64), np.arange(40)]).backward()
    assert seen.numel == 64 * 6 * 36  # regions x stem filters x bases
