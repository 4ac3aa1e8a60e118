"""Barcodes that carry a sample's name: the hint is given for each style, and its line works."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pandas as pd
import pytest

import chromatell as ctl
from chromatell import ChromatellError

STYLES = [
    "s1_{}-1", "s1#{}-1", "{}-1-0", "{}-1_1", "{}-1-donor1", "{}-1-Sample_1", "{}_s1", "s1-{}-1", "s1:{}", "{}", "{}-2",
]  # fmt: skip


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("in_file", ["{}-1", "{}", "lib7_{}"])
def test_the_hint_names_the_difference_and_its_line_works(tmp_path, style, in_file):
    barcodes = ["AAACGAATCC", "GGTACCTTAA", "AAACGAATCA+TTGACATTGA"]
    if style == in_file:
        pytest.skip("the same names")
    path = tmp_path / "f.tsv"
    path.write_text("".join(f"chr1\t{100 + i}\t300\t{in_file.format(b)}\t1\n" for i, b in enumerate(barcodes)))
    rna = SimpleNamespace(obs_names=pd.Index([style.format(b) for b in barcodes]))
    with pytest.raises(ChromatellError, match="differ in what stands before or after the barcode alone") as caught:
        ctl.pp.bin_genome(path, chrom_sizes={"chr1": 1000}, barcodes=rna.obs_names)
    line = re.search(r"such as barcodes=(.*\.tolist\(\)), then", str(caught.value))[1]
    binned = ctl.pp.bin_genome(path, chrom_sizes={"chr1": 1000}, barcodes=eval(line, {"rna": rna}))
    assert binned.obs["n_fragments"].tolist() == [1, 1, 1]


@pytest.mark.parametrize(("cell", "in_file"), [("s1#C17", "C17"), ("C17-s1", "C17-1")])
def test_barcodes_without_bases(tmp_path, cell, in_file):
    (tmp_path / "f.tsv").write_text(f"chr1\t100\t300\t{in_file}\t1\n")
    with pytest.raises(ChromatellError, match="differ in what stands before or after"):
        ctl.pp.bin_genome(tmp_path / "f.tsv", chrom_sizes={"chr1": 1000}, barcodes=[cell])


def test_another_samples_file_gets_no_such_hint(tmp_path):
    (tmp_path / "f.tsv").write_text("chr1\t100\t300\ts1_AAACGAAT-1\t1\nchr1\t100\t300\ts1_AAACGAAC-1\t1\n")
    with pytest.raises(ChromatellError, match="Take the file of the same sample"):
        ctl.pp.bin_genome(tmp_path / "f.tsv", chrom_sizes={"chr1": 1000}, barcodes=["s1_TTTTTTTT-1"])
