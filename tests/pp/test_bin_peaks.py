"""`pp.bin_tracks` of lists of peaks: shares against bases counted one by one, and lists that cannot be targets."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

import chromatell as ctl

SIZES = {"chr1": 1010, "chr2": 500}
PEAKS = [("chr1", 30, 110), ("chr1", 100, 200), ("chr1", 1000, 1010), ("chr2", 0, 25), ("chrUn", 5, 9)]


def bed(path, rows):
    text = "".join("\t".join(map(str, row)) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def shares(rows, chrom, bin_size=50):
    covered = np.zeros(SIZES[chrom])
    for c, start, end, *_ in rows:
        if c == chrom:
            covered[start:end] = 1
    return [covered[i : i + bin_size].mean() for i in range(0, SIZES[chrom], bin_size)]


@pytest.mark.parametrize("name", ["peaks.bed", "peaks.bed.gz", "PEAKS.narrowPeak", "peaks.broadPeak.gz"])
def test_a_bin_holds_the_share_that_is_covered(tmp_path, name):
    path = bed(tmp_path / name, PEAKS)
    tracks = ctl.pp.bin_tracks({"H3K27ac": path}, chrom_sizes=SIZES, stat="sum", missing="nan")
    assert tracks.table.loc["H3K27ac", ["role", "stat", "assay"]].tolist() == ["target", "share", "H3K27ac"]
    for chrom in SIZES:
        np.testing.assert_allclose(tracks.values(chrom)[0], shares(PEAKS, chrom), rtol=1e-6)
    assert tracks.chroms == ["chr1", "chr2"]


def test_peaks_lie_on_the_chromosomes_of_the_signal_in_any_style(tmp_path):
    pytest.importorskip("pybigtools")
    rng = np.random.default_rng(0)
    values = {c: [rng.poisson(1, -(-n // 50))] for c, n in SIZES.items()}
    signal = ctl.data.BinnedTracks(values, ["s"], chrom_sizes=SIZES)
    files = ctl.io.bigwig.write(signal, tmp_path / "bw")
    path = bed(tmp_path / "peaks.bed", [("1", *p[1:]) for p in PEAKS if p[0] == "chr1"] + [("2", 0, 25)])
    tracks = ctl.pp.bin_tracks(
        {"signal": {"path": files["s"], "role": "input"}, "mark": path}, out=tmp_path / "tracks.zarr"
    )
    np.testing.assert_allclose(tracks.values("chr1", "mark")[0], shares(PEAKS, "chr1"), rtol=1e-6)
    part = ctl.pp.bin_tracks({"signal": {"path": files["s"], "role": "input"}, "mark": path}, chroms="chr1:100-200")
    np.testing.assert_allclose(part.values("chr1", "mark")[0], [0, 0, 1, 1, *[0] * 17])
    with pytest.warns(ctl.ChromatellWarning, match="lack some chromosomes"):
        lone = ctl.pp.bin_tracks(
            {"signal": {"path": files["s"], "role": "input"}, "mark": bed(tmp_path / "one.bed", PEAKS[:2])}
        )
    assert lone.chroms == ["chr1"]


def test_wide_peaks_are_cut_around_their_summit_or_their_middle(tmp_path):
    rest = ("a", 0, ".", 1.0, -1, -1)
    rows = [("chr1", 100, 600, *rest, 400), ("chr1", 700, 900, *rest, -1), ("chr2", 100, 300, *rest, 10)]
    tracks = ctl.pp.bin_tracks(
        {"m": bed(tmp_path / "p.narrowPeak", rows)}, chrom_sizes=SIZES, peak_width=100, bin_size=10
    )
    covered = {c: (np.flatnonzero(tracks.values(c)[0]) * 10).tolist() for c in SIZES}
    assert covered["chr1"] == [*range(450, 550, 10), *range(750, 850, 10)]
    assert covered["chr2"] == list(range(100, 200, 10))  # the summit is near the start: the peak's own bases alone
    assert tracks.uns["bin_tracks"]["peak_width"] == 100


@pytest.mark.parametrize(
    ("rows", "options", "said"),
    [
        (PEAKS, {}, "chrom_sizes='hg38'"),
        ([("chrX", 1, 5)], {"chrom_sizes": SIZES}, "none of its 1 peaks"),
        ([("chr1", 100 * i, 100 * i + 50) for i in range(40)], {"chrom_sizes": SIZES}, "off the end"),
        (PEAKS, {"chrom_sizes": SIZES, "role": "input"}, "learns and does not read"),
        (PEAKS, {"chrom_sizes": SIZES, "peak_width": 0}, "peak_width"),
    ],
)
def test_what_cannot_be_a_target_is_said(tmp_path, rows, options, said):
    options = dict(options)
    entry = {"path": bed(tmp_path / "peaks.bed", rows), "role": options.pop("role", "target")}
    with pytest.raises(ctl.ChromatellError, match=said):
        ctl.pp.bin_tracks({"mark": entry}, **options)


def test_a_model_learns_peaks(tmp_path):
    pytest.importorskip("xgboost")
    rng = np.random.default_rng(1)
    rate = np.repeat(rng.gamma(0.3, 3.0, 200), 20)
    sizes = {"chr1": 200_000}
    high = np.flatnonzero(rate > 2)
    path = bed(tmp_path / "peaks.bed", [("chr1", 50 * i, 50 * i + 50) for i in high])
    tracks = ctl.pp.bin_tracks({"mark": path}, chrom_sizes=sizes)
    tracks.add({"chr1": [rng.poisson(rate)]}, ["plus"])
    tracks.table.loc["plus", "role"] = "input"
    model = ctl.models.Nascent(tracks, architecture="xgboost", window=21, task="classification", min_child_weight=1)
    model.train(max_epochs=60, seed=0)
    found = model.predict(tracks).values("chr1")[0]
    assert found[rate > 2].mean() > 0.8
    assert found[rate <= 2].mean() < 0.1


def test_a_width_of_peaks_without_peaks_is_refused(tmp_path):
    signal = ctl.data.BinnedTracks({"chr1": np.ones((1, 21))}, ["me3"], chrom_sizes={"chr1": 1010})
    path = ctl.io.bigwig.write(signal, tmp_path / "me3.bw")["me3"]
    with pytest.raises(ctl.ChromatellError, match="peak_width=500 would be read by nothing: it is for lists of peaks"):
        ctl.pp.bin_tracks({"me3": path}, peak_width=500)
