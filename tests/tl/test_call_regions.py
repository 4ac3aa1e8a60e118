"""`tl.call_regions`: regions by hand, the threshold against its definition, and the BED file."""

from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import chromatell as ctl
from chromatell.genome.bed import read_bed
from chromatell.tl._call_regions import _threshold, call_regions

N = 12_000


def observed():
    """Values by hand: two runs 100 bp apart, a short one, one behind a mask, one at the end."""
    values = np.zeros((1, 101), dtype=np.float32)
    for first, last, height in ((10, 14, 2), (16, 20, 4), (40, 42, 9), (60, 66, 3), (96, 101, 5)):
        values[0, first:last] = height
    tracks = ctl.data.BinnedTracks(
        {"chr2": values, "chr10": values[:, :50]}, ["me3"], chrom_sizes={"chr2": 5020, "chr10": 2500}
    )
    tracks.masks = {"chr2": np.zeros(101, dtype=np.uint8), "chr10": np.ones(50, dtype=np.uint8)}
    tracks.masks["chr2"][63] = 1
    return tracks


def test_regions_are_merged_measured_and_named():
    table = ctl.tl.call_regions(observed(), "me3", threshold=1, sigma=0, gap=100, min_length=150)
    assert table.values.tolist() == [
        ["chr2", 500, 1000, "me3_1", 4.0, pytest.approx((4 * 2 + 4 * 4) / 10)],
        ["chr2", 3000, 3300, "me3_2", 3.0, 3.0],
        ["chr2", 4800, 5020, "me3_3", 5.0, 5.0],
    ]
    assert table.attrs["threshold"] == 1
    assert table.dtypes[["start", "end"]].tolist() == [np.int64, np.int64]
    apart = ctl.tl.call_regions(observed(), "me3", threshold=1, sigma=0, gap=0, min_length=0)
    assert apart["start"].tolist() == [500, 800, 2000, 3000, 3200, 4800]


def test_smoothing_is_over_usable_bins():
    tracks = observed()
    tracks.replace({c: np.full((1, n), 7.0) for c, n in (("chr2", 101), ("chr10", 50))}, ["me3"])
    assert call_regions(tracks, "me3", threshold=6.999, sigma=5, gap=50)["score"].tolist() == pytest.approx([7.0])


def test_the_bed_is_sorted_and_its_scores_are_whole_up_to_1000(tmp_path):
    tracks = observed()
    tracks.masks = {}
    ctl.tl.call_regions(tracks, "me3", threshold=1, sigma=0, gap=100, path=tmp_path / "peaks.bed")
    bed = pd.read_csv(tmp_path / "peaks.bed", sep="\t", header=None)
    assert bed[0].tolist() == ["chr10", "chr2", "chr2", "chr2"]
    assert bed[1].tolist() == [500, 500, 3000, 4800]
    assert bed[4].tolist() == [800, 800, 600, 1000]
    assert set(bed[5]) == {"."}
    with pytest.raises(ctl.ChromatellError, match="overwrite=True"):
        call_regions(tracks, "me3", threshold=1, path=tmp_path / "peaks.bed")
    none = call_regions(tracks, "me3", threshold=99, path=tmp_path / "peaks.bed", overwrite=True)
    assert len(none) == 0
    assert (tmp_path / "peaks.bed").read_text() == ""


def test_a_bed_whose_name_says_so_is_packed_as_bgzip_does(tmp_path):
    tracks = observed()
    call = {"threshold": 1, "sigma": 0, "gap": 100}
    ctl.tl.call_regions(tracks, "me3", **call, path=tmp_path / "peaks.bed")
    ctl.tl.call_regions(tracks, "me3", **call, path=tmp_path / "peaks.bed.gz")
    raw = (tmp_path / "peaks.bed.gz").read_bytes()
    assert gzip.decompress(raw) == (tmp_path / "peaks.bed").read_bytes()
    assert raw[:4] == b"\x1f\x8b\x08\x04"
    assert raw[12:14] == b"BC"  # the extra field by which tabix knows BGZF
    assert read_bed(tmp_path / "peaks.bed.gz")["start"].tolist() == [500, 3000, 4800]
    with pytest.raises(ctl.ChromatellError, match="overwrite=True"):
        call_regions(tracks, "me3", **call, path=tmp_path / "peaks.bed.gz")
    call_regions(tracks, "me3", threshold=99, path=tmp_path / "peaks.bed.gz", overwrite=True)
    assert gzip.decompress((tmp_path / "peaks.bed.gz").read_bytes()) == b""
    cells = gzip.compress(b"\x93NUMPY\x00")
    (tmp_path / "other.gz").write_bytes(cells)
    with pytest.raises(ctl.ChromatellError, match="is not text"):
        call_regions(tracks, "me3", threshold=1, path=tmp_path / "other.gz", overwrite=True)
    assert (tmp_path / "other.gz").read_bytes() == cells


@pytest.mark.parametrize("end", [".bz2", ".xz", ".zip", ".ZST"])
def test_a_compression_that_is_not_written_is_refused(tmp_path, end):
    """Plain text stood under such a name, which bunzip2 and pandas refuse to read."""
    with pytest.raises(ctl.ChromatellError, match=rf"not as \{end}. Take path='.*peaks.bed.gz'"):
        call_regions(observed(), "me3", threshold=1, path=tmp_path / f"peaks.bed{end}")
    assert list(tmp_path.iterdir()) == []


def test_the_threshold_is_the_lowest_with_few_enough_shuffled_bins(rng):
    values, chance = (
        rng.gamma(1, 2, 4000).round(1).astype(np.float32),
        rng.gamma(1, 1, 6000).round(1).astype(np.float32),
    )
    cut = _threshold({"chr1": np.append(values, np.nan)}, [chance[:2000], chance[2000:]], 0.1, 3)
    rate = {c: (1 + (chance >= c).sum()) / 3 / (values >= c).sum() for c in np.unique(values)}
    assert cut == min(c for c, r in rate.items() if r <= 0.1)
    with pytest.warns(ctl._validate.ChromatellWarning, match="nothing is called"):
        assert _threshold({"chr1": values}, [values], 0.0, 1) > values.max()


def planted(seed=0):
    """A mark where signal is dense over an interval of 2 kb, among signal that is scattered in bins."""
    rng = np.random.default_rng(seed)
    rate = np.where(rng.random(N) < 0.05, 6.0, 0.05)
    dense = np.zeros(N, dtype=bool)
    for start in range(100, N - 100, 300):
        dense[start : start + 40] = True
    rate[dense] = 3.0
    values = np.stack([rng.poisson(rate), rng.poisson(rate), dense * 10.0, rng.random(N)]).astype(np.float32)
    table = pd.DataFrame(
        {
            "name": ["plus", "minus", "mark", "noise"],
            "assay": ["PRO", "PRO", "H3K4me3", "noise"],
            "strand": ["+", "-", ".", "."],
            "role": ["input", "input", "target", "target"],
        }
    )
    return ctl.data.BinnedTracks({"chr1": values}, table, chrom_sizes={"chr1": 50 * N})


@pytest.fixture(scope="module")
def trained():
    tracks = planted()
    ctl.tl.nascent(tracks, window=41, train_kwargs={"max_epochs": 15}, seed=0)
    return tracks


def test_planted_regions_are_called_and_little_else(trained):
    table = call_regions(trained, "mark_nascent", shuffle=250, seed=0)
    starts = np.arange(100, N - 100, 300) * 50
    truth = trained.values("chr1", "mark")[0] > 0
    hits = [truth[a // 50 : b // 50].mean() for a, b in zip(table["start"], table["end"], strict=True)]
    assert abs(len(table) - len(starts)) <= 8
    assert np.mean(np.array(hits) > 0.5) > 0.8
    pd.testing.assert_frame_equal(table, call_regions(trained, "mark_nascent", shuffle=250, seed=0))


def test_a_mark_that_cannot_be_predicted_has_few_calls(trained):
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ctl._validate.ChromatellWarning)  # where there are none at all
        table = call_regions(trained, "noise_nascent", n_shuffles=2, seed=0)
    assert (table["end"] - table["start"]).sum() < 0.02 * 50 * N


def test_the_model_may_lie_elsewhere(trained):
    other = ctl.tl.predict(planted(1), model=trained)
    with pytest.raises(ctl.ChromatellError, match="not predicted by a model that these tracks carry"):
        call_regions(other, "mark_nascent")
    found = call_regions(other, "mark_nascent", model=trained, shuffle=250, regions="chr1", seed=0)
    assert len(found) > 30


def test_a_model_of_cells_is_told(trained):
    cells = ctl.datasets.simulate_multiome(60, 10, 20, seed=0)
    ctl.pp.split_cells(cells, seed=0)
    ctl.tl.dense(cells, train_kwargs={"max_epochs": 1}, seed=0)
    with pytest.raises(ctl.ChromatellError, match="of family 'dense', which reads cells, not tracks. Give"):
        call_regions(trained, "mark_nascent", model=cells)


@pytest.mark.parametrize(
    "options",
    [{"threshold": 0.5, "shuffle": 500}, {"threshold": 0.5, "seed": 1}, {"threshold": 0.5, "fdr": 0.01}]
    + [{"threshold": 0.5, "model": "a.zarr"}],
)
def test_what_a_given_threshold_would_not_read_is_refused(trained, options):
    with pytest.raises(ctl.ChromatellError, match=rf"^{list(options)[1]}=.* would be read by nothing"):
        call_regions(trained, "mark_nascent", **options)


def with_sites():
    """A track of 40 humps of falling height on two chromosomes; sites are the upper 20, and 2 more."""
    heights = np.linspace(9, 1, 40)
    values = {c: np.zeros((1, 2000), dtype=np.float32) for c in ("chr1", "chr2")}
    at = np.arange(40) * 90 + 100  # both chromosomes one after the other
    at = np.random.default_rng(0).permutation(at)
    places = [("chr1", a) if a < 1900 else ("chr2", a - 1900) for a in at]
    for (chrom, a), height in zip(places, heights, strict=True):
        values[chrom][0, a : a + 6] = height
    known = [f"{c.removeprefix('chr')}:{a * 50 + 60}-{a * 50 + 80}" for c, a in [*places[:20], places[25], places[30]]]
    sizes = dict.fromkeys(values, 100_000)
    return ctl.data.BinnedTracks(values, ["x"], chrom_sizes=sizes), known, heights


@pytest.mark.parametrize("fdr", [0.06, 0.15, 0.5])
def test_the_calibrated_threshold_finds_most_with_few_enough_wrong_regions(fdr):
    tracks, known, heights = with_sites()
    right = np.isin(np.arange(40), [*range(20), 25, 30])
    share = (1 + np.cumsum(~right)) / np.arange(1, 41)  # one wrong region more is counted
    n_right = np.where(share <= fdr, np.cumsum(right), 0)
    wanted = int(np.argmax(n_right)) + 1  # so many of the highest: the first with as many that are right
    table = call_regions(tracks, "x", calibrate=known, fdr=fdr, sigma=0)
    assert len(table) == wanted
    assert heights[wanted] < table.attrs["threshold"] <= heights[wanted - 1] + 1e-6
    found = {"sites": 22, "called": wanted, "precision": right[:wanted].mean(), "recall": right[:wanted].sum() / 22}
    said = table.attrs["calibration"]
    assert {k: said[k] for k in found} == pytest.approx(found)
    # Clopper and Pearson: with the lower end as many or more would be right in 2.5% of draws, with the upper as few
    n_right = right[:wanted].sum()
    assert stats.binom.sf(n_right - 1, wanted, said["precision_low"]) == pytest.approx(0.025)
    if n_right < wanted:
        assert stats.binom.cdf(n_right, wanted, said["precision_high"]) == pytest.approx(0.025)
    else:
        assert said["precision_high"] == 1


def test_too_few_calls_for_one_more_wrong_are_said():
    tracks, known, _ = with_sites()
    with pytest.raises(ctl.ChromatellError, match="so 50 calls are the fewest"):
        call_regions(tracks, "x", calibrate=known, fdr=0.02, sigma=0)
    with pytest.raises(ctl.ChromatellError, match="which 0 does not allow"):
        call_regions(tracks, "x", calibrate=known, fdr=0, sigma=0)


@pytest.mark.filterwarnings("ignore:Of the:chromatell.ChromatellWarning")
def test_precision_by_chance_is_that_of_regions_put_everywhere(rng):
    values = np.zeros((1, 3000), dtype=np.float32)
    for first, length in zip(range(50, 2900, 140), rng.integers(4, 20, 21), strict=False):
        values[0, first : first + length] = 1 + rng.random()
    tracks = ctl.data.BinnedTracks({"1": values}, ["x"], chrom_sizes={"1": 150_000})
    tracks.masks = {"1": (rng.random(3000) < 0.2).astype(np.uint8)}
    sites = np.sort(rng.integers(0, 2900, 40))
    known = [f"1:{50 * b}-{50 * (b + w)}" for b, w in zip(sites, rng.integers(1, 30, 40), strict=True)]
    with pytest.warns(ctl.ChromatellWarning, match="this precision says nothing of the track"):
        table = call_regions(tracks, "x", calibrate=known, fdr=0.9, sigma=0, min_length=0, gap=0)
    usable, there = tracks.usable("1"), np.zeros(3001, dtype=bool)
    for place in known:
        a, b = (int(x) // 50 for x in place.removeprefix("1:").split("-"))
        if usable[a:b].any():
            there[a:b] = True
    lengths = (table["end"] - table["start"]).to_numpy() // 50
    share = [np.mean([there[b : b + n].any() for b in np.flatnonzero(usable)]) for n in lengths]
    assert table.attrs["calibration"]["chance"] == pytest.approx(np.mean(share))


def test_a_precision_that_chance_gives_is_warned_of():
    tracks, _, _ = with_sites()
    dense = [f"{c}:{b}-{b + 50}" for c in (1, 2) for b in range(0, 99_000, 300)]
    with pytest.warns(ctl.ChromatellWarning, match="this precision says nothing of the track"):
        table = call_regions(tracks, "x", calibrate=dense, fdr=0.15, sigma=0)
    assert table.attrs["calibration"]["chance"] == pytest.approx(1, abs=0.02)


def test_the_threshold_may_come_from_other_tracks_that_count_together():
    tracks, known, heights = with_sites()
    higher = tracks.copy()  # another sample in which all is twice as high, but for three sites that are gone
    values = {c: np.where(higher.values(c) > heights[3] + 0.01, 0, 2 * higher.values(c)) for c in higher.chroms}
    higher.replace(values, ["x"], keep=None)
    query = ctl.data.BinnedTracks({"7": tracks.values("chr1")}, ["x"], chrom_sizes={"7": 100_000})
    options = {"calibrate": known, "fdr": 0.15, "sigma": 0}
    one = call_regions(tracks, "x", **options)
    assert call_regions(query, "x", calibrate_on=tracks, **options).attrs == one.attrs
    both = call_regions(query, "x", calibrate_on=[tracks, higher], **options)
    right = np.isin(np.arange(40), [*range(20), 25, 30])
    order = np.concatenate([heights, np.where(np.arange(40) < 3, 0, 2 * heights)])
    at = np.argsort(-order, kind="stable")
    share = (1 + np.cumsum(~np.tile(right, 2)[at])) / np.arange(1, 81)
    n = int(np.argmax(np.where(share <= 0.15, np.cumsum(np.tile(right, 2)[at]), 0))) + 1
    assert both.attrs["calibration"]["called"] == n
    assert order[at[n]] < both.attrs["threshold"] <= order[at[n - 1]] + 1e-5
    with pytest.raises(ctl.ChromatellError, match="Give them too, calibrate="):
        call_regions(query, "x", calibrate_on=tracks)


def test_one_region_that_holds_all_sites_is_no_calibration():
    """Most bins tie at the lowest value, where the whole chromosome is one region: right, and of no use.

    The track is highest at 12 places without a site, then equal at 12 sites: at no height are few of the regions wrong
    but at the lowest.
    """
    values = np.zeros(4000, dtype=np.float32)
    sites, wrong = np.arange(100, 3700, 300), np.arange(250, 3850, 300)
    values[wrong], values[sites] = 2, 1
    tracks = ctl.data.BinnedTracks({"1": values[None]}, ["x"], chrom_sizes={"1": 200_000})
    known = [f"1:{50 * b}-{50 * b + 50}" for b in sites]
    with pytest.raises(ctl.ChromatellError, match="At no height do at most 10%"):
        call_regions(tracks, "x", calibrate=known, fdr=0.1, sigma=0, min_length=50, gap=0)
    half = call_regions(tracks, "x", calibrate=known, fdr=0.6, sigma=0, min_length=50, gap=0)  # 12 and one of 24
    found = {"sites": 12, "called": 24, "precision": 0.5, "recall": 1.0}
    assert {k: half.attrs["calibration"][k] for k in found} == found


def domains(sites_each):
    """100 domains of 4 kb, each with so many sites and none elsewhere; noise ten times lower than they are."""
    x = np.random.default_rng(0).normal(0, 0.1, 40_000)
    first = np.arange(100, 39_900, 400)
    for f in first:
        x[f : f + 80] += 5
    known = [f"chr1:{50 * (f + k)}-{50 * (f + k) + 50}" for f in first for k in (5, 20, 40, 60, 75)[:sites_each]]
    return ctl.data.BinnedTracks({"chr1": x[None].astype("f4")}, ["x"], chrom_sizes={"chr1": 2_000_000}), known


def test_of_thresholds_with_as_many_right_regions_that_with_fewer_wrong_is_taken():
    tracks, known = domains(2)
    about = call_regions(tracks, "x", calibrate=known, fdr=0.1).attrs["calibration"]
    assert (about["called"], about["precision"], about["recall"]) == (100, 1, 1)


def test_regions_that_hold_many_sites_each_are_said_to_and_joined_sites_are_taken():
    tracks, known = domains(5)
    with pytest.raises(ctl.ChromatellError, match="others hold more than 2 each on average.* join the sites that lie"):
        call_regions(tracks, "x", calibrate=known, fdr=0.1)
    first, last = (n.split(":")[1].split("-") for n in (known[0], known[4]))
    assert int(last[1]) - int(first[0]) < 4000
    joined = [f"{a.rsplit('-', 1)[0]}-{b.rsplit('-', 1)[1]}" for a, b in zip(known[::5], known[4::5], strict=True)]
    about = call_regions(tracks, "x", calibrate=joined, fdr=0.1).attrs["calibration"]
    assert about["precision"] > 0.9
    assert about["recall"] == 1


def test_calibration_looks_at_validation_bins_alone():
    tracks, known, _ = with_sites()
    tracks.splits = {"chr1": np.ones(2000, dtype=np.uint8), "chr2": np.zeros(2000, dtype=np.uint8)}
    table = call_regions(tracks, "x", calibrate=known, fdr=0.15, sigma=0)
    of_first = call_regions(tracks, "x", calibrate=[k for k in known if k.startswith("1:")], fdr=0.15, sigma=0)
    assert table.attrs == of_first.attrs
    assert set(table["chrom"]) == {"chr1", "chr2"}
    tracks.splits["chr1"][:] = 0
    with pytest.raises(ctl.ChromatellError, match="0 of the 22 sites lie in usable bins"):
        call_regions(tracks, "x", calibrate=known)
    with pytest.raises(ctl.ChromatellError, match="Leave one of the two out"):
        call_regions(tracks, "x", calibrate=known, threshold=1)


@pytest.mark.parametrize(
    ("options", "cure"),
    [
        ({"name": "no"}, "There is no track 'no'"),
        ({"name": "mark"}, "Give the model, model="),
        ({"fdr": 2}, "fdr=2 is out of range"),
        ({"sigma": -1}, "sigma=-1 is out of range"),
        ({"gap": -1}, "gap=-1 is out of range"),
        ({"shuffle": 10}, "shuffle=10 is out of range"),
        ({"n_shuffles": 0}, "n_shuffles=0"),
        ({"threshold": "high"}, "threshold='high'"),
        ({"regions": "chr7"}, "No chromosome 'chr7'"),
    ],
)
def test_what_cannot_be_called(trained, options, cure):
    given = {"name": "mark_nascent", **options}
    with pytest.raises(ctl.ChromatellError, match=cure):
        call_regions(trained, given.pop("name"), **given)
