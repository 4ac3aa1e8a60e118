"""What a new user gets wrong: each mistake is named, with what mends it, and nothing is written."""

from __future__ import annotations

import logging

import pytest

import chromatell as ctl
from chromatell import ChromatellError

TINY = {"d": 32, "n_layers": 1, "n_hidden": 32, "train_kwargs": {"max_epochs": 1}}


@pytest.fixture
def cells():
    adata = ctl.datasets.simulate_multiome(150, 20, 50, seed=0).mod["atac"]
    adata.var_names_make_unique()
    ctl.pp.split_cells(adata, seed=0)
    return adata


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"context": ["X_pca"]}, r"context=\['X_pca'\] is of type list; text or None is needed"),
        ({"context": "X_pca"}, r"did not find adata.obsm\['X_pca'\]; there: none"),
        ({"labels": "expected_fragments"}, "classes .* training cells: these are no names of groups"),
        ({"labels": "organ"}, "did not find 'organ' in obs; columns there: 'cell_type'"),
        ({"n_layer": 2}, r"knows no option \['n_layer'\].*'empty'.*'n_layers'"),
        ({"dna_key": "X_dna"}, "ctl.pp.embed_sequence"),
        ({"max_length": 3}, "leaves no room for bins: .* tokens of a sentence are special"),
    ],
)
def test_a_wrong_option_is_named(cells, options, message):
    before = set(cells.obs), set(cells.obsm), set(cells.uns)
    with pytest.raises(ChromatellError, match=message):
        ctl.tl.atacformer(cells, **TINY, **options)
    assert (set(cells.obs), set(cells.obsm), set(cells.uns)) == before


def test_no_split_names_the_object_that_was_given(cells):
    del cells.obs["ctl_split"]
    with pytest.raises(ChromatellError, match=r"Did not find adata.obs\['ctl_split'\]. Run .*split_cells\(adata\)"):
        ctl.tl.atacformer(cells, **TINY)


def test_no_common_bins_are_refused_by_prediction_and_by_pretraining(cells):
    ctl.tl.atacformer(cells, **TINY)
    model = ctl.models.load(cells)
    other = cells.copy()
    del other.uns["ctl"]["models"]
    other.var_names = "hg19_" + other.var_names
    with pytest.raises(ChromatellError, match="holds 0 of the model's 50 bins .* genome build"):
        ctl.tl.predict(other, model=model)
    with pytest.raises(ChromatellError, match="pretrained= knows none of the 50 bins .*'hg19_chr"):
        ctl.tl.atacformer(other, pretrained=model, train_kwargs={"max_epochs": 1})
    assert "models" not in other.uns["ctl"]


def test_it_says_how_many_sentences_are_cut(cells, caplog):
    caplog.set_level(logging.INFO, logger="chromatell")
    n_eos = cells.var["chrom"].nunique()
    ctl.tl.atacformer(cells, max_length=1 + n_eos + 1, **TINY)
    train = (cells.obs["ctl_split"] == "train").to_numpy()
    share = ((cells.X[train] > 0).sum(axis=1) > 1).mean()
    assert f"{share:.1%} of the training cells have over 1 open bins" in caplog.text
