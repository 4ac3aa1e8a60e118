"""What tests of both kinds of towers need."""

from __future__ import annotations

import torch

from chromatell.nn.sequence_tower import TowerConfig

SMALL = TowerConfig(
    sequence_length=48, stem_filters=6, stem_kernel=5, stem_pool=3, filters=(7, 8), last_filters=5, n_bottleneck=4
)


def running_statistics(module: torch.nn.Module, seed: int = 0) -> None:
    """Give every batch norm statistics of its own: fresh ones hide a mistake."""
    generator = torch.Generator().manual_seed(seed)
    for layer in module.modules():
        if isinstance(layer, torch.nn.BatchNorm1d):
            layer.running_mean.copy_(torch.randn(layer.num_features, generator=generator) * 0.3)
            layer.running_var.copy_(torch.rand(layer.num_features, generator=generator) + 0.5)
