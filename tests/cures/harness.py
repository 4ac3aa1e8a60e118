"""What an error prints is run: the statements in its message, or the options that it names for the call that failed."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import mudata as md
import numpy as np
import pandas as pd
import scipy

import chromatell as ctl
from chromatell import ChromatellError

_NAMES = "ctl|np|pd|mdata|adata|atac|rna|keep|shared|tracks|table|del|measured|query"
_NAMES += "|mudata|barcodes|prediction|matches|parts"
_START = re.compile(rf"\b(?:{_NAMES})\b(?:[.,\[]| =| [a-z]+[.\[])")
_OFFER = re.compile(r"\b(such as|[Tt]ry|[Tt]ake|[Uu]se|give|one of|there:|reads) (?=['\"(\[{\d.-])")
_OPTION = re.compile(r"(?<![\w.])([a-z_]+)=(?=[\w'\"(\[{-])")
_LEAVE = re.compile(r"\b[Ll]eave (?:(?P<name>[a-z_]+)=|it|one of (?:the two|them)) (?:out|away)|\bLeft out, it is ")


def code_of(message: str) -> list[str]:
    """Return the statements of Python that a message holds: the longest text from a name on that parses and acts."""
    found, at = [], 0
    while match := _START.search(message, at):
        best = ""
        for end in range(match.end(), len(message) + 1):
            if message[end - 1] not in ")]}'0123456789":
                continue
            text = message[match.start() : end]
            try:
                body = ast.parse(text).body
            except SyntaxError:
                continue
            if all(
                isinstance(s, ast.Assign | ast.Delete) or isinstance(getattr(s, "value", None), ast.Call) for s in body
            ):
                best = text
        at = match.start() + max(len(best), 1)
        if best:
            found.append(best)
    return found


def options_of(message: str) -> dict[str, str]:
    """Return the keyword arguments that a message names, as text, outside of whole calls; a later one counts."""
    found = {}
    for match in _OPTION.finditer(message):
        best = ""
        for end in range(match.end() + 1, len(message) + 1):
            try:
                tree = ast.parse(message[match.end() : end], mode="eval").body
            except SyntaxError:
                continue
            named = isinstance(tree, ast.Attribute) and isinstance(tree.value, ast.Name)
            literal = isinstance(tree, ast.Constant | ast.List | ast.Dict | ast.Name | ast.UnaryOp)
            if named or literal or (isinstance(tree, ast.Tuple) and message[match.end()] == "("):
                best = message[match.end() : end]
        if best:
            found[match[1]] = re.sub(r"(?<!\.)\.$", "", best.rstrip(" ,"))
    return found


def offered(message: str) -> str:
    """Return the value that a message offers for the option it begins with; of a list to choose from, the first."""
    for match in _OFFER.finditer(message):
        for end in range(len(message), match.end(), -1):
            try:
                value = ast.parse(message[match.end() : end].rstrip(" ,."), mode="eval").body
            except SyntaxError:
                continue
            parts = value.elts if isinstance(value, ast.List | ast.Tuple) else [value]
            choice = match[1].endswith(("one of", "there:", "reads")) and parts != [value]
            if isinstance(value, ast.Dict) or all(isinstance(part, ast.Constant) for part in parts):
                return ast.unparse(value.elts[0] if choice else value)  # type: ignore[attr-defined]
    return ""


def left_out(message: str) -> dict[str, str]:
    """Return the options that a message says to leave out, '...' each; 'it' and 'one of them' is the first it names."""
    first = re.search(r"(?<![\w.])([a-z_]+)=", message)
    names = [match["name"] or (first[1] if first else "") for match in _LEAVE.finditer(message)]
    return {name: "..." for name in names if name}


def with_options(call: str, options: dict[str, str]) -> str:
    """Return a call with keyword arguments set; `...` leaves one out."""
    tree = ast.parse(call)
    target = next(node for node in ast.walk(tree) if isinstance(node, ast.Call))
    for name, value in options.items():
        target.keywords = [k for k in target.keywords if k.arg != name]
        if value != "...":
            target.keywords.append(ast.keyword(name, ast.parse(value, mode="eval").body))
    return ast.unparse(tree)


@dataclass(frozen=True)
class Cure:
    """One error and its cure.

    Attributes
    ----------
    call
        Fails, with an error that `match` is found in.
    make
        Returns what the call reads, name to object; it is given an empty folder.
    fill
        Text of the message to what the user would put there: his files, his names.
    take
        Which of several statements, or names of options, where the message offers a choice; both where a statement is
        run and the call then asks for what it made.
    into
        The name that the value of a statement gets.
    option
        The option that an offered value is for, where the message does not begin with it.
    instead
        The statement takes the place of the call, which is not run again.
    """

    name: str
    call: str
    match: str
    make: Callable[[Any], dict[str, Any]]
    fill: dict[str, str] = field(default_factory=dict)
    take: tuple[int | str, ...] = ()
    into: str = ""
    option: str = ""
    instead: bool = False

    def run(self, folder: Any) -> dict[str, Any]:
        """Demand the error, do what it says, demand that the error is gone; return what there is then."""
        scope = {"ctl": ctl, "np": np, "pd": pd, "mudata": md, "scipy": scipy, "folder": folder, **self.make(folder)}
        todo, said, most = [self.call], list[str](), 6
        while todo:  # a cure may meet a gate of its own, whose error has its cure
            try:
                exec(todo[-1], scope)
            except ChromatellError as error:
                message = str(error)
            else:
                todo.pop()
                continue
            assert message not in said, f"the same error after its cure: {message}"
            said.append(message)
            assert len(said) <= most, f"no end after {most} cures: {said}"
            todo[-1:] = self._follow(todo[-1], message, first=len(said) == 1)
        assert said, f"no error: {self.call}"
        assert re.search(self.match, said[0]), f"{self.match!r} does not match: {said[0]}"
        return scope

    def _follow(self, call: str, message: str, *, first: bool) -> list[str]:
        """Return what to run next, in place of a call that failed; the last is run first."""
        for printed, own in self.fill.items():
            message = message.replace(printed, own)
        take = self.take if first else ()
        lines = code_of(message)
        places, names = ([t for t in take if isinstance(t, kind)] for kind in (int, str))
        if lines and (places or not names):
            chosen = [lines[i] for i in places] if places else lines
            call = with_options(call, {n: options_of(message)[n] for n in names}) if names else call
            assert "ctl.datasets.fetch(" not in "".join(chosen), f"a download is no cure in a test: {message}"
            mended = any(line.split("(")[0] == call.split("(")[0] for line in chosen)  # the call itself
            chosen = [f"{self.into} = {line}" if self.into else line for line in chosen]
            return [*([] if mended or self.instead else [call]), *reversed(chosen)]
        given = {
            k.arg: ast.unparse(k.value) for node in ast.walk(ast.parse(call)) for k in getattr(node, "keywords", ())
        }
        options, left = options_of(message), left_out(message)
        options |= {n: v for n, v in left.items() if n in take and options.get(n) in (None, given.get(n))}
        assert set(take) <= options.keys(), f"no option {take} in: {message}; found {options}"
        wanted = {n: v for n, v in options.items() if (n in take if take else given.get(n, "").strip("[]") != v)}
        if not wanted and (value := offered(message)):  # what was found wrong, and what would do
            wanted = {self.option or next(iter(options)): value}
        wanted = wanted or {n: v for n, v in left.items() if n in given}
        assert wanted, f"neither a line of code nor an option in: {message}"
        return [with_options(call, wanted)]
