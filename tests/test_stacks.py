"""The lists of versions: one version of each package for any Python, within the bounds of the package."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import chromatell.io.bigwig as bigwig
from chromatell import ChromatellError

ROOT = Path(__file__).parents[1]
LINES = [line for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines() if line and line[0] != "#"]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")


def pinned(python: str) -> dict[str, list[Version]]:
    found: dict[str, list[Version]] = {}
    for requirement in map(Requirement, LINES):
        if requirement.marker is None or requirement.marker.evaluate({"python_version": python}):
            (specifier,) = requirement.specifier
            assert specifier.operator == "=="
            found.setdefault(canonicalize_name(requirement.name), []).append(Version(specifier.version))
    return found


@pytest.mark.parametrize("python", PYTHONS)
def test_a_package_has_one_version(python):
    assert {name: v for name, v in pinned(python).items() if len(v) > 1} == {}


@pytest.mark.parametrize("python", PYTHONS)
def test_each_dependency_is_pinned_within_its_bounds(python):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = map(Requirement, [*project["dependencies"], *extras["test"], *extras["docs"], *extras["tracks"]])
    versions = pinned(python)
    wrong = [
        str(r)
        for r in wanted
        if (r.marker is None or r.marker.evaluate({"python_version": python}))
        and not any(v in r.specifier for v in versions.get(canonicalize_name(r.name), []))
    ]
    assert wrong == []


def test_the_newest_python_gets_the_newest_stack():
    assert [pinned(p)["anndata"][0] >= Version("0.13") for p in PYTHONS] == [False, True, True, True]


def test_a_python_without_pybigtools_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pybigtools", None)
    monkeypatch.setattr(bigwig.sys, "version_info", (3, 14, 0))
    with pytest.raises(ChromatellError, match=r"There is none yet for Python 3\.14: use 3\.11, 3\.12 or 3\.13"):
        bigwig.import_pybigtools()


def test_a_stack_that_is_not_known_is_refused():
    script = ROOT / ".ci" / "stacks"
    assert re.findall(r"^ {6}(\w+)\)", script.read_text("utf-8"), re.MULTILINE) == ["oldest", "pinned", "newest"]
    subprocess.run(["bash", "-n", str(script)], check=True)


def test_a_command_that_does_not_run_is_no_python(tmp_path):
    """A shim of pyenv lies on the path for each version, and fails where another version is chosen."""

    def script(path: Path, text: str) -> str:
        path.parent.mkdir(parents=True)
        path.write_text(f"#!/bin/sh\n{text}\n", "utf-8")
        path.chmod(0o755)
        return str(path)

    shim = script(tmp_path / "shims" / "python3.98", "exit 127")
    real = script(tmp_path / ".pyenv" / "versions" / "3.98.1" / "bin" / "python", "exit 0")
    text = (ROOT / ".ci" / "stacks").read_text("utf-8")
    function = re.search(r"^find_python\(\) \{.*?^\}", text, re.MULTILINE | re.DOTALL)[0]
    environment = {"PATH": f"{Path(shim).parent}:/usr/bin:/bin", "HOME": str(tmp_path)}
    run = ["bash", "-c", f"{function}; find_python 3.98; find_python 3.97"]
    found = subprocess.run(run, capture_output=True, text=True, env=environment, check=False)
    assert found.stdout.split() == [real]
