"""What differs between releases of anndata and mudata."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import mudata as md
import numpy as np
import pytest

import chromatell as ctl
from chromatell._compat import layer_names, no_pull
from chromatell.data.predictions import prediction_keys, read_prediction, written_together


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


def pair() -> md.MuData:
    rna = ad.AnnData(np.ones((4, 2), "float32"))
    atac = ad.AnnData(np.ones((4, 3), "float32"))
    atac.var_names = [f"chr1:{i}00-{i}50" for i in range(1, 4)]
    for mod in (rna, atac):
        mod.obs["batch"] = ["a", "b"] * 2
    with no_pull():
        return md.MuData({"rna": rna, "atac": atac})


def test_x_is_one_prediction_and_not_two(x_among_layers):
    mdata = pair()
    values = np.linspace(0, 1, 12, dtype=np.float32).reshape(4, 3)
    ctl.tl.add_prediction(mdata, values, key="mine")
    assert prediction_keys(mdata) == ["mine"]
    np.testing.assert_array_equal(read_prediction(mdata, "mine"), values)


def test_an_interval_of_tracks_has_no_layer_of_x(x_among_layers):
    tracks = ctl.data.BinnedTracks(
        {"chr1": np.arange(8, dtype=np.float32)[None]}, ["plus"], bin_size=50, chrom_sizes={"chr1": 400}
    )
    back = ctl.data.BinnedTracks.from_anndata(tracks.to_anndata("chr1:0-400"))
    assert back.layers == {}


def test_what_was_written_is_taken_back_where_x_is_among_the_layers(x_among_layers):
    mdata = pair()
    x = np.zeros((4, 3), np.float32)
    ctl.tl.add_prediction(mdata, x, key="mine")

    def stopped():
        with written_together(mdata):
            mdata.mod["atac_pred"].X = np.ones((4, 3), np.float32)
            raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        stopped()
    np.testing.assert_array_equal(mdata.mod["atac_pred"].X, x)


def test_no_file_asks_mudata_for_its_setting_by_itself():
    source = Path(ctl.__file__).parent
    others = [p for p in source.rglob("*.py") if p.name != "_compat.py" and "pull_on_update" in p.read_text("utf-8")]
    assert others == []
