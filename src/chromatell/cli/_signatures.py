"""Options that are keywords of a Python call, with its types and words: read from the source, nothing is imported."""

from __future__ import annotations

import argparse
import ast
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from chromatell._docs import TEXTS

_PACKAGE = Path(__file__).parents[1]


def _families() -> dict[str, str]:
    """Return name and class of each family of `chromatell.models`, whose list it is; its import would load AnnData."""
    tree = ast.parse((_PACKAGE / "models" / "__init__.py").read_text(encoding="utf-8"))
    said = next(n.value for n in tree.body if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "FAMILIES")
    return {name: made for name, (_, made) in ast.literal_eval(said).items()}


_MODELS = _families()
FAMILIES = tuple(_MODELS)

_UNPACKED = "Unpack[Modalities]"
_REGION = re.compile(r"\S+:\d+-\d+")
NAMED = ("rna", "atac", "layer")  # what every verb of cells calls what it reads

# keywords that no option stands for: objects of Python, what a command does anyhow, where it finds what it wrote
NOT_TYPED = {
    "tl.predict": ("client",),
    **{f"tl.{verb}": ("key_added", "copy") for verb in ("evaluate", "ism", "variant_effect")},
    **{f"tl.{family}": ("train_kwargs", "copy") for family in FAMILIES},
    "models.dense": ("gene_sets", "smoothing"),
}
NOT_TYPED["tl.evaluate"] += ("client",)
NOT_TYPED["tl.ism"] += ("cells",)
NOT_TYPED["tl.variant_effect"] += ("cells",)

# where the options of each family's network stand, as fields of dataclasses
_NETWORKS = {
    "dense": {"models/dense/_module.py": "DenseConfig"},
    "xchrom": {
        "models/xchrom/_module.py": "XChromConfig",
        "nn/region_side.py": "RegionSideConfig",
        "nn/sequence_tower.py": "TowerConfig",
    },
    "atacformer": {"models/atacformer/_module.py": "AtacFormerConfig", "models/atacformer/_sentences.py": "Masking"},
    "nascent": {"models/nascent/_config.py": "NascentConfig"},
}


class Keyword(NamedTuple):
    """A keyword-only parameter: its type as the source has it, and the first sentence of what is said of it."""

    name: str
    annotation: str
    about: str


@cache
def keywords(call: str) -> dict[str, Keyword]:
    """Return the keywords of a call such as 'tl.dense', or of the class of a family, 'models.dense'.

    Examples
    --------
    >>> from chromatell.cli._signatures import keywords
    >>> keywords("tl.predict")["top_k"].annotation
    'int | None'
    """
    place, name = call.split(".")
    path = _PACKAGE / place / (f"_{name}.py" if place == "tl" else f"{name}/_model.py")
    told = _defined(ast.parse(path.read_text(encoding="utf-8")), name if place == "tl" else _MODELS[name])
    made = _defined(told, "__init__") if isinstance(told, ast.ClassDef) else told
    assert isinstance(made, ast.FunctionDef)
    calls = [d for d in told.decorator_list if isinstance(d, ast.Call)]
    groups = [ast.literal_eval(d.args[0]) for d in calls if ast.unparse(d.func) == "documented"]
    shared = [item for group in ("modalities", *groups) for item in TEXTS[group].items()]
    about = {name: _first(text) for names, text in shared for name in names.split(", ")}
    about |= {name: _first(text) for name, text in _described(ast.get_docstring(told) or "").items()}
    own = {arg.arg: ast.unparse(arg.annotation or ast.Name("Any")) for arg in made.args.kwonlyargs}
    if made.args.kwarg is not None and ast.unparse(made.args.kwarg.annotation or ast.Name("Any")) == _UNPACKED:
        own |= _modalities()
    if call == "tl.evaluate":
        own |= _of_tasks()
        said = _described(ast.get_docstring(told) or "")["options"]
        about |= {n: _first(text) for n, text in re.findall(r"`(\w+)`: (.*?)(?=\s`\w+`: |\Z)", said, flags=re.S)}
    return {n: Keyword(n, kind, about[n]) for n, kind in own.items() if n not in NOT_TYPED.get(call, ())}


def _modalities() -> dict[str, str]:
    """Return the keywords that `chromatell.data.named.modalities` adds to a verb, and their types."""
    return _fields(_defined(ast.parse((_PACKAGE / "data" / "named.py").read_text(encoding="utf-8")), "Modalities"))


def _of_tasks() -> dict[str, str]:
    """Return the options that kinds of data add to ``ctl.tl.evaluate``, and their types: the TypedDicts of tasks."""
    options: dict[str, str] = {}
    for path in sorted((_PACKAGE / "evaluation" / "tasks").glob("*.py")):
        classes = [n for n in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(n, ast.ClassDef)]
        for told in classes:
            if any(ast.unparse(base) == "TypedDict" for base in told.bases):
                options |= _fields(told)
    return options


def _fields(told: ast.FunctionDef | ast.ClassDef) -> dict[str, str]:
    """Return the fields of a dataclass or a TypedDict, and their types."""
    return {ast.unparse(n.target): ast.unparse(n.annotation) for n in told.body if isinstance(n, ast.AnnAssign)}


def of_family(family: str) -> dict[str, Keyword]:
    """Return the keywords of ``ctl.tl.<family>``, those that it passes to the model included."""
    return {**keywords(f"models.{family}"), **keywords(f"tl.{family}")}


def settable(family: str) -> set[str]:
    """Return the names that ``--set`` may give a family's network; which values fit is seen when it is made."""
    fields = {"length"} if family == "xchrom" else set()  # another name of sequence_length
    for file, name in _NETWORKS.get(family, {}).items():
        fields |= _fields(_defined(ast.parse((_PACKAGE / file).read_text(encoding="utf-8")), name)).keys()
    return fields


def add_keywords(group: Any, offered: Iterable[Keyword], known: set[str]) -> None:
    """Add an option for each keyword that no option is named after yet, and whose type can be typed."""
    for keyword in offered:
        typed = _typed(keyword.annotation)
        if keyword.name in known or typed is None:
            continue
        known.add(keyword.name)
        group.add_argument(f"--{keyword.name.replace('_', '-')}", default=None, help=keyword.about, **typed)


def option_names(parser: argparse.ArgumentParser) -> set[str]:
    """Return the names of a parser's options as Python would have them; --predictions is `out`."""
    names = {o.removeprefix("--").replace("-", "_") for a in parser._actions for o in a.option_strings}
    return names | {"out"} if "predictions" in names else names


def listed(text: str) -> list[str]:
    """Return the words between commas."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words:
        raise argparse.ArgumentTypeError("a name, or names joined by commas, is needed")
    return words


def layers(text: str) -> str | dict[str, str]:
    """Return the name of a layer, or a dict of modality to layer, of ``rna=counts,atac=counts``."""
    if "=" not in text:
        return text
    parts = [word.partition("=") for word in listed(text)]
    if not all(mod and layer for mod, _, layer in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is neither a layer nor modalities with theirs: rna=counts")
    return {mod: layer for mod, _, layer in parts}


def numbers(text: str) -> list[int]:
    """Return the whole numbers between commas."""
    try:
        return [int(word) for word in listed(text)]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not whole numbers joined by commas, such as 50,1000") from None


def number_or_numbers(text: str) -> float | dict[str, float]:
    """Return a number, or a dict of name to number, of ``H3K4me3=2,H3K27ac=1.5``."""
    try:
        if "=" not in text:
            return float(text)
        by_name = {name: float(number) for name, _, number in (word.rpartition("=") for word in listed(text))}
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor names with theirs: H3K4me3=2") from None
    if "" in by_name:
        raise argparse.ArgumentTypeError(f"{text!r} has a number without a name; needed: H3K4me3=2,H3K27ac=1.5")
    return by_name


def file_or_names(text: str) -> str | list[str]:
    """Return the path of a file, or one name, as it is; names joined by commas as a list."""
    return text if "," not in text or Path(text).is_file() else listed(text)


def file_or_regions(text: str) -> Path | list[str]:
    """Return names of regions as a list, and anything else as the path of a file."""
    names = listed(text)
    return names if all(_REGION.fullmatch(name) for name in names) else Path(text)


def assigned(text: str) -> tuple[str, Any]:
    """Return name and value of NAME=VALUE; what does not read as a number, true, false or a list is text."""
    name, equals, value = text.partition("=")
    if not (equals and name.isidentifier()):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE, such as n_latent=64")
    try:
        return name, ast.literal_eval({"true": "True", "false": "False"}.get(value, value))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return name, value


# types that are more than the sum of their parts
_WHOLE: tuple[tuple[str, dict[str, Any]], ...] = (
    ("Sequence[int]", {"type": numbers, "metavar": "N,N"}),
    ("Mapping[str, float]", {"type": number_or_numbers, "metavar": "X"}),
    ("Motifs", {"type": file_or_names, "metavar": "FILE"}),
    ("DataFrame | Sequence[str]", {"type": file_or_regions, "metavar": "X.bed"}),
)


def _defined(tree: ast.Module | ast.ClassDef, name: str) -> ast.FunctionDef | ast.ClassDef:
    return next(n for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef) and n.name == name)


def _typed(annotation: str) -> dict[str, Any] | None:
    """Return what argparse takes for a type, None where nobody can type it."""
    if choices := re.match(r"Literal\[(.*?)\]", annotation):
        return {"choices": ast.literal_eval(f"({choices[1]},)")}
    for kind, typed in _WHOLE:
        if kind in annotation:
            return dict(typed)
    kinds = [kind.strip() for kind in re.sub(r"\[[^]]*\]", "", annotation).split("|")]
    for kind, typed in (
        ("Layer", {"type": layers, "metavar": "NAME"}),
        ("bool", {"action": argparse.BooleanOptionalAction}),
        ("int", {"type": int, "metavar": "N"}),
        ("float", {"type": float, "metavar": "X"}),
        ("Sequence", {"type": listed, "metavar": "A,B"}),
        ("list", {"type": listed, "metavar": "A,B"}),
        ("Path", {"type": Path, "metavar": "FILE"}),
        ("os.PathLike", {"type": Path, "metavar": "FILE"}),
        ("str", {"metavar": "NAME"}),
    ):
        if kind in kinds:
            return dict(typed)
    return None


def _described(docstring: str) -> dict[str, str]:
    """Return the text of each parameter of a numpydoc docstring."""
    section = re.search(r"^Parameters\n-+\n(.*?)(?=^\S[^\n]*\n-{3,}\n|\Z)", docstring, flags=re.M | re.S)
    texts = {}
    for names, text in re.findall(r"^(\S[^\n]*)\n((?:(?:[ ]+[^\n]*)?\n)+)", section[1] + "\n" if section else "", re.M):
        texts.update(dict.fromkeys((name.strip() for name in names.split(",")), text))
    return texts


def _first(text: str) -> str:
    """Return the first sentence of a parameter's text, as a line of help."""
    words = " ".join(text.split()).replace("`", "").replace("%", "%%")
    first = re.split(r"(?<=[a-z0-9)'])[.;] ", words, maxsplit=1)[0].rstrip(".")
    return first[:1].lower() + first[1:]
