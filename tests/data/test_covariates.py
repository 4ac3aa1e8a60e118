"""Batches that are numbers: pandas reads integers as floats as soon as one is missing."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from chromatell._validate import ChromatellWarning
from chromatell.data.covariates import Covariates


def cells(batches) -> ad.AnnData:
    obs = pd.DataFrame({"run": batches}, index=[f"c{i}" for i in range(len(batches))])
    return ad.AnnData(np.ones((len(batches), 1), dtype=np.float32), obs=obs)


@pytest.mark.parametrize("trained", [[1, 2, 12, 2], [1.0, 2.0, 12.0, 2.0], ["1", "2", "12", "2"]])
@pytest.mark.parametrize("asked", [[12, 1, 2], ["12", "1", "2"], pd.Categorical([12, 1, 2])])
def test_a_whole_number_is_one_level_however_it_is_written(trained, asked):
    fitted = Covariates.fit(cells(trained), np.arange(4), "run", [])
    order = [level.removesuffix(".0") for level in fitted.levels]
    by_hand = np.array([[float(name == level) for level in order] for name in ("12", "1", "2")])
    np.testing.assert_array_equal(fitted.transform(cells(asked), np.arange(3)), by_hand)


def test_one_missing_value_leaves_the_others_known():
    fitted = Covariates.fit(cells([1, 2, 2, 2]), np.arange(4), "run", [])
    with pytest.warns(ChromatellWarning, match="1 of 3 cells have no 'run'") as said:
        found = fitted.transform(cells([2, np.nan, 1]), np.arange(3))
    assert len(said) == 1
    np.testing.assert_array_equal(found, [[0, 1], [0.25, 0.75], [1, 0]])


def test_other_numbers_are_other_levels():
    fitted = Covariates.fit(cells(["1", "01", "v1", "1.5"]), np.arange(4), "run", [])
    with pytest.warns(ChromatellWarning, match=r"3 levels of 'run' were not in training"):
        found = fitted.transform(cells(["1.50", "v1.0", "001", "01"]), np.arange(4))
    np.testing.assert_array_equal(found[:3], np.full((3, 4), 0.25))
    assert fitted.levels[int(found[3].argmax())] == "01"
