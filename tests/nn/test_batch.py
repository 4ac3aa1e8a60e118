"""Batches move to a device as one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from chromatell.nn.batch import Batch


@dataclass(frozen=True)
class Inner(Batch):
    x: Tensor


@dataclass
class Outer(Batch):
    x: Tensor
    inner: Inner | None = None
    name: str = "a"


def test_all_tensors_move_and_the_rest_stays():
    batch = Outer(torch.ones(2), Inner(torch.ones(3)), "b")
    moved = batch.to("meta", non_blocking=True)
    assert isinstance(moved, Outer)
    assert [moved.x.device.type, moved.inner.x.device.type] == ["meta", "meta"]
    assert moved.name == "b"
    assert batch.x.device.type == "cpu"  # the first is as it was
    assert Outer(torch.ones(2)).to("meta").inner is None
