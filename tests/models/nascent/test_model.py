"""`models.Nascent`: subsamples, seeds, chromosomes, folders."""

from __future__ import annotations

import numpy as np
import pytest

import chromatell as ctl
from chromatell.models.nascent import _model


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
    model = ctl.models.Nascent(tracks, window=9, **options)
    model.train(max_epochs=15, seed=seed)
    return model


def test_a_subsample_is_drawn_by_the_seed_and_said():
    tracks = tracks_of()
    first, again, other = (fitted(tracks, seed, max_bins=1000) for seed in (1, 1, 2))
    assert first.config["training_bins"] == {"used": 1000, "of": 3000}
    assert first.content_hash == again.content_hash
    assert first.content_hash != other.content_hash
    assert len(first.history["train_loss"]) == 15
    assert first.history["train_loss"][-1] < 0.6 * first.history["train_loss"][0]


def test_blocks_of_prediction_change_nothing(monkeypatch):
    tracks = tracks_of()
    model = fitted(tracks)
    whole = model.predict().values("chr2")
    monkeypatch.setattr(_model, "_BLOCK", 64)
    np.testing.assert_array_equal(model.predict(chroms="chr2").values("chr2"), whole)
    assert whole.min() >= 0
    assert np.corrcoef(whole[0], tracks.values("chr2", "mark")[0])[0, 1] > 0.95


def test_validation_bins_stop_training_and_choose_the_rounds():
    tracks = tracks_of()
    rng = np.random.default_rng(0)
    noise = {c: rng.random((1, 3000)) for c in tracks.chroms}
    tracks.add(noise, ["noise"])
    tracks.splits["chr1"][2000:] = 1
    model = ctl.models.Nascent(tracks, window=9, targets="noise")
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
