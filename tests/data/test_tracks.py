"""BinnedTracks: what it holds, shares, refuses, and shows as an AnnData."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from tests.data.made_tracks import BINS, SIZES, same

import chromatell as ctl
from chromatell.data.tracks import as_tracks


def test_values_are_those_given_by_name_role_and_bins(tracks, values):
    np.testing.assert_array_equal(tracks.values("chr1"), values["chr1"])
    np.testing.assert_array_equal(tracks.values("chr2", ["me3", "plus"]), values["chr2"][[2, 0]])
    np.testing.assert_array_equal(tracks.values("chr1", role="input", bins=slice(3, 7)), values["chr1"][:2, 3:7])
    np.testing.assert_array_equal(tracks.values("chr1", "minus", bins=slice(-2, None)), values["chr1"][1:2, -2:])
    assert np.shares_memory(tracks.values("chr1", role="input"), values["chr1"])
    assert tracks.n_bins == 29
    assert tracks.names_of(strand="-") == ["minus"]
    assert tracks.names_of(assay="H3K4me3", role="target") == ["me3"]


def test_integers_become_float32_and_names_alone_are_targets():
    tracks = ctl.data.BinnedTracks({"chr1": np.arange(4).reshape(1, 4)}, ["a"], chrom_sizes={"chr1": 160, "chr9": 5})
    assert tracks.values("chr1").dtype == np.float32
    assert tracks.table.loc["a"].to_dict() == {
        "assay": "a", "strand": ".", "role": "target", "sample": "", "stat": "", "sigma": 0.0
    }  # fmt: skip
    assert tracks.chroms == ["chr1"]


def test_repr_tells_what_is_there(tracks):
    tracks.masks = {c: np.zeros(n, dtype=np.uint8) for c, n in BINS.items()}
    tracks.masks["chr2"][:] = 2
    tracks.splits = {c: np.zeros(n, dtype=np.int8) for c, n in BINS.items()}
    assert repr(tracks).split("\n") == [
        "BinnedTracks: 4 tracks x 29 bins of 50 bp, 2 chromosomes, in memory",
        "    inputs: plus, minus",
        "    targets: me3",
        "    predictions: me3_pred",
        "    masked: 9 bins (31.0%)",
        "    split: 20 train, 0 val, 0 test bins that are usable",
    ]
    hg19 = ctl.data.BinnedTracks(
        {"chr21": np.zeros((1, 49))}, ["a"], bin_size=1_000_000, chrom_sizes={"chr21": 48129895}
    )
    assert "1 chromosome of hg19" in repr(hg19)


def test_regions_are_located_in_bins_that_touch_them(tracks):
    assert tracks.locate("chr1:60-160") == ("chr1", slice(1, 4))
    assert tracks.locate("chr1:100-150") == ("chr1", slice(2, 3))
    assert tracks.locate("chr2:1-430") == ("chr2", slice(0, 9))
    assert tracks.locate("chr2") == ("chr2", slice(0, 9))


@pytest.mark.parametrize(
    ("region", "cure"),
    [
        ("chr1", None),
        ("chr1:5", "does not parse"),
        ("21-22", "does not parse"),
        ("chr3:1-5", "no chromosome 'chr3'; there: 'chr1', 'chr2'"),
        ("chr1:500-400", "must begin before it ends"),
        ("chr1:900-1,001", "beyond the end of chr1, at 1,000"),
        (7, "text is needed"),
    ],
)
def test_regions_that_are_none_say_so(tracks, region, cure):
    if cure is None:
        assert tracks.locate(region)[1] == slice(0, 20)
        return
    with pytest.raises(ctl.ChromatellError, match=cure):
        tracks.locate(region)


@pytest.mark.parametrize(
    ("change", "cure"),
    [
        ({"table": ["a", "a", "b", "c"]}, "names that are printable and differ; found 'a'"),
        ({"table": ["a", "b"]}, r"shape \(4, 20\); 2 tracks x 20 bins"),
        ({"table": "a"}, "must be a list of names"),
        (
            {"table": pd.DataFrame({"name": list("abcd"), "role": "output"})},
            "'role' of the table of tracks holds 'output'",
        ),
        ({"table": pd.DataFrame({"name": list("abcd"), "strand": "plus"})}, "'strand' of the table"),
        ({"chrom_sizes": {"chr1": 1000}}, "chrom_sizes lacks 'chr2'"),
        ({"chrom_sizes": {"chr1": 1000, "chr2": 460}}, r"values\['chr2'\] has shape \(4, 9\); 4 tracks x 10 bins"),
        ({"chrom_sizes": {"chr1": 1000, "chr2": 0}}, "is not the length of a chromosome"),
        ({"bin_size": 0}, "bin_size=0 is out of range"),
        ({"bin_size": 50.0}, "a whole number"),
        ({"values": {}}, "dict of chromosome to array"),
        ({"values": {"chr1": np.full((4, 20), "x"), "chr2": np.zeros((4, 9))}}, "not numbers"),
        ({"values": {"chr1": [[1.0], [1.0, 2.0]], "chr2": []}}, r"tracks of '1', '2' bins; 4 tracks x 20 bins"),
    ],
)
def test_what_does_not_fit_is_refused(values, table, change, cure):
    given = {"values": values, "table": table, "chrom_sizes": SIZES, **change}
    with pytest.raises(ctl.ChromatellError, match=cure):
        ctl.data.BinnedTracks(given.pop("values"), given.pop("table"), **given)


@pytest.mark.parametrize(
    ("call", "cure"),
    [
        (lambda t: t.values("chr9"), "No chromosome 'chr9'"),
        (lambda t: t.values("chr1", ["no"]), r"no track 'no'; there: plus \(input\)"),
        (lambda t: t.values("chr1", ["plus", "plus"]), "more than once"),
        (lambda t: t.select("plus").values("chr1", role="target"), "no track of role 'target'"),
        (lambda t: t.values("chr1", layer="raw"), "No layer 'raw'"),
        (lambda t: t.values("chr1", bins=slice(0, 9, 2)), "step of 1"),
        (lambda t: t.usable("chr1", "training"), "split='training' is not known"),
        (lambda t: as_tracks("tracks.zarr"), "BinnedTracks.open"),
    ],
)
def test_what_is_not_there_says_what_is(tracks, call, cure):
    with pytest.raises(ctl.ChromatellError, match=cure):
        call(tracks)


def test_usable_bins_follow_mask_and_split(tracks):
    assert tracks.usable("chr1", "train").all()
    assert not tracks.usable("chr1", "test").any()
    tracks.masks = {"chr1": np.array([4] * 5 + [0] * 15, dtype=np.uint8)}
    tracks.splits = {"chr1": np.array([0] * 8 + [-1] * 4 + [2] * 8, dtype=np.int8)}
    assert np.flatnonzero(tracks.usable("chr1", "train")).tolist() == [5, 6, 7]
    assert np.flatnonzero(tracks.usable("chr1", "test")).tolist() == list(range(12, 20))
    assert tracks.usable("chr1").sum() == 15


# selecting, adding, joining


def test_a_selection_shares_memory_and_a_copy_does_not(tracks, values):
    part = tracks.select(["me3", "plus"], chroms="chr2")
    assert (part.names, part.chroms) == (["me3", "plus"], ["chr2"])
    assert np.shares_memory(part.values("chr2", "plus"), values["chr2"])
    copied = tracks.copy()
    assert not np.shares_memory(copied.values("chr1"), values["chr1"])
    same(copied, tracks)
    values["chr1"][:] = 0
    assert tracks.values("chr1").max() == 0
    assert copied.values("chr1").max() > 0
    assert tracks.select(role="input").names == ["plus", "minus"]


def test_predictions_are_added_and_unknown_chromosomes_are_nan(tracks):
    new = np.full((1, 20), 0.5)
    tracks.add({"chr1": new}, pd.DataFrame({"name": ["p"], "role": ["prediction"], "assay": ["H3K4me3"]}))
    assert tracks.names_of(role="prediction") == ["me3_pred", "p"]
    np.testing.assert_array_equal(tracks.values("chr1", ["plus", "p"])[1], new[0])
    assert np.isnan(tracks.values("chr2", "p")).all()
    with pytest.raises(ctl.ChromatellError, match="Tracks 'p' are there"):
        tracks.add({"chr1": new}, ["p"])
    tracks.add({"chr1": new * 2, "chr2": np.ones((1, 9))}, ["p"], overwrite=True)
    assert (tracks.names.count("p"), float(tracks.values("chr1", "p").max())) == (1, 1.0)
    with pytest.raises(ctl.ChromatellError, match="must hold chromosomes of these tracks"):
        tracks.add({"chr7": new}, ["q"])
    with pytest.raises(ctl.ChromatellError, match="1 tracks x 20 bins"):
        tracks.add({"chr1": new[:, :5]}, ["q"])
    tracks.drop(["p", "plus"])
    assert tracks.names == ["minus", "me3", "me3_pred"]


def test_replaced_values_stay_in_a_layer_the_oldest_of_them(tracks, values):
    old = {c: v.copy() for c, v in values.items()}
    for factor in (2, 3):
        tracks.replace({c: v[2:3] * factor for c, v in old.items()}, ["me3"])
    np.testing.assert_array_equal(tracks.values("chr1", "me3"), old["chr1"][2:3] * 3)
    np.testing.assert_array_equal(tracks.values("chr1", layer="raw"), old["chr1"])
    assert tracks.layers == {"raw": ["me3"]}
    tracks.replace({c: v[:1] * 0 for c, v in old.items()}, ["plus"], keep=None)
    assert tracks.layers == {"raw": ["me3"]}
    assert tracks.values("chr1", "plus", layer="raw").max() == 0
    tracks.drop("me3")
    assert tracks.layers == {}


def test_samples_are_joined_under_their_names(tracks, values):
    joined = ctl.data.concat_tracks([tracks, tracks.select(["plus"], chroms="chr1")], samples=["one", "two"])
    assert joined.names == ["one:plus", "one:minus", "one:me3", "one:me3_pred", "two:plus"]
    assert joined.table["sample"].tolist() == ["one"] * 4 + ["two"]
    np.testing.assert_array_equal(joined.values("chr1", "two:plus"), values["chr1"][:1])
    assert np.isnan(joined.values("chr2", "two:plus")).all()


def test_chromosomes_are_joined_where_names_agree(tracks, values):
    tracks.replace({c: v[2:3] * 2 for c, v in values.items()}, ["me3"])
    tracks.masks = {c: np.arange(n).astype(np.uint8) % 3 for c, n in BINS.items()}
    tracks.splits = {c: np.arange(n).astype(np.int8) % 3 for c, n in BINS.items()}
    parts = [tracks.select(chroms=c) for c in SIZES]
    same(ctl.data.concat_tracks(parts), tracks)
    assert list(ctl.data.concat_tracks(parts[::-1]).chrom_sizes) == ["chr2", "chr1"]


def test_masks_add_up_and_a_bin_keeps_a_part_that_all_agree_on(tracks):
    one, two = tracks.select(["plus"]), tracks.select(["minus"])
    one.masks = {c: np.ones(n, dtype=np.uint8) for c, n in BINS.items()}
    two.masks = {c: np.full(n, 4, dtype=np.uint8) for c, n in BINS.items()}
    one.splits = {c: np.zeros(n, dtype=np.int8) for c, n in BINS.items()}
    two.splits = {c: np.arange(n).astype(np.int8) % 2 for c, n in BINS.items()}
    joined = ctl.data.concat_tracks([one, two])
    assert joined.masks["chr1"].tolist() == [5] * 20
    assert joined.splits["chr2"].tolist() == [0, -1, 0, -1, 0, -1, 0, -1, 0]


def one(names, sizes, **kwargs):
    bins = {c: -(-n // kwargs.get("bin_size", 50)) for c, n in sizes.items()}
    return ctl.data.BinnedTracks({c: np.zeros((1, n)) for c, n in bins.items()}, names, chrom_sizes=sizes, **kwargs)


@pytest.mark.parametrize(
    ("make", "cure"),
    [
        (lambda t: [t, t], "in two of the parts, on 'chr1', 'chr2'"),
        (lambda t: [t, one(["x"], SIZES, bin_size=100)], "50, 100"),
        (lambda t: [t, one(["x"], {"chr1": 200})], "1,000 bp in one part and 200 in another"),
        (lambda t: [t.select(chroms="chr1"), one(["plus"], {"chr2": 430})], "otherwise in 'assay', 'strand', 'role'"),
        (lambda t: [], "at least one"),
    ],
)
def test_parts_that_do_not_join(tracks, make, cure):
    with pytest.raises(ctl.ChromatellError, match=cure):
        ctl.data.concat_tracks(make(tracks))


def test_names_of_samples_must_differ(tracks):
    with pytest.raises(ctl.ChromatellError, match="must name each of the 2 parts"):
        ctl.data.concat_tracks([tracks, tracks], samples=["a", "a"])


def test_an_interval_is_an_anndata_and_comes_back(full, tmp_path):
    adata = full.to_anndata("chr1:110-400")
    np.testing.assert_array_equal(adata.X, full.values("chr1")[:, 2:8])
    np.testing.assert_array_equal(adata.layers["raw"], full.values("chr1", layer="raw")[:, 2:8])
    assert adata.var_names[0] == "chr1:100-150"
    assert adata.var.loc["chr1:100-150", ["chrom", "start", "end", "ctl_mask"]].tolist() == ["chr1", 100, 150, 2]
    assert [str(s) for s in adata.var["ctl_split"]] == ["val", "nan", "train", "val", "nan", "train"]
    adata.write_h5ad(tmp_path / "a.h5ad")
    back = ctl.data.BinnedTracks.from_anndata(ctl.io.read(tmp_path / "a.h5ad"))
    np.testing.assert_array_equal(back.values("chr1", bins=slice(2, 8)), adata.X)
    np.testing.assert_array_equal(back.values("chr1", bins=slice(2, 8), layer="raw"), adata.layers["raw"])
    assert back.chrom_sizes == {"chr1": 1000}
    assert back.masks["chr1"].tolist() == [8, 8, 2, 3, 4, 5, 6, 7] + [8] * 12
    np.testing.assert_array_equal(back.splits["chr1"][2:8], full.splits["chr1"][2:8])
    assert (back.splits["chr1"][8:] == -1).all()
    assert back.values("chr1", bins=slice(8, None)).max() == 0
    pd.testing.assert_frame_equal(back.table, full.table, check_dtype=False)


def test_a_whole_chromosome_needs_no_mask(tracks):
    back = as_tracks(tracks.to_anndata("chr2", role="input"))
    assert back.masks == {}
    np.testing.assert_array_equal(back.values("chr2"), tracks.values("chr2", role="input"))
    assert tracks.to_anndata("chr2").var["end"].iloc[-1] == 430


def test_anndata_that_is_no_interval_is_refused(tracks):
    with pytest.raises(ctl.ChromatellError, match="not an interval of tracks"):
        as_tracks(ad.AnnData(np.ones((2, 3), dtype=np.float32)))
    adata = tracks.to_anndata("chr1")
    with pytest.raises(ctl.ChromatellError, match="do not follow each other"):
        as_tracks(adata[:, [0, 2, 3]].copy())
    adata.uns["ctl"]["tracks"]["chrom_size"] = 100
    with pytest.raises(ctl.ChromatellError, match="do not follow each other"):
        as_tracks(adata)
