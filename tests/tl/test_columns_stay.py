"""Columns of the user's own tables keep values and types when predictions are added."""

from __future__ import annotations

import anndata
import mudata
import numpy as np
import pandas as pd

import chromatell as ctl


def test_columns_of_mdata_var(rng):
    """A predicted region has the values of the region itself; nothing becomes nullable, float or object."""
    plain = ctl.datasets.simulate_multiome(60, 8, 12, n_types=2, seed=0)
    others = anndata.AnnData(np.ones((60, 3), "float32"), obs=pd.DataFrame(index=plain.obs_names))
    others.var_names = ["p1", "p2", "p3"]
    # a modality before `atac`, so that places differ
    mdata = mudata.MuData({"protein": others, "atac": plain.mod["atac"], "rna": plain.mod["rna"]})
    mdata.obs["cell_type"] = plain.obs["cell_type"].to_numpy()
    n = mdata.n_vars
    mdata.var["flag"] = rng.random(n) < 0.5
    mdata.var["rank"] = np.arange(n, dtype="int32")
    mdata.var["share"] = rng.random(n).astype("float32")
    mdata.var["word"] = pd.Categorical([f"w{i % 3}" for i in range(n)])
    mdata.obs["cell"] = np.arange(60, dtype="int16")
    before, types = mdata.var.copy(), mdata.obs.dtypes
    ctl.pp.split_cells(mdata, seed=0)
    ctl.tl.dense(mdata, train_kwargs={"max_epochs": 1}, seed=0)
    ctl.tl.baseline(mdata, "region_mean")
    assert mdata.var.iloc[:n].equals(before)
    assert mdata.obs.dtypes[types.index].equals(types)
    regions = mdata.mod["atac_pred"].var["region"]
    predicted = mdata.var.iloc[n:]
    assert len(predicted) == len(regions) == 12
    assert predicted["rank"].tolist() == [3 + mdata.mod["atac"].var_names.get_loc(r) for r in regions]
    for column in before:
        assert predicted[column].tolist() == before[column].iloc[predicted["rank"]].tolist()


def test_columns_of_the_table_of_tracks(rng):
    signal = rng.poisson(0.4, 400)
    tracks = ctl.data.BinnedTracks(
        {"chr1": [signal, signal > 1, signal > 2]}, ["plus", "one", "two"], chrom_sizes={"chr1": 20_000}
    )
    tracks.table.loc["plus", "role"] = "input"
    tracks.table["replicate"] = np.array([1, 2, 3], dtype="int32")
    tracks.table["good"] = [True, False, True]
    types = tracks.table.dtypes
    ctl.tl.nascent(tracks, window=5, train_kwargs={"max_epochs": 2}, seed=0)
    assert tracks.table.dtypes.equals(types)
    assert tracks.table.loc[["one_nascent", "two_nascent"], ["replicate", "good"]].to_numpy().tolist() == [
        [2, False],
        [3, True],
    ]
