"""`pp.bin_tracks`: files to tracks, what it takes them for, and files that do not go together."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest

import chromatell as ctl

pybigtools = pytest.importorskip("pybigtools")
SIZES = {"chr1": 1010, "chr2": 500}


def write(path, intervals, sizes=SIZES):
    pybigtools.open(str(path), "w").write(dict(sizes), iter(intervals))
    return path


@pytest.fixture
def files(tmp_path):
    """Two strands, minus stored as negative values, and a target with explicit zeros."""
    plus = [("chr1", 0, 1, 5.0), ("chr1", 120, 121, 2.0), ("chr1", 1009, 1010, 4.0), ("chr2", 0, 10, 1.0)]
    minus = [("chr1", 49, 51, -3.0), ("chr2", 400, 401, -7.0)]
    me3 = [("chr1", 0, 300, 0.0), ("chr1", 300, 420, 2.0), ("chr1", 420, 1010, 0.0), ("chr2", 0, 500, 1.0)]
    return {
        "plus": write(tmp_path / "plus.bw", plus),
        "minus": write(tmp_path / "minus.bw", minus),
        "H3K4me3": write(tmp_path / "me3.bw", me3),
    }


@pytest.fixture
def said(monkeypatch, caplog):
    monkeypatch.setattr(logging.getLogger("chromatell"), "propagate", True)
    caplog.set_level(logging.INFO, logger="chromatell")
    return caplog


def test_strands_roles_and_signs_are_taken_from_names_and_values(files, said):
    tracks = ctl.pp.bin_tracks(files)
    assert tracks.table["strand"].tolist() == ["+", "-", "."]
    assert tracks.table["role"].tolist() == ["input", "input", "target"]
    assert set(tracks.table["stat"]) == {"mean"}
    assert tracks.chrom_sizes == SIZES
    expected = np.zeros((3, 21), dtype=np.float32)
    expected[0, [0, 2, 20]] = [0.1, 0.04, 0.4]  # the last bin is 10 bp
    expected[1, [0, 1]] = [0.06, 0.06]
    expected[2, 6:9] = [2, 2, 0.8]
    np.testing.assert_allclose(tracks.values("chr1"), expected, rtol=1e-6)
    assert not np.signbit(tracks.values("chr1")).any()
    assert "stores the minus strand as negative values" in said.text
    assert tracks.uns["bin_tracks"] == {"stat": "mean", "missing": "zero", "files": ["plus.bw", "minus.bw", "me3.bw"]}


def test_statistics_differ_as_they_say(files):
    by = {s: ctl.pp.bin_tracks(files, stat=s).values("chr1") for s in ("mean", "mean_covered", "sum", "max")}
    assert {s: float(v[0, 0]) for s, v in by.items()} == pytest.approx(
        {"mean": 0.1, "mean_covered": 5, "sum": 5, "max": 5}
    )
    assert {s: float(v[1, 1]) for s, v in by.items()} == pytest.approx(
        {"mean": 0.06, "mean_covered": 3, "sum": 3, "max": 3}
    )
    assert {s: float(v[2, 8]) for s, v in by.items()} == pytest.approx(
        {"mean": 0.8, "mean_covered": 0.8, "sum": 40, "max": 2}
    )


def test_missing_bins_can_be_told_from_zeros(files):
    found = ctl.pp.bin_tracks(files, missing="nan", chroms="chr1").values("chr1")
    assert np.flatnonzero(~np.isnan(found[0])).tolist() == [0, 2, 20]
    assert not np.isnan(found[2]).any()


def test_the_most_negative_of_a_minus_strand_is_its_maximum(tmp_path):
    path = write(tmp_path / "m.bw", [("chr1", 0, 1, -2.0), ("chr1", 1, 2, -9.0)])
    table = [{"name": "m", "path": path, "strand": "-"}, {"name": "p", "path": tmp_path / "p.bw", "strand": "+"}]
    write(tmp_path / "p.bw", [("chr1", 0, 1, 1.0)])
    assert ctl.pp.bin_tracks(table, stat="max").values("chr1", "m")[0, 0] == 9


def test_a_table_says_more_than_names(files):
    table = pd.DataFrame(
        {
            "path": [str(p) for p in files.values()],
            "strand": ["+", "-", "."],
            "sample": "K562",
            "assay": ["PRO-seq", "PRO-seq", "H3K4me3"],
            "lab": "x",
        },
        index=["a", "b", "c"],
    )
    tracks = ctl.pp.bin_tracks(table, bin_size=100, n_jobs=3)
    assert tracks.names == ["a", "b", "c"]
    assert tracks.table.loc["b", ["assay", "strand", "role", "sample", "lab"]].tolist() == [
        "PRO-seq", "-", "input", "K562", "x"
    ]  # fmt: skip
    assert "path" not in tracks.table
    one = ctl.pp.bin_tracks(files, bin_size=100)
    for chrom in SIZES:
        np.testing.assert_array_equal(tracks.values(chrom), one.values(chrom))


def test_out_holds_the_same_and_reads_lazily(files, tmp_path):
    stored = ctl.pp.bin_tracks(files, out=tmp_path / "t.zarr")
    assert not stored.in_memory
    memory = ctl.pp.bin_tracks(files)
    for chrom in SIZES:
        np.testing.assert_array_equal(stored.values(chrom), memory.values(chrom))
    pd.testing.assert_frame_equal(stored.table, memory.table)
    with pytest.raises(ctl.ChromatellError, match="overwrite=True"):
        ctl.pp.bin_tracks(files, out=tmp_path / "t.zarr")


def test_more_than_memory_may_hold_asks_for_a_store(files, monkeypatch):
    monkeypatch.setattr(ctl.settings, "dense_limit", 100)
    with pytest.raises(ctl.ChromatellError, match="out='tracks.zarr'"):
        ctl.pp.bin_tracks(files)


# chromosomes


def test_chromosomes_come_in_their_natural_order_without_scaffolds(tmp_path, said):
    sizes = {"chr10": 100, "chr2": 100, "chrX": 100, "chrM": 100, "chrUn_KI270742v1": 100, "GL000205.2": 100}
    path = write(tmp_path / "a.bw", [(c, 0, 10, 1.0) for c in sorted(sizes)], sizes)
    assert ctl.pp.bin_tracks({"a": path}).chroms == ["chr2", "chr10", "chrX"]
    assert "Left out 3 scaffolds" in said.text
    assert ctl.pp.bin_tracks({"a": path}, chroms=["chrM", "chr2"]).chroms == ["chrM", "chr2"]


def test_1_and_chr1_are_the_same_in_the_style_of_the_first(files, tmp_path, said):
    other = write(tmp_path / "b.bw", [("1", 0, 50, 3.0), ("2", 0, 50, 4.0)], {"1": 1010, "2": 500})
    tracks = ctl.pp.bin_tracks({"me3": files["H3K4me3"], "b": other})
    assert tracks.chroms == ["chr1", "chr2"]
    assert [float(tracks.values(c, "b")[0, 0]) for c in tracks.chroms] == [3.0, 4.0]
    assert ctl.pp.bin_tracks({"b": other}, chroms="chr2").chroms == ["2"]
    assert "differ in style" in said.text


def test_a_chromosome_that_one_file_lacks_is_left_out_aloud(files, tmp_path):
    other = write(tmp_path / "b.bw", [("chr1", 0, 50, 3.0)], {"chr1": 1010})
    given = {"me3": files["H3K4me3"], "b": other}
    with pytest.warns(ctl.ChromatellWarning, match="'b' lack some chromosomes of the others, .* left out: 'chr2'"):
        assert ctl.pp.bin_tracks(given).chroms == ["chr1"]
    with pytest.raises(ctl.ChromatellError, match="Chromosome 'chr2' is not in 'b', which has 'chr1'"):
        ctl.pp.bin_tracks(given, chroms=["chr1", "chr2"])


def test_files_of_different_builds_are_refused_by_name(tmp_path):
    hg19 = write(tmp_path / "a.bw", [("chr21", 0, 50, 1.0)], {"chr21": 48129895})
    hg38 = write(tmp_path / "b.bw", [("chr21", 0, 50, 1.0)], {"chr21": 46709983})
    with pytest.raises(
        ctl.ChromatellError, match=r"48,129,895 bp in 'plus' \(hg19\) and 46,709,983 bp in 'minus' \(hg38\)"
    ):
        ctl.pp.bin_tracks({"plus": hg19, "minus": hg38})


def test_files_that_share_no_chromosome(tmp_path):
    a = write(tmp_path / "a.bw", [("chr1", 0, 50, 1.0)], {"chr1": 100})
    b = write(tmp_path / "b.bw", [("chr3", 0, 50, 1.0)], {"chr3": 100})
    with pytest.raises(ctl.ChromatellError, match="share no chromosome .*a: 'chr1'; b: 'chr3'"):
        ctl.pp.bin_tracks({"a": a, "b": b})


# strands and signs


def test_swapped_strands_are_told_by_sign(files):
    with pytest.raises(ctl.ChromatellError, match="plus strand and holds negative values .* swapped"):
        ctl.pp.bin_tracks({"plus": files["minus"], "minus": files["plus"]})


GENES = pd.DataFrame(
    {"chrom": ["1", "chr2"], "start": [0, 350], "end": [130, 450], "name": ["A", "B"], "strand": ["+", "-"]}
)


def test_swapped_strands_of_one_sign_are_told_by_the_genes(files, tmp_path, said):
    tracks = ctl.pp.bin_tracks(files, annotation=GENES)
    # on strand: 5 + 2 of A, 7 of B; on the other: 6 of minus in A
    assert "70% of the signal in genes is on their strand" in said.text
    positive = ctl.io.bigwig.write(tracks, tmp_path / "positive", names=["plus", "minus"])
    swapped = {"plus": positive["minus"], "minus": positive["plus"]}
    assert ctl.pp.bin_tracks(swapped).n_tracks == 2
    with pytest.raises(ctl.ChromatellError, match="^30% of the signal of .* in genes is on .* look swapped"):
        ctl.pp.bin_tracks(swapped, annotation=GENES)


def test_one_strand_twice(files, tmp_path):
    copy = tmp_path / "copy.bw"
    copy.write_bytes(files["plus"].read_bytes())
    with pytest.raises(ctl.ChromatellError, match="'plus' and 'minus' hold the same values"):
        ctl.pp.bin_tracks({"plus": files["plus"], "minus": copy})
    with pytest.raises(ctl.ChromatellError, match="are one file"):
        ctl.pp.bin_tracks({"plus": files["plus"], "minus": files["plus"]})


def test_one_strand_alone_is_said(files):
    with pytest.warns(ctl.ChromatellWarning, match="one strand alone"):
        ctl.pp.bin_tracks({"plus": files["plus"]})


def test_negative_values_where_there_can_be_none(tmp_path):
    mixed = write(tmp_path / "x.bw", [("chr1", 0, 50, 1.0), ("chr1", 50, 90, -2.0)])
    with pytest.raises(ctl.ChromatellError, match=r"below 0 \(-2 to 1\).*allow_negative=True"):
        ctl.pp.bin_tracks({"ratio": mixed})
    assert ctl.pp.bin_tracks({"ratio": mixed}, allow_negative=True).values("chr1").min() == pytest.approx(-1.6)
    for strand in ("-", "."):
        table = [{"name": "x", "path": mixed, "strand": strand, "role": "input"}]
        with (
            pytest.warns(ctl.ChromatellWarning) if strand == "-" else np.errstate(),
            pytest.raises(ctl.ChromatellError, match="Give a file of read counts"),
        ):
            ctl.pp.bin_tracks(table, allow_negative=True)


# what cannot be binned


def test_a_file_without_values(tmp_path, files):
    empty = write(tmp_path / "z.bw", [("chr1", 0, 50, 0.0), ("chr2", 0, 50, 0.0)])
    with pytest.raises(ctl.ChromatellError, match="hold no value other than 0 on 'chr1', 'chr2'"):
        ctl.pp.bin_tracks({"me3": files["H3K4me3"], "z": empty}, out=tmp_path / "t.zarr")
    assert not (tmp_path / "t.zarr").exists()


@pytest.mark.parametrize(
    ("files_", "kwargs", "cure"),
    [
        ("plus.bw", {}, "files must be a dict of name to path"),
        ({}, {}, "each track needs 'name' and 'path'"),
        ([{"name": "a"}], {}, "each track needs 'name' and 'path'"),
        ({"a": None}, {}, "Tracks 'a' have no path"),
        ({"a": "no.bw"}, {}, "no file at 'no.bw'"),
        ({"a": {"path": "no.bw", "role": "in"}}, {}, "'role' of the table of tracks holds 'in'"),
        ({"a": "no.bw"}, {"bin_size": 0}, "bin_size=0"),
        ({"a": "no.bw"}, {"stat": "median"}, "stat='median' is not known"),
        ({"a": "no.bw"}, {"missing": 0}, "missing=0 is not known"),
        ({"a": "no.bw"}, {"n_jobs": 0}, "n_jobs=0"),
    ],
)
def test_arguments_that_are_wrong(files_, kwargs, cure):
    with pytest.raises(ctl.ChromatellError, match=cure):
        ctl.pp.bin_tracks(files_, **kwargs)


def test_a_bed_given_as_bigwig(tmp_path):
    (tmp_path / "peaks.bw").write_text("chr1\t0\t50\tpeak\n")
    with pytest.raises(ctl.ChromatellError, match="not a bigWig: it is a"):
        ctl.pp.bin_tracks({"peaks": tmp_path / "peaks.bw"})


# real files


def test_real_files_have_the_sums_of_their_headers(data_dir):
    folder = data_dir / "nascent" / "k562_chr21"
    tracks = ctl.pp.bin_tracks(
        {"plus": folder / "plus.bw", "minus": folder / "minus.bw"},
        stat="sum",
        annotation=data_dir / "annotation" / "hg19_genes.tsv.gz",
    )
    assert tracks.build == "hg19"
    assert tracks.values("chr21").sum(axis=1, dtype=np.float64).tolist() == [1549575.0, 1403768.0]
    artefact = tracks.locate("chr21:9,820,000-9,840,000")[1]
    assert tracks.values("chr21", "plus", bins=artefact).sum() / 1549575 == pytest.approx(0.17, abs=0.005)


def test_real_targets_cover_what_their_readme_says(data_dir):
    folder = data_dir / "nascent" / "k562_chr21"
    tracks = ctl.pp.bin_tracks({n: folder / f"{n}.bw" for n in ("H3K4me3", "H3K4me1")})
    assert tracks.values("chr21").max(axis=1).tolist() == [1000.0, 1.0]
    assert float(tracks.values("chr21", "H3K4me1").mean()) == pytest.approx(0.0403, rel=1e-3)  # it is 1 or 0
    assert float((tracks.values("chr21", "H3K4me3") > 0).mean()) == pytest.approx(0.0054, rel=0.06)  # in whole bins
