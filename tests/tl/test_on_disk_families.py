"""The families beside Dense, and the verbs that read predictions, give on disk what they give in memory."""

from __future__ import annotations

import anndata as ad
import mudata as md
import numpy as np
import pytest
from tests.models import tiny_families as tiny

import chromatell as ctl


def written(mdata, folder):
    """Return the same cells with the matrices left in a file."""
    mdata.write(folder / "m.h5mu")
    return md.read_h5mu(folder / "m.h5mu", backed="r")


@pytest.mark.parametrize("family", ["xchrom", "atacformer"])
def test_training_and_prediction_equal_those_in_memory(family, tmp_path):
    in_memory = tiny.MODELS[family]()
    source = in_memory._adata
    kept = {name: source.mod[name].copy() for name in source.mod}
    on_disk = written(md.MuData(kept), tmp_path)
    for column in source.obs:
        on_disk.obs[column] = source.obs[column].to_numpy()
    model = type(in_memory)
    setup = in_memory.registry_["setup_args"]
    model.setup_mudata(on_disk, **setup)
    stored = model(on_disk, **OPTIONS[family])
    for one in (in_memory, stored):
        one.train(max_epochs=2, seed=0, precision="32-true")
    for name, values in in_memory.to_record().arrays.items():
        if np.issubdtype(values.dtype, np.floating):
            np.testing.assert_allclose(stored.to_record().arrays[name], values, atol=1e-4, rtol=1e-4, err_msg=name)
    np.testing.assert_allclose(stored.predict(on_disk), in_memory.predict(source), atol=1e-4)


OPTIONS = {
    "xchrom": {"stem_filters": 8, "hidden_filters": 8, "n_embed": 4, "n_pcs": 4, "warm_epochs": 2, "dropout": 0.0,
               "max_shift": 0},
    "atacformer": {"d": 16, "k": 8, "n_hidden": 16, "n_layers": 1, "n_heads": 2, "dropout": 0.0},
}  # fmt: skip


def test_neighbor_score_and_predictions_of_others(tmp_path):
    mdata = tiny.cells().copy()
    ctl.pp.split_regions(mdata, by="random", fractions=(0.6, 0.1, 0.3), seed=0)
    mdata.mod["rna"].obsm["mine"] = np.asarray(mdata.mod["rna"].X[:, :8].todense(), dtype=np.float32)
    predicted = np.random.default_rng(0).random((mdata.n_obs, 40)).astype(np.float32)
    other = ad.AnnData(predicted, obs=mdata.obs[[]].copy(), var=mdata.mod["atac"].var[[]].copy())
    other.write_h5ad(tmp_path / "other.h5ad")
    found = []
    for cells, prediction in (
        (mdata, other),
        (written(mdata, tmp_path), ad.read_h5ad(tmp_path / "other.h5ad", backed="r")),
    ):
        ctl.tl.neighbor_score(cells, key="mine", n_neighbors=[10], seed=0)
        ctl.tl.add_prediction(cells, prediction, key="other")
        found.append(cells)
    first, second = (one.uns["ctl"]["neighbor_score"] for one in found)
    np.testing.assert_allclose(second["value"], first["value"], atol=1e-6)
    np.testing.assert_array_equal(found[1].mod["atac_pred"].X, predicted)
