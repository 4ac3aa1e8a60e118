"""Trees as plain arrays: equal to XGBoost, and altered ones are refused or harmless."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import chromatell as ctl
from chromatell.io import Record
from chromatell.models.nascent._trees import Trees, joined_trees, read_booster

xgb = pytest.importorskip("xgboost")


@pytest.fixture(scope="module")
def boosted():
    rng = np.random.default_rng(0)
    x = rng.gamma(0.5, 2.0, (3000, 7)).astype(np.float32)
    x[rng.random(x.shape) < 0.3] = 0
    y = np.stack([x[:, 0] * (x[:, 1] > 1) + 5, np.sin(x[:, 2])])
    boosters = [
        xgb.train(
            {"max_depth": d, "eta": 0.3, "base_score": 0.25, "tree_method": "hist", "nthread": 1, "subsample": 0.7},
            xgb.DMatrix(x, label=row),
            rounds,
        )
        for row, d, rounds in zip(y, (6, 3), (25, 12), strict=True)
    ]
    return x, boosters


def read(boosters, rounds):
    return joined_trees([read_booster(b, n, 0.25) for b, n in zip(boosters, rounds, strict=True)])


def test_arrays_predict_what_xgboost_predicts(boosted):
    x, boosters = boosted
    trees = read(boosters, [25, 10])
    trees.check(7, 2)
    found = trees.predict(np.ascontiguousarray(x.T))
    expected = [boosters[0].predict(xgb.DMatrix(x)), boosters[1].predict(xgb.DMatrix(x), iteration_range=(0, 10))]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_a_value_that_equals_a_threshold_goes_right_as_in_xgboost(boosted):
    _, boosters = boosted
    trees = read(boosters, [25, 12])
    inner = trees.feature >= 0
    edges = np.full((int(inner.sum()), 7), 0.5, dtype=np.float32)
    edges[np.arange(len(edges)), trees.feature[inner]] = trees.threshold[inner]
    expected = [b.predict(xgb.DMatrix(edges)) for b in boosters]
    np.testing.assert_allclose(trees.predict(np.ascontiguousarray(edges.T)), expected, rtol=1e-6, atol=1e-6)


def test_a_tree_by_hand():
    trees = Trees(
        start=np.array([0, 5, 6]),
        target=np.array([0, 1], dtype=np.int32),
        feature=np.array([1, -1, 0, -1, -1, -1], dtype=np.int32),
        threshold=np.array([2, 0, 1, 0, 0, 0], dtype=np.float32),
        left=np.array([1, -1, 3, -1, -1, -1], dtype=np.int32),
        leaf=np.array([0, 10, 0, 20, 30, 7], dtype=np.float32),
        base=np.array([1.0, 0.0]),
    )
    trees.check(2, 2)
    x = np.array([[5, 0, 1], [1.9, 2.0, 3.0]], dtype=np.float32)
    assert trees.predict(x).tolist() == [[11, 21, 31], [7, 7, 7]]


@pytest.mark.parametrize(
    ("field", "change", "message"),
    [
        ("left", lambda a: np.where(a == 1, 0, a), "children"),
        ("left", lambda a: a[:-1], "differ in length"),
        ("feature", lambda a: np.where(a == a.max(), 10**9, a), "not among"),
        ("feature", lambda a: np.where(a == a.max(), -1, a), "children"),
        ("feature", lambda a: a.astype(np.int64), "int64"),
        ("threshold", lambda a: a * np.nan, "finite"),
        ("start", lambda a: a + 1, "cover"),
        ("start", lambda a: np.concatenate([a[:1], a[1:2] * 0, a[2:]]), "no node"),
        ("target", lambda a: a - 5, "targets"),
        ("base", lambda a: a[:1], "targets"),
        ("leaf", lambda a: a[:, np.newaxis], "leaf"),
    ],
)
def test_arrays_that_are_no_trees_are_refused(boosted, field, change, message):
    trees = read(boosted[1], [25, 12])
    altered = dataclasses.replace(trees, **{field: change(getattr(trees, field))})
    with pytest.raises(ctl.ChromatellError, match=message):
        altered.check(7, 2)


def test_a_chain_that_is_too_deep_is_refused():
    depth = 70  # at each level a leaf, and behind it a node that splits
    n = 2 * depth + 1
    feature, left = np.full(n, -1, dtype=np.int32), np.full(n, -1, dtype=np.int32)
    feature[0:-1:2] = 0
    left[0:-1:2] = 1 + 2 * np.arange(depth)
    zeros = np.zeros(n, dtype=np.float32)
    trees = Trees(np.array([0, n]), np.zeros(1, dtype=np.int32), feature, zeros, left, zeros, np.zeros(1))
    with pytest.raises(ctl.ChromatellError, match="deeper than 64"):
        trees.check(1, 1)


@pytest.fixture(scope="module")
def record():
    rng = np.random.default_rng(1)
    signal = rng.poisson(0.4, 3000)
    tracks = ctl.data.BinnedTracks({"chr1": [signal, signal > 1]}, ["plus", "mark"], chrom_sizes={"chr1": 150_000})
    tracks.table.loc["plus", "role"] = "input"
    model = ctl.models.Nascent(tracks, architecture="xgboost", window=11)
    model.train(max_epochs=8, seed=0)
    return model.to_record(), tracks.select(["plus"])


def test_altered_arrays_are_refused_or_predict_numbers(record):
    """Bytes, lengths and types of every stored array are altered at random, and the hash made to fit."""
    good, tracks = record
    rng = np.random.default_rng(5)
    names = [n for n in good.arrays if not n.startswith("history.")]
    refused = 0
    for _ in range(300):
        arrays = {k: v.copy() for k, v in good.arrays.items()}
        name = names[rng.integers(len(names))]
        raw = bytearray(arrays[name].tobytes())
        for at in rng.integers(len(raw), size=rng.integers(1, 4)):
            raw[at] = rng.integers(256)
        altered = np.frombuffer(bytes(raw), dtype=arrays[name].dtype)
        how = rng.integers(4)
        if how == 1:
            altered = altered[: rng.integers(altered.size)]
        elif how == 2:
            altered = np.concatenate([altered, altered])
        elif how == 3:
            with np.errstate(all="ignore"):
                altered = altered.astype(rng.choice(["float32", "int64", "uint8"]))
        arrays[name] = altered
        try:
            with np.errstate(all="ignore"):
                model = ctl.models.load(Record(good.family, good.schema, good.config, arrays, good.var_names))
                found = model.predict(tracks).values("chr1")
        except ctl.ChromatellError:
            refused += 1
        else:
            assert found.shape == (1, 3000)
    assert 100 < refused < 300


def test_damaged_descriptions_are_refused(record):
    good, _ = record
    for config in (
        {**good.config, "options": {**good.config["options"], "window": 10}},
        {**good.config, "options": {**good.config["options"], "window": 4001}},
        {**good.config, "options": {**good.config["options"], "depth": 1}},
        {**good.config, "input_tracks": []},
        {**good.config, "options": {**good.config["options"], "bin_size": 0}},
    ):
        with pytest.raises(ctl.ChromatellError):
            ctl.models.load(Record(good.family, good.schema, config, good.arrays, good.var_names))
