"""Predictions and training steps of all four families on a device, as far as a machine without one can tell.

As in `test_no_wait`, the device is `meta`: what reads a value, or brings in a tensor of another device, raises. A
prediction must come back to the host in the end: `.cpu()` is replaced, gives zeros, and the place is noted. Types are
mixed where autocast of the CPU says so, which has bfloat16 in the same places as that of a GPU.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import traceback

import numpy as np
import pytest
import torch
from lightning.fabric.utilities.apply_func import move_data_to_device
from tests.models import tiny_families as tiny

PUBLISHED = {"preset": "xchrom", "stem_filters": 4, "filters": (4, 4)}
# a stack may give a network of one epoch no weight, and then it is not asked
FAMILIES = {
    "dense": (tiny.dense, {"stack": False}, tiny.cells),
    "dense, transformer": (tiny.dense, {"encoder": "transformer", "stack": False}, tiny.cells),
    "xchrom": (tiny.xchrom, {}, tiny.sequences),
    "xchrom, published": (tiny.xchrom, PUBLISHED, tiny.sequences),
    "atacformer": (tiny.atacformer, {}, tiny.cells),
    "atacformer, contrastive": (tiny.atacformer, {"contrastive": True}, tiny.cells),
    "nascent": (tiny.nascent, tiny.CNN, tiny.tracks),
}
# Each brings home what it predicted, a block at a time, and nothing else waits.
WAITS = {
    "dense": {"decode_blocks"},
    "xchrom": {"cell_vectors", "probabilities"},  # the vectors of all cells, then blocks of their products with regions
    "atacformer": {"probabilities"},
    "nascent": {"predict"},
}


@pytest.fixture(autouse=True)
def no_autocast_of_meta(monkeypatch):
    """There is none, and to turn it off is an error."""
    autocast = torch.autocast

    def chosen(device_type: str, **options):
        return contextlib.nullcontext() if device_type == "meta" else autocast(device_type, **options)

    monkeypatch.setattr(torch, "autocast", chosen)


@functools.cache
def trained(name: str) -> tuple:
    """Return a trained model, the last batch that it was trained on, and data that it predicts."""
    make, options, data = FAMILIES[name]
    model, seen = make(**options), []
    model.train(max_epochs=1, seed=0)  # makes the network
    kind = type(model.module)
    loss = kind.loss
    try:
        kind.loss = lambda self, batch: (seen.append(batch) if self.training else None, loss(self, batch))[1]
        model.train(max_epochs=1, seed=0)
    finally:
        kind.loss = loss
    return model, seen[-1], data()


@pytest.mark.parametrize("name", FAMILIES)
def test_a_prediction_waits_where_it_comes_home(name, monkeypatch):
    model, _, data = trained(name)
    model = copy.copy(model)
    model.module = copy.deepcopy(model.module).to("meta")
    waits = set()

    def cpu(self: torch.Tensor) -> torch.Tensor:
        assert self.device.type == "meta"
        waits.add(next(f.name for f in reversed(traceback.extract_stack()) if "/chromatell/models/" in f.filename))
        return torch.zeros(self.shape, dtype=self.dtype)

    monkeypatch.setattr(torch.Tensor, "cpu", cpu)
    model.predict(data)
    assert waits == WAITS[model.family]


@pytest.mark.parametrize("name", FAMILIES)
def test_a_step_waits_for_nothing(name):
    model, batch, _ = trained(name)
    on_cpu = copy.deepcopy(model.module).train()
    on_cpu.loss(batch).backward()
    module = copy.deepcopy(model.module).train().to("meta")
    loss = module.loss(move_data_to_device(batch, torch.device("meta")))
    loss.backward()
    assert loss.device.type == "meta"
    for (key, own), (_, other) in zip(module.named_parameters(), on_cpu.named_parameters(), strict=True):
        assert (own.grad is None) == (other.grad is None), key


@pytest.mark.parametrize("name", FAMILIES)
def test_a_step_in_bfloat16_mixes_no_types(name):
    model, batch, _ = trained(name)
    module = copy.deepcopy(model.module).train()
    losses = []
    for enabled in (False, True):
        torch.manual_seed(0)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            loss = module.loss(batch)
        loss.backward()
        losses.append(float(loss.detach()))
        assert loss.dtype == torch.float32
    assert all(p.dtype == p.grad.dtype == torch.float32 for p in module.parameters() if p.grad is not None)
    assert all(bool(p.grad.isfinite().all()) for p in module.parameters() if p.grad is not None)
    np.testing.assert_allclose(losses[1], losses[0], rtol=0.05)
