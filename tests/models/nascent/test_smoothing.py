"""What 'transfer' predicts is smoothed: against scipy, in blocks as whole, by the width that validation bins choose."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d
from tests.models.nascent.made_run_on import TRAIN, made, tracks_of

import chromatell as ctl
from chromatell.io import Record
from chromatell.models.nascent import _evaluation
from chromatell.models.nascent._bins import draw_bins
from chromatell.models.nascent._smoothing import PIECE, chosen, smoothed_predictor, tried_widths, width_losses


def by_scipy(values, sigma):
    """A Gaussian of three standard deviations, over what is there."""
    if sigma == 0:
        return values
    ones = np.ones(values.shape[-1])
    found, weight = (gaussian_filter1d(x.astype(float), sigma, mode="constant", truncate=3) for x in (values, ones))
    return found / weight


def chosen_widths(found, targets, at, plain, tried, loss):
    """The width of each target that its losses choose."""
    return np.array(tried)[chosen(*width_losses(found, targets, at, plain, tried, loss))]


def split(tracks):
    ctl.pp.split_regions(tracks, by="blocks", block=20_000, width=2550, fractions=(0.6, 0.2, 0.2), seed=0)
    return tracks


@pytest.fixture(scope="module")
def model():
    found = ctl.models.Nascent(split(tracks_of(made(n=8000, width=41))), window=51, min_child_weight=5, stack=False)
    found.train(**TRAIN)
    return found


@pytest.mark.parametrize("size", [1, 7, 64, 500])
def test_blocks_are_smoothed_as_the_whole_chromosome_and_as_scipy_does(size):
    values = np.random.default_rng(0).random((3, 500), dtype=np.float32)
    widths = np.array([0.0, 2.5, 20.0])
    smoothed = smoothed_predictor(lambda columns: values[:, columns], widths, 500)
    whole = smoothed(slice(0, 500))
    for row, value, width in zip(whole, values, widths, strict=True):
        np.testing.assert_allclose(row, by_scipy(value, width), rtol=1e-6)
    blocks = [smoothed(slice(at, min(at + size, 500))) for at in range(0, 500, size)]
    np.testing.assert_array_equal(np.concatenate(blocks, axis=1), whole)


def test_a_flat_prediction_stays_flat_up_to_the_ends():
    smoothed = smoothed_predictor(lambda columns: np.ones((1, columns.stop - columns.start)), np.array([10.0]), 40)
    np.testing.assert_array_equal(smoothed(slice(0, 40)), 1)


def test_the_width_is_that_with_the_least_loss():
    rng = np.random.default_rng(1)
    truth = gaussian_filter1d(rng.normal(size=(3, 3 * PIECE)), 12, axis=1) * 6
    found = truth + rng.normal(0, [[0.0], [0.5], [3.0]], truth.shape)
    at = np.flatnonzero(rng.random(truth.shape[1]) < 0.9)
    tried = tried_widths(50)
    found32, truth32, plain = found[:, at].astype(np.float32), truth[:, at].astype(np.float32), at < PIECE
    chosen = chosen_widths(found32, truth32, at, plain, tried, "mse")
    for i, width in enumerate(chosen):
        loss = []
        for w in tried:
            total = 0.0
            for first in range(0, truth.shape[1], PIECE):
                rows = at[(at >= first) & (at < first + PIECE)] - first
                whole, known = np.zeros(PIECE), np.zeros(PIECE)
                whole[rows], known[rows] = found[i, first + rows], 1
                if w:
                    how = {"mode": "constant", "truncate": 3}
                    whole = gaussian_filter1d(whole, w, **how) / np.maximum(gaussian_filter1d(known, w, **how), 1e-9)
                total += ((whole[rows] - truth[i, first + rows]) ** 2).sum()
            loss.append(total)
        assert width == tried[int(np.argmin(loss))]
    assert chosen[0] == 0
    assert chosen[0] < chosen[1] < chosen[2]


def test_no_width_is_taken_that_loses_in_the_sample_as_it_is():
    truth = np.zeros((1, 2 * PIECE), dtype=np.float32)
    truth[0, ::40] = 5
    found, at = truth.copy(), np.arange(2 * PIECE)
    found[0, PIECE:] += np.random.default_rng(0).normal(0, 9, PIECE)
    for plain, expected in ((at < PIECE, 0), (at >= PIECE, 20)):
        assert chosen_widths(found, truth, at, plain, tried_widths(50), "mse") == expected


def test_classes_are_weighed_by_their_probabilities_and_margins_by_their_sign():
    y = np.array([[0, 0, 0, 1, 1, 1, 0, 0]] * 2, dtype=np.float32)
    at = np.arange(8)
    sure, torn = np.where(y > 0, 0.9, 0.1), np.where(np.arange(8) % 2, 0.95, 0.05) * np.ones((2, 1))
    probability = np.stack([sure[0], torn[0]]).astype(np.float32)
    assert chosen_widths(probability, y, at, at >= 0, [0.0, 1.0], "logistic").tolist() == [0, 1]
    margin = np.array([[-1, -1, -1, 1, 1, 1, -1, -1], [-1, -1, -1, 1, -0.5, 1, -1, -1]], dtype=np.float32)
    assert chosen_widths(margin, y, at, at >= 0, [0.0, 1.0], "hinge").tolist() == [0, 1]


def test_a_model_predicts_its_own_predictions_smoothed(model, tmp_path, monkeypatch):
    query = tracks_of(made(2, n=3000))
    found = model.predict(query).values("chr1")
    width = float(model.module.blend.width[0])
    assert width > 0
    assert model.card["smoothing"] == {"mark": width * 50}
    kept, model.module.blend = model.module.blend, replace(model.module.blend, width=np.zeros(1))
    plain = model.predict(query).values("chr1")
    model.module.blend = kept
    np.testing.assert_allclose(found[0], np.maximum(by_scipy(plain[0], width), model.fitted.low[0]), atol=1e-4)
    monkeypatch.setattr(_evaluation, "_BLOCK", 97)
    np.testing.assert_array_equal(model.predict(query).values("chr1"), found)
    stored = model.predict(query, out=tmp_path / "predicted.zarr")
    np.testing.assert_array_equal(stored.values("chr1"), found)
    model.save(tmp_path / "model")
    loaded = ctl.models.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict(query).values("chr1"), found)
    assert loaded.card["smoothing"] == model.card["smoothing"]


def test_validation_bins_are_predicted_better_for_it_and_it_can_be_left_out():
    tracks, said = split(tracks_of(made(n=8000, width=41))), {}
    for smooth in (False, True):
        plain = ctl.models.Nascent(tracks, window=51, min_child_weight=5, smooth=smooth)
        plain.train(**TRAIN)
        said[smooth] = plain.card["validation"]["mark"]["pearson"]
        assert ("weights.blend.width" in plain.to_record().arrays) == smooth
    assert said[True] >= said[False]


def test_without_validation_bins_it_is_half_of_what_the_target_was_smoothed_over():
    tracks = tracks_of(made())
    for sigma, expected in ((None, 0.0), (6.0, 150.0)):
        if sigma is not None:
            ctl.pp.smooth_tracks(tracks, sigma=sigma)
        model = ctl.models.Nascent(tracks, window=51, min_child_weight=5)
        model.train(max_epochs=2, seed=0)
        assert model.card["smoothing"] == {"mark": expected}


def test_probabilities_stay_probabilities_and_as_calibrated():
    tracks = split(tracks_of(made(n=8000, width=41)))
    model = ctl.models.Nascent(tracks, window=51, task="classification", min_child_weight=1, stack=False)
    model.train(**TRAIN)
    bins, loss, mean = tracks.usable("chr1", "val"), {}, {}
    mark = tracks.values("chr1", "mark")[0, bins] > 0
    for width in (0.0, float(model.module.blend.width[0])):
        model.module.blend = replace(model.module.blend, width=np.array([width]))
        found = model.predict(tracks).values("chr1")[0]
        assert (found >= 0).all()
        assert (found <= 1).all()
        p = np.clip(found[bins], 1e-6, 1 - 1e-6)
        loss[width], mean[width] = -np.log(np.where(mark, p, 1 - p)).mean(), found.mean()
    assert list(loss)[-1] > 0
    assert loss[list(loss)[-1]] <= loss[0.0]
    assert mean[list(loss)[-1]] == pytest.approx(mean[0.0], rel=0.02)


def test_a_record_of_before_smoothing_predicts_as_it_did(model):
    record, query = model.to_record(), tracks_of(made(2))
    options = {k: v for k, v in record.config["options"].items() if k != "smooth"}
    arrays = {k: v for k, v in record.arrays.items() if k != "weights.blend.width"}
    older = Record(record.family, 3, {**record.config, "options": options}, arrays, record.var_names)
    loaded = ctl.models.load(older)
    assert loaded.options.smooth is False
    kept, model.module.blend = model.module.blend, replace(model.module.blend, width=np.zeros(1))
    expected = model.predict(query).values("chr1")
    model.module.blend = kept
    np.testing.assert_array_equal(loaded.predict(query).values("chr1"), expected)
    again = loaded.to_record()
    assert again.schema == 3
    assert set(again.arrays) == set(arrays)


def test_bins_are_drawn_in_pieces():
    tracks = tracks_of(made(n=8000))
    drawn, n = draw_bins(tracks, "train", 1000, np.random.SeedSequence(0), piece=200, say=False)
    assert n == 8000
    assert np.unique(drawn["chr1"] // 200, return_counts=True)[1].tolist() == [200] * 5
    one, _ = draw_bins(tracks, "train", 100, np.random.SeedSequence(0), piece=200, say=False)
    assert one["chr1"].size == 200  # never none
