"""The `Nascent` family: run-on signal in, marks and accessibility out."""

from chromatell.models.nascent._config import NascentConfig
from chromatell.models.nascent._model import Nascent

__all__ = ["Nascent", "NascentConfig"]
