"""``tl.add_prediction``: names, order, range; nothing is guessed."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy.special import expit
from scipy.stats import rankdata

import chromatell as ctl
from chromatell import ChromatellError
from chromatell._settings import logger
from chromatell.data.predictions import prediction_keys, read_prediction
from chromatell.tl._add_prediction import add_prediction

N, M = 60, 30


@pytest.fixture
def mdata():
    mdata = ctl.datasets.simulate_multiome(N, 20, M, n_types=2, truth=False, seed=1)
    ctl.pp.split_cells(mdata, fractions=(0.6, 0.2, 0.2), seed=0)
    return mdata


@pytest.fixture
def values(rng):
    return rng.random((N, M)).astype(np.float32)


def named(mdata, values, regions=None) -> ad.AnnData:
    names = mdata.mod["atac"].var_names if regions is None else regions
    return ad.AnnData(values, obs=pd.DataFrame(index=mdata.obs_names), var=pd.DataFrame(index=names))


def test_arrays_of_any_kind(mdata, values):
    add_prediction(mdata, values, key="dense")
    add_prediction(mdata, sp.csr_matrix(values), key="sparse")
    add_prediction(mdata, values.astype(np.float64).tolist(), key="list")
    for key in ("dense", "sparse", "list"):
        np.testing.assert_array_equal(read_prediction(mdata, key), values)
    assert prediction_keys(mdata) == ["dense", "sparse", "list"]
    values[:] = 7  # what was stored is not the user's array
    assert read_prediction(mdata, "dense").max() <= 1


def test_names_are_matched_in_any_order_and_extra_ones_dropped(mdata, values, rng, caplog, monkeypatch):
    cells, regions = rng.permutation(N), rng.permutation(M)
    other = named(mdata, values)[cells][:, regions].copy()
    more = ad.AnnData(np.full((3, M + 2), 0.5, dtype=np.float32))
    more.obs_names = ["x1", "x2", "x3"]
    more.var_names = [*other.var_names, "chrX:1-2", "chrX:3-4"]
    other = ad.concat([more, other], join="outer", fill_value=0.1)
    monkeypatch.setattr(logger, "propagate", True)
    add_prediction(mdata, other, key="tool")
    add_prediction(mdata, ad.AnnData(sp.csc_matrix(other.X), obs=other.obs, var=other.var), key="sparse")
    np.testing.assert_array_equal(read_prediction(mdata, "tool"), values)
    np.testing.assert_array_equal(read_prediction(mdata, "sparse"), values)
    assert "Left out of the prediction: 3 cells and 2 regions" in caplog.text


def test_regions_in_other_styles(mdata, values):
    names = mdata.mod["atac"].var_names
    dashed = names.str.replace(":", "-")
    bare = names.str.replace("chr", "")
    for i, style in enumerate((dashed, bare, "atac_pred:" + names)):
        add_prediction(mdata, named(mdata, values, style), key=f"style{i}")
        np.testing.assert_array_equal(read_prediction(mdata, f"style{i}"), values)
    other = named(mdata, values, [f"r{i}" for i in range(M)])
    other.var["region"] = names
    add_prediction(mdata, other, key="column")
    np.testing.assert_array_equal(read_prediction(mdata, "column"), values)


@pytest.mark.parametrize("suffix", [".h5ad", ".zarr"])
def test_files(mdata, values, tmp_path, suffix):
    path = tmp_path / f"tool{suffix}"
    other = named(mdata, values)[::-1].copy()
    other.write_h5ad(path) if suffix == ".h5ad" else other.write_zarr(path)
    add_prediction(mdata, path, key="tool")
    add_prediction(mdata, str(path), key="again")
    np.testing.assert_array_equal(read_prediction(mdata, "tool"), values)
    np.testing.assert_array_equal(read_prediction(mdata, "again"), values)


def test_transforms(mdata, rng):
    x = rng.normal(size=(N, M))
    add_prediction(mdata, x, key="logits", transform="sigmoid")
    add_prediction(mdata, np.abs(x), key="rates", transform="poisson")
    add_prediction(mdata, x, key="ranks", transform="rank", uses_target_assay=True)
    np.testing.assert_allclose(read_prediction(mdata, "logits"), expit(x), rtol=1e-5)
    np.testing.assert_allclose(read_prediction(mdata, "rates"), 1 - np.exp(-np.abs(x)), rtol=1e-4)
    np.testing.assert_allclose(read_prediction(mdata, "ranks").ravel(), rankdata(x) / x.size, rtol=1e-4)
    record = mdata.mod["atac_pred"].uns["ctl"]["provenance"]
    assert record["ranks"]["transform"] == "rank"
    assert record["ranks"]["uses_target_assay"] is True
    assert record["logits"]["uses_target_assay"] is False


def test_rounding_around_one_is_forgiven(mdata, values):
    values[0, 0], values[0, 1] = 1 + 2e-6, -2e-6
    add_prediction(mdata, values, key="tool")
    assert read_prediction(mdata, "tool")[0, 0] == 1
    assert read_prediction(mdata, "tool")[0, 1] == 0


def test_beside_a_baseline_and_written_again(mdata, values):
    mdata.mod["atac"].var["ctl_selected"] = np.arange(M) % 3 == 0
    ctl.tl.baseline(mdata, "region_mean")
    add_prediction(mdata, named(mdata, values), key="tool")
    assert prediction_keys(mdata) == ["region_mean", "tool"]
    np.testing.assert_array_equal(read_prediction(mdata, "tool"), values[:, ::3])
    add_prediction(mdata, values[:, ::3] / 2, key="tool")
    np.testing.assert_array_equal(read_prediction(mdata, "tool"), values[:, ::3] / 2)
    ctl.tl.baseline(mdata, "knn", key_added="mine")
    with pytest.raises(ChromatellError, match="already holds 'mine', of family 'baseline'"):
        add_prediction(mdata, values[:, ::3], key="mine")


def test_copy(mdata, values):
    new = add_prediction(mdata, values, key="tool", copy=True)
    assert "atac_pred" not in mdata.mod
    np.testing.assert_array_equal(new.mod["atac_pred"].X, values)


def with_nan(values):
    values[3, 4] = np.nan
    return values


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (lambda m, v: v[:, :-1], {}, r"shape \(60, 29\); \(60, 30\) is needed"),
        (lambda m, v: v.T, {}, r"shape \(30, 60\)"),
        (lambda m, v: with_nan(v), {}, "1 NaN or infinite values of 1800"),
        (lambda m, v: v * 3 - 1, {}, "values from -0.999 to 2; probabilities.*transform='sigmoid'"),
        (lambda m, v: -v, {"transform": "poisson"}, "not negative. Use transform='rank'"),
        (lambda m, v: v, {"transform": "log"}, "transform='log' is not known"),
        (lambda m, v: v.astype(str), {}, "numbers are needed"),
        (lambda m, v: v.astype(object), {}, "numbers are needed"),
        (lambda m, v: v, {"key": "a b"}, "cannot be stored"),
        (lambda m, v: v, {"key": "knn"}, "name of a baseline"),
        (lambda m, v: named(m, v)[1:], {}, "lacks 1 of 60 cells"),
        (lambda m, v: named(m, v)[:, 2:], {}, "lacks 2 of 30 regions"),
        (lambda m, v: named(m, v, [f"p{i}" for i in range(M)]), {}, "lacks 30 of 30 regions.*named like 'p0'"),
        (lambda m, v: ad.AnnData(obs=pd.DataFrame(index=m.obs_names)), {}, "holds no values"),
        (lambda m, v: "prediction.npy", {}, r"read from a .h5ad or .zarr"),
        (lambda m, v: "not_there.h5ad", {}, "not_there.h5ad"),
    ],
)
def test_bad_input_changes_nothing(mdata, values, make, options, message):
    with pytest.raises(ChromatellError, match=message):
        add_prediction(mdata, make(mdata, values), **{"key": "tool", **options})
    assert sorted(mdata.mod) == ["atac", "rna"]


def test_repeated_names_are_refused(mdata, values):
    other = named(mdata, values)
    other.obs_names = [*other.obs_names[:-1], other.obs_names[0]]
    with pytest.raises(ChromatellError, match="1 repeated barcodes"):
        add_prediction(mdata, other, key="tool")


def test_joins_the_leaderboard(mdata, values):
    add_prediction(mdata, values, key="random")
    ctl.tl.evaluate(mdata, baselines=["region_mean"], views=["overall"], n_bootstrap=0)
    table = mdata.uns["ctl"]["evaluation"]
    rows = table[(table["model"] == "random") & (table["metric"] == "auroc")]
    assert not rows["is_baseline"].any()
    assert abs(rows["value"].iloc[0] - 0.5) < 0.15


def test_a_table_is_matched_by_its_names(mdata, values):
    """Taken in its own order, a table of sorted regions would be scored as another prediction."""
    table = named(mdata, values).to_df()
    add_prediction(mdata, table.iloc[::-1, ::-1], key="named")
    add_prediction(mdata, pd.DataFrame(values), key="bare")
    for key in ("named", "bare"):
        np.testing.assert_array_equal(read_prediction(mdata, key), values)
    with pytest.raises(ChromatellError, match="cells|regions"):
        add_prediction(mdata, table.rename(index={mdata.obs_names[0]: "another"}), key="lacking")
    with pytest.raises(ChromatellError, match="key=3 is of type int; text is needed"):
        add_prediction(mdata, values, key=3)


def test_a_prediction_that_concat_took_the_uns_of_is_said_to_be():
    mdata = ctl.datasets.simulate_multiome(40, 10, 12, seed=0)
    ctl.tl.add_prediction(mdata, np.full((40, 12), 0.1, dtype=np.float32), key="mine")
    mdata.mod["atac_pred"].uns.clear()
    with pytest.raises(
        ctl.ChromatellError, match=r"has lost its \.uns.*Predict again.*ctl\.tl\.predict\(mdata, model="
    ):
        ctl.get.prediction(mdata)
