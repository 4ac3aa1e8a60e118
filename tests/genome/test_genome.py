import random

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from tests.helpers import as_fasta, write_fasta

import chromatell as ctl
from chromatell import ChromatellError
from chromatell.genome import token_cache
from chromatell.genome.genome import as_regions

TOKEN = {"A": 0, "C": 1, "G": 2, "T": 3}


def some_sequences(seed=0, lengths=(1000, 337, 61, 1)):
    """Names and text with lower case, N and other codes, on lines of 60."""
    draw = random.Random(seed)
    names = ["chr1", "2", "GL000205.2", "chrM"]
    return {
        n: "".join(draw.choices("ACGTacgtNnRy", [9] * 8 + [1] * 4, k=k)) for n, k in zip(names, lengths, strict=True)
    }


def oracle(text, start, end):
    """Tokens of ``text[start:end]``, base by base; 4 off an end."""
    return [TOKEN.get(text[i].upper(), 4) if 0 <= i < len(text) else 4 for i in range(start, end)]


def write_bgzip(path, text, block=200):
    """In small blocks, so that intervals cross their ends."""
    from Bio import bgzf

    with bgzf.BgzfWriter(str(path)) as handle:
        for i in range(0, len(text), block):
            handle.write(text[i : i + block].encode())
            handle.flush()


@pytest.fixture(scope="module")
def hg19(data_dir, tmp_path_factory):
    path = data_dir / "genome" / "hg19_chr20_chr22.fa.gz"
    return ctl.genome.Genome(path, cache_dir=tmp_path_factory.mktemp("cache"))


@pytest.fixture
def fasta(tmp_path):
    return write_fasta(tmp_path / "some.fa", some_sequences())


def check(genome, sequences):
    assert genome.chromosomes == {name: len(text) for name, text in sequences.items()}
    for name, text in sequences.items():
        for start, end in [(0, len(text)), (-5, 7), (len(text) - 3, len(text) + 4), (len(text) // 2, len(text))]:
            got = genome.fetch(name, start, end) if start < end else np.empty(0)
            assert got.tolist() == oracle(text, start, end)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("line", [7, 60, 10_000])
def test_every_base_of_a_plain_fasta(tmp_path, line, newline):
    path = tmp_path / "x.fa"
    path.write_bytes(as_fasta(some_sequences(line), line, newline).encode())
    genome = ctl.genome.Genome(path)
    check(genome, some_sequences(line))
    assert genome.fetch("chr1", 3, 9).dtype == np.int8
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.fa"]  # neither index nor tokens are left


@pytest.mark.parametrize("indexed", [False, True])
def test_every_base_of_a_bgzip_fasta(tmp_path, indexed):
    import pyfaidx

    path = tmp_path / "x.fa.gz"
    write_bgzip(path, as_fasta(some_sequences()))
    if indexed:
        pyfaidx.Faidx(str(path)).close()
    before = {p: p.read_bytes() for p in tmp_path.iterdir()}
    check(ctl.genome.Genome(path), some_sequences())
    assert len(before) == (3 if indexed else 1)
    assert {p: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_a_fasta_of_several_blocks_of_sums(tmp_path, monkeypatch):
    monkeypatch.setattr(token_cache, "_BLOCK", 64)
    sequences = some_sequences(3, (1000, 128, 64, 63))
    path = write_fasta(tmp_path / "x.fa", sequences)
    check(ctl.genome.Genome(path), sequences)
    check(ctl.genome.Genome(path), sequences)  # from the cache


@pytest.mark.parametrize("width", [1, 2, 15, 16, 60, 1001])
def test_windows_are_centred_and_padded(fasta, width):
    sequences = some_sequences()
    draw = np.random.default_rng(width)
    names = draw.choice(list(sequences), 300)
    start = np.array([draw.integers(0, len(sequences[n])) for n in names])
    end = start + draw.integers(1, 50, 300)
    table = pd.DataFrame({"chrom": names, "start": start, "end": end})
    tokens, n_padded = ctl.genome.Genome(fasta).windows(table, width)
    assert (tokens.shape, tokens.dtype) == ((300, width), np.int8)
    for i, (name, s, e) in enumerate(zip(names, start, end, strict=True)):
        low = (int(s) + int(e)) // 2 - width // 2
        want = oracle(sequences[name], low, low + width)
        assert tokens[i].tolist() == want
        assert n_padded[i] == want.count(4)


def test_windows_in_blocks_are_those_of_one_call(fasta, monkeypatch):
    from chromatell.genome import genome as module

    table = pd.DataFrame({"chrom": ["chr1", "2"] * 50, "start": range(100), "end": range(100, 200)})
    genome = ctl.genome.Genome(fasta)
    whole = genome.windows(table, 120)
    for rows in (1, 7, 100):
        monkeypatch.setattr(module, "_ROWS", rows)
        for a, b in zip(whole, genome.windows(table, 120), strict=True):
            np.testing.assert_array_equal(a, b)


def test_regions_in_any_form(fasta):
    genome = ctl.genome.Genome(fasta)
    names = ["chr1:100-160", "2:5-10"]
    want = genome.windows(names, 20)[0]
    table = pd.DataFrame({"chrom": ["chr1", "2"], "start": [100, 5], "end": [160, 10]})
    for given in (table, AnnData(var=table.set_axis(["a", "b"])), pd.Index(names), tuple(names)):
        np.testing.assert_array_equal(genome.windows(given, 20)[0], want)
    assert genome.windows(table.iloc[:0], 20)[0].shape == (0, 20)
    with pytest.raises(ChromatellError, match="1 of 2 regions have no coordinates"):
        genome.windows(["chr1:100-160", "gene"], 20)
    with pytest.raises(ChromatellError, match="given as ndarray"):
        genome.windows(np.zeros((2, 3)), 20)
    with pytest.raises(ChromatellError, match="given as str"):
        as_regions("chr1:1-2")


def test_names_in_either_style(fasta):
    genome = ctl.genome.Genome(fasta)
    text = some_sequences()
    for asked, name in [("1", "chr1"), ("chr2", "2"), ("MT", "chrM"), ("M", "chrM"), ("GL000205.2", "GL000205.2")]:
        assert genome.name_of(asked) == name
        assert asked in genome
        assert genome.fetch(asked, 0, 1).tolist() == oracle(text[name], 0, 1)
    assert "chr3" not in genome
    assert genome.find(pd.Series(["1", "chr2", "chr9", "chr1"])).tolist() == [0, 1, -1, 0]


def test_its_own_name_is_tried_first(tmp_path):
    path = tmp_path / "x.fa"
    path.write_text(">1\nAAAA\n>chr1\nCCCC\n")
    genome = ctl.genome.Genome(path)
    assert genome.fetch("1", 0, 4).tolist() == [0] * 4
    assert genome.fetch("chr1", 0, 4).tolist() == [1] * 4


def test_a_chromosome_that_is_not_there(fasta):
    genome = ctl.genome.Genome(fasta)
    with pytest.raises(ChromatellError, match="some.fa has no chromosome 'chr7'; it has 'chr1', '2'"):
        genome.fetch("chr7", 0, 5)
    with pytest.raises(ChromatellError, match="1 of 2 regions lie on chromosomes that some.fa does not have"):
        genome.windows(["chr1:10-30", "chr7:10-30"], 4)
    tokens, n_padded = genome.windows(["chr1:10-30", "chr7:10-30"], 4, allow_absent=True)
    assert tokens.tolist() == [oracle(some_sequences()["chr1"], 18, 22), [4] * 4]
    assert n_padded[1] == 4


def test_wrong_positions_and_widths(fasta):
    genome = ctl.genome.Genome(fasta)
    with pytest.raises(ChromatellError, match="chr1:7-7 is empty: start must be below end"):
        genome.fetch("chr1", 7, 7)
    for width in (0, -2, 3.5, True, "8"):
        with pytest.raises(ChromatellError, match="must be a whole number of bp"):
            genome.windows(["chr1:1-5"], width)


def test_it_says_what_it_is(fasta, hg19):
    assert repr(ctl.genome.Genome(fasta)) == "Genome('some.fa': 4 sequences ('chr1', '2', 'GL000205.2', ...), 1,399 bp)"
    assert repr(hg19) == "Genome('hg19_chr20_chr22.fa.gz': hg19, 2 sequences ('chr20', 'chr22'), 114,330,086 bp)"


def test_hg19_against_pyfaidx(hg19):
    import pyfaidx

    draw = np.random.default_rng(0)
    start = draw.integers(0, 51_304_566 - 700, 300)
    start[:4] = [0, 100, 51_304_000, 51_303_600]
    chrom = np.where(np.arange(300) % 2 == 0, "chr22", "20")
    table = pd.DataFrame({"chrom": chrom, "start": start, "end": start + 601})
    tokens, n_padded = hg19.windows(table, 1344)
    with pyfaidx.Fasta(str(hg19.path), rebuild=False, as_raw=True) as reference:
        for i, (c, s) in enumerate(zip(chrom, start, strict=True)):
            name = f"chr{c.removeprefix('chr')}"
            low = int(s) + 300 - 672
            high = min(low + 1344, len(reference[name]))
            text = "N" * max(0, -low) + reference[name][max(low, 0) : high] + "N" * (low + 1344 - high)
            assert tokens[i].tolist() == oracle(text, 0, 1344)
    assert n_padded.tolist() == (tokens == 4).sum(axis=1).tolist()
    assert 0 < (n_padded == 1344).mean() < 0.5  # the unknown half of chr22


def test_start_codons_are_atg(data_dir, hg19):
    genes = pd.read_csv(data_dir / "annotation" / "hg19_gencode_chr22.gtf.gz", sep="\t", header=None, comment="#")
    codons = genes[(genes[2] == "start_codon") & (genes[4] - genes[3] == 2)].drop_duplicates([3, 6])
    read = [hg19.fetch(c, s - 1, e) for c, s, e in zip(codons[0], codons[3], codons[4], strict=True)]
    plus = [t if d == "+" else ctl.genome.reverse_complement(t) for t, d in zip(read, codons[6], strict=True)]
    known = [ctl.genome.decode(t) for t in plus if (t < 4).all()]
    assert len(known) > 400
    assert set(known) == {"ATG"}
