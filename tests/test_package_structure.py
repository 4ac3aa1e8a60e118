"""The shape of the package: what it loads, what its functions look like, and that each of them is tested."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

import chromatell as ctl

ROOT = Path(__file__).parents[1]
SOURCE = Path(ctl.__file__).parent
NAMESPACES = ("pp", "tl", "pl", "get", "models", "datasets", "metrics", "genome", "io", "data")
FUNCTIONS = [(ns, name) for ns in ("pp", "tl", "pl", "get") for name in getattr(ctl, ns).__all__]
# __main__ is left out: importing it runs it
MODULES = sorted(
    ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in SOURCE.rglob("*.py")
    if path.stem != "__main__"
)
CALLS = 2  # of each public function in the tests

each_function = pytest.mark.parametrize(
    ("namespace", "name"), FUNCTIONS, ids=[f"{ns}.{name}" for ns, name in FUNCTIONS]
)


def sections(doc: str) -> dict[str, str]:
    """The parts of a numpydoc docstring by their titles."""
    found = list(re.finditer(r"^([A-Z]\w*(?: \w+)?)\n-{3,}$", doc, flags=re.MULTILINE))
    ends = [m.start() for m in found[1:]] + [len(doc)]
    return {m[1]: doc[m.end() : end].strip() for m, end in zip(found, ends, strict=True)}


@pytest.mark.parametrize(
    "call",
    [
        "import chromatell as ctl; ctl.pp, ctl.tl, ctl.pl, ctl.io, dir(ctl.tl), ctl.settings, ctl.ChromatellError",
        "from chromatell.cli import main; main(['--version'])",
        "from chromatell.cli import main; main(['--help'])",
        "from chromatell.cli import main; main(['train', '--help'])",
    ],
)
def test_importing_it_and_its_help_load_no_library_of_data(call):
    heavy = "numpy pandas scipy h5py zarr dask anndata mudata sklearn scanpy muon torch lightning scvi matplotlib"
    code = (
        f"import sys\ntry:\n    {call}\nexcept SystemExit:\n    pass\n"
        f"sys.exit(str(set('{heavy}'.split()) & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.stderr.strip() == "set()"
    assert not call.endswith("(['--version'])") or run.stdout.strip() == f"chromatell {ctl.__version__}"


@pytest.mark.parametrize("namespace", ["", *NAMESPACES])
def test_every_name_in_all_resolves(namespace):
    module = importlib.import_module(f"chromatell.{namespace}".rstrip("."))
    listed = list(getattr(module, "__all__", ()))
    assert len(set(listed)) == len(listed)
    assert [name for name in listed if not hasattr(module, name)] == []
    assert set(listed) <= set(dir(module))


def test_a_name_that_is_not_there_is_an_attribute_error():
    for module in (ctl, ctl.pp, ctl.tl, ctl.pl, ctl.io, ctl.datasets, ctl.models):
        with pytest.raises(AttributeError, match="no_such_name"):
            module.no_such_name  # noqa: B018


@each_function
def test_a_public_function_lives_in_a_file_of_its_name(namespace, name):
    function = getattr(getattr(ctl, namespace), name)
    assert inspect.isfunction(function)
    assert function.__module__ == f"chromatell.{namespace}._{name}"


@each_function
def test_at_most_three_parameters_are_positional_and_copy_is_not(namespace, name):
    parameters = inspect.signature(getattr(getattr(ctl, namespace), name)).parameters
    positional = [p.name for p in parameters.values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    assert len(positional) <= 3
    if "copy" in parameters:
        assert parameters["copy"].kind is inspect.Parameter.KEYWORD_ONLY
        assert parameters["copy"].default is False


@each_function
def test_every_parameter_and_the_return_have_a_type(namespace, name):
    signature = inspect.signature(getattr(getattr(ctl, namespace), name))
    assert [p.name for p in signature.parameters.values() if p.annotation is p.empty] == []
    assert signature.return_annotation is not signature.empty


@each_function
def test_the_docstring_has_its_sections(namespace, name):
    function = getattr(getattr(ctl, namespace), name)
    doc = inspect.getdoc(function) or ""
    assert doc.split("\n")[0].endswith(".")
    found = sections(doc)
    assert {"Returns", "Raises", "Examples"} <= set(found)
    assert ">>> import chromatell as ctl" in found["Examples"]
    assert f"ctl.{namespace}.{name}(" in found["Examples"]
    parameters = [p for p in inspect.signature(function).parameters if p != "copy"]
    headings = {
        w.strip("* ") for line in re.findall(r"^\S.*$", found.get("Parameters", ""), re.M) for w in line.split(",")
    }
    assert [p for p in parameters if p not in headings] == []


@pytest.mark.parametrize("module", MODULES)
def test_no_heading_of_a_docstring_was_run_into_its_text(module):
    tree = ast.parse(source_of(module).read_text("utf-8"))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docs = [ast.get_docstring(node) or "" for node in ast.walk(tree) if isinstance(node, documented)]
    assert [doc[:60] for doc in docs if re.search(r"\w -{4,}( |$)", doc)] == []


@each_function
def test_tests_call_every_public_function_twice(namespace, name):
    own = Path(__file__)
    texts = [path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py") if path != own]
    calls = sum(len(re.findall(rf"\b{namespace}\.{name}\(", text)) for text in texts)
    for text in texts:
        if re.search(rf"from chromatell\.{namespace}\S* import [^\n]*\b{name}\b", text):
            calls += len(re.findall(rf"(?<![\w.]){name}\(", text))
    assert calls >= CALLS


def test_arrows_between_layers_go_down_only(monkeypatch, capsys):
    # not importlinter.cli: it resets the logging of the whole process
    from importlinter import configuration
    from importlinter.application import use_cases

    monkeypatch.chdir(ROOT)
    configuration.configure()
    assert use_cases.lint_imports(config_filename="pyproject.toml", cache_dir=None), capsys.readouterr().out


def test_no_files_import_each_other_in_a_circle(tmp_path):
    """Imports within functions, for type checkers, and by importlib with a name written out count as well."""
    assert circles(SOURCE) == []
    package = tmp_path / "made"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "one.py").write_text("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from made.two import b")
    (package / "two.py").write_text("def b():\n    from .three import c")
    (package / "three.py").write_text("import importlib\nimportlib.import_module('made.one')")
    (package / "four.py").write_text("import made.one")
    assert circles(package) == [["made.one", "made.three", "made.two"]]


@pytest.mark.parametrize("module", MODULES)
def test_examples_run(module, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    result = doctest.testmod(importlib.import_module(module), optionflags=options)
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
    assert result.failed == 0, capsys.readouterr().out


def test_ci_runs_the_command_of_the_readme():
    commands = re.findall(r"^python3 -m venv .*$", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
    assert [command.split("&& ")[-1] for command in commands] == [".venv/bin/chromatell demo", ".venv/bin/pytest"]
    assert commands[1] in (ROOT / ".ci" / "run").read_text("utf-8")


def test_the_citation_names_this_version():
    assert f"\nversion: {ctl.__version__}\n" in (ROOT / "CITATION.cff").read_text("utf-8")


def source_of(module: str) -> Path:
    path = SOURCE.parent.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def circles(package: Path) -> list[list[str]]:
    """The strongly connected files of a package, by what they import."""
    files = {
        ".".join(path.relative_to(package.parent).with_suffix("").parts).removesuffix(".__init__"): path
        for path in package.rglob("*.py")
    }
    arrows = {name: imported(name, path, set(files)) for name, path in files.items()}
    graph = csr_array(np.array([[b in arrows[a] for b in files] for a in files]))
    _, part = connected_components(graph, connection="strong")
    together = [sorted(np.array(list(files))[part == i].tolist()) for i in np.unique(part)]
    return [names for names in together if len(names) > 1]


def imported(name: str, path: Path, files: set[str]) -> set[str]:
    """The files that one imports, anywhere in its text."""
    own = (name if path.stem == "__init__" else name.rpartition(".")[0]).split(".")
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = own[: len(own) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            whole = {f"{base}.{alias.name}" for alias in node.names}
            found |= (whole & files) or {base}
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            found |= {a.value for a in node.args[:1] if isinstance(a, ast.Constant)}
    return (found & files) - {name}


def test_no_test_file_is_over_400_lines():
    lengths = {str(path): len(path.read_text().splitlines()) for path in Path(__file__).parent.rglob("*.py")}
    assert lengths
    assert {name: n for name, n in lengths.items() if n > 400} == {}
