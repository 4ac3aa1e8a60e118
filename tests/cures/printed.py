"""What the source prints as code: calls, attributes, keys, options and commands, found by `ast` without running it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import chromatell as ctl

SOURCE = Path(ctl.__file__).parent
HOLE = "_hole_"  # what stands for a value that is known when it runs
_ROOTS = "ctl|np|mudata|mdata|adata|rna|atac|tracks|model|pp|tl|pl"
_CHAIN = re.compile(rf"(?<![\w.'\"/])(?:{_ROOTS})(?=[.\[])")
_OPTION = re.compile(r"(?<![\w.'\"\[-])([a-z][a-z_]*)=(?=[\w'\"(\[{.,;: -]|$)")
_FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]*[a-z](?![\w-])")


@dataclass(frozen=True)
class Message:
    """One text of the source; `raised` where a `raise` holds it."""

    path: str
    line: int
    text: str
    raised: bool

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}"


def messages() -> list[Message]:
    """Return every text of the source that is no docstring, with `HOLE` for what is not known before it runs."""
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        constants = {
            n.targets[0].id: n.value.value
            for n in tree.body
            if isinstance(n, ast.Assign) and isinstance(n.value, ast.Constant) and isinstance(n.targets[0], ast.Name)
        }
        name = path.relative_to(SOURCE).as_posix()
        found += [
            Message(name, node.lineno, text, raised)
            for node, raised in _literals(tree, raised=False)
            for text in _texts(node, constants)
        ]
    return found


def _literals(node: ast.AST, *, raised: bool) -> Iterator[tuple[ast.Constant | ast.JoinedStr, bool]]:
    """Yield the texts below a node, whole f-strings, and whether a `raise` holds them."""
    raised = raised or isinstance(node, ast.Raise)
    if isinstance(node, ast.Constant | ast.JoinedStr):
        yield node, raised
        return
    for child in ast.iter_child_nodes(node):
        if not (isinstance(node, ast.Expr) and isinstance(child, ast.Constant)):  # a docstring
            yield from _literals(child, raised=raised)


def _texts(node: ast.AST, constants: dict[str, object]) -> list[str]:
    """Return what a literal says; of `a if x else b` in it, both."""
    if isinstance(node, ast.Constant):
        return [re.sub(r"%[.\d,]*[dsrfg]", HOLE, node.value)] if isinstance(node.value, str) else []
    if not isinstance(node, ast.JoinedStr):
        return []
    parts: list[list[str]] = []
    for value in node.values:
        inner = value.value if isinstance(value, ast.FormattedValue) else value
        options = [inner.body, inner.orelse] if isinstance(inner, ast.IfExp) else [inner]
        said = []
        for option in options:
            texts = _texts(option, constants) or [HOLE]
            if isinstance(option, ast.Name) and isinstance(constants.get(option.id), str):
                texts = [str(constants[option.id])]
            quoted = isinstance(value, ast.FormattedValue) and value.conversion == ord("r")
            said += [repr(text) if quoted and text != HOLE else text for text in texts]
        parts.append(said)
    return ["".join(chosen) for chosen in list(product(*parts))[:16]]


def chains(text: str) -> Iterator[str]:
    """Yield what begins with a known name and goes on with attributes, calls and subscripts."""
    at = 0
    while match := _CHAIN.search(text, at):
        end = match.end()
        while end < len(text):
            if name := re.match(r"\.[A-Za-z_]\w*", text[end:]):
                end += name.end()
            elif text[end] in "([" and (closed := _closed(text, end)):
                end = closed
            else:
                break
        yield text[match.start() : end]
        at = max(end, match.end())


def _closed(text: str, start: int) -> int:
    """Return the place after the bracket that closes the one at `start`; 0 where none does."""
    open_, quote = 0, ""
    for at in range(start, len(text)):
        c = text[at]
        if quote:
            quote = "" if c == quote else quote
        elif c in "'\"":
            quote = c
        elif c in "([{":
            open_ += 1
        elif c in ")]}":
            open_ -= 1
            if open_ == 0:
                return at + 1
    return 0


def options(text: str) -> set[str]:
    """Return the keyword arguments that a text names outside of whole calls: `name=`."""
    for chain in sorted(chains(text), key=len, reverse=True):
        if "(" in chain:
            text = text.replace(chain, "")
    return set(_OPTION.findall(text))


def flags(text: str) -> set[str]:
    """Return the options of a command line that a text names."""
    return set(_FLAG.findall(text))
