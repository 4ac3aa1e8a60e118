"""``tl.xchrom`` and ``tl.predict`` of it, as a user calls them: sequence x expression, seen and unseen."""

from __future__ import annotations

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.metrics import roc_auc_score

import chromatell as ctl
from chromatell import ChromatellError, ChromatellWarning

WIDTH, LENGTH = 220, 200
TINY = {"kind": "motifs", "sequence_length": LENGTH, "stem_filters": 8, "n_hidden": 16, "n_embed": 6, "n_pcs": 6}
QUICK = {**TINY, "warm_epochs": 2, "train_kwargs": {"max_epochs": 2}, "seed": 0}


@pytest.fixture(scope="module")
def fasta(tmp_path_factory):
    return tmp_path_factory.mktemp("genome") / "made_up.fa"


def simulated(fasta_out, n_cells, n_regions, seed=0):
    mdata = ctl.datasets.simulate_sequence_multiome(
        n_cells=n_cells,
        n_regions=n_regions,
        width=WIDTH,
        region_width=200,
        n_genes=60,
        n_types=4,
        n_tfs=4,
        depth=0.13 * n_regions,
        fasta_out=fasta_out,
        seed=seed,
    )
    ctl.pp.split_cells(mdata, seed=0)
    ctl.pp.split_regions(mdata, by="random", seed=0)
    return mdata


@pytest.fixture(scope="module")
def base(fasta):
    return simulated(fasta, 120, 130)


@pytest.fixture
def mdata(base):
    return base.copy()


@pytest.fixture(scope="module")
def done(base):
    mdata = base.copy()
    ctl.tl.xchrom(mdata, **QUICK)
    return mdata


def snapshot(mdata):
    """Every field of the user's, to be compared afterwards."""
    state = {"obs": mdata.obs.copy(), "uns": sorted(mdata.uns), "mods": sorted(mdata.mod)}
    for name in ("rna", "atac"):
        a = mdata.mod[name]
        arrays = {k: np.array(v) for k, v in {**a.obsm, **a.varm}.items()}
        state[name] = (a.obs.copy(), a.var.copy(), a.X.copy(), sorted(a.uns), sorted(a.layers), arrays)
    return state


def assert_same(before, after, more=()):
    pd.testing.assert_frame_equal(before["obs"], after["obs"])
    for name in ("rna", "atac"):
        for one, two in zip(before[name], after[name], strict=True):
            if isinstance(one, pd.DataFrame):
                pd.testing.assert_frame_equal(one, two)
            elif sp.issparse(one):
                assert (one != two).nnz == 0
            elif isinstance(one, dict):
                assert sorted(two) == sorted([*one, *(key for mod, key in more if mod == name)])
                for key, value in one.items():
                    np.testing.assert_array_equal(value, two[key])
            else:
                assert one == two


def rows_of(table, part):
    return np.flatnonzero(table["ctl_split"] == part)


# ---- what is written


def test_writes_prediction_model_and_embeddings_and_nothing_else(mdata):
    mdata.obs["number"] = np.arange(mdata.n_obs)
    before = snapshot(mdata)
    assert ctl.tl.xchrom(mdata, **QUICK) is None
    assert_same(before, snapshot(mdata), more=[("rna", "X_xchrom"), ("atac", "X_xchrom")])
    assert sorted(mdata.mod) == ["atac", "atac_pred", "rna"]
    assert sorted(mdata.uns) == before["uns"]  # 'ctl' was there
    pred = mdata.mod["atac_pred"]
    assert pred.shape == (120, 130)
    assert pred.X.dtype == np.float32
    assert list(pred.var["region"]) == list(mdata["atac"].var_names)
    assert (pred.obs["ctl_split"] == mdata.obs["ctl_split"]).all()
    assert (pred.var["ctl_split"].to_numpy() == mdata["atac"].var["ctl_split"].to_numpy()).all()
    provenance = pred.uns["ctl"]["provenance"]["xchrom"]
    assert (provenance["family"], provenance["depth"]) == ("xchrom", "predicted")
    assert provenance["hash"] == mdata.uns["ctl"]["models"]["xchrom"]["hash"]
    assert not provenance["uses_target_assay"]
    model = ctl.models.load(mdata)
    of_regions, of_cells = mdata["atac"].varm["X_xchrom"], mdata["rna"].obsm["X_xchrom"]
    assert (of_regions.shape, of_regions.dtype) == ((130, 6), np.float32)
    assert (of_cells.shape, of_cells.dtype) == ((120, 6), np.float32)
    np.testing.assert_array_equal(of_regions, model.stored_vectors()[:, :6])
    np.testing.assert_allclose(of_cells, model.cell_vectors(mdata)[:, :6], atol=1e-6)
    # the prediction is their product, with bias and depth
    w, v = model.stored_vectors(), model.cell_vectors(mdata)
    logit = of_cells @ of_regions.T + w[:, 6] + np.outer(v[:, 7], w[:, 7])
    np.testing.assert_allclose(pred.X, 1 / (1 + np.exp(-logit)), atol=1e-5)


def test_copy_returns_and_leaves_the_given_alone(mdata):
    before = snapshot(mdata)
    new = ctl.tl.xchrom(mdata, copy=True, **QUICK)
    assert_same(before, snapshot(mdata))
    assert before["mods"] == sorted(mdata.mod)
    assert before["uns"] == sorted(mdata.uns)
    assert "models" not in mdata.uns["ctl"]
    assert new["atac_pred"].shape == (120, 130)
    assert new["rna"].obsm["X_xchrom"].shape == (120, 6)


def test_same_seed_same_file(mdata, done):
    ctl.tl.xchrom(mdata, **QUICK)
    np.testing.assert_array_equal(mdata["atac_pred"].X, done["atac_pred"].X)
    assert mdata.uns["ctl"]["models"]["xchrom"]["hash"] == done.uns["ctl"]["models"]["xchrom"]["hash"]


def test_selected_regions_are_used(mdata):
    mdata["atac"].var["ctl_selected"] = np.arange(130) % 2 == 0
    ctl.tl.xchrom(mdata, key_added="half", **QUICK)
    assert mdata["atac_pred"].n_vars == 65
    of_regions = mdata["atac"].varm["X_half"]
    assert np.isnan(of_regions[1::2]).all()
    assert np.isfinite(of_regions[::2]).all()
    assert "X_half" in mdata["rna"].obsm
    assert "X_xchrom" not in mdata["rna"].obsm
    assert ctl.io.model_keys(mdata) == ["half"]


def test_models_stand_side_by_side(done):
    mdata = done.copy()
    first = mdata["atac_pred"].X.copy()
    ctl.tl.dense(mdata, train_kwargs={"max_epochs": 1}, seed=0)
    np.testing.assert_array_equal(mdata["atac_pred"].layers["xchrom"], first)
    assert sorted(ctl.io.model_keys(mdata)) == ["dense", "xchrom"]
    got = ctl.tl.predict(mdata["rna"], model=mdata, key="xchrom")
    np.testing.assert_allclose(got["atac_pred"].X, first, atol=1e-6)


# ---- the file is a predictor


@pytest.mark.parametrize("suffix", [".h5mu", ".zarr"])
@pytest.mark.parametrize("embedding", [None, "X_pca", "X_own"])
def test_the_file_predicts_without_a_fasta(mdata, tmp_path, suffix, embedding):
    """A collaborator's cells in another order: with expression only, or with the embedding that the model reads."""
    if embedding:
        import scanpy as sc

        sc.pp.normalize_total(mdata["rna"])
        sc.pp.log1p(mdata["rna"])
        sc.pp.pca(mdata["rna"], n_comps=7)
        mdata["rna"].obsm["X_own"] = mdata["rna"].obsm["X_pca"][:, :3] * 2
    ctl.tl.xchrom(mdata, embedding=embedding, region_effect=True, **QUICK)
    path = tmp_path / f"shared{suffix}"
    with md.set_options(pull_on_update=False):
        mdata.write(path) if suffix == ".h5mu" else mdata.write_zarr(path)
    query = mdata["rna"][::-1].copy()
    if embedding != "X_own":
        query = ad.AnnData(query.X, obs=query.obs[[]], var=query.var[[]])
    got = ctl.tl.predict(query, model=path)
    assert sorted(got.mod) == ["atac_pred", "rna"]
    np.testing.assert_allclose(
        got["atac_pred"].X[::-1], mdata["atac_pred"].X, atol=2e-4 if embedding == "X_pca" else 1e-6
    )
    again = ctl.io.read(path)
    np.testing.assert_array_equal(again["atac"].varm["X_xchrom"], mdata["atac"].varm["X_xchrom"])
    np.testing.assert_allclose(ctl.tl.predict(query, model=again)["atac_pred"].X, got["atac_pred"].X, atol=1e-6)
    if embedding == "X_own":
        bare = ad.AnnData(query.X, obs=query.obs[[]], var=query.var[[]])
        with pytest.raises(ChromatellError, match=r"reads rna.obsm\['X_own'\], which the query lacks"):
            ctl.tl.predict(bare, model=path)


def test_new_regions_take_their_sequence_from_the_fasta(done, fasta, tmp_path):
    """By BED, table, names or tokens; known ones among them need none."""
    atac = done["atac"]
    model = ctl.models.load(done)
    whole = done["atac_pred"].X
    known = list(atac.var_names[[3, 90]])
    np.testing.assert_allclose(
        ctl.tl.predict(done["rna"], model=done, regions=known)["atac_pred"].X, whole[:, [3, 90]], atol=1e-6
    )
    places = [(c, s + 11, e + 11) for c, s, e in atac.var[["chrom", "start", "end"]].iloc[[3, 90]].to_numpy()]
    new = [f"{c}:{s}-{e}" for c, s, e in places]
    with pytest.raises(ChromatellError, match="2 of 2 regions .*fasta='genome.fa'"):
        ctl.tl.predict(done["rna"], model=done, regions=new)
    (tmp_path / "new.bed").write_text("".join(f"{c}\t{s}\t{e}\n" for c, s, e in places))
    genome = ctl.genome.Genome(fasta)
    tokens, _ = genome.windows(new, LENGTH)
    want = model.predict(done["rna"], regions=tokens)
    for regions in (new, tmp_path / "new.bed", pd.DataFrame(places, columns=["chrom", "start", "end"])):
        for source in (fasta, str(fasta), genome):
            got = ctl.tl.predict(done["rna"], model=done, regions=regions, fasta=source)["atac_pred"]
            np.testing.assert_allclose(got.X, want, atol=1e-5)
            assert list(got.var["region"]) == new
    got = ctl.tl.predict(done["rna"], model=done, regions=[known[0], new[1]], fasta=fasta)["atac_pred"]
    np.testing.assert_allclose(got.X, np.column_stack([whole[:, 3], want[:, 1]]), atol=1e-5)
    got = ctl.tl.predict(done["rna"], model=done, regions=tokens)["atac_pred"]
    np.testing.assert_allclose(got.X, want, atol=1e-6)
    assert list(got.var["region"]) == ["sequence_1", "sequence_2"]


def test_the_genome_is_read_once(done, fasta, monkeypatch):
    read, windows = [], ctl.genome.Genome.windows
    monkeypatch.setattr(ctl.genome.Genome, "windows", lambda *args: read.append(1) or windows(*args))
    got = ctl.tl.predict(done["rna"], model=done, regions=["chr1:500-700", "chr1:900-1100"], fasta=fasta)
    assert got["atac_pred"].shape == (120, 2)
    assert len(read) == 1


def test_own_regions_read_from_the_fasta_are_those_of_the_model(done, fasta):
    """What `simulate_sequence_multiome` stored, what the genome holds and what the model keeps are one."""
    model = ctl.models.load(done)
    tokens, _ = ctl.genome.Genome(fasta).windows(done["atac"], WIDTH)
    np.testing.assert_array_equal(tokens, done["atac"].varm["dna_code"])
    seen = rows_of(done["atac"].var, "train")
    unseen = np.setdiff1d(np.arange(130), seen)
    vectors, stored = model.region_vectors(tokens), model.stored_vectors()
    np.testing.assert_allclose(vectors[unseen], stored[unseen], atol=1e-5)
    assert np.abs(vectors[seen] - stored[seen]).max() > 0.01  # those have a term of their own


def test_query_genes_are_matched_by_name(done):
    want = done["atac_pred"].X
    order = np.random.default_rng(0).permutation(60)
    bare = ad.AnnData(done["rna"].X, obs=done["rna"].obs[[]], var=done["rna"].var[[]])
    extra = ad.AnnData(sp.csr_matrix(np.ones((120, 2), dtype=np.float32)), obs=bare.obs.copy())
    extra.var_names = ["x1", "x2"]
    query = ad.concat([bare[:, order].copy(), extra], axis=1)
    np.testing.assert_allclose(ctl.tl.predict(query, model=done)["atac_pred"].X, want, atol=1e-5)
    with pytest.warns(ChromatellWarning, match="6 of the model's 60 genes are not in the query"):
        got = ctl.tl.predict(bare[:, 6:].copy(), model=done)["atac_pred"].X
    assert np.corrcoef(got.ravel(), want.ravel())[0, 1] > 0.9
    with pytest.raises(ChromatellError, match="at least 50% are needed"):
        ctl.tl.predict(bare[:, 40:].copy(), model=done)


def test_depth_of_a_prediction(done, mdata):
    fixed = ctl.tl.predict(done["rna"], model=done, depth="fixed")["atac_pred"]
    np.testing.assert_allclose(fixed.X, ctl.models.load(done).denoise(done["rna"]), atol=1e-6)
    assert fixed.uns["ctl"]["provenance"]["xchrom"]["depth"] == "fixed"
    with pytest.raises(ChromatellError, match="reads each cell's own ATAC"):
        ctl.tl.predict(done["rna"], model=done, depth="observed")
    with pytest.warns(ChromatellWarning, match="uses the target assay"):
        ctl.tl.xchrom(mdata, depth="observed", **QUICK)
    assert mdata["atac_pred"].uns["ctl"]["provenance"]["xchrom"]["uses_target_assay"]
    with pytest.warns(ChromatellWarning, match="uses the target assay"):
        again = ctl.tl.predict(mdata, model=mdata, depth="observed")["atac_pred"].X
    np.testing.assert_allclose(again, mdata["atac_pred"].X, atol=1e-6)


def test_depth_key_is_read(mdata):
    mdata["atac"].obs["mine"] = mdata["atac"].obs["expected_fragments"]
    ctl.tl.xchrom(mdata, depth_key="mine", **QUICK)
    model = ctl.models.load(mdata)
    log = np.log1p(mdata["atac"].obs["mine"].to_numpy()[rows_of(mdata.obs, "train")])
    assert model.depth_model.mean == pytest.approx(log.mean())
    assert model.depth_model.sd == pytest.approx(log.std())


def test_predictions_above_the_limit_go_to_a_store(mdata, fasta, tmp_path, monkeypatch):
    monkeypatch.setattr(ctl.settings, "dense_limit", 1000)
    before = snapshot(mdata)
    with pytest.raises(ChromatellError, match=r"120 cells x 130 regions .* out='predictions.zarr'"):
        ctl.tl.xchrom(mdata, **QUICK)
    assert_same(before, snapshot(mdata))
    ctl.tl.xchrom(mdata, out=tmp_path / "pred.zarr", **QUICK)
    assert "atac_pred" not in mdata.mod
    monkeypatch.undo()
    with md.set_options(pull_on_update=False):
        mdata.write(tmp_path / "shared.h5mu")
    stored = ctl.io.open_prediction(tmp_path / "shared.h5mu")
    want = ctl.tl.predict(mdata["rna"], model=mdata)["atac_pred"].X
    np.testing.assert_allclose(np.asarray(stored.X), want, atol=1e-6)
    assert list(stored.var_names) == list(mdata["atac"].var_names)
    new = ["chr1:500-700", mdata["atac"].var_names[0]]
    got = ctl.tl.predict(mdata["rna"], model=mdata, regions=new, fasta=fasta, out=tmp_path / "new.zarr")
    assert "atac_pred" not in got.mod
    store = ad.read_zarr(tmp_path / "new.zarr")
    assert list(store.var_names) == new
    np.testing.assert_allclose(np.asarray(store.X)[:, 1], want[:, 0], atol=1e-6)


# ---- what it learns


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    mdata = simulated(tmp_path_factory.mktemp("genome") / "g.fa", 400, 600)
    options = {**TINY, "stem_filters": 20, "n_hidden": 32, "n_embed": 8}
    ctl.tl.xchrom(mdata, **options, seed=0, train_kwargs={"max_epochs": 8, "full_rate_at": 0})
    return mdata, ctl.models.load(mdata)


@pytest.mark.parametrize(("cells", "regions"), [("test", "train"), ("train", "test"), ("test", "test")])
def test_tells_cells_apart_in_regions_by_their_state(learned, cells, regions):
    """Per region over cells, at one depth for all, so that the state of a cell is all that can tell."""
    mdata, model = learned
    pair = np.ix_(rows_of(mdata.obs, cells), rows_of(mdata["atac"].var, regions))
    y, p = mdata["atac"].X.toarray()[pair] > 0, model.denoise(mdata)[pair]
    both = np.flatnonzero(y.any(0) & ~y.all(0))
    scores = np.array([roc_auc_score(y[:, j], p[:, j]) for j in both])
    assert scores.mean() - 0.5 > 2.5 * scores.std() / np.sqrt(len(scores))
    assert scores.mean() > 0.53


def test_tells_regions_apart_by_their_sequence(learned):
    """Held-out regions in held-out cells, all pairs together; and which types a region is open in."""
    mdata, model = learned
    cells, regions = rows_of(mdata.obs, "test"), rows_of(mdata["atac"].var, "test")
    y = mdata["atac"].X.toarray()[np.ix_(cells, regions)] > 0
    assert roc_auc_score(y.ravel(), mdata["atac_pred"].X[np.ix_(cells, regions)].ravel()) > 0.7
    logit = model.cell_vectors(mdata, depth="fixed") @ model.stored_vectors()[regions].T
    truth = np.log(mdata["atac"].layers["truth"][:, regions])
    types = mdata.obs["cell_type"].to_numpy()
    mean = [[x[types == t].mean(0) for t in np.unique(types)] for x in (logit, truth)]
    ours, true = (np.array(m) - np.mean(m, axis=0) for m in mean)
    assert np.corrcoef(ours.ravel(), true.ravel())[0, 1] > 0.4


# ---- bad input


def broken(mdata, what):
    """Return (a MuData with one thing wrong, options)."""
    rna, atac = mdata["rna"].copy(), mdata["atac"].copy()
    options = {}
    if what == "barcodes":
        atac.obs_names = [f"x{i}" for i in range(atac.n_obs)]
    elif what == "order":
        atac = atac[::-1].copy()
    elif what == "nan":
        rna.X.data[3] = np.nan
    elif what == "negative":
        atac.X.data[3] = -1
    elif what == "unexpressed":
        rna.X = sp.csr_matrix(np.vstack([np.zeros((2, rna.n_vars), np.float32), rna.X.toarray()[2:]]))
    elif what == "closed":
        atac.X = sp.csr_matrix(atac.shape, dtype=np.float32)
    elif what == "no sequence":
        del atac.varm["dna_code"]
    elif what == "no such sequence":
        options = {"sequence": "dna"}
    elif what == "short":
        options = {"sequence_length": 400}
    elif what == "all n":
        atac.varm["dna_code"][:] = 4
    elif what == "embedding":
        options = {"embedding": "X_scVI"}
        rna.obsm["X_umap"] = np.zeros((120, 2))
    elif what == "embedding nan":
        rna.obsm["X_pca"] = np.full((120, 2), np.nan)
    elif what == "regions":
        del atac.var["ctl_split"]
        atac.var["ctl_split"] = "somewhere"
    elif what == "option":
        options = {"n_filters": 3}
    elif what == "train option":
        options = {"train_kwargs": {"n_epochs": 3}}
    mods = {"rna": rna} if what == "no atac" else {"rna": rna, "atac": atac}
    with md.set_options(pull_on_update=False):
        bad = md.MuData(mods)
    if what not in ("barcodes", "no split"):
        bad.obs["ctl_split"] = mdata.obs["ctl_split"].reindex(bad.obs_names)
    return bad, options


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("barcodes", "120 and 120 barcodes, 0 shared"),
        ("order", "the same barcodes in a different order"),
        ("nan", "1 NaN or infinite values"),
        ("negative", "1 negative values"),
        ("unexpressed", "2 of 120 cells have no expression at all"),
        ("no atac", "no modality 'atac'; it has"),
        ("no split", "Run ctl.pp.split_cells"),
        ("closed", "No training region is open in any training cell"),
        ("no sequence", r"varm\['dna_code'\]. Run ctl.pp.add_sequence"),
        ("no such sequence", r"varm\['dna'\]. Run ctl.pp.add_sequence"),
        ("short", r"220 bases long; the model reads 400.*ctl.pp.add_sequence\(mdata, fasta, width=400\)"),
        ("all n", "130 of 130 regions .* have no sequence: all N.*ctl.pp.add_sequence"),
        ("embedding", r"Did not find rna.obsm\['X_scVI'\]; there: 'X_umap'"),
        ("embedding nan", "NaN or infinite values in 120 of 120 cells"),
        ("regions", r"found \['somewhere'\]. Run ctl.pp.split_regions"),
        ("option", r"XChrom knows no option \['n_filters'\]"),
        ("train option", r"train\(\) knows no option \['n_epochs'\]"),
    ],
)
def test_bad_input_names_the_cure_and_changes_nothing(mdata, what, message):
    bad, options = broken(mdata, what)

    def columns():
        return {k: (list(a.obs), list(a.var), list(a.uns), list(a.obsm), list(a.varm)) for k, a in bad.mod.items()}

    before, uns = columns(), sorted(bad.uns)
    with pytest.raises(ChromatellError, match=message):
        ctl.tl.xchrom(bad, **{**QUICK, **options})
    assert columns() == before
    assert sorted(bad.uns) == uns


def test_other_wrong_calls(mdata, done, fasta):
    with pytest.raises(ChromatellError, match="Expected a MuData"):
        ctl.tl.xchrom(mdata["rna"], **QUICK)
    with pytest.raises(ChromatellError, match="key 'a/b' cannot be stored"):
        ctl.tl.xchrom(mdata, key_added="a/b", **QUICK)
    with pytest.raises(ChromatellError, match="takes an AnnData of expression"):
        ctl.tl.predict(np.ones(3), model=done)
    other = done.copy()
    other["atac"].var["ctl_selected"] = np.arange(130) < 20
    with pytest.raises(ChromatellError, match="del mdata.mod"):
        ctl.tl.xchrom(other, **QUICK)
    altered = done.copy()
    weights = altered.uns["ctl"]["models"]["xchrom"]["weights"]
    weights["tower.last.bias"] = weights["tower.last.bias"] + 1
    with pytest.raises(ChromatellError, match="hash"):
        ctl.tl.predict(done["rna"], model=altered)
    with pytest.raises(ChromatellError, match="'chr77'"):
        ctl.tl.predict(done["rna"], model=done, regions=["chr77:500-700"], fasta=fasta)


def test_a_model_that_reads_no_sequence_says_so(mdata, fasta, tmp_path):
    ctl.tl.dense(mdata, train_kwargs={"max_epochs": 1}, seed=0)
    known = list(mdata["atac"].var_names[:3])
    with pytest.raises(ChromatellError, match="a Dense model reads no sequence: leave it out. XChrom does"):
        ctl.tl.predict(mdata["rna"], model=mdata, regions=known, fasta=fasta)
    (tmp_path / "a.bed").write_text("chr1\t1\t200\n")
    for regions in (tmp_path / "a.bed", mdata["atac"].var[["chrom", "start", "end"]]):
        with pytest.raises(ChromatellError, match="need a model that reads sequence: XChrom"):
            ctl.tl.predict(mdata["rna"], model=mdata, regions=regions)
    with pytest.raises(ChromatellError, match="1 of the 1 regions are not among the 130"):
        ctl.tl.predict(mdata["rna"], model=mdata, regions=["chr1:1-2"])
    assert ctl.tl.predict(mdata["rna"], model=mdata, regions=known)["atac_pred"].shape == (120, 3)


def test_empty_cells_and_regions_are_kept(mdata):
    x = mdata["atac"].X.tolil()
    closed = rows_of(mdata["atac"].var, "train")[0]
    x[5], x[:, closed] = 0, 0
    mdata["atac"].X = x.tocsr()
    ctl.tl.xchrom(mdata, **QUICK)
    p = mdata["atac_pred"].X
    assert np.isfinite(p).all()
    assert p[:, closed].max() < np.median(p)


def test_the_references_own_example(data_dir, tmp_path):
    """91 cells of mouse brain with sequence in the file and components of their own: train, write, read, predict."""
    mdata = ctl.io.read(data_dir / "xchrom" / "mouse_brain_100cells.h5mu")
    cells = mdata["rna"].obs_names.intersection(mdata["atac"].obs_names)
    with md.set_options(pull_on_update=False):
        mdata = md.MuData({name: mdata[name][cells].copy() for name in ("rna", "atac")})
    ctl.pp.split_cells(mdata, seed=0)
    ctl.pp.split_regions(mdata, by="random", seed=0)
    ctl.tl.xchrom(mdata, **{**QUICK, "stem_filters": 4})
    model = ctl.models.load(mdata)
    assert model.embedding.key == "X_pca"
    assert mdata["atac_pred"].shape == (91, 901)
    assert np.isfinite(mdata["atac_pred"].X).all()
    with md.set_options(pull_on_update=False):
        mdata.write(tmp_path / "shared.h5mu")
    got = ctl.tl.predict(mdata["rna"], model=tmp_path / "shared.h5mu")
    np.testing.assert_allclose(got["atac_pred"].X, mdata["atac_pred"].X, atol=1e-6)
