"""What the leaderboard of cells refuses, and that nothing is changed by it."""

from __future__ import annotations

import mudata
import numpy as np
import pandas as pd
import pytest
from tests.tl.made_cells import predicted_cells

from chromatell._validate import ChromatellError
from chromatell.tl._evaluate import evaluate


@pytest.fixture(scope="module")
def simulated() -> mudata.MuData:
    return predicted_cells()


def _no_split(m):
    del m.obs["ctl_split"]


def _no_prediction(m):
    del m.mod["atac_pred"]


def _no_test(m):
    m.obs["ctl_split"] = "train"


def _no_positive(m):
    m["atac"].X = m["atac"].X.multiply((m.obs["ctl_split"] != "test").to_numpy()[:, None]).tocsr()


def _nan(m):
    x = m["atac_pred"].X.copy()
    x[np.flatnonzero(m.obs["ctl_split"] == "test")[0], 0] = np.nan
    m["atac_pred"].X = x


def _other_regions(m):
    m["atac_pred"].var["region"] = ["chr9:1-2", *m["atac_pred"].var["region"].astype(str)[1:]]


def _baseline_name(m):
    m["atac_pred"].layers["region_mean"] = m["atac_pred"].X.copy()


@pytest.mark.parametrize(
    ("spoil", "kwargs", "match"),
    [
        (_no_split, {}, r"ctl_split.*ctl\.pp\.split_cells"),
        (_no_prediction, {}, r"atac_pred.*ctl\.tl\.dense"),
        (_no_test, {}, r"holds no 'test' cell.*ctl\.pp\.split_cells"),
        (_no_positive, {}, r"225 'test' cells no one of the 200 predicted regions is open.*ctl\.pp\.split_cells"),
        (_nan, {}, r"prediction 'true' holds 1 NaN.*models="),
        (_other_regions, {}, r"1 of 200 predicted regions .*chr9:1-2.*not in"),
        (_baseline_name, {}, r"has the name of a baseline.*layers.pop"),
        (None, {"views": []}, r"views=\[\] names no view. Leave it out for all of them: overall, per_cell"),
        (None, {"models": "absent"}, r"No prediction 'absent'.*'true', 'noisy'"),
        (None, {"views": ["overal"]}, r"views='overal' is not known.*per_cell"),
        (None, {"baselines": ["mean"]}, r"baselines='mean' is not known.*region_mean"),
        (None, {"split": "holdout"}, r"split='holdout'"),
        (None, {"key_added": "a/b"}, "cannot be stored"),
        (None, {"depth_key": "reads"}, r"Did not find .*reads"),
        (None, {"n_bootstrap": -1}, "n_bootstrap=-1"),
        (None, {"max_regions": 0}, "max_regions=0"),
        (None, {"regions": 3}, "regions=3 is of type int; text, a list of names"),
    ],
)
@pytest.mark.filterwarnings("ignore:Nothing says what the prediction .region_mean. was trained on")
def test_bad_input_changes_nothing(simulated, spoil, kwargs, match):
    mdata = simulated.copy()
    if spoil is not None:
        spoil(mdata)
    before = mdata.copy()
    with pytest.raises(ChromatellError, match=match):
        evaluate(mdata, **{"baselines": ["region_mean"], "n_bootstrap": 0, **kwargs})
    assert set(mdata.uns["ctl"]) == set(before.uns["ctl"])
    pd.testing.assert_frame_equal(mdata.obs, before.obs, check_dtype=False)  # a copy may hold text as another dtype
    for name in mdata.mod:
        pd.testing.assert_frame_equal(mdata[name].var, before[name].var)
        pd.testing.assert_frame_equal(mdata[name].obs, before[name].obs)
