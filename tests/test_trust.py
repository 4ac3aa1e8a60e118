"""What the source must never hold: a way to run code out of a file."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

import chromatell

SOURCE = Path(chromatell.__file__).parent
FORBIDDEN = {
    "pickle": r"^\s*(import|from)\s+_?(c?pickle|dill|cloudpickle|shelve|marshal)\b|\bpickle\.loads?\b",
    "joblib": r"\bjoblib\.(load|dump)\b|from\s+joblib\s+import\b.*\b(load|dump)\b",
    "allow_pickle": r"\ballow_pickle\s*=\s*(?!False\b)",
    "weights_only": r"\bweights_only\s*=\s*(?!True\b)",
    "torch.load without weights_only": r"\btorch\.load\((?![^)]*weights_only=True)",
    "read_pickle": r"\b(read|to)_pickle\b",
    "yaml": r"\byaml\.(unsafe_)?load\(",
    "eval": r"(?<![\w.])(eval|exec)\(",
    "shell": r"\bshell\s*=\s*True|\bos\.system\(",
    "archives": r"\.extract(all)?\((?![^)]*filter=[\"']data[\"'])",
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_source_runs_nothing_out_of_a_file(what):
    found = [
        f"{path.relative_to(SOURCE)}:{number}: {line.strip()}"
        for path in sorted(SOURCE.rglob("*.py"))
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if re.search(FORBIDDEN[what], line) and not line.lstrip().startswith("#")
    ]
    assert not found


@pytest.mark.parametrize(
    ("what", "line"),
    [
        ("pickle", "import pickle"),
        ("joblib", "model = joblib.load(path)"),
        ("allow_pickle", "np.load(path, allow_pickle=True)"),
        ("weights_only", "torch.load(path, weights_only=False)"),
        ("torch.load without weights_only", "torch.load(path)"),
        ("archives", "tar.extractall(folder)"),
        ("eval", "eval(text)"),
    ],
)
def test_the_search_finds_what_it_looks_for(what, line):
    assert re.search(FORBIDDEN[what], line)


def test_floors_are_versions_that_refuse_pickles_too():
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))["project"]
    parsed = (re.fullmatch(r"([\w-]+)>=([\d.]+)", requirement) for requirement in project["dependencies"])
    floors = {m[1]: tuple(map(int, m[2].split("."))) for m in parsed if m}
    assert floors["anndata"] >= (0, 12)
    assert floors["zarr"] >= (3, 1)
    assert floors["numcodecs"] >= (0, 16, 6)
