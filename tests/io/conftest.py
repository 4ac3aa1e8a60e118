"""A small model and a small MuData that carries it."""

from __future__ import annotations

from pathlib import Path

import anndata
import mudata
import numpy as np
import pandas as pd
import pytest

from chromatell._compat import no_pull
from chromatell.io import Record, write_record


def make_record(small: bool = False) -> Record:
    rng = np.random.default_rng(1)
    names = ["bool", "float16", "float32", "float64", *(f"{k}{b}" for k in ("int", "uint") for b in (8, 16, 32, 64))]
    arrays = {f"weights.as_{name}": (rng.random((3, 4)) * 5).astype(name) for name in names}
    arrays |= {
        "weights.encoder.0.bias": np.array([-0.0, 0.0, np.nan, np.inf], "float32"),
        "weights.zeros": np.zeros((5, 2), "float32"),
        "weights.big_endian": np.arange(4, dtype=">f4"),
        "weights.fortran": np.asfortranarray(rng.random((4, 3))),
        "weights.empty": np.zeros((0, 4), "float32"),
        "scaling.scalar": np.float32(3),
        "history.train_loss": np.array([1.0, np.nan, 0.5]),
        "region.embedding": rng.random((2, 2)),
    }
    if small:
        arrays = {n: arrays[n] for n in ("weights.as_float32", "weights.zeros", "scaling.scalar", "history.train_loss")}
    config = {"n_hidden": [8, 4], "dropout": 1e-7, "norm": None, "covariates": {"batch": ["ü", "b"]}}
    names = {"rna": ["Sox2", "Näß", "遺伝子", ""], "atac": []}
    return Record("dense", 1, config, arrays, names, {"data": {"n_obs": 5}, "date": "2026-01-01"})


def make_mdata(small: bool = False) -> mudata.MuData:
    rna = anndata.AnnData(
        np.ones((5, 3), "float32"),
        obs=pd.DataFrame(index=[f"BARCODE{i}" for i in range(5)]),
        var=pd.DataFrame(index=["Sox2", "Pax6", "Gad1"]),
    )
    with no_pull():
        made = mudata.MuData({"rna": rna})
    made.uns["mine"] = {"text": "kept", "numbers": np.arange(3)}
    write_record(made, "my.model-1", make_record(small))
    return made


@pytest.fixture
def record() -> Record:
    return make_record()


@pytest.fixture
def small() -> Record:
    """The model in `stores`."""
    return make_record(small=True)


@pytest.fixture
def mdata() -> mudata.MuData:
    return make_mdata()


@pytest.fixture(scope="session")
def stores(tmp_path_factory) -> Path:
    """Return a folder with the same MuData as ``x.h5mu``, ``2.zarr`` and ``3.zarr``; copy before a change."""
    folder = tmp_path_factory.mktemp("stores")
    whole = make_mdata(small=True)
    whole.write(folder / "x.h5mu")
    for version in (2, 3):
        with anndata.settings.override(zarr_write_format=version):
            whole.write_zarr(folder / f"{version}.zarr")
    return folder
