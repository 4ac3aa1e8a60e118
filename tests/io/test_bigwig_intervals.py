"""Intervals written as a bigWig: what pybigtools and pyBigWig read, zoom levels too, is what bases hold one by one."""

from __future__ import annotations

import numpy as np
import pytest

from chromatell.io._bigwig_intervals import write_intervals

pybigtools = pytest.importorskip("pybigtools")
SIZES = {"chr1": 200_003, "chr2": 900, "chr3": 50_000}


def intervals(lengths, gaps):
    """Return 2,500 intervals on chr1 and 60 on chr3, of lengths and gaps drawn from ranges."""
    rng = np.random.default_rng(0)
    starts, ends, values = {}, {}, {}
    for chrom, n in (("chr1", 2500), ("chr3", 60)):
        length, gap = rng.integers(*lengths, n), rng.integers(*gaps, n)
        ends[chrom] = np.cumsum(length + gap)
        starts[chrom] = ends[chrom] - length
        values[chrom] = rng.normal(size=n)
    shift = SIZES["chr1"] - ends["chr1"][-1]  # the last ends with the chromosome
    starts["chr1"][-1] += shift
    ends["chr1"][-1] += shift
    return starts, ends, values


@pytest.fixture(params=[((50, 51), (0, 9)), ((1, 40), (0, 50)), ((1, 3), (60, 70))], ids=["equal", "dense", "sparse"])
def track(request, tmp_path):
    found = intervals(*request.param)
    write_intervals(tmp_path / "x.bw", SIZES, *found)
    return tmp_path / "x.bw", *found


def by_base(chrom, starts, ends, values):
    """Return the value of each base, NaN where there is none."""
    found = np.full(SIZES[chrom], np.nan)
    for start, end, value in zip(starts.get(chrom, ()), ends.get(chrom, ()), values.get(chrom, ()), strict=True):
        found[start:end] = np.float32(value)
    return found


def test_the_same_intervals_are_read(track):
    path, starts, ends, values = track
    with pybigtools.open(str(path)) as file:
        assert file.chroms() == SIZES
        for chrom in starts:
            read = np.array(list(file.records(chrom)))
            np.testing.assert_array_equal(read[:, 0], starts[chrom])
            np.testing.assert_array_equal(read[:, 1], ends[chrom])
            np.testing.assert_array_equal(read[:, 2], values[chrom].astype(np.float32))
        assert list(file.records("chr2")) == []
        whole = np.concatenate([by_base(chrom, starts, ends, values) for chrom in SIZES])
        summary = file.info()["summary"]
        assert summary["basesCovered"] == np.count_nonzero(~np.isnan(whole))
        assert summary["sum"] == pytest.approx(np.nansum(whole))
        assert (summary["min"], summary["max"]) == (np.nanmin(whole), np.nanmax(whole))


def test_zoom_levels_sum_up_the_bases_of_their_intervals(track):
    path, starts, ends, values = track
    with pybigtools.open(str(path)) as file:
        levels = file.zooms()
        assert levels
        for width in levels:
            n = 0
            for chrom in starts:
                bases = by_base(chrom, starts, ends, values)
                for start, end, record in file.zoom_records(width, chrom):
                    there = bases[start:end][~np.isnan(bases[start:end])]
                    assert (start % width, record["bases_covered"]) == (0, there.size)
                    assert record["sum"] == pytest.approx(there.sum(), abs=1e-3)
                    assert record["sum_squares"] == pytest.approx((there**2).sum(), rel=1e-5)
                    assert (record["min_val"], record["max_val"]) == (there.min(), there.max())
                    n += 1
            assert n <= 2560 / 2 + 2  # a level as long as the data saves nothing


def test_pybigwig_reads_the_same(track):
    pybigwig = pytest.importorskip("pyBigWig")
    path, starts, ends, values = track
    with pybigwig.open(str(path)) as file:
        for chrom in SIZES:
            wanted = by_base(chrom, starts, ends, values)
            np.testing.assert_array_equal(file.values(chrom, 0, SIZES[chrom], numpy=True), wanted.astype(np.float32))
        bases = by_base("chr1", starts, ends, values)
        assert file.stats("chr1", 0, 150_000, exact=True)[0] == pytest.approx(np.nanmean(bases[:150_000]), rel=1e-4)
        assert file.stats("chr2") == [None]
