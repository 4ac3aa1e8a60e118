import mudata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import chromatell as ctl
from chromatell import ChromatellError
from chromatell.genome.regions import region_table


@pytest.fixture(scope="module")
def mdata():
    return ctl.datasets.simulate_multiome(3000, 200, 500, seed=0)


def test_shapes_and_types(mdata):
    rna, atac = mdata.mod["rna"], mdata.mod["atac"]
    assert rna.shape == (3000, 200)
    assert atac.shape == (3000, 500)
    for x in (rna.X, atac.X):
        assert sp.issparse(x)
        assert (x.format, x.dtype) == ("csr", np.float32)
        assert x.has_canonical_format
        assert (x.data >= 1).all()
        assert (x.data == np.floor(x.data)).all()
    assert atac.layers["truth"].shape == (3000, 500)
    assert atac.layers["truth"].dtype == np.float32
    assert mdata.var_names.is_unique
    assert mdata.obs["cell_type"].nunique() == 4
    assert mdata.obs["donor"].nunique() == 4
    assert mdata.obs["factor"].between(0, 1).all()
    for mod in (rna, atac):
        assert mod.obs["cell_type"].tolist() == mdata.obs["cell_type"].tolist()


def test_realistic_sparsity_and_depth(mdata):
    rna, atac = mdata.mod["rna"], mdata.mod["atac"]
    assert 0.02 < atac.X.nnz / np.prod(atac.shape) < 0.05
    assert 0.2 < rna.X.nnz / np.prod(rna.shape) < 0.7
    np.testing.assert_allclose(atac.X.sum(axis=1).mean(), 0.04 * 500, rtol=0.03)
    expected = np.log(atac.obs["expected_fragments"])
    assert abs(expected.std() - 0.5) < 0.03
    library = np.log(np.asarray(rna.X.sum(axis=1)).ravel())
    assert abs(np.corrcoef(expected, library)[0, 1] - 0.5) < 0.06
    assert np.asarray(rna.X.sum(axis=1)).min() > 0


def test_truth_is_calibrated(mdata):
    truth = mdata.mod["atac"].layers["truth"].astype(float)
    opened = mdata.mod["atac"].X.toarray() > 0
    # the number open is a sum of independent draws: its sd is known
    sd = np.sqrt((truth * (1 - truth)).sum())
    assert abs(opened.sum() - truth.sum()) < 4 * sd
    edges = np.quantile(truth, np.linspace(0, 1, 11))
    decile = np.clip(np.searchsorted(edges, truth, side="right") - 1, 0, 9)
    for i in range(10):
        p, y = truth[decile == i], opened[decile == i]
        assert abs(y.sum() - p.sum()) < 4 * np.sqrt((p * (1 - p)).sum())
    by_region = (opened.sum(axis=0) - truth.sum(axis=0)) / np.sqrt((truth * (1 - truth)).sum(axis=0))
    assert abs(by_region.std() - 1) < 0.1
    by_cell = (opened.sum(axis=1) - truth.sum(axis=1)) / np.sqrt((truth * (1 - truth)).sum(axis=1))
    assert abs(by_cell.std() - 1) < 0.05


def test_counts_are_poisson_given_the_truth(mdata):
    x = mdata.mod["atac"].X.toarray()
    rate = -np.log1p(-mdata.mod["atac"].layers["truth"].astype(float))
    assert abs(((x - rate) ** 2).sum() / rate.sum() - 1) < 0.02
    np.testing.assert_allclose((x == 2).sum(), (rate**2 / 2 * np.exp(-rate)).sum(), rtol=0.06)


def test_expression_tells_accessibility(mdata):
    rna, atac = mdata.mod["rna"], mdata.mod["atac"]
    log = np.log1p(rna.X.toarray())
    rate = -np.log1p(-atac.layers["truth"]) / atac.obs["expected_fragments"].to_numpy()[:, None]
    linked = atac.var["linked_gene"].to_numpy()
    near = np.flatnonzero(linked != "")
    gene = rna.var_names.get_indexer(linked[near])
    own = [np.corrcoef(log[:, g], rate[:, r])[0, 1] for g, r in zip(gene, near, strict=True)]
    other = [np.corrcoef(log[:, g], rate[:, r])[0, 1] for g, r in zip(np.roll(gene, 7), near, strict=True)]
    assert np.nanmean(own) > np.nanmean(other) + 0.15
    # types differ, and so do the ends of the factor within a type
    means = pd.DataFrame(rate).groupby(mdata.obs["cell_type"].to_numpy()).mean()
    assert (means.max() / means.min()).median() > 1.3
    one = (mdata.obs["cell_type"] == "type_1").to_numpy()
    correlation = np.corrcoef(np.column_stack([mdata.obs["factor"][one], rate[one]]), rowvar=False)[0, 1:]
    assert np.abs(correlation).max() > 0.7


def test_places(mdata):
    rna, atac = mdata.mod["rna"].var, mdata.mod["atac"]
    table = region_table(atac)
    assert (table["end"] - table["start"] == 500).all()
    parsed = atac.var_names.str.extract(r"(chr\d):(\d+)-(\d+)")
    assert parsed[0].tolist() == table["chrom"].tolist()
    assert parsed[1].astype(int).tolist() == table["start"].tolist()
    for _, chrom in table.groupby("chrom"):
        assert (chrom["start"].to_numpy()[1:] >= chrom["end"].to_numpy()[:-1]).all()  # sorted, none overlap
    assert table["chrom"].nunique() > 1
    # the linked gene is the nearest one, within 50 kb of the middle
    for region, gene in zip(table.itertuples(), atac.var["linked_gene"], strict=True):
        same = rna[rna["chrom"] == region.chrom]
        distance = (same["tss"] - (region.start + 250)).abs()
        if gene == "":
            assert distance.empty or distance.min() > 50_000
        else:
            assert distance.idxmin() == gene
            assert distance.min() <= 50_000


def test_seed():
    one, same, other = (ctl.datasets.simulate_multiome(50, 20, 30, seed=s) for s in (1, 1, 2))
    for name in ("rna", "atac"):
        assert (one.mod[name].X != same.mod[name].X).nnz == 0
        assert one.mod[name].var.equals(same.mod[name].var)
    assert one.obs.equals(same.obs)
    assert (one.mod["atac"].X != other.mod["atac"].X).nnz > 0


def test_truth_left_out_changes_nothing_else():
    one, other = (ctl.datasets.simulate_multiome(50, 20, 30, seed=1, truth=t) for t in (True, False))
    assert (one.mod["atac"].X != other.mod["atac"].X).nnz == 0
    assert not other.mod["atac"].layers


def test_depth_types_and_donors():
    mdata = ctl.datasets.simulate_multiome(1000, 20, 2000, n_types=7, n_donors=3, depth=300, truth=False, seed=0)
    assert mdata.obs["cell_type"].cat.categories.tolist() == [f"type_{i}" for i in range(1, 8)]
    assert mdata.obs["donor"].nunique() == 3
    np.testing.assert_allclose(mdata.mod["atac"].X.sum(axis=1).mean(), 300, rtol=0.06)


@pytest.mark.parametrize("size", [(1, 1, 1), (10, 200, 3), (3, 2, 400)])
def test_tiny(size):
    mdata = ctl.datasets.simulate_multiome(*size, n_types=1, n_donors=1, seed=0)
    assert (mdata.mod["rna"].n_obs, mdata.mod["rna"].n_vars, mdata.mod["atac"].n_vars) == size


def test_blocks_join(monkeypatch):
    """Cells of every block, the last short one too, follow the truth."""
    import importlib

    monkeypatch.setattr(importlib.import_module("chromatell.datasets._simulate_multiome"), "_BLOCK", 128)
    mdata = ctl.datasets.simulate_multiome(500, 20, 400, depth=80, seed=0)
    truth, opened = mdata.mod["atac"].layers["truth"].astype(float), mdata.mod["atac"].X.toarray() > 0
    z = (opened.sum(axis=1) - truth.sum(axis=1)) / np.sqrt((truth * (1 - truth)).sum(axis=1))
    assert np.abs(z).max() < 5


def test_round_trip(tmp_path):
    mdata = ctl.datasets.simulate_multiome(30, 10, 20, seed=0)
    mdata.write(tmp_path / "x.h5mu")
    back = mudata.read_h5mu(tmp_path / "x.h5mu")
    np.testing.assert_array_equal(back.mod["atac"].layers["truth"], mdata.mod["atac"].layers["truth"])


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"n_cells": 0}, "n_cells=0 must be a positive whole number"),
        ({"n_regions": 2.5}, "n_regions=2.5 must be"),
        ({"n_types": 0}, "n_types=0 must be"),
        ({"depth": 0}, "depth=0.0 must be positive"),
        ({"depth": np.nan}, "depth=nan must be positive"),
        ({"n_cells": 100_000, "n_regions": 100_000}, "need 37.3 GiB, above .* truth=False"),
    ],
)
def test_bad_input(arguments, match):
    with pytest.raises(ChromatellError, match=match):
        ctl.datasets.simulate_multiome(**arguments)
