"""A score of what was trained on is refused: cells by their barcodes, bins by their intervals."""

from __future__ import annotations

import hashlib
import warnings

import anndata as ad
import mudata as md
import numpy as np
import pytest

import chromatell as ctl
from chromatell._validate import ChromatellError, ChromatellWarning
from chromatell.evaluation.predictors import reads_region_atac
from chromatell.models import _trained_on as t

QUICK = {"baselines": ["region_mean"], "views": ["overall"], "n_bootstrap": 0}


def simulated(n_cells=300, split_seed=0):
    mdata = ctl.datasets.simulate_multiome(n_cells, 30, 60, n_types=2, seed=0)
    ctl.pp.split_cells(mdata, seed=split_seed)
    return mdata


@pytest.fixture(scope="module")
def trained():
    mdata = simulated()
    ctl.tl.dense(mdata, train_kwargs={"max_epochs": 2}, seed=0)
    return mdata


def split_again(mdata, seed=1):
    again = mdata.copy()
    ctl.pp.split_cells(again, seed=seed)
    return again


def test_renamed_cells_are_warned_of_and_their_split_can_be_carried_over(trained):
    renamed = trained.copy()
    for adata in renamed.mod.values():
        adata.obs_names = "s1_" + adata.obs_names
    renamed.update()
    renamed.obs = renamed.obs.reindex(columns=["ctl_split"])
    how = {"baselines": None, "views": "overall", "n_bootstrap": 0}
    with pytest.raises(ChromatellError, match=r"carry it over: mdata.obs\['ctl_split'\] = before"):
        ctl.tl.evaluate(renamed, **how)
    renamed = split_again(renamed)
    with pytest.warns(ChromatellWarning, match="None of the .* 'train' cells is among those that 'dense' was trained"):
        ctl.tl.evaluate(renamed, **how)
    knn = simulated()
    ctl.tl.baseline(knn, "knn")
    for adata in knn.mod.values():
        adata.obs_names = "s1_" + adata.obs_names
    knn.update()
    knn = split_again(knn)
    with pytest.warns(ChromatellWarning, match="None of the .* 'train' cells is among those that 'knn' was trained"):
        ctl.tl.evaluate(knn, **how)
    only = trained[trained.obs["ctl_split"] == "test"].copy()  # knows no training cell, and needs none
    ctl.tl.evaluate(only, **how)


def test_hashes_are_blake2b_in_the_order_of_the_names():
    found = t.cell_hashes(["AAAC-1", "é"])
    want = [int.from_bytes(hashlib.blake2b(n.encode(), digest_size=8).digest(), "little") for n in ("AAAC-1", "é")]
    assert found.dtype == np.uint64
    assert found.tolist() == want
    assert t.cell_hashes([]).shape == (0,)


def test_a_model_keeps_the_hashes_of_its_cells_and_no_barcode(trained, tmp_path):
    model = ctl.models.load(trained)
    for part in ("train", "val"):
        want = sorted(t.cell_hashes(trained.obs_names[trained.obs["ctl_split"] == part]).tolist())
        assert model.trained_cells[f"cells_{part}"].tolist() == want
    model.save(tmp_path / "model")
    again = ctl.models.load(tmp_path / "model")
    assert again.content_hash == model.content_hash
    np.testing.assert_array_equal(again.trained_cells["cells_train"], model.trained_cells["cells_train"])
    stored = b"".join(f.read_bytes() for f in (tmp_path / "model").iterdir())
    assert not any(name.encode() in stored for name in trained.obs_names)


def test_the_split_of_training_is_scored(trained):
    mdata = trained.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error", ChromatellWarning)
        for split in ("test", "val", "train"):
            ctl.tl.evaluate(mdata, split=split, **QUICK)
        ctl.tl.fisher(mdata, baselines=["region_mean"], n_bootstrap=10)


def test_a_split_made_after_training_is_refused_with_the_number_of_cells(trained):
    mdata = split_again(trained)
    before, now = (m.obs["ctl_split"].to_numpy() for m in (trained, mdata))
    n = {
        s: int(((now == s) & np.isin(before, used)).sum())
        for s, used in (("test", ["train", "val"]), ("val", ["train"]))
    }
    assert n["test"] > 20
    assert n["val"] > 10
    for split, total in (("test", (now == "test").sum()), ("val", (now == "val").sum())):
        with pytest.raises(ChromatellError, match=rf"{n[split]} of the {total} '{split}' cells .* 'dense' was trained"):
            ctl.tl.evaluate(mdata, split=split, **QUICK)
    with pytest.raises(ChromatellError, match=rf"{n['test']} of the .*pp.split_cells\(mdata, seed=...\)"):
        ctl.tl.fisher(mdata, baselines=["region_mean"], n_bootstrap=10)
    assert "evaluation" not in mdata.uns["ctl"]
    ctl.tl.evaluate(mdata, split="train", **QUICK)  # whoever asks for training cells gets them


def test_what_is_said_of_unseen_cells_is_of_unseen_cells(trained):
    """Calibrated intervals, agreement on test cells, correlation over test cells: each as an evaluation."""
    mdata = split_again(trained)
    with pytest.raises(ChromatellError, match=r"of the \d+ 'val' cells .* 'dense' was trained"):
        ctl.tl.uncertainty(mdata, "cell_type", seed=0, n_draws=2)
    with pytest.raises(ChromatellError, match=r"of the \d+ 'test' cells .* 'dense' was trained"):
        ctl.tl.rank_regions(mdata, "cell_type", split="test", n_bootstrap=2, seed=0)
    with pytest.warns(ChromatellWarning, match=r"over all cells, those of training too: .* 'dense' was trained"):
        ctl.tl.gene_activity(mdata)
    assert mdata.mod["gene_activity"].uns["ctl"]["correlated"] == "all cells"
    same = trained.copy()
    ctl.tl.uncertainty(same, "cell_type", seed=0, n_draws=2)
    ctl.tl.rank_regions(same, "cell_type", split="test", n_bootstrap=2, seed=0)
    ctl.tl.gene_activity(same)
    assert same.mod["gene_activity"].uns["ctl"]["correlated"] == "test cells"


def test_stored_baselines_too_and_another_tools_output_on_trust(trained):
    mdata = simulated()
    ctl.tl.baseline(mdata, "knn")
    ctl.tl.evaluate(mdata, **QUICK)
    ctl.pp.split_cells(mdata, seed=1)
    with pytest.raises(ChromatellError, match="'knn' was trained or tuned on"):
        ctl.tl.evaluate(mdata, **QUICK)
    del mdata.mod["atac_pred"]
    mdata.update()
    ctl.tl.add_prediction(mdata, np.full((300, 60), 0.5, dtype=np.float32), key="theirs")
    ctl.tl.evaluate(mdata, "theirs", **QUICK)


@pytest.mark.parametrize("suffix", ["h5mu", "zarr"])
@pytest.mark.parametrize("n_known", [0, 200])
@pytest.mark.filterwarnings("ignore:zarr v3 autosharding")
def test_predictions_for_a_query_hold_the_hashes_of_its_cells_alone(trained, tmp_path, suffix, n_known):
    rows = np.flatnonzero(trained.obs["ctl_split"] != "test")[:n_known]
    new = np.flatnonzero(trained.obs["ctl_split"] == "test")
    query = trained[np.sort(np.concatenate([rows, new[:60]]))].copy()
    del query.mod["atac_pred"]
    query.update()
    query.uns = {}
    ctl.pp.split_cells(query, seed=0, fractions=(0.3, 0.1, 0.6))
    found = ctl.tl.predict(query, model=trained)
    path = tmp_path / f"query.{suffix}"
    found.write(path) if suffix == "h5mu" else found.write_zarr(path)
    found = md.read(path) if suffix == "h5mu" else md.read_zarr(path)
    origin = found.mod["atac_pred"].uns["ctl"]["provenance"]["dense"]
    assert sum(origin[f"cells_{p}"].size for p in ("train", "val")) == n_known
    if n_known:
        with pytest.raises(ChromatellError, match=r"of the \d+ 'test' cells"):
            ctl.tl.evaluate(found, **QUICK)
    else:
        ctl.tl.evaluate(found, **QUICK)
    for mod in found.mod.values():
        mod.obs_names = "second_" + mod.obs_names
    found.update()
    ctl.pp.split_cells(found, seed=0)
    ctl.tl.evaluate(found, **QUICK)  # the cure of the message: these are other cells


def test_predictions_in_a_store_know_it_too(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    query = trained.copy()
    del query.mod["atac_pred"]
    query.update()
    found = ctl.tl.predict(query, model=trained, out="predicted.zarr")
    ctl.tl.evaluate(found, **QUICK)
    ctl.pp.split_cells(found, seed=1)
    with pytest.raises(ChromatellError, match="'dense' was trained"):
        ctl.tl.evaluate(found, **QUICK)


def test_a_few_alike_barcodes_warn():
    names = ad.AnnData(np.zeros((100, 1), dtype=np.float32)).obs_names
    known = {"cells_train": np.sort(t.cell_hashes(names[:3])), "cells_val": np.sort(t.cell_hashes(names[3:5]))}
    with pytest.warns(ChromatellWarning, match="5 of the 100 'test' cells"):
        assert t.check_cells(known, names, name="m", part="test") == 5
    with pytest.warns(ChromatellWarning, match="3 of the 100 'val' cells"):
        assert t.check_cells(known, names, name="m", part="val") == 3
    assert t.check_cells(known, names, name="m", part="train") == 0
    with pytest.raises(ChromatellError, match="5 of the 99 'test' cells"):
        t.check_cells(known, names[:99], name="m", part="test")


def test_older_models_are_scored_and_it_is_said(trained, caplog):
    mdata = split_again(trained)
    origin = mdata.mod["atac_pred"].uns["ctl"]["provenance"]["dense"]
    for key in ("cells_train", "cells_val"):
        del origin[key]
    with caplog.at_level("INFO", logger="chromatell"):
        t.logger.propagate = True
        ctl.tl.evaluate(mdata, **QUICK)
        t.logger.propagate = False
    assert "dense was made by an earlier version" in caplog.text
    record = ctl.models.load(mdata).to_record()
    arrays = {k: v for k, v in record.arrays.items() if k not in t.CELLS.values()}
    config = {k: v for k, v in record.config.items() if k != t.COUNTS}
    old = ctl.io.Record(record.family, 1, config, arrays, record.var_names)
    model = ctl.models.Dense.from_record(old)
    assert model.trained_cells == {}
    np.testing.assert_array_equal(model.predict(mdata), ctl.models.load(trained).predict(mdata))


def test_altered_hashes_are_refused(trained):
    record = ctl.models.load(trained).to_record()
    without = {k: v for k, v in record.arrays.items() if k != "cells_train"}
    for bad in ({"cells_train": np.zeros((2, 2))}, {"cells_train": np.zeros(3, dtype=np.uint64)}, {}):
        crafted = ctl.io.Record("dense", 1, record.config, {**without, **bad}, record.var_names)
        with pytest.raises(ChromatellError, match=r"'cells_train' of a 'dense' model is .*; uint64 hashes of 210"):
            ctl.models.Dense.from_record(crafted)


def test_a_model_that_went_on_from_another_knows_its_cells():
    mdata = simulated(60)
    first = t.trained_cells(mdata)
    ctl.pp.split_cells(mdata, seed=1)
    second = t.trained_cells(mdata)
    both = t.trained_cells(mdata, first)
    for key in t.CELLS.values():
        assert set(both[key].tolist()) == set(first[key].tolist()) | set(second[key].tolist())
        assert (np.diff(both[key].astype(object)) > 0).all()


def test_what_is_not_declared_counts_as_read():
    sequence = {"family": "any", "reads_region_atac": False}
    assert not reads_region_atac({**sequence, "held_out": "abc"}, "abc")
    assert reads_region_atac({**sequence, "held_out": "of another split"}, "abc")
    assert reads_region_atac(sequence, "abc")  # with which split it was made is not known
    assert reads_region_atac({"family": "any", "reads_region_atac": True, "held_out": "abc"}, "abc")
    assert reads_region_atac({"family": "xchrom", "held_out": "abc"}, "abc")  # of an older version
    assert reads_region_atac({}, "abc")
    assert not reads_region_atac({"family": "external"}, "abc")  # another tool's is taken on trust


# ---- tracks


def make_tracks(seed=0):
    rng = np.random.default_rng(seed)
    values = {c: [rng.poisson(0.3, n), rng.poisson(1.0, n) + 1.0] for c, n in (("chr1", 4000), ("chr2", 3000))}
    table_names = ["plus", "mark"]
    tracks = ctl.data.BinnedTracks(values, table_names, chrom_sizes={"chr1": 200_000, "chr2": 149_990})
    tracks.table.loc["plus", "role"] = "input"
    tracks.splits = {
        "chr1": np.repeat([0, 1, 2, 0], 1000).astype(np.int8),
        "chr2": np.repeat([0, -1, 2], 1000).astype(np.int8),
    }
    return tracks


TRACKS = {"baselines": None, "views": ["raw"], "n_bootstrap": 0, "resolutions": [50]}
FULL = {
    "train": {"chr1": [[0, 50_000], [150_000, 200_000]], "chr2": [[0, 50_000]]},
    "val": {"chr1": [[50_000, 100_000]]},
}


@pytest.fixture(scope="module")
def tracks():
    tracks = make_tracks()
    ctl.tl.nascent(tracks, window=21, train_kwargs={"max_epochs": 3}, seed=0)
    ctl.tl.baseline(tracks, "mean")
    return tracks


def test_intervals_are_the_runs_of_the_split(tracks):
    assert t.trained_intervals(tracks, ["mark"]) == {**FULL, "samples": [""]}
    model = ctl.models.load(tracks, key="nascent")
    assert model.config["trained_on"] == {**FULL, "samples": [""]}
    for key in ("nascent", "mean"):
        assert tracks.uns["ctl"]["predictions"][key]["trained_on"] == {**FULL, "samples": [""]}
    whole = make_tracks()
    whole.splits = {}
    whole.masks = {"chr2": np.ones(3000, dtype=np.uint8), "chr1": np.zeros(4000, dtype=np.uint8)}
    assert t.trained_intervals(whole, ["mark"])["train"] == {"chr1": [[0, 200_000]]}


def test_the_bins_of_training_are_refused_with_their_number(tracks, tmp_path):
    tracks.save(tmp_path / "t.zarr")
    found = ctl.data.BinnedTracks.open(tmp_path / "t.zarr")
    for split in ("test", "val", "train"):
        ctl.tl.evaluate(found, split=split, **TRACKS)
    # 500 bins of what was 'val', 1000 of 'train' and 1000 of 'test' are tested now
    found.splits = {
        "chr1": np.repeat([1, 2, 2, 2], [1500, 500, 1000, 1000]).astype(np.int8),
        "chr2": np.full(3000, -1, np.int8),
    }
    with pytest.raises(ChromatellError, match=r"1,500 of the 2,500 'test' bins \(on 'chr1'\).* 'nascent' was trained"):
        ctl.tl.evaluate(found, models="nascent", **TRACKS)
    with pytest.raises(ChromatellError, match=r"1,000 of the 1,500 'val' bins .* 'mean' was trained on"):
        ctl.tl.evaluate(found, models="mean", split="val", **TRACKS)


@pytest.mark.filterwarnings("ignore:There is no validation bin")
def test_another_sample_in_the_same_bins_warns_and_names_of_chromosomes_meet(tracks):
    other = make_tracks(1)
    sizes = {"1": 200_000, "2": 149_990}
    plain = ctl.data.BinnedTracks({c: other.values(f"chr{c}") for c in sizes}, other.table.copy(), chrom_sizes=sizes)
    plain.splits = {"1": np.full(4000, 2, dtype=np.int8), "2": np.zeros(3000, dtype=np.int8)}
    plain.table["sample"] = "second"
    found = ctl.tl.predict(plain, model=tracks, key="nascent")
    with pytest.warns(
        ChromatellWarning, match=r"3,000 of the 4,000 'test' bins \(on '1'\).*of 'second' this scores a new"
    ):
        ctl.tl.evaluate(found, **TRACKS)
    found.table["sample"] = ""
    with pytest.raises(ChromatellError, match=r"tracks.table\['sample'\] = 'its name'"):
        ctl.tl.evaluate(found, **TRACKS)


def test_older_tracks_are_scored_and_a_strangers_intervals_are_checked(tracks, caplog, monkeypatch):
    old = tracks.copy()
    old.splits = {c: np.full(n, 2, dtype=np.int8) for c, n in (("chr1", 4000), ("chr2", 3000))}
    old.splits["chr2"][:500] = 1
    said = dict(tracks.uns["ctl"]["predictions"]["nascent"])
    del said["trained_on"]
    old.uns = {**tracks.uns, "ctl": {**tracks.uns["ctl"], "predictions": {"nascent": said}}}
    monkeypatch.setattr(t.logger, "propagate", True)
    with caplog.at_level("INFO", logger="chromatell"):
        ctl.tl.evaluate(old, "nascent", **TRACKS)
    assert "nascent was made by an earlier version" in caplog.text
    found = make_tracks()
    known = {"train": {"chr1": [[0, 5]]}, "val": {}}
    of = {"target": "mark", "name": "m", "part": "test"}
    assert t.check_bins(None, found, ["chr1"], **of) == t.check_bins({}, found, ["chr1"], **of) == 0
    assert t.check_bins(known, found, ["chr1"], **of) == 0
    for bad in ({"train": 5}, {"train": {"chr1": [[5, 0]]}, "val": {}}, {"train": {"chr1": ["ab"]}, "val": {}}, [1]):
        with pytest.raises(ChromatellError, match="'m' was trained on is not as it is written"):
            t.check_bins(bad, found, ["chr1"], **of)


def test_a_split_of_single_bins_is_not_kept(monkeypatch):
    monkeypatch.setattr(t, "_MOST_INTERVALS", 100)
    tracks = make_tracks()
    ctl.pp.split_regions(tracks, by="random", allow_leaky=True, seed=0)
    assert t.trained_intervals(tracks, ["mark"]) == {}
