"""A target that no validation bin knows: it is as without validation bins, and nothing is said of how good it is."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest
from tests.models.nascent.made_run_on import made

import chromatell as ctl
from chromatell.models.nascent import _carried_network

VAL, TEST = 1, 2
OPTIONS = {"window": 51, "min_child_weight": 5, "seed": 0, "train_kwargs": {"max_epochs": 25, "patience": 3}}


@pytest.fixture(autouse=True)
def small(monkeypatch):
    for name, value in {"_FEWEST": 8, "_STEPS": 20, "_BATCH": 6}.items():
        monkeypatch.setattr(_carried_network, name, value)


def split(unknown=np.nan, without=False, sigma=0):
    """Two marks, the second of which has one value in all validation bins; `without` makes these test bins."""
    values = made(n=10_000, width=15)
    values = np.concatenate([values, values[2:]])
    table = pd.DataFrame({"name": ["plus", "minus", "mark", "other"], "assay": ["PRO", "PRO", "mark", "other"]})
    table["strand"], table["role"] = ["+", "-", ".", "."], ["input", "input", "target", "target"]

    def tracks():
        found = ctl.data.BinnedTracks({"chr1": values}, table, chrom_sizes={"chr1": 500_000})
        ctl.pp.split_regions(found, by="blocks", block=50_000, width=2550, fractions=(0.6, 0.2, 0.2), seed=0)
        return found

    values[3, tracks().splits["chr1"] == VAL] = unknown
    found = tracks()
    if sigma:
        ctl.pp.smooth_tracks(found, sigma=sigma)
    if without:
        found.splits = {"chr1": np.where(found.splits["chr1"] == VAL, TEST, found.splits["chr1"])}
    return found


def trained(tracks, **options):
    ctl.tl.nascent(tracks, **{**OPTIONS, **options})
    return ctl.models.load(tracks), tracks.values("chr1", "other_nascent")[0]


@pytest.mark.parametrize(
    "options", [{"architecture": "xgboost"}, {"smooth": False}, {"cnn": True}], ids=["xgboost", "transfer", "cnn"]
)
def test_it_is_grown_for_all_rounds_and_the_card_says_nothing_of_it(options, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("chromatell"), "propagate", True)
    with caplog.at_level("INFO", logger="chromatell"):
        tracks = split(sigma=4)
        model, found = trained(tracks, **options)
    assert "No validation bin of 'other' is known: trees of all 25 rounds are kept" in caplog.text
    assert "from this signal: other (none is known). The model's card says None." in caplog.text
    assert "cannot be had" not in caplog.text
    without, expected = trained(split(sigma=4, without=True), **options)
    np.testing.assert_array_equal(found, expected)  # of which the spread is that of the mark
    assert found.std() > 0.4 * np.nanstd(tracks.values("chr1", "other")[0])
    assert model.card["validation"]["other"] == {"bins": 0, "pearson": None, "predictable": None}
    assert model.card["validation"]["mark"]["predictable"] is True
    assert len(without.history["train_loss"]) == 25
    assert "validation_loss" in model.history
    if "architecture" not in options:
        assert (
            model.card["smoothing"]["other"] == without.card["smoothing"]["other"] == (100 if "cnn" in options else 0)
        )
        assert model.card["cnn_share"]["other"] == (0.5 if "cnn" in options else 0)


@pytest.mark.parametrize("unknown", [np.nan, 0, 50])
def test_so_is_one_of_which_validation_bins_hold_one_class_alone(unknown):
    options = {"architecture": "xgboost", "task": "classification"}
    model, found = trained(split(unknown), **options)
    _, expected = trained(split(unknown, without=True), **options)
    np.testing.assert_array_equal(found, expected)
    card = model.card["validation"]["other"]
    assert (card["average_precision"], card["predictable"]) == (None, None)
    assert card["prevalence"] == (None if np.isnan(unknown) else unknown / 50)


def test_a_network_says_so_too():
    tracks = split()
    options = {"architecture": "dense", "window": 21, "n_hidden": 8, "min_child_weight": None}
    ctl.tl.nascent(tracks, **{k: v for k, v in {**OPTIONS, **options}.items() if v is not None})
    card = ctl.models.load(tracks).card["validation"]
    assert card["other"] == {"bins": 0, "pearson": None, "predictable": None}
    assert card["mark"]["pearson"] > 0
