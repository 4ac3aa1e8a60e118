"""Preprocessing: ``ctl.pp``."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chromatell.pp._link_genes import link_genes
    from chromatell.pp._select_features import select_features
    from chromatell.pp._split_cells import split_cells

# name -> file that defines it; loaded where it is first used
_WHERE = {
    "split_cells": "_split_cells",
    "select_features": "_select_features",
    "link_genes": "_link_genes",
}

__all__ = ["link_genes", "select_features", "split_cells"]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        value = getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
