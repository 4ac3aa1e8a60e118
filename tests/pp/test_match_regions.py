"""`pp.match_regions` against overlaps worked by hand, and a Dense that predicts other regions through it."""

from __future__ import annotations

import re

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import chromatell as ctl
from chromatell.genome.liftover import lift, read_chain
from chromatell.genome.overlaps import overlaps

TARGET = ["chr1:100-200", "chr1:200-300", "chr2:0-50", "chr2:40-100"]


def test_weights_are_shares_of_the_overlap():
    found = ctl.pp.match_regions(["chr1:150-250", "1:100-200", "chr2:30-50", "chr3:5-9", "chr1:290-400"], TARGET)
    wanted = np.zeros((5, 4))
    wanted[0, :2] = 0.5
    wanted[1, 0] = 1
    wanted[2, 2:] = [20 / 30, 10 / 30]
    np.testing.assert_allclose(found.weights.toarray(), wanted, rtol=1e-6)
    np.testing.assert_allclose(found.covered, [1, 1, 1, 0, 10 / 110])
    assert found.matched.tolist() == [True, True, True, False, False]
    assert found.share_regions == 0.6
    assert found.share_bases == pytest.approx((3 + 10 / 110) / 5)
    loose = ctl.pp.match_regions(["chr1:290-400"], TARGET, min_overlap=0.05)
    np.testing.assert_allclose(loose.weights.toarray(), [[0, 1, 0, 0]])


def test_overlaps_are_those_of_every_pair():
    rng = np.random.default_rng(0)

    def table(n, widest):
        start = rng.integers(0, 3000, n)
        chrom = rng.choice(["1", "chr2"], n)
        return pd.DataFrame({"chrom": chrom, "start": start, "end": start + rng.integers(1, widest, n)})

    a, b = table(80, 400), table(120, 60)
    b.loc[3, ["start", "end"]] = [0, 3500]  # one that holds many others
    b["chrom"] = b["chrom"].replace({"1": "chr1"})
    i, j, n = overlaps(a, b)
    same = a["chrom"].replace({"1": "chr1"}).to_numpy()[:, None] == b["chrom"].to_numpy()
    shared = np.minimum.outer(a["end"].to_numpy(), b["end"].to_numpy())
    shared -= np.maximum.outer(a["start"].to_numpy(), b["start"].to_numpy())
    wanted = np.argwhere(same & (shared > 0))
    np.testing.assert_array_equal(np.column_stack([i, j]), wanted)
    np.testing.assert_array_equal(n, shared[tuple(wanted.T)])


def peaks(n=60, by=0, width=500):
    start = 1000 + 4000 * np.arange(n) + 137 * (np.arange(n) % 7)
    return pd.DataFrame({"chrom": "chr1", "start": start + by, "end": start + by + width})


@pytest.mark.parametrize("by", [200, -30])
def test_shifted_peaks_are_found_out(by):
    with pytest.warns(ctl.ChromatellWarning, match=re.escape(f"are the target's, moved by {by:+} bp")):
        assert ctl.pp.match_regions(peaks(by=by), peaks()).shift == by
    with pytest.raises(ctl.ChromatellError, match=r"the target's moved by \+600 bp: mend the coordinates"):
        ctl.pp.match_regions(peaks(by=600), peaks())


def test_one_based_starts_are_named_and_other_peak_sets_are_not():
    wrong = peaks().assign(start=lambda t: t["start"] + 1)
    with pytest.warns(ctl.ChromatellWarning, match="Starts may be 1-based"):
        assert ctl.pp.match_regions(wrong, peaks()).shift == 1
    rng = np.random.default_rng(0)
    own = peaks()
    own["start"] += rng.integers(-100, 100, len(own))
    assert ctl.pp.match_regions(own, peaks()).shift == 0
    assert ctl.pp.match_regions(peaks().assign(start=lambda t: t["start"] - 200), peaks()).shift == 0


def test_every_kind_of_input_is_read(tmp_path):
    table = peaks(25)
    names = [f"{c}:{s}-{e}" for c, s, e in table.itertuples(index=False)]
    bed = tmp_path / "x.bed"
    table.to_csv(bed, sep="\t", header=False, index=False)
    atac = ad.AnnData(np.ones((1, 25), dtype=np.float32), var=pd.DataFrame(index=names))
    for query in (names, table, bed, str(bed), atac, pd.Index(names)):
        found = ctl.pp.match_regions(query, atac)
        assert list(found.query) == names
        assert (found.weights != np.eye(25)).sum() == 0
    assert "25 of 25 regions matched in 25, 100.0% of their bases" in repr(found)


CHAIN = """chain 100 chr1 10000 + 1000 1400 chrA 9000 + 5000 5390 1
100 20 10
280

chain 50 chr2 10000 + 0 200 chrB 1000 - 300 500 2
200
"""


def test_a_chain_lifts_regions(tmp_path):
    path = tmp_path / "a.chain"
    path.write_text(CHAIN)
    table = pd.DataFrame(
        {
            "chrom": ["chr1", "chr1", "chr1", "chr2", "chr3"],
            "start": [1010, 1130, 1050, 10, 5],
            "end": [1060, 1230, 1300, 40, 9],
        },
        index=list("abcde"),
    )
    found, lifted = lift(table, read_chain(path))
    assert lifted.tolist() == [True, True, True, True, False]
    # a lies in the first block; b in the second, which starts at 1120 and 5110; c spans both, 230 of its 250 bases
    assert found.loc["a"].tolist() == ["chrA", 5010, 5060]
    assert found.loc["b"].tolist() == ["chrA", 5120, 5220]
    assert found.loc["c"].tolist() == ["chrA", 5050, 5290]
    # on the other strand: base 0 of chr2 is base 300 of the - strand of chrB, 699 of the +
    assert found.loc["d"].tolist() == ["chrB", 1000 - 300 - 40, 1000 - 300 - 10]
    target = ["chrA:5000-5100", "chrA:5110-5390", "chrB:500-700"]
    mapped = ctl.pp.match_regions(table, target, chain=path)
    np.testing.assert_allclose(mapped.weights.toarray()[[0, 1, 3]], np.eye(3))
    assert mapped.lifted.tolist() == lifted.tolist()
    assert mapped.matched.tolist() == [True, True, True, True, False]
    for text in ("", "chr1\t1\t2\n", "chain 1 chr1 x\n1\n", CHAIN[:60]):
        path.write_text(text)
        with pytest.raises(ctl.ChromatellError, match="Needed: a UCSC chain file"):
            read_chain(path)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (["chr1:9000-9100"], "Only 0 of 1 regions.*Is it of another build"),
        (["chr9:100-200"], "no chromosome in common"),
        (["peak_1"], "1 of 1 regions of the query have no coordinates"),
        (["chr1:100-200", "chr1:100-200"], "more than once"),
        ([], "names no region"),
    ],
)
def test_what_does_not_match_is_refused(query, message):
    with pytest.raises(ctl.ChromatellError, match=message):
        ctl.pp.match_regions(query, TARGET)


@pytest.fixture(scope="module")
def trained():
    mdata = ctl.datasets.simulate_multiome(200, 30, 60, seed=0)
    ctl.pp.split_cells(mdata, seed=0)
    ctl.tl.dense(mdata, seed=0, train_kwargs={"max_epochs": 2})
    mdata.obs["last"] = "x"
    return mdata


def test_a_dense_predicts_other_regions_through_it(trained, tmp_path):
    places = trained.mod["atac"].var[["chrom", "start", "end"]].reset_index(drop=True)
    wide = places.iloc[:20].assign(start=lambda t: t["start"] - 100)
    wide.loc[len(wide)] = ["chr1", 1, 90]
    bed = tmp_path / "other.bed"
    wide.to_csv(bed, sep="\t", header=False, index=False)
    with pytest.warns(ctl.ChromatellWarning, match="1 of 21 regions are covered by under half"):
        query = ctl.tl.predict(trained, trained, regions=bed)
    pred = query.mod["atac_pred"]
    assert list(pred.var["region"]) == [f"{c}:{s}-{e}" for c, s, e in wide.iloc[:20].itertuples(index=False)]
    np.testing.assert_allclose(pred.X, trained.mod["atac_pred"].X[:, :20], rtol=1e-5)
    np.testing.assert_allclose(pred.var["ctl_mapped"], 500 / 600)
    assert pred.uns["ctl"]["x_key"] == "dense"  # and not the name of a column of obs
    own = ctl.tl.predict(trained, trained, regions=list(trained.mod["atac"].var_names[:3]))
    assert "ctl_mapped" not in own.mod["atac_pred"].var
    with pytest.raises(ctl.ChromatellError, match="out= writes the model's own regions"):
        ctl.tl.predict(trained, trained, regions=bed, out=tmp_path / "x.zarr")
    with pytest.raises(ctl.ChromatellError, match="not among the 60"):
        ctl.tl.predict(trained, trained, regions=["peak_1"])


def test_bases_that_several_regions_cover_count_once(rng):
    found = ctl.pp.match_regions(["chr1:0-1000"], ["chr1:0-300", "chr1:10-310", "chr1:900-950"], min_matched=0)
    assert (float(found.covered[0]), bool(found.matched[0])) == (0.36, False)
    starts = rng.integers(0, 5000, (2, 200))
    names = [
        [f"chr{1 + s % 2}:{s}-{s + w}" for s, w in zip(of, rng.integers(1, 400, 200), strict=True)] for of in starts
    ]
    query, target = (list(dict.fromkeys(of)) for of in names)
    covered = ctl.pp.match_regions(query, target).covered
    tables = [ctl.genome.regions.parse_regions(of) for of in (query, target)]
    bases = {(c, i) for c, a, b in tables[1].itertuples(index=False) for i in range(a, b)}
    by_hand = [np.mean([(c, i) in bases for i in range(a, b)]) for c, a, b in tables[0].itertuples(index=False)]
    np.testing.assert_allclose(covered, by_hand, atol=1e-12)
