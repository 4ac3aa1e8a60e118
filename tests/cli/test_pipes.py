"""Inputs through a pipe give what a file gives; the command line reads them twice."""

from __future__ import annotations

import gzip
import io
import os
import sys
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import anndata as ad
import numpy as np
import pytest
from tests.helpers import file_names

from chromatell.cli import main

FRAGMENTS = "".join(
    f"chr1\t{100 * i}\t{100 * i + 90}\tcell{i % 3}-1\t1\nchr2\t{70 * i}\t{70 * i + 90}\tcell{i % 2}-1\t1\n"
    for i in range(150)
).encode()
LISTS = {
    "--chrom-sizes": b"chr1\t20000\nchr2\t20000\n",
    "--barcodes": gzip.compress(b"cell2-1\ncell0-1\n"),
    "--blacklist": b"chr2\t0\t60\n",
}
BY_HAND = {  # midpoints in bins of 5 kb, by cell and name of the bin
    (cell, f"{chrom}:{start}-{start + 5000}"): sum(
        i % of == number and start <= step * i + 45 < start + 5000 for i in range(150)
    )
    for cell, number in (("cell2-1", 2), ("cell0-1", 0))
    for chrom, step, of in (("chr1", 100, 3), ("chr2", 70, 2))
    for start in range(0, 20000, 5000)
}


@pytest.fixture
def pipe(tmp_path):
    """Make a pipe that holds bytes for whoever reads it, once."""
    writers = []

    def make(name: str, content: bytes) -> Path:
        path = tmp_path / "pipes" / name
        path.parent.mkdir(exist_ok=True)
        os.mkfifo(path)
        writers.append(Thread(target=path.write_bytes, args=(content,), daemon=True))
        writers[-1].start()
        return path

    yield make
    for writer in writers:
        writer.join(timeout=10)
        assert not writer.is_alive()


def stdin(monkeypatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))


def check(path: Path) -> None:
    found = ad.read_h5ad(path)
    assert list(found.obs_names) == ["cell2-1", "cell0-1"]
    counts = {(c, r): v for (c, r), v in found.to_df().stack().items() if v}
    wanted = {pair: n for pair, n in BY_HAND.items() if n and pair[1] != "chr2:0-5000"}
    assert counts == wanted
    assert sum(wanted.values()) > 100


def test_every_input_may_be_a_pipe(pipe, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    named = [str(word) for option, content in LISTS.items() for word in (option, pipe(option[2:], content))]
    out = tmp_path / "out.h5ad"
    assert main(["bin", str(pipe("fragments", FRAGMENTS)), "-o", str(out), *named]) == 0
    check(out)
    assert file_names(tmp_path) == {"out.h5ad", "pipes"}  # no copy is left


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_dash_is_stdin(tmp_path, monkeypatch, pack):
    named = []
    for option, content in LISTS.items():
        (tmp_path / option[2:]).write_bytes(content)
        named += [option, str(tmp_path / option[2:])]
    stdin(monkeypatch, pack(FRAGMENTS))
    assert main(["bin", "-", "-o", str(tmp_path / "out.h5ad"), *named]) == 0
    check(tmp_path / "out.h5ad")


@pytest.mark.parametrize(
    ("words", "content", "message"),
    [
        (["predict", "-", "--model", "-", "-o", "out.h5mu"], b"x", "Two inputs are '-'"),
        (["info", "-"], b"\x89HDF\r\n\x1a\n", "cannot be read from a pipe"),
        (["info", "-"], b"", "Nothing came through the pipe"),
    ],
)
def test_what_no_pipe_can_give_is_said(words, content, message, monkeypatch, refused):
    stdin(monkeypatch, content)
    assert message in refused(words, 2)


def test_a_config_may_be_a_pipe(pipe, capsys):
    assert (
        main(["train", "--config", str(pipe("run.toml", b'input = "a.h5mu"\noutput = "b.h5mu"\n')), "--print-config"])
        == 0
    )
    assert 'input = "a.h5mu"' in capsys.readouterr().out


def test_an_option_before_its_command_is_said_so(refused):
    said = refused(["-q", "bin", "x.tsv", "-o", "y.h5ad"], 2)
    assert "'-q' stands before the command; options follow it: chromatell bin -q" in said


def test_bin_takes_the_size_under_either_name(tmp_path):
    (tmp_path / "f.tsv").write_bytes(FRAGMENTS)
    (tmp_path / "s.txt").write_bytes(LISTS["--chrom-sizes"])
    sizes = []
    for option in ("--size", "--bin-size"):
        call = ["bin", str(tmp_path / "f.tsv"), "-o", str(tmp_path / f"{option}.h5ad"), "--chrom-sizes"]
        assert main([*call, str(tmp_path / "s.txt"), "--min-fragments", "1", option, "2000"]) == 0
        found = ad.read_h5ad(tmp_path / f"{option}.h5ad").var
        sizes.append(np.unique(found["end"] - found["start"]).tolist())
    assert sizes == [[2000], [2000]]
