"""What networks and trees of `Nascent` learn, and what their training sees: runs, splits, classes, sequence, stores."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score

import chromatell as ctl
from chromatell.models.nascent._intervals import IntervalBatches, Intervals, interval_loader

N = 6000


def tracks_of(seed=0, n=N, chroms=("chr1", "chr2"), extra=None):
    """A mark where both strands together are high around a bin, and a rare one where they are very high."""
    rng = np.random.default_rng(seed)
    values = {}
    for chrom in chroms:
        rate = np.repeat(rng.gamma(0.3, 2.0, n // 20 + 1), 20)[:n]
        plus, minus = rng.poisson(rate), rng.poisson(rate)
        mark = np.log1p(np.convolve(rate, np.ones(5), mode="same"))
        values[chrom] = np.stack([plus, minus, mark, rate > 2]).astype(np.float32)
    table = pd.DataFrame(
        {
            "name": ["plus", "minus", "mark", "rare"],
            "assay": ["PRO", "PRO", "H3K4me3", "H3K27ac"],
            "strand": ["+", "-", ".", "."],
            "role": ["input", "input", "target", "target"],
        }
    )
    tracks = ctl.data.BinnedTracks(values, table, chrom_sizes=dict.fromkeys(chroms, 50 * n))
    if len(chroms) > 1:
        ctl.pp.split_regions(tracks, holdout={"test": "chr2"}, fractions=(0.9, 0.0, 0.1))
    return tracks


SMALL = {"architecture": "cnn", "window": 41, "n_filters": 8, "stretch": 500, "dropout": 0.0, "depth_jitter": 0.0}


def cnn(tracks, epochs=20, seed=0, **options):
    model = ctl.models.Nascent(tracks, **{**SMALL, **options})
    model.train(max_epochs=epochs, seed=seed, lr=1e-2)
    return model


@pytest.fixture(scope="module")
def trained():
    tracks = tracks_of()
    tracks.splits["chr1"][4500:] = 1
    return cnn(tracks), tracks


def correlation(found, tracks, target, chrom="chr2"):
    return np.corrcoef(found.values(chrom, f"{target}_nascent")[0], tracks.values(chrom, target)[0])[0, 1]


def test_the_cnn_learns_marks_of_a_chromosome_that_it_has_not_seen(trained):
    model, tracks = trained
    found = model.predict(chroms="chr2")
    assert correlation(found, tracks, "mark") > 0.9
    assert correlation(found, tracks, "rare") > 0.75
    assert found.values("chr2").min() >= 0
    assert model.config["training_bins"] == {"used": 4500, "of": 4500}
    losses = model.history["validation_loss"]
    assert min(losses) < 0.6 * losses[0]


def test_the_seed_decides_and_a_folder_keeps_the_cnn(trained, tmp_path):
    model, tracks = trained
    model.save(tmp_path / "model")
    loaded = ctl.models.load(tmp_path / "model")
    assert loaded.content_hash == model.content_hash
    np.testing.assert_allclose(loaded.predict(tracks).values("chr2"), model.predict().values("chr2"), atol=1e-5)
    first, again, other = (cnn(tracks, 2, seed) for seed in (1, 1, 2))
    assert first.content_hash == again.content_hash != other.content_hash


def test_predictions_go_to_a_store_chromosome_by_chromosome(trained, tmp_path):
    model, tracks = trained
    expected = model.predict(tracks)
    found = model.predict(tracks, out=tmp_path / "predicted.zarr")
    assert not found.in_memory
    assert found.chroms == ["chr1", "chr2"]
    assert found.table.equals(expected.table)
    for chrom in found.chroms:
        np.testing.assert_array_equal(found.values(chrom), expected.values(chrom))
    with pytest.raises(ctl.ChromatellError, match="exists"):
        model.predict(tracks, out=tmp_path / "predicted.zarr")
    opened = ctl.data.BinnedTracks.open(tmp_path / "predicted.zarr")
    assert opened.names == ["mark_nascent", "rare_nascent"]


def test_memory_of_prediction_is_that_of_one_chromosome(trained, tmp_path):
    model = trained[0]
    peaks = []
    for chroms in (("chr1",), tuple(f"chr{i}" for i in range(1, 7))):
        folder = tmp_path / f"{len(chroms)}.zarr"
        tracks_of(1, 60_000, chroms).select(role="input").save(folder)
        tracks = ctl.data.BinnedTracks.open(folder)
        tracemalloc.start()
        model.predict(tracks, out=tmp_path / f"{len(chroms)}_out.zarr")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 2 * peaks[0]  # six chromosomes, not one


def test_no_bin_outside_of_training_is_learned(trained):
    tracks = trained[1]
    expected = cnn(tracks, 3).content_hash
    other = tracks_of()
    other.splits = tracks.splits
    values = {c: np.array(other.values(c)) for c in other.chroms}
    values["chr2"][2:] = 50
    changed = ctl.data.BinnedTracks(values, other.table, chrom_sizes=other.chrom_sizes)
    changed.splits = tracks.splits
    assert cnn(changed, 3).content_hash == expected


def test_every_bin_is_seen_once_an_epoch_whatever_the_cuts():
    n = 1000
    y = np.full((1, n), np.nan, dtype=np.float32)
    y[0, 37:400], y[0, 405:431], y[0, 800:1000] = 1, 1, 1
    y = y * np.arange(n)
    signal = np.arange(2 * n, dtype=np.float32).reshape(2, n)
    data = Intervals([signal, signal[:, :90]], [y, y[:, 37:127]], 21, 64)
    for shuffle in (True, False):
        loader = interval_loader(data, 3, shuffle=shuffle, seed=0)
        orders = []
        for epoch in range(3):
            loader.sampler.set_epoch(epoch)
            batches = list(loader)
            assert len(batches) == len(loader)
            seen = np.concatenate([b.y[torch_known(b.y)].numpy() for b in batches])
            np.testing.assert_array_equal(np.sort(seen), np.sort(np.concatenate([y[np.isfinite(y)], y[0, 37:127]])))
            assert sum(len(b) for b in batches) == len(data) == 679
            orders.append(seen.tolist())
            for b in batches:  # the signal of bin i is i, so the middle of a window tells where it was taken from
                known = torch_known(b.y[:, 0]).numpy()
                at, values = b.x[:, 0, 10:-10].numpy()[known], b.y[:, 0].numpy()[known]
                np.testing.assert_array_equal(np.isin(values - at, (0, 37)), True)
        assert (orders[0] == orders[1]) == (not shuffle)


def torch_known(y):
    return ~y.isnan()


def test_batches_of_intervals_depend_on_seed_and_epoch_alone():
    def draw(seed, epoch):
        batches = IntervalBatches([(0, 0, 500), (1, 30, 700)], 100, 4, shuffle=True, seed=seed)
        batches.set_epoch(epoch)
        return np.concatenate(list(batches)).tolist()

    assert draw(1, 2) == draw(1, 2)
    assert draw(1, 2) != draw(1, 3)
    assert draw(1, 2) != draw(2, 2)


def test_classes_are_scored_by_average_precision_from_probabilities():
    tracks = tracks_of()
    ctl.pp.smooth_tracks(tracks, sigma=2)
    peak = tracks.values("chr2", ["rare"], layer="raw")[0] > 0
    base = peak.mean()
    for architecture, options in (("cnn", SMALL), ("xgboost", {"window": 41, "min_child_weight": 1.0})):
        options = {**options, "architecture": architecture, "task": "classification", "targets": "rare"}
        model = ctl.models.Nascent(tracks, **options)
        model.train(max_epochs=20, seed=0, lr=1e-2 if architecture == "cnn" else 0.3)
        p = model.predict().values("chr2")[0]
        assert 0 <= p.min() < p.max() <= 1
        assert average_precision_score(peak, p) > 0.8 > 3 * base
        assert p.mean() == pytest.approx(base, rel=0.3)
        again = ctl.models.load(model.to_record())
        np.testing.assert_allclose(again.predict(tracks).values("chr2")[0], p, atol=1e-6)
    assert model.history["train_loss"][-1] < 0.2  # 1 - AP


def test_trees_of_classes_are_those_of_xgboost_itself(log):
    import xgboost

    tracks = tracks_of()
    for loss, objective in (("logistic", "binary:logistic"), ("hinge", "binary:hinge")):
        options = {"architecture": "xgboost", "window": 9, "targets": "rare", "subsample": 1.0}
        model = ctl.models.Nascent(tracks, task="classification", loss=loss, **options)
        model.train(max_epochs=5, lr=0.3, seed=4)
        found = model.predict().values("chr2")[0]
        from chromatell.models.nascent._signal import Signal

        def features(chrom, scale=model.fitted.scale):
            return (
                Signal((tracks.values(chrom, role="input") / scale[:, None]).astype(np.float32), 9)
                .features(slice(0, N))
                .T
            )

        y = tracks.values("chr1", "rare")[0]
        parameters = {
            "objective": objective,
            "tree_method": "hist",
            "eta": 0.3,
            "seed": 4,
            "max_depth": 6,
            "min_child_weight": 100.0,
            "colsample_bytree": 0.5,
            "nthread": 1,
            "base_score": 0.0 if loss == "hinge" else float(y.mean()),
        }
        booster = xgboost.train(parameters, xgboost.DMatrix(features("chr1"), label=y), 5)
        expected = booster.predict(xgboost.DMatrix(features("chr2")), output_margin=loss == "hinge")
        np.testing.assert_allclose(found, expected, atol=1e-5)
        lowest = min(model.history["train_loss"])
        assert f"Trees of target 1 of 1: lowest training loss {lowest:.4g}." in log[-1]
        assert any(line.startswith("Trees are grown on ") for line in log)


def test_masked_poisson_and_weighted_losses_learn_too():
    tracks = tracks_of()
    for loss in ("masked_mse", "poisson", "weighted_mse"):
        found = cnn(tracks, 15, loss=loss, targets="mark").predict(chroms="chr2")
        assert correlation(found, tracks, "mark") > 0.85
        assert found.values("chr2").min() >= 0
    values = {c: tracks.values(c) - np.array([[0], [0], [1], [0]]) for c in tracks.chroms}
    below = ctl.data.BinnedTracks(values, tracks.table, chrom_sizes=tracks.chrom_sizes)
    with pytest.raises(ctl.ChromatellError, match="'mark' reach -1"):
        cnn(below, 1, loss="poisson")


def test_a_masked_loss_needs_validation_bins_with_signal():
    tracks = tracks_of(chroms=("chr1", "chr2", "chr3"))
    ctl.pp.split_regions(tracks, holdout={"test": "chr2", "val": "chr3"})
    values = {c: tracks.values(c, "mark").copy() for c in tracks.chroms}
    for c, x in values.items():
        x[:, tracks.usable(c, "val")] = 0
    tracks.replace(values, ["mark"])
    with pytest.raises(ctl.ChromatellError, match="in the validation bins all are 0: no epoch would be better"):
        cnn(tracks, 1, loss="masked_mse", targets="mark")
    cnn(tracks, 1, loss="masked_mse", targets=["mark", "rare"])  # one that has signal there chooses for both


def test_each_target_may_have_a_network_of_its_own():
    tracks = tracks_of()
    alone = cnn(tracks, 3, multi_task=False, targets=["mark"])
    both = cnn(tracks, 3, multi_task=False, targets=["mark", "rare"])
    assert len(both.module.networks) == 2
    names = [n for n, _ in alone.module.networks[0].named_parameters()]
    assert names == [n for n, _ in both.module.networks[1].named_parameters()]
    assert correlation(both.predict(chroms="chr2"), tracks, "mark") > 0.5


def test_the_published_presets_train_through_tl():
    tracks = tracks_of()
    ctl.tl.nascent(
        tracks, architecture="cnn", preset="stanford2019", key_added="p", seed=0, train_kwargs={"max_epochs": 1}
    )
    assert tracks.names_of(role="prediction") == ["mark_p", "rare_p"]
    model = ctl.models.load(tracks)
    assert (model.options.window, model.options.multi_task) == (2561, False)
    model = ctl.models.Nascent(tracks, architecture="dense", preset="stanford2019", targets="mark", n_hidden=8)
    assert (model.options.window, model.options.dropout, model.train_config.optimizer) == (201, 0.0, "adam")


@pytest.fixture(scope="module")
def with_sequence(tmp_path_factory):
    """A mark that stands where a motif does, and signal that knows nothing of it."""
    rng = np.random.default_rng(0)
    n, size = 3000, 50
    folder = tmp_path_factory.mktemp("genome")
    values, text = {}, ""
    for chrom in ("chr1", "chr2"):
        bases = rng.choice(list("ACGT"), n * size)
        mark = rng.random(n) < 0.1
        for i in np.flatnonzero(mark):
            at = i * size + rng.integers(0, 38)
            bases[at : at + 12] = list("GGCCAATCTGAC") if rng.random() < 0.5 else list("GTCAGATTGGCC")
        values[chrom] = np.stack([rng.poisson(0.5, n), mark]).astype(np.float32)
        text += f">{chrom}\n{''.join(bases)}\n"
    (folder / "genome.fa").write_text(text)
    tracks = ctl.data.BinnedTracks(values, ["plus", "mark"], chrom_sizes=dict.fromkeys(values, n * size))
    tracks.table.loc["plus", "role"] = "input"
    ctl.pp.split_regions(tracks, holdout={"test": "chr2"}, fractions=(0.9, 0.0, 0.1))
    return tracks, folder / "genome.fa"


def test_a_motif_is_found_where_the_sequence_is_read(with_sequence):
    tracks, fasta = with_sequence
    options = {**SMALL, "n_filters": 16, "context": "sequence"}
    ctl.tl.nascent(tracks, fasta=fasta, seed=0, train_kwargs={"max_epochs": 30, "lr": 1e-2}, **options)
    u = tracks.usable("chr2", "test")
    found, mark = (tracks.values("chr2", [name])[0][u] for name in ("mark_nascent", "mark"))
    assert np.corrcoef(found, mark)[0, 1] > 0.8
    loaded = ctl.models.load(tracks)
    inputs = tracks.select("plus")
    again = loaded.predict(inputs, fasta=ctl.genome.Genome(fasta), chroms="chr2")
    np.testing.assert_allclose(again.values("chr2")[0][u], found, atol=1e-5)
    with pytest.raises(ctl.ChromatellError, match="pass fasta="):
        loaded.predict(inputs)


def test_sequence_that_is_missing_or_not_asked_for_is_refused(with_sequence, tmp_path):
    tracks, fasta = with_sequence
    with pytest.raises(ctl.ChromatellError, match="pass fasta="):
        ctl.models.Nascent(tracks, architecture="cnn", context="sequence")
    with pytest.raises(ctl.ChromatellError, match="signal alone. Leave fasta= out, or train one that reads both"):
        ctl.models.Nascent(tracks, fasta=fasta)
    (tmp_path / "one.fa").write_text(">chr1\nACGT\n")
    with pytest.raises(ctl.ChromatellError, match="lacks 'chr2'"):
        ctl.models.Nascent(tracks, architecture="cnn", context="sequence", fasta=tmp_path / "one.fa")


def test_windows_and_targets_that_cannot_work_are_refused(tmp_path):
    tracks = tracks_of()
    with pytest.raises(ctl.ChromatellError, match="window=5999"):
        ctl.tl.nascent(tracks, window=6001)
    with pytest.raises(ctl.ChromatellError, match="is no multiple of the bin size"):
        ctl.tl.nascent(tracks, window="1020bp")
    with pytest.raises(ctl.ChromatellError, match="on one side of threshold=99"):
        ctl.tl.nascent(tracks, task="classification", threshold=99.0, window=9)
    with pytest.raises(ctl.ChromatellError, match="choose one of"):
        ctl.tl.nascent(tracks, architecture="cnn", preset="best")
    (tmp_path / "there.zarr").mkdir()
    with pytest.raises(ctl.ChromatellError, match="Choose another path"):
        ctl.tl.nascent(tracks, out=tmp_path / "there.zarr")
    assert tracks.uns.get("ctl") is None


def test_tl_with_a_store_keeps_predictions_there(tmp_path):
    tracks = tracks_of()
    out = tmp_path / "predicted.zarr"
    ctl.tl.nascent(tracks, out=out, seed=0, train_kwargs={"max_epochs": 2}, **SMALL)
    assert not tracks.in_memory
    model = ctl.models.load(tracks)
    np.testing.assert_allclose(
        tracks.values("chr2", "mark_nascent"), model.predict(tracks).values("chr2", "mark_nascent"), atol=1e-6
    )
