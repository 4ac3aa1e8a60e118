import numpy as np
import pandas as pd
import pytest

from chromatell import ChromatellError
from chromatell.genome.builds import BUILDS, build_name, builds_that_fit, chromosome_sizes, identify, normalised


@pytest.mark.parametrize("build", ["hg19", "hg38", "mm10"])
def test_lengths_are_those_of_chrom_sizes(data_dir, build):
    file = data_dir / "genome" / f"{build}.chrom.sizes"
    table = pd.read_csv(file, sep="\t", header=None, index_col=0)[1].to_dict()
    assert chromosome_sizes(file) == table
    assert BUILDS[build] == {name: n for name, n in table.items() if name != "chrM"}
    assert identify(table) == build


def test_no_two_builds_share_a_length():
    for a in BUILDS:
        for b in BUILDS:
            shared = [c for c in BUILDS[a] if a != b and BUILDS[b].get(c) == BUILDS[a][c]]
            assert shared == [], (a, b)


@pytest.mark.parametrize(
    ("name", "build"),
    [
        ("hg38", "hg38"), ("GRCh38.p14", "hg38"), ("GRCh37", "hg19"), ("b37", "hg19"), ("T2T-CHM13v2.0", "hs1"),
        ("T2T-CHM13", "hs1"), ("GRCm38", "mm10"), ("mm10-2020-A", "mm10"), ("GRCm39", "mm39"), ("mm9", "mm9"),
        ("GRCh38_and_mm10", ""), ("hg381", ""), ("rn7", ""), ("", ""),
    ],
)  # fmt: skip
def test_names_of_builds(name, build):
    assert build_name(name) == build


def test_identify():
    assert identify({"chr1": 249250621, "chrUn_x": 7}) == "hg19"
    assert identify({"20": 64444167}) == "hg38"
    assert identify({"chr1": 249250621, "chr2": 1}) == ""
    assert identify({"chrUn_x": 7}) == ""
    assert identify({}) == ""


def test_builds_that_hold_all_regions():
    # chr1 ends at 249,250,621 in hg19, 248,956,422 in hg38, 248,387,328 in hs1, and below 198 Mb in the mouse
    for end, builds in [(249_250_621, ["hg19"]), (248_956_422, ["hg19", "hg38"]), (249_250_622, [])]:
        table = pd.DataFrame({"chrom": ["1", "chr2", "GL1"], "end": [end, 1000, 10**9]})
        assert builds_that_fit(table) == builds
    assert builds_that_fit(pd.DataFrame({"chrom": ["chr22"], "end": [100]})) == ["hg19", "hg38", "hs1"]
    assert builds_that_fit(pd.DataFrame({"chrom": ["GL1"], "end": [100]})) == []


def test_sizes_from_anywhere(tmp_path):
    assert chromosome_sizes("GRCh38")["chr20"] == 64444167
    assert chromosome_sizes({"a": np.int64(5), "b": "7"}) == {"a": 5, "b": 7}
    file = tmp_path / "some.chrom.sizes"
    file.write_text("# comment\nchr1\t100\textra\r\n\nMT\t16569\n")
    assert chromosome_sizes(file) == {"chr1": 100, "MT": 16569}
    assert normalised({"1": 100, "MT": 7, "GL1.2": 3}) == {"chr1": 100, "chrM": 7, "GL1.2": 3}


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (b"chr1 100\n", "line 1: 'chr1 100.*' is not 'name<tab>length'"),
        (b"chr1\tlong\n", "'long' is not the length of 'chr1'; whole bp"),
        (b"chr1\t-5\n", "'-5' is not the length"),
        (b"\xff\xfe\x00", "is not a text file"),
        (b"x" * 5000 + b"\t5\n", "is not 'name<tab>length'. Mend the file"),
    ],
)
def test_files_that_are_no_sizes(tmp_path, text, match):
    file = tmp_path / "x.sizes"
    file.write_bytes(text)
    with pytest.raises(ChromatellError, match=match):
        chromosome_sizes(file)


def test_other_wrong_sizes():
    with pytest.raises(ChromatellError, match="neither a file nor one of the builds"):
        chromosome_sizes("rn99")
    with pytest.raises(ChromatellError, match="3.5 is not the length of 'chr1'"):
        chromosome_sizes({"chr1": 3.5})
