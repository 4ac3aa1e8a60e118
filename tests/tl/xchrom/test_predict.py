"""``tl.predict`` with an XChrom model: cells and regions seen and unseen."""

from __future__ import annotations

from functools import partial

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from tests.helpers import check_prediction_in_a_store, rows_of
from tests.tl.xchrom.made import QUICK

import chromatell as ctl
from chromatell import ChromatellError, ChromatellWarning
from chromatell._compat import no_pull

WIDTH, LENGTH = 220, 200


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
    with no_pull():
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
    one = ctl.tl.predict(done["rna"], model=done, regions=known[0])["atac_pred"].X
    np.testing.assert_allclose(one, whole[:, [3]], atol=1e-6)
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


def test_predictions_above_the_limit_go_to_a_store(mdata, fasta, tmp_path, monkeypatch):
    want = check_prediction_in_a_store(mdata, partial(ctl.tl.xchrom, **QUICK), tmp_path, monkeypatch)
    new = ["chr1:500-700", mdata["atac"].var_names[0]]
    got = ctl.tl.predict(mdata["rna"], model=mdata, regions=new, fasta=fasta, out=tmp_path / "new.zarr")
    assert "atac_pred" not in got.mod
    store = ad.read_zarr(tmp_path / "new.zarr")
    assert list(store.var_names) == new
    np.testing.assert_allclose(np.asarray(store.X)[:, 1], want[:, 0], atol=1e-6)


def test_a_model_that_reads_no_sequence_says_so(mdata, fasta, tmp_path):
    ctl.tl.dense(mdata, train_kwargs={"max_epochs": 1}, seed=0)
    known = list(mdata["atac"].var_names[:3])
    with pytest.raises(ChromatellError, match="a Dense model reads no sequence: leave it out. XChrom does"):
        ctl.tl.predict(mdata["rna"], model=mdata, regions=known, fasta=fasta)
    (tmp_path / "a.bed").write_text("chr1\t1\t200\n")
    for regions in (tmp_path / "a.bed", ["chr1:1-2"]):
        with pytest.raises(ChromatellError, match="need a model that reads sequence: XChrom"):
            ctl.tl.predict(mdata["rna"], model=mdata, regions=regions)
    assert ctl.tl.predict(mdata["rna"], model=mdata, regions=known)["atac_pred"].shape == (120, 3)
