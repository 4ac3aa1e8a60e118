"""Parts of a MuData for other tools: ``ctl.get``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chromatell._lazy import lazy

if TYPE_CHECKING:
    from chromatell.get._measured import measured
    from chromatell.get._merge_results import merge_results
    from chromatell.get._prediction import prediction

__all__ = ["measured", "merge_results", "prediction"]
__getattr__, __dir__ = lazy(__name__, {name: f"_{name}" for name in __all__})  # each in a file of its name
