"""One odd row of many is left out and counted, in every reader of text; many of them are an error."""

from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import chromatell as ctl
from chromatell import ChromatellError, ChromatellWarning
from chromatell.genome.annotation import read_genes
from chromatell.genome.bed import read_bed
from chromatell.genome.builds import chromosome_sizes
from chromatell.genome.homer import read_homer
from chromatell.genome.odd_rows import keep_rows
from chromatell.genome.variants import read_variants

VCF = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
HOMER = "PeakID\tChr\tStart\tEnd\tStrand\tScore\tRatio\tAnnotation\n"


@pytest.mark.parametrize(("n", "odd", "kept"), [(100, 1, 99), (1000, 10, 990), (300, 0, 300)])
def test_one_in_a_hundred(n, odd, kept):
    bad = np.arange(n) < odd
    if odd:
        with pytest.warns(ChromatellWarning, match=f"x.bed: {odd} of {n} rows are odd; they are left out"):
            assert keep_rows(bad, "x.bed", "rows are odd", "Mend it.").sum() == kept
    else:
        assert keep_rows(bad, "x.bed", "rows are odd", "Mend it.").sum() == kept
    with pytest.raises(ChromatellError, match=f"{odd + n // 100 + 1} of {n} rows are odd. Mend it."):
        keep_rows(np.arange(n) < odd + n // 100 + 1, "x.bed", "rows are odd", "Mend it.")


def test_a_breakend_at_a_telomere_goes_with_its_allele(tmp_path):
    path = tmp_path / "v.vcf"
    path.write_text(VCF + "chr1\t0\tb\tN\t.[chr2:5[\t.\t.\t.\nchr1\t100\trs\tA\tC\t.\t.\t.\n")
    with pytest.warns(ChromatellWarning, match="1 of 2 alleles .* are symbolic, missing, with N, REF itself or over"):
        assert read_variants(path).to_numpy().tolist() == [["chr1", 100, "rs", "A", "C"]]


def test_an_odd_position_of_many_variants(tmp_path):
    path = tmp_path / "v.vcf"
    good = "".join(f"chr1\t{i}\t.\tA\tC\t.\t.\t.\n" for i in range(1, 151))
    for bad in ("chr1\t1e30\t.\tA\tC\t.\t.\t.\n", "chr1\t1.5\t.\tA\tC\t.\t.\t.\n", "chr1\t0\t.\tA\tC\t.\t.\t.\n"):
        path.write_text(VCF + good + bad)
        with pytest.warns(ChromatellWarning, match="1 of 151 variants have no position"):
            assert read_variants(path)["pos"].tolist() == list(range(1, 151))
    path.write_text(VCF + good + "chr1\t7\n")
    with pytest.warns(ChromatellWarning, match="1 of 151 lines are left out, a line of 2 fields"):
        assert len(read_variants(path)) == 150


def test_columns_of_variants_are_named_once(tmp_path):
    path = tmp_path / "v.csv"
    path.write_text('chrom,pos,id,ref,alt\nchr1,5,"a,b",A,"C,G"\n')  # a comma within quotes divides nothing
    assert read_variants(path).to_numpy().tolist() == [["chr1", 5, "a,b", "A", "C"], ["chr1", 5, "a,b", "A", "G"]]
    path.write_text("chrom,pos,pos,ref,alt\nchr1,5,6,A,C\n")
    with pytest.raises(ChromatellError, match="names the column 'pos' 2 times"):
        read_variants(path)
    frame = pd.DataFrame([["chr1", 5, 6, "A", "C"]], columns=["chrom", "pos", "pos", "ref", "alt"])
    with pytest.raises(ChromatellError, match="names the column 'pos' 2 times"):
        read_variants(frame)


@pytest.mark.parametrize(
    "bad", ["chr1\t5\t5", "chr1\t9\t5", "chr1\t1e30\t2e30", "chr1\t-5\t9", "chr1\t1.5\t9", "x\ty\tz"]
)
def test_a_bed_with_an_odd_row(tmp_path, bad):
    path = tmp_path / "b.bed"
    good = "".join(f"chr1\t{i}\t{i + 5}\tx\n" for i in range(120))
    path.write_text(good + bad + "\tx\n")
    with pytest.warns(ChromatellWarning, match="1 of 121 rows are no intervals"):
        assert read_bed(path)["start"].tolist() == list(range(120))
    path.write_text(bad + "\tx\n")
    with pytest.raises(ChromatellError, match="is not a whole table|1 of 1 rows are no intervals|has 4 columns"):
        read_bed(path)


def test_columns_of_a_bed(tmp_path):
    path = tmp_path / "b.bed"
    path.write_text("#chrom\tstart\tend\tstart\nchr1\t5\t9\t6\n")
    with pytest.raises(ChromatellError, match="names the column 'start' more than once"):
        read_bed(path)
    path.write_text("chr1\t5\t9\tchr1\t50\t90\tread1\t60\t+\t-\n")
    with pytest.raises(ChromatellError, match="BEDPE of pairs"):
        read_bed(path)
    # the .xls of MACS counts from 1, and its `length` is end - start + 1
    path.write_text("# MACS\n\nchr\tstart\tend\tlength\tpileup\nchr1\t11\t20\t10\t5\nchr1\t31\t35\t5\t5\n")
    assert read_bed(path).to_numpy().tolist() == [["chr1", 10, 20], ["chr1", 30, 35]]
    path.write_text("chr1\t5\t9\n# between\ntrack name=x\nchr2\t5\t9\n")
    assert read_bed(path)["chrom"].tolist() == ["chr1", "chr2"]


@pytest.mark.parametrize(("start", "end"), [(0, 9), (1.5, 9), (20, 9), ("1e30", "2e30"), ("x", 9)])
def test_homers_positions_are_from_1_on(tmp_path, start, end):
    path = tmp_path / "h.txt"
    good = "".join(f"p{i}\tchr1\t{i}\t{i + 9}\t+\t0\t0\tIntergenic\n" for i in range(1, 151))
    path.write_text(HOMER + good + f"bad\tchr1\t{start}\t{end}\t+\t0\t0\tIntergenic\n")
    with pytest.warns(ChromatellWarning, match="1 of 151 rows whose Start is no position from 1 on"):
        found = read_homer(path)
    assert found["start"].tolist() == list(range(150))
    path.write_text(HOMER + f"bad\tchr1\t{start}\t{end}\t+\t0\t0\tIntergenic\n")
    with pytest.raises(ChromatellError, match="Start is no position"):
        read_homer(path)


def test_homers_output_in_a_damaged_gzip(tmp_path):
    whole = gzip.compress((HOMER + "p\tchr1\t5\t9\t+\t0\t0\tIntergenic\n" * 3000).encode())
    for damaged in (whole[:-40], whole[:60] + b"\xff" * 20 + whole[80:]):
        (tmp_path / "h.gz").write_bytes(damaged)
        with pytest.raises(ChromatellError, match="does not read as a table"):
            read_homer(tmp_path / "h.gz")


@pytest.mark.parametrize(
    "sizes",
    [
        {"chr1": 12000}, pd.Series({"chr1": 12000}), [("chr1", 12000)], {"chr1": 12000.0}, pd.Series({"chr1": 12000.0}),
        {"chr1": np.float64(12000)}.items(), (("chr1", "12000"),),
    ],
)  # fmt: skip
def test_sizes_in_each_form_that_libraries_return(sizes, tmp_path):
    assert chromosome_sizes(sizes) == {"chr1": 12000}
    (tmp_path / "f.tsv").write_text("chr1\t100\t300\tA\t1\nchr1\t5200\t5400\tA\t1\n")
    if not hasattr(sizes, "mapping"):
        assert ctl.pp.bin_genome(tmp_path / "f.tsv", chrom_sizes=sizes, min_fragments=1).shape == (1, 2)
    tracks = ctl.data.BinnedTracks({"chr1": np.ones((1, 240))}, ["s"], chrom_sizes=sizes)
    assert tracks.chrom_sizes == {"chr1": 12000}


def test_sizes_that_are_none(tmp_path):
    for sizes in ({"chr1": 0}, {"chr1": 0.5}, {"chr1": np.nan}, [("chr1", -1)]):
        with pytest.raises(ChromatellError, match="is not the length of 'chr1'; whole bp"):
            chromosome_sizes(sizes)
    for sizes in (5, ["chr1", "chr2"], [1, 2]):
        with pytest.raises(ChromatellError, match="from which no chromosomes and lengths can be read"):
            chromosome_sizes(sizes)
    (tmp_path / "x.sizes").write_text("chr1\t100\nchr1\t200\n")
    with pytest.raises(ChromatellError, match="names 'chr1' twice, with 100 and 200 bp"):
        chromosome_sizes(tmp_path / "x.sizes")
    (tmp_path / "x.sizes").write_text("chr1\t0\n")
    with pytest.raises(ChromatellError, match="'0' is not the length of 'chr1'"):
        chromosome_sizes(tmp_path / "x.sizes")


def regions(names, **var):
    return AnnData(np.ones((2, len(names)), np.float32), var=pd.DataFrame(var, index=names))


def test_names_of_regions_as_r_writes_them():
    table = ctl.genome.region_table(regions(["chr1:1e+05-100500", "chr2-99500-1e+05", "chr3_1.5e+06_1500200"]))
    assert table.to_numpy().tolist() == [
        ["chr1", 100_000, 100_500],
        ["chr2", 99_500, 100_000],
        ["chr3", 1_500_000, 1_500_200],
    ]
    assert ctl.genome.has_coordinates(regions(["chr1:1.23e+01-50", "chr1:1e-05-50"])).tolist() == [False, False]


def test_what_a_column_leaves_open_the_name_tells():
    atac = regions(["chr1:0-500", "chr1:500-1000", "p"], interval=["chr1:0-500", "NA", "chr2:5-9"])
    assert ctl.genome.region_table(atac).to_numpy().tolist() == [["chr1", 0, 500], ["chr1", 500, 1000], ["chr2", 5, 9]]
    atac = regions(["chr1:0-500", "x"], chrom=[None, "chr2"], start=[np.nan, 5], end=[np.nan, 9])
    assert ctl.genome.region_table(atac).to_numpy().tolist() == [["chr1", 0, 500], ["chr2", 5, 9]]


def test_regions_that_are_no_positions_or_count_from_1():
    bad = regions(list("abc"), chrom="chr1", start=[1.5, 1e30, 5], end=[9, 2e30, 9])
    assert ctl.genome.has_coordinates(bad).tolist() == [False, False, True]
    granges = regions(list("ab"), seqnames="chr1", start=[1, 501], end=[500, 1000], width=[500, 500])
    assert ctl.genome.region_table(granges)["start"].tolist() == [0, 500]


def test_null_characters_are_not_read_past(tmp_path):
    """Pandas leaves out what follows a null character in a field, without a word."""
    from chromatell.genome.bed import read_bed
    from chromatell.io.fragments import fragment_blocks

    rows = [f"chr1\t{i}\t{i + 5}\tAAAC\n" for i in range(10, 400)]
    rows[300] = "chr\x001\t55\t5555\tAAAC\n"
    (tmp_path / "x.bed").write_text("".join(rows))
    with pytest.raises(ChromatellError, match="null characters"):
        read_bed(tmp_path / "x.bed")
    with pytest.raises(ChromatellError, match="null characters"):
        list(fragment_blocks(tmp_path / "x.bed"))


def test_an_interval_without_a_chromosome(tmp_path):
    rows = [f"chr1\t{i}\t{i + 5}\n" for i in range(200)]
    rows[5] = "\t5\t10\n"
    (tmp_path / "x.bed").write_text("".join(rows))
    with pytest.warns(match="1 of 200 rows are no intervals"):
        found = read_bed(tmp_path / "x.bed")
    assert len(found) == 199
    assert set(found["chrom"]) == {"chr1"}


@pytest.mark.parametrize("chrom", [".", '"', ""])
def test_a_variant_without_a_chromosome(tmp_path, chrom):
    from chromatell.genome.variants import read_variants

    lines = [f"chr1\t{i}\t.\tA\tC\n" for i in range(1, 201)]
    lines[7] = f"{chrom}\t8\t.\tA\tC\n"
    (tmp_path / "x.vcf").write_text("##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\n" + "".join(lines))
    with pytest.warns(match="1 of 200 variants have no chromosome"):
        found = read_variants(tmp_path / "x.vcf")
    assert len(found) == 199
    assert set(found["chrom"]) == {"chr1"}


@pytest.mark.parametrize("odd", ["chr1\tx\tgene\t5\t9\t.\t+\t.\t{}", '\tx\tgene\t5\t9\t.\t+\t.\tgene_id "B";'])
def test_a_gene_without_a_name_or_a_chromosome(tmp_path, odd):
    """It was taken as a gene called '', or of the chromosome ''."""
    path = tmp_path / "g.gtf"
    for attributes in ("nothing", 'gene_id ""; gene_name "";'):
        good = [f'chr1\tx\tgene\t{i + 1}\t{i + 9}\t.\t+\t.\tgene_id "A{i}";\n' for i in range(150)]
        path.write_text("".join([*good[:9], odd.format(attributes) + "\n", *good[9:]]))
        with pytest.warns(ChromatellWarning, match="1 of 151 genes have no name, or no chromosome; they are left out"):
            assert read_genes(path)["gene_id"].tolist() == [f"A{i}" for i in range(150)]
        path.write_text("".join([*good[:9], odd.format(attributes) + "\n"]))
        with pytest.raises(ChromatellError, match="1 of 10 genes have no name, or no chromosome"):
            read_genes(path)
