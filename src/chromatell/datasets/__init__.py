"""Data sets: ``ctl.datasets``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chromatell._lazy import lazy

if TYPE_CHECKING:
    from chromatell.datasets._fetch import fetch
    from chromatell.datasets._multiome_10x import multiome_10x
    from chromatell.datasets._pbmc_example import pbmc_example
    from chromatell.datasets._simulate_multiome import simulate_multiome
    from chromatell.datasets._simulate_sequence_multiome import simulate_sequence_multiome
    from chromatell.datasets._tutorial import tutorial

# name -> file that defines it
_WHERE = {
    "pbmc_example": "_pbmc_example",
    "simulate_multiome": "_simulate_multiome",
    "simulate_sequence_multiome": "_simulate_sequence_multiome",
    "multiome_10x": "_multiome_10x",
    "tutorial": "_tutorial",
    "fetch": "_fetch",
}

__all__ = ["fetch", "multiome_10x", "pbmc_example", "simulate_multiome", "simulate_sequence_multiome", "tutorial"]
__getattr__, __dir__ = lazy(__name__, _WHERE)
