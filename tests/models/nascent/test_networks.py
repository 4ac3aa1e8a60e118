"""Networks of `Nascent` over intervals give what they give window by window, whatever the interval."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import chromatell as ctl
from chromatell.models.nascent._build import build_network
from chromatell.models.nascent._config import NascentConfig, options_for, window_bins
from chromatell.models.nascent._evaluation import network_predictor
from chromatell.models.nascent._networks import TrackBatch, reach_of
from chromatell.models.nascent._published import published_stack
from chromatell.models.nascent._sequence import MARGIN
from chromatell.models.nascent._sliding import slide


def network_of(architecture, preset="default", n_targets=2, swap=(1, 0), bin_size=50, **options):
    torch.manual_seed(0)
    config = options_for(architecture, preset, bin_size, options)
    network = build_network(config, 2, n_targets, list(swap))
    for name, weight in network.named_parameters():
        if name.endswith("out.weight"):  # which starts from zero
            nn.init.normal_(weight, std=0.2)
    return network.eval()


def windowed(network, signal, window):
    """Each bin by a window of its own, with silence beyond the ends: the slow way."""
    half = window // 2
    x = torch.nn.functional.pad(torch.from_numpy(signal), (half, half))
    with torch.no_grad():
        return torch.stack(
            [network(x[None, :, i : i + window])[0, :, 0] for i in range(signal.shape[1])], dim=1
        ).numpy()


def signal_of(n, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.poisson(0.2, (2, n)) * rng.gamma(0.5, 4, (2, n))).astype(np.float32)


@pytest.mark.parametrize(
    ("architecture", "options"),
    [("dense", {"window": 21, "n_layers": 2}), ("cnn", {"window": 301, "n_filters": 6}), ("cnn", {"window": 7})],
)
def test_a_chromosome_is_predicted_as_window_by_window_to_its_very_ends(architecture, options):
    network = network_of(architecture, **options)
    signal = signal_of(400)
    predict = network_predictor(network, signal, options["window"], torch.device("cpu"), lambda a, b: None)
    found = predict(slice(0, 400))
    np.testing.assert_allclose(found, windowed(network, signal, options["window"]), atol=1e-5)
    assert np.ptp(found[0]) > 0.01
    parts = np.concatenate([predict(slice(0, 113)), predict(slice(113, 400))], axis=1)
    np.testing.assert_allclose(parts, found, atol=1e-5)


def test_the_published_network_slides_as_its_windows_say():
    network = network_of("cnn", "stanford2019")
    assert [sum(w.numel() for w in n.parameters()) for n in network.networks] == [8385, 8385]
    assert sum(w.numel() for w in published_stack(0.2).parameters()) == 8385
    signal = signal_of(300)
    predict = network_predictor(network, signal, 2561, torch.device("cpu"), lambda a, b: None)
    found = predict(slice(0, 300))
    x = torch.nn.functional.pad(torch.from_numpy(signal), (1280, 1280)).sum(0, keepdim=True).log1p()
    padded = torch.nn.functional.pad(torch.from_numpy(signal), (1280, 1280))[None]
    np.testing.assert_allclose(network(padded, step=8)[0].detach(), found[:, ::8], atol=1e-5)
    at = [0, 1, 137, 298, 299]
    windows = torch.stack([x[:, i : i + 2561] for i in at])
    with torch.no_grad():
        for target, part in enumerate(network.networks):
            np.testing.assert_allclose(found[target, at], part.stack.eval()(windows)[:, 0], atol=1e-5)


def test_the_published_network_has_512_numbers_before_its_dense_layer():
    shapes = []
    x = torch.rand(1, 1, 2561)
    for layer in published_stack(0.2).eval():
        x = layer(x)
        shapes.append(tuple(x.shape[1:]))
    assert shapes[0] == (16, 2557)
    assert [s for s in shapes if len(s) == 1] == [(512,), (1,)]
    convolutions = [layer for layer in published_stack(0.2) if isinstance(layer, nn.Conv1d)]
    assert [(c.out_channels, c.kernel_size) for c in convolutions] == [(16, (5,))] * 7


def test_any_stack_of_convolutions_pooling_and_dense_layers_slides():
    torch.manual_seed(1)
    stack = nn.Sequential(
        nn.Conv1d(2, 4, 4, stride=2),
        nn.ReLU(),
        nn.MaxPool1d(3, stride=2),
        nn.Conv1d(4, 3, 2, dilation=3),
        nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(3 * 5, 7),
        nn.GELU(),
        nn.Linear(7, 2),
    ).eval()
    x = torch.rand(3, 2, 70)
    found = slide(stack, x, 37)
    assert found.shape == (3, 2, 34)
    for i in range(34):
        np.testing.assert_allclose(found[:, :, i].detach(), stack(x[:, :, i : i + 37]).detach(), atol=1e-5)
    for step in (2, 3, 4, 8):
        np.testing.assert_allclose(slide(stack, x, 37, step).detach(), found[:, :, ::step].detach(), atol=1e-6)
    for layer in (nn.Conv1d(2, 2, 3, padding=1), nn.MaxPool1d(2, ceil_mode=True), nn.LSTM(2, 2), nn.Linear(2, 2)):
        with pytest.raises(ctl.ChromatellError, match=r"Use padding=0|cannot be slid along"):
            slide(nn.Sequential(layer), x, 37)


@pytest.mark.parametrize("window", [1, 3, 9, 41, 201, 2561, 20_001])
def test_what_the_cnn_looks_at_fits_its_window(window):
    widths, kernel, dilations = reach_of(window)
    reach = widths[-1] // 2 + kernel // 2 + sum(dilations)
    assert reach <= window // 2
    assert all(d % 4 == 0 for d in dilations)
    assert window < 201 or reach > 0.6 * (window // 2)
    network = network_of("cnn", window=window, n_filters=2)
    assert network(torch.rand(1, 2, window + 4)).shape == (1, 2, 5)


def test_training_on_every_fourth_bin_computes_those_bins():
    network = network_of("cnn", window=101, n_filters=4)
    x = torch.from_numpy(signal_of(100 + 61))[None]
    whole, some = network(x), network(x, step=4)
    assert some.shape == (1, 2, 16)
    np.testing.assert_allclose(some.detach(), whole[:, :, ::4].detach(), atol=1e-6)


def test_the_sums_are_those_of_wider_and_wider_intervals():
    network = network_of("cnn", window=201)
    x = signal_of(60)
    found = network.sums(torch.from_numpy(x)[None])[0]
    assert network.widths == [1, 3, 9]
    assert found.shape == (6, 52)
    for i, width in enumerate(network.widths):
        sums = np.stack([np.convolve(row, np.ones(width), mode="same")[4:-4] for row in x])
        np.testing.assert_allclose(found[2 * i : 2 * i + 2], np.log1p(sums) / np.log1p(width), rtol=1e-4, atol=1e-5)


def test_the_other_strand_is_the_window_turned_with_the_strands_swapped():
    network = network_of("cnn", window=41, dropout=0.0, depth_jitter=0.0)
    x, y = torch.from_numpy(signal_of(40 + 17))[None], torch.rand(1, 2, 17)
    both = {round(network.loss(TrackBatch(a, b)).item(), 5) for a, b in ((x, y), (x.flip(2)[:, [1, 0]], y.flip(2)))}
    torch.manual_seed(3)
    network.train()
    seen = {round(network.loss(TrackBatch(x, y)).item(), 5) for _ in range(20)}
    assert len(both) == 2
    assert seen == both
    network.eval()
    assert len({network.loss(TrackBatch(x, y)).item() for _ in range(5)}) == 1


def test_sequence_is_read_in_its_own_bin_and_from_the_strand_that_training_draws(tmp_path):
    network = network_of("cnn", window=41, context="sequence", n_filters=4, bin_size=10, dropout=0.0)
    n, size = 24, 10
    x = torch.zeros(1, 2, n + 40)
    tokens = torch.from_numpy(np.random.default_rng(0).integers(0, 4, (1, (n + 2 * MARGIN) * size)).astype(np.int8))
    before = network(x, tokens)
    changed = tokens.clone()
    changed[0, (MARGIN + 12) * size : (MARGIN + 13) * size] = 4
    moved = (network(x, changed) - before).abs().sum(dim=(0, 1)).detach().numpy()
    assert moved[12] > 0
    np.testing.assert_array_equal(moved[[0, 1, 2, 3, 21, 22, 23]], 0)
    np.testing.assert_allclose(network(x, tokens, step=4).detach(), before[:, :, ::4].detach(), atol=1e-6)


def test_each_loss_is_what_its_name_says():
    x, y = torch.from_numpy(signal_of(20 + 30))[None], torch.rand(1, 2, 30)
    y[0, 0, :12], y[0, 1, 3] = 0, float("nan")
    known = torch.isfinite(y)
    for loss in ("mse", "masked_mse", "weighted_mse", "poisson"):
        network = network_of("dense", window=21, n_hidden=4, loss=loss)
        network.start_from([0.4, 0.2], [0.25, 0.5])
        out = network(x).detach().double().numpy()
        values, keep = y.double().numpy(), known.numpy()
        if loss == "poisson":
            rate = np.log1p(np.exp(out)) + 1e-6
            each = rate - values * np.log(rate)
        else:
            each = (out - values) ** 2
        if loss == "masked_mse":
            keep = keep & (values != 0)
        if loss == "weighted_mse":
            p = np.array([0.25, 0.5])[:, None]
            each = each * np.where(values != 0, 0.5 / p, 0.5 / (1 - p))
        assert network.loss(TrackBatch(x, y)).item() == pytest.approx(each[keep].mean(), rel=1e-5)


def test_an_untrained_network_predicts_the_mean_it_starts_from():
    signal = signal_of(30)
    for loss, task in (("mse", "regression"), ("poisson", "regression"), ("logistic", "classification")):
        torch.manual_seed(0)
        network = build_network(
            options_for("cnn", "default", 50, {"window": 21, "loss": loss, "task": task}), 2, 2, [1, 0]
        )
        network.start_from([0.3, 0.6], [0.5, 0.5])
        found = network_predictor(network, signal, 21, torch.device("cpu"), lambda a, b: None)(slice(0, 30))
        np.testing.assert_allclose(found, np.repeat([[0.3], [0.6]], 30, axis=1), rtol=1e-4)


def test_options_that_do_not_go_together_are_refused():
    for changes, match in (
        ({"architecture": "forest"}, "choose one of"),
        ({"preset": "stanford2020"}, "choose one of"),
        ({"architecture": "xgboost", "loss": "poisson"}, "choose one of"),
        ({"architecture": "cnn", "task": "classification", "loss": "mse"}, "choose one of"),
        ({"architecture": "cnn", "task": "classification", "loss": "hinge"}, "choose one of"),
        ({"architecture": "dense", "context": "sequence"}, "is for architecture='cnn'"),
        ({"strand_flip": True}, "networks"),
        ({"window": 0}, "window"),
    ):
        with pytest.raises(ctl.ChromatellError, match=match):
            NascentConfig(**changes)
    with pytest.raises(ctl.ChromatellError, match="Leave window="):
        build_network(options_for("cnn", "stanford2019", 50, {"window": 101}), 2, 1, [1, 0])


@pytest.mark.parametrize("architecture", ["transfer", "xgboost", "cnn"])
def test_a_threshold_that_regression_would_not_read_is_refused(architecture):
    with pytest.raises(
        ctl.ChromatellError, match="threshold=5.0 would be read by nothing: it is for task='classificat"
    ):
        options_for(architecture, "default", 50, {"threshold": 5.0})
    assert options_for(architecture, "default", 50, {"threshold": 5.0, "task": "classification"}).threshold == 5
    assert options_for(architecture, "default", 50, {"threshold": 0.0}).threshold == 0  # as it is


def test_a_window_in_bp_must_be_a_multiple_of_the_bins():
    assert window_bins("128kb", 50) == 2561
    assert window_bins("10 kb", 50) == 201
    assert options_for("dense", "default", 100, {"window": "5000bp"}).window == 51
    with pytest.raises(ctl.ChromatellError, match="'990bp'"):
        window_bins("1kb", 30)
    with pytest.raises(ctl.ChromatellError, match="is no length"):
        window_bins("wide", 50)


def test_training_at_other_depths_scales_a_whole_interval():
    network = network_of("cnn", window=41, dropout=0.0, depth_jitter=0.7, strand_flip=False)
    x, y = torch.from_numpy(signal_of(40 + 16))[None], torch.rand(1, 2, 16)
    torch.manual_seed(5)
    factor = float(torch.exp(0.7 * torch.randn(1)))
    expected = network.loss(TrackBatch(x * factor, y)).item()
    torch.manual_seed(5)
    assert network.train().loss(TrackBatch(x, y)).item() == pytest.approx(expected, rel=1e-5)
    assert network.eval().loss(TrackBatch(x, y)).item() != pytest.approx(expected, rel=1e-3)
