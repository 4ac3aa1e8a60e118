"""`models.Nascent`: subsamples, seeds, chromosomes, folders."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import chromatell as ctl
from chromatell.io import Record
from chromatell.models.nascent import NascentConfig, _evaluation
from chromatell.models.nascent._networks import DenseNetwork, TrackBatch
from chromatell.models.nascent._windows import Windows, padded


def tracks_of(seed=0, n=3000):
    rng = np.random.default_rng(seed)
    values = {}
    for chrom in ("chr1", "chr2"):
        signal = rng.poisson(0.4, n).astype(np.float32)
        values[chrom] = np.stack([signal, 3 * (signal > 1) + 1.0])
    tracks = ctl.data.BinnedTracks(values, ["plus", "mark"], chrom_sizes=dict.fromkeys(values, 50 * n))
    tracks.table.loc["plus", "role"] = "input"
    ctl.pp.split_regions(tracks, holdout={"test": "chr2"}, fractions=(0.9, 0.0, 0.1))
    return tracks


def fitted(tracks, seed=0, **options):
    model = ctl.models.Nascent(tracks, **{"architecture": "xgboost", "window": 9, **options})
    model.train(max_epochs=15, seed=seed)
    return model


def test_a_subsample_is_drawn_by_the_seed_and_said():
    tracks = tracks_of()
    first, again, other = (fitted(tracks, seed, max_bins=1000) for seed in (1, 1, 2))
    assert first.config["training_bins"] == {"used": 1000, "of": 3000}
    assert first.content_hash == again.content_hash
    assert first.content_hash != other.content_hash
    assert len(first.history["train_loss"]) == 15
    losses = first.history["train_loss"]
    assert all(a > b for a, b in zip(losses[:-1], losses[1:], strict=True))


def test_blocks_of_prediction_change_nothing(monkeypatch):
    tracks = tracks_of()
    model = fitted(tracks)
    whole = model.predict().values("chr2")
    monkeypatch.setattr(_evaluation, "_BLOCK", 64)
    np.testing.assert_array_equal(model.predict(chroms="chr2").values("chr2"), whole)
    assert whole.min() >= 0
    assert np.corrcoef(whole[0], tracks.values("chr2", "mark")[0])[0, 1] > 0.95


def test_validation_bins_stop_training_and_choose_the_rounds():
    tracks = tracks_of()
    rng = np.random.default_rng(0)
    noise = {c: rng.random((1, 3000)) for c in tracks.chroms}
    tracks.add(noise, ["noise"])
    tracks.splits["chr1"][2000:] = 1
    model = ctl.models.Nascent(tracks, architecture="xgboost", window=9, targets="noise")
    model.train(max_epochs=200, patience=5, lr=0.3, seed=0)
    rounds = model.module.trees.target.size
    losses = model.history["validation_loss"]
    assert rounds < 100
    assert rounds == int(np.argmin(losses)) + 1
    assert len(losses) <= rounds + 5


def test_a_folder_keeps_the_model(tmp_path):
    tracks = tracks_of()
    model = fitted(tracks)
    model.save(tmp_path / "model")
    loaded = ctl.models.load(tmp_path / "model")
    assert isinstance(loaded, ctl.models.Nascent)
    assert loaded.content_hash == model.content_hash
    np.testing.assert_allclose(loaded.predict(tracks).values("chr1"), model.predict().values("chr1"), rtol=1e-6)
    with pytest.raises(ctl.ChromatellError, match="has no data"):
        loaded.predict()
    with pytest.raises(ctl.ChromatellError, match="has no data to train on"):
        loaded.train()


@pytest.fixture(scope="module")
def network():
    tracks = tracks_of()
    tracks.splits["chr1"][2500:] = 1
    model = ctl.models.Nascent(tracks, architecture="dense", window=3, n_hidden=32, dropout=0.0)
    model.train(max_epochs=20, batch_size=64, lr=1e-2, seed=0)
    return model, tracks


def test_a_network_learns_and_keeps_the_epoch_that_validates_best(network):
    model, tracks = network
    found = model.predict(chroms="chr2").values("chr2")
    observed = tracks.values("chr2", "mark")
    assert np.corrcoef(found[0], observed[0])[0, 1] > 0.95
    x = padded(tracks.values("chr1", "plus") / np.float32(model.fitted.scale[0]), 3)
    bins = np.arange(2500, 3000)
    windows = Windows([x], [bins], [tracks.values("chr1", "mark")[:, bins] / np.float32(model.fitted.deviation[0])], 3)
    loss = model.module.loss(windows[np.arange(500)]).item()
    assert loss == pytest.approx(min(model.history["validation_loss"]), rel=1e-4)


def test_a_network_in_a_folder_predicts_the_same_whatever_the_block(network, tmp_path, monkeypatch):
    model, tracks = network
    model.save(tmp_path / "model")
    expected = model.predict().values("chr2")
    monkeypatch.setattr(_evaluation, "_BLOCK", 100)
    monkeypatch.setattr(DenseNetwork, "piece", 7)
    loaded = ctl.models.load(tmp_path / "model")
    np.testing.assert_allclose(loaded.predict(tracks).values("chr2"), expected, rtol=1e-5, atol=1e-6)
    again = ctl.models.Nascent(tracks, architecture="dense", window=3, n_hidden=32, dropout=0.0)
    again.train(max_epochs=20, batch_size=64, lr=1e-2, seed=0)
    assert again.content_hash == model.content_hash


def test_a_stored_network_predicts_the_same_on_any_device(network, device):
    model, tracks = network
    again = ctl.models.load(model.to_record())
    again.module.to(device)
    assert again.device.type == device
    np.testing.assert_allclose(again.predict(tracks).values("chr2"), model.predict().values("chr2"), atol=1e-4)


def test_a_network_whose_weights_do_not_fit_is_refused(network):
    record = network[0].to_record()
    name = "weights.network.layers.0.weight"
    for change in (record.arrays[name][:-1], record.arrays[name].astype(np.float64), record.arrays[name][0]):
        arrays = {**record.arrays, name: change}
        with pytest.raises(ctl.ChromatellError, match="Ask for the file again"):
            ctl.models.load(Record(record.family, record.schema, record.config, arrays, record.var_names))


def test_windows_are_those_of_each_bin_on_its_chromosome():
    first, second = np.arange(6.0)[None], 10 + np.arange(5.0)[None]
    targets = [np.array([[0.0, 5.0]]), np.array([[12.0]])]
    signal = [padded(v.astype(np.float32), 5) for v in (first, second)]
    windows = Windows(signal, [np.array([0, 5]), np.array([2])], targets, 5)
    batch = windows[np.array([2, 0, 1])]
    assert len(batch) == 3
    expected = [[10, 11, 12, 13, 14], [0, 0, 0, 1, 2], [3, 4, 5, 0, 0]]
    np.testing.assert_allclose(batch.x[:, 0].numpy(), expected, rtol=1e-6)
    assert batch.y[:, 0, 0].tolist() == [12, 0, 5]


def test_unknown_targets_do_not_count():
    module = DenseNetwork(NascentConfig("dense", window=3, n_hidden=4), 1, 2, [0]).eval()
    x = torch.rand(2, 1, 3)
    predicted = module(x).detach()
    y = torch.tensor([[1.0, float("nan")], [float("nan"), float("nan")]])[:, :, None]
    assert module.loss(TrackBatch(x, y)).item() == pytest.approx(float((predicted[0, 0, 0] - 1) ** 2), rel=1e-5)


def test_set_up_and_several_samples_are_refused_with_the_call_that_mends():
    with pytest.raises(ctl.ChromatellError, match="needs no set-up"):
        ctl.models.Nascent.setup_mudata(None)
    two = ctl.data.concat_tracks([tracks_of(0), tracks_of(1)], samples=["a", "b"])
    with pytest.raises(ctl.ChromatellError, match="sample="):
        ctl.models.Nascent(two)
    model = ctl.models.Nascent(two.select(sample="b"))
    assert model.inputs == ["b:plus"]
    with pytest.raises(ctl.ChromatellError, match="not trained"):
        model.predict()
