"""Genes from start to end, out of every kind of file that `read_genes` takes."""

from __future__ import annotations

import gzip

import pandas as pd
import pytest

import chromatell as ctl
from chromatell.genome.gene_bodies import read_gene_bodies

EXPECTED = [("chr1", 99, 500, "A", "+"), ("chr2", 10, 60, "B", "-")]
ATTRIBUTES = 'gene_id "ENSG{0}"; gene_name "{0}";'


def rows(table):
    return list(table.drop(columns="gene_id").itertuples(index=False, name=None))


def gtf(kind):
    lines = [("chr1", 100, 300, "+", "A"), ("chr1", 250, 500, "+", "A"), ("chr2", 11, 60, "-", "B")]
    if kind == "gene":
        lines = [("chr1", 100, 500, "+", "A"), ("chr2", 11, 60, "-", "B")]
    return "#!genome-build x\n" + "".join(
        f"{c}\tsrc\t{kind}\t{s}\t{e}\t.\t{strand}\t.\t{ATTRIBUTES.format(name)}\n" for c, s, e, strand, name in lines
    )


@pytest.mark.parametrize(
    "text",
    [
        gtf("gene"),
        gtf("transcript"),
        gtf("exon"),
        "chr1\t99\t500\tA|t|x\t0\t+\nchr2\t10\t60\tB\t0\t-\n",
        "#chrom\tstart\tend\tname\tstrand\ttss\nchr1\t99\t500\tA\t+\t99\nchr2\t10\t60\tB\t-\t59\n",
        "chrom,name,start,end,strand\nchr1,A,99,500,+\nchr2,B,10,60,-\n",
    ],
    ids=["gtf", "transcripts", "exons", "bed", "table", "comma"],
)
def test_every_kind_of_file_gives_the_same_genes(tmp_path, text):
    path = tmp_path / "genes.txt"
    path.write_text(text)
    assert rows(read_gene_bodies(path)) == EXPECTED
    ids = ["ENSGA", "ENSGB"] if "gene_id" in text else ["", ""]
    assert read_gene_bodies(path)["gene_id"].tolist() == ids
    with gzip.open(tmp_path / "genes.gz", "wt") as handle:
        handle.write(text)
    assert rows(read_gene_bodies(tmp_path / "genes.gz")) == EXPECTED


def test_genes_without_a_strand_stay(tmp_path):
    table = pd.DataFrame({"chrom": ["chr1"], "start": [1], "end": [9], "strand": ["?"]}, index=["A"])
    assert rows(read_gene_bodies(table)) == [("chr1", 1, 9, "A", ".")]


@pytest.mark.parametrize(
    ("text", "cure"),
    [
        ("chr1\t1\t2\n", "Needed: a GTF"),
        ("", "Needed: a GTF"),
        ("chr1\t9\t5\tA\t0\t+\n", "1 genes end before they start"),
        ("chrom\tname\tstart\tend\tstrand\nchr1\tA\t1\t5\n", "4 columns where 5 are needed"),
        ("chrom\tname\tstart\tend\tstrand\nchr1\tA\tx\t5\t+\n", "values of start are not positions"),
    ],
)
def test_files_that_hold_no_genes(tmp_path, text, cure):
    (tmp_path / "g.txt").write_text(text)
    with pytest.raises(ctl.ChromatellError, match=cure):
        read_gene_bodies(tmp_path / "g.txt")


def test_a_file_that_is_binary_or_absent(tmp_path):
    (tmp_path / "g.gz").write_bytes(b"\x1f\x8bnot gzip")
    for path, cure in ((tmp_path / "g.gz", "not a whole text file"), (tmp_path / "no", "No annotation file")):
        with pytest.raises(ctl.ChromatellError, match=cure):
            read_gene_bodies(path)


def test_real_annotation(data_dir):
    genes = read_gene_bodies(data_dir / "annotation" / "hg19_genes.tsv.gz")
    assert len(genes) == 20629
    runx1 = genes[genes["name"] == "RUNX1"].iloc[0]
    assert (runx1["chrom"], runx1["strand"]) == ("chr21", "-")
    assert len(read_gene_bodies(data_dir / "annotation" / "hg19_gencode_chr22.gtf.gz")) == 1263
