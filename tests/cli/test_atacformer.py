"""``chromatell train --family atacformer`` and ``predict`` with it: the same as the Python calls, and clear errors."""

from __future__ import annotations

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest

import chromatell as ctl
from chromatell.cli import main
from chromatell.models import AtacFormer

TINY = {"d": 32, "n_layers": 1, "n_hidden": 32}
TRAIN = ["train", "IN", "-o", "OUT", "--family", "atacformer", "--seed", "3", "--max-epochs", "1"]


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    """A small network: what is tested is what the command passes on."""
    made = AtacFormer.__init__

    def small(self, *args, **options):
        sizes = {} if options.get("pretrained") is not None else TINY
        made(self, *args, **{**sizes, **options})

    monkeypatch.setattr(AtacFormer, "__init__", small)


@pytest.fixture(scope="module")
def simulated():
    return ctl.datasets.simulate_multiome(160, 25, 60, n_types=2, seed=0)


@pytest.fixture
def bins(simulated, tmp_path):
    simulated.mod["atac"].write_h5ad(tmp_path / "bins.h5ad")
    return tmp_path / "bins.h5ad"


@pytest.fixture
def paired(simulated, tmp_path):
    simulated.write_h5mu(tmp_path / "cells.h5mu")
    return tmp_path / "cells.h5mu"


def run(words, *, given, out, code=0):
    swap = {"IN": given, "OUT": out}
    assert main([str(swap.get(word, word)) for word in words]) == code


def said(capsys) -> str:
    captured = capsys.readouterr()
    return " ".join((captured.out + captured.err).split())


def test_bins_alone_equal_the_api_and_apply_to_new_cells(simulated, bins, tmp_path, capsys):
    out, answer = tmp_path / "typed.h5ad", tmp_path / "answer.h5mu"
    run([*TRAIN, "--labels", "cell_type", "--max-length", "40", "--eos", "outside"], given=bins, out=out)
    told = said(capsys)
    assert "cells are split" in told
    assert f"chromatell evaluate {out}" in told
    written = ad.read_h5ad(out)

    adata = simulated.mod["atac"].copy()
    ctl.pp.split_cells(adata, seed=3)
    options = {"labels": "cell_type", "max_length": 40, "eos": "outside"}
    ctl.tl.atacformer(adata, seed=3, train_kwargs={"max_epochs": 1}, **options)
    np.testing.assert_array_equal(written.obsm["X_atacformer"], adata.obsm["X_atacformer"])
    assert list(written.obs["cell_type_atacformer"]) == list(adata.obs["cell_type_atacformer"])

    query = tmp_path / "query.h5ad"
    adata[:20].copy().write_h5ad(query)
    run(["predict", "IN", "--model", out, "-o", "OUT"], given=query, out=answer)
    found = md.read_h5mu(answer).mod["atac_pred"]
    np.testing.assert_allclose(found.obsm["X_atacformer"], adata.obsm["X_atacformer"][:20], atol=1e-5)
    np.testing.assert_array_equal(found.X, ctl.tl.predict(query, model=out).mod["atac_pred"].X)
    assert found.uns["ctl"]["provenance"]["atacformer"]["uses_target_assay"]


def test_models_of_bins_are_scored_as_by_the_api(bins, tmp_path, capsys):
    trained, scored, csv = tmp_path / "typed.h5ad", tmp_path / "scored.zarr", tmp_path / "scores.csv"
    run([*TRAIN, "--labels", "cell_type"], given=bins, out=trained)
    capsys.readouterr()
    words = ["evaluate", "IN", "-o", "OUT", "--csv", csv, "--n-bootstrap", "20", "--removed", "0.3", "--seed", "1"]
    run(words, given=trained, out=scored)
    told = " ".join(capsys.readouterr().out.split())  # titles wrap where the path is long
    adata = ad.read_h5ad(trained)
    ctl.tl.evaluate(adata, n_bootstrap=20, removed=0.3, seed=1)
    expected = adata.uns["ctl"]["evaluation"]
    np.testing.assert_allclose(pd.read_csv(csv)["value"], expected["value"])
    np.testing.assert_allclose(ad.read_zarr(scored).uns["ctl"]["evaluation"]["value"], expected["value"])
    for shown in ("completion pairs", "labels pairs", "embedding pairs", "bin_frequency_depth", "macro f1"):
        assert shown in told
    assert "reads the cells' ATAC" not in told  # as all here do
    run(["evaluate", "IN"], given=bins, out=None, code=1)
    assert "Did not find a model in adata.uns" in said(capsys)
    run(["evaluate", "IN", "-o", "OUT"], given=trained, out=tmp_path / "scored.h5mu", code=2)
    assert "must end in .h5ad or .zarr" in said(capsys)
    run(["evaluate", "IN", "-o", "OUT"], given=scored, out=tmp_path / "scored.h5mu", code=2)
    assert "holds one AnnData: the output must end in .h5ad or .zarr" in said(capsys)


def test_a_context_gives_a_prediction_from_expression(simulated, paired, tmp_path, capsys):
    out, answer = tmp_path / "shared.h5mu", tmp_path / "answer.h5mu"
    run([*TRAIN, "--context", "X_pca", "--n-regions", "40", "--key", "mine"], given=paired, out=out)
    assert "chromatell evaluate" in said(capsys)
    mdata = simulated.copy()
    ctl.pp.split_cells(mdata, seed=3)
    ctl.pp.select_features(mdata, n_regions=40, seed=3)
    ctl.tl.atacformer(mdata, context="X_pca", key_added="mine", seed=3, train_kwargs={"max_epochs": 1})
    np.testing.assert_array_equal(md.read_h5mu(out).mod["atac_pred"].X, mdata.mod["atac_pred"].X)

    query = tmp_path / "rna.h5ad"
    mdata.mod["rna"][:20].copy().write_h5ad(query)
    run(["predict", "IN", "--model", out, "-o", "OUT"], given=query, out=answer)
    np.testing.assert_allclose(md.read_h5mu(answer).mod["atac_pred"].X, mdata.mod["atac_pred"].X[:20], atol=1e-5)


def test_it_goes_on_from_a_trained_model(bins, tmp_path):
    first, second = tmp_path / "first.h5ad", tmp_path / "second.zarr"
    run([*TRAIN, "--contrastive", "--key", "one"], given=bins, out=first)
    more = ["--pretrained", first, "--pretrained-key", "one", "--labels", "cell_type", "--label-balance"]
    run([*TRAIN, *more, "--key", "two"], given=first, out=second)
    written = ad.read_zarr(second)
    assert ctl.io.model_keys(written) == ["one", "two"]
    assert ctl.models.load(written, key="one").config["contrastive"] is not None
    two = ctl.models.load(written, key="two")
    assert two.config["label_balance"]
    assert two.network.d == TINY["d"]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--labels", "type"], 1, "did not find 'type' in obs; columns there: 'cell_type'"),
        (["--context", "X_scvi"], 1, "did not find adata.obsm['X_scvi']"),
        (["--dna-key", "X_dna"], 1, "ctl.pp.embed_sequence"),
        (["--decoder", "region_class"], 1, "ctl.pp.annotate_regions"),
        (["--max-length", "3"], 1, "leaves no room for bins"),
        (["--n-regions", "20"], 2, "--n-regions is of a MuData"),
        (["--predictions", "x.zarr"], 2, "--predictions is for what is predicted from a context"),
        (["--pretrained-key", "one"], 2, "Name the file: --pretrained"),
        (["--pretrained", "absent.h5ad"], 1, "is not there"),
        (["--loss", "bce"], 2, "--loss is for --family dense"),
        (["--batch-size", "32"], 2, "--batch-size is for --family dense or xchrom or nascent"),
        (["--depth-key", "n"], 2, "--depth-key is for"),
    ],
)
def test_a_call_that_cannot_end_well_is_one_line(words, code, message, bins, tmp_path, capsys):
    run([*TRAIN, *words], given=bins, out=tmp_path / "out.h5ad", code=code)
    error = said(capsys)
    assert message in error
    assert "Traceback" not in error
    assert {path.name for path in tmp_path.iterdir()} == {"bins.h5ad"}


def test_the_output_is_of_the_kind_of_the_input(bins, paired, tmp_path, capsys):
    run(TRAIN, given=bins, out=tmp_path / "out.h5mu", code=2)
    assert "must end in .h5ad or .zarr" in said(capsys)
    run(TRAIN, given=paired, out=tmp_path / "out.h5ad", code=2)
    assert "must end in .h5mu or .zarr" in said(capsys)
    run(["train", "-o", "OUT", "--family", "atacformer"], given=None, out=tmp_path / "out.h5ad", code=2)
    assert "Name a file of cells x bins" in said(capsys)
    run(["train", "IN", "-o", "OUT", "--labels", "cell_type"], given=paired, out=tmp_path / "out.h5mu", code=2)
    assert "--labels is for --family atacformer" in said(capsys)
