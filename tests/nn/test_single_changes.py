"""Single-base changes, of which only what they reach is computed, against reading every changed sequence whole."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from chromatell.nn.ranks import BatchNorm
from chromatell.nn.region_side import RegionSide, RegionSideConfig
from chromatell.nn.sequence_tower import TowerConfig, one_hot, reverse_complement
from chromatell.nn.single_changes import change_effects

SMALL = {"stem_filters": 8, "filters": (6, 8, 7), "last_filters": 4, "hidden_filters": 9, "dropout": 0.3}
SIDES = {
    "basset": ({"sequence_length": 60, "stem_kernel": 7, "kernel": 3}, {}),
    "basset, mean pooling, no last": ({"sequence_length": 61, "pool": "mean", "last_filters": 0}, {}),
    "basset, even kernels": ({"sequence_length": 70, "stem_kernel": 4, "kernel": 6, "gelu_after": False}, {}),
    "motifs": ({"kind": "motifs", "sequence_length": 48, "stem_kernel": 5, "stem_pool": 8}, {}),
    "motifs, even": ({"kind": "motifs", "sequence_length": 53, "stem_kernel": 6, "stem_pool": 4}, {}),
    "motifs, long kernel": ({"kind": "motifs", "sequence_length": 40, "stem_kernel": 19, "stem_pool": 3}, {}),
    "motifs, GC and CpG": ({"kind": "motifs", "sequence_length": 32, "stem_kernel": 5, "stem_pool": 4},
                           {"covariate_length": 51}),
    "motifs, hits of motifs": ({"kind": "motifs", "sequence_length": 40, "stem_kernel": 5, "stem_pool": 4},
                               {"covariate_length": 30, "n_motifs": 3, "motif_width": 6}),
}  # fmt: skip


# torch copies its input where a kernel is even, and says so
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")


@pytest.fixture(params=SIDES)
def side(request) -> RegionSide:
    """A side whose weights are all drawn at random, the statistics of its batch norms too."""
    tower, beside = SIDES[request.param]
    tower = TowerConfig(**{**SMALL, **tower})
    tower = replace(tower, n_bottleneck=5 if tower.is_bounded else 7)
    config = RegionSideConfig(tower=tower, n_embed=5, **beside)
    torch.manual_seed(0)
    side = RegionSide(config)
    with torch.no_grad():
        for own in (*side.parameters(), *(b for b in side.buffers() if b.dtype == torch.float32)):
            own.normal_()
        for layer in side.modules():
            if isinstance(layer, BatchNorm):
                layer.running_var.uniform_(0.5, 2)
        if side.covariates is not None:
            side.covariates.sd.uniform_(0.05, 0.5)
    return side.eval()


@torch.no_grad()
def one_by_one(side: RegionSide, tokens: torch.Tensor, part: slice, both: bool) -> np.ndarray:
    def vectors(sequences):
        w = side.from_one_hot(one_hot(sequences))
        return (w + side.from_one_hot(one_hot(reverse_complement(sequences)))) / 2 if both else w

    found = torch.zeros(len(tokens), 4, part.stop - part.start, side.config.n_vector)
    for r, row in enumerate(tokens):
        for i in range(part.start, part.stop):
            changed = row.repeat(4, 1)
            changed[:, i] = torch.arange(4)
            found[r, :, i - part.start] = vectors(changed) - vectors(row[None])
    return found.numpy()


@pytest.mark.parametrize("both", [False, True])
def test_every_change_is_that_of_the_whole_sequence(side, both):
    length = side.config.read_length
    rng = np.random.default_rng(1)
    tokens = torch.from_numpy(rng.integers(0, 4, (3, length)).astype(np.int8))
    tokens[1, [0, length // 2, length - 1]] = 4
    tokens[2] = 1  # of one base: GC of 1, and no neighbour to hide behind
    expected = one_by_one(side, tokens, slice(0, length), both)
    size = np.abs(expected).max()
    assert size > 0.1
    for batch_size in (1, 7, 64):
        found = change_effects(side, tokens, slice(0, length), both=both, batch_size=batch_size).numpy()
        np.testing.assert_allclose(found, expected, atol=1e-5 * size)


def test_a_part_is_that_of_the_whole(side):
    length = side.config.read_length
    tokens = torch.from_numpy(np.random.default_rng(2).integers(0, 4, (2, length)).astype(np.int8))
    whole = change_effects(side, tokens, slice(0, length), both=True, batch_size=64)
    part = change_effects(side, tokens, slice(9, 20), both=True, batch_size=64)
    np.testing.assert_allclose(part.numpy(), whole[:, :, 9:20].numpy(), atol=1e-5 * float(whole.abs().max()))
