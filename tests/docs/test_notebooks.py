"""The tutorials as they are stored: without outputs, free of a machine's paths, and with calls that exist."""

from __future__ import annotations

import ast
import inspect
import json
import re
from functools import reduce
from pathlib import Path

import pytest

import chromatell as ctl

TUTORIALS = Path(__file__).parents[2] / "tutorials"
INDEX = TUTORIALS.parent / "docs" / "tutorials" / "index.md"


def _cells(name: str) -> list[dict]:
    return json.loads((TUTORIALS / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]


@pytest.fixture(params=sorted(path.stem for path in TUTORIALS.glob("*.ipynb")))
def cells(request) -> list[dict]:
    return _cells(request.param)


def test_it_is_stored_without_outputs_and_paths(cells):
    for cell in cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
        assert not re.search(r"(?<![\w.])/(home|work|tmp|root|Users)/", "".join(cell["source"]))


def test_its_code_parses_and_names_what_there_is(cells):
    for cell in (c for c in cells if c["cell_type"] == "code"):
        for node in ast.walk(ast.parse("".join(cell["source"]))):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("ctl.pp", "ctl.tl", "ctl.pl"):
                assert node.attr in getattr(ctl, node.value.attr).__all__


def test_a_cell_can_be_run_again(cells):
    """What a cell writes replaces what an earlier run of it left."""
    for cell in (c for c in cells if c["cell_type"] == "code"):
        for node in ast.walk(ast.parse("".join(cell["source"]))):
            if not isinstance(node, ast.Call):
                continue
            called, given = ast.unparse(node.func), {k.arg for k in node.keywords}
            place = called.removeprefix("ctl.").split(".")
            if called == "tracks.save":
                function = ctl.data.BinnedTracks.save
            elif called.startswith("ctl.") and place[0] in ("pp", "tl", "io"):
                function = reduce(getattr, place, ctl)
            else:
                continue
            writes = place[0] in ("io", "tracks") or given & {"path", "out", "bigwig"}
            if writes and "overwrite" in inspect.signature(function).parameters:
                assert "overwrite" in given, ast.unparse(node)


def test_the_index_lists_each():
    listed = INDEX.read_text(encoding="utf-8").split("\n")
    assert all(path.stem in listed for path in TUTORIALS.glob("*.ipynb"))
