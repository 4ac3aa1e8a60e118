"""`tl.nascent` and `tl.predict` on tracks: what is written, what is learned, what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import chromatell as ctl

N = 12_000
OPTIONS = {"window": 41, "train_kwargs": {"max_epochs": 40}}


def planted(seed, depth=1.0, n=N):
    """A mark that is the log of both strands' counts over 5 bins, and inputs of some depth."""
    rng = np.random.default_rng(seed)
    rate = np.repeat(rng.gamma(0.3, 3.0, n // 20), 20)
    plus, minus = rng.poisson(depth * rate), rng.poisson(depth * rate)
    mark = np.log1p(np.convolve(rate, np.ones(5), mode="same"))
    table = pd.DataFrame(
        {
            "name": ["plus", "minus", "mark", "noise"],
            "assay": ["PRO", "PRO", "H3K4me3", "other"],
            "strand": ["+", "-", ".", "."],
            "role": ["input", "input", "target", "target"],
        }
    )
    values = {"chr1": np.stack([plus, minus, mark, rng.random(n)]).astype(np.float32)}
    return ctl.data.BinnedTracks(values, table, chrom_sizes={"chr1": 50 * n - 10})


@pytest.fixture(scope="module")
def trained():
    tracks = planted(0)
    ctl.pp.split_regions(tracks, by="blocks", fractions=(0.5, 0.1, 0.4), block=20_000, width=41 * 50, seed=0)
    ctl.tl.nascent(tracks, seed=3, **OPTIONS)
    return tracks


def scored(tracks, name, of):
    u = tracks.usable("chr1", "test") if tracks.splits else slice(None)
    return np.corrcoef(tracks.values("chr1", name)[0][u], tracks.values("chr1", of)[0][u])[0, 1]


def test_a_planted_signal_is_found_in_bins_that_were_held_out_and_noise_is_not(trained):
    assert scored(trained, "mark_nascent", "mark") > 0.9
    assert abs(scored(trained, "noise_nascent", "noise")) < 0.1


def test_predictions_are_tracks_that_say_where_they_come_from(trained):
    row = trained.table.loc["mark_nascent"]
    assert (row["role"], row["assay"], row["sample"]) == ("prediction", "H3K4me3", "")
    assert trained.values("chr1", "mark_nascent").dtype == np.float32
    said = trained.uns["ctl"]["predictions"]["nascent"]
    assert said["tracks"] == ["mark_nascent", "noise_nascent"]
    assert (said["family"], said["depth"], said["seed"]) == ("nascent", "fixed", 3)
    model = ctl.models.load(trained)
    assert said["hash"] == model.content_hash
    assert model.config["training_bins"]["used"] == model.card["data"]["bins"]["train"]


def test_no_target_outside_of_training_is_read(trained):
    other = planted(0)
    other.splits = trained.splits
    values = np.array(other.values("chr1"))
    values[2:, other.splits["chr1"] == 2] = 1e6
    other = ctl.data.BinnedTracks({"chr1": values}, other.table, chrom_sizes=other.chrom_sizes)
    other.splits = trained.splits
    ctl.tl.nascent(other, seed=3, **OPTIONS)
    np.testing.assert_array_equal(other.values("chr1", "mark_nascent"), trained.values("chr1", "mark_nascent"))


def test_a_copy_leaves_the_tracks_as_they_are_and_a_second_call_replaces_predictions():
    tracks = planted(1, n=4000)
    small = {"window": 5, "train_kwargs": {"max_epochs": 3}}
    found = ctl.tl.nascent(tracks, targets="mark", key_added="trees", copy=True, seed=0, **small)
    assert tracks.names == ["plus", "minus", "mark", "noise"]
    assert tracks.uns == {}
    assert found.names_of(role="prediction") == ["mark_trees"]
    before = found.values("chr1", "mark_trees").copy()
    assert ctl.tl.nascent(found, targets="mark", key_added="trees", seed=0, window=41, max_depth=2) is None
    assert found.names_of(role="prediction") == ["mark_trees"]
    assert not np.array_equal(before, found.values("chr1", "mark_trees"))


def test_another_sample_of_another_depth_is_read_alike(trained):
    strands = planted(7, depth=8.0).select(["minus", "plus"])
    table = strands.table.assign(name=["rev", "fwd"])
    query = ctl.data.BinnedTracks({"chr1": strands.values("chr1")}, table, chrom_sizes=strands.chrom_sizes)
    found = ctl.tl.predict(query, model=trained)
    assert query.names == ["rev", "fwd"]
    assert found.names == ["rev", "fwd", "mark_nascent", "noise_nascent"]
    truth = planted(7, depth=8.0).values("chr1", "mark")[0]
    own = found.values("chr1", "mark_nascent")[0]
    fixed = ctl.tl.predict(query, model=trained, depth="fixed").values("chr1", "mark_nascent")[0]
    assert np.corrcoef(own, truth)[0, 1] > 0.9
    assert np.abs(own - truth).mean() < 0.7 * np.abs(fixed - truth).mean()


def test_the_model_travels_with_a_store_and_predicts_the_same(trained, tmp_path):
    trained.save(tmp_path / "tracks.zarr")
    opened = ctl.data.BinnedTracks.open(tmp_path / "tracks.zarr")
    query = planted(0).select(role="input")
    expected = trained.values("chr1", "mark_nascent")
    for source in (opened, tmp_path / "tracks.zarr", trained):
        found = ctl.tl.predict(query, model=source, depth="fixed")
        np.testing.assert_allclose(found.values("chr1", "mark_nascent"), expected, rtol=1e-6)
    assert opened.uns["ctl"]["predictions"]["nascent"]["tracks"] == ["mark_nascent", "noise_nascent"]
    found = ctl.tl.predict(tmp_path / "tracks.zarr", model=trained, key="nascent", regions="chr1", depth="fixed")
    np.testing.assert_allclose(found.values("chr1", "mark_nascent"), expected, rtol=1e-6)


def test_a_dense_network_is_trained_and_applied_alike():
    tracks = planted(0, n=6000)
    ctl.pp.split_regions(tracks, by="blocks", fractions=(0.5, 0, 0.5), block=20_000, width=550, seed=0)
    ctl.tl.nascent(
        tracks, architecture="dense", targets="mark", window=11, n_hidden=32, seed=0, train_kwargs={"batch_size": 64}
    )
    assert scored(tracks, "mark_nascent", "mark") > 0.9
    found = ctl.tl.predict(tracks.select(role="input"), model=tracks, depth="fixed")
    np.testing.assert_allclose(found.values("chr1", "mark_nascent"), tracks.values("chr1", "mark_nascent"), rtol=1e-5)


def test_wrong_inputs_are_refused_with_a_cure(trained):
    tracks = planted(2, n=2000)
    with pytest.raises(ctl.ChromatellError, match="from_anndata"):
        ctl.tl.nascent(tracks.to_anndata("chr1:0-5000"))
    with pytest.raises(ctl.ChromatellError, match="Take an odd number: window=101"):
        ctl.tl.nascent(tracks, window=100)
    with pytest.raises(ctl.ChromatellError, match="knows no option"):
        ctl.tl.nascent(tracks, widow=101)
    with pytest.raises(ctl.ChromatellError, match="choose one of"):
        ctl.tl.nascent(tracks, architecture="forest")
    with pytest.raises(ctl.ChromatellError, match="Name it once"):
        ctl.tl.nascent(tracks, targets=["plus"])
    with pytest.raises(ctl.ChromatellError, match="no track of role 'input'"):
        ctl.tl.nascent(tracks.select(["mark"]))
    odd = tracks.copy()
    odd.table["strand"] = "plus"
    with pytest.raises(ctl.ChromatellError, match="'strand' of the table of tracks holds 'plus'; each is one of"):
        ctl.tl.nascent(odd, **OPTIONS)
    flat = ctl.data.BinnedTracks(
        {"chr1": tracks.values("chr1") * np.array([[1], [1], [0], [1]])}, tracks.table, chrom_sizes=tracks.chrom_sizes
    )
    with pytest.raises(ctl.ChromatellError, match="'mark' do not vary"):
        ctl.tl.nascent(flat, **OPTIONS)
    assert flat.uns == {}
    with pytest.raises(ctl.ChromatellError, match="bin_size=50"):
        ctl.tl.predict(
            ctl.data.BinnedTracks({"chr1": np.ones((1, 4))}, ["plus"], bin_size=100, chrom_sizes={"chr1": 400}),
            model=trained,
        )
    with pytest.raises(ctl.ChromatellError, match="Name them alike"):
        ctl.tl.predict(planted(3, n=2000).select(["plus"]), model=trained)
    taken = planted(4, n=2000)
    taken.add({"chr1": np.zeros((1, 2000))}, ["mark_nascent"])
    with pytest.raises(ctl.ChromatellError, match="key_added="):
        ctl.tl.nascent(taken, targets="mark", **OPTIONS)


def test_a_model_of_cells_refuses_tracks():
    mdata = ctl.datasets.simulate_multiome(120, 30, 40, seed=0)
    ctl.pp.split_cells(mdata, seed=0)
    ctl.models.Dense.setup_mudata(mdata)
    model = ctl.models.Dense(mdata)
    model.train(max_epochs=1)
    with pytest.raises(ctl.ChromatellError, match="reads cells, not tracks"):
        ctl.tl.predict(planted(0, n=2000), model=model)
