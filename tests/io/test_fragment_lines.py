"""Lines parsed by words against pandas: the same table, or None where a line is not of the common form."""

from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pytest

from chromatell.io import fragments
from chromatell.io._fragment_lines import parse_lines

GOOD = b"chr1\t10\t90\tAAAC-1\t2\n"


@pytest.mark.parametrize("columns", [4, 5, 7])
def test_the_same_as_pandas(rng, columns):
    n = 3000
    names = [f"{'ACGT' * (i % 7)}{i}-{i % 3}" for i in range(500)]  # of 3 to 32 letters
    start = (10 ** (rng.random(n) * 15)).astype(np.int64)
    end = start + rng.integers(1, 10**9, n)
    chroms = ["chr1", "1", "chrUn_KI270302v1", "X"]
    more = "".join(f"\t{i}x" for i in range(columns - 4))
    text = "".join(
        f"{chroms[c]}\t{'00' if i % 50 == 0 and s < 10**9 else ''}{s}\t{e}\t{names[b]}{more}\n"
        for i, (c, s, e, b) in enumerate(
            zip(rng.integers(0, 4, n), start, end, rng.integers(0, len(names), n), strict=True)
        )
    ).encode()
    found, wanted = parse_lines(text, "barcode"), fragments._table(text)
    assert len(set(found["barcode"])) > 450
    pd.testing.assert_frame_equal(
        found.astype({"chrom": str, "barcode": str}), wanted.astype({"chrom": str, "barcode": str})
    )
    assert found["start"].tolist() == start.tolist()


@pytest.mark.parametrize(
    "line",
    [b"", b"#c", b"chr1\t5", b"chr1\t5\t9", b"chr1\tx\t9\tA\t1", b"chr1\t-5\t9\tA\t1", b"chr1\t+5\t9\tA\t1",
     b"chr1\t5.0\t9\tA\t1", b"chr1\t5\t1e3\tA\t1", b"chr1\t 5\t9\tA\t1", b"chr1\t5\t5\tA\t1", b"chr1\t5\t4\tA\t1",
     b"\t5\t9\tA\t1", b"chr1\t5\t9\t\t1", b"chr1\t\t9\tA\t1", b"chr1\t5\t12345678901234567\tA\t1",
     b"chr1\t5\t9\tA\t1\t2", b"chr1\t5\t9\tA\t1\r", b"chr1\t5\t9\tA\rchr1\t5", b"chr1\t5\t9\t" + b"A" * 33 + b"\t1",
     b"chr1\t5\t9\t\xc3\xa9\t1", b"chr1\t5\t9\t\xe9\t1", b"chr1\t5\t9\tA\x00B\t1", b"chr1\t5/\t9\tA\t1",
     b"chr1\t5:\t9\tA\t1", b"chr1\t\xb5\t9\tA\t1"],
)  # fmt: skip
@pytest.mark.parametrize("before", [0, 1, 40])
def test_any_other_line_is_left_to_the_reader_of_tables(line, before):
    assert parse_lines(GOOD * before + line + b"\n" + GOOD * 5, "barcode") is None
    if before:
        assert not line or parse_lines(GOOD * before + line, "barcode") is None


def test_two_names_that_mix_to_one_number_are_told_apart(monkeypatch):
    monkeypatch.setattr("chromatell.io._fragment_lines._MIX", np.zeros(4, dtype=np.uint64))
    assert parse_lines(GOOD + b"chr1\t10\t90\tAAAG-1\t2\n", "barcode") is None
    assert len(parse_lines(GOOD * 3, "barcode")) == 3


def test_both_unpackers_give_the_same(tmp_path, monkeypatch):
    path = tmp_path / "f.gz"
    path.write_bytes(gzip.compress(GOOD * 500) + gzip.compress(GOOD * 500))
    first = pd.concat(list(fragments.fragment_blocks(path)))
    monkeypatch.setattr(fragments, "gunzip", gzip)
    monkeypatch.setattr(fragments, "parse_lines", lambda text, name: None)
    pd.testing.assert_frame_equal(first, pd.concat(list(fragments.fragment_blocks(path))))
