"""What differs between releases of anndata and mudata."""

from __future__ import annotations

import anndata as ad
import mudata as md
import numpy as np
import pytest

from chromatell._compat import layer_names, no_pull


class WithNone:
    """As an AnnData of 0.13 looks: `layers` holds X under the key None."""

    layers = {None: np.ones(1), "counts": np.zeros(1)}


def test_x_is_no_layer():
    assert layer_names(WithNone()) == ["counts"]
    adata = ad.AnnData(np.ones((2, 2)), layers={"b": np.ones((2, 2)), "a": np.ones((2, 2))})
    assert sorted(layer_names(adata)) == ["a", "b"]


def test_columns_are_not_pulled_and_the_setting_is_restored():
    before = md.settings.pull_on_update if hasattr(md, "settings") else md._core.config.OPTIONS["pull_on_update"]
    rna = ad.AnnData(np.ones((2, 3)))
    rna.obs["n_genes"] = 3
    with no_pull():
        assert list(md.MuData({"rna": rna}).obs.columns) == []
    with pytest.raises(ZeroDivisionError), no_pull():
        1 / 0  # noqa: B018
    after = md.settings.pull_on_update if hasattr(md, "settings") else md._core.config.OPTIONS["pull_on_update"]
    assert after == before
