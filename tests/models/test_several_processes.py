"""Two processes that share each batch, over gloo on one machine, train what one process trains."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import numpy as np
import pytest
import torch
from tests.models import tiny_families as tiny
from torch import nn

from chromatell._rows import DiskMatrix, matrix
from chromatell.data.sampler import Pick
from chromatell.models._plan import PartsOfBatches, SomeBatches
from chromatell.nn import ranks

# Largest relative difference of losses. It is rounding alone, but where batch norm takes out what a bias before it
# says: that bias has rounding for a gradient, Adam makes steps of it, and the running means follow.
TOLERANCE = dict.fromkeys(tiny.IN_TWO, 1e-5) | {"dense-dice": 1e-4, "xchrom-basset": 2e-3}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    tiny.write_cells(folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "NODE_RANK": "0"}
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", tiny.__file__, str(folder)],
        env=env,
        timeout=400,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-4000:]
    (folder / "said").write_text(ran.stderr)
    return folder


def of_ranks(folder, name):
    return [dict(np.load(folder / f"{name}.{rank}.npz")) for rank in (0, 1)]


@pytest.mark.parametrize("name", tiny.IN_TWO)
def test_two_processes_equal_one(folder, name):
    one = tiny.train(name, **tiny.IN_TWO[name])
    first, second = of_ranks(folder, name)
    losses = {key: np.array(value) for key, value in one.history.items()}
    assert set(losses) == {"train_loss", "validation_loss"}
    for key, value in losses.items():
        assert first[f"history.{key}"].shape == value.shape  # epochs; early stopping among them
        np.testing.assert_allclose(first[f"history.{key}"], value, rtol=TOLERANCE[name], err_msg=key)
    assert set(first) == set(second)
    for key, value in first.items():
        np.testing.assert_array_equal(value, second[key], err_msg=key)  # all processes hold the same model
    np.testing.assert_allclose(first["predicted"], tiny.predicted(one), atol=max(1e-5, TOLERANCE[name]))


def test_ranks_that_see_other_files_are_told_so_on_each(folder):
    said = [(folder / f"differs.{rank}").read_text() for rank in (0, 1)]
    assert said[0] == said[1]
    assert "rank 1 has, beside rank 0, other data. Open the same file" in said[0]


@pytest.mark.parametrize("name", tiny.ON_DISK)
def test_cells_on_disk_were_read_there(folder, name):
    model = tiny.ON_DISK[name]()
    assert all(isinstance(matrix(model._adata.mod[mod]), DiskMatrix) for mod in ("rna", "atac"))


def test_early_stopping_was_tried():
    assert len(tiny.train("dense", **tiny.IN_TWO["dense"]).history["train_loss"]) < tiny.EPOCHS


@pytest.mark.parametrize("name", tiny.RESUMED)
def test_stopped_and_resumed_in_two_processes_equals_not_stopped(folder, name):
    for a, b in zip(of_ranks(folder, name), of_ranks(folder, f"resumed-{name}"), strict=True):
        assert set(a) == set(b)
        for key, value in a.items():
            np.testing.assert_array_equal(b[key], value, err_msg=key)
    assert [p.name for p in (folder / f"resumed-{name}").iterdir()] == ["last.ckpt"]


def test_one_process_speaks_and_writes(folder):
    said = (folder / "said").read_text()
    assert said.count("Epoch 1 of 3 is in") == len(tiny.RESUMED)
    stores = [dict(np.load(folder / f"store.{rank}.npz")) for rank in (0, 1)]
    np.testing.assert_array_equal(stores[0]["values"], stores[1]["values"])
    assert stores[0]["hash"] == stores[1]["hash"]


def test_parts_cover_a_batch_and_whole_batches_take_turns():
    batches = [np.arange(7), np.arange(2), np.arange(1)]
    parts = [list(PartsOfBatches(batches, rank, 2)) for rank in (0, 1)]
    assert [p.tolist() for p in parts[0]] == [[0, 2, 4, 6], [0], [0]]
    assert [p.tolist() for p in parts[1]] == [[1, 3, 5], [1], [0]]  # one row: both take it, which is the same mean
    batch = Pick(np.arange(10), np.array([4, 2, 9]), block=3)  # blocks 0-2 and 6-8, and 3-5 and 9
    (part,) = PartsOfBatches([batch], 1, 2)
    assert part.rows.tolist() == [4, 9]
    assert part.buffer.tolist() == [3, 4, 5, 9]
    turns = [SomeBatches(batches, rank, 2) for rank in (0, 1)]
    assert [[len(b) for b in turn] for turn in turns] == [[7, 1], [2]]
    assert [len(turn) for turn in turns] == [2, 1]


def test_parts_of_sentences_are_those_of_the_batch():
    model = tiny.MODELS["atacformer-contrastive"]()
    model._fit_stats(model._adata, 0)
    model._build()
    loader = model._loader(model._adata, "train", 0)
    rows, entropy = next(iter(loader.sampler))
    whole = loader.dataset[rows, entropy]
    parts = [loader.dataset[rows, entropy, (rank, 3)] for rank in range(3)]
    assert sum(len(p) for p in parts) == len(whole)
    assert sum(len(p.tokens) for p in parts) == len(whole.tokens)
    for rank, part in enumerate(parts):
        np.testing.assert_array_equal(part.lengths, whole.lengths[rank::3])
        np.testing.assert_array_equal(part.labels, whole.labels[rank::3])
        sentences = [s.tolist() for s in whole.tokens.split(whole.lengths.tolist())][rank::3]
        assert [s.tolist() for s in part.tokens.split(part.lengths.tolist())] == sentences
        mine = whole.asked.cell % 3 == rank
        np.testing.assert_array_equal(part.asked.bin, whole.asked.bin[mine])
        np.testing.assert_array_equal(part.asked.cell, whole.asked.cell[mine] // 3)
        changed, all_changed = part.positive, whole.positive
        by_cell = [s.tolist() for s in all_changed.sentences.tokens.split(all_changed.sentences.lengths.tolist())]
        own = [s.tolist() for s in changed.sentences.tokens.split(changed.sentences.lengths.tolist())]
        assert [own[i] for i in changed.place] == [by_cell[i] for i in all_changed.place[rank::3]]
    asked = sum(len(p.positive.state) for p in parts)
    assert asked == len(whole.positive.state)


def test_batch_norm_is_that_of_torch_in_one_process():
    torch.manual_seed(0)
    ours, theirs = ranks.BatchNorm(5), nn.BatchNorm1d(5)
    x = torch.randn(8, 5, 3)
    for _ in range(2):
        torch.testing.assert_close(ours(x), theirs(x))
    assert list(ours.state_dict()) == list(theirs.state_dict())
    torch.testing.assert_close(ours.running_var, theirs.running_var)
