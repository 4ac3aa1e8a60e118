"""Texts of parameters that several functions share: none is dead, and a function's own text goes first."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

import chromatell as ctl
from chromatell._docs import EXAMPLES, TEXTS, completed, documented, example

SOURCE = Path(ctl.__file__).parent


@pytest.fixture(scope="module")
def functions() -> list[tuple[set[str], set[str], str]]:
    """Decorators, parameters and own docstring of each function and class of the package that has a decorator."""
    found = []
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.decorator_list:
                args = getattr(node, "args", ast.arguments([], [], None, [], [], None, []))
                arguments = args.posonlyargs + args.args + args.kwonlyargs
                names = {a.arg for a in arguments}
                if args.kwarg is not None and "Modalities]" in ast.unparse(args.kwarg.annotation):
                    names |= {"rna", "atac", "layer"}
                words = {ast.unparse(d) for d in node.decorator_list}
                found.append((words, names, ast.get_docstring(node) or ""))
    return found


@pytest.mark.parametrize("group", TEXTS)
def test_each_text_is_used_by_two_functions(group, functions):
    word = "modalities" if group == "modalities" else f"documented({group!r})"
    users = [(parameters, doc) for words, parameters, doc in functions if word in words]
    for heading in TEXTS[group]:
        names = set(heading.split(", "))
        taken = [doc for parameters, doc in users if names <= parameters and f"\n{heading}\n" not in doc]
        assert len(taken) >= 2, heading


@pytest.mark.parametrize("name", EXAMPLES)
def test_each_example_begins_those_of_two_functions(name, functions):
    assert sum(f"example({name!r})" in words for words, _, _ in functions) >= 2


def test_an_example_stands_before_the_functions_own_lines():
    @example("predicted cells")
    def function(mdata):
        """Do it.

        Examples
        --------
        >>> mdata.n_obs
        400
        """

    head, lines = inspect.getdoc(function).split("--------\n")
    assert head == "Do it.\n\nExamples\n"
    assert lines.split("\n")[0] == ">>> import chromatell as ctl"
    assert lines.split("\n")[1:-2] == [f">>> {line}" for line in EXAMPLES["predicted cells"]]
    assert lines.split("\n")[-2:] == [">>> mdata.n_obs", "400"]


def test_own_texts_are_kept_and_others_stand_in_the_order_of_the_signature():
    @documented("split")
    def function(data, *, seed=None, width=3, key_added=""):
        """Do it.

        Parameters
        ----------
        data
            Any.
        width
            In bp; two
            lines.
        key_added
            An own text.

        Returns
        -------
        None
        """

    lines = inspect.getdoc(function).split("\n")
    heads = [line for line in lines[lines.index("Parameters") + 2 : lines.index("Returns")] if line[:1].strip()]
    assert heads == ["data", "seed", "width", "key_added"]
    assert lines[lines.index("key_added") + 1] == "    An own text."
    assert lines[lines.index("seed") + 1] == "    " + TEXTS["split"]["seed"]


def test_a_docstring_without_parameters_gets_the_section():
    doc = completed("Do it.\n\nReturns\n-------\nNone", ["x"], {"x": "A number."})
    assert doc == "Do it.\n\nParameters\n----------\nx\n    A number.\n\nReturns\n-------\nNone"
    assert completed("Do it.", ["y"], {"x": "A number."}) == "Do it."
