"""Files of the tutorials: whole, always the same, in the layout that other tools read."""

from __future__ import annotations

import gzip
import struct

import numpy as np
import pandas as pd
import pytest

import chromatell as ctl
from chromatell import ChromatellError
from chromatell.io._tabix import write_bgzf, write_index


@pytest.fixture(scope="module")
def arc(tmp_path_factory):
    return ctl.datasets.tutorial("multiome", tmp_path_factory.mktemp("files") / "outs")


def _fragments(path) -> pd.DataFrame:
    names = ["chrom", "start", "end", "barcode", "count"]
    return pd.read_csv(path, sep="\t", comment="#", names=names)


def test_multiome_is_read_as_cell_ranger_s(arc):
    assert set(arc) == {
        "folder", "atac_fragments.tsv.gz", "atac_fragments.tsv.gz.tbi", "atac_peaks.bed",
        "filtered_feature_bc_matrix.h5", "true_cell_types.csv",
    }  # fmt: skip
    mdata = ctl.datasets.multiome_10x(arc["folder"])
    assert (mdata.mod["rna"].shape, mdata.mod["atac"].shape) == ((800, 600), (800, 1500))
    truth = pd.read_csv(arc["true_cell_types.csv"], index_col="barcode")
    assert truth.index.tolist() == mdata.obs_names.tolist()
    peaks = pd.read_csv(arc["atac_peaks.bed"], sep="\t", comment="#", header=None)
    assert (peaks.to_numpy() == mdata.mod["atac"].var[["chrom", "start", "end"]].to_numpy()).all()

    scanpy = pytest.importorskip("scanpy")
    whole = scanpy.read_10x_h5(arc["filtered_feature_bc_matrix.h5"], gex_only=False)
    assert whole.var["feature_types"].value_counts().to_dict() == {"Peaks": 1500, "Gene Expression": 600}
    assert (whole[:, :600].X != mdata.mod["rna"].X).nnz == 0


def test_fragments_fall_into_the_peaks_that_were_counted(arc):
    mdata = ctl.datasets.multiome_10x(arc["folder"])
    found = _fragments(arc["atac_fragments.tsv.gz"])
    assert found[["chrom", "start", "end"]].equals(
        found.sort_values(["chrom", "start", "end"])[["chrom", "start", "end"]]
    )
    middle = (found["start"] + found["end"]) // 2
    atac = mdata.mod["atac"]
    counts = np.zeros(atac.shape)
    cell = atac.obs_names.get_indexer(found["barcode"])
    for c in atac.var["chrom"].unique():
        of = np.flatnonzero(atac.var["chrom"] == c)
        here = (found["chrom"] == c).to_numpy()
        at = np.searchsorted(atac.var["start"].to_numpy()[of], middle[here], side="right") - 1
        inside = (at >= 0) & (middle[here] < atac.var["end"].to_numpy()[of][np.maximum(at, 0)])
        np.add.at(counts, (cell[here][inside], of[at[inside]]), 1)
    exact = counts == atac.X.toarray()
    assert exact.mean() > 0.995  # a middle is rounded, and some of the background falls into peaks
    assert 0.1 < 1 - atac.X.sum() / len(found) < 0.2


def test_the_index_finds_what_is_in_a_interval(tmp_path):
    """The index is read as its format says, without the code that wrote it."""
    rng = np.random.default_rng(0)
    start = np.sort(rng.integers(0, 3_000_000, 20_000))
    end = start + rng.integers(1, 40_000, start.size)
    texts = [f"chr1\t{s}\t{e}\n".encode() for s, e in zip(start, end, strict=True)]
    text = b"# head\n" + b"".join(texts)
    lines = 7 + np.concatenate([[0], np.cumsum([len(t) for t in texts])])
    path = tmp_path / "x.bed.gz"
    write_index(tmp_path / "x.tbi", write_bgzf(path, text), lines, ["chr1"], np.zeros(start.size, int), start, end)
    assert gzip.decompress(path.read_bytes()) == text

    raw = gzip.decompress((tmp_path / "x.tbi").read_bytes())
    assert raw[:4] == b"TBI\x01"
    n_bins = struct.unpack_from("<i", raw, 41)[0]
    at, chunks = 45, {}
    for _ in range(n_bins):
        number, n = struct.unpack_from("<Ii", raw, at)
        chunks[number] = [struct.unpack_from("<QQ", raw, at + 8 + 16 * i) for i in range(n)]
        at += 8 + 16 * n
    linear = np.frombuffer(raw, "<u8", struct.unpack_from("<i", raw, at)[0], at + 4)
    packed = path.read_bytes()

    def read(first: int, last: int) -> bytes:
        out, block, offset = b"", first >> 16, first & 0xFFFF
        while block < last >> 16 or (block == last >> 16 and offset < last & 0xFFFF):
            size = struct.unpack_from("<H", packed, block + 16)[0] + 1
            piece = gzip.decompress(packed[block : block + size])
            until = last & 0xFFFF if block == last >> 16 else len(piece)
            out, block, offset = out + piece[offset:until], block + size, 0
        return out

    for low, high in ((0, 1000), (1_000_000, 1_000_500), (2_900_000, 3_200_000), (500_000, 1_700_000)):
        bins = {0} | {
            o + i
            for s, o in ((26, 1), (23, 9), (20, 73), (17, 585), (14, 4681))
            for i in range(low >> s, ((high - 1) >> s) + 1)
        }
        floor = int(linear[low >> 14])
        taken = b"".join(read(a, b) for n in bins & set(chunks) for a, b in chunks[n] if b > floor)
        got = sorted(tuple(map(int, line.split(b"\t")[1:])) for line in taken.splitlines())
        got = [(s, e) for s, e in got if s < high and e > low]
        assert got == sorted((s, e) for s, e in zip(start, end, strict=True) if s < high and e > low)


def test_fragments_are_the_counts_of_the_packaged_cells(tmp_path):
    files = ctl.datasets.tutorial("fragments", tmp_path / "blood")
    example = ctl.datasets.pbmc_example()
    found = _fragments(files["fragments.tsv.gz"])
    per_cell = found["barcode"].value_counts().reindex(example.obs_names, fill_value=0).to_numpy()
    np.testing.assert_array_equal(per_cell, np.asarray(example.mod["atac"].X.sum(axis=1)).ravel())
    inside = ctl.pp.bin_genome(files["fragments.tsv.gz"], bins=example.mod["atac"], barcodes=example.obs_names)
    assert (inside.X != example.mod["atac"].X).nnz == 0


def test_nascent_marks_stand_where_reads_start(tmp_path):
    pytest.importorskip("pybigtools")
    files = ctl.datasets.tutorial("nascent", tmp_path / "run_on")
    names = ["plus", "minus", "H3K4me3", "H3K27me3"]
    tracks = ctl.pp.bin_tracks({n: files[f"k562_like/{n}.bw"] for n in names})
    assert tracks.chrom_sizes == {"chr1": 24_000_000}
    plus, minus, active, silent = (tracks.values("chr1", n)[0] for n in names)
    sense = np.convolve(np.abs(plus) + np.abs(minus), np.ones(41), "same")
    assert np.corrcoef(sense, np.convolve(active, np.ones(41), "same"))[0, 1] > 0.4
    assert abs(np.corrcoef(sense, silent)[0, 1]) < 0.1
    again = ctl.datasets.tutorial("nascent", tmp_path / "again")
    one, two = "k562_like/H3K4me3.bw", "other_protocol/plus.bw"
    assert again[one].read_bytes() == files[one].read_bytes()
    assert again[two].read_bytes() == files[two].read_bytes()


def test_a_folder_is_taken_as_it_is_or_not_touched(arc, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in arc["folder"].iterdir()}
    assert ctl.datasets.tutorial("multiome", arc["folder"]) == arc
    assert {path: path.stat().st_mtime_ns for path in arc["folder"].iterdir()} == before
    with pytest.raises(ChromatellError, match="does not hold the tutorial 'fragments'"):
        ctl.datasets.tutorial("fragments", arc["folder"])
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(ChromatellError, match="Name another folder"):
        ctl.datasets.tutorial("multiome", tmp_path / "mine")
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["notes.txt"]
    with pytest.raises(ChromatellError, match="'fragments', 'nascent'"):
        ctl.datasets.tutorial("other")
