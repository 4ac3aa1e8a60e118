"""`architecture='transfer'`: features counted one by one, strands, depth, blend, and samples that might have been."""

from __future__ import annotations

import numpy as np
import pytest
from tests.models.nascent.made_run_on import TRAIN, made, tracks_of

import chromatell as ctl
from chromatell.data._other_assays import KINDS, changed
from chromatell.io import Record
from chromatell.models.nascent._bins import most_bins
from chromatell.models.nascent._carry import Densities, Sample, assays_of, n_carried, sample_scale
from chromatell.models.nascent._transfer import Blend

BOTH = [{"assay": "PRO", "strand": "+"}, {"assay": "PRO", "strand": "-"}]


@pytest.fixture(scope="module")
def model():
    found = ctl.models.Nascent(tracks_of(made()), window=51, min_child_weight=5)
    found.train(**TRAIN)
    return found


def test_it_is_the_default_and_its_features_are_counted():
    assert ctl.models.Nascent(tracks_of(made())).options.architecture == "transfer"
    for inputs in (BOTH, [{"assay": "a", "strand": "."}], [*BOTH, {"assay": "ATAC", "strand": "."}]):
        values, usable, assays = np.ones((len(inputs), 60)), np.ones(60, dtype=bool), assays_of(inputs)
        for ranks in (True, False):
            signal = Densities(values, assays, Sample.of([(values, usable)], assays, 41, ranks), 41)
            assert signal.features(slice(0, 60)).shape == (n_carried(inputs, 41, ranks), 60)


def test_features_are_those_counted_bin_by_bin():
    rng = np.random.default_rng(1)
    values = rng.poisson(0.4, (2, 60)).astype(float)
    values[:, 20] = 40
    scale = sample_scale([values], assays_of(BOTH))
    total = values.sum(axis=0)
    cut = np.quantile(total[total > 0], 0.9)
    mean = np.minimum(total, cut).mean()
    np.testing.assert_allclose(scale, [[cut, mean, 1]])
    clipped = values * np.where(total > cut, cut / np.maximum(total, 1), 1)
    signal = Densities(values, assays_of(BOTH), Sample(scale), 5)
    found = signal.features(np.array([0, 20, 33]))
    for column, at in enumerate((0, 20, 33)):
        expected, narrower = [], None
        for width in (1, 3, 5):
            half = width // 2
            plus, minus = (x[max(at - half, 0) : at + half + 1].sum() for x in clipped)
            density = np.log2((plus + minus + 1) / (width * mean + 1))
            expected += [density] if narrower is None else [density, density - narrower]
            narrower = density
            if width > 1:
                up, down = slice(max(at - half, 0), at), slice(at + 1, at + half + 1)
                log = {
                    (i, side): np.log2((clipped[i, part].sum() + 1) / (half * mean / 2 + 1))
                    for i in (0, 1)
                    for side, part in (("up", up), ("down", down))
                }
                part = min(log[0, "down"], log[1, "up"])
                sides = [np.log2((clipped[:, p].sum() + 1) / (half * mean / 2 + 1)) for p in (down, up)]
                expected += [
                    abs(plus - minus) / (plus + minus + 2),
                    part,
                    part - min(log[0, "up"], log[1, "down"]),
                    abs(sides[0] - sides[1]),
                ]
        np.testing.assert_allclose(found[:, column], expected, rtol=1e-5, atol=1e-6)


def test_ranks_are_shares_of_the_samples_bins_whatever_the_unit_and_the_spread():
    rng, inputs = np.random.default_rng(4), [{"assay": "a", "strand": "."}]
    values = rng.gamma(0.2, 1.0, (1, 3000))
    usable, assays = rng.random(3000) < 0.8, assays_of(inputs)
    plain = n_carried(inputs, 121, ranks=False)
    found = []
    for v in (values, 7 * values):
        sample = Sample.of([(v, usable)], assays, 121, ranks=True)
        found.append(Densities(v, assays, sample, 121).features(slice(0, 3000))[plain:])
    np.testing.assert_allclose(found[0], found[1], atol=1e-3)
    for row, deviation in zip(found[0], (2, 6, 20), strict=True):
        offsets = np.arange(-3 * deviation, 3 * deviation + 1)
        kernel = np.exp(-0.5 * (offsets / deviation) ** 2)
        smooth = np.convolve(values[0], kernel / kernel.sum(), mode="same")
        share = np.array([(smooth[usable] >= x).mean() for x in smooth[usable]])
        np.testing.assert_allclose(row[usable], -np.log10(share), atol=0.13)  # thresholds are 1/8 apart
        assert np.abs(row[usable] + np.log10(share))[share > 0.01].mean() < 0.02


def test_bins_that_are_alike_rank_as_the_lowest_of_them():
    values = np.zeros((2, 1000))
    values[0, 500] = 1
    sample = Sample.of([(values, np.ones(1000, dtype=bool))], assays_of(BOTH), 51, ranks=True)
    ranks = Densities(values, assays_of(BOTH), sample, 51).features(slice(0, 1000))[n_carried(BOTH, 51, ranks=False) :]
    assert (ranks[:2, :400] == 0).all()
    assert (ranks[:2, 500] == ranks[:2].max(axis=1)).all()
    apart, at_once, higher, lower = ranks[2:]
    assert higher[500] > 2
    for one in (lower, apart, at_once):
        assert (one == 0).all()


def test_the_other_strand_has_the_same_features_and_predictions(model):
    values = made(3)
    turned = values[[1, 0, 2]][:, ::-1].copy()
    assays, usable = assays_of(BOTH), np.ones(values.shape[1], dtype=bool)
    samples = [Sample.of([(v[:2], usable)], assays, 51, ranks=True) for v in (values, turned)]
    np.testing.assert_array_equal(samples[0].ranks, samples[1].ranks)
    signals = [Densities(v[:2], assays, s, 51) for v, s in zip((values, turned), samples, strict=True)]
    a, b = (s.features(slice(0, values.shape[1])) for s in signals)
    np.testing.assert_allclose(a, b[:, ::-1], atol=1e-4)
    there, back = (model.predict(tracks_of(v)).values("chr1") for v in (values, turned))
    assert np.corrcoef(there[0], back[0, ::-1])[0, 1] > 0.999


def test_neither_unit_nor_blocks_nor_storage_change_a_prediction(model, tmp_path):
    values = made(2)
    expected = model.predict(tracks_of(values)).values("chr1")
    other = values * np.array([[0.25], [0.25], [1]], dtype=np.float32)  # of the same bits
    np.testing.assert_allclose(model.predict(tracks_of(other)).values("chr1"), expected, atol=1e-3)
    model.save(tmp_path / "model")
    loaded = ctl.models.load(tmp_path / "model")
    np.testing.assert_allclose(loaded.predict(tracks_of(values)).values("chr1"), expected, rtol=0, atol=1e-6)
    assert loaded.content_hash == model.content_hash
    mark = values[2] > 0
    assert expected[0, mark].mean() > 5 * expected[0, ~mark].mean()


def test_fewer_reads_and_sharper_sites_cost_less_than_without_the_samples_that_might_have_been():
    base = tracks_of(made(n=8000, level=4.0))
    query = made(5, n=8000, level=4.0)
    mark, rng = query[2] > 0, np.random.default_rng(0)
    thinned = np.stack([*rng.binomial(query[:2].astype(int), 0.1), query[2]])
    scores = {}
    for augment in (True, False):
        model = ctl.models.Nascent(base, window=51, min_child_weight=5, augment=augment)
        model.train(**TRAIN)
        found = model.predict(tracks_of(thinned)).values("chr1")[0]
        scores[augment] = ctl.metrics.average_precision(mark, found)
    assert scores[True] > scores[False] + 0.02


def test_changed_samples_are_what_they_say():
    rng = np.random.default_rng(0)
    values = made(n=20_000, level=6.0)[:2]
    total = values.sum()
    for kind in KINDS:
        found = changed(values * 0.02, kind, "+-", 0.02, 50, rng)
        assert found.shape == values.shape
        assert (found >= 0).all()
        if kind.startswith("thin"):
            assert found.sum() == pytest.approx(float(kind.split()[1]) * total, rel=0.1)
            assert (found <= values + 1).all()

    def top(x):
        ordered = np.sort(x.sum(axis=0))[::-1]
        return ordered[:20].sum() / max(ordered.sum(), 1)

    caps = [top(changed(values, "cap", "+-", 1.0, 50, np.random.default_rng(i))) for i in range(5)]

    assert np.mean(caps) > 1.5 * top(values)


def test_the_blend_is_the_mean_that_it_says():
    trees = np.array([[0.0, 1.0, 2.0, 5.0]], dtype=np.float32)
    signal = np.array([0.0, 1.0, 2.0, 3.0])
    blend = Blend.of(0.25, trees, signal, trees)
    simple = trees.mean() + trees.std() / signal.std() * (signal - 1.5)
    np.testing.assert_allclose(blend.apply(trees, signal)[0], 0.75 * trees[0] + 0.25 * simple, rtol=1e-6)
    np.testing.assert_array_equal(Blend.of(0.0, trees, signal, trees).apply(trees, signal), trees)


def test_a_target_that_does_not_rise_with_the_signal_has_none_of_it():
    signal = np.arange(4.0)
    trees = np.array([[0.0, 1, 2, 3]] * 3, dtype=np.float32)
    targets = np.array([[0.0, 1, 2, 5], [5.0, 1, 1, 0], [0.0, 1, 1, 0]], dtype=np.float32)
    assert Blend.of(0.25, trees, signal, targets).share.tolist() == [0.25, 0, 0]


def test_blend_and_scale_of_a_record_are_checked(model):
    record = model.to_record()
    assert record.schema == 6
    changes = {
        "weights.blend.share": np.array([2.0]),
        "weights.blend.slope": np.array([np.nan]),
        "weights.blend.level": np.zeros(2),
        "weights.blend.width": np.array([-1.0]),
        "weights.blend.network": np.array([1.5]),
        "scaling.sample": np.zeros((1, 3)),
        "scaling.ranks": -record.arrays["scaling.ranks"],
    }
    for name, value in changes.items():
        broken = Record(record.family, 6, record.config, {**record.arrays, name: value}, record.var_names)
        with pytest.raises(ctl.ChromatellError, match="Ask for the file again"):
            ctl.models.load(broken)
    broken = Record(record.family, 6, {**record.config, "signal": {"reads": "x"}}, record.arrays, record.var_names)
    with pytest.raises(ctl.ChromatellError, match="says of its signal"):
        ctl.models.load(broken)


def test_a_record_of_before_ranks_predicts_as_it_did():
    options = {"ranks": False, "smooth": False}
    model = ctl.models.Nascent(tracks_of(made()), window=51, min_child_weight=5, **options)
    model.train(max_epochs=3, seed=0)
    expected, record = model.predict(tracks_of(made(2))).values("chr1"), model.to_record()
    assert "scaling.ranks" not in record.arrays
    options = {k: v for k, v in record.config["options"].items() if k not in options}
    older = Record(record.family, 2, {**record.config, "options": options}, record.arrays, record.var_names)
    np.testing.assert_array_equal(ctl.models.load(older).predict(tracks_of(made(2))).values("chr1"), expected)


def test_classes_have_probabilities():
    model = ctl.models.Nascent(tracks_of(made()), window=51, task="classification", min_child_weight=1)
    model.train(**TRAIN)
    values = made(4)
    found = model.predict(tracks_of(values)).values("chr1")[0]
    assert (found >= 0).all()
    assert (found <= 1).all()
    assert ctl.metrics.average_precision(values[2] > 0, found) > 0.7


def test_a_sample_unlike_that_of_training_is_told():
    base = tracks_of(made(n=40_000, level=6.0))
    model = ctl.models.Nascent(base, window=51, max_bins=20_000)
    model.train(max_epochs=2, seed=0)
    values, rng = made(7, n=40_000, level=6.0), np.random.default_rng(0)
    model.predict(tracks_of(values))
    with pytest.warns(ctl.ChromatellWarning, match="3[0-9] times fewer reads"):
        model.predict(tracks_of(np.stack([*rng.binomial(values[:2].astype(int), 0.03), values[2]])))
    sharp = values.copy()
    sharp[0, rng.choice(40_000, 40, replace=False)] = 5000
    with pytest.warns(ctl.ChromatellWarning, match="another assay"):
        model.predict(tracks_of(sharp))


def test_the_card_says_which_marks_cannot_be_had():
    values = made(n=8000)
    noise = np.random.default_rng(0).random((1, 8000))
    tracks = tracks_of(values)
    tracks.add({"chr1": noise}, [{"name": "noise", "role": "target"}])
    ctl.pp.split_regions(tracks, by="blocks", block=20_000, width=2550, fractions=(0.6, 0.2, 0.2), seed=0)
    ctl.tl.nascent(tracks, window=51, max_bins=4000, min_child_weight=5, train_kwargs={"max_epochs": 30}, seed=0)
    card = ctl.models.load(tracks).card["validation"]
    assert (card["mark"]["predictable"], card["noise"]["predictable"]) == (True, False)
    usable = tracks.usable("chr1", "val")
    own = np.corrcoef(*(tracks.values("chr1", name)[0][usable] for name in ("mark", "mark_nascent")))[0, 1]
    assert card["mark"]["pearson"] == pytest.approx(own, abs=0.01)  # before the floor
    assert card["mark"]["bins"] == usable.sum()


def test_few_training_bins_leave_validation_whole():
    tracks = tracks_of(made(n=8000))
    ctl.pp.split_regions(tracks, by="blocks", block=20_000, width=2550, fractions=(0.6, 0.2, 0.2), seed=0)
    for architecture in ("xgboost", "transfer"):
        model = ctl.models.Nascent(tracks, architecture=architecture, window=51, max_bins=400)
        model._fit_stats(tracks, 0)
        assert most_bins(model.options, "train") == 400
        assert most_bins(model.options, "val") >= tracks.usable("chr1", "val").sum()
