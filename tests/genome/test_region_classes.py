import gzip

import numpy as np
import pandas as pd
import pytest

from chromatell import ChromatellError
from chromatell.genome.bed import ccre_intervals, read_bed
from chromatell.genome.homer import match_peaks, read_homer
from chromatell.genome.intervals import Axis, IntervalSet
from chromatell.genome.region_classes import CLASSES, class_sets, in_order, nearest_site, read_sources, window
from chromatell.genome.transcripts import read_gene_models


def painted(start, end, n):
    line = np.zeros(n, dtype=bool)
    for s, e in zip(start, end, strict=True):
        line[s:e] = True
    return line


def drawn(rng, n, length):
    start = rng.integers(0, length, n)
    return start, np.minimum(start + rng.integers(0, 30, n), length)


@pytest.mark.parametrize("n", [0, 1, 5, 40])
def test_sets_of_intervals_against_painted_bases(rng, n):
    length = 400
    a, b = drawn(rng, n, length), drawn(rng, 7, length)
    one, two = IntervalSet.of(*a), IntervalSet.of(*b)
    line, other = painted(*a, length), painted(*b, length)
    for found, wanted in (
        (one, line),
        (one.union(two), line | other),
        (one.minus(two), line & ~other),
        (two.minus(one), other & ~line),
    ):
        np.testing.assert_array_equal(found.contains(np.arange(length)), wanted)
        assert found.n_bases == wanted.sum()
        assert (found.start[1:] > found.end[:-1]).all()  # none touches the next
        q = drawn(rng, 50, length)
        np.testing.assert_array_equal(found.covered(*q), [wanted[s:e].sum() for s, e in zip(*q, strict=True)])


def test_chromosomes_do_not_run_into_each_other():
    table = pd.DataFrame({"chrom": ["a", "b", "c"], "start": [0, 0, 0], "end": [10, 10, 10]})
    axis = Axis(["a", "b"], [table])
    found = axis.set_of(table)
    assert len(found) == 2  # of c nothing; a and b do not merge, though one ends where the next begins
    assert found.n_bases == 20
    assert axis.whole(["b", "z"]).n_bases == 10
    assert axis.codes(pd.Series(["b", "z", "a"])).tolist() == [1, -1, 0]


def test_windows_in_the_direction_of_the_gene():
    sites = pd.DataFrame({"chrom": ["1", "1", "1"], "tss": [100, 100, 3], "strand": ["+", "-", "+"]})
    found = window(sites, "tss", 20, 5)
    assert found[["start", "end"]].to_numpy().tolist() == [[80, 105], [96, 121], [0, 8]]


# transcripts


BED12 = (
    "chr1\t100\t200\tA|A1|protein_coding\t0\t+\t115\t182\t0\t3\t20,10,30,\t0,40,70,\n"
    "chr1\t300\t400\tB|B1|protein_coding\t0\t-\t310\t360\t0\t2\t30,40\t0,60\n"
    "chr2\t0\t50\tC|C1|lincRNA\t0\t+\t0\t0\t0\t1\t50\t0\n"
)


def as_gtf(*, utr=(), transcripts=True, stop=True):
    """The same transcripts; coding sequences end three bases early where the stop codon has its own line."""
    about = {
        "A1": ("chr1", "+", "A", "protein_coding", [(100, 120), (140, 150), (170, 200)], (115, 182)),
        "B1": ("chr1", "-", "B", "protein_coding", [(300, 330), (360, 400)], (310, 360)),
        "C1": ("chr2", "+", "C", "lincRNA", [(0, 50)], None),
    }
    lines = ["##description: made up"]

    def add(chrom, kind, s, e, strand, text):
        lines.append(f"{chrom}\tx\t{kind}\t{s + 1}\t{e}\t.\t{strand}\t.\t{text}")

    for name, (chrom, strand, gene, kind, exons, cds) in about.items():
        text = f'gene_id "ENSG{gene}.1"; transcript_id "{name}"; gene_name "{gene}"; gene_type "{kind}";'
        add(chrom, "gene", exons[0][0], exons[-1][1], strand, f'gene_id "ENSG{gene}.1"; gene_type "{kind}";')
        if transcripts:
            add(chrom, "transcript", exons[0][0], exons[-1][1], strand, text)
        for s, e in exons:
            add(chrom, "exon", s, e, strand, text)
            inside = (max(s, cds[0]), min(e, cds[1])) if cds else (0, 0)
            if inside[0] < inside[1]:
                if stop and strand == "+" and inside[1] == cds[1]:
                    add(chrom, "stop_codon", inside[1] - 3, inside[1], strand, text)
                    inside = (inside[0], inside[1] - 3)
                add(chrom, "CDS", *inside, strand, text)
    for name, chrom, kind, s, e, strand in utr:
        add(chrom, kind, s, e, strand, f'gene_id "x"; transcript_id "{name}";')
    return "\n".join(lines) + "\n"


def rows(table, *columns):
    return sorted(map(tuple, table[list(columns)].astype(object).to_numpy().tolist()))


@pytest.fixture
def write(tmp_path):
    def save(text, name="a.txt"):
        path = tmp_path / name
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
        return path

    return save


EXONS = [("chr1", 100, 120), ("chr1", 140, 150), ("chr1", 170, 200), ("chr1", 300, 330), ("chr1", 360, 400)]
UTR = [("chr1", 100, 115, 5), ("chr1", 182, 200, 3), ("chr1", 300, 310, 3), ("chr1", 360, 400, 5)]


@pytest.mark.parametrize("form", ["bed12", "gtf", "gtf without transcripts", "gtf without stop codons"])
def test_transcripts_of_a_bed12_and_of_a_gtf(write, form):
    text = BED12 if form == "bed12" else as_gtf(transcripts="without t" not in form, stop="without s" not in form)
    found = read_gene_models(write(text, "genes.gz"))
    assert rows(found.exons, "chrom", "start", "end") == [*EXONS, ("chr2", 0, 50)]
    assert rows(found.utr, "chrom", "start", "end", "side") == UTR
    assert rows(found.bodies, "chrom", "start", "end", "strand", "spliced") == [
        ("chr1", 100, 200, "+", True),
        ("chr1", 300, 400, "-", True),
        ("chr2", 0, 50, "+", True),
    ]
    assert rows(found.sites, "gene", "chrom", "tss", "strand", "gene_type") == [
        ("A", "chr1", 100, "+", "protein_coding"),
        ("B", "chr1", 399, "-", "protein_coding"),
        ("C", "chr2", 0, "+", "lincRNA"),
    ]


@pytest.mark.parametrize(("five", "three"), [("five_prime_utr", "three_prime_utr"), ("5UTR", "3UTR")])
def test_utr_lines_are_taken_as_they_are(write, five, three):
    lines = [("A1", "chr1", five, 100, 110, "+"), ("B1", "chr1", three, 300, 305, "-")]
    found = read_gene_models(write(as_gtf(utr=lines)))
    assert rows(found.utr, "start", "end", "side") == [(100, 110, 5), (300, 305, 3)]


def test_lines_of_genes_alone_and_tables_have_no_exons(write):
    genes = "".join(line + "\n" for line in as_gtf().splitlines() if "\tgene\t" in line)
    table = "#chrom\tstart\tend\tname\tstrand\nchr1\t100\t200\tA\t+\nchr1\t300\t400\tB\t-\nchr2\t0\t50\tC\t+\n"
    bed = "chr1\t100\t200\tA\t0\t+\nchr1\t300\t400\tB\t0\t-\nchr2\t0\t50\tC\t0\t+\n"
    frame = pd.read_csv(write(table), sep="\t").rename(columns={"#chrom": "chrom"})
    for source in (write(genes, "a.gtf"), write(table), write(bed, "a.bed"), frame):
        found = read_gene_models(source)
        assert sorted(found.sites["tss"]) == [0, 100, 399]
        assert rows(found.bodies, "start", "end", "spliced") == [(0, 50, False), (100, 200, False), (300, 400, False)]
        assert len(found.exons) == len(found.utr) == 0
    sites = read_gene_models(frame.assign(tss=[100, 399, 0]).drop(columns=["start", "end"]))
    assert (len(sites.sites), len(sites.bodies)) == (3, 0)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (BED12.replace("\t3\t20", "\t4\t20"), "not a line of BED12"),
        (BED12.replace("0,40,70", "0,40,x"), "not a line of BED12"),
        (BED12.replace("115\t182", "115\t282"), "not a line of BED12"),
        (BED12.replace("0,40,70", "0,40,90"), "not a line of BED12"),
        (as_gtf().replace('transcript_id "B1";', ""), r"lacks the id.*Is it GFF3"),
        (as_gtf() + "chr1\tx\texon\t5\n", "not a line of GTF"),
        (as_gtf().replace("\t+\t", "\t.\t").replace("\t-\t", "\t.\t"), "no gene with a strand"),
        ("chr1\t5\t9\n", "cannot be read|cannot|columns|Needed"),
        (
            as_gtf().split("\n")[0] + '\nchr1\tx\tSNP\t5\t6\t.\t+\t.\tgene_id "a";\n',
            "no 'gene', 'transcript' or 'exon'",
        ),
    ],
)
def test_genes_that_do_not_read(write, text, match):
    with pytest.raises(ChromatellError, match=match):
        read_gene_models(write(text))


def test_a_file_cut_short(tmp_path):
    path = tmp_path / "cut.gtf.gz"
    path.write_bytes(gzip.compress(as_gtf().encode())[:-30])
    for read in (read_gene_models, lambda p: read_sources(p)):
        with pytest.raises(ChromatellError, match="not a whole text file"):
            read(path)
    with pytest.raises(ChromatellError, match="No annotation file at"):
        read_gene_models(tmp_path / "absent.gtf")


# BED and cCRE


def test_beds_in_their_several_forms(write):
    wanted = [("chr1", 5, 9), ("chr2", 0, 4)]
    for text in (
        "chr1\t5\t9\nchr2\t0\t4\n",
        "track name=x\nbrowser position chr1\n# a comment\n\nchr1\t5\t9\tx\nchr2\t0\t4\ty\n",
        "#chrom\tstart\tend\tscore\nchr1\t5\t9\t1\nchr2\t0\t4\t2\n",
        "chrom\tchromStart\tchromEnd\r\nchr1\t5\t9\r\nchr2\t0\t4\r\n",
    ):
        for name in ("a.bed", "a.bed.gz"):
            assert rows(read_bed(write(text, name)), "chrom", "start", "end") == wanted
    assert read_bed(write("#chr\tstart\tend\tname\nchr1\t5\t9\tNA\n"), extra=True)["name"].tolist() == ["NA"]
    ragged = read_bed(write("chr1\t5\t9\tx\nchr1\t6\t9\tx\ty\n"))  # more columns than in the first line
    assert ragged["start"].tolist() == [5, 6]
    assert read_bed(pd.DataFrame({"start": [1.0], "chrom": ["1"], "end": [2]}))["end"].tolist() == [2]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("chr1\t5\n", "has 2 columns, 'chr1\\\\t5'"),
        ("", "has 0 columns"),
        ("#chrom\tstart\tend\n", "holds no interval"),
        ("chr1\t9\t5\n", r"1 of 1 rows are no intervals \(such as 'chr1:9-5'"),
        ("chr1\t5\t9\nchr1\tx\t5\n", "1 of 2 rows are no intervals"),
        ("chr1\t-5\t9\n", "1 of 1 rows are no intervals"),
        ("chr1\t5\t9\x00\n", "no text file of intervals"),
    ],
)
def test_beds_that_do_not_read(write, text, match):
    with pytest.raises(ChromatellError, match=match):
        read_bed(write(text))


def test_ccres(write):
    classes = [
        "PLS",
        "pELS",
        "dELS,CTCF-bound",
        "CTCF-only,CTCF-bound",
        "Low-DNase",
        "DNase-only,CTCF-bound",
        "CA-CTCF",
    ]
    for column in ("class", None):
        head = f"#chrom\tstart\tend\tname\t{column}\n" if column else ""
        path = write(head + "".join(f"chr1\t{10 * i}\t{10 * i + 5}\tx{i}\t{c}\n" for i, c in enumerate(classes)))
        found = {name: part["start"].tolist() for name, part in ccre_intervals(path).items()}
        assert found == {"enhancer": [10, 20], "insulator": [30, 60], "CTCF": [20, 30, 50, 60]}
    with pytest.raises(ChromatellError, match="no column with the classes.*'enhancer': path"):
        ccre_intervals(write("chr1\t5\t9\t1\n"))
    with pytest.raises(ChromatellError, match="not known: 'qELS'"):
        ccre_intervals(write("chr1\t5\t9\tpELS\nchr1\t5\t9\tdELS\nchr1\t15\t19\tqELS\n"))


# HOMER


HOMER = (
    "PeakID (cmd=annotatePeaks.pl p.bed hg19)\tChr\tStart\tEnd\tStrand\tPeak Score\tFocus Ratio/Region Size\t"
    "Annotation\tDetailed Annotation\tDistance to TSS\tNearest PromoterID\tGene Name\n"
    "p2\tchr1\t201\t300\t+\t0\tNA\tintron (NM_1, intron 2 of 5)\tx\t-42\tNM_1\tG1\n"
    "p1\tchr1\t101\t200\t+\t0\tNA\tpromoter-TSS (NM_2)\tx\t7\tNM_2\tG2\n"
    "p3\tchr2\t1\t50\t+\t0\tNA\tNA\tNA\tNA\tNA\t\n"
)


def test_homers_output(write):
    found = read_homer(write(HOMER, "a.txt.gz"))
    assert found["label"].tolist() == ["intron", "promoter-TSS", ""]
    assert found["start"].tolist() == [200, 100, 0]
    assert found["annotation"].tolist()[0] == "intron (NM_1, intron 2 of 5)"
    assert found["tss_distance"].tolist()[:2] == [-42, 7]
    by_place = pd.DataFrame({"chrom": ["chr1", "chr1"], "start": [100, 200], "end": [200, 300]}, index=["a", "b"])
    assert match_peaks(found, by_place, "x").tolist() == [1, 0]
    assert match_peaks(found, by_place.assign(start=[101, 201]), "x").tolist() == [
        1,
        0,
    ]  # starts from 0 in HOMER's file
    assert match_peaks(found, by_place.set_axis(["p1", "p2"]), "x").tolist() == [1, 0]
    # a name that is that of another place is not believed
    assert match_peaks(found, by_place.set_axis(["p3", "p1"]), "x").tolist() == [1, 0]
    with pytest.raises(ChromatellError, match=r"1 of 2 regions \(such as 'b'\) are not among the 3 peaks of x"):
        match_peaks(found, by_place.assign(end=[200, 301]), "x")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (HOMER.replace("\tAnnotation", "\tAnn"), "lacks the columns 'Annotation'"),
        (HOMER.replace("201", "x"), "Start is no position from 1 on"),
        (HOMER.split("\n")[0], "has no row"),
    ],
)
def test_what_is_not_homers(write, text, match):
    with pytest.raises(ChromatellError, match=match):
        read_homer(write(text))


# classes


def test_the_nearest_start_site(rng):
    sites = pd.DataFrame(
        {
            "chrom": rng.choice(["a", "b", "z"], 40),
            "tss": rng.integers(0, 300, 40),
            "strand": rng.choice(["+", "-"], 40),
        }
    )
    start = rng.integers(0, 400, 200)
    regions = pd.DataFrame({"chrom": rng.choice(["a", "b", "c"], 200), "start": start, "end": start + 5})
    axis = Axis(["a", "b", "c"], [regions, sites.assign(end=sites["tss"] + 1)])
    row, distance = nearest_site(axis, sites, regions)
    for i, (chrom, s, e) in enumerate(regions.itertuples(index=False)):
        middle = (s + e) // 2
        here = sites[sites["chrom"] == chrom]
        if here.empty:
            assert (row[i], distance[i]) == (-1, 0)
            continue
        best = min(here.index, key=lambda j: (abs(middle - sites["tss"][j]), sites["tss"][j], j))
        assert row[i] == best
        assert distance[i] == (middle - sites["tss"][best]) * (-1 if sites["strand"][best] == "-" else 1)


def test_what_kind_a_file_is_of(write):
    gtf, bed12 = write(as_gtf(), "a.gtf"), write(BED12, "b.bed")
    ccre = write("chr1\t5\t9\tx\tpELS\n", "c.bed")
    found = read_sources([gtf, bed12, ccre])
    assert found.files == {
        "genes": ["a.gtf", "b.bed"],
        "enhancer": ["c.bed"],
        "insulator": ["c.bed"],
        "CTCF": ["c.bed"],
    }
    assert list(read_sources(write(HOMER, "h.txt")).files) == ["homer"]
    assert len(read_sources({"repeats": [write("chr1\t1\t2\n", "r.bed"), ccre]}).classes["repeats"]) == 2
    with pytest.raises(ChromatellError, match="is a BED of 3 columns; of which class"):
        read_sources(write("chr1\t1\t2\n", "r.bed"))
    with pytest.raises(ChromatellError, match=r"\{'silencer': ...\} is no class that is known.*precedence="):
        read_sources({"silencer": ccre})
    assert list(read_sources({"silencer": ccre}, ["silencer"]).files) == ["silencer"]
    with pytest.raises(ChromatellError, match="names no file"):
        read_sources([])
    with pytest.raises(ChromatellError, match="got int"):
        read_sources(5)
    with pytest.raises(ChromatellError, match="HOMER's output stands alone"):
        read_sources([write(HOMER, "h.txt"), gtf])


def test_gencode_on_chr22_against_pandas(data_dir):
    path = data_dir / "annotation" / "hg19_gencode_chr22.gtf.gz"
    sources = read_sources(path)
    chrom = pd.DataFrame({"chrom": ["chr22"], "start": [0], "end": [51_304_566]})
    sets = class_sets(sources, Axis(["chr22"], [chrom]), (2000, 500), (100, 1000))
    table = pd.read_csv(path, sep="\t", header=None, comment="#")
    n = 51_304_566
    line = {}
    for kind in ("exon", "five_prime_utr", "three_prime_utr", "transcript"):
        part = table[table[2] == kind]
        line[kind] = painted(part[3] - 1, part[4], n)
    kind_of_gene = table[8].str.extract(r'gene_type "([^"]*)"')[0]
    known = {"lincRNA", "antisense", "processed_transcript", "miRNA", "misc_RNA", "sense_intronic", "snoRNA", "snRNA"}
    nc = kind_of_gene.isin(known | {"rRNA", "sense_overlapping"})
    part = table[(table[2] == "exon") & nc]
    line["ncRNA"] = painted(part[3] - 1, part[4], n)
    part = table[(table[2] == "exon") & ~nc]
    line["coding"] = painted(part[3] - 1, part[4], n)
    part = table[table[2] == "transcript"]
    tss = np.where(part[6] == "+", part[3] - 1, part[4] - 1)
    up = part[6] == "+"
    line["promoter"] = painted(np.where(up, tss - 2000, tss - 499), np.where(up, tss + 500, tss + 2001), n)
    tts = np.where(up, part[4] - 1, part[3] - 1)
    line["TTS"] = painted(np.where(up, tts - 100, tts - 999), np.where(up, tts + 1000, tts + 101), n)
    wanted = {
        "5'UTR": line["five_prime_utr"],
        "3'UTR": line["three_prime_utr"],
        "exon": line["coding"],
        "ncRNA": line["ncRNA"],
        "intron": line["transcript"] & ~line["exon"],
        "promoter": line["promoter"],
        "TTS": line["TTS"],
        "intergenic": ~(line["transcript"] | line["promoter"] | line["TTS"]),
    }
    assert set(sets) == set(wanted)
    for name, bases in wanted.items():
        assert sets[name].n_bases == bases.sum()
        assert painted(sets[name].start, sets[name].end, n)[bases].all()


def test_precedence():
    assert in_order(["intron", "promoter", "CTCF"], CLASSES) == ["promoter", "CTCF", "intron"]
    with pytest.raises(ChromatellError, match="'x' is not known"):
        in_order(["x"], CLASSES)
