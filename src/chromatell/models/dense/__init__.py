"""Dense: expression of a cell -> open or closed for each region."""

from chromatell.models.dense._model import Dense
from chromatell.models.dense._presets import PRESETS

__all__ = ["PRESETS", "Dense"]
