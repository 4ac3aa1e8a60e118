"""Tables in the `uns` of stored tracks: they come back as they were, and a stranger's are checked."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import chromatell as ctl
from chromatell.data._tracks_uns import pack_tables, unpack_tables

TABLE = pd.DataFrame(
    {
        "model": ["a", "b"],
        "is_baseline": [False, True],
        "value": [0.25, np.nan],
        "n": np.array([3, 4], dtype=np.int64),
    },
    index=pd.Index(["0", "1"], dtype=object),
).astype({"model": object})


def test_a_table_comes_back_from_a_store(tmp_path):
    tracks = ctl.data.BinnedTracks({"chr1": np.ones((1, 4))}, ["a"], chrom_sizes={"chr1": 200})
    tracks.uns = {"ctl": {"evaluation": TABLE, "empty": TABLE[:0], "deep": {"value": 1}}}
    tracks.save(tmp_path / "t.zarr")
    back = ctl.data.BinnedTracks.open(tmp_path / "t.zarr").uns["ctl"]
    pd.testing.assert_frame_equal(back["evaluation"], TABLE, check_index_type=False)
    assert back["empty"].dtypes.tolist() == TABLE.dtypes.tolist()
    assert back["deep"] == {"value": 1}
    assert tracks.uns["ctl"]["evaluation"] is TABLE


def test_what_a_table_cannot_hold_is_said(tmp_path):
    tracks = ctl.data.BinnedTracks({"chr1": np.ones((1, 4))}, ["a"], chrom_sizes={"chr1": 200})
    for wrong in ([1, "a"], [None, "a"], [np.inf, 1.0]):
        tracks.uns = {"table": pd.DataFrame({"x": wrong})}
        with pytest.raises(ctl.ChromatellError, match="cannot be stored"):
            tracks.save(tmp_path / "t.zarr")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "said",
    [
        3,
        [3],
        [["x", "object", ["a"]], ["y", "int64", [1, 2]]],
        [["x", "object", [1]]],
        [["x", "int64", [True]]],
        [["x", "int64", [None]]],
        [["x", "complex", [1]]],
        [["x", ["int64"], [1]]],
        [[1, "int64", [1]]],
        [["x", "int64", {"0": 1}]],
    ],
)
def test_what_only_looks_like_a_table_is_refused(said):
    with pytest.raises(ctl.ChromatellError, match="not as it is written"):
        unpack_tables({"a": {"chromatell-table": said}})


def test_what_holds_no_table_stays_as_it_is():
    said = {"a": [1, {"b": None}], "c": "text"}
    assert unpack_tables(pack_tables(said)) == said
