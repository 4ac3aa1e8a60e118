from __future__ import annotations

import gzip

import pandas as pd
import pytest

import chromatell as ctl
from chromatell import ChromatellError
from chromatell.io.fragments import _BGZF_END, fragment_blocks, fragment_header

LINES = ["chr1\t10\t90\tAAAC-1\t2", "chr2\t5\t6\tAAAG-1\t1", "chr1\t3\t1000\tAAAC-1\t7", "chrUn_1\t0\t4\tNA\t1"]
ROWS = [("chr1", 10, 90, "AAAC-1"), ("chr2", 5, 6, "AAAG-1"), ("chr1", 3, 1000, "AAAC-1"), ("chrUn_1", 0, 4, "NA")]


def write(path, lines=LINES, opener=open, end="\n"):
    with opener(path, "wt", newline="") as f:
        f.write(end.join(lines) + end)
    return path


def rows(path, **options):
    found = pd.concat([b.astype({"chrom": str}) for b in fragment_blocks(path, **options)])
    assert str(found["start"].dtype) == str(found["end"].dtype) == "int64"
    return list(found.itertuples(index=False, name=None))


@pytest.mark.parametrize("opener", [open, gzip.open])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_plain_and_packed_are_told_by_content(tmp_path, opener, end):
    assert rows(write(tmp_path / "f.txt", opener=opener, end=end)) == ROWS


@pytest.mark.parametrize("block", [1, 7, 30, 64, 1000])
def test_the_size_of_a_block_changes_nothing(tmp_path, block):
    path = write(tmp_path / "f.tsv", ["# a", *LINES[:2], "", "#b\tc", *LINES[2:]])
    assert rows(path, block_bytes=block) == ROWS


def test_columns_after_the_fourth_are_not_read(tmp_path):
    lines = ["chr1\t1\t5\tA", "chr1\t2\t5\tB\t9\t+\tmore", 'chr1\t3\t5\t"C\t1']
    path = write(tmp_path / "f.tsv", lines)
    assert rows(path) == [("chr1", 1, 5, "A"), ("chr1", 2, 5, "B"), ("chr1", 3, 5, '"C')]


def test_a_last_line_without_its_end_is_read(tmp_path):
    path = tmp_path / "f.tsv"
    path.write_text("\n".join(LINES))
    assert rows(path) == ROWS


def test_barcodes_and_chromosomes_that_look_like_numbers_stay_text(tmp_path):
    path = write(tmp_path / "f.tsv", ["01\t1\t5\t007", "1\t1\t5\t1e3"])
    assert rows(path) == [("01", 1, 5, "007"), ("1", 1, 5, "1e3")]


def test_plain_text_cut_short(tmp_path):
    path = tmp_path / "f.tsv"
    path.write_text("\n".join(LINES)[:-6])
    with pytest.raises(ChromatellError, match="line 4, .*: the file ends within the line, it is cut short"):
        rows(path)


def test_header(tmp_path):
    path = write(
        tmp_path / "f.tsv.gz", ["# id=pbmc", "#", "# reference_path=/x/GRCh38", *LINES, "# not this"], gzip.open
    )
    assert fragment_header(path) == ["id=pbmc", "", "reference_path=/x/GRCh38"]
    assert fragment_header(write(tmp_path / "g.tsv")) == []


def test_several_gzip_members_follow_each_other(tmp_path):
    path = tmp_path / "f.gz"
    path.write_bytes(b"".join(gzip.compress(f"{line}\n".encode()) for line in LINES))
    assert rows(path) == ROWS


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("chr1\t1\t5", "line 4, .*3 columns divided by tabs; no barcode in column 4, as in a BED"),
        ("chr1 1 5 A", "line 4, .*1 column divided by tabs; 4 or more"),
        ("chr1\tx\t5\tA", "line 4, .*start 'x' is no whole number"),
        ("chr1\t1\t5.5\tA", "line 4, .*end '5.5' is no whole number"),
        ("chr1\t1\t\tA", "line 4, .*end '' is no whole number"),
        ("chr1\t1\t99999999999999999999\tA", "line 4, .*end '99999999999999999999' is no whole number"),
        ("chr1\t-9\t-5\tA", "line 4, .*start -9 is negative"),
        ("chr1\t5\t5\tA", "line 4, .*end 5 is not above start 5"),
        ("chr1\t5\t4\tA", "line 4, .*end 4 is not above start 5"),
        ("chr1\t5\t8\t", "line 4, .*the chromosome or the barcode is empty"),
        ("\t5\t8\tA", "line 4, .*the chromosome or the barcode is empty"),
        ("chrom\tstart\tend\tbarcode", "line 4, .*start 'start' is no whole number"),
    ],
)
def test_a_line_that_is_no_fragment_is_named(tmp_path, line, message):
    path = write(tmp_path / "f.tsv", ["# comment", LINES[0], "", line, *LINES])
    for block in (10, 1_000_000):
        with pytest.raises(ChromatellError, match=message):
            rows(path, block_bytes=block)


def test_files_that_hold_no_fragments(tmp_path):
    def refused(content, match, name="f"):
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        for call in (lambda: rows(path), lambda: ctl.pp.bin_genome(path, chrom_sizes="hg38", min_fragments=1)):
            with pytest.raises(ChromatellError, match=match):
                call()

    refused(None, "No fragments file at")
    refused(b"", "is empty")
    refused(gzip.compress(b""), "is empty")
    refused(b"# id=1\n\n# x\n", "holds no fragment, only comments")
    refused(gzip.compress(b"BAM\x01\x00\x00"), "is a BAM, not text")
    refused(gzip.compress(b"TBI\x01\x00\x00"), "is a tabix index, not text")
    refused(b"\x89HDF\r\n\x1a\n", "is an HDF5 file, not text")
    refused(b"PK\x03\x04\x00\x00", "is a binary file, not text")
    refused(b"<!DOCTYPE html>\n<html>", "is a web page or XML, it begins '<!DOCTYPE html>")
    refused("chr1\t1\t5\tZellé\n".encode("latin-1"), "line 1, .*not UTF-8 text")
    refused(b"a" * 200_000, "line 1: over 65536 characters|1 column divided by tabs")
    with pytest.raises(ChromatellError, match="No fragments file"):
        rows(tmp_path)


def test_a_line_longer_than_any_is_not_gathered(tmp_path):
    path = tmp_path / "f.gz"
    path.write_bytes(gzip.compress(b"a" * 200_000))
    with pytest.raises(ChromatellError, match="line 1: over 65536 characters"):
        rows(path, block_bytes=100_000)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.99])
def test_a_gzip_file_cut_short(tmp_path, share):
    whole = gzip.compress("\n".join(f"chr1\t{i}\t{i * 7 % 1000 + i + 1}\tC{i * 31 % 97}" for i in range(5000)).encode())
    path = tmp_path / "f.gz"
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ChromatellError, match="is cut short or damaged .EOFError"):
        rows(path)
    path.write_bytes(whole[:3000] + b"\x00\xff" * 50 + whole[3100:])
    with pytest.raises(ChromatellError, match="is cut short or damaged"):
        rows(path)


def test_a_bgzip_file_cut_between_two_of_its_blocks(tmp_path, data_dir):
    whole = (data_dir / "multiome" / "pbmc10k_fragments.tsv.gz").read_bytes()
    assert whole.endswith(_BGZF_END)
    size = int.from_bytes(whole[16:18], "little") + 1  # of the first block, which gzip alone takes for a whole file
    path = tmp_path / "f.tsv.gz"
    path.write_bytes(whole[:size])
    with pytest.raises(ChromatellError, match="is cut short: a bgzip file ends with an empty block"):
        rows(path)
    path.write_bytes(whole[:size] + _BGZF_END)
    with pytest.raises(ChromatellError, match="line 1420, .*the file ends within the line, it is cut short .2 columns"):
        rows(path)


def test_progress_counts_the_whole_file(tmp_path, monkeypatch):
    import contextlib

    from chromatell.io import fragments

    seen = {"done": 0}

    @contextlib.contextmanager
    def bar(what, total, unit):
        seen["total"] = total
        yield lambda n: seen.update(done=seen["done"] + n)

    monkeypatch.setattr(fragments, "progress", bar)
    path = write(tmp_path / "f.tsv", LINES * 60_000)
    assert len(rows(path, block_bytes=500_000)) == 240_000
    assert seen["total"] == seen["done"] == path.stat().st_size >> 20 >= 4
