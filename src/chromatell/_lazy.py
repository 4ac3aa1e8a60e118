"""Namespaces whose members are imported where they are first used (PEP 562)."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

from chromatell._nearest import names_there


def lazy(package: str, where: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return a package's ``__getattr__`` and ``__dir__``; `where` says which of its files defines each name."""

    def getattribute(name: str) -> Any:
        if name not in where:
            # words for whoever typed it; what asks by hasattr, with a name of Python's own, reads none
            hint = "" if name.startswith("_") else f"; there: {names_there(sorted(where), name, len(where))}"
            raise AttributeError(f"module {package!r} has no attribute {name!r}{hint}")
        value = getattr(importlib.import_module(f"{package}.{where[name]}"), name)
        setattr(sys.modules[package], name, value)
        return value

    return getattribute, lambda: sorted(where)
