"""Reports for people: ``ctl.io.report``, which needs the plots and so stands above them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chromatell._lazy import lazy

if TYPE_CHECKING:
    from chromatell.reporting._report import report

_WHERE = {"report": "_report"}

__all__ = ["report"]
__getattr__, __dir__ = lazy(__name__, _WHERE)
