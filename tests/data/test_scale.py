"""A query on another scale than the training cells: brought there where that is exact, else named, or refused."""

from __future__ import annotations

import re

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import scipy.sparse as sp

import chromatell as ctl
from chromatell import ChromatellError, ChromatellWarning
from chromatell.data.expression import Expression
from chromatell.data.scale import Scale, find_scale

GENES = pd.Index([f"g{i}" for i in range(40)])


@pytest.fixture
def counts(rng):
    rate = rng.gamma(1.0, 2.0, size=40) * rng.gamma(8.0, 0.125, size=(300, 1))
    x = rng.poisson(rate * rng.gamma(2.0, 0.5, size=(300, 40))) + np.eye(300, 40)
    return sp.csr_matrix(x.astype(np.float32))


def scaled(counts, total, *, log):
    adata = ad.AnnData(sp.csr_matrix(counts, dtype=np.float32), var=pd.DataFrame(index=GENES))
    sc.pp.normalize_total(adata, target_sum=total)
    if log:
        sc.pp.log1p(adata)
    return adata


WAYS = [(1e4, True), (1e4, False), (1e6, True), (1e6, False), (500.0, True)]


@pytest.mark.parametrize(("total", "log"), WAYS)
@pytest.mark.parametrize("make", [sp.csr_matrix, lambda x: x.toarray()])
def test_the_scale_is_found_as_scanpy_made_it(counts, total, log, make):
    found = find_scale(make(scaled(counts, total, log=log).X))
    assert found.log == log
    assert found.total == pytest.approx(total, rel=1e-4)
    assert find_scale(make(counts)) is None
    assert find_scale(make(scaled(counts, total, log=log)[:, :30].X)) is None  # of a part of the genes
    assert find_scale(make(scaled(counts, total, log=log)[:2].X)) is None  # any two totals may be alike


@pytest.mark.parametrize(("total", "log"), WAYS)
@pytest.mark.parametrize("trained", [(1e4, True), (1e6, False)])
def test_a_query_on_another_scale_reads_the_same(counts, total, log, trained):
    training = scaled(counts, trained[0], log=trained[1])
    read = np.arange(40) % 4 > 0  # the model reads a part of the genes, the totals are of all
    expression = Expression.fit(training[:, read].X, GENES[read], whole=training.X)
    want, _ = expression.transform(training[:, read].X)
    query = scaled(counts, total, log=log)[:, ::-1].copy()
    got, _ = expression.transform(*expression.align(query))
    np.testing.assert_allclose(got, want, atol=2e-3)
    again = Expression.from_arrays(expression.genes, "normalised", expression.arrays())
    np.testing.assert_allclose(again.transform(*again.align(query))[0], want, atol=2e-3)


def test_totals_that_differ_by_rounding_alone_are_one_total(counts):
    """Values that were normalised and not logged, all genes of them read: their totals have no spread of their own."""
    whole = scaled(counts, 1e4, log=False)
    expression = Expression.fit(whole.X, GENES)
    assert expression.library_sd == 1.0
    other = scaled(counts, 1.0001e4, log=False)
    expression.align(other)  # not a word, and no error
    _, library = expression.transform(*expression.align(other))
    assert np.abs(library).max() < 1e-3
    arrays = expression.arrays()
    arrays["scaling.expression"] = arrays["scaling.expression"] * np.array([1, 1, 0, 1, 1, 1])
    with pytest.raises(ChromatellError, match="sd of the cells' totals is 0; it must be above 0"):
        Expression.from_arrays(expression.genes, "normalised", arrays)


def test_counts_for_a_model_of_normalised_values_and_the_cure(counts):
    training = scaled(counts, 1e4, log=True)
    expression = Expression.fit(training.X, GENES)
    rna = ad.AnnData(counts.copy(), var=pd.DataFrame(index=GENES))
    with pytest.raises(ChromatellError, match="normalised values; the query's X holds counts") as caught:
        expression.align(rna)
    exec(re.search(r"counts\. (.*)\.$", str(caught.value)).group(1), {"rna": rna, "sc": sc})
    np.testing.assert_allclose(expression.transform(*expression.align(rna))[0], expression.transform(training.X)[0])


def test_corrected_counts_for_a_model_of_counts_and_the_cure(counts):
    expression = Expression.fit(counts, GENES)
    rna = ad.AnnData(sp.csr_matrix(counts * np.float32(1.01)), var=pd.DataFrame(index=GENES))
    rna.X.data = np.minimum(rna.X.data, np.rint(rna.X.data) + 0.4)
    with pytest.raises(ChromatellError, match="round them: ") as caught:
        expression.align(rna)
    exec(re.search(r"round them: (.*)\.$", str(caught.value)).group(1), {"rna": rna, "np": np})
    expression.align(rna)


@pytest.mark.parametrize("where", ["layer", "raw"])
def test_a_query_that_keeps_its_counts_under_another_name(counts, where):
    """Scanpy's users keep counts in a layer of any name or in .raw, with more genes and in another order."""
    expression = Expression.fit(sp.csr_matrix(counts), GENES)
    var = pd.DataFrame(index=GENES)
    counts = counts.toarray()
    rna = ad.AnnData(np.log1p(counts / counts.sum(1, keepdims=True) * 1e4), var=var)
    if where == "layer":
        rna.layers["a_sum"] = counts * 0.5  # no counts
        rna.layers["umi"] = counts.copy()
    else:
        more = np.column_stack([np.ones(len(counts), dtype=np.float32), counts[:, ::-1]])
        rna.raw = ad.AnnData(more, var=pd.DataFrame(index=["other", *GENES[::-1]]))
    with pytest.raises(ChromatellError, match="the query's X holds") as caught:
        expression.align(rna)
    line = re.search(r"rna\.X = .*?\.copy\(\)", str(caught.value)).group()
    exec(line, {"rna": rna})
    np.testing.assert_array_equal(rna.X, counts)
    sc.pp.normalize_total(rna)
    np.testing.assert_array_equal(rna.layers["umi"] if where == "layer" else rna.raw[:, GENES].X, counts)


def test_values_that_follow_no_scale_are_named_or_refused(counts, rng):
    """Smoothed values: their totals say nothing, but the training cells' totals and largest value are known."""
    smooth = scaled(counts, 1e3, log=True).X.toarray()
    smooth = smooth + 0.3 * smooth[rng.permutation(300)] + 0.3 * smooth[rng.permutation(300)]
    expression = Expression.fit(smooth, GENES)
    assert expression.scale.total == 0
    expression.align(ad.AnnData(smooth, var=pd.DataFrame(index=GENES)))  # as it is: not a word
    with pytest.raises(ChromatellError, match=r"not on the scale of the training cells.*It looks not log-transformed"):
        expression.align(ad.AnnData(np.expm1(smooth), var=pd.DataFrame(index=GENES)))
    low = expression.library_mean - 4 * expression.library_sd
    little = smooth * np.expm1(low) / np.expm1(expression.library_mean)
    with pytest.warns(ChromatellWarning, match=r"not on the scale of the training cells.*\(\d sd of theirs\)"):
        expression.align(ad.AnnData(little, var=pd.DataFrame(index=GENES)))


def test_a_query_of_counts_that_is_much_shallower_is_said(counts, rng):
    expression = Expression.fit(counts, GENES)
    some = sp.csr_matrix(rng.binomial(counts.toarray().astype(int), 0.6).astype(np.float32))
    expression.align(ad.AnnData(some, var=pd.DataFrame(index=GENES)))  # not a word
    thin = sp.csr_matrix(rng.binomial(counts.toarray().astype(int), 0.1).astype(np.float32))
    with pytest.warns(ChromatellWarning, match=r"is \d+\.\d times shallower than the training cells.*depth='fixed'"):
        expression.align(ad.AnnData(thin, var=pd.DataFrame(index=GENES)))
    with pytest.warns(ChromatellWarning, match="times deeper"):
        expression.align(ad.AnnData(counts * 100, var=pd.DataFrame(index=GENES)))


def test_training_on_decimals_that_are_not_logged_is_said(counts):
    with pytest.warns(ChromatellWarning, match=r"holds decimals up to .*np\.rint\(rna\.X\)"):
        Expression.fit(sp.csr_matrix(counts * np.float32(7.3)), GENES)


def test_a_scale_reads_as_people_say_it():
    assert str(Scale(True, 1e4)) == "log1p of counts per 10000"
    assert Scale(False, 1e6).recipe().endswith("sc.pp.normalize_total(rna, target_sum=1e+06)")


def test_predictions_of_a_query_normalised_otherwise():
    """Mean prediction about the true share, however the query comes."""
    mdata = ctl.datasets.simulate_multiome(300, 60, 60, seed=1)
    ctl.pp.split_cells(mdata, seed=0)
    counts = sp.csr_matrix(mdata.mod["rna"].X)
    genes = mdata.mod["rna"].var

    def as_query(total, *, log):
        adata = ad.AnnData(counts.copy().astype("float32"), var=genes.copy(), obs=mdata.obs[["cell_type"]].copy())
        sc.pp.normalize_total(adata, target_sum=total)
        if log:
            sc.pp.log1p(adata)
        return adata

    mdata.mod["rna"].X = as_query(1e4, log=True).X
    ctl.tl.dense(mdata, seed=0, train_kwargs={"max_epochs": 2})
    want = ctl.tl.predict(as_query(1e4, log=True), mdata).mod["atac_pred"].X
    for total, log in WAYS:
        got = ctl.tl.predict(as_query(total, log=log), mdata).mod["atac_pred"].X
        np.testing.assert_allclose(got, want, atol=1e-4)
    inside = ctl.tl.predict(mdata, ctl.models.load(mdata), key="mine")  # a MuData with columns in obs keeps the name
    assert inside.mod["atac_pred"].uns["ctl"]["x_key"] == "mine"
