import gzip
import os
import sys

import pyfaidx
import pytest
from Bio import bgzf

import chromatell as ctl
from chromatell import ChromatellError
from chromatell.genome.fasta import FastaReader, MisfitError, given_index, indexed_sizes

GOOD = ">chr1 one\nACGTAC\nGTnnRY\nAC\n>chr2\nTTTT\n"
CHR1, CHR2 = "ACGTACGTNNNNAC", "TTTT"


def bgzip(path, text):
    with bgzf.BgzfWriter(str(path)) as handle:
        handle.write(text.encode())


def read(path):
    genome = ctl.genome.Genome(path)
    return {name: ctl.genome.decode(genome.fetch(name, 0, n)) for name, n in genome.chromosomes.items() if n}


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        GOOD.rstrip("\n"),
        GOOD + "\n",
        "; a comment\n" + GOOD,
        "\n" + GOOD,
        GOOD.replace(">chr1 one", "> chr1\tα/β, café"),
        GOOD.replace("nnRY", "-.*u"),
    ],
)
def test_what_a_fasta_may_look_like(tmp_path, text):
    path = tmp_path / "x.fasta"
    path.write_text(text, encoding="utf-8")
    assert read(path) == {"chr1": CHR1, "chr2": CHR2}


@pytest.mark.parametrize("name", ["x.fa", "x.fa.gz"])
def test_an_empty_sequence_has_no_bases(tmp_path, name):
    text = ">a\nACGT\n>none\n>b\nTTT\n>last\n"
    path = tmp_path / name
    bgzip(path, text) if name.endswith("gz") else path.write_text(text)
    genome = ctl.genome.Genome(path)
    assert genome.chromosomes == {"a": 4, "none": 0, "b": 3, "last": 0}
    assert genome.fetch("none", 0, 3).tolist() == [4, 4, 4]
    assert read(path) == {"a": "ACGT", "b": "TTT"}


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "is not a FASTA: it is empty. Needed: a FASTA, plain or bgzip"),
        ("chr1\t10\t20\n", r"is not a FASTA: it begins 'chr1\\t10\\t20\\n', not '>'"),
        (GOOD.replace("GTnnRY", "GTn\nnRY"), "cannot be read as FASTA .*Line length of fasta file is not consistent"),
        (GOOD + ">chr1\nAC\n", 'cannot be read as FASTA .*Duplicate key "chr1"'),
        (GOOD.replace("nnRY", "n1RY"), "sequence 'chr1' holds '1' at base 10, which is no letter"),
        (GOOD.replace("nnRY", "n\x00RY"), r"sequence 'chr1' holds '\\x00' at base 10"),
        (GOOD.replace("nnRY", "nné"), "sequence 'chr1' holds 'Ã' at base 11"),
        (GOOD + "\n\n\n", "cannot be read as FASTA .*lines of one length in a sequence"),
        (f">{'x' * 513}\nACGT\n", "has 513 characters; up to 512 printable ones can be read. Rename"),
        (">a\x07b\nACGT\n", "up to 512 printable ones"),
        (">P53\nMEEPQSDPSVEPPLSQETFSDLWKLLPENNVLSPLPSQAMDDLMLSPDDIEQWFTEDPGP\n", "looks like a protein: 32 of its 60"),
        (">chr1\nNNNNnnnn\n", "holds no A, C, G or T in 8 bases. Give the sequence of a genome"),
        (">chr1\n", "holds no A, C, G or T in 0 bases"),
        (">\nACGT\n", "cannot be read as FASTA .*Bad sequence name"),
    ],
)
def test_what_is_refused(tmp_path, text, match):
    path = tmp_path / "x.fa"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ChromatellError, match=match):
        ctl.genome.Genome(path)
    assert [p.name for p in tmp_path.iterdir()] == ["x.fa"]


def test_files_of_other_kinds(tmp_path):
    with pytest.raises(ChromatellError, match="is not there. Give the path of one"):
        ctl.genome.Genome(tmp_path / "none.fa")
    with pytest.raises(ChromatellError, match="is a folder"):
        ctl.genome.Genome(tmp_path)
    (tmp_path / "plain.fa.gz").write_bytes(gzip.compress(GOOD.encode()))
    with pytest.raises(ChromatellError, match=r"is plain gzip.*gunzip -k plain.fa.gz.*bgzip"):
        ctl.genome.Genome(tmp_path / "plain.fa.gz")
    (tmp_path / "named.fa.gz").write_text(GOOD)
    with pytest.raises(ChromatellError, match="is named as bgzip but is not packed. Rename it"):
        ctl.genome.Genome(tmp_path / "named.fa.gz")
    bgzip(tmp_path / "unnamed.fa", GOOD)
    with pytest.raises(ChromatellError, match="is compressed: name it .gz"):
        ctl.genome.Genome(tmp_path / "unnamed.fa")
    (tmp_path / "binary.fa").write_bytes(b">x\n" + bytes(range(128, 256)) * 10)
    with pytest.raises(ChromatellError, match="cannot be read as FASTA .*UnicodeDecodeError"):
        ctl.genome.Genome(tmp_path / "binary.fa")


@pytest.mark.parametrize("indexed", [False, True])
@pytest.mark.parametrize("left", [200, 40_000])
def test_a_bgzip_file_that_is_cut_short(tmp_path, indexed, left):
    path = tmp_path / "x.fa.gz"
    bgzip(path, ">chr1\n" + "\n".join("ACGTTGCA" * 9 for _ in range(5000)) + "\n")
    if indexed:
        pyfaidx.Faidx(str(path)).close()
    whole = path.read_bytes()
    path.write_bytes(whole[:-left] if left < len(whole) else whole[: len(whole) // 2])
    for index in tmp_path.glob("x.fa.gz.*i"):
        os.utime(index)  # as new as the file
    with pytest.raises(ChromatellError, match="cannot be read as FASTA|ends after"):
        ctl.genome.Genome(path)


def test_a_bgzip_file_that_lacks_its_last_block_alone(tmp_path):
    path = tmp_path / "x.fa.gz"
    bgzip(path, GOOD)
    pyfaidx.Faidx(str(path)).close()
    path.write_bytes(path.read_bytes()[:-28])  # the empty block that says all is there
    with pytest.raises(ChromatellError, match="EOF marker not found"):
        ctl.genome.Genome(path)
    for index in tmp_path.glob("x.fa.gz.*i"):
        os.utime(index)
    assert read(path) == {"chr1": CHR1, "chr2": CHR2}  # by the index, it is


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    "of",
    [
        ">chr1 one\nACG\n>chr2\nTTTT\n",  # shorter
        GOOD.split(">chr2")[0],  # lacks the last sequence
        GOOD.replace(">chr1", ">chrX"),
        GOOD + ">chr3\nACGT\n",
        GOOD.replace("one", "another one"),
    ],
)
def test_an_index_of_another_file_is_not_used(tmp_path, of, packed):
    name = "x.fa.gz" if packed else "x.fa"
    other = tmp_path / "other"
    other.mkdir()
    for path, text in ((tmp_path / name, GOOD), (other / name, of)):
        bgzip(path, text) if packed else path.write_text(text)
    pyfaidx.Faidx(str(other / name)).close()
    for index in other.glob("*i"):
        (tmp_path / index.name).write_bytes(index.read_bytes())
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()}
    assert read(tmp_path / name) == {"chr1": CHR1, "chr2": CHR2}
    file = ctl.genome.Genome(tmp_path / name)._cache.path
    cache = file.stat()
    assert read(tmp_path / name) == {"chr1": CHR1, "chr2": CHR2}
    assert file.stat() == cache  # the index that was refused does not unsettle it
    assert {n: (tmp_path / n).read_bytes() for n in before} == before


def test_an_index_that_is_older_or_no_index(tmp_path):
    path, index = tmp_path / "x.fa", tmp_path / "x.fa.fai"
    path.write_text(GOOD)
    for text in ("chr1\t3\t10\t3\t4\n", "nonsense", "chr1\tx\t10\t3\t4\n", "", "chr1\t14\t-5\t6\t7\n"):
        index.write_text(text)
        ctl.genome.Genome(path)._cache.path.unlink()
        assert read(path) == {"chr1": CHR1, "chr2": CHR2}
        assert index.read_text() == text
    os.utime(index, (1, 1))
    assert given_index(path) is None
    assert indexed_sizes(path) is None
    assert read(path) == {"chr1": CHR1, "chr2": CHR2}


def test_the_index_beside_it(tmp_path):
    path = tmp_path / "x.fa"
    path.write_text(GOOD)
    pyfaidx.Faidx(str(path)).close()
    assert given_index(path)[0].name == "x.fa.fai"
    assert indexed_sizes(path) == {"chr1": 14, "chr2": 4}
    with FastaReader(path, given_index(path)) as reader:
        assert reader.sizes == {"chr1": 14, "chr2": 4}
        assert [t.tolist() for t in reader.tokens("chr2")] == [[3, 3, 3, 3]]
        reader.check_end()
        list(reader.tokens("chr1"))
        with pytest.raises(MisfitError, match="goes on after the last sequence"):
            reader.check_end()


@pytest.mark.parametrize(("module", "name"), [("pyfaidx", "x.fa"), ("Bio", "x.fa.gz")])
def test_without_the_extra(tmp_path, monkeypatch, module, name):
    path = tmp_path / name
    bgzip(path, GOOD) if name.endswith("gz") else path.write_text(GOOD)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ChromatellError, match=r"needs (pyfaidx|biopython).*pip install 'chromatell\[sequence\]'"):
        ctl.genome.Genome(path)
