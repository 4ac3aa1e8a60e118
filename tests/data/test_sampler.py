"""Order of cells on disk."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import chromatell as ctl
from chromatell._rows import matrix
from chromatell.data.accessibility import open_matrix
from chromatell.data.cells import CellDataset, CellInput, cell_loader
from chromatell.data.expression import Expression
from chromatell.data.sampler import BlockBatches, RowBatches


def on_disk(x, folder):
    folder.mkdir(exist_ok=True)
    ad.AnnData(x).write_h5ad(folder / "a.h5ad")
    return ad.read_h5ad(folder / "a.h5ad", backed="r")


def epoch_of(batches, epoch):
    batches.set_epoch(epoch)
    return list(batches)


@pytest.mark.parametrize(("n", "size"), [(1000, 32), (97, 32), (5, 32), (1000, 333)])
def test_every_cell_comes_once_an_epoch_out_of_its_buffer(n, size):
    batches = BlockBatches(n, size, seed=0, block=8, buffer=130)
    picks = epoch_of(batches, 0)
    rows = np.concatenate([p.rows for p in picks])
    assert len(picks) == len(batches)
    assert len(rows) == n - (n % size == 1)
    assert len(np.unique(rows)) == len(rows)
    for pick in picks:
        assert np.isin(pick.rows, pick.buffer).all()
        assert (np.diff(pick.buffer) > 0).all()
        assert len(pick.buffer) <= max(130, size)


def test_a_last_batch_of_one_is_left_out():
    picks = epoch_of(BlockBatches(33, 8, seed=0, block=4, buffer=16), 0)
    assert [len(p.rows) for p in picks] == [8, 8, 8, 8]


def test_order_depends_on_seed_and_epoch_alone():
    first = [p.rows for p in epoch_of(BlockBatches(300, 16, seed=1), 3)]
    again = BlockBatches(300, 16, seed=1)
    epoch_of(again, 0)
    second = [p.rows for p in epoch_of(again, 3)]
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
    for other in (epoch_of(again, 4), epoch_of(BlockBatches(300, 16, seed=2), 3)):
        assert (np.concatenate([p.rows for p in other]) != np.concatenate(first)).mean() > 0.9


def test_buffer_is_made_of_blocks_that_lie_apart():
    picks = epoch_of(BlockBatches(100_000, 64, seed=0, block=50, buffer=640), 0)
    runs = np.split(picks[0].buffer, np.flatnonzero(np.diff(picks[0].buffer) > 1) + 1)
    assert len(runs) >= 12
    assert all(len(r) <= 100 for r in runs)
    spread = [np.ptp(p.rows) for p in picks]
    assert np.median(spread) > 60_000  # a batch reaches over most of the data
    assert np.mean([len(np.unique(p.rows // 50)) for p in picks[:-1]]) > 9  # and mixes the blocks of its buffer


@pytest.mark.parametrize("n_ranks", [2, 3])
def test_ranks_share_each_batch_and_read_blocks_of_their_own(n_ranks):
    for pick in epoch_of(BlockBatches(1003, 32, seed=0, block=8, buffer=128), 5):
        parts = [pick.part(rank, n_ranks) for rank in range(n_ranks)]
        assert sorted(np.concatenate([p.rows for p in parts])) == sorted(pick.rows)
        assert sorted(np.concatenate([p.buffer for p in parts])) == sorted(pick.buffer)
        owners = [set(p.buffer // 8) for p in parts]
        assert len(set().union(*owners)) == sum(map(len, owners))  # no block is read twice
        assert all(len(p.rows) for p in parts)
        if len(pick.rows) == 32:
            assert all(np.isin(p.rows, p.buffer).all() for p in parts)


def test_a_batch_in_one_block_is_shared_in_turn():
    pick = BlockBatches(8, 3, seed=0, block=8, buffer=8)
    for whole in epoch_of(pick, 0):
        first, second = (whole.part(rank, 2) for rank in (0, 1))
        assert first.rows.tolist() == whole.rows[::2].tolist()
        assert second.rows.tolist() == (whole.rows[1::2] if len(whole.rows) > 1 else whole.rows).tolist()
        assert len(second.buffer) == 0


@pytest.mark.parametrize("held", ["targets and expression", "expression", "nothing"])
def test_batches_from_disk_equal_those_in_memory(tmp_path, monkeypatch, held):
    """What is not held is read buffer by buffer, each once."""
    mdata = ctl.datasets.simulate_multiome(200, 30, 40, seed=0)
    if held == "nothing":
        monkeypatch.setattr("chromatell.data.cells._CACHE_BYTES", 0)
    expression = Expression.fit(mdata["rna"].X, mdata["rna"].var_names)
    depth = np.zeros(200, dtype=np.float32)
    data, reads = [], []
    for source in (mdata, {k: on_disk(mdata.mod[k].X, tmp_path / k) for k in ("rna", "atac")}):
        x, y = matrix(source["rna"]), open_matrix(source["atac"], lazy=True)
        inputs = CellInput(x, expression)
        if held == "expression":
            monkeypatch.setattr("chromatell.data.cells._CACHE_BYTES", 0)
        data.append(CellDataset(inputs, y, depth, block=16))
    assert data[1].on_disk == (held != "targets and expression")
    atac = y.source
    atac.read = lambda a, b, inner=atac.read: reads.append((a, b)) or inner(a, b)
    picks = list(BlockBatches(200, 16, seed=0, block=8, buffer=64))
    for pick in picks:
        memory, disk = (d[pick] for d in data)
        np.testing.assert_array_equal(memory.x, disk.x)
        np.testing.assert_array_equal(memory.covariates, disk.covariates)
        for i in range(3):
            np.testing.assert_array_equal(memory.target.block(i, 40), disk.target.block(i, 40))
    n_buffers = len({p.buffer.tobytes() for p in picks})
    assert n_buffers == 4
    assert len(reads) <= (n_buffers * 2 if data[1].on_disk else 0)  # few intervals, not one for each batch
    np.testing.assert_array_equal(data[1][[150, 3]].target.block(0, 40), data[0][[150, 3]].target.block(0, 40))


def test_cells_in_memory_are_drawn_one_by_one_and_those_on_disk_in_blocks(tmp_path, monkeypatch):
    y = sp.random(300, 20, 0.3, format="csr", random_state=0)
    expression = Expression.fit(y, pd.Index([f"g{i}" for i in range(20)]))
    disk = matrix(on_disk(y, tmp_path))
    needed = 12 * y.nnz * 2  # half of the bound is for targets
    for stored, bound, order, wanted in (
        (y, 0, "auto", RowBatches),
        (y, 0, "blocks", BlockBatches),
        (disk, needed - 1, "auto", BlockBatches),
        (disk, needed - 1, "cells", RowBatches),
        (disk, needed, "auto", RowBatches),
        (disk, needed, "blocks", BlockBatches),
    ):
        monkeypatch.setattr("chromatell.data.cells._CACHE_BYTES", bound)
        dataset = CellDataset(CellInput(y, expression), stored, np.zeros(300, dtype=np.float32), block=16)
        assert type(cell_loader(dataset, 32, shuffle=True, seed=0, order=order).sampler) is wanted
        assert type(cell_loader(dataset, 32, shuffle=False, seed=0, order=order).sampler) is RowBatches


def test_the_epoch_may_be_set_once_the_iterator_is_made():
    """Lightning makes the iterator first where a run resumes."""
    early, late = RowBatches(50, 10, shuffle=True, seed=1), RowBatches(50, 10, shuffle=True, seed=1)
    late.set_epoch(3)
    batches = iter(early)
    early.set_epoch(3)
    np.testing.assert_array_equal(np.concatenate(list(batches)), np.concatenate(list(late)))
