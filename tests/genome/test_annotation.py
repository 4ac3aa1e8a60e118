import gzip

import numpy as np
import pandas as pd
import pytest

from chromatell import ChromatellError
from chromatell.genome.annotation import COLUMNS, read_genes, strip_version

GTF = """#!genome-build GRCh38
##description: test
chr1\tHAVANA\tgene\t101\t200\t.\t+\t.\tgene_id "ENSG01.5"; gene_type "lincRNA"; gene_name "A";
chr1\tHAVANA\ttranscript\t151\t200\t.\t+\t.\tgene_id "ENSG01.5"; transcript_id "T1"; gene_name "A";
chr2\tHAVANA\tgene\t101\t200\t.\t-\t.\tgene_id "ENSG02"; gene_biotype "protein_coding"; gene_name "B; x";
3\tHAVANA\tgene\t5\t9\t.\t.\t.\tgene_id "ENSG03";
"""


def write(path, text, packed=False):
    if packed:
        with gzip.open(path, "wt") as f:
            f.write(text)
    else:
        path.write_text(text)
    return path


def rows(table):
    assert list(table.columns) == list(COLUMNS)
    assert table["tss"].dtype == np.int64
    return [tuple(r) for r in table.itertuples(index=False)]


@pytest.mark.parametrize("packed", [False, True])
def test_gtf(tmp_path, packed):
    # 1-based, closed: the first base of 101..200 is 100 on +, the last one, 199, is the first transcribed on -
    got = rows(read_genes(write(tmp_path / "genes.txt", GTF, packed)))
    assert got == [
        ("A", "ENSG01.5", "chr1", 100, "+", "lincRNA"),
        ("B; x", "ENSG02", "chr2", 199, "-", "protein_coding"),
    ]


def test_gtf_without_gene_lines(tmp_path):
    line = 'chr1\tx\t{}\t{}\t{}\t.\t{}\t.\tgene_id "G"; transcript_id "{}"; gene_name "N";\n'
    transcripts = line.format("exon", 1, 9, "+", "T1") + line.format("transcript", 11, 90, "+", "T1")
    transcripts += line.format("transcript", 21, 95, "+", "T2")
    got = read_genes(write(tmp_path / "t.gtf", transcripts))
    assert got["tss"].tolist() == [10, 20]
    exons = "".join(line.format("exon", s, e, d, t) for s, e, d, t in
                    [(31, 40, "-", "T1"), (51, 60, "-", "T1"), (11, 20, "-", "T2"), (1, 5, "+", "T3")])  # fmt: skip
    got = read_genes(write(tmp_path / "e.gtf", exons))
    assert sorted(got["tss"]) == [0, 19, 59]


def test_bed(tmp_path):
    bed = (
        "track name=x\n#comment\nchr1\t100\t200\tA\t0\t+\nchr1\t100\t200\tENSG01\t0\t-\nchr1\t7\t9\tC|C-2|snRNA\t0\t-\n"
    )
    assert rows(read_genes(write(tmp_path / "g.bed", bed))) == [
        ("A", "", "chr1", 100, "+", ""),
        ("ENSG01", "ENSG01", "chr1", 199, "-", ""),
        ("C", "", "chr1", 8, "-", "snRNA"),
    ]


def test_bed12_keeps_each_start_site_once(tmp_path):
    tail = "\t0\t+\t5\t5\t0\t1\t10\t0\n"
    bed = "".join(f"chr1\t{s}\t{s + 10}\tA|T{i}|x{tail}" for i, s in enumerate([5, 5, 40]))
    assert read_genes(write(tmp_path / "g.bed12.gz", bed, packed=True))["tss"].tolist() == [5, 40]


def test_table_and_data_frame(tmp_path):
    text = "#chrom\tstart\tend\tname\tstrand\ttss\tgene_id\tgene_type\nchr1\t10\t20\tA\t-\t19\tE1\tlincRNA\n"
    want = [("A", "E1", "chr1", 19, "-", "lincRNA")]
    assert rows(read_genes(write(tmp_path / "g.tsv", text))) == want
    assert rows(read_genes(write(tmp_path / "g.csv.gz", text.replace("\t", ",").lstrip("#"), packed=True))) == want
    frame = pd.read_csv(tmp_path / "g.tsv", sep="\t").rename(columns={"#chrom": "chrom"})
    before = frame.copy()
    assert rows(read_genes(frame)) == want
    pd.testing.assert_frame_equal(frame, before)
    assert rows(read_genes(frame.drop(columns=["tss", "gene_id", "gene_type"]))) == [("A", "", "chr1", 19, "-", "")]
    named = frame[["chrom", "tss"]].set_axis(["gene_7"])  # named by its index; no strand known
    assert rows(read_genes(named)) == [("gene_7", "", "chr1", 19, ".", "")]
    typed = frame.astype({"chrom": "category", "strand": "category", "tss": np.int32})
    assert rows(read_genes(typed)) == want


def test_versions():
    ids = pd.Series(["ENSG00000233866.1", "ENSMUSG00000051951.12", "ENSG00000002586.18_PAR_Y", "AL627309.1", "B"])
    assert strip_version(ids).tolist() == [
        "ENSG00000233866", "ENSMUSG00000051951", "ENSG00000002586_PAR_Y", "AL627309.1", "B",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("", "not an annotation that can be read"),
        ("hello world\n", "not an annotation that can be read; it begins 'hello world'"),
        ("chr1\t5\t10\tpeak\n", "4 columns; a start site needs the strand"),
        ("#chrom\tstart\tend\tname\tclass\nchr1\t1\t2\ta\tb\n", "has columns 'chrom', 'start', 'end', 'name', 'class'"),
        ("chr1\t5\t10\tA\t0\t+\nchr1\t5\n", "a line has 2 columns where 6 are needed"),
        ("chr1\t5\t10\tA\t0\t+\nchr1\tx\t10\tA\t0\t+\n", "1 values of start are not positions .*'x'"),
        ("chr1\t5\t10\tA\t0\t.\n", "holds no gene with a start site"),
        ("chr1\t5\t10\t" + "A" * 600 + "\t0\t+\n", "a gene has over 512 characters"),
        ("chr1\t5\t10\t" + "A" * 70_000, "line 1: over 65536 characters"),
        ("chr1\t5\t10\tA\x00\t0\t+\n", "line 1: binary data"),
        ("chr1\tx\tgene\t5\t9\t.\t+\t.\tID=gene1;Name=A\n", "no gene_id in its attributes .*GFF3"),
        ('chr1\tx\tCDS\t5\t9\t.\t+\t.\tgene_id "a";\n', "no 'gene', 'transcript' or 'exon' line"),
        ("chrom,name,tss\nchr1,A,-5\n", "1 values of tss are not positions"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_foreign_files(tmp_path, content, match, packed):
    with pytest.raises(ChromatellError, match=match):
        read_genes(write(tmp_path / "f", content, packed))


def test_damaged_and_absent_files(tmp_path):
    whole = write(tmp_path / "whole.gz", GTF * 50, packed=True).read_bytes()
    (tmp_path / "cut.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ChromatellError, match="not a whole text file"):
        read_genes(tmp_path / "cut.gz")
    (tmp_path / "latin").write_bytes(b"chr1\t5\t10\t\xe9\xff\t0\t+\n")
    with pytest.raises(ChromatellError, match="not a whole text file .UnicodeDecodeError"):
        read_genes(tmp_path / "latin")
    with pytest.raises(ChromatellError, match="No annotation file at"):
        read_genes(tmp_path / "absent.gtf")


def test_real_tables_agree(data_dir):
    folder = data_dir / "annotation"
    table = read_genes(folder / "hg38_genes.tsv.gz")
    raw = pd.read_csv(folder / "hg38_genes.tsv.gz", sep="\t")
    assert table["tss"].tolist() == raw["tss"].tolist()
    interval = read_genes(
        raw.rename(columns={"#chrom": "chrom"}).drop(columns="tss")
    )  # start, end, strand say the same
    assert interval["tss"].tolist() == raw["tss"].tolist()
    assert len(read_genes(folder / "mm10_genes.tsv.gz")) == 32_976


def test_real_gtf(data_dir):
    path = data_dir / "annotation" / "hg19_gencode_chr22.gtf.gz"
    raw = pd.read_csv(path, sep="\t", header=None, comment="#")
    raw = raw[raw[2] == "gene"]
    got = read_genes(path)
    assert len(got) == 1263
    assert got["tss"].tolist() == np.where(raw[6] == "+", raw[3] - 1, raw[4] - 1).tolist()
    assert got["gene"].tolist() == raw[8].str.extract(r'gene_name "([^"]+)"')[0].tolist()
    assert got["gene_id"].tolist() == raw[8].str.extract(r'gene_id "([^"]+)"')[0].tolist()
