"""Data sets: ``ctl.datasets``."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chromatell.datasets._multiome_10x import multiome_10x
    from chromatell.datasets._pbmc_example import pbmc_example
    from chromatell.datasets._simulate_multiome import simulate_multiome

# name -> file that defines it; loaded where it is first used
_WHERE = {
    "pbmc_example": "_pbmc_example",
    "simulate_multiome": "_simulate_multiome",
    "multiome_10x": "_multiome_10x",
}

__all__ = ["multiome_10x", "pbmc_example", "simulate_multiome"]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        value = getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
