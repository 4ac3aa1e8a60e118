import logging
import os
import random
import subprocess
import sys
import zlib
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

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


def as_fasta(sequences, line=60, newline="\n"):
    parts = []
    for name, text in sequences.items():
        parts += [f">{name} some description", *(text[i : i + line] for i in range(0, len(text), line))]
    return newline.join(parts) + newline


def oracle(text, start, end):
    """Tokens of ``text[start:end]``, base by base; 4 off an end."""
    return [TOKEN.get(text[i].upper(), 4) if 0 <= i < len(text) else 4 for i in range(start, end)]


def write_bgzip(path, text, block=200):
    """In small blocks, so that stretches cross their ends."""
    from Bio import bgzf

    with bgzf.BgzfWriter(str(path)) as handle:
        for i in range(0, len(text), block):
            handle.write(text[i : i + block].encode())
            handle.flush()


@pytest.fixture
def log():
    """What the package logs."""
    records: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: records.append(record.getMessage())
    logging.getLogger("chromatell").addHandler(handler)
    yield records
    logging.getLogger("chromatell").removeHandler(handler)


@pytest.fixture(scope="module")
def hg19(data_dir, tmp_path_factory):
    path = data_dir / "genome" / "hg19_chr20_chr22.fa.gz"
    return ctl.genome.Genome(path, cache_dir=tmp_path_factory.mktemp("cache"))


@pytest.fixture
def fasta(tmp_path):
    path = tmp_path / "some.fa"
    path.write_text(as_fasta(some_sequences()))
    return path


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
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.fa", "x.fa.ctl_tokens"]  # no index is left


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
    assert {p: p.read_bytes() for p in tmp_path.iterdir() if p.suffix != ".ctl_tokens"} == before


def test_a_fasta_of_several_blocks_of_sums(tmp_path, monkeypatch):
    monkeypatch.setattr(token_cache, "_BLOCK", 64)
    sequences = some_sequences(3, (1000, 128, 64, 63))
    path = tmp_path / "x.fa"
    path.write_text(as_fasta(sequences))
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


# the cache


def test_the_fasta_is_read_once(fasta, monkeypatch):
    ctl.genome.Genome(fasta)
    monkeypatch.setattr(token_cache, "_write", None)  # would fail
    check(ctl.genome.Genome(fasta), some_sequences())


@pytest.mark.parametrize("what", ["content", "time", "names in its index"])
def test_a_changed_fasta_is_encoded_anew(fasta, log, what):
    ctl.genome.Genome(fasta)
    state = fasta.stat()
    text = as_fasta(some_sequences(1))
    if what == "content":
        fasta.write_text(text + ">extra\nACGT\n")
        os.utime(fasta, ns=(state.st_atime_ns, state.st_mtime_ns))
    elif what == "time":
        fasta.write_text(text)
        os.utime(fasta, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    else:
        import pyfaidx

        fasta.write_text(text.replace(">chr1 ", ">chr8 "))
        os.utime(fasta, ns=(state.st_atime_ns, state.st_mtime_ns))
        pyfaidx.Faidx(str(fasta)).close()
    genome = ctl.genome.Genome(fasta)
    name = "chr8" if what == "names in its index" else "chr1"
    assert genome.fetch(name, 0, 1000).tolist() == oracle(some_sequences(1)["chr1"], 0, 1000)
    assert [m for m in log if "the FASTA is encoded anew" in m]


def cut(raw):
    return raw[:-100]


def flip(at):
    def damage(raw):
        raw = bytearray(raw)
        raw[at] ^= 1
        return bytes(raw)

    return damage


@pytest.mark.parametrize(
    ("damage", "seen"),
    [
        (cut, "is damaged"),
        (lambda raw: b"", "is damaged"),
        (lambda raw: b"x" * 3000, "is damaged or of another version"),
        (lambda raw: raw + b"0", "is damaged"),
        (flip(40), r"is damaged \(its header or sums\)"),
        (flip(16), r"is damaged \(its header or sums\)"),
        (flip(-1), r"is damaged \(its header or sums\)"),
        (flip(4096 + 700), "is damaged; the FASTA is encoded anew"),
        (lambda raw: raw[:4096] + bytes(1399) + raw[4096 + 1399 :], "is damaged; the FASTA is encoded anew"),
    ],
)
def test_a_damaged_cache_is_made_anew(fasta, log, damage, seen):
    ctl.genome.Genome(fasta)
    cache = fasta.with_name("some.fa.ctl_tokens")
    good = cache.read_bytes()
    cache.write_bytes(damage(good))
    check(ctl.genome.Genome(fasta), some_sequences())
    assert cache.read_bytes() == good
    assert any(pd.Series(log).str.contains(seen))


def test_values_that_are_no_tokens_are_damage(fasta, log):
    ctl.genome.Genome(fasta)
    cache = fasta.with_name("some.fa.ctl_tokens")
    raw = bytearray(cache.read_bytes())
    raw[4096] = 9
    raw[-4:] = zlib.crc32(raw[4096 : 4096 + 1399]).to_bytes(4, "little")  # with the sums that fit
    raw[20:24] = zlib.crc32(raw[-4:]).to_bytes(4, "little")
    cache.write_bytes(raw)
    check(ctl.genome.Genome(fasta), some_sequences())
    assert any("damaged; the FASTA is encoded anew" in m for m in log)


def test_a_folder_that_is_not_ours_stays_as_it_is(tmp_path, monkeypatch):
    folder, home = tmp_path / "data", tmp_path / "home"
    folder.mkdir()
    path = folder / "x.fa"
    path.write_text(as_fasta(some_sequences()))
    folder.chmod(0o555)
    monkeypatch.setattr("pooch.os_cache", lambda name: home / name)
    try:
        check(ctl.genome.Genome(path), some_sequences())
        assert [p.name for p in folder.iterdir()] == ["x.fa"]
        kept = list((home / "chromatell" / "genomes").iterdir())
        assert len(kept) == 1
        assert kept[0].name.startswith("x.fa-")
        monkeypatch.setattr(token_cache, "_write", None)
        check(ctl.genome.Genome(path), some_sequences())  # found there again
    finally:
        folder.chmod(0o755)


def test_two_genomes_of_one_name_in_one_cache_folder(tmp_path):
    for i in range(2):
        (tmp_path / str(i)).mkdir()
        (tmp_path / str(i) / "x.fa").write_text(as_fasta(some_sequences(i)))
    genomes = [ctl.genome.Genome(tmp_path / str(i) / "x.fa", cache_dir=tmp_path / "cache") for i in range(2)]
    for i, genome in enumerate(genomes):
        check(genome, some_sequences(i))
    assert len(list((tmp_path / "cache").iterdir())) == 2
    assert [p.name for p in (tmp_path / "0").iterdir()] == ["x.fa"]


def test_a_full_disk_leads_to_the_next_folder(fasta, tmp_path, monkeypatch):
    monkeypatch.setattr("pooch.os_cache", lambda name: tmp_path / "home" / name)
    real, calls = os.fsync, []

    def full(handle):
        calls.append(handle)
        if len(calls) == 1:
            raise OSError(28, "No space left on device")
        real(handle)

    monkeypatch.setattr(token_cache.os, "fsync", full)
    check(ctl.genome.Genome(fasta), some_sequences())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["home", "some.fa"]  # no part of a cache is left


def test_nowhere_to_keep_the_tokens(fasta):
    with pytest.raises(ChromatellError, match=r"could not be kept .*Not a directory.*cache_dir="):
        ctl.genome.Genome(fasta, cache_dir=fasta / "below")


def test_several_processes_at_once(tmp_path):
    path = tmp_path / "x.fa"
    sequences = some_sequences(5, (200_000, 337, 61, 1))
    path.write_text(as_fasta(sequences))
    code = (
        "import sys, chromatell as ctl\n"
        "sys.stdin.readline()\n"  # all start together
        "g = ctl.genome.Genome(sys.argv[1])\n"
        "print(int((g.fetch('chr1', 0, 200_000).astype(int) * range(200_000)).sum()))"
    )
    command = [sys.executable, "-c", code, str(path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    running = [subprocess.Popen(command, **pipes) for _ in range(3)]
    answers = [process.communicate("go\n")[0] for process in running]
    want = sum(i * token for i, token in enumerate(oracle(sequences["chr1"], 0, 200_000)))
    assert [int(answer) for answer in answers] == [want] * 3
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.fa", "x.fa.ctl_tokens"]


def test_another_process_finishing_first_does_no_harm(fasta, monkeypatch):
    real, inner = token_cache._write, []

    def slow(*arguments):
        if not inner:
            inner.append(None)  # meanwhile, in another process
            inner[0] = ctl.genome.Genome(fasta)
        real(*arguments)

    monkeypatch.setattr(token_cache, "_write", slow)
    outer = ctl.genome.Genome(fasta)
    check(outer, some_sequences())
    check(inner[0], some_sequences())  # its file was replaced under it


def test_handed_to_another_process_it_opens_its_file_there(fasta, tmp_path):
    genome = ctl.genome.Genome(fasta, cache_dir=tmp_path / "cache")
    sent = bytes(ForkingPickler.dumps(genome))
    assert len(sent) < 500
    again = ForkingPickler.loads(sent)
    check(again, some_sequences())
    assert again.path == genome.path


def test_a_fasta_that_changes_while_it_is_read(fasta, monkeypatch):
    real = token_cache._write

    def changing(*arguments):
        real(*arguments)
        fasta.write_text(">chr1\nACGTAAAA\n")

    monkeypatch.setattr(token_cache, "_write", changing)
    with pytest.raises(ChromatellError, match="changed while it was read. Run this again"):
        ctl.genome.Genome(fasta)
    assert [p.name for p in Path(fasta).parent.iterdir()] == ["some.fa"]
