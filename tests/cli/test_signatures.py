"""Options of the command line are the keywords of Python: none is missing, and each reaches the call."""

from __future__ import annotations

import argparse
import inspect
from dataclasses import fields
from pathlib import Path

import anndata as ad
import mudata as md
import numpy as np
import pytest
import scipy.sparse as sp
from tests.helpers import file_names

import chromatell as ctl
from chromatell.cli import _parser_train, main
from chromatell.cli._parser import build_parser, commands_of
from chromatell.cli._signatures import FAMILIES, NOT_TYPED, Keyword, assigned, keywords, option_names, settable
from chromatell.evaluation.tasks import TASKS
from chromatell.models import family_class
from chromatell.models.atacformer._module import AtacFormerConfig
from chromatell.models.atacformer._sentences import Masking
from chromatell.models.dense._module import DenseConfig
from chromatell.models.nascent._config import NascentConfig
from chromatell.models.xchrom._module import XChromConfig
from chromatell.nn.sequence_tower import TowerConfig

CALLS = {
    "predict": ("tl.predict",),
    "evaluate": ("tl.evaluate",),
    "ism": ("tl.ism",),
    "variant": ("tl.variant_effect",),
    "train": tuple(f"{place}.{family}" for family in FAMILIES for place in ("tl", "models")),
}


def real(call):
    place, name = call.split(".")
    function = getattr(ctl.tl, name) if place == "tl" else family_class(name).__init__
    found = inspect.signature(function).parameters.values()
    of_tasks = {name for task in TASKS for name in task.own_options} if call == "tl.evaluate" else set()
    return {p.name for p in found if p.kind is inspect.Parameter.KEYWORD_ONLY} | of_tasks


@pytest.mark.parametrize("command", CALLS)
def test_every_keyword_is_an_option_by_its_name(command):
    options = option_names(commands_of(build_parser())[command])
    for call in CALLS[command]:
        untyped = set(NOT_TYPED.get(call, ()))
        assert untyped <= real(call)
        assert set(keywords(call)) == real(call) - untyped
        assert real(call) - untyped <= options, call


def test_the_families_are_those_of_the_package():
    families = tuple(ctl.models.FAMILIES)
    assert families == FAMILIES
    train = commands_of(build_parser())["train"]
    assert next(a.choices for a in train._actions if a.dest == "family") == families
    groups = [g.title.removeprefix("for --family ") for g in train._action_groups if g.title.startswith("for --family")]
    assert tuple(groups) == families


def test_a_family_more_needs_no_line_in_the_parser(monkeypatch):
    """One that is in the list of the package is a choice, with the keywords of its verb and class as options."""
    more = (*FAMILIES, "lowrank")
    monkeypatch.setattr(_parser_train, "FAMILIES", more)
    own = _parser_train.of_family
    said = {"rank": Keyword("rank", "int", "number of components")}
    monkeypatch.setattr(_parser_train, "of_family", lambda family: said if family == "lowrank" else own(family))
    args = build_parser().parse_args(["train", "IN", "-o", "OUT.h5mu", "--family", "lowrank", "--rank", "7"])
    assert (args.family, args.rank) == ("lowrank", 7)


def test_types_and_words_are_those_of_the_source():
    actions = {a.dest: a for a in commands_of(build_parser())["predict"]._actions}
    assert actions["dtype"].choices == ("float32", "float16")
    assert actions["top_k"].type is int
    assert actions["groupby"].help == "column of obs: return the mean over the cells of each group, and not the cells"
    assert isinstance({a.dest: a for a in commands_of(build_parser())["train"]._actions}["stack"].default, type(None))


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("n_latent=64", ("n_latent", 64)),
        ("dropout=0.1", ("dropout", 0.1)),
        ("filters=(8, 8)", ("filters", (8, 8))),
        ("gelu_after=false", ("gelu_after", False)),
        ("norm=layer", ("norm", "layer")),
        ("pool=a=b", ("pool", "a=b")),
    ],
)
def test_any_other_option_of_a_model(text, want):
    assert assigned(text) == want


@pytest.mark.parametrize(
    ("option", "text", "want"),
    [
        ("resolutions", "50,1000", [50, 1000]),
        ("threshold", "0.5", 0.5),
        ("threshold", "H3K4me3=2,a=b=1.5", {"H3K4me3": 2.0, "a=b": 1.5}),
        ("motifs", "motifs.meme", "motifs.meme"),
        ("motifs", "CTCF,MA0139.2", ["CTCF", "MA0139.2"]),
        ("within", "chr1:0-500,chr2:5-9", ["chr1:0-500", "chr2:5-9"]),
        ("within", "measured.bed", Path("measured.bed")),
        ("block", "100000", 100_000),
        ("targets", "a,b", ["a", "b"]),
    ],
)
def test_options_of_one_kind_of_data_are_as_python_takes_them(option, text, want):
    assert vars(build_parser().parse_args(["evaluate", "IN", f"--{option}", text]))[option] == want


@pytest.mark.parametrize(
    ("option", "text", "message"),
    [
        ("resolutions", "50,x", "is not whole numbers joined by commas"),
        ("threshold", "high", "is neither a number nor names with theirs"),
        ("threshold", "a=1,2", "has a number without a name"),
    ],
)
def test_what_python_would_not_take(option, text, message, refused):
    assert message in refused(["evaluate", "IN.zarr", f"--{option}", text], 2)


@pytest.mark.parametrize("text", ["n_latent", "=3", "n-latent=3"])
def test_what_is_no_assignment(text):
    with pytest.raises(argparse.ArgumentTypeError, match="is not NAME=VALUE, such as n_latent=64"):
        assigned(text)


def test_what_is_typed_reaches_training(cells, monkeypatch):
    found = {}
    monkeypatch.setattr(ctl.tl, "dense", lambda mdata, **options: found.update(options))
    store = cells.with_name("p.zarr")
    words = ["--no-stack", "--linked-genes", "--covariates", "a,b", "--batch-key", "c", "--set", "n_latent=9"]
    words += ["--predictions", str(store), "--key", "k"]
    assert main(["train", str(cells), "-o", str(cells.with_name("out.h5mu")), *words]) == 0
    assert {k: found[k] for k in ("stack", "linked_genes", "batch_key", "n_latent", "key_added")} == {
        "stack": False, "linked_genes": True, "batch_key": "c", "n_latent": 9, "key_added": "k",
    }  # fmt: skip
    assert (found["continuous_covariate_keys"], found["out"]) == (["a", "b"], store)


def test_an_option_of_another_family(cells, refused):
    error = refused(["train", cells, "-o", cells.with_name("out.h5mu"), "--family", "atacformer", "--no-stack"], 2)
    assert "--stack is for --family dense or xchrom; this is --family atacformer." in error


@pytest.mark.parametrize("word", ["copy=true", "train_kwargs={}", "stack=false"])
def test_what_the_command_does_itself_is_not_set(cells, refused, word):
    error = refused(["train", cells, "-o", cells.with_name("out.h5mu"), "--set", word], 2)
    assert f"--set {word.split('=')[0]}=... is no option of the network alone" in error


@pytest.mark.parametrize("name", ["max_epochs", "n_genes"])
def test_an_option_of_the_command_is_named_where_it_is_set(cells, refused, name):
    error = refused(["train", cells, "-o", cells.with_name("out.h5mu"), "--set", f"{name}=3"], 2)
    assert f"--set {name}=...: that is the option --{name.replace('_', '-')} of this command." in error


@pytest.mark.parametrize(
    ("family", "configs"),
    [
        ("dense", [DenseConfig]),
        ("xchrom", [XChromConfig, TowerConfig]),
        ("atacformer", [AtacFormerConfig, Masking]),
        ("nascent", [NascentConfig]),
    ],
)
def test_a_name_that_no_network_knows_is_told_before_anything_is_read(family, configs, tmp_path, refused):
    """The names that are read from the source are those of Python."""
    known = {field.name for config in configs for field in fields(config)}
    assert settable(family) - {"length"} == known
    out = tmp_path / ("o.zarr" if family == "nascent" else "o.h5mu")
    error = refused(["train", "absent.h5mu", "-o", out, "--family", family, "--set", f"{min(known)}s=4"], 2)
    assert f"{family} knows no such option. Did you mean '" in error
    assert file_names(tmp_path) == set()


def test_the_best_regions_and_the_means_of_groups(shared, query, tmp_path):
    whole = ctl.tl.predict(query, shared).mod["atac_pred"].X
    out = tmp_path / "best.h5mu"
    assert main(["predict", str(query), "--model", str(shared), "-o", str(out), "--top-k", "3"]) == 0
    best = md.read_h5mu(out).mod["atac_pred"].X
    assert sp.issparse(best)
    np.testing.assert_allclose(best.max(axis=1).toarray().ravel(), whole.max(axis=1), rtol=1e-6)
    assert (np.diff(best.tocsr().indptr) == 3).all()
    cells = ad.read_h5ad(query)
    cells.obs["kind"] = np.where(np.arange(cells.n_obs) < 10, "a", "b")
    cells.write_h5ad(query)
    out = tmp_path / "means.h5mu"
    assert main(["predict", str(query), "--model", str(shared), "-o", str(out), "--groupby", "kind"]) == 0
    means = md.read_h5mu(out).mod["atac_pred"]
    np.testing.assert_allclose(means["a"].X.ravel(), whole[:10].mean(axis=0), rtol=1e-5)
