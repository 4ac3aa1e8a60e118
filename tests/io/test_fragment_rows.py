"""What a fragments file's columns mean, and odd lines among its fragments."""

from __future__ import annotations

import pandas as pd
import pytest

import chromatell as ctl
from chromatell import ChromatellError, ChromatellWarning
from chromatell.io.fragments import fragment_blocks

SIZES = {f"chr{i}": 100_000 for i in (1, 2, 3)}


def good(n):
    return [f"chr{1 + i % 3}\t{100 + 7 * i}\t{180 + 7 * i}\tAAACGA{'ACGT'[i % 4]}T-1\t1" for i in range(n)]


def write(path, lines):
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def starts(path, **options):
    return pd.concat(list(fragment_blocks(path, **options)))["start"].tolist()


FOREIGN = {
    "BEDPE of read pairs": lambda i: f"chr{1 + i % 3}\t{50 + i}\t{101 + i}\tchr{1 + i % 3}\t{20 + i}\t{71 + i}\tAC\t60",
    "names of chromosomes": lambda i: f"chr{1 + i % 3}\t{50 + i}\t{101 + i}\tchr{1 + i % 3}",
    "strands: this is a BED": lambda i: f"chr1\t{50 + i}\t{101 + i}\t{'+-'[i % 2]}",
    "tagAlign of reads": lambda i: f"chr1\t{50 + i}\t{101 + i}\tN\t1000\t{'+-'[i % 2]}",
    "a bedGraph of a signal": lambda i: f"chr1\t{50 * i}\t{50 * i + 50}\t{i / 8}",
    "numbers: this is a bedGraph": lambda i: f"chr1\t{50 * i}\t{50 * i + 50}\t{i % 7}",
    "widths: this is a table": lambda i: f"chr1\t{50 + i}\t{101 + 3 * i}\t{51 + 2 * i}\t*",
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_file_whose_fourth_column_is_no_barcode(tmp_path, kind):
    path = write(tmp_path / "f.tsv", [FOREIGN[kind](i) for i in range(60)])
    for call in (lambda: starts(path), lambda: ctl.pp.bin_genome(path, chrom_sizes=SIZES, min_fragments=1)):
        with pytest.raises(ChromatellError, match=f"column 4, of barcodes, holds .*{kind}"):
            call()


def test_barcodes_that_are_numbers_are_read(tmp_path):
    # 7 cells whose fragments overlap: no bedGraph
    path = write(tmp_path / "f.tsv", [f"chr1\t{5 * i}\t{5 * i + 90}\t{i % 7}\t1" for i in range(70)])
    assert ctl.pp.bin_genome(path, chrom_sizes=SIZES, min_fragments=1).obs["n_fragments"].tolist() == [10] * 7


@pytest.mark.parametrize(
    "bad",
    ["chr1\tx\t5\tA", "chr1\t1\t5", "chr1\t5\t5\tA", "chr1\t9\t4\tA", "chr1\t5\t8\t", "\t5\t8\tA", "a\tb\tc\td",
     "chr1\t1e30\t2e30\tA", "chr1\t1.5\t9\tA", "chr1\t-9\t-5\tA"],
)  # fmt: skip
@pytest.mark.parametrize("block", [500, 1_000_000])
def test_one_odd_line_of_many_is_left_out_and_counted(tmp_path, bad, block):
    lines = good(150)
    wanted = starts(write(tmp_path / "f.tsv", lines))
    path = write(tmp_path / "f.tsv", [*lines[:70], bad, *lines[70:]])
    with pytest.warns(ChromatellWarning, match="1 of 151 lines are left out; the first, line 71, "):
        assert starts(path, block_bytes=block) == wanted
    path = write(tmp_path / "f.tsv", [*lines, bad, bad])
    with pytest.raises(ChromatellError, match="line 151, "):
        starts(path, block_bytes=block)


def test_a_file_cut_within_its_last_line_is_an_error_of_however_many_lines(tmp_path):
    path = tmp_path / "f.tsv"
    for last in ("chr1\t100\t2", "chr1\t1", "chr1\t500\t50\tAC"):
        path.write_text("\n".join([*good(500), last]))
        with pytest.raises(ChromatellError, match="line 501, .*the file ends within the line, it is cut short"):
            starts(path)


def test_fragments_that_begin_before_base_0(tmp_path):
    # the shift of Tn5 at the first base of a circular chromosome
    path = write(tmp_path / "f.tsv", ["chrM\t-4\t160\tAAAC-1\t1", "chr1\t10\t90\tAAAC-1\t1"])
    with pytest.warns(ChromatellWarning, match="1 of 2 fragments began before base 0 .* they begin at 0"):
        binned = ctl.pp.bin_genome(path, chrom_sizes={"chr1": 1000, "chrM": 16569}, barcodes=["AAAC-1"])
    assert binned.var_names.tolist() == ["chr1:0-1000", "chrM:0-5000"]
    assert binned.obs["n_fragments"].tolist() == [2]


@pytest.mark.parametrize("position", ["5200", "5.2e+03", "5200.0"])
def test_positions_as_r_writes_them(tmp_path, position):
    path = write(tmp_path / "f.tsv", [f"chr1\t{position}\t5400\tA\t1", "chr1\tx\t5\tA", *good(120)])
    with pytest.warns(ChromatellWarning, match="1 of 122 lines"):
        assert starts(path)[0] == 5200


def test_an_odd_line_beside_bytes_that_are_no_text_and_bare_carriage_returns(tmp_path):
    """Only what is read must be text, and a bare carriage return ends a line, whether or not another line is odd."""
    lines = good(300)
    expected = [int(line.split("\t")[1]) for line in lines]
    text = "".join(f"{line}\n" for line in lines).encode()
    first, second = (f"{line}\n".encode() for line in lines[:2])
    text = text.replace(first, first.rstrip(b"\n") + b"\t\xfe\n").replace(second, second.replace(b"\n", b"\r"))
    (tmp_path / "f.tsv").write_bytes(text + b"chr1\t5\n" + lines[0].encode() + b"\n")
    with pytest.warns(ChromatellWarning, match="1 of 302 lines are left out"):
        assert starts(tmp_path / "f.tsv") == [*expected, expected[0]]
