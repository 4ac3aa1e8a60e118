"""The file of tokens: made once, found again, noticed when it is stale or damaged, safe with several processes."""

import os
import re
import subprocess
import sys
import zlib
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pandas as pd
import pytest
from tests.helpers import as_fasta, write_fasta

import chromatell as ctl
from chromatell import ChromatellError
from chromatell.genome import token_cache


def some_sequences(seed=0, lengths=(1000, 337, 61, 1)):
    draw = np.random.default_rng(seed)
    names = ["chr1", "2", "GL000205.2", "chrM"]
    return {n: "".join(draw.choice(list("ACGTacgtNR"), k)) for n, k in zip(names, lengths, strict=True)}


def known(text):
    return re.sub("[^ACGT]", "N", text.upper())


def check(genome, sequences):
    assert genome.chromosomes == {name: len(text) for name, text in sequences.items()}
    for name, text in sequences.items():
        assert ctl.genome.decode(genome.fetch(name, -2, len(text) + 3)) == f"NN{known(text)}NNN"


@pytest.fixture
def fasta(tmp_path):
    return write_fasta(tmp_path / "some.fa", some_sequences())


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
    assert ctl.genome.decode(genome.fetch(name, 0, 1000)) == known(some_sequences(1)["chr1"])
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
    cache = ctl.genome.Genome(fasta)._cache.path
    good = cache.read_bytes()
    cache.write_bytes(damage(good))
    check(ctl.genome.Genome(fasta), some_sequences())
    assert cache.read_bytes() == good
    assert any(pd.Series(log).str.contains(seen))


def test_values_that_are_no_tokens_are_damage(fasta, log):
    cache = ctl.genome.Genome(fasta)._cache.path
    raw = bytearray(cache.read_bytes())
    raw[4096] = 9
    raw[-4:] = zlib.crc32(raw[4096 : 4096 + 1399]).to_bytes(4, "little")  # with the sums that fit
    raw[20:24] = zlib.crc32(raw[-4:]).to_bytes(4, "little")
    cache.write_bytes(raw)
    check(ctl.genome.Genome(fasta), some_sequences())
    assert any("damaged; the FASTA is encoded anew" in m for m in log)


@pytest.mark.parametrize("variable", [True, False])
def test_the_folder_of_the_fasta_stays_as_it_is(fasta, log, tmp_path_factory, monkeypatch, variable):
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("CHROMATELL_CACHE", str(home) if variable else "")
    monkeypatch.setattr("pooch.os_cache", lambda name: home)
    check(ctl.genome.Genome(fasta), some_sequences())
    assert [p.name for p in fasta.parent.iterdir()] == ["some.fa"]
    (kept,) = (home / "genomes").iterdir()
    assert kept.name.startswith("some.fa-")
    size = f"{kept.stat().st_size / 1e6:.3g} MB"
    assert [m for m in log if m == f"Encoded some.fa once; {kept.name}, in the cache folder, holds its tokens: {size}."]
    monkeypatch.setattr(token_cache, "_write", None)
    check(ctl.genome.Genome(fasta), some_sequences())  # found there again


def test_tokens_that_an_earlier_release_left_beside_the_fasta_are_used(fasta, monkeypatch):
    token_cache.write_cache(fasta.with_name("some.fa.ctl_tokens"), fasta)
    monkeypatch.setattr(token_cache, "_write", None)
    check(ctl.genome.Genome(fasta), some_sequences())


def test_two_genomes_of_one_name_in_one_cache_folder(tmp_path):
    for i in range(2):
        (tmp_path / str(i)).mkdir()
        write_fasta(tmp_path / str(i) / "x.fa", some_sequences(i))
    genomes = [ctl.genome.Genome(tmp_path / str(i) / "x.fa", cache_dir=tmp_path / "cache") for i in range(2)]
    for i, genome in enumerate(genomes):
        check(genome, some_sequences(i))
    assert len(list((tmp_path / "cache").iterdir())) == 2
    assert [p.name for p in (tmp_path / "0").iterdir()] == ["x.fa"]


def test_a_full_disk_leads_to_the_next_folder(fasta, tmp_path, monkeypatch):
    monkeypatch.setenv("CHROMATELL_CACHE", str(tmp_path / "home"))
    real, calls = os.fsync, []

    def full(handle):
        calls.append(handle)
        if len(calls) == 1:
            raise OSError(28, "No space left on device")
        real(handle)

    monkeypatch.setattr(token_cache.os, "fsync", full)
    check(ctl.genome.Genome(fasta), some_sequences())
    left = sorted(p.name for p in tmp_path.iterdir())
    assert left == ["home", "some.fa", "some.fa.ctl_tokens"]  # no part of a cache


def test_nowhere_to_keep_the_tokens(fasta):
    with pytest.raises(ChromatellError, match=r"could not be kept .*Not a directory.*cache_dir="):
        ctl.genome.Genome(fasta, cache_dir=fasta / "below")


def test_several_processes_at_once(tmp_path):
    sequences = some_sequences(5, (200_000, 337, 61, 1))
    path = write_fasta(tmp_path / "x.fa", sequences)
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
    want = sum(i * "ACGTN".index(letter) for i, letter in enumerate(known(sequences["chr1"])))
    assert [int(answer) for answer in answers] == [want] * 3
    assert [p.name for p in tmp_path.iterdir()] == ["x.fa"]


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
    assert [p.name for p in fasta.parent.iterdir()] == ["some.fa"]
