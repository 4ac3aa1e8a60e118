"""Predict chromatin accessibility and chromatin marks from what is cheaper to measure.

``import chromatell as ctl`` loads no library of data: each namespace is imported where it is first used.
"""

from __future__ import annotations

import importlib
from typing import Any

from chromatell._errors import ChromatellError, ChromatellWarning
from chromatell._settings import settings

_NAMESPACES = ("pp", "tl", "pl", "get", "models", "datasets", "metrics", "genome", "io", "data")
__all__ = [*_NAMESPACES, "ChromatellError", "ChromatellWarning", "__version__", "settings"]


def __getattr__(name: str) -> Any:
    if name in _NAMESPACES:
        return importlib.import_module(f"chromatell.{name}")
    if name == "__version__":
        from importlib.metadata import version  # reads the disk for longer than all else takes here

        return version("chromatell")
    raise AttributeError(f"module 'chromatell' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
