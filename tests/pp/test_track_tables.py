"""What tracks are made of: assays of two strands, samples, a part of a chromosome, headers that are wrong."""

from __future__ import annotations

import re
import struct

import numpy as np
import pandas as pd
import pytest

import chromatell as ctl
from chromatell import ChromatellError
from chromatell.data._tracks_table import track_table
from chromatell.models.nascent._bins import other_strands
from chromatell.models.nascent._signal import find_inputs

SIZES = {"chr1": 1000, "chr2": 400}


@pytest.fixture
def write(tmp_path):
    def save(name, values, sizes=SIZES):
        values = {c: np.asarray(v, dtype=np.float32)[np.newaxis] for c, v in values.items()}
        tracks = ctl.data.BinnedTracks(values, [name], chrom_sizes={c: sizes[c] for c in values})
        return ctl.io.bigwig.write(tracks, tmp_path / f"{name}.bw")[name]

    return save


def signal(seed, low=0):
    rng = np.random.default_rng(seed)
    return {c: rng.integers(low, 9, n // 50) + 1.0 for c, n in SIZES.items()}


def assays(names, **columns):
    table = pd.DataFrame({"name": names, **columns})
    return track_table(table)["assay"].tolist()


def test_two_strands_are_of_one_assay(write):
    files = {"plus": write("a", signal(0)), "minus": write("b", signal(1)), "H3K4me3": write("c", signal(2))}
    table = ctl.pp.bin_tracks(files).table
    assert table["assay"].tolist() == ["signal", "signal", "H3K4me3"]
    inputs = table[table["role"] == "input"][["assay", "strand"]].to_dict("records")
    assert other_strands(inputs) == ([1, 0], True)  # so that strand_flip is on, and both have one mean


@pytest.mark.parametrize(
    ("names", "strands", "wanted"),
    [
        (["K562_plus", "K562_minus"], "+-", ["K562", "K562"]),
        (["plus.K562", "K562 rev"], "+-", ["K562", "K562"]),
        (["A_fwd", "A_rev", "B_fwd", "B_rev"], "+-+-", ["A", "A", "B", "B"]),
        (["x", "y"], "+-", ["signal", "signal"]),
        (["plus", "H3K27ac"], "+.", ["plus", "H3K27ac"]),
        (["x", "y", "z"], "++-", ["x", "y", "z"]),
        (["surplus", "x"], "..", ["surplus", "x"]),
    ],
)
def test_assays_by_what_names_share(names, strands, wanted):
    assert assays(names, strand=list(strands)) == wanted


@pytest.mark.parametrize(
    ("name", "sample", "wanted"),
    [
        ("K562_H3K4me3", "K562", "H3K4me3"),
        ("H3K4me3.k562", "K562", "H3K4me3"),
        ("PRO_K562_rep1", "K562", "PRO_rep1"),
        ("H3K4me3", "K", "H3K4me3"),  # no word of its own
        ("H3K4me3", "", "H3K4me3"),
        ("T-47D (2) H3K4me3", "T-47D (2)", "H3K4me3"),
        ("K562", "K562", "signal"),
    ],
)
def test_a_sample_that_is_told_is_no_part_of_the_assay(name, sample, wanted):
    assert assays([name], sample=[sample]) == [wanted]
    assert assays([name], sample=[sample], assay=["mark"]) == ["mark"]


def test_strands_of_several_samples_are_of_one_assay():
    names = ["K562_plus", "K562_minus", "PRO_GM_fwd", "PRO_GM_rev"]
    found = assays(names, strand=list("+-+-"), sample=["K562", "K562", "GM", "GM"])
    assert found == ["signal", "signal", "PRO", "PRO"]


def test_an_assay_that_is_given_stays():
    assert assays(["plus", "minus"], strand=["+", "-"], assay=["PRO", "CAP"]) == ["PRO", "CAP"]
    assert assays(["plus", "minus", "x"], strand=["+", "-", "."], assay=[None, "", "me3"]) == [
        "signal",
        "signal",
        "me3",
    ]


def test_four_files_of_two_samples_and_the_line_that_tells_them(write):
    names = ["A_plus", "A_minus", "B_plus", "B_minus"]
    tracks = ctl.pp.bin_tracks({n: write(n, signal(i)) for i, n in enumerate(names)})
    wanted = [{"assay": "signal", "strand": "+"}, {"assay": "signal", "strand": "-"}]
    with pytest.raises(ChromatellError, match="are not to be told") as caught:
        find_inputs(tracks, ["plus", "minus"], wanted)
    cure = re.search(r"tracks\.select\(.*?\)", str(caught.value))[0]
    assert find_inputs(eval(cure, {"tracks": tracks}), ["plus", "minus"], wanted) == ["A_plus", "A_minus"]
    tracks.table["sample"] = ["A", "A", "B", "B"]
    with pytest.raises(ChromatellError, match=r"tracks\.select\(sample='A'\)"):
        find_inputs(tracks, ["plus", "minus"], wanted)
    assert find_inputs(tracks.select(sample="B"), ["plus", "minus"], wanted) == ["B_plus", "B_minus"]


def test_a_table_without_names_says_so():
    tracks = ctl.data.BinnedTracks({"chr1": np.ones((1, 20))}, ["s"], chrom_sizes=SIZES)
    with pytest.raises(ChromatellError, match=r"columns 'role' and no names. Give it some: table\['name'\]"):
        tracks.add({"chr1": np.ones((1, 20))}, pd.DataFrame({"role": ["prediction"]}))
    assert tracks.names == ["s"]
    tracks.add({"chr1": np.ones((1, 20))}, pd.DataFrame({"name": ["p"], "role": ["prediction"]}))
    assert tracks.names == ["s", "p"]


@pytest.mark.parametrize("stored", [False, True])
def test_a_part_of_a_chromosome(write, tmp_path, stored):
    values = signal(0)
    path = write("s", values)
    out = tmp_path / "t.zarr" if stored else None
    tracks = ctl.pp.bin_tracks({"s": path}, chroms=["1:220-500", "chr2"], out=out)
    wanted = np.where((np.arange(20) >= 4) & (np.arange(20) < 10), values["chr1"], 0)
    np.testing.assert_array_equal(tracks.values("chr1")[0], wanted)
    np.testing.assert_array_equal(tracks.values("chr2")[0], values["chr2"])
    assert tracks.masks["chr1"].tolist() == [8] * 4 + [0] * 6 + [8] * 10
    ctl.pp.mask_bins(tracks, blacklist=["chr1:450-451"], all_zero=None)
    assert np.flatnonzero(tracks.usable("chr1", None)).tolist() == [4, 5, 6, 7, 8]
    with pytest.raises(ChromatellError, match="goes beyond the end of chr1"):
        ctl.pp.bin_tracks({"s": path}, chroms="chr1:220-50,000")


def set_header_maximum(path, value):
    """Write the largest value of the header's summary, as pyBigWig has it wrong."""
    raw = bytearray(path.read_bytes())
    at = struct.unpack("<Q", raw[44:52])[0]  # of the summary: basesCovered, min, max, sum, sum of squares
    raw[at + 16 : at + 24] = struct.pack("<d", value)
    path.write_bytes(raw)
    return path


TINY = 2.2250738585072014e-308  # where libBigWig begins


def test_a_wrong_maximum_in_the_header_decides_nothing(write):
    minus = signal(1)
    plus = write("plus", signal(0))
    mixed = {c: -v for c, v in minus.items()}
    mixed["chr1"][0] = 0.5
    path = set_header_maximum(write("minus", mixed), TINY)
    with pytest.raises(ChromatellError, match=r"holds values of both signs or below 0 \(-9 to 0.5\)"):
        ctl.pp.bin_tracks({"plus": plus, "minus": path})
    negative = set_header_maximum(write("minus2", {c: -v for c, v in minus.items()}), 7.0)
    tracks = ctl.pp.bin_tracks({"plus": plus, "minus": negative})
    np.testing.assert_array_equal(tracks.values("chr1", ["minus"])[0], minus["chr1"])
    falling = set_header_maximum(write("t", {"chr1": np.arange(20, 0, -1.0)}), TINY)
    assert ctl.pp.bin_tracks({"me3": falling}).values("chr1").max() == 20
