"""``chromatell predict``: the same as the Python call; nothing is replaced unasked."""

from __future__ import annotations

import re

import anndata as ad
import mudata as md
import numpy as np
from tests.helpers import predicted

import chromatell as ctl
from chromatell.cli import main


def test_predict_equals_the_api(shared, query, capsys):
    out = query.with_name("predicted.h5mu")
    assert main(["predict", str(query), "--model", str(shared), "-o", str(out)]) == 0
    expected = ctl.tl.predict(query, model=shared)
    np.testing.assert_array_equal(predicted(ctl.io.read(out)), predicted(expected))
    np.testing.assert_allclose(predicted(expected), predicted(ctl.io.read(shared))[:30], atol=1e-6)
    assert f"Wrote the predictions for 30 cells to {out}." in capsys.readouterr().out


def test_predict_into_a_store_and_at_another_depth(shared, query):
    out, store = query.with_name("predicted.h5mu"), query.with_name("values.zarr")
    call = ["predict", str(query), "--model", str(shared), "-o", str(out), "--key", "dense", "--depth", "fixed"]
    assert main([*call, "--out-store", str(store)]) == 0
    expected = ctl.tl.predict(query, model=shared, depth="fixed")
    np.testing.assert_allclose(np.asarray(ctl.io.open_prediction(out).X), predicted(expected), atol=1e-6)


def test_predict_may_replace_the_query_only_when_told_to(shared, simulated, tmp_path):
    path = tmp_path / "query.h5mu"
    md.MuData({"rna": simulated.mod["rna"][:10].copy()}).write_h5mu(path)
    call = ["predict", str(path), "--model", str(shared), "-o", str(path)]
    assert main(call) == 2
    assert set(ctl.io.read(path).mod) == {"rna"}
    assert main([*call, "--overwrite"]) == 0
    assert set(ctl.io.read(path).mod) == {"rna", "atac_pred"}


def test_predict_never_replaces_the_model(shared, query, capsys):
    before = shared.read_bytes()
    call = ["predict", str(query), "--model", str(shared), "-o", str(shared)]
    assert main(call) == 2
    assert "is an input too" in capsys.readouterr().err
    for read in (str(query), str(shared)):
        assert main(["predict", read, *call[2:], "--overwrite"]) == 2
        assert "is the file of the model, which would be lost" in capsys.readouterr().err
    assert shared.read_bytes() == before


def test_a_store_is_not_the_output_and_is_never_replaced(shared, query, tmp_path, capsys):
    call = ["predict", str(query), "--model", str(shared), "--overwrite", "-o"]
    both = str(tmp_path / "both.zarr")
    assert main([*call, both, "--out-store", both]) == 2
    assert "is the output too" in capsys.readouterr().err
    (tmp_path / "there.zarr").mkdir()
    assert main([*call, both, "--out-store", str(tmp_path / "there.zarr")]) == 2
    assert "--overwrite does not replace stores of predictions" in capsys.readouterr().err


def test_regions_are_a_file_or_names(shared, query, tmp_path, refused, capsys):
    names = [str(name) for name in ctl.io.read(shared).mod["atac_pred"].var["region"].iloc[[3, 0]]]
    bed = tmp_path / "new.bed"
    bed.write_text("".join(re.sub("[:-]", "\t", name) + "\n" for name in names))
    values = []
    for i, said in enumerate((",".join(names), bed)):
        out = tmp_path / f"{i}.h5mu"
        assert main(["predict", str(query), "--model", str(shared), "-o", str(out), "--regions", str(said)]) == 0
        values.append(ctl.io.read(out).mod["atac_pred"])
        assert values[-1].var["region"].tolist() == names
    want = ctl.tl.predict(ad.read_h5ad(query), model=shared, regions=names).mod["atac_pred"].X
    for found in values:
        np.testing.assert_array_equal(found.X, want)
    capsys.readouterr()
    said = refused(["predict", query, "--model", shared, "-o", tmp_path / "x.h5mu", "--regions", "peaks"], 1)
    assert "file of regions 'peaks' is not there" in said
