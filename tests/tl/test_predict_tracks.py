"""``tl.predict`` from bigWig to bigWig: files in, files out, the same numbers as by hand."""

from __future__ import annotations

import numpy as np
import pytest

import chromatell as ctl
from chromatell import ChromatellError

pytest.importorskip("pybigtools")
pytest.importorskip("xgboost")
BINS = {"chr1": 3000, "chr2": 1000}


def made_up(seed=0, scale=1.0):
    """Two strands and a mark where both are."""
    rng = np.random.default_rng(seed)
    values = {}
    for chrom, n in BINS.items():
        strands = rng.poisson(0.4, (2, n)) * scale
        mark = np.convolve((strands.sum(axis=0) > 0), np.ones(5), "same")
        values[chrom] = np.vstack([strands, mark]).astype(np.float32)
    tracks = ctl.data.BinnedTracks(
        values, ["plus", "minus", "mark"], bin_size=50, chrom_sizes={c: 50 * n for c, n in BINS.items()}
    )
    tracks.table.loc[["plus", "minus"], "role"] = "input"
    tracks.table["strand"] = ["+", "-", "."]
    return tracks


@pytest.fixture(scope="module")
def trained():
    tracks = made_up()
    ctl.tl.nascent(tracks, window=21, train_kwargs={"max_epochs": 10}, seed=0)
    return tracks


@pytest.fixture
def files(tmp_path):
    return ctl.io.bigwig.write(made_up(1, 3.0), tmp_path / "query", names=["plus", "minus"])


def test_from_bigwig_to_bigwig_in_one_call(trained, files, tmp_path):
    found = ctl.tl.predict(files, trained, bigwig=tmp_path / "out")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["mark_nascent.bw"]
    by_hand = made_up(1, 3.0)
    want = ctl.models.load(trained).predict(by_hand, depth="predicted")
    for chrom in BINS:
        np.testing.assert_allclose(found.values(chrom, ["mark_nascent"]), want.values(chrom), atol=1e-5)
        back = ctl.io.bigwig.read(tmp_path / "out" / "mark_nascent.bw")[chrom]
        np.testing.assert_allclose(back, want.values(chrom)[0], atol=1e-5)
    shallow = ctl.models.load(trained).predict(made_up(1), depth="predicted")  # three times deeper, read alike
    np.testing.assert_allclose(shallow.values("chr1"), want.values("chr1"), atol=1e-4)


def test_other_names_strands_chromosomes_and_one_file(trained, files, tmp_path):
    renamed = [{"name": n, "path": files[w], "strand": s} for n, w, s in (("a", "plus", "+"), ("b", "minus", "-"))]
    table = {row.pop("name"): row for row in renamed}
    found = ctl.tl.predict(table, trained, regions=["chr2"], bigwig=tmp_path / "one.bw", key="nascent")
    assert found.chroms == ["chr2"]
    assert set(ctl.io.bigwig.read(tmp_path / "one.bw")) == {"chr2"}
    whole = ctl.tl.predict(files, trained)
    np.testing.assert_array_equal(
        whole.values("chr2", ["mark_nascent"]).shape, found.values("chr2", ["mark_nascent"]).shape
    )


def test_bins_and_statistic_are_those_of_training(tmp_path):
    tracks = made_up()
    paths = ctl.io.bigwig.write(tracks, tmp_path / "all", names=tracks.names)
    wide = ctl.pp.bin_tracks(paths, bin_size=100, stat="max")
    ctl.tl.nascent(wide, window=11, train_kwargs={"max_epochs": 5}, seed=0)
    found = ctl.tl.predict({n: paths[n] for n in ("plus", "minus")}, wide)
    assert found.bin_size == 100
    assert set(found.table.loc[["plus", "minus"], "stat"]) == {"max"}
    np.testing.assert_array_equal(found.values("chr1", ["plus", "minus"]), wide.values("chr1", ["plus", "minus"]))


def test_predictions_lie_in_a_store(trained, files, tmp_path):
    found = ctl.tl.predict(files, trained, out=tmp_path / "predicted.zarr")
    stored = ctl.data.BinnedTracks.open(tmp_path / "predicted.zarr")
    assert stored.names == ["mark_nascent"]
    np.testing.assert_array_equal(stored.values("chr1"), found.values("chr1", ["mark_nascent"]))


def test_what_cannot_be_used_is_named_before_any_work(trained, files, tmp_path):
    out = tmp_path / "out"
    ctl.tl.predict(files, trained, bigwig=out)
    before = (out / "mark_nascent.bw").stat().st_mtime_ns
    with pytest.raises(ChromatellError, match="mark_nascent.bw' exist.*overwrite=True"):
        ctl.tl.predict({"plus": "absent.bw"}, trained, bigwig=out)
    assert (out / "mark_nascent.bw").stat().st_mtime_ns == before
    ctl.tl.predict(files, trained, bigwig=out, overwrite=True)
    assert (out / "mark_nascent.bw").stat().st_mtime_ns > before
    (tmp_path / "text.txt").write_text("not ours")
    with pytest.raises(ChromatellError, match="is a file, and no bigWig"):
        ctl.tl.predict(files, trained, bigwig=tmp_path / "text.txt")
    with pytest.raises(ChromatellError, match="absent.bw"):
        ctl.tl.predict({"plus": tmp_path / "absent.bw", "minus": files["minus"]}, trained, bigwig=tmp_path / "new")
    assert not (tmp_path / "new").exists()
    with pytest.raises(ChromatellError, match="absent.zarr' is no store of tracks"):
        ctl.tl.predict(tmp_path / "absent.zarr", trained)
    with pytest.raises(ChromatellError, match="those are not to be told"):
        ctl.tl.predict({"a": files["plus"], "b": files["minus"]}, trained)


def test_models_of_cells_say_so(files):
    mdata = ctl.datasets.simulate_multiome(80, 20, 30, seed=0)
    ctl.pp.split_cells(mdata, seed=0)
    ctl.tl.dense(mdata, train_kwargs={"max_epochs": 1}, seed=0)
    with pytest.raises(ChromatellError, match="overwrite= is for the files of bigwig="):
        ctl.tl.predict(mdata, mdata, overwrite=True)
    with pytest.raises(ChromatellError, match="bigwig= is for models that read tracks"):
        ctl.tl.predict(mdata, mdata, bigwig="folder")
    with pytest.raises(ChromatellError, match="reads cells, not tracks"):
        ctl.tl.predict(files, mdata)
