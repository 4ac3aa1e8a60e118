"""`pp.split_regions` of tracks: chromosomes and blocks, gaps that no window spans, and leaks refused."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

import chromatell as ctl
from chromatell.models.nascent._bins import check_gap
from chromatell.models.nascent._sequence import MARGIN, SequenceStem

SIZES = {"chr1": 200_000, "chr2": 120_000, "chr3": 60_010, "chr4": 50_000}


@pytest.fixture
def tracks():
    values = {c: np.ones((1, -(-n // 50)), dtype=np.float32) for c, n in SIZES.items()}
    return ctl.data.BinnedTracks(values, ["me3"], chrom_sizes=SIZES)


def runs(code):
    """Value and length of each run of one code."""
    starts = np.flatnonzero(np.diff(code, prepend=-9))
    return list(zip(code[starts].tolist(), np.diff(np.append(starts, code.size)).tolist(), strict=True))


def test_whole_chromosomes_go_near_the_fractions(tracks):
    ctl.pp.split_regions(tracks, fractions=(0.5, 0.15, 0.35), seed=0)
    parts = {c: set(s.tolist()) for c, s in tracks.splits.items()}
    assert all(len(p) == 1 for p in parts.values())
    share = [sum((s == i).sum() for s in tracks.splits.values()) / tracks.n_bins for i in range(3)]
    assert share == pytest.approx([0.465, 0.14, 0.395], abs=0.08)
    assert tracks.splits["chr3"].dtype == np.int8
    assert tracks.splits["chr3"].size == 1201
    again = ctl.pp.split_regions(tracks, fractions=(0.5, 0.15, 0.35), seed=0, copy=True)
    assert {c: s.tolist() for c, s in again.splits.items()} == {c: s.tolist() for c, s in tracks.splits.items()}


def test_named_chromosomes_are_held_out(tracks):
    ctl.pp.split_regions(tracks, holdout={"test": ["2"], "val": "chr4"})
    assert {c: int(s[0]) for c, s in tracks.splits.items()} == {"chr1": 0, "chr2": 2, "chr3": 0, "chr4": 1}
    assert tracks.uns["region_split"]["holdout"] == '{"test": ["chr2"], "val": ["chr4"]}'


def test_blocks_alternate_with_a_gap_that_is_half_a_window_and_three_smoothing_widths(tracks):
    ctl.pp.smooth_tracks(tracks, sigma=4)
    ctl.pp.split_regions(tracks, by="blocks", fractions=(0.5, 0, 0.5), block=20_000, width=1050, seed=0)
    how = tracks.uns["region_split"]
    assert how["gap"] == 1050 // 2 + 3 * 4 * 50
    half = -(-how["gap"] // 100)
    found = runs(tracks.splits["chr1"])
    assert [code for code, _ in found if code >= 0] in ([0, 2] * 5, [2, 0] * 5)
    assert [n for code, n in found if code < 0] == [2 * half] * 9
    assert [n for code, n in found if code >= 0] == [400 - half] + [400 - 2 * half] * 8 + [400 - half]
    for code, other in ((0, 2), (2, 0)):  # no bin within the gap of one of the other part
        near = np.convolve(tracks.splits["chr1"] == other, np.ones(2 * (how["gap"] // 50) + 1), mode="same") > 0
        assert not (near & (tracks.splits["chr1"] == code)).any()


def test_the_gap_defaults_to_that_of_the_widest_window(tracks):
    ctl.pp.split_regions(tracks, by="blocks", fractions=(0.5, 0, 0.5), block=100_000, seed=0)
    assert tracks.uns["region_split"]["gap"] == 2561 * 50 // 2
    assert tracks.uns["region_split"]["width"] == 128_050


def test_blocks_are_shared_out_by_their_usable_bins_and_spread_along(tracks):
    tracks.masks = {c: np.zeros(tracks.n_bins_of(c), dtype=np.uint8) for c in SIZES}
    tracks.masks["chr1"][:2000] = 4
    ctl.pp.split_regions(tracks, by="blocks", fractions=(0.6, 0.2, 0.2), block=2000, gap=100, width=100, seed=3)
    counts = np.array([sum(int(tracks.usable(c, p).sum()) for c in SIZES) for p in ("train", "val", "test")])
    assert (counts / counts.sum()).tolist() == pytest.approx([0.6, 0.2, 0.2], abs=0.03)
    order = [code for code, _ in runs(tracks.splits["chr2"]) if code >= 0]
    assert max(np.diff(np.flatnonzero(np.array(order) == 2))) <= 5


def test_seeds_choose_which_part_comes_first(tracks):
    kwargs = {"by": "blocks", "fractions": (0.5, 0, 0.5), "block": 5000, "width": 50}
    first = {int(ctl.pp.split_regions(tracks, seed=s, copy=True, **kwargs).splits["chr1"][0]) for s in range(8)}
    assert first == {0, 2}


def test_an_anndata_of_an_interval_is_split(tracks):
    adata = tracks.to_anndata("chr1:0-100,000")
    assert ctl.pp.split_regions(adata, by="blocks", fractions=(0.5, 0, 0.5), block=20_000, width=50, seed=0) is None
    codes = adata.var["ctl_split"]
    assert set(codes.dropna()) == {"train", "test"}
    # half a window is 25 bp: one bin on each side of each of 4 borders
    assert int(codes.isna().sum()) == 8


def test_single_bins_are_shuffled_only_with_leave(tracks):
    with pytest.raises(ctl.ChromatellError, match="Use by='blocks'.*allow_leaky=True"):
        ctl.pp.split_regions(tracks, by="random")
    ctl.pp.split_regions(tracks, by="random", allow_leaky=True, seed=0)
    share = np.bincount(tracks.splits["chr1"], minlength=3) / 4000
    assert share.tolist() == pytest.approx([0.8, 0.1, 0.1], abs=0.03)
    assert tracks.uns["region_split"]["leaky"] is True


def test_a_gap_that_is_too_small_is_refused_without_leave(tracks):
    kwargs = {"by": "blocks", "block": 5000, "width": 1050, "gap": 500}
    with pytest.raises(ctl.ChromatellError, match=r"gap=500 bp lets .* at least 525 bp are needed"):
        ctl.pp.split_regions(tracks, **kwargs)
    ctl.pp.split_regions(tracks, allow_leaky=True, **kwargs)
    assert tracks.uns["region_split"]["leaky"] is True
    assert ctl.pp.split_regions(tracks, **{**kwargs, "gap": 525}, copy=True).uns["region_split"]["leaky"] is False


@pytest.mark.parametrize(
    ("kwargs", "cure"),
    [
        ({"by": "bins"}, "by='bins' is not known"),
        ({"fractions": (0.5, 0.5)}, "three numbers"),
        ({"by": "blocks", "block": 0}, "block=0 is out of range"),
        ({"by": "blocks", "block": 2000}, "No usable bin is left.*Take block=2000, width=2000 "),
        ({"key_added": "mine"}, "key_added='mine' is for regions"),
        ({"width": 0}, "width=0 is out of range: a whole number from 1"),
        ({"holdout": "chr9"}, "no region lies on 'chr9'"),
        ({"holdout": list(SIZES)}, "holds out every chromosome"),
    ],
)
def test_wrong_arguments(tracks, kwargs, cure):
    with pytest.raises(ctl.ChromatellError, match=cure):
        ctl.pp.split_regions(tracks, **kwargs)
    assert tracks.splits == {}


def test_one_chromosome_asks_for_blocks(tracks):
    with pytest.raises(ctl.ChromatellError, match="1 chromosomes to split into 3 parts .*by='blocks'"):
        ctl.pp.split_regions(tracks.select(chroms="chr1"))


def test_blocks_are_not_for_regions():
    mdata = ctl.datasets.simulate_multiome(20, 10, 40, seed=0)
    with pytest.raises(ctl.ChromatellError, match="by='blocks' is for tracks"):
        ctl.pp.split_regions(mdata, by="blocks")


def test_the_gap_covers_what_a_model_with_sequence_reads(rng, caplog):
    """How far a base changes a bin's features, base by base; the default gap, for blocks of islands too, is wider."""
    torch.manual_seed(0)
    stem = SequenceStem(4, 50)
    tokens = torch.from_numpy(rng.integers(0, 4, (1, (1 + 2 * MARGIN) * 50)).astype(np.int8))  # of one bin
    with torch.no_grad():
        before = stem(tokens)
        far = 0
        for at in range(0, MARGIN * 50):
            changed = [tokens.clone() for _ in range(2)]
            for shift, one in enumerate(changed):
                one[0, at] = (one[0, at] + shift + 1) % 4
            if any((stem(one) != before).any() for one in changed):
                far = MARGIN * 50 - at
                break
    assert 300 < far <= 7 * 50 + 7
    values = {"chr1": rng.random((1, 30_000))}
    tracks = ctl.data.BinnedTracks(values, ["mark"], chrom_sizes={"chr1": 1_500_000})
    islands = (np.arange(30_000) // 3000) % 2 == 1  # without sequence
    tracks.masks = {"chr1": np.where(islands, 2, 0).astype(np.uint8)}
    ctl.pp.split_regions(tracks, by="blocks", fractions=(0.5, 0, 0.5), block=150_000, seed=0)
    train, test = (np.flatnonzero(tracks.usable("chr1", part)) for part in ("train", "test"))
    apart = np.abs(train[:, None] - test[None, :]).min() * 50
    assert apart >= tracks.uns["region_split"]["gap"] == 64_025 > far
    with caplog.at_level("WARNING", logger="chromatell"):
        logging.getLogger("chromatell").propagate = True
        check_gap(tracks, 2561, MARGIN)
        assert "Blocks of the split" not in caplog.text
        ctl.pp.split_regions(tracks, by="blocks", fractions=(0.5, 0, 0.5), block=150_000, width=150, seed=0)
        check_gap(tracks, 3, 0)
        assert "Blocks of the split" not in caplog.text
        check_gap(tracks, 3, MARGIN)  # a narrow window of signal, but more of the sequence
        assert "75 bp apart, and the model reads 400 bp on each side" in caplog.text
        assert "width=850" in caplog.text
        logging.getLogger("chromatell").propagate = False
    ctl.pp.split_regions(tracks, by="blocks", fractions=(0.5, 0, 0.5), block=150_000, width=850, seed=0)
    assert tracks.uns["region_split"]["gap"] == 425


def test_the_sizes_that_are_printed_fit(tracks):
    ctl.pp.split_regions(tracks, by="blocks", block=2000, width=2000)
    assert all(any((of == part).any() for of in tracks.splits.values()) for part in range(3))
