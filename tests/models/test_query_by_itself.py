"""A query that is an AnnData is called one in what is said of it, and the line that mends it runs."""

from __future__ import annotations

import numpy as np
import pytest
from tests.models.tiny_families import TRAIN, atacformer, cells, dense, xchrom

import chromatell as ctl
from chromatell import ChromatellError


def with_context():
    mdata = cells().copy()
    ctl.models.AtacFormer.setup_mudata(mdata, context="X_pca")
    return ctl.models.AtacFormer(mdata, d=16, k=8, n_hidden=16, n_layers=1, n_heads=2)


@pytest.mark.parametrize(
    ("make", "modality"),
    [(dense, "rna"), (xchrom, "rna"), (with_context, "rna"), (atacformer, "atac")],
    ids=["dense", "xchrom", "atacformer-context", "atacformer"],
)
def test_what_is_wrong_with_an_anndata_is_said_of_it_and_not_of_a_mudata(make, modality):
    model = make()
    model.train(**{**TRAIN, "max_epochs": 1})
    adata = model.adata.mod[modality].copy()
    right = model.predict(adata)

    adata.X = adata.X.toarray().astype("float32")
    adata.X[0] = 0
    if modality == "rna":
        with pytest.raises(ChromatellError) as error:
            model.predict(adata)
        assert "mdata" not in str(error.value)
        names = {"adata": adata, "np": np}
        exec(next(line for line in str(error.value).split(": ") if line.startswith("adata = ")).rstrip("."), names)
        np.testing.assert_allclose(model.predict(names["adata"]), right[1:], atol=1e-5)
    adata.X[0] = 1
    adata.X[1, :5] = -200
    with pytest.raises(ChromatellError, match=r"adata\.X holds 5 negative") as error:
        model.predict(adata)
    assert "mdata" not in str(error.value)
