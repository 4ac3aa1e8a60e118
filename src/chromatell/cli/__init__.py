"""``chromatell demo | bin | train | predict | evaluate``."""

from __future__ import annotations

from chromatell.cli._main import main

__all__ = ["main"]
