"""A step on a device waits for nothing and mixes no devices, as far as a machine without one can tell.

Tensors of the `meta` device have shapes but no values: what asks for a value (`.item()`, `nonzero`, `repeat_interleave`
of unknown length), or brings a CPU tensor into an operation, raises there. On a GPU the first would wait for all work
that is queued, the second would fail. `encoder="shared"` is not here: torch has no sparse product on `meta`.
"""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from chromatell.data.cells import CellBatch
from chromatell.data.sequences import RegionBatch
from chromatell.data.targets import sparse_target
from chromatell.models.atacformer._batch import Asked, SentenceBatch
from chromatell.models.atacformer._module import AtacFormerConfig, AtacFormerModule
from chromatell.models.dense._module import DenseConfig, DenseModule
from chromatell.models.xchrom._module import XChromConfig, XChromModule
from chromatell.nn.losses import LossConfig
from chromatell.nn.sequence_tower import TowerConfig

CELLS, GENES, REGIONS, BLOCK = 12, 9, 40, 16


def dense_batch(rng, n_pcs: int) -> CellBatch:
    y = sp.random(CELLS, REGIONS, 0.2, format="csr", dtype=np.float32, random_state=0)
    y.data[:] = 1
    genes = torch.from_numpy(rng.normal(size=(CELLS, GENES)).astype(np.float32))
    return CellBatch(
        x=genes[:, : n_pcs or GENES].contiguous(),
        genes=genes,
        covariates=torch.zeros(CELLS, 2),
        depth=torch.zeros(CELLS),
        target=sparse_target(y, BLOCK),
    )


def dense_module(**options) -> DenseModule:
    config = DenseConfig(n_genes=GENES, n_regions=REGIONS, block=BLOCK, n_hidden=8, n_latent=4, **options)
    gene, region = torch.arange(REGIONS) % GENES, torch.arange(REGIONS)
    return DenseModule(config, torch.zeros(REGIONS), 1.0, (gene, region))


@pytest.mark.parametrize(
    "options",
    [
        {"encoder": "autoencoder", "n_pcs": 4, "n_members": 2},
        {"encoder": "mlp", "n_members": 2, "shared_head": True, "depth_hidden": 0},
        {"encoder": "transformer"},
        {"encoder": "mlp", "linked_genes": True},
        {"encoder": "mlp", "likelihood": "poisson", "loss": LossConfig("poisson")},
        {"encoder": "mlp", "loss": LossConfig("focal_dice", focal_alpha=0.25)},
    ],
    ids=["autoencoder", "shared head", "transformer", "linked", "poisson", "focal"],
)
def test_a_step_of_dense(options, rng):
    module, batch = dense_module(**options).train(), dense_batch(rng, options.get("n_pcs", 0))
    on_cpu = module.loss(batch)
    on_cpu.backward()
    trained = {name for name, p in module.named_parameters() if p.grad is not None}
    module.zero_grad()
    module, batch = module.to("meta"), batch.to("meta")
    loss = module.loss(batch)
    loss.backward()
    assert loss.device.type == "meta"
    assert {name for name, p in module.named_parameters() if p.grad is not None} == trained
    assert all(p.grad.device.type == "meta" for p in module.parameters() if p.grad is not None)


def test_a_step_of_xchrom(rng):
    tower = TowerConfig(
        sequence_length=36, stem_filters=6, stem_kernel=5, filters=(6,), last_filters=4, n_bottleneck=5, max_shift=0
    )
    module = XChromModule(XChromConfig(tower=tower, n_inputs=3, n_hidden=6, n_embed=5, block=BLOCK)).train()
    y = sp.random(8, CELLS, 0.3, format="csr", dtype=np.float32, random_state=0)
    batch = RegionBatch(
        tokens=torch.from_numpy(rng.integers(0, 4, (8, 36)).astype(np.int8)),
        cells=torch.zeros(CELLS, 3),
        depth=torch.zeros(CELLS),
        predicted_depth=torch.zeros(CELLS),
        target=sparse_target(y, BLOCK),
    )
    module, batch = module.to("meta"), batch.to("meta")
    loss = module.loss(batch)
    loss.backward()
    assert loss.device.type == "meta"
    assert all(p.grad is not None for p in module.tower.parameters() if p.requires_grad)


@pytest.mark.parametrize("eos", ["inside", "outside", "both"])
def test_a_step_of_atacformer(eos, rng):
    """On the device lengths of sentences and what is asked are tensors; how long each is, the host knows."""
    n_bins, n_eos = 40, 3
    n_tokens = n_bins + 3 + n_eos
    config = AtacFormerConfig(
        n_bins=n_bins, n_tokens=n_tokens, n_eos=n_eos, k=8, d=16, n_heads=4, n_hidden=32, n_layers=1, eos=eos
    )
    module = AtacFormerModule(config, {"chrom": torch.arange(n_bins) % n_eos}, torch.zeros(n_bins), 7.0).train()
    last = [] if eos == "outside" else list(range(n_bins + 3, n_tokens))
    whole = [[n_bins + 1, *rng.choice(n_bins, n, replace=False), *last] for n in (2, 5, 5)]
    cell, bins = torch.arange(3).repeat_interleave(4), torch.arange(12)
    batch = SentenceBatch(
        tokens=torch.tensor([t for s in whole for t in s]),
        lengths=torch.tensor([len(s) for s in whole]),
        n_seen=torch.ones(3),
        n_removed=torch.ones(3),
        asked=Asked(cell, bins, bins % 3, torch.zeros(12, 3)),
    )
    module.loss(batch).backward()
    trained = {name for name, p in module.named_parameters() if p.grad is not None}
    module.zero_grad()
    module, batch = module.to("meta"), batch.to("meta")
    assert batch.sizes == [len(s) for s in whole]
    module.loss(batch).backward()
    assert {name for name, p in module.named_parameters() if p.grad is not None} == trained


def test_what_waits_or_mixes_is_noticed():
    """That the test can fail: each of these would wait on a GPU, or fail there."""
    x = torch.zeros(4, device="meta")
    for wrong in (
        lambda: float(x.sum()),
        lambda: x.nonzero(),
        lambda: torch.repeat_interleave(torch.zeros(4, dtype=torch.long, device="meta")),
        lambda: x + torch.ones(4),
    ):
        with pytest.raises((RuntimeError, NotImplementedError)):
            wrong()
