"""The view, the baseline and the kind of data of docs/contributing/add-a-view.md work as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from tests.tl.made_bins import made, some_bins

import chromatell as ctl
from chromatell import ChromatellError
from chromatell.evaluation.tasks import TASKS
from chromatell.evaluation.views.registry import VIEWS, view_names
from chromatell.models.baselines import cells, protocol

PAGE = Path(__file__).parents[2] / "docs" / "contributing" / "add-a-view.md"


@pytest.fixture
def page():
    """The page's blocks, run in their order; what they register is forgotten afterwards."""
    before = dict(VIEWS), dict(protocol.BASELINES), list(TASKS)
    names: dict = {"__name__": "page"}
    try:
        for block in re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), flags=re.M | re.S):
            exec(block, names)
        yield names
    finally:
        for register, held in ((VIEWS, before[0]), (protocol.BASELINES, before[1])):
            register.clear()
            register.update(held)
        TASKS[:] = before[2]


@pytest.fixture(scope="module")
def mdata():
    mdata = ctl.datasets.simulate_multiome(300, 20, 60, n_types=2, depth=12.0, seed=0)
    ctl.pp.split_cells(mdata, seed=0)
    truth = mdata["atac"].layers["truth"]
    ctl.tl.add_prediction(mdata, np.clip(truth, 0, 1).astype("f4"), key="true")
    return mdata


def test_the_view_and_the_baseline(page, mdata):
    done = ctl.tl.evaluate(mdata, baselines=["shrunken_mean"], views="top_regions", n_bootstrap=50, seed=0, copy=True)
    table = done.uns["ctl"]["evaluation"].set_index("model")
    test = (mdata.obs["ctl_split"] == "test").to_numpy()
    opened = (mdata["atac"].X[test] > 0).toarray()
    p = mdata["atac_pred"].X[test]
    by_hand = np.mean([opened[i, np.argsort(-p[i], kind="stable")[:10]].mean() for i in range(len(p))])
    assert table.loc["true", "value"] == pytest.approx(by_hand)
    assert table.loc["true", "ci_low"] < by_hand < table.loc["true", "ci_high"]
    gain = done.uns["ctl"]["gains"].iloc[0]
    assert gain["gain"] == pytest.approx(by_hand - table.loc["shrunken_mean", "value"])
    ctl.tl.baseline(done, "shrunken_mean")
    train = (mdata.obs["ctl_split"] == "train").to_numpy()
    mean = np.clip((mdata["atac"].X[train] > 0).mean(axis=0), 0.5 / (train.sum() + 1), 1)
    share = done["atac_pred"].uns["ctl"]["provenance"]["shrunken_mean"]["shrunken_mean_share"]
    val = (mdata.obs["ctl_split"] == "val").to_numpy()
    truth = (mdata["atac"].X[val] > 0).toarray()
    brier = {s: np.mean(((1 - s) * np.asarray(mean) + s * mean.mean() - truth) ** 2) for s in (0.0, 0.1, 0.5)}
    assert share == min(brier, key=brier.get)
    found = done["atac_pred"].layers["shrunken_mean"][0]
    np.testing.assert_allclose(found, np.asarray((1 - share) * mean + share * mean.mean()).ravel(), rtol=1e-5)


def test_the_baseline_is_known_to_all_verbs_once_it_is_registered(page, mdata):
    """As in a script or a notebook, where `register` comes after ``import chromatell``."""
    assert cells.BASELINES["shrunken_mean"] == page["ShrunkenMean"].about
    done = ctl.tl.evaluate(mdata, views="overall", n_bootstrap=0, seed=0, copy=True)
    board = done.uns["ctl"]["evaluation"].set_index("model")
    assert bool(board.loc["shrunken_mean", "is_baseline"].all())
    assert list(dict.fromkeys(board.index))[-3:] == ["shrunken_mean", "region_mean_true_depth", "knn_atac"]
    ctl.tl.fisher(done, baselines=["shrunken_mean"], threshold=0.3, n_bootstrap=5)
    assert done.uns["ctl"]["fisher"]["model"].tolist() == ["true", "shrunken_mean"]
    with pytest.raises(ctl.ChromatellError, match="'shrunken_mean' is the name of a baseline"):
        ctl.tl.add_prediction(mdata, mdata["atac_pred"].X, key="shrunken_mean")


def test_the_view_of_cells_x_bins(page):
    bins = some_bins()
    model = made(bins)
    options = {"baselines": "bin_frequency_depth", "pairs": "completion", "n_bootstrap": 50, "seed": 0}
    ctl.tl.evaluate(bins, {"made": model}, views="top_regions", **options)
    table = bins.uns["ctl"]["evaluation"].set_index("model")
    seen = next(data for data in model.read if set(bins[data.obs_names].obs["ctl_split"]) == {"test"})
    was_open = (bins[seen.obs_names].X > 0).toarray()
    read = (seen.X > 0).toarray()
    assert (was_open & ~read).any(axis=1).all()
    p = np.where(read, -1, model.score.loc[seen.obs_names].to_numpy(dtype=np.float32))
    best = np.argsort(-p, axis=1, kind="stable")[:, :10]
    by_hand = np.take_along_axis(was_open, best, axis=1).mean()
    assert table.loc["made", "value"] == pytest.approx(by_hand)
    assert table.loc["made", "ci_low"] < by_hand < table.loc["made", "ci_high"]
    assert "top_regions" in view_names("pairs", own_bins=True)
    ctl.tl.evaluate(bins, {"made": model}, **options)
    assert list(dict.fromkeys(bins.uns["ctl"]["evaluation"]["view"])) == [
        "overall", "per_cell", "depth_matched", "top_regions",
    ]  # fmt: skip


def test_a_view_that_compares_every_pair_is_not_of_cells_x_bins(page):
    with pytest.raises(ctl.ChromatellError, match="views='profile' is not known"):
        ctl.tl.evaluate(some_bins(), [], views="profile")


def test_the_kind_of_data(page):
    rng = np.random.default_rng(0)
    adata = ad.AnnData(rng.dirichlet(np.ones(4), 30).astype("f4"), uns={"fractions": True})
    adata.layers["mine"] = adata.X + rng.normal(0, 0.01, adata.shape).astype("f4")
    ctl.tl.evaluate(adata)
    table = adata.uns["ctl"]["evaluation"].set_index("model")["value"]
    assert table["mine"] == pytest.approx(np.abs(adata.layers["mine"] - adata.X).mean())
    gain = adata.uns["ctl"]["gains"].iloc[0]
    assert gain["baseline"] == "mean"
    assert gain["gain"] == pytest.approx(table["mean"] - table["mine"])  # less error is a gain
    assert gain["gain"] > 0


def test_less_of_a_metric_is_better_in_the_views_that_say_so_alone(page, mdata):
    page["view"]("rate", of="tracks", lower_is_better=["auroc"])(lambda truth, prediction: iter(()))
    done = ctl.tl.evaluate(mdata, baselines=["region_mean"], views="per_cell", n_bootstrap=0, copy=True)
    value = done.uns["ctl"]["evaluation"].set_index(["model", "metric"])["value"]
    gain = done.uns["ctl"]["gains"].set_index("metric")["gain"]
    assert gain["auroc"] == pytest.approx(value["true", "auroc"] - value["region_mean", "auroc"])


def test_a_baseline_that_is_registered_is_known_to_every_verb(page, mdata):
    @protocol.register
    class Half(protocol.Baseline):
        name, about, of = "half", "one half in every bin", "tracks"

        def predict(self, rows, cols, option):
            return np.full((len(self.data.targets), self.data.tracks.n_bins_of(rows)), 0.5, dtype=np.float32)[:, cols]

    values = {"chr1": np.random.default_rng(0).poisson(1.0, (2, 4_000)).astype(np.float32)}
    table = pd.DataFrame({"name": ["signal", "mark"], "role": ["input", "target"]})
    tracks = ctl.data.BinnedTracks(values, table, chrom_sizes={"chr1": 200_000})
    ctl.pp.split_regions(tracks, by="blocks", block=20_000, width=50, seed=0)
    ctl.tl.baseline(tracks, "half")
    assert (tracks.values("chr1", ["mark_half"]) == 0.5).all()
    with pytest.raises(ChromatellError, match="'half' is the name of a baseline"):
        ctl.tl.nascent(tracks, key_added="half")
    with pytest.raises(ChromatellError, match="'shrunken_mean' is the name of a baseline"):
        ctl.tl.dense(mdata, key_added="shrunken_mean")


def test_what_the_page_registers_is_not_there_elsewhere():
    assert ("pairs", "top_regions") not in VIEWS
    assert ("cells", "shrunken_mean") not in protocol.BASELINES
    assert "shrunken_mean" not in cells.BASELINES
