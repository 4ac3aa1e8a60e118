"""`tl.gene_activity` against weights worked by hand, and its plot."""

from __future__ import annotations

import anndata as ad
import mudata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from tests.helpers import genes

import chromatell as ctl
from chromatell._compat import no_pull

GENES = genes(
    ("1", 10_000, 20_000, "A", "+"), ("1", 60_000, 70_000, "B", "-"), ("2", 5_000, 9_000, "C", "+")
)  # start sites: A 10,000; B 69,999; C 5,000
REGIONS = ["chr1:9000-9500", "chr1:15000-15500", "chr1:69900-70100", "chr1:71500-71900", "chr1:400000-400500"]
P = np.array([[0.5, 0.2, 0.1, 0.4, 0.9], [0.1, 0.1, 0.8, 0.2, 0.3], [0.0, 0.3, 0.2, 0.2, 0.1]], dtype=np.float32)


@pytest.fixture
def mdata():
    rna = ad.AnnData(sp.csr_matrix([[4.0, 1, 3], [1, 7, 3], [0, 2, 3]]), var=pd.DataFrame(index=["B", "C", "A"]))
    atac = ad.AnnData(sp.csr_matrix((P > 0.25).astype(np.float32)), var=pd.DataFrame(index=REGIONS))
    for one in (rna, atac):
        one.obs_names = ["a", "b", "c"]
    mdata = mudata.MuData({"rna": rna, "atac": atac})
    ctl.tl.add_prediction(mdata, P, key="mine")
    return mdata


def test_by_distance_it_is_the_sum_of_halving_weights(mdata):
    ctl.tl.gene_activity(mdata, GENES, half_distance=1000)
    found = mdata.mod["gene_activity"]
    assert list(found.var["gene"]) == ["B", "A"]  # in the order of `rna`; C meets no region
    assert list(found.var_names) == ["gene_activity:B", "gene_activity:A"]
    # A: 501 bp from the end of the first region, 5,000 from the second. B: within the third, 1,501 from the fourth
    a = P[:, 0] * 2 ** (-501 / 1000) + P[:, 1] * 2**-5.0
    b = P[:, 2] + P[:, 3] * 2 ** (-1501 / 1000)
    np.testing.assert_allclose(found.X, np.column_stack([b, a]), rtol=1e-6)
    assert list(found.var["n_regions"]) == [2, 2]
    assert found.uns["ctl"]["derived_from"] == "mine"


def test_by_body_it_is_the_number_of_open_regions_in_gene_and_promoter(mdata):
    ctl.tl.gene_activity(mdata, GENES, method="body")
    found = mdata.mod["gene_activity"]
    np.testing.assert_allclose(found[:, "gene_activity:A"].X[:, 0], P[:, 0] + P[:, 1], rtol=1e-6)
    np.testing.assert_allclose(found[:, "gene_activity:B"].X[:, 0], P[:, 2] + P[:, 3], rtol=1e-6)
    ctl.tl.gene_activity(mdata, GENES, method="body", upstream=400, key_added="narrow")
    narrow = mdata.mod["narrow"]
    np.testing.assert_allclose(narrow[:, ["narrow:A"]].X[:, 0], P[:, 1], rtol=1e-6)
    np.testing.assert_allclose(narrow[:, ["narrow:B"]].X[:, 0], P[:, 2], rtol=1e-6)


def test_genes_named_by_ensembl_are_found_through_a_gtf(mdata, tmp_path):
    gtf = tmp_path / "genes.gtf"
    line = 'chr1\tx\tgene\t10001\t20000\t.\t+\t.\tgene_id "ENSG1.4"; gene_name "A";\n'
    gtf.write_text(line)
    mdata.mod["rna"].var_names = ["ENSG9", "ENSG8", "ENSG1"]
    with no_pull():
        mdata.update()
    ctl.tl.gene_activity(mdata, gtf, method="body")
    found = mdata.mod["gene_activity"]
    assert list(found.var["gene"]) == ["ENSG1"]
    np.testing.assert_allclose(found.X[:, 0], P[:, 0] + P[:, 1], rtol=1e-6)


def test_its_correlation_is_that_of_logged_shares(mdata):
    ctl.tl.gene_activity(mdata, GENES)
    found = mdata.mod["gene_activity"]
    x = mdata.mod["rna"].X.toarray()
    expression = np.log1p(x / x.sum(axis=1, keepdims=True) * np.median(x.sum(axis=1)))
    a = found.X.astype(float)
    activity = np.log1p(a / a.sum(axis=1, keepdims=True) * np.median(a.sum(axis=1)))
    wanted = [np.corrcoef(expression[:, 0], activity[:, 0])[0, 1], np.corrcoef(expression[:, 2], activity[:, 1])[0, 1]]
    np.testing.assert_allclose(found.var["ctl_pearson"], wanted, rtol=1e-6)
    ctl.tl.gene_activity(mdata, GENES, key="atac", key_added="own")
    np.testing.assert_allclose(found.var["ctl_pearson_measured"], mdata.mod["own"].var["ctl_pearson"], rtol=1e-6)
    assert "ctl_pearson_measured" not in mdata.mod["own"].var


def test_nothing_else_is_touched_and_it_goes_to_disk(tmp_path):
    mdata = ctl.datasets.simulate_multiome(80, 20, 60, seed=0)
    ctl.pp.split_cells(mdata, seed=0)
    mdata.var["mine"] = np.arange(mdata.n_vars)
    before = mdata.copy()
    copied = ctl.tl.gene_activity(mdata, key="atac", copy=True)
    assert "gene_activity" not in mdata.mod
    ctl.tl.gene_activity(mdata, key="atac")
    ctl.tl.gene_activity(mdata, key="atac")  # again: replaced
    np.testing.assert_array_equal(copied.mod["gene_activity"].X, mdata.mod["gene_activity"].X)
    for column in before.obs:
        assert mdata.obs[column].equals(before.obs[column])
    assert mdata.var["mine"].iloc[:80].tolist() == list(range(80))
    assert mdata.mod["gene_activity"].uns["ctl"]["correlated"] == "test cells"
    mdata.write(tmp_path / "x.h5mu")
    np.testing.assert_array_equal(
        ctl.io.read(tmp_path / "x.h5mu").mod["gene_activity"].X, copied.mod["gene_activity"].X
    )
    assert list(ctl.get.measured(mdata).mod) == ["rna", "atac"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, r"Where the genes lie is not known.*ctl.tl.gene_activity\(mdata, 'genes.gtf.gz'\)"),
        ({"annotation": GENES, "key": "other"}, "No prediction 'other'"),
        ({"annotation": GENES, "method": "sum"}, r"method='sum' is not known; choose one of \['distance', 'body'\]"),
        ({"annotation": GENES, "half_distance": 0}, "half_distance=0 is out of range"),
        ({"annotation": GENES, "key_added": "rna"}, r"mdata.mod\['rna'\] is there already"),
        ({"annotation": GENES.assign(chrom="7")}, "No region meets any of the genes"),
    ],
)
def test_what_cannot_be_used_is_said(mdata, arguments, message):
    with pytest.raises(ctl.ChromatellError, match=message):
        ctl.tl.gene_activity(mdata, **arguments)
    assert set(mdata.mod) == {"rna", "atac", "atac_pred"}


@pytest.mark.parametrize(
    ("options", "needed"),
    [({"upstream": 5}, "method='body'"), ({"method": "body", "half_distance": 9}, "method='distance'")],
)
def test_an_option_of_the_other_method_is_refused(mdata, options, needed):
    with pytest.raises(ctl.ChromatellError, match=f"would be read by nothing: it is for {needed}"):
        ctl.tl.gene_activity(mdata, GENES, **options)


def test_another_time_with_fewer_genes_keeps_the_users_columns(mdata):
    """Each row keeps the value that it has in ``mdata.var``, by hand."""
    mdata = mdata.copy()
    ctl.tl.gene_activity(mdata, GENES)
    mdata.var["mine"] = [f"{i}" for i in range(mdata.n_vars)]
    before = {name: dict(zip(a.var_names, mdata.var["mine"][place], strict=True)) for name, a, place in placed(mdata)}
    ctl.tl.gene_activity(mdata, genes(("1", 10_000, 20_000, "A", "+")))
    assert mdata.mod["gene_activity"].n_vars < len(before["gene_activity"])
    for name, adata, place in placed(mdata):
        assert mdata.var["mine"][place].tolist() == [before[name][v] for v in adata.var_names]


def placed(mdata):
    first = 0
    for name, adata in mdata.mod.items():
        yield name, adata, slice(first, first + adata.n_vars)
        first += adata.n_vars


def test_the_plot_shows_what_was_written(mdata):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    with pytest.raises(ctl.ChromatellError, match=r"Run ctl.tl.gene_activity\(mdata\)"):
        ctl.pl.gene_activity(mdata)
    ctl.tl.gene_activity(mdata, GENES)
    ax = ctl.pl.gene_activity(mdata)
    drawn = np.asarray(ax.collections[0].get_offsets())
    var = mdata.mod["gene_activity"].var
    np.testing.assert_allclose(drawn, var[["ctl_pearson_measured", "ctl_pearson"]].dropna())
    ctl.tl.gene_activity(mdata, GENES, key="atac")
    ax = ctl.pl.gene_activity(mdata)
    assert sum(bar.get_height() for bar in ax.patches) == 2
    matplotlib.pyplot.close("all")


def test_two_places_of_one_symbol_are_told_apart_by_id(mdata):
    """As `var_names_make_unique` leaves them: each gene has the regions of its own id, by body as by distance."""
    rna = mdata.mod["rna"]
    rna.var_names = ["A", "A-1", "B"]
    rna.var["gene_ids"] = ["ENSG1", "ENSG2", "ENSG3.7"]
    mdata.update()
    table = genes(("1", 9_000, 9_600, "A", "+"), ("1", 15_000, 15_600, "A", "+"), ("1", 69_000, 70_000, "B", "-"))
    table["gene_id"] = ["ENSG1.2", "ENSG2", "ENSG3"]
    for options in ({"method": "body", "upstream": 0}, {"method": "distance", "half_distance": 20}):
        ctl.tl.gene_activity(mdata, table, **options)
        found = mdata.mod["gene_activity"]
        assert found.var["gene"].tolist() == ["A", "A-1", "B"]
        np.testing.assert_allclose(found.X, P[:, :3], rtol=1e-6)
