"""BigWig in and out: exact bins against a loop over bases, files that read back, files that are not what they say."""

from __future__ import annotations

import struct
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest

import chromatell as ctl
from chromatell.io._bigwig_guard import check_bigwig
from chromatell.io.bigwig import BigWig

pybigtools = pytest.importorskip("pybigtools")
SIZE = 10_007  # no multiple of a bin


def write_intervals(path, intervals, sizes):
    pybigtools.open(str(path), "w").write(sizes, iter(intervals))
    return path


@pytest.fixture
def sparse(tmp_path, rng):
    """A bigWig of intervals that cross bins and leave bases out; per base, what it holds (NaN: nothing)."""
    starts = np.sort(rng.choice(SIZE - 130, 300, replace=False))
    ends = np.minimum(starts + rng.integers(1, 130, 300), np.append(starts[1:], SIZE))
    values = rng.normal(size=300).astype(np.float32)
    bases = np.full(SIZE, np.nan)
    for start, end, value in zip(starts, ends, values, strict=True):
        bases[start:end] = value
    intervals = [("chr10", 0, 30, 2.0)]
    intervals += [("chr2", int(s), int(e), float(v)) for s, e, v in zip(starts, ends, values, strict=True)]
    return write_intervals(tmp_path / "sparse.bw", intervals, {"chr2": SIZE, "chr10": 120}), bases


def by_bases(bases, bin_size, stat):
    """The oracle: a loop over bins of single bases; NaN where a bin holds no data."""
    found = []
    for start in range(0, bases.size, bin_size):
        part = bases[start : start + bin_size]
        held = part[~np.isnan(part)]
        if held.size == 0:
            found.append(np.nan)
        else:
            how = {"mean": held.sum() / part.size, "mean_covered": held.mean(), "sum": held.sum(), "max": held.max()}
            found.append(how[stat])
    return np.array(found, dtype=np.float32)


@pytest.mark.parametrize("stat", ["mean", "mean_covered", "sum", "max"])
@pytest.mark.parametrize("bin_size", [1, 50, 77, 20_000])
def test_bins_are_those_of_a_loop_over_bases(sparse, stat, bin_size):
    path, bases = sparse
    expected = by_bases(bases, bin_size, stat)
    found = ctl.io.bigwig.read(path, bin_size=bin_size, chroms="chr2", stat=stat, missing="nan")["chr2"]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)
    filled = ctl.io.bigwig.read(path, bin_size=bin_size, chroms=["chr2"], stat=stat)["chr2"]
    np.testing.assert_allclose(filled, np.nan_to_num(expected), rtol=1e-6, atol=1e-7)


def test_all_chromosomes_are_read_and_the_last_bin_is_over_its_own_bases(tmp_path):
    path = write_intervals(tmp_path / "a.bw", [("chr1", 0, 60, 3.0), ("chr1", 110, 120, 8.0)], {"chr1": 120})
    assert ctl.io.bigwig.read(path)["chr1"].tolist() == pytest.approx([3.0, 0.6, 4.0])
    assert ctl.io.bigwig.read(path, stat="mean_covered")["chr1"].tolist() == [3.0, 3.0, 8.0]


def test_a_file_with_another_suffix_is_read_the_same(sparse, tmp_path):
    path, _ = sparse
    other = tmp_path / "sparse.dat"
    other.write_bytes(path.read_bytes())
    np.testing.assert_array_equal(ctl.io.bigwig.read(other)["chr2"], ctl.io.bigwig.read(path)["chr2"])


def test_the_sign_of_a_file_by_libbigwig_is_known(data_dir):
    with BigWig(data_dir / "nascent" / "k562_chr22" / "minus.bw") as file:  # its largest value says 2e-308
        low, high = file.extremes(["chr22"])
        assert file.low == low == -13923.0
        assert high < 0


# writing


def tracks_of(values, names=("a",), size=None, bin_size=50, chrom="chr2", **columns):
    values = np.asarray(values, dtype=np.float32)
    table = pd.DataFrame({"name": list(names), **columns})
    size = values.shape[1] * bin_size if size is None else size
    return ctl.data.BinnedTracks({chrom: values}, table, bin_size=bin_size, chrom_sizes={chrom: size})


def test_what_is_written_reads_back_in_intervals_as_few_as_can_be(tmp_path):
    values = [0, 0, 1.5, 1.5, 1.5, np.nan, -2, 7]
    tracks = tracks_of([values], size=390)
    files = ctl.io.bigwig.write(tracks, tmp_path / "one.bw")
    assert files == {"a": tmp_path / "one.bw"}
    file = pybigtools.open(str(files["a"]))
    assert list(file.records("chr2")) == [(0, 100, 0.0), (100, 250, 1.5), (300, 350, -2.0), (350, 390, 7.0)]
    assert file.chroms() == {"chr2": 390}
    np.testing.assert_array_equal(
        ctl.io.bigwig.read(files["a"], missing="nan", stat="mean_covered")["chr2"], np.float32(values)
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one.bw"]
    assert check_bigwig(files["a"]).ends_well


def test_each_form_of_block_and_trees_of_two_levels(tmp_path, rng):
    """Bins, starts and intervals; 300 chromosomes, 280,000 runs; zoom levels and summary, all by another reader."""
    n = 280_000
    dense = rng.normal(size=n).astype(np.float32)  # in blocks of bins alone
    gaps = np.where(rng.random(5000) < 0.3, np.nan, np.repeat(rng.normal(size=2500), 2)).astype(np.float32)
    values = {"chr1": dense, "chr2": gaps, "chr3": np.where(np.arange(4000) % 2, np.float32(np.nan), dense[:4000])}
    values |= {f"scaffold{i}": np.float32([i, np.nan, 1]) for i in range(300)}
    sizes = {c: 50 * v.size - 13 for c, v in values.items()}
    tracks = ctl.data.BinnedTracks({c: v[None] for c, v in values.items()}, ["a"], chrom_sizes=sizes)
    path = ctl.io.bigwig.write(tracks, tmp_path / "a.bw")["a"]
    file = pybigtools.open(str(path))
    assert file.chroms() == sizes
    held = {c: ~np.isnan(v) for c, v in values.items()}
    for chrom in ("chr1", "chr2", "chr3", "scaffold299"):
        records = np.array([v for a, b, v in file.records(chrom) for _ in range(-(-(b - a) // 50))])
        np.testing.assert_array_equal(records, values[chrom][held[chrom]])
    bases = {c: np.where(np.arange(v.size) == v.size - 1, 37, 50) * held[c] for c, v in values.items()}
    summary = file.info()["summary"]
    assert summary["basesCovered"] == sum(int(b.sum()) for b in bases.values())
    assert summary["sum"] == pytest.approx(sum(float(np.nansum(values[c] * b)) for c, b in bases.items()), rel=1e-6)
    assert summary["min"] == dense.min()
    width = file.zooms()[1]
    for start, end, found in file.zoom_records(width, "chr2"):
        here, part = values["chr2"][start // 50 : -(-end // 50)], bases["chr2"][start // 50 : -(-end // 50)]
        assert found["bases_covered"] == part.sum()
        assert (found["min_val"], found["max_val"]) == (np.nanmin(here), np.nanmax(here))
        assert found["sum"] == pytest.approx(np.nansum(here * part), rel=1e-4, abs=1e-3)
    assert end == sizes["chr2"]


def test_zeros_may_be_left_out(tmp_path):
    ctl.io.bigwig.write(tracks_of([[0, 3, 0]]), tmp_path / "a.bw", zeros=False)
    assert list(pybigtools.open(str(tmp_path / "a.bw")).records("chr2")) == [(50, 100, 3.0)]


def test_chromosomes_are_in_the_order_of_their_names_whatever_the_tracks_order(tmp_path, rng):
    sizes = {"chr2": 500, "chr10": 1000, "chr1": 250}
    values = {c: rng.random((1, n // 50)) for c, n in sizes.items()}
    tracks = ctl.data.BinnedTracks(values, ["a"], chrom_sizes=sizes)
    ctl.io.bigwig.write(tracks, tmp_path / "a.bw")
    assert list(pybigtools.open(str(tmp_path / "a.bw")).chroms()) == ["chr1", "chr10", "chr2"]
    back = ctl.io.bigwig.read(tmp_path / "a.bw")
    for chrom in sizes:
        np.testing.assert_allclose(back[chrom], values[chrom][0], rtol=1e-6)


def test_predictions_are_what_a_folder_gets(tmp_path):
    tracks = tracks_of(np.ones((3, 4)), ["plus", "me3", "me3/pred"], role=["input", "target", "prediction"])
    assert ctl.io.bigwig.write(tracks, tmp_path / "out") == {"me3/pred": tmp_path / "out" / "me3_pred.bw"}
    both = ctl.io.bigwig.write(tracks, tmp_path / "out", names=["plus", "me3"])
    assert sorted(both) == ["me3", "plus"]


def test_a_layer_is_written(tmp_path):
    tracks = tracks_of([[0, 4, 0, 0]])
    ctl.pp.smooth_tracks(tracks, sigma=1)
    ctl.io.bigwig.write(tracks, tmp_path / "raw.bw", layer="raw")
    assert ctl.io.bigwig.read(tmp_path / "raw.bw")["chr2"].tolist() == [0, 4, 0, 0]


@pytest.mark.parametrize(
    ("values", "kwargs", "cure"),
    [
        ([[1, np.inf]], {}, "infinite values on chr2"),
        ([[np.nan, np.nan]], {}, "no value to write"),
        ([[0, 0]], {"zeros": False}, "no value to write"),
        ([[1, 2]], {"names": "b"}, "There is no track 'b'; there: a"),
        ([[1, 2]], {"layer": "raw"}, "smooth_tracks"),
    ],
)
def test_what_cannot_be_written_leaves_nothing_behind(tmp_path, values, kwargs, cure):
    with pytest.raises(ctl.ChromatellError, match=cure):
        ctl.io.bigwig.write(tracks_of(values), tmp_path / "a.bw", **kwargs)
    assert list(tmp_path.iterdir()) == []


def test_files_are_not_replaced_unasked_and_one_file_is_for_one_track(tmp_path):
    tracks = tracks_of(np.ones((2, 3)), ["a", "b"])
    with pytest.raises(ctl.ChromatellError, match="give a folder"):
        ctl.io.bigwig.write(tracks, tmp_path / "a.bw")
    ctl.io.bigwig.write(tracks, tmp_path)
    with pytest.raises(ctl.ChromatellError, match="overwrite=True"):
        ctl.io.bigwig.write(tracks, tmp_path)
    ctl.io.bigwig.write(tracks, tmp_path, overwrite=True)


# files that are not what they say


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "is empty"),
        (b"chr1\t0\t50\n", "a BED"),
        (b"chr1\t0\t50\t1.5\nchr1\t50\t90\t2\n", "a bedGraph"),
        (b"fixedStep chrom=chr1 start=1 step=50\n1\n", "wiggle"),
        (b"\x1f\x8b\x08\x00rest", "a gzip file"),
        (struct.pack("<I", 0x8789F2EB) + bytes(60), "a bigBed"),
        (b"\x00\x01\x02\x03", "begins with the bytes 00010203"),
        (struct.pack("<I", 0x888FFC26) + bytes(20), "cut short"),
    ],
)
def test_other_files_are_named_for_what_they_are(tmp_path, content, what):
    path = tmp_path / "signal.bw"
    path.write_bytes(content)
    with pytest.raises(ctl.ChromatellError, match=what):
        ctl.io.bigwig.read(path)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ctl.ChromatellError, match="no file at"):
        ctl.io.bigwig.read(tmp_path / "no.bw")


def test_a_chromosome_that_is_not_there(sparse):
    with pytest.raises(ctl.ChromatellError, match="no chromosome 'chr3'; there: 'chr10', 'chr2'"):
        ctl.io.bigwig.read(sparse[0], chroms=["chr3"])


def test_wherever_a_file_is_cut_it_is_told_or_whole(sparse, tmp_path):
    path, _ = sparse
    raw, whole = path.read_bytes(), ctl.io.bigwig.read(path)
    cut = tmp_path / "cut.bw"
    refused = told = 0
    for n in range(1, len(raw), 37):
        cut.write_bytes(raw[:n])
        try:
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                found = ctl.io.bigwig.read(cut)
        except ctl.ChromatellError as error:
            assert "Copy" in str(error) or "Needed: a bigWig" in str(error)  # noqa: PT017
            refused += 1
        else:
            np.testing.assert_array_equal(found["chr2"], whole["chr2"])
            assert "does not end with the signature" in str(said[0].message)
            told += 1
    assert refused > 50
    assert told > 5


FUZZ = """
import sys
import numpy as np
import chromatell as ctl
ctl.settings.check_seconds = 0  # this is a child process
raw = bytearray(open(sys.argv[1], "rb").read())
rng = np.random.default_rng(int(sys.argv[3]))
outcomes = {"read": 0, "refused": 0}
for i in range(250):
    changed = bytearray(raw)
    high = (88, 2600, len(raw))[i % 3]
    for _ in range(int(rng.integers(1, 4))):
        changed[int(rng.integers(4, high))] = int(rng.integers(0, 256))
    with open(sys.argv[2], "wb") as handle:
        handle.write(changed)
    try:
        with ctl.io.bigwig.BigWig(sys.argv[2]) as file:
            for chrom, size in file.sizes.items():
                if size < 1_000_000:
                    file.binned(chrom, 50)
        outcomes["read"] += 1
    except ctl.ChromatellError:
        outcomes["refused"] += 1
print(outcomes)
"""


def test_altered_bytes_end_in_values_or_one_kind_of_error_never_in_a_crash(sparse, tmp_path):
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FUZZ, str(sparse[0]), str(tmp_path / "f.bw"), "0"],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert run.returncode == 0, run.stderr[-500:]
    assert "'read'" in run.stdout
    assert int(run.stdout.rstrip("}\n").split()[-1]) > 50


@pytest.mark.parametrize(
    ("at", "value", "what"),
    [
        (52, struct.pack("<I", 1 << 31), "says its blocks take"),
        (8, struct.pack("<Q", 1 << 60), "list of chromosomes should begin"),
        (24, struct.pack("<Q", 1 << 50), "index should begin"),
    ],
)
def test_sizes_that_would_end_the_process_are_refused_first(sparse, tmp_path, at, value, what):
    raw = bytearray(sparse[0].read_bytes())
    raw[at : at + len(value)] = value
    path = tmp_path / "large.bw"
    path.write_bytes(raw)
    with pytest.raises(ctl.ChromatellError, match=what):
        check_bigwig(path)


def test_infinite_values_are_refused(tmp_path):
    path = write_intervals(tmp_path / "inf.bw", [("chr1", 0, 50, float("inf"))], {"chr1": 100})
    with pytest.raises(ctl.ChromatellError, match="infinite values, or ones over 3e38, in 1 bins of chr1"):
        ctl.io.bigwig.read(path)


@pytest.mark.parametrize("name", ["s.bw", "s.BW", "s.bigWig", "s.BigWig", "s.BIGWIG", "s.bb", "s.txt", "s", "s.bw.1"])
def test_a_bigwig_is_told_by_its_content(tmp_path, name):
    tracks = ctl.data.BinnedTracks({"chr1": np.array([[0, 1, 5]])}, ["s"], chrom_sizes={"chr1": 120})
    ctl.io.bigwig.write(tracks, tmp_path / "x.bw")
    path = (tmp_path / "x.bw").rename(tmp_path / name)
    assert ctl.io.bigwig.read(path)["chr1"].tolist() == [0.0, 1.0, 5.0]
