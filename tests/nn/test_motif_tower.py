"""The tower of motif detectors: composition, detectors and weights of positions by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.nn.made_towers import SMALL, running_statistics

from chromatell.models.xchrom._module import XChromConfig, XChromModule
from chromatell.nn.sequence_tower import (
    BassetTower,
    Composition,
    MotifTower,
    TowerConfig,
    centre,
    one_hot,
    sequence_tower,
)

MOTIFS = TowerConfig(
    kind="motifs",
    sequence_length=48,
    stem_filters=6,
    stem_kernel=7,
    stem_pool=8,
    hidden_filters=5,
    n_bottleneck=4,
    dropout=0.0,
)


def motif_tower(config: TowerConfig = MOTIFS) -> MotifTower:
    """With statistics, weights of positions and of composition of its own: fresh ones hide a mistake."""
    torch.manual_seed(0)
    tower = MotifTower(config).eval()
    running_statistics(tower)
    torch.nn.init.normal_(tower.place)
    torch.nn.init.normal_(tower.straight.weight)
    return tower


def test_the_kind_that_was_asked_for():
    assert isinstance(sequence_tower(SMALL), BassetTower)
    assert isinstance(sequence_tower(MOTIFS), MotifTower)
    n = sum(p.numel() for p in sequence_tower(MOTIFS).parameters())
    assert n == 6 * 4 * 7 + 2 * 6 + 6 * 5 + 2 * 5 + 6 + (5 * 4 + 4) + 4 * 4


def test_composition_by_hand():
    sequences = [[1, 2, 1, 2, 0, 3, 0, 4], [1] * 8, [0, 3] * 4, [2, 1] * 4]
    got = Composition()(one_hot(torch.tensor(sequences, dtype=torch.int8)))
    want = [[4 / 8, 2 / 7, 0.05, 0], [1, 0, 0.55, 0.45], [0, 0, 0, 0], [1, 3 / 7, 0.55, 0.45]]
    np.testing.assert_allclose(got, want, atol=1e-6)


@pytest.mark.parametrize(("width", "pool", "length"), [(7, 8, 48), (6, 8, 48), (7, 5, 48), (5, 1, 47)])
def test_motif_detectors_by_hand(tokens, width, pool, length):
    """Best match of either strand in each interval, read together, summed over positions; and composition."""
    tower = motif_tower(replace(MOTIFS, stem_kernel=width, stem_pool=pool, sequence_length=length))
    x = one_hot(tokens[:, :length])
    with torch.no_grad():
        got = tower(x).numpy()
    weight, side, n = tower.scan.weight.detach().numpy(), width // 2, length // pool
    skip = (length - n * pool) // 2
    inner = x.numpy()[:, :, skip : skip + n * pool]
    best = []
    for strand in (inner, inner[:, ::-1, ::-1]):
        padded = np.pad(strand, ((0, 0), (0, 0), (side, side)))
        score = [np.einsum("nik,oik->no", padded[:, :, i : i + width], weight) for i in range(n * pool)]
        best.append(np.stack(score, 2).reshape(len(x), 6, n, pool).max(3))
    h = np.maximum(best[0], best[1][:, :, ::-1])

    def norm_and_gelu(h, layer):
        z = (h - layer.running_mean.numpy()[:, None]) / np.sqrt(layer.running_var.numpy() + layer.eps)[:, None]
        z = z * layer.weight.detach().numpy()[:, None] + layer.bias.detach().numpy()[:, None]
        return z / (1 + np.exp(-1.702 * z))

    h = norm_and_gelu(h, tower.hidden[0])
    h = norm_and_gelu(np.einsum("ncp,oc->nop", h, tower.hidden[2].weight.detach().numpy()[:, :, 0]), tower.hidden[3])
    place = tower.place.detach().numpy()
    weights = np.exp((place + place[::-1]) / 2)
    h = (h * (weights / weights.sum())).sum(2) @ tower.last.weight.detach().numpy().T + tower.last.bias.detach().numpy()
    with torch.no_grad():
        h += (tower.composition(x) @ tower.straight.weight.T).numpy()
    np.testing.assert_allclose(got, h, atol=1e-4)


@pytest.mark.parametrize(("width", "pool"), [(7, 8), (6, 8), (7, 5)])
def test_motif_detectors_read_both_strands_alike(tokens, width, pool):
    config = replace(MOTIFS, stem_kernel=width, stem_pool=pool)
    config = replace(config, sequence_length=48 if pool == 8 else 50)
    tower = motif_tower(config)
    x = one_hot(tokens[:, : config.sequence_length])
    with torch.no_grad():
        torch.testing.assert_close(tower(x.flip((1, 2))), tower(x), atol=1e-5, rtol=1e-5)
        alone = torch.cat([tower(x[i : i + 1]) for i in range(len(x))])
        torch.testing.assert_close(alone, tower(x), atol=1e-5, rtol=1e-5)
    module = XChromModule(XChromConfig(tower=config, n_inputs=3, n_embed=2)).eval()
    assert not module.config.tower.turns_strands
    with torch.no_grad():
        window = centre(tokens, config.sequence_length)
        torch.testing.assert_close(module.regions(tokens), module.from_one_hot(one_hot(window)))


def test_where_a_motif_lies_counts_as_the_weights_of_positions_say(tokens):
    tower = motif_tower()
    tower.straight.weight.data.zero_()
    unknown = torch.full((5, 48), 4, dtype=torch.int8)
    here, there = unknown.clone(), unknown.clone()
    here[:, 9:14], there[:, 25:30] = tokens[:5, :5], tokens[:5, :5]

    def apart() -> float:
        with torch.no_grad():
            return float((tower(one_hot(here)) - tower(one_hot(there))).abs().max())

    assert apart() > 1e-3
    tower.place.data.zero_()  # as at the start: every position counts alike
    assert apart() < 1e-5


def test_gradients_reach_every_weight_of_the_motif_detectors(tokens):
    tower = MotifTower(MOTIFS).train()
    tower(one_hot(tokens[:, :48])).square().sum().backward()
    for name, weight in tower.named_parameters():
        assert weight.grad is not None, name
        assert torch.isfinite(weight.grad).all(), name
