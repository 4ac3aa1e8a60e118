"""AtacFormer: a cell as a sentence of open bins."""

from chromatell.models.atacformer._model import AtacFormer
from chromatell.models.atacformer._presets import PRESETS

__all__ = ["PRESETS", "AtacFormer"]
