"""Every call, attribute, key, option and command that a message prints is there, whether or not its cure is run."""

from __future__ import annotations

import argparse
import ast
import inspect
import re
import shlex
import tomllib
from dataclasses import fields, is_dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import anndata as ad
import mudata as md
import numpy as np
import pytest
from tests.cures.inputs import tracks
from tests.cures.printed import HOLE, Message, chains, flags, messages, options

import chromatell as ctl
from chromatell import _keys
from chromatell.cli._parser import UsageError, build_parser
from chromatell.cli._signatures import of_family
from chromatell.evaluation.tasks import TASKS

ROOT = Path(__file__).parents[2]
NAMESPACES = ("pp", "tl", "pl", "get", "models", "datasets", "metrics", "genome", "io", "data")
FAMILIES = {"dense": "Dense", "xchrom": "XChrom", "atacformer": "AtacFormer", "nascent": "Nascent"}
KEYS = {v for v in vars(_keys).values() if isinstance(v, str)}
FILES = re.compile(r"\.(?:h5ad|h5mu|zarr|html|safetensors|bw|vcf|csv)\b")
_SHARED = ("models._train_config", "nn.sequence_tower", "nn.region_side")
OTHERS = {  # keywords that no public function has by name
    "backed": "anndata.read_h5ad",
    "full_check": "check_format of SciPy",
    "obs": "AnnData",
    "padding": "a layer of torch",
    "dilation": "a layer of torch",
    "ceil_mode": "a layer of torch",
    "background": "private: the frequencies of bases, from the sequences",
    "n_" + HOLE: "n_genes and n_regions",
}


@cache
def printed() -> list[Message]:
    return messages()


@cache
def examples() -> dict[str, Any]:
    """An object for each name that messages begin with."""
    mdata = ctl.datasets.simulate_multiome(6, 3, 4, seed=0)
    rna, atac = mdata.mod["rna"], mdata.mod["atac"]
    roots = {"ctl": ctl, "np": np, "mudata": md, "pp": ctl.pp, "tl": ctl.tl, "pl": ctl.pl, "model": ctl.models.Dense}
    binned = tracks(None, "plain")(None)["tracks"]
    return {**roots, "mdata": mdata, "adata": rna, "rna": rna, "atac": atac, "tracks": binned}


class Wrong(Exception):
    """What a message prints is not there."""


def resolve(node: ast.expr) -> Any:
    """Return what an expression gives as far as it is known without running it, or None; raise `Wrong`."""
    if isinstance(node, ast.Name):
        return examples().get(node.id)
    if isinstance(node, ast.Attribute):
        value = resolve(node.value)
        if value is None or HOLE in node.attr or node.attr == "X":  # a matrix of any kind
            return None
        owners = [getattr(ctl.models, f) for f in FAMILIES.values()] if value is ctl.models.Dense else [value]
        if not any(hasattr(owner, node.attr) for owner in owners):
            raise Wrong(f"{ast.unparse(node)} is not there")
        return next(getattr(owner, node.attr) for owner in owners if hasattr(owner, node.attr))
    if isinstance(node, ast.Subscript):
        return item(node)
    if isinstance(node, ast.Call):
        called = resolve(node.func)
        for inner in [*node.args, *(k.value for k in node.keywords)]:
            for part in ast.walk(inner):
                if isinstance(part, ast.Attribute | ast.Call | ast.Subscript):
                    resolve(part)
        if callable(called):
            fits(node, called)
        copied = isinstance(node.func, ast.Attribute) and node.func.attr == "copy"
        return resolve(node.func.value) if copied else None  # type: ignore[attr-defined]
    return None


def item(node: ast.Subscript) -> Any:
    value, key = resolve(node.value), getattr(node.slice, "value", None)
    if isinstance(value, md.MuData) or ast.unparse(node.value).endswith(".mod"):
        return value if isinstance(value, md.MuData) and not isinstance(key, str) else examples()["rna"]
    if isinstance(value, ad.AnnData):
        return value
    of_ours = isinstance(key, str) and ("ctl_" in key or "uns['ctl']" in ast.unparse(node.value))
    if of_ours and key not in KEYS | {"simulation", "tracks", "distance"}:  # of a dataset, of tracks, of links
        raise Wrong(f"{key!r} is no key of the package")
    return None


def fits(node: ast.Call, called: Any) -> None:
    """Raise `Wrong` where a call cannot be made as it is printed."""
    try:
        signature = inspect.signature(called)
    except ValueError:  # of C, without one
        return
    if next(iter(signature.parameters), "") == "self":  # of a class that stands for its object
        signature = signature.replace(parameters=[*signature.parameters.values()][1:])
    parameters, given = signature.parameters, {k.arg: ... for k in node.keywords if k.arg}
    open_ = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    family = getattr(called, "__name__", "").lower()
    known = {*parameters, *(network_options(family) if family in FAMILIES else ())}
    if unknown := [name for name in given if name not in known and (family in FAMILIES or not open_)]:
        raise Wrong(f"{ast.unparse(node)}: no parameter {unknown}")
    left_out = any(isinstance(a, ast.Constant) and a.value is ... for a in node.args) or any(
        k.arg is None for k in node.keywords
    )
    try:
        (signature.bind_partial if left_out else signature.bind)(*node.args, **given)
    except TypeError as error:
        raise Wrong(f"{ast.unparse(node)}: {error}") from None


@cache
def network_options(family: str) -> set[str]:
    """What a family's verb passes on to its network and to its training, under the names that a user gives."""
    found = set(of_family(family)) | {"length" if family == "xchrom" else ""}
    for path in (*(f"models.{family}.{m}" for m in ("_module", "_config", "_sentences")), *_SHARED):
        if find_spec(f"chromatell.{path}"):
            module = import_module(f"chromatell.{path}")
            of = [c for n, c in vars(module).items() if is_dataclass(c) and n.endswith(("Config", "Masking"))]
            found |= {f.name for c in of for f in fields(c)}
    return found


@cache
def parameters_of_all() -> set[str]:
    """Every parameter of every public function, class and method, and the options of the networks."""
    found = {name for family in FAMILIES for name in network_options(family)} | set(OTHERS)
    found |= {name for task in TASKS for name in task.own_options}
    todo = [getattr(getattr(ctl, ns), name) for ns in NAMESPACES for name in getattr(ctl, ns).__all__]
    for thing in todo:
        if isinstance(thing, ModuleType):
            todo += [getattr(thing, name) for name in getattr(thing, "__all__", ())]
        elif callable(thing):
            methods = inspect.getmembers(thing, callable) if isinstance(thing, type) else []
            for one in (thing, *(m for name, m in methods if name[0] != "_")):
                try:
                    found |= set(inspect.signature(one).parameters)
                except (ValueError, TypeError):
                    continue
    return found


def wrong_in(message: Message) -> list[str]:
    found = []
    for chain in chains(message.text):
        if FILES.search(chain.split("(")[0]):
            continue
        try:
            resolve(ast.parse(chain, mode="eval").body)
        except SyntaxError:
            found.append(f"{chain} is no Python")
        except Wrong as error:
            found.append(str(error))
    return found


def test_every_call_attribute_and_key_is_there():
    with_code = [m for m in printed() if any(chains(m.text))]
    assert len(with_code) > 300
    assert sum(m.raised for m in with_code) > 200
    wrong = {str(m): found for m in with_code if (found := wrong_in(m))}
    assert wrong == {}


def test_every_option_that_an_error_names_is_one():
    wrong = {}
    for message in (m for m in printed() if m.raised and not m.path.startswith("cli/")):
        if found := options(message.text) - parameters_of_all():
            wrong[str(message)] = found
    assert wrong == {}


def commands() -> dict[str, argparse.ArgumentParser]:
    action = next(a for a in build_parser()._actions if isinstance(a, argparse._SubParsersAction))
    return dict(action.choices)


def test_every_option_of_the_command_line_is_there():
    of = {name: set(parser._option_string_actions) for name, parser in commands().items()}
    every, wrong = set().union(*of.values(), {"--version"}), {}
    for message in (m for m in printed() if m.path.startswith("cli/")):
        name = message.path.removeprefix("cli/_").removesuffix(".py").split("_")[0]
        other = any(f"chromatell {other}" in message.text for other in of if other != name)
        part = message.text.lstrip().startswith("[")  # of a line about another command
        if found := flags(message.text) - (every if other or part or name == "completion" else of.get(name, every)):
            wrong[str(message)] = found
    assert wrong == {}


def test_every_command_that_is_printed_parses():
    printed_lines = [line.strip() for m in printed() for line in m.text.splitlines()]
    lines = [line for line in printed_lines if re.match(r"chromatell [a-z]+ +\S", line)]
    lines = [re.split("  |[|]", line)[0] for line in lines if line.split()[1] in commands() and HOLE not in line]
    assert len(lines) > 10
    parser = build_parser()
    for line in lines:
        try:
            parser.parse_whole(shlex.split(line)[1:])
        except UsageError as error:
            pytest.fail(f"does not parse: {line} ({error})")


def test_every_extra_that_is_named_is_one():
    extras = set(tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"])
    named = {name for m in printed() for name in re.findall(r"chromatell\[([\w,-]+)\]", m.text)}
    assert named
    assert {one for name in named for one in name.split(",")} <= extras


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("Run ctl.pp.split_celles(mdata) first.", "ctl.pp.split_celles is not there"),
        ("ctl.pp.split_cells(mdata, per='x')", "no parameter"),
        ("ctl.tl.dense(mdata, n_hiden=4)", "no parameter"),
        ("Call ctl.pp.link_genes(mdata) again", "missing a required argument"),
        ("adata.var_name_make_unique()", "is not there"),
        ("mdata.obs['ctl_splits']", "no key"),
        ("mdata.uns['ctl']['link']", "no key"),
        ("tracks.select(sampel='x')", "no parameter"),
    ],
)
def test_a_wrong_line_is_found(text, fault):
    assert fault in str(wrong_in(Message("", 0, text, raised=True)))
