"""Preprocessing: ``ctl.pp``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chromatell._lazy import lazy

if TYPE_CHECKING:
    from chromatell.pp._link_genes import link_genes
    from chromatell.pp._select_features import select_features
    from chromatell.pp._split_cells import split_cells

# name -> file that defines it
_WHERE = {
    "split_cells": "_split_cells",
    "select_features": "_select_features",
    "link_genes": "_link_genes",
}

__all__ = ["link_genes", "select_features", "split_cells"]
__getattr__, __dir__ = lazy(__name__, _WHERE)
