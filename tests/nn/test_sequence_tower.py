"""The sequence tower: sizes as published, tokens to one-hot, strands, shifts and poolings by hand."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.nn.made_towers import SMALL, running_statistics

from chromatell import ChromatellError
from chromatell.models import XChrom
from chromatell.models.xchrom._module import XChromConfig, XChromModule
from chromatell.models.xchrom._presets import PRESETS, resolve_network
from chromatell.nn.sequence_tower import (
    BassetTower,
    ConvBlock,
    QuickGELU,
    TowerConfig,
    augment,
    centre,
    one_hot,
    reverse_complement,
)

# (filters in, filters out, width, pooling, positions that are left of 1,344)
PUBLISHED = [
    (4, 288, 17, 3, 448),
    (288, 288, 5, 2, 224),
    (288, 323, 5, 2, 112),
    (323, 363, 5, 2, 56),
    (363, 407, 5, 2, 28),
    (407, 456, 5, 2, 14),
    (456, 512, 5, 2, 7),
    (512, 256, 1, 1, 7),
]


def test_the_published_tower_layer_by_layer():
    tower = BassetTower(TowerConfig()).eval()
    assert len(tower.blocks) == len(PUBLISHED)
    x = torch.zeros(2, 4, 1344)
    with torch.no_grad():
        for block, (n_in, n_out, width, pool, positions) in zip(tower.blocks, PUBLISHED, strict=True):
            conv = next(layer for layer in block if isinstance(layer, torch.nn.Conv1d))
            assert conv.weight.shape == (n_out, n_in, width)
            assert conv.bias is None
            pools = [layer.kernel_size for layer in block if isinstance(layer, torch.nn.MaxPool1d)]
            assert pools == ([pool] if pool > 1 else [])
            x = block(x)
            assert x.shape == (2, n_out, positions)
    linear = [layer for layer in tower.modules() if isinstance(layer, torch.nn.Linear)]
    assert [layer.weight.shape for layer in linear] == [(32, 7 * 256)]


def test_parameters_of_the_published_tower():
    n = sum(p.numel() for p in BassetTower(TowerConfig()).parameters())
    convolutions = sum(i * o * w for i, o, w, _, _ in PUBLISHED)
    norms = 2 * (sum(o for _, o, _, _, _ in PUBLISHED) + 32)
    assert convolutions == 4_450_766
    assert n == convolutions + norms + (1792 * 32 + 32) == 4_513_992
    cells = XChromModule(XChromConfig(n_inputs=32)).cell_tower
    assert sum(p.numel() for p in cells.parameters()) == 2 * 32 + (32 * 64 + 64) + (64 * 32 + 32)


def test_the_preset_is_the_published_recipe():
    network, training = PRESETS["xchrom"].network, PRESETS["xchrom"].training
    tower = network.tower
    assert tower == TowerConfig()
    assert (tower.sequence_length, tower.max_shift, tower.reverse_complement) == (1344, 3, True)
    assert (tower.dropout, tower.n_bottleneck, network.n_hidden, network.noise) == (0.2, 32, 64, 0.01)
    assert (training.optimizer, training.lr, training.betas, training.gradient_clip) == (
        "adam",
        0.01,
        (0.95, 0.9995),
        1,
    )
    assert tower.n_positions == 7
    after = [type(layer).__name__ for layer in BassetTower(tower).modules()]
    assert after.count("Dropout") >= 1


def test_every_preset_has_positions_left_and_survives_json():
    for preset in PRESETS.values():
        network = resolve_network(XChrom, preset.network, {})
        raw = asdict(network)["tower"]
        raw["filters"] = list(raw["filters"])
        assert TowerConfig(**raw) == network.tower
        assert network.tower.sequence_length >= network.tower.shortest


def test_gelu_is_the_1702_sigmoid_form():
    x = torch.linspace(-6, 6, 101, dtype=torch.float64)
    want = x / (1 + torch.exp(-1.702 * x))
    torch.testing.assert_close(QuickGELU()(x), want)
    assert (QuickGELU()(x) - F.gelu(x)).abs().max() < 0.021  # it stands for the exact one


def test_one_hot_by_hand(tokens):
    x = one_hot(torch.tensor([[0, 1, 2, 3, 4]], dtype=torch.int8))
    want = [[1, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 1, 0]]
    assert x.dtype == torch.float32
    assert x[0].tolist() == want
    assert one_hot(tokens, torch.bfloat16).dtype == torch.bfloat16
    table = np.vstack([np.eye(4), np.zeros((1, 4))])  # the last row is N
    np.testing.assert_array_equal(one_hot(tokens).numpy(), table[tokens.numpy()].transpose(0, 2, 1))


def test_reverse_complement_of_tokens_is_a_flip_of_both_axes_of_one_hot(tokens):
    assert reverse_complement(torch.tensor([[0, 0, 1, 4, 2]], dtype=torch.int8)).tolist() == [[1, 4, 2, 3, 3]]
    turned = reverse_complement(tokens)
    assert turned.dtype == torch.int8
    torch.testing.assert_close(one_hot(turned), one_hot(tokens).flip((1, 2)))
    assert torch.equal(reverse_complement(turned), tokens)


def test_tokens_of_the_package_agree_with_those_of_the_device():
    from chromatell.genome import sequence

    text = "ACGTNACCGTTTN"
    tokens = torch.from_numpy(sequence.encode(text)[None])
    np.testing.assert_array_equal(one_hot(tokens)[0].numpy(), sequence.one_hot(tokens[0].numpy()))
    assert sequence.decode(reverse_complement(tokens)[0].numpy()) == "NAAACGGTNACGT"


@pytest.mark.parametrize("width", [40, 41, 42, 43])
@pytest.mark.parametrize("length", [40, 39, 30, 31])
def test_the_centre_is_the_window_that_the_genome_gives(width, length):
    """``[mid - length // 2, mid - length // 2 + length)`` out of the same of a larger width, even or odd."""
    mid = 100
    window = torch.arange(mid - width // 2, mid - width // 2 + width, dtype=torch.int64)[None]
    want = torch.arange(mid - length // 2, mid - length // 2 + length)
    assert torch.equal(centre(window, length)[0], want)
    small = window.to(torch.int8)  # positions, in place of tokens
    assert torch.equal(augment(small, length, 0, False)[0], want.to(torch.int8))


def test_augment_shifts_each_sequence_by_up_to_three_and_pads_with_n():
    torch.manual_seed(0)
    one = torch.arange(10, 30, dtype=torch.int8)  # positions, in place of tokens, show where each window begins
    out = augment(one.repeat(4000, 1), 20, 3, False)
    assert out.dtype == torch.int8
    seen = {}
    for row in out.unique(dim=0):
        shift = int(row[10]) - 20
        want = [10 + i + shift if 0 <= i + shift < 20 else 4 for i in range(20)]
        assert row.tolist() == want
        seen[shift] = int((out == row).all(1).sum())
    assert sorted(seen) == [-3, -2, -1, 0, 1, 2, 3]
    expected = 4000 / 7
    assert sum((n - expected) ** 2 / expected for n in seen.values()) < 22.5  # chi-square, 6 df, p = 0.001


def test_a_wider_window_gives_real_bases_at_the_ends_of_a_shift():
    torch.manual_seed(0)
    one = torch.arange(10, 36, dtype=torch.int8)  # three more on either side
    out = augment(one.repeat(500, 1), 20, 3, False)
    assert (out.diff(dim=1) == 1).all()
    assert sorted(out[:, 0].unique().tolist()) == [10, 11, 12, 13, 14, 15, 16]


def test_augment_turns_half_of_the_sequences_round(tokens):
    torch.manual_seed(0)
    many = tokens[:1].repeat(4000, 1)
    out = augment(many, 60, 0, True)
    turned = (out == reverse_complement(many)).all(1)
    kept = (out == many).all(1)
    assert bool((turned ^ kept).all())
    assert abs(int(turned.sum()) - 2000) < 3.3 * np.sqrt(1000)  # binomial, p = 0.001
    assert torch.equal(augment(tokens, 60, 0, False), tokens)


def test_augment_draws_from_the_generator_in_force(tokens):
    draws = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        draws.append(augment(tokens, 40, 3, True))
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("kind", ["max", "mean"])
def test_a_block_by_hand(first, kind):
    torch.manual_seed(0)
    block = ConvBlock(3, 2, 3, 2, first=first, kind=kind).eval()
    running_statistics(block)
    x = torch.randn(2, 3, 7)
    with torch.no_grad():
        got = block(x)
    conv = next(layer for layer in block if isinstance(layer, torch.nn.Conv1d))
    norm = next(layer for layer in block if isinstance(layer, torch.nn.BatchNorm1d))
    h = x.numpy().astype(np.float64)
    if not first:
        h = h / (1 + np.exp(-1.702 * h))
    h = np.pad(h, ((0, 0), (0, 0), (1, 1)))
    weight = conv.weight.detach().numpy()
    y = np.stack([np.einsum("nik,oik->no", h[:, :, i : i + 3], weight) for i in range(7)], axis=2)
    y = (y - norm.running_mean.numpy()[:, None]) / np.sqrt(norm.running_var.numpy()[:, None] + norm.eps)
    pairs = y[:, :, :6].reshape(2, 2, 3, 2)  # the seventh position has no partner
    want = pairs.max(-1) if kind == "max" else pairs.mean(-1)
    np.testing.assert_allclose(got.numpy(), want, atol=1e-5)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"last_filters": 0},
        {"pool": "mean"},
        {"filters": ()},
        {"stem_kernel": 4, "kernel": 2},  # even widths: padded on one side
        {"sequence_length": 50},  # not a multiple of the poolings
        {"stem_pool": 1},
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")  # torch's, of what it costs
def test_sizes_may_be_changed(changes):
    config = replace(SMALL, **changes)
    tower = BassetTower(config).eval()
    with torch.no_grad():
        out = tower(torch.randn(3, 4, config.sequence_length))
    assert out.shape == (3, 4)
    n = config.sequence_length // config.stem_pool
    for _ in config.filters:
        n //= 2
    assert config.n_positions == n


def test_a_sequence_does_not_depend_on_the_others_of_its_batch(tokens):
    torch.manual_seed(0)
    tower = BassetTower(SMALL).eval()
    running_statistics(tower)
    x = one_hot(tokens[:, :48])
    with torch.no_grad():
        whole = tower(x)
        alone = torch.cat([tower(x[i : i + 1]) for i in range(len(x))])
    torch.testing.assert_close(alone, whole, atol=1e-6, rtol=1e-5)
    assert whole.std(0).min() > 1e-4


def test_both_strands_of_a_sequence_have_the_same_vector(tokens):
    torch.manual_seed(0)
    config = XChromConfig(tower=SMALL, n_inputs=3, n_embed=4)
    module = XChromModule(config, (-1.0, 0.5)).eval()
    running_statistics(module)
    module.head.weight.data.normal_()
    ahead = tokens[:, :48]
    with torch.no_grad():
        w = module.regions(ahead)
        torch.testing.assert_close(module.regions(reverse_complement(ahead)), w, atol=1e-6, rtol=1e-5)
        one, two = (module.from_one_hot(one_hot(t)) for t in (ahead, reverse_complement(ahead)))
        torch.testing.assert_close(w, (one + two) / 2)
        assert (one - two).abs().max() > 1e-3  # the tower itself knows the strand
        single = XChromModule(replace(config, tower=replace(SMALL, reverse_complement=False))).eval()
        single.load_state_dict(module.state_dict())
        torch.testing.assert_close(single.regions(ahead), one)


def test_training_draws_and_evaluation_does_not(tokens):
    torch.manual_seed(0)
    module = XChromModule(XChromConfig(tower=replace(SMALL, dropout=0.0), n_inputs=3, n_embed=4, noise=0.0))
    with torch.no_grad():
        module.train()
        assert not torch.equal(module.regions(tokens), module.regions(tokens))
        module.eval()
        assert torch.equal(module.regions(tokens), module.regions(tokens))
        # what lies outside the window is not read
        other = tokens.clone()
        other[:, :6], other[:, 54:] = 4, 4
        assert torch.equal(module.regions(tokens), module.regions(other))


def test_gradients_reach_every_weight(tokens):
    tower = BassetTower(replace(SMALL, dropout=0.0)).train()
    tower(one_hot(tokens[:, :48])).square().sum().backward()
    for name, weight in tower.named_parameters():
        assert weight.grad is not None, name
        assert torch.isfinite(weight.grad).all(), name


def test_one_position_at_least_is_left():
    published, small = PRESETS["xchrom"].network, PRESETS["small"].network
    with pytest.raises(ChromatellError, match="sequence_length=191 is too short: this tower needs at least 192 bases"):
        resolve_network(XChrom, published, {"sequence_length": 191})
    assert resolve_network(XChrom, published, {"sequence_length": 192}).tower.n_positions == 1
    motifs = {"kind": "motifs", "stem_kernel": 15, "stem_pool": 4}  # one convolution: its width is enough
    assert resolve_network(XChrom, small, {**motifs, "sequence_length": 15}).tower.sequence_length == 15
    with pytest.raises(ChromatellError, match=r"needs at least 15 bases.*add_sequence\(mdata, fasta, width=15\)"):
        resolve_network(XChrom, small, {**motifs, "sequence_length": 14})
    with pytest.raises(ChromatellError, match="needs at least 20 bases"):  # or one pooling
        resolve_network(XChrom, small, {**motifs, "stem_pool": 20, "sequence_length": 19})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "rnn"}, r"kind='rnn' is not known; choose one of \['basset', 'motifs'\]"),
        ({"pool": "median"}, "pool='median' is not known"),
        ({"stem_filters": 0}, "stem_filters=0 is out of range: a whole number from 1 to 100,000 is needed"),
        ({"stem_kernel": 2.5}, "stem_kernel=2.5 is out of range: a whole number"),
        ({"last_filters": -1}, "last_filters=-1 is out of range: a whole number from 0"),
        ({"sequence_length": True}, "sequence_length=True is out of range"),
        ({"filters": (8, "a")}, "filters='a' is out of range"),
        ({"filters": 8}, "filters=8 is out of range: a list of at most 64"),
        ({"filters": [4] * 65}, "a list of at most 64"),
        ({"dropout": 1.0}, "dropout=1.0 is out of range: a number from 0 to 0.95"),
        ({"dropout": float("nan")}, "dropout=nan is out of range"),
    ],
    ids=str,
)
def test_sizes_out_of_range_are_named(options, message):
    with pytest.raises(ChromatellError, match=message):
        TowerConfig(**options)


def test_numbers_become_pythons_own():
    config = TowerConfig(kernel=np.int64(3), dropout=np.float32(0.25), filters=np.array([4, 5]))
    assert (type(config.kernel), type(config.dropout)) == (int, float)
    assert config.filters == (4, 5)
    assert {type(n) for n in config.filters} == {int}
    assert TowerConfig(dropout=0).dropout == 0.0


def test_an_embedding_of_another_width_widens_the_bottleneck():
    network = resolve_network(XChrom, PRESETS["small"].network, {"n_embed": 12, "stem_filters": 8})
    assert network.tower.n_bottleneck == 14  # free: bias and depth slope are part of it
    published = resolve_network(XChrom, PRESETS["xchrom"].network, {"n_embed": 12, "filters": [8, 8]})
    assert (published.tower.n_bottleneck, published.tower.filters) == (12, (8, 8))
    assert network.n_vector == 14
    with pytest.raises(ValueError, match="bottleneck"):
        XChromModule(XChromConfig(tower=SMALL, n_embed=5, n_inputs=3))
