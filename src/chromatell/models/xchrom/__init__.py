"""XChrom: DNA sequence x cell embedding -> any region in any cell."""

from chromatell.models.xchrom._model import XChrom
from chromatell.models.xchrom._presets import PRESETS, Preset

__all__ = ["PRESETS", "Preset", "XChrom"]
