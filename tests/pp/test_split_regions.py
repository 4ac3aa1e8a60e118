import json

import mudata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData
from scipy.sparse.csgraph import connected_components

import chromatell as ctl
from chromatell import ChromatellError
from chromatell.pp._split_regions import connected


def regions(chrom, start, end):
    names = [f"r{i}" for i in range(len(chrom))]
    var = pd.DataFrame({"chrom": chrom, "start": start, "end": end}, index=names)
    return AnnData(sp.csr_matrix((2, len(names)), dtype=np.float32), var=var)


def crowded(n=400, length=60_000, seed=0):
    """Regions of many widths on three chromosomes, many of which overlap."""
    draw = np.random.default_rng(seed)
    start = draw.integers(0, length, n)
    return regions(draw.choice(["chr1", "2", "chr10"], n), start, start + draw.integers(20, 400, n))


def parts(data, key="ctl_split"):
    return data.var[key].astype(str).to_numpy()


def sizes(data):
    return data.var["ctl_split"].value_counts().reindex(["train", "val", "test"]).tolist()


def near(var, width, gap):
    """Whether two regions must not be parted, pair by pair: windows or regions overlap, touch, or are `gap` apart."""
    chrom, start, end = (var[c].to_numpy() for c in ("chrom", "start", "end"))
    mid = (start + end) // 2
    low, high = (
        (np.minimum(start, mid - width // 2), np.maximum(end, mid - width // 2 + width)) if width else (start, end)
    )
    apart = np.maximum(low[:, None] - high[None, :], low[None, :] - high[:, None])
    return (chrom[:, None] == chrom[None, :]) & (apart <= gap)


@pytest.mark.parametrize(("width", "gap"), [(None, 0), (1, 0), (100, 0), (101, 7), (None, 25), (600, 0)])
def test_near_windows_stay_together(width, gap):
    data = crowded()
    ctl.pp.split_regions(data, by="random", width=width, gap=gap, seed=1)
    together = near(data.var, width or 0, gap)
    part = parts(data)
    assert not (together & (part[:, None] != part[None, :])).any()
    n_groups, label = connected_components(sp.csr_matrix(together))
    assert data.uns["ctl"]["region_split"]["n_groups"] == n_groups
    groups = connected(data.var, data.var["chrom"].to_numpy(), width or 0, gap)
    assert len(set(zip(groups, label, strict=True))) == n_groups == groups.max() + 1
    assert set(part) == {"train", "val", "test"}


def test_groups_by_hand():
    #        0-10  8-20  20-30  31-40  | other chromosome | a long one that reaches over a short one to a third
    data = regions(
        ["chr1"] * 4 + ["chr2"] + ["chr3"] * 3, [0, 8, 20, 31, 5, 100, 120, 180], [10, 20, 30, 40, 15, 200, 130, 220]
    )
    chrom = data.var["chrom"].to_numpy()
    assert connected(data.var, chrom, 0, 0).tolist() == [0, 0, 0, 1, 2, 3, 3, 3]
    assert connected(data.var, chrom, 0, 1).tolist() == [0, 0, 0, 0, 1, 2, 2, 2]
    assert connected(data.var, chrom, 12, 0).tolist() == [0, 0, 0, 0, 1, 2, 2, 2]  # 19-31 and 29-41
    assert connected(data.var, chrom, 2, 0).tolist() == [0, 0, 0, 1, 2, 3, 3, 3]  # never less than the region
    shuffled = data.var.iloc[::-1]
    assert connected(shuffled, shuffled["chrom"].to_numpy(), 0, 0).tolist()[::-1] == [2, 2, 2, 3, 1, 0, 0, 0]


def test_the_window_is_that_of_the_tokens():
    data = crowded()
    data.varm["dna_code"] = np.zeros((400, 500), dtype=np.int8)
    ctl.pp.split_regions(data, by="random", seed=0)
    assert data.uns["ctl"]["region_split"]["width"] == 500
    part = parts(data)
    assert not (near(data.var, 500, 0) & (part[:, None] != part[None, :])).any()
    ctl.pp.split_regions(data, by="random", seed=0, width=1)
    assert data.uns["ctl"]["region_split"]["width"] == 1


def test_random_sizes():
    data = regions(["chr1"] * 3000, np.arange(3000) * 1000, np.arange(3000) * 1000 + 500)
    for fractions, wanted in [((0.8, 0.1, 0.1), [2400, 300, 300]), ((0.7, 0, 0.3), [2100, 0, 900])]:
        ctl.pp.split_regions(data, by="random", fractions=fractions)
        assert sizes(data) == wanted


def test_a_large_group_does_not_upset_the_sizes():
    start = np.concatenate([np.arange(2000) * 1000, 10_000_000 + np.arange(900) * 100])
    data = regions(["chr1"] * 2900, start, start + 500)
    for seed in range(5):
        ctl.pp.split_regions(data, by="random", seed=seed)
        np.testing.assert_allclose(np.array(sizes(data)) / 2900, [0.8, 0.1, 0.1], atol=0.01)
        assert len(set(parts(data)[2000:])) == 1


def test_whole_chromosomes():
    draw = np.random.default_rng(0)
    names = [f"chr{i}" for i in range(1, 23)] + ["3", "7"]  # 3 is chr3
    start = draw.integers(0, 10**6, 5000)
    data = regions(draw.choice(names, 5000), start, start + 500)
    seen = set()
    for seed in range(6):
        ctl.pp.split_regions(data, seed=seed)
        style = np.where(data.var["chrom"].str.startswith("chr"), data.var["chrom"], "chr" + data.var["chrom"])
        table = pd.crosstab(style, data.var["ctl_split"])
        assert len(table) == 22
        assert ((table > 0).sum(axis=1) == 1).all()
        np.testing.assert_allclose(np.array(sizes(data)) / 5000, [0.8, 0.1, 0.1], atol=0.03)
        seen.add(tuple(parts(data)))
    assert len(seen) > 4
    how = data.uns["ctl"]["region_split"]
    assert (how["by"], how["seed"], how["n_groups"], how["holdout"]) == ("chromosome", 5, 22, "")


def test_three_chromosomes_make_three_parts():
    data = crowded()
    ctl.pp.split_regions(data)
    assert sorted(pd.crosstab(data.var["chrom"], data.var["ctl_split"]).idxmax(axis=1)) == ["test", "train", "val"]


def test_named_chromosomes():
    data = crowded()
    ctl.pp.split_regions(data, holdout={"test": ["chr2"], "val": "10"}, seed=0)
    wanted = data.var["chrom"].map({"chr1": "train", "2": "test", "chr10": "val"})
    assert (parts(data) == wanted).all()
    how = data.uns["ctl"]["region_split"]
    assert json.loads(how["holdout"]) == {"test": ["chr2"], "val": ["chr10"]}


@pytest.mark.parametrize("holdout", ["chr2", ["2"], {"test": "chr2"}])
def test_a_part_that_is_not_named_is_drawn_from_the_others(holdout):
    data = crowded(2000, 10**7)
    ctl.pp.split_regions(data, by="random", holdout=holdout, seed=0)
    assert ((parts(data) == "test") == (data.var["chrom"] == "2")).all()
    others = parts(data)[data.var["chrom"] != "2"]
    np.testing.assert_allclose((others == "val").mean(), 0.1 / 0.9, atol=0.003)
    ctl.pp.split_regions(data, holdout=holdout, seed=0)
    table = pd.crosstab(data.var["chrom"], data.var["ctl_split"])
    assert ((table > 0).sum(axis=1) == 1).all()
    assert sorted(table.loc[["chr1", "chr10"]].idxmax(axis=1)) == ["train", "val"]


def test_only_val_is_named():
    data = crowded()
    ctl.pp.split_regions(data, holdout={"val": ["chr1"]}, fractions=(0.5, 0, 0.5), seed=3)
    table = pd.crosstab(data.var["chrom"], data.var["ctl_split"])
    assert table.loc["chr1", "val"] == (data.var["chrom"] == "chr1").sum()
    assert sorted(table.loc[["2", "chr10"]].idxmax(axis=1)) == ["test", "train"]


def test_same_seed_same_split(monkeypatch):
    data = crowded()
    splits = []
    for seed in (1, 1, 2):
        ctl.pp.split_regions(data, by="random", seed=seed)
        splits.append(parts(data).tolist())
    assert splits[0] == splits[1] != splits[2]
    monkeypatch.setattr(ctl.settings, "seed", 1)
    ctl.pp.split_regions(data, by="random")
    assert parts(data).tolist() == splits[0]


def test_the_order_of_regions_does_not_matter_to_what_is_near():
    data = crowded()
    ctl.pp.split_regions(data[:, ::-1].copy(), by="random")
    back = ctl.pp.split_regions(data[:, ::-1].copy(), by="random", copy=True)
    part = parts(back)
    assert not (near(back.var, 0, 0) & (part[:, None] != part[None, :])).any()


def test_mudata_record_and_copy(mdata, fields):
    before = fields(mdata)
    new = ctl.pp.split_regions(mdata, seed=5, key_added="fold_1", copy=True)
    assert fields(mdata) == before
    assert list(new.mod["atac"].var["fold_1"].cat.categories) == ["train", "val", "test"]
    assert new.uns["ctl"]["fold_1"]["seed"] == 5
    assert "region_split" not in new.uns["ctl"]
    assert ctl.pp.split_regions(mdata, by="random", gap=100, seed=5) is None
    after = fields(mdata)
    names = ("by", "holdout", "seed", "fractions", "width", "gap", "n_groups")
    assert set(after) - set(before) == {"atac:var/ctl_split", *(f"uns/ctl/region_split/{k}" for k in names)}
    assert {k: after[k] for k in before} == before
    assert mdata.uns["ctl"]["region_split"]["gap"] == 100


def test_round_trip(mdata, tmp_path):
    ctl.pp.split_regions(mdata, holdout={"test": ["chr2"]})
    mdata.write(tmp_path / "x.h5mu")
    mdata.write_zarr(tmp_path / "x.zarr")
    for back in (mudata.read_h5mu(tmp_path / "x.h5mu"), mudata.read_zarr(tmp_path / "x.zarr")):
        atac = back.mod["atac"]
        assert atac.var["ctl_split"].tolist() == mdata.mod["atac"].var["ctl_split"].tolist()
        assert list(atac.var["ctl_split"].cat.categories) == ["train", "val", "test"]
        assert json.loads(back.uns["ctl"]["region_split"]["holdout"]) == {"test": ["chr2"]}
        np.testing.assert_array_equal(back.uns["ctl"]["region_split"]["fractions"], [0.8, 0.1, 0.1])


def test_the_package_reads_it(mdata):
    from chromatell._validate import region_split_of

    ctl.pp.split_regions(mdata, holdout={"test": ["chr2"], "val": ["chr4"]})
    split = region_split_of(mdata.mod["atac"])
    assert ((split == "test") == (mdata.mod["atac"].var["chrom"] == "chr2")).all()


@pytest.mark.parametrize(
    ("name", "smallest"), [("pbmc10k_51genes", 0.08), ("snare_mouse_cortex", 0.08), ("bmmc_500cells", 0.08)]
)
def test_real_data(data_dir, name, smallest):
    atac = mudata.read_h5mu(data_dir / "multiome" / f"{name}.h5mu").mod["atac"]
    ctl.pp.split_regions(atac, by="random", width=1344, seed=0)
    table = ctl.genome.region_table(atac)
    order = np.lexsort((table["start"], table["chrom"]))
    low = ((table["start"] + table["end"]) // 2 - 672).to_numpy()[order]
    chrom, part = table["chrom"].to_numpy()[order], parts(atac)[order]
    follows = (chrom[1:] == chrom[:-1]) & (np.diff(low) <= 1344)
    assert follows.any()
    assert (part[1:][follows] == part[:-1][follows]).all()
    assert min(sizes(atac)[1:]) / atac.n_vars > smallest
    ctl.pp.split_regions(atac, seed=0)
    assert (atac.var.groupby(table["chrom"])["ctl_split"].nunique() == 1).all()


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"by": "cell_type"}, r"by='cell_type' is not known; choose one of \['chromosome', 'random'\]"),
        ({"fractions": (0.7, 0.2, 0.2)}, "sum to 1; they sum to 1.1. Try"),
        ({"fractions": (1.1, -0.1, 0.0)}, "must not be negative"),
        ({"fractions": (0.5, 0.5)}, "three numbers"),
        ({"fractions": (0, 0.5, 0.5)}, "no region to train on"),
        ({"holdout": {"test": ["chr9"]}}, "no region lies on 'chr9'; chromosomes there: 'chr1', 'chr10', 'chr2'"),
        ({"holdout": {"train": ["chr1"]}}, "holdout has the keys 'train'; 'val' and 'test' are known"),
        ({"holdout": {"test": "chr1", "val": "1"}}, "'chr1' in both val and test; leave each in one"),
        ({"holdout": ["chr1", "chr2", "chr10"]}, "holds out all 400 regions; none is left"),
        ({"holdout": []}, "names no chromosome. Leave it out"),
        ({"holdout": ["chr1", "chr2"]}, r"lie in 1 chromosomes, for 2 parts \(train, val\).*by='random'"),
        ({"by": "random", "gap": 10**6}, "lie in 2 groups of windows, for 3 parts .*narrower width"),
        ({"by": "random", "gap": -1}, "gap=-1 is out of range: a whole number from 0"),
        ({"by": "random", "gap": 2.5}, "gap=2.5 is out of range"),
        ({"gap": 10**6}, "gap=1000000 would be read by nothing: it is for by='random'"),
        ({"block": 5}, "block=5 would be read by nothing: it is for tracks"),
        ({"allow_leaky": True}, "allow_leaky=True would be read by nothing: it is for tracks"),
        ({"width": 0}, "width=0 is out of range: a whole number from 1"),
        ({"key_added": "a/b"}, "cannot be stored"),
    ],
)
def test_wrong_arguments_change_nothing(fields, arguments, match):
    data = crowded()
    if "gap" in arguments:
        data = data[:, data.var["chrom"] != "2"].copy()
    before = fields(data)
    with pytest.raises(ChromatellError, match=match):
        ctl.pp.split_regions(data, **arguments)
    assert fields(data) == before


def test_too_few_chromosomes_name_the_cure():
    data = crowded()
    data = data[:, data.var["chrom"] != "2"].copy()
    with pytest.raises(
        ChromatellError,
        match=r"2 chromosomes, for 3 parts .*Set a fraction to 0, or use .*split_regions\(mdata, by='random'\)",
    ):
        ctl.pp.split_regions(data)
    ctl.pp.split_regions(data, fractions=(0.5, 0, 0.5))
    ctl.pp.split_regions(data, by="random")


def test_wrong_objects(mdata):
    with pytest.raises(ChromatellError, match="Expected a MuData .* got DataFrame"):
        ctl.pp.split_regions(mdata.obs)
    with pytest.raises(ChromatellError, match="have no coordinates"):
        ctl.pp.split_regions(AnnData(np.zeros((2, 3)), var=pd.DataFrame(index=["a", "b", "c"])))
    mdata.uns["ctl"] = "text"
    with pytest.raises(ChromatellError, match="is not a dict"):
        ctl.pp.split_regions(mdata)
