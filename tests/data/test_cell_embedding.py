"""What the cell side of a model reads: the user's embedding, or components that are fitted on training cells."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import scipy.sparse as sp
from sklearn.decomposition import PCA
from tests.data.made_cells import N_CELLS, N_GENES, TRAIN, bare, counts, fit, z_by_hand

from chromatell import ChromatellError, ChromatellWarning
from chromatell.data.cell_embedding import CellEmbedding, embedding_of


@pytest.fixture
def rna():
    names = [f"cell{i}" for i in range(N_CELLS)]
    var = pd.DataFrame(index=[f"gene{i}" for i in range(N_GENES)])
    return ad.AnnData(sp.csr_matrix(counts()), obs=pd.DataFrame(index=names), var=var)


@pytest.fixture
def with_pca(rna):
    """As scanpy's users prepare it: normalised, log, 12 components of all cells."""
    sc.pp.normalize_total(rna, target_sum=1e4)
    sc.pp.log1p(rna)
    sc.pp.pca(rna, n_comps=12)
    return rna


# ---- components that are computed here


def test_components_are_those_of_the_training_cells(rna):
    """Against scikit-learn on values normalised by hand; components have a sign of their own."""
    embedding = fit(rna)
    z, total = z_by_hand(counts(), TRAIN)
    want = PCA(6, svd_solver="full").fit(z[TRAIN]).transform(z)
    want = (want - want[TRAIN].mean(0)) / want[TRAIN].std(0)
    got, sizes = embedding.transform(rna)
    assert got.dtype == np.float32
    assert got.shape == (N_CELLS, 6)
    assert embedding.n_components == 6
    for j in range(2):  # three types make two components that stand out
        sign = np.sign((got[:, j] * want[:, j]).sum())
        np.testing.assert_allclose(sign * got[:, j], want[:, j], atol=2e-2)
    np.testing.assert_allclose(got[TRAIN].mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(got[TRAIN].std(0), 1, atol=1e-4)
    for size, own in zip(sizes.T, (total, (counts() > 0).sum(axis=1)), strict=True):
        log = np.log1p(own)
        np.testing.assert_allclose(size, (log - log[TRAIN].mean()) / log[TRAIN].std(), atol=1e-4)


def test_no_other_cell_shapes_them(rna):
    other = rna.copy()
    other.X = sp.vstack([rna.X[:120], rna.X[120:][::-1] * 3]).tocsr()
    one, two = fit(rna), fit(other)
    assert one.arrays().keys() == two.arrays().keys()
    for name, value in one.arrays().items():
        np.testing.assert_array_equal(value, two.arrays()[name], err_msg=name)
    np.testing.assert_array_equal(one.transform(rna)[0][:120], two.transform(other)[0][:120])


def test_the_queries_own_embedding_is_not_read(rna):
    embedding = fit(rna)
    query = rna.copy()
    query.obsm["X_pca"] = np.full((N_CELLS, 3), np.nan)
    query.varm["PCs"] = np.ones((N_GENES, 3))
    np.testing.assert_array_equal(embedding.transform(query)[0], embedding.transform(rna)[0])


def test_cells_are_independent_of_the_others(rna):
    embedding = fit(rna)
    whole, library = embedding.transform(rna)
    one, size = embedding.transform(rna[7:8].copy())
    np.testing.assert_allclose(one, whole[7:8], atol=1e-5)
    np.testing.assert_allclose(size, library[7:8], atol=1e-6)
    dense = rna.copy()
    dense.X = rna.X.toarray()
    np.testing.assert_allclose(embedding.transform(dense)[0], whole, atol=1e-5)


def test_genes_are_matched_by_name(rna):
    embedding = fit(rna)
    want, _ = embedding.transform(rna)
    order = np.random.default_rng(0).permutation(N_GENES)
    more = ad.AnnData(np.ones((N_CELLS, 2), np.float32), obs=rna.obs[[]].copy(), var=pd.DataFrame(index=["x", "y"]))
    query = ad.concat([bare(rna)[:, order], more], axis=1)
    np.testing.assert_allclose(embedding.transform(query)[0], want, atol=1e-5)
    with pytest.warns(ChromatellWarning, match=r"5 of the model's 60 genes are not in the query \(such as 'gene0'"):
        got, _ = embedding.transform(rna[:, 5:].copy())
    assert np.corrcoef(got[:, 0], want[:, 0])[0, 1] > 0.95
    with pytest.raises(ChromatellError, match="at least 50% are needed"):
        embedding.transform(rna[:, 40:].copy())
    normalised = rna.copy()
    normalised.X = np.log1p(rna.X.toarray())
    with pytest.raises(ChromatellError, match=r"was trained on counts; .*Put the counts into rna.X; where"):
        embedding.transform(normalised)
    normalised.layers["counts"] = rna.X
    with pytest.raises(ChromatellError, match=r"was trained on counts; .*rna.X = rna.layers\['counts'\]"):
        embedding.transform(normalised)


def test_selected_genes_alone(rna):
    rna.var["ctl_selected"] = np.arange(N_GENES) % 2 == 0
    embedding = fit(rna)
    assert list(embedding.genes) == [f"gene{i}" for i in range(0, N_GENES, 2)]
    other = rna.copy()
    x = counts()
    x[:, 1::2] += 50
    other.X = sp.csr_matrix(x)
    np.testing.assert_array_equal(embedding.transform(other)[0], embedding.transform(rna)[0])


def test_a_gene_that_training_never_saw_does_not_throw_a_cell_out(rna):
    """Components beyond the rank of the training cells are noise; they must not be scaled up to a signal."""
    x = counts()
    x[:120, 8:] = 0  # eight genes vary in training
    x[120:, 8:] = 7
    rna.X = sp.csr_matrix(x)
    embedding = fit(rna, n_pcs=20)
    z, _ = embedding.transform(rna)
    assert np.isfinite(z).all()
    spread = z[:120].std(0)
    assert int((spread > 0.5).sum()) == 8
    assert spread[spread < 0.5].max() < 1e-3
    assert np.abs(z[120:, spread < 0.5]).max() < 10  # z-scores of single genes at most, not rounding errors' inverse


def test_fewer_components_than_asked_for(rna, caplog):
    small = rna[:, :5].copy()
    with caplog.at_level("INFO", logger="chromatell"):
        assert fit(small, n_pcs=32).n_components == 4
    assert "n_pcs=32: " in caplog.text
    assert "x 5 genes have 4 components, which are read." in caplog.text
    assert fit(rna, n_pcs=32, rows=np.arange(9)).n_components == 8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("nan", r"mod\['rna'\].X holds 1 NaN or infinite values"),
        ("empty", "1 of 200 cells have no expression at all .*'cell3'"),
        ("negative", "1 negative values"),
    ],
)
def test_a_query_that_cannot_be_read(rna, change, message):
    embedding = fit(rna)
    x = counts()
    if change == "nan":
        x[3, 0] = np.nan
    elif change == "empty":
        x[3] = 0
    else:
        x[3, 0] = -5
    rna.X = sp.csr_matrix(x)
    with pytest.raises(ChromatellError, match=message):
        embedding.transform(rna)


# ---- expression that was scaled already


@pytest.fixture
def scaled(rna):
    sc.pp.normalize_total(rna)
    sc.pp.log1p(rna)
    rna.X = rna.X.toarray()
    sc.pp.scale(rna)
    return rna


def test_components_of_scaled_expression(scaled):
    """Against scikit-learn on the training cells; no other cell shapes them."""
    embedding = fit(scaled)
    got, library = embedding.transform(scaled)
    x = scaled.X.astype(np.float64)
    want = PCA(6, svd_solver="full").fit(x[TRAIN]).transform(x)
    for j in range(2):
        sign = np.sign((got[:, j] * want[:, j]).sum())
        np.testing.assert_allclose(sign * got[:, j], want[:, j] / want[TRAIN, j].std(), atol=2e-2)
    assert (library == 0).all()
    np.testing.assert_allclose(got[TRAIN].std(0), 1, atol=1e-4)
    other = scaled.copy()
    other.X[120:] = other.X[120:][::-1] * 2
    for name, value in embedding.arrays().items():
        np.testing.assert_array_equal(value, fit(other).arrays()[name], err_msg=name)
    query = bare(scaled)[150:][:, ::-1].copy()
    query.obsm["X_pca"] = np.full((50, 2), np.nan)  # not read
    np.testing.assert_allclose(embedding.transform(query)[0], got[150:], atol=1e-4)


def test_a_query_that_was_not_scaled_is_refused(scaled):
    embedding = fit(scaled)
    raw = bare(scaled)
    raw.X = sp.csr_matrix(counts())
    with pytest.raises(ChromatellError, match="computed from scaled values; the query's X holds counts"):
        embedding.transform(raw)
    with pytest.raises(ChromatellError, match=r"lacks 2 of the 60 genes.*These 60 genes are needed"):
        embedding.transform(bare(scaled)[:, 2:].copy())


# ---- the user's embedding


def test_the_users_embedding_is_standardised_by_training_cells(rna):
    rng = np.random.default_rng(0)
    rna.obsm["X_scVI"] = rng.normal(3, 5, (N_CELLS, 4))
    embedding = fit(rna, "X_scVI")
    given = rna.obsm["X_scVI"]
    want = (given - given[TRAIN].mean(0)) / given[TRAIN].std(0)
    got, library = embedding.transform(rna)
    np.testing.assert_allclose(got, want, atol=1e-5)
    assert (library == 0).all()
    assert embedding.n_components == 4  # not n_pcs: all that is given
    assert list(embedding.genes) == []
    other = rna.copy()
    other.obsm["X_scVI"][120:] += 100
    np.testing.assert_array_equal(fit(other, "X_scVI").mean, embedding.mean)
    assert np.abs(embedding.transform(other)[0]).max() == 20  # far from training: clipped


def test_a_table_or_integers_will_do(rna):
    values = np.random.default_rng(0).integers(-50, 50, (N_CELLS, 3))
    rna.obsm["X_int"] = values
    rna.obsm["X_table"] = pd.DataFrame(values, index=rna.obs_names, columns=list("abc"))
    one, two = (fit(rna, key).transform(rna)[0] for key in ("X_int", "X_table"))
    np.testing.assert_array_equal(one, two)


def test_a_component_that_does_not_vary_is_left_as_it_is(rna):
    given = np.random.default_rng(0).normal(size=(N_CELLS, 3))
    given[:120, 1] = 2.5
    rna.obsm["X_e"] = given
    z, _ = fit(rna, "X_e").transform(rna)
    assert (z[:120, 1] == 0).all()
    np.testing.assert_allclose(z[120:, 1], given[120:, 1] - 2.5, atol=1e-6)


@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize("highly_variable", [True, False])
@pytest.mark.parametrize("fitted_on", ["all", "train"])
def test_scanpys_projection_is_found_and_takes_a_query(rna, sparse, highly_variable, fitted_on):
    """A query without `X_pca` is projected as scanpy would have: by loadings, and the centre of the cells fitted on."""
    sc.pp.normalize_total(rna, target_sum=1e4)
    sc.pp.log1p(rna)
    if not sparse:
        rna.X = rna.X.toarray()
    if highly_variable:
        rna.var["highly_variable"] = np.arange(N_GENES) % 3 > 0
    x = np.asarray(rna.X.todense()) if sparse else rna.X
    if fitted_on == "all":
        sc.pp.pca(rna, n_comps=10)
    else:  # and the others carried over, as sc.tl.ingest does
        part = rna[:120].copy()
        sc.pp.pca(part, n_comps=10)
        use = part.varm["PCs"]
        rna.varm["PCs"] = use
        rna.obsm["X_pca"] = (x - x[:120].mean(0)) @ use
    embedding = fit(rna, "X_pca")
    n = int((np.arange(N_GENES) % 3 > 0).sum()) if highly_variable else N_GENES
    assert len(embedding.genes) == n
    want, _ = embedding.transform(rna)
    scores = rna.obsm["X_pca"]
    np.testing.assert_allclose(want, (scores - scores[TRAIN].mean(0)) / scores[TRAIN].std(0), atol=1e-4)
    query = bare(rna)[120:][:, ::-1].copy()  # cells of a collaborator: genes in another order, no embedding
    got, _ = embedding.transform(query)
    np.testing.assert_allclose(got, want[120:], atol=2e-3)
    keep = np.isin(rna.var_names, embedding.genes)
    cells = slice(None) if fitted_on == "all" else slice(0, 120)
    oracle = PCA(10, svd_solver="full").fit(x[cells][:, keep].astype(np.float64)).transform(x[120:][:, keep])
    for j in range(2):
        assert abs(np.corrcoef(got[:, j], oracle[:, j])[0, 1]) > 0.9999


def test_a_query_that_brings_the_embedding_is_taken_at_its_word(with_pca):
    embedding = fit(with_pca, "X_pca")
    query = bare(with_pca)
    query.obsm["X_pca"] = with_pca.obsm["X_pca"][::-1].copy()
    np.testing.assert_array_equal(embedding.transform(query)[0], embedding.transform(with_pca)[0][::-1])


@pytest.mark.parametrize("change", ["other loadings", "scaled afterwards", "corrected", "none", "key"])
def test_loadings_that_do_not_give_the_embedding_are_not_used(with_pca, change):
    key = "X_pca"
    if change == "other loadings":
        with_pca.varm["PCs"] = np.random.default_rng(0).normal(size=(N_GENES, 12))
    elif change == "scaled afterwards":
        sc.pp.scale(with_pca)
    elif change == "corrected":  # as Harmony does, in place
        with_pca.obsm["X_pca"][::2] += 3
    elif change == "none":
        del with_pca.varm["PCs"]
    else:
        key = "X_pca_harmony"
        with_pca.obsm[key] = with_pca.obsm["X_pca"]
    embedding = fit(with_pca, key)
    assert embedding.components is None
    assert list(embedding.genes) == []
    query = bare(with_pca)
    with pytest.raises(ChromatellError, match=rf"obsm\['{key}'\], which the query lacks; there: none.*ingest.*12 col"):
        embedding.transform(query)
    query.obsm["X_umap"] = np.zeros((N_CELLS, 2))
    with pytest.raises(ChromatellError, match="there: 'X_umap'"):
        embedding.transform(query)


def test_a_query_of_another_kind_or_without_genes(with_pca):
    embedding = fit(with_pca, "X_pca")
    raw = bare(with_pca)
    raw.X = sp.csr_matrix(counts())
    with pytest.raises(ChromatellError, match=r"computed from normalised values; the query's X holds counts"):
        embedding.transform(raw)
    with pytest.raises(ChromatellError, match=r"lacks 2 of the 60 genes .*'gene0', 'gene1'\).*12 columns"):
        embedding.transform(bare(with_pca)[:, 2:].copy())
    broken = bare(with_pca)
    broken.X = broken.X.toarray()
    broken.X[5, 3] = np.nan
    with pytest.raises(ChromatellError, match=r"rna.X holds NaN or infinite values in 1 of 200 cells .*'cell5'"):
        embedding.transform(broken)


def test_an_embedding_without_expression_will_do(with_pca):
    alone = ad.AnnData(None, obs=with_pca.obs, var=with_pca.var, obsm=dict(with_pca.obsm), varm=dict(with_pca.varm))
    embedding = fit(alone, "X_pca")
    np.testing.assert_array_equal(embedding.transform(alone)[0], fit(with_pca, "X_pca").transform(with_pca)[0])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.zeros((N_CELLS, 3)), r"has 3 columns; the model was trained on 12"),
        (np.full((N_CELLS, 12), np.nan), r"NaN or infinite values in 200 of 200 cells \(such as 'cell0'"),
        (np.full((N_CELLS, 12), 1e39), "NaN or infinite values in 200 of 200 cells"),
        (np.array([["a"] * 12] * N_CELLS), r"cells x components, is needed"),
        (np.zeros((N_CELLS, 0)), r"\(200, 0\); an array of numbers"),
        (sp.csr_matrix(np.ones((N_CELLS, 12))), r"is sparse \(csr_matrix\); an array of numbers.*toarray\(\)"),
    ],
    ids=["width", "nan", "too large", "text", "empty", "sparse"],
)
def test_an_embedding_that_cannot_be_read(with_pca, value, message):
    embedding = fit(with_pca, "X_pca")
    with_pca.obsm["X_pca"] = value
    with pytest.raises(ChromatellError, match=message):
        embedding.transform(with_pca)


def test_a_key_that_is_not_there_names_those_that_are(with_pca):
    with_pca.obsm["X_umap"] = np.zeros((N_CELLS, 2))
    with pytest.raises(ChromatellError, match=r"Did not find rna.obsm\['X_scVI'\]; there: 'X_pca', 'X_umap'"):
        fit(with_pca, "X_scVI")
    with pytest.raises(ChromatellError, match="there: none"):
        embedding_of(bare(with_pca), "X_pca")
    assert embedding_of(with_pca, "X_umap", 2).shape == (N_CELLS, 2)


# ---- the record


@pytest.mark.parametrize("kind", ["own", "scaled", "scanpy", "given"])
def test_round_trip_as_plain_arrays(with_pca, rna, kind):
    data = with_pca if kind in ("scanpy", "given") else bare(rna)
    if kind == "own":
        data.X = sp.csr_matrix(counts())
    if kind == "scaled":
        data.X = data.X.toarray()
        sc.pp.scale(data)
    if kind == "given":
        data.obsm["X_e"] = data.obsm["X_pca"]
    embedding = fit(data, {"scanpy": "X_pca", "given": "X_e"}.get(kind))
    arrays = {k: np.array(v) for k, v in embedding.arrays().items()}
    assert {v.dtype.kind for v in arrays.values()} == {"f"}
    again = CellEmbedding.from_plain(embedding.plain(), embedding.genes, embedding.n_components, arrays)
    queries = [data] if kind == "given" else [data, bare(data)]
    for query in queries:
        np.testing.assert_array_equal(again.transform(query)[0], embedding.transform(query)[0])
        np.testing.assert_array_equal(again.transform(query)[1], embedding.transform(query)[1])
    assert again.plain() == embedding.plain()
    for name in [n for n in arrays if n != "scaling.expression"]:
        for crafted in (arrays[name][:-1], arrays[name] * np.nan, arrays[name].astype(int)):
            said = "scaling.range_" if name.startswith("scaling.range_") else f"{name}'"  # sizes of these hang together
            with pytest.raises(ChromatellError, match=f"The stored '{said}.* is .*Ask for the file again"):
                CellEmbedding.from_plain(
                    embedding.plain(), embedding.genes, embedding.n_components, {**arrays, name: crafted}
                )
