"""GTF as its several writers make it: quotes, strands of '?', ids at several places, lines that do not fit."""

from __future__ import annotations

import pandas as pd
import pytest

from chromatell import ChromatellError, ChromatellWarning
from chromatell.genome.annotation import read_genes
from chromatell.genome.gene_bodies import read_gene_bodies
from chromatell.genome.gtf import attribute, gtf_fields
from chromatell.genome.transcripts import read_gene_models

READERS = {
    "genes": lambda path: read_genes(path)["gene_id"].tolist(),
    "models": lambda path: read_gene_models(path).sites["gene_id"].tolist(),
    "bodies": lambda path: read_gene_bodies(path)["name"].tolist(),
}


def line(gene, strand="+", kind="gene", start=101, end=900, more="", transcript=None, chrom="chr1"):
    attributes = f'gene_id "{gene}"; transcript_id "{transcript or "t" + gene}"; {more}'
    return f"{chrom}\tRefSeq\t{kind}\t{start}\t{end}\t.\t{strand}\t.\t{attributes}\n"


@pytest.fixture
def write(tmp_path):
    def save(text):
        path = tmp_path / "genes.gtf"
        path.write_text(text)
        return path

    return save


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ('gene_id "G1"; description "binds; gene_name of others"; gene_name "AB";', "gene_name", "AB"),
        ('gene_id "G1"; gene_name "A; B";', "gene_name", "A; B"),
        ('gene_id "G1"; note "no gene_name here";', "gene_name", ""),
        ("gene_id G1; gene_name AB", "gene_name", "AB"),
        ('gene_id "G1";gene_name "AB"', "gene_name", "AB"),
        ('old_gene_name "X"; gene_name  "AB" ;', "gene_name", "AB"),
        ('gene_id ""; gene_name "AB";', "gene_id", ""),
        ('transcript_id "gene_id x"; gene_id "G"', "gene_id", "G"),
    ],
)
def test_attributes_are_read_by_their_quotes(text, key, value):
    assert attribute(text, key) == value


def test_a_line_is_nine_fields_with_positions_from_1():
    good = line("A").rstrip("\n")
    assert gtf_fields(good)[6] == "+"
    assert gtf_fields(good.replace("\t+\t", "\t?\t"))[6] == "."
    for old, new in (("101", "0"), ("101", "901"), ("101", "1e2"), ("\t+\t", "\tplus\t"), ("RefSeq\t", "")):
        assert gtf_fields(good.replace(old, new)) is None


@pytest.mark.parametrize("reader", READERS)
def test_a_gene_of_both_strands_is_one_without_a_strand(write, reader):
    # NCBI and organelles of plants: '?' for a gene that is spliced from both strands
    path = write(line("A") + line("A", kind="transcript") + line("A", kind="exon") + line("nad1", "?"))
    assert READERS[reader](path) == (["A", "nad1"] if reader == "bodies" else ["A"])


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("bad", [line("X", start=0), line("X", start=950), "chr1\tx\tgene\t5\n"])
def test_an_odd_line_of_many_is_left_out_and_of_few_condemns_the_file(write, reader, bad):
    good = "".join(line(f"g{i}") for i in range(200))
    with pytest.warns(ChromatellWarning, match="1 of 201 lines are left out, not a line of GTF"):
        assert READERS[reader](write(good + bad)) == [f"g{i}" for i in range(200)]
    with pytest.raises(ChromatellError, match="not a line of GTF"):
        READERS[reader](write(line("g0") + bad))


def test_names_as_each_exporter_has_them(write):
    # GENCODE and Ensembl; FlyBase; NCBI
    path = write(
        line("1", more='gene_name "A";')
        + line("2", more='gene_symbol "B";')
        + line("3", more='gene "C"; gene_biotype "ncRNA";')
    )
    genes = read_genes(path)
    assert genes["gene"].tolist() == ["A", "B", "C"]
    assert genes["gene_type"].tolist() == ["", "", "ncRNA"]


def test_a_transcript_at_two_places_of_a_chromosome(write):
    parts = [(100, 300, [(100, 150), (250, 300)]), (5000, 5400, [(5000, 5100), (5300, 5400)])]
    text = ""
    for start, end, exons in parts:
        text += line("G", kind="transcript", start=start + 1, end=end)
        text += "".join(line("G", kind="exon", start=s + 1, end=e) for s, e in exons)
    text += line("G", kind="exon", start=2001, end=2050)  # of no place: left out
    models = read_gene_models(write(text))
    assert models.bodies[["start", "end", "spliced"]].values.tolist() == [[100, 300, True], [5000, 5400, True]]
    assert sorted(models.exons[["start", "end"]].values.tolist()) == [
        [100, 150],
        [250, 300],
        [5000, 5100],
        [5300, 5400],
    ]
    assert models.sites["tss"].tolist() == [100, 5000]


def test_one_id_for_the_exons_of_many_genes(write):
    # NCBI writes transcript_id "unknown_transcript_1" to each gene that has no transcript
    text = "".join(
        line(g, s, kind="exon", start=a + 1, end=a + 50, transcript="unknown_transcript_1")
        for g, s, a in [("A", "+", 100), ("A", "+", 300), ("B", "+", 9000), ("C", "-", 20_000)]
    )
    bodies = read_gene_models(write(text)).bodies
    assert bodies[["start", "end", "strand"]].values.tolist() == [
        [100, 350, "+"], [9000, 9050, "+"], [20_000, 20_050, "-"],
    ]  # fmt: skip
    assert read_genes(write(text))["tss"].tolist() == [100, 9000, 20_049]


def test_a_gene_id_at_two_places_is_two_bodies(write):
    path = write(line("A", start=101, end=200) + line("A", start=90_001, end=90_100))
    assert read_gene_bodies(path)[["start", "end"]].values.tolist() == [[100, 200], [90_000, 90_100]]


@pytest.mark.parametrize("reader", READERS)
def test_a_bed_of_no_length_has_no_start_site(write, reader):
    rows = "".join(f"chr1\t{i * 10}\t{i * 10 + 5}\tg{i}\t0\t-\n" for i in range(150))
    with pytest.warns(ChromatellWarning, match="1 of 151 rows are left out: 1 genes end before they start"):
        READERS[reader](write(rows + "chr1\t0\t0\tX\t0\t-\n"))
    with pytest.raises(ChromatellError, match="1 genes end before they start"):
        READERS[reader](write("chr1\t0\t0\tX\t0\t-\n"))


@pytest.mark.parametrize("reader", READERS)
def test_tables_with_quotes_commas_and_a_name_twice(write, reader):
    text = 'chrom,start,end,name,strand,gene_id,note\nchr1,5,9,"A",+,A,"binds, and more"\n'
    assert READERS[reader](write(text)) == ["A"]
    with pytest.raises(ChromatellError, match="names the column 'start' 2 times"):
        READERS[reader](write("chrom\tstart\tstart\tend\tname\tstrand\nchr1\t5\t6\t9\tA\t+\n"))


def test_tables_that_count_from_1_say_so():
    # R's as.data.frame(GRanges): a width of end - start + 1
    table = pd.DataFrame(
        {"seqnames": ["chr1"], "start": [101], "end": [200], "width": [100], "strand": "+", "name": "A"}
    )
    assert read_genes(table)["tss"].tolist() == [100]
    assert read_gene_bodies(table)[["start", "end"]].values.tolist() == [[100, 200]]
    assert read_gene_models(table).bodies[["start", "end"]].values.tolist() == [[100, 200]]
    assert read_genes(table.assign(width=99))["tss"].tolist() == [101]  # 0-based: the width is end - start
