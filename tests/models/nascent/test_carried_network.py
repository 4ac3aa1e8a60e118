"""The CNN of 'transfer': against layers written out in NumPy, in blocks as whole, trained on training bins alone."""

from __future__ import annotations

import logging
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from tests.models.nascent.made_run_on import made, tracks_of

import chromatell as ctl
from chromatell.io import Record
from chromatell.models.nascent import _carried_network, _evaluation
from chromatell.models.nascent._carried_network import (
    LENGTH,
    REACH,
    CarriedNetwork,
    Pieces,
    around,
    drawn_starts,
    fitted_network,
)
from chromatell.models.nascent._carry import Densities, assays_of
from chromatell.models.nascent._fitted import sample_of

OPTIONS = {"window": 51, "min_child_weight": 5, "cnn": True, "stack": False}
TRAIN = {"max_epochs": 5, "seed": 0}


def split(tracks):
    ctl.pp.split_regions(tracks, by="blocks", block=100_000, width=2550, fractions=(0.6, 0.2, 0.2), seed=0)
    return tracks


SMALL = {"_FEWEST": 8, "_STEPS": 40, "_BATCH": 6}


@pytest.fixture(autouse=True)
def small(monkeypatch):
    for name, value in SMALL.items():
        monkeypatch.setattr(_carried_network, name, value)


@pytest.fixture
def logged(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("chromatell"), "propagate", True)
    with caplog.at_level("INFO", logger="chromatell"):
        yield caplog


@pytest.fixture(scope="module")
def tracks():
    return split(tracks_of(made(n=12_000, width=15)))


@pytest.fixture(scope="module")
def model(tracks):
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SMALL.items():
            patch.setattr(_carried_network, name, value)
        found = ctl.models.Nascent(tracks, **OPTIONS)
        found.train(**TRAIN)
    return found


def gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def test_it_says_what_its_layers_written_out_say():
    torch.manual_seed(0)
    network = CarriedNetwork(5, 3)
    rng = np.random.default_rng(0)
    w = {k: v.numpy().astype(float) for k, v in network.state_dict().items()}
    x = rng.normal(size=(5, 9 + 2 * REACH))
    h = gelu(w["first.weight"][:, :, 0] @ ((x - w["mean"]) / w["deviation"]) + w["first.bias"][:, None])
    for i, skip in enumerate((1, 2, 4, 8, 16)):
        n = h.shape[1] - 2 * skip
        look = sum(w[f"blocks.{i}.look.weight"][:, :, k] @ h[:, k * skip : k * skip + n] for k in range(3))
        mixed = w[f"blocks.{i}.mix.weight"][:, :, 0] @ gelu(look + w[f"blocks.{i}.look.bias"][:, None])
        h = h[:, skip : skip + n] + w[f"blocks.{i}.gain"] * (mixed + w[f"blocks.{i}.mix.bias"][:, None])
    expected = w["last.weight"][:, :, 0] @ h + w["last.bias"][:, None]
    assert expected.shape == (3, 9)
    np.testing.assert_allclose(network.output(x.astype(np.float32)), expected, atol=1e-5)


def test_a_prediction_is_the_mean_of_trees_and_cnn(model):
    query = tracks_of(made(2, n=3000))
    assert model.card["cnn_share"] == {"mark": 0.5}
    kept, found = model.module.blend, {}
    for share in (0.0, 0.5, 1.0):
        model.module.blend = replace(kept, network=np.array([share]), width=np.zeros(1))
        found[share] = model.predict(query).values("chr1")[0]
    model.module.blend = kept
    own = sample_of(query, ["plus", "minus"], model.config["input_tracks"], model.options)
    signal = Densities(query.values("chr1", ["plus", "minus"]), assays_of(model.config["input_tracks"]), own, 51)
    said = model.module.network.output(signal.features(around(slice(0, 3000), 3000)))[0] * model.fitted.deviation[0]
    np.testing.assert_allclose(found[1.0], np.maximum(said, model.fitted.low[0]), atol=1e-4)
    above = np.minimum(found[0.0], found[1.0]) > model.fitted.low[0]
    assert above.sum() > 100
    np.testing.assert_allclose(found[0.5][above], (found[0.0] + found[1.0])[above] / 2, atol=1e-4)


def test_blocks_storage_and_file_change_nothing(model, tmp_path, monkeypatch):
    query = tracks_of(made(2, n=400))
    found = model.predict(query).values("chr1")
    model.save(tmp_path / "model")
    loaded = ctl.models.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict(query).values("chr1"), found)
    assert (loaded.card["cnn_share"], loaded.content_hash) == (model.card["cnn_share"], model.content_hash)
    for size in (7, 97):
        monkeypatch.setattr(_evaluation, "_BLOCK", size)
        np.testing.assert_allclose(model.predict(query).values("chr1"), found, atol=1e-4)


def test_it_can_be_left_out_and_the_trees_stay_as_they_are(tracks, model):
    alone = ctl.models.Nascent(tracks, **{**OPTIONS, "cnn": False})
    alone.train(**TRAIN)
    assert alone.card["cnn_share"] == {"mark": 0.0}
    assert alone.module.network is None
    assert not [k for k in alone.to_record().arrays if "cnn" in k or k == "weights.blend.network"]
    for name, array in alone.module.trees.arrays().items():  # the trees are the same with it
        np.testing.assert_array_equal(array, getattr(model.module.trees, name))
    r = [of.card["validation"]["mark"]["pearson"] for of in (alone, model)]  # chosen by the loss, in all samples
    assert r[1] > r[0] - 0.01


def test_test_bins_do_not_train_it_and_a_seed_repeats_it(tracks, model):
    changed = tracks.values("chr1", tracks.names).copy()
    changed[2, tracks.splits["chr1"] == 2] = 7
    other = split(tracks_of(changed))
    np.testing.assert_array_equal(other.splits["chr1"], tracks.splits["chr1"])
    again = ctl.models.Nascent(other, **OPTIONS)
    again.train(**TRAIN)
    for a, b in zip(model.module.network.parameters(), again.module.network.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("loss", ["logistic", "hinge"])
def test_classes(tracks, loss):
    model = ctl.models.Nascent(tracks, task="classification", loss=loss, **OPTIONS)
    model.train(**TRAIN)
    model.module.blend = replace(model.module.blend, network=np.ones(1), width=np.zeros(1))
    values = made(4, n=3000, width=15)
    found, mark = model.predict(tracks_of(values)).values("chr1")[0], values[2] > 0
    assert ctl.metrics.average_precision(mark, found) > 0.7
    if loss == "logistic":
        assert found.min() >= 0
        assert found.max() <= 1
    else:
        assert (found[mark] > 0).mean() > 0.5 > (found[~mark] > 0).mean()


@pytest.mark.parametrize("strand", ["+", "."])
def test_one_strand_or_none(strand):
    values = made(n=12_000, width=15)
    table = pd.DataFrame({"name": ["signal", "mark"], "assay": ["PRO", "mark"], "strand": [strand, "."]})
    table["role"] = ["input", "target"]
    one = ctl.data.BinnedTracks({"chr1": values[[0, 2]]}, table, chrom_sizes={"chr1": 50 * values.shape[1]})
    model = ctl.models.Nascent(split(one), augment=False, **OPTIONS)
    model.train(max_epochs=2, seed=0)
    assert model.module.network is not None
    assert np.isfinite(model.predict(one).values("chr1")).all()


def test_few_pieces_have_no_cnn_and_without_validation_bins_it_is_half(monkeypatch, tracks, logged):
    few = ctl.models.Nascent(tracks_of(made(n=3000)), **OPTIONS)
    few.train(max_epochs=2, seed=0)
    assert "needs 8 pieces of 512 bins in a row, and the training bins hold 6. Train on more of the" in logged.text
    assert few.module.network is None
    assert few.card["cnn_share"] == {"mark": 0.0}
    enough = ctl.models.Nascent(tracks_of(made(n=12_000)), augment=False, **OPTIONS)
    monkeypatch.setattr(_carried_network, "_PASSES", 1)
    enough.train(max_epochs=2, seed=0)
    assert enough.card["cnn_share"] == {"mark": 0.5}


@pytest.mark.parametrize("augment", [True, False])
def test_too_few_bins_drawn_are_told_with_the_number_that_does(tracks, logged, augment):
    options = {**OPTIONS, "augment": augment}
    few = ctl.models.Nascent(tracks, max_bins=2000, **options)
    few.train(max_epochs=1, seed=0)
    assert few.module.network is None
    enough = int(re.search(r"max_bins=2000 draws \d of \d+. Draw more: max_bins=(\d+)", logged.text)[1])
    logged.clear()
    for most, there in ((enough - 1, False), (enough, True)):
        model = ctl.models.Nascent(tracks, max_bins=most, **options)
        model.train(max_epochs=1, seed=0)
        assert (model.module.network is not None) is there
    assert logged.text.count("No CNN was fitted") == 1


@pytest.mark.parametrize("smooth", [False, True])
def test_the_gap_that_is_asked_for_holds_what_the_cnn_and_smoothing_read(logged, smooth):
    tracks = tracks_of(made(n=12_000))
    sizes = {"by": "blocks", "block": 60_000, "fractions": (0.6, 0.2, 0.2), "seed": 0}
    ctl.pp.split_regions(tracks, width=2550, **sizes)
    ctl.models.Nascent(tracks, **{**OPTIONS, "cnn": False, "smooth": False})._fit_stats(tracks, 0)
    assert "Blocks of the split" not in logged.text
    options = {**OPTIONS, "smooth": smooth}
    reach = 25 + REACH + (60 if smooth else 0)  # three times the widest, 1,000 bp
    ctl.models.Nascent(tracks, **options)._fit_stats(tracks, 0)
    assert f"reads {reach * 50} bp on each side" in logged.text
    width = int(re.search(r"width=(\d+)\)", logged.text)[1])
    logged.clear()
    ctl.pp.split_regions(tracks, width=width - 200, **sizes)
    ctl.models.Nascent(tracks, **options)._fit_stats(tracks, 0)
    assert "Blocks of the split" in logged.text
    logged.clear()
    ctl.pp.split_regions(tracks, width=width, **sizes)
    ctl.models.Nascent(tracks, **options)._fit_stats(tracks, 0)
    assert "Blocks of the split" not in logged.text
    train, test = (np.flatnonzero(tracks.usable("chr1", part)) for part in ("train", "test"))
    assert np.abs(train[:, None] - test[None, :]).min() > reach


def test_pieces_hold_training_bins_alone():
    usable = {"a": np.zeros(5 * LENGTH + 100, dtype=bool), "b": np.ones(2 * LENGTH, dtype=bool)}
    usable["a"][LENGTH : 2 * LENGTH - 7] = True
    usable["a"][-90:] = True  # too few
    every = drawn_starts(usable, 10**9, np.random.default_rng(0))
    assert every == {"a": [LENGTH], "b": [0, LENGTH]}
    some = drawn_starts(usable, 2 * LENGTH, np.random.default_rng(0))
    assert sum(map(len, some.values())) == 2
    y, pieces = np.arange(2.0 * usable["a"].size).reshape(2, -1), Pieces()

    class Counted:
        def features(self, bins):
            return bins[None].astype(np.float32)

    pieces.add(Counted(), y, usable["a"], every["a"])
    assert pieces.x[0][0].tolist() == list(range(LENGTH - REACH, 2 * LENGTH + REACH))
    assert np.isnan(pieces.y[0][:, -7:]).all()
    np.testing.assert_array_equal(pieces.y[0][:, :-7], y[:, LENGTH : 2 * LENGTH - 7])
    assert around(slice(0, 2), 40)[:REACH].tolist() == [0] * REACH


def test_a_target_that_is_all_unknown_in_the_pieces_is_refused_by_no_crash():
    rng, pieces = np.random.default_rng(0), Pieces(plain=9)
    for _ in range(9):
        pieces.x.append(rng.normal(size=(3, LENGTH + 2 * REACH)).astype(np.float16))
        pieces.y.append(np.stack([pieces.x[-1][0, REACH:-REACH], np.full(LENGTH, np.nan)]).astype(np.float32))
    network = fitted_network(pieces, "mse", np.random.SeedSequence(0))
    assert all(torch.isfinite(w).all() for w in network.state_dict().values())


def test_a_stored_cnn_is_checked(model):
    record = model.to_record()
    assert record.schema == 6
    name = "weights.cnn.first.weight"
    changes = {
        name: record.arrays[name][:, :-1],
        "weights.cnn.deviation": np.zeros_like(record.arrays["weights.cnn.deviation"]),
        "weights.cnn.last.bias": np.array([np.nan], dtype=np.float32),
        "weights.cnn.mean": record.arrays["weights.cnn.mean"].astype(np.float64),
        "weights.blend.network": np.array([-0.5]),
    }
    for key, value in changes.items():
        broken = Record(record.family, 6, record.config, {**record.arrays, key: value}, record.var_names)
        with pytest.raises(ctl.ChromatellError, match="Ask for the file again"):
            ctl.models.load(broken)
    lacking = {k: v for k, v in record.arrays.items() if k != name}
    with pytest.raises(ctl.ChromatellError, match="Ask for the file again"):
        ctl.models.load(Record(record.family, 6, record.config, lacking, record.var_names))


def test_a_record_of_before_it_predicts_as_it_did(model):
    record, query = model.to_record(), tracks_of(made(2, n=3000))
    options = {k: v for k, v in record.config["options"].items() if k != "cnn"}
    arrays = {k: v for k, v in record.arrays.items() if "weights.cnn" not in k and k != "weights.blend.network"}
    older = ctl.models.load(Record(record.family, 4, {**record.config, "options": options}, arrays, record.var_names))
    assert older.options.cnn is False
    kept, model.module.blend = model.module.blend, replace(model.module.blend, network=np.zeros(1))
    network, model.module.network = model.module.network, None
    expected = model.predict(query).values("chr1")
    model.module.blend, model.module.network = kept, network
    np.testing.assert_array_equal(older.predict(query).values("chr1"), expected)
    again = older.to_record()
    assert again.schema == 4
    assert set(again.arrays) == set(arrays)
