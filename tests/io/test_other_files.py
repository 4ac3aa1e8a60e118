"""What holds no cells is told apart from a damaged file, and what reads it is named."""

from __future__ import annotations

import anndata
import numpy as np
import pytest
import zarr

import chromatell as ctl
from chromatell import ChromatellError
from chromatell.io import Record, open_cells, read


@pytest.mark.parametrize("reader", [read, open_cells])
def test_a_model_or_tracks_given_as_cells_are_read_by_the_call_that_the_error_names(tmp_path, reader):
    adata = anndata.AnnData(np.zeros((2, 3), "float32"))
    ctl.io.write_record(adata, "m", Record("dense", 1, {}, {"weights.b": np.zeros(3)}))
    folder = ctl.io.export_model(adata, "m", tmp_path / "model")
    values = {"chr1": np.array([[0.0, 1, 5]])}
    ctl.data.BinnedTracks(values, ["signal"], chrom_sizes={"chr1": 120}).save(tmp_path / "tracks.zarr")

    for path in (folder, folder / "model.safetensors"):
        with pytest.raises(ChromatellError, match=r"holds a model and no cells. ctl\.models\.load\("):
            reader(path)
    with pytest.raises(ChromatellError, match="holds tracks and no cells") as error:
        reader(tmp_path / "tracks.zarr")
    call = str(error.value).split("no cells. ")[1].removesuffix(" reads them.")
    assert eval(call, {"ctl": ctl}).names == ["signal"]


@pytest.mark.parametrize("reader", [read, open_cells])
def test_a_zarr_store_of_something_else_is_not_opened_as_no_cells(tmp_path, reader):
    root = zarr.open_group(str(tmp_path / "other.zarr"), mode="w")
    adata = anndata.AnnData(np.ones((2, 3), "float32"))
    anndata.io.write_elem(root.create_group("tables"), "table", adata)
    with pytest.raises(ChromatellError, match="neither an AnnData nor a MuData: it holds"):
        reader(tmp_path / "other.zarr")
    assert reader(tmp_path / "other.zarr" / "tables" / "table").shape == (2, 3)
