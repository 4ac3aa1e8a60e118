"""What muon does to a MuData with a prediction in it."""

from __future__ import annotations

import mudata
import numpy as np
import pytest
from tests.helpers import dense_multiome

import chromatell as ctl

mu = pytest.importorskip("muon", reason="muon is not installed")


@pytest.fixture(scope="module")
def trained():
    return dense_multiome(120, 20, 40, n_types=2)


@pytest.fixture
def mdata(trained):
    return trained.copy()


def same(found, whole, cells) -> None:
    """The prediction, model and split are those of the same cells."""
    assert list(found.mod) == ["rna", "atac", "atac_pred"]
    at = whole.obs_names.get_indexer(cells)
    np.testing.assert_array_equal(found.mod["atac_pred"].X, whole.mod["atac_pred"].X[at])
    assert found.mod["atac_pred"].obs_names.tolist() == list(cells)
    assert found.obs["ctl_split"].astype(str).tolist() == whole.obs["ctl_split"].astype(str).iloc[at].tolist()
    assert ctl.io.model_keys(found) == ["dense"]
    again = ctl.get.prediction(found)
    assert again.var_names.tolist() == whole.mod["atac"].var_names.tolist()


def test_filters_in_place_and_views(mdata, trained):
    keep = trained.obs_names[::3]
    view = mdata[keep]
    assert view.is_view
    same(view, trained, keep)
    same(view.copy(), trained, keep)
    mu.pp.filter_obs(mdata, mdata.obs_names.isin(keep))
    same(mdata, trained, keep)
    ctl.tl.rank_regions(mdata, "cell_type", n_bootstrap=5, seed=0)


def test_a_filter_of_one_modality_and_then_of_all(mdata, trained):
    total = np.asarray(mdata.mod["rna"].X.sum(axis=1)).ravel()
    keep = trained.obs_names[total >= np.median(total)]
    mdata.mod["rna"].obs["total"] = total
    mu.pp.filter_obs(mdata.mod["rna"], "total", lambda x: x >= np.median(total))
    mu.pp.intersect_obs(mdata)
    same(mdata, trained, keep)


def test_update_and_a_filter_of_regions(mdata, trained):
    mdata.update()
    same(mdata, trained, trained.obs_names)
    names = mdata.mod["atac"].var_names
    mu.pp.filter_var(mdata.mod["atac"], np.arange(len(names)) < 30)
    mdata.update()
    assert mdata.mod["atac"].n_vars == 30
    same(mdata, trained, trained.obs_names)


def test_writing_and_reading(mdata, trained, tmp_path):
    mu.write(str(tmp_path / "a.h5mu"), mdata)
    same(mu.read(str(tmp_path / "a.h5mu")), trained, trained.obs_names)


def test_tf_idf_and_lsi_leave_the_prediction(mdata, trained):
    from muon import atac as ac

    before = mdata.mod["atac"].X.copy()
    joint = ctl.get.measured(mdata).copy()
    ac.pp.tfidf(joint.mod["atac"])
    ac.tl.lsi(joint.mod["atac"], n_comps=5)
    ctl.get.merge_results(mdata, joint)
    assert mdata.mod["atac"].obsm["X_lsi"].shape == (120, 5)
    np.testing.assert_array_equal(before.toarray(), mdata.mod["atac"].X.toarray())
    same(mdata, trained, trained.obs_names)


def test_verbs_of_every_modality_stop_or_take_what_was_measured(mdata):
    import scanpy as sc

    for name in ("rna", "atac"):
        sc.pp.pca(mdata.mod[name], n_comps=5)
        sc.pp.neighbors(mdata.mod[name], n_neighbors=10)
    with pytest.raises(ValueError, match="atac_pred"):
        mu.pp.neighbors(mdata)
    measured = ctl.get.measured(mdata)
    assert measured.mod["rna"].X is mdata.mod["rna"].X
    measured.obsm["X_joint"] = np.ones((120, 2))
    ctl.get.merge_results(mdata, measured)
    assert mdata.obsm["X_joint"].shape == (120, 2)


def never_predicted(mdata):
    """The same two modalities, in a MuData that never held a prediction."""
    return mudata.MuData({name: mdata.mod[name].copy() for name in ("rna", "atac")})


def test_a_fused_network_is_that_without_a_prediction(mdata):
    import scanpy as sc

    found = {}
    for key, data in {"measured": mdata, "never": never_predicted(mdata)}.items():
        for modality in ("rna", "atac"):
            adata = data.mod[modality]
            sc.pp.pca(adata, n_comps=5, random_state=0)
            sc.pp.neighbors(adata, n_neighbors=10, use_rep="X_pca", random_state=0)
            adata.obsp["distances"] = adata.obsp["distances"].toarray()  # findings/muon-snf-meets-numpy-matrix.sh
        part = ctl.get.measured(data) if key == "measured" else data
        mu.tl.snf(part)
        ctl.get.merge_results(data, part)
        found[key] = data.obsp["connectivities"]
    assert found["never"].nnz > 120
    assert abs(found["measured"] - found["never"]).sum() == 0


def test_mofa_has_a_view_a_measured_modality_and_its_factors_come_home(mdata, tmp_path):
    pytest.importorskip("mofapy2", reason="mofapy2 is not installed")

    def mofa(data, name):
        mu.tl.mofa(data, use_var=None, n_factors=3, n_iterations=5, seed=1, outfile=str(tmp_path / name))
        return data

    assert set(mofa(mdata.copy(), "all.hdf5").uns["mofa"]["variance"]) == {"rna", "atac", "atac_pred"}
    ctl.get.merge_results(mdata, mofa(ctl.get.measured(mdata), "measured.hdf5"))
    wanted = mofa(never_predicted(mdata), "never.hdf5")
    assert set(mdata.uns["mofa"]["variance"]) == {"rna", "atac"}
    np.testing.assert_array_equal(mdata.obsm["X_mofa"], wanted.obsm["X_mofa"])
    rows = mdata.var_names.get_indexer(wanted.var_names)
    np.testing.assert_array_equal(np.asarray(mdata.varm["LFs"])[rows], np.asarray(wanted.varm["LFs"]))
