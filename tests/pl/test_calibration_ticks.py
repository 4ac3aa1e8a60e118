"""Ticks of `pl.calibration` can be read whatever the range of the probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure
from tests.helpers import assert_legible

import chromatell.pl as pl


@pytest.mark.parametrize("size", [(6, 4), (3.3, 2.5)])
@pytest.mark.parametrize(
    ("low", "high", "wanted"),
    [
        (0.0016, 0.065, [0.002, 0.005, 0.01, 0.02, 0.05]),  # of the mouse cortex, where one in 50 pairs is open
        (0.02, 0.8, [0.02, 0.05, 0.1, 0.2, 0.5]),
        (0.1, 0.4, [0.1, 0.2]),
        (1e-4, 0.9, [0.0001, 0.001, 0.01, 0.1]),
    ],
)
def test_ticks_are_plain_numbers_that_do_not_meet(mdata, low, high, wanted, size):
    for curves in mdata.uns["ctl"]["curves"]["cross-cell"].values():
        if isinstance(curves, dict):
            along = np.geomspace(low, high, 12).astype("f4")
            curves["reliability"] = np.stack([along, along, np.full(12, 9, dtype="f4")])
    figure = Figure(figsize=size, layout="constrained", dpi=100)
    ax = pl.calibration(mdata, "dense", ax=figure.subplots())
    assert_legible(figure)
    for axis in (ax.xaxis, ax.yaxis):
        assert not [t for t in axis.get_minorticklabels() if t.get_text()]
        shown = [float(t.get_text().replace("\N{MINUS SIGN}", "-")) for t in axis.get_majorticklabels() if t.get_text()]
        assert [value for value in shown if low <= value <= high] == wanted
