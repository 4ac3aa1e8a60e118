"""Variants from VCF and tables: hand-written files, and files that are not what they should be."""

from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pytest

from chromatell import ChromatellError, ChromatellWarning
from chromatell.genome import variants as module
from chromatell.genome.variants import read_variants

HEADER = "##fileformat=VCFv4.3\n##contig=<ID=chr1>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tS1\n"
ROWS = [
    ("chr1", 101, "rs1", "A", "G"),
    ("chr1", 205, "", "C", "T"),
    ("chr1", 205, "", "C", "G"),
    ("chr2", 7, "x;y", "AC", "A"),
    ("chr2", 9, "", "T", "TGG"),
]
LINES = (
    "chr1\t101\trs1\ta\tG\t.\tPASS\t.\tGT\t0/1\n"
    "chr1\t205\t.\tC\tT,G\t50\t.\tAF=0.1\tGT\t1/2\n"
    "chr2\t7\tx;y\tAC\tA\t.\t.\t.\tGT\t0/0\n"
    "\n"
    "chr2\t9\t.\tT\tTGG\t.\t.\t.\tGT\t0/0\n"
)


def rows(table: pd.DataFrame) -> list[tuple]:
    return [tuple(r) for r in table[["chrom", "pos", "id", "ref", "alt"]].itertuples(index=False)]


@pytest.mark.parametrize("compress", [False, True])
def test_vcf_rows_are_read_and_alleles_split(tmp_path, compress):
    path = tmp_path / "variants.anything"
    text = (HEADER + LINES).encode()
    path.write_bytes(gzip.compress(text[:100]) + gzip.compress(text[100:]) if compress else text)  # bgzip: many members
    table = read_variants(path)
    assert rows(table) == ROWS
    assert table["pos"].dtype == np.int64
    assert list(table.columns) == ["chrom", "pos", "id", "ref", "alt"]


def test_windows_line_ends(tmp_path):
    path = tmp_path / "v.vcf"
    path.write_bytes((HEADER + LINES).replace("\n", "\r\n").encode())
    assert rows(read_variants(str(path))) == ROWS


@pytest.mark.parametrize("separator", ["\t", ","])
def test_a_table_in_a_file(tmp_path, separator):
    path = tmp_path / "v.txt"
    lines = [["rsID", "Chromosome", "Start", "REF", "Alt"], ["rs1", "1", "100", "A", "C"], ["", "X", "0", "G", '"T"']]
    path.write_text("\n".join(separator.join(line) for line in lines))
    assert rows(read_variants(path)) == [("1", 101, "rs1", "A", "C"), ("X", 1, "", "G", "T")]  # start is 0-based


def test_a_quoted_list_of_alleles_in_a_csv(tmp_path):
    path = tmp_path / "v.csv"
    path.write_text('chrom,pos,ref,alt\nchr1,5,A,"C,G"\n')
    assert rows(read_variants(path)) == [("chr1", 5, "", "A", "C"), ("chr1", 5, "", "A", "G")]


def test_frames_by_any_usual_names():
    frame = pd.DataFrame({"#CHROM": ["chr1"], "POS": ["12"], "REF": ["g"], "ALT": ["A"], "start": [3]})
    assert rows(read_variants(frame)) == [("chr1", 12, "", "G", "A")]  # pos is taken before start
    frame = pd.DataFrame({"chr": [7], "start": [11.0], "ref": ["g"], "alt": ["A"], "snp": [None]}, index=["a"])
    assert rows(read_variants(frame)) == [("7", 12, "", "G", "A")]


def test_what_is_no_sequence_is_left_out_and_counted(tmp_path):
    path = tmp_path / "v.vcf"
    odd = ["<DEL>", ".", "*", "G]17:198982]", "R", "A" * 10_001]
    path.write_text(HEADER + LINES + "".join(f"chr3\t{i + 1}\t.\tA\t{alt}\n" for i, alt in enumerate(odd)))
    with pytest.warns(ChromatellWarning, match=r"6 of 11 alleles .*such as 'A><DEL>', 'A>\.'.*left out"):
        table = read_variants(path)
    assert rows(table) == ROWS
    path.write_text(HEADER + "chr1\t5\t.\tA\tA\n")
    with pytest.raises(ChromatellError, match="None of the 1 alleles.*other than REF .*'A>A'"):
        read_variants(path)
    path.write_text(HEADER + "chr1\t5\t.\tA\t<DEL>\n")
    with pytest.raises(ChromatellError, match="None of the 1 alleles.*'A><DEL>'"):
        read_variants(path)


def test_a_quote_alone_damages_a_field(tmp_path):
    """R quotes text, not numbers; a stray quote in a position must not make another position of it."""
    path = tmp_path / "v.vcf"
    path.write_text(HEADER + 'chr1\t121"\t.\tA\tC\n' + '"chr1"\t7\t"x"\t"A"\t"C"\n' + "chr2\t9\t.\tA\tC\n" * 150)
    with pytest.warns(ChromatellWarning, match="1 of 152 variants have no position .*'121\"'"):
        table = read_variants(path)
    assert table.iloc[0, :5].tolist() == ["chr1", 7, "x", "A", "C"]
    assert len(table) == 151


def test_long_lines_are_read_in_part(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_KEPT", 64)
    path = tmp_path / "v.vcf"
    genotypes = "\t".join(["0/1"] * 500)
    long = "chr1\t300\t.\tA\t" + "ACGT" * 50 + "\t.\n"
    path.write_text(HEADER + LINES.replace("0/1", genotypes) + long + "chr1\t9\t.\tA\tC\n")
    with pytest.warns(ChromatellWarning, match="1 of 7 alleles"):  # its alleles run over what is read
        table = read_variants(path)
    assert rows(table) == [*ROWS, ("chr1", 9, "", "A", "C")]


def test_bounds(tmp_path, monkeypatch):
    path = tmp_path / "v.vcf"
    path.write_text(HEADER + LINES)
    for name, value, message in (
        ("_MAX_LINE", 30, "line of over 30 characters"),
        ("_MAX_TOTAL", 200, "over 200 characters"),
        ("_MAX_ROWS", 3, "over 3 variants"),
        ("_MAX_FIELD", 2, "has over 2 characters"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, value)
            patch.setattr(module, "_KEPT", 20 if name == "_MAX_LINE" else 65_536)
            with pytest.raises(ChromatellError, match=message):
                read_variants(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x00\x01\x02\xff" * 100, "not a whole text file|names no columns"),
        (b"##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\nchr1\t1\t.\tA\x00\tC\n", "NUL characters"),
        (
            b"##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tALT\tREF\nchr1\t1\t.\tA\tC\n",
            "ID, REF, ALT, in this order",
        ),
        (gzip.compress(b"BCF\x02\x02" + b"\x80\x90" * 50, mtime=0), "bcftools view"),
        (gzip.compress((HEADER + LINES).encode(), mtime=0)[:-20], "not a whole text file"),
        (b"", "names no columns"),
        (b"hello world\n", "'hello world', which names no columns"),
        (HEADER.encode(), "holds no variant"),
        (HEADER.encode() + b"chr1\t7\t.\tA\n", "a line of 4 fields.*at least 5"),
        (HEADER.encode() + b"chr1\tseven\t.\tA\tC\n", "1 of 1 variants have no position \\(such as 'seven'\\)"),
        (HEADER.encode() + b"chr1\t0\t.\tA\tC\n", "whole numbers from 1 on"),
        (b"chrom\tpos\tref\tother\nchr1\t1\tA\tC\n", "but no alt"),
    ],
)
def test_files_that_are_no_variants(tmp_path, content, message):
    path = tmp_path / "v.vcf"
    path.write_bytes(content)
    with pytest.raises(ChromatellError, match=message):
        read_variants(path)


def test_bad_frames_and_paths(tmp_path):
    with pytest.raises(ChromatellError, match="No file of variants at .*Needed: a VCF"):
        read_variants(tmp_path / "absent.vcf")
    with pytest.raises(ChromatellError, match="but no ref, pos"):
        read_variants(pd.DataFrame({"chrom": ["chr1"], "alt": ["A"]}))
    with pytest.raises(ChromatellError, match="holds no variant"):
        read_variants(pd.DataFrame({"chrom": [], "pos": [], "ref": [], "alt": []}))
    with pytest.raises(ChromatellError, match="1 of 2 variants have no position \\(such as '-1'\\).*from 0 on"):
        read_variants(pd.DataFrame({"chrom": "chr1", "start": [5, -1], "ref": "A", "alt": "C"}))


@pytest.mark.parametrize("name", ["chr1:2250:C>G", "chr1:2250C>G", "chr1:g.2250C>G", "chr1-2250-C-G", "chr1:2250:c:g"])
def test_names_as_people_write_them(name):
    for given in (name, [name], pd.Series([name])):
        assert read_variants(given).to_numpy().tolist() == [["chr1", 2250, name, "C", "G"]]


def test_names_of_odd_chromosomes_and_alleles():
    table = read_variants(["HLA-A*01:01:01-12-AT-A", "2L:5:A>G,T", "17:43044295:G>GA"])
    assert table[["chrom", "pos", "ref", "alt"]].to_numpy().tolist() == [
        ["HLA-A*01:01:01", 12, "AT", "A"],
        ["2L", 5, "A", "G"],
        ["2L", 5, "A", "T"],
        ["17", 43044295, "G", "GA"],
    ]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["chr1:2250:C>G", "rs7"], "1 of 2 variants are not named .*such as 'rs7'.*Needed: 'chr1:2250:C>G'"),
        (["chr1:2250"], r"1 of 1 variants.*pd\.DataFrame"),
        ("rs7", "No file of variants at 'rs7'; a variant's name is 'chr1:2250:C>G'"),
        ([], "the list of variants holds no variant"),
        (["chr1:0:C>G"], "no position"),
        (3, "got int. Names are"),
    ],
)
def test_names_that_are_none(given, message):
    with pytest.raises(ChromatellError, match=message):
        read_variants(given)


def test_an_allele_with_n_is_no_sequence():
    """N is no base that a model could be asked about: left out and counted, and refused where it is all there is."""
    with pytest.warns(ChromatellWarning, match=r"1 of 2 alleles .* are symbolic, missing, with N, .*such as 'T>N'"):
        assert read_variants(["chr1:5:T>N", "chr1:5:T>A"])["alt"].tolist() == ["A"]
    with pytest.raises(ChromatellError, match="None of the 1 alleles"):
        read_variants("chr1:5:N>A")


def test_a_position_below_zero_is_no_name():
    with pytest.raises(ChromatellError, match="1 of 1 variants are not named"):
        read_variants(["chr1:-5:A>C"])
