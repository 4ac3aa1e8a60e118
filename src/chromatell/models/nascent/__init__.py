"""The `Nascent` family: run-on signal in, marks and accessibility out."""

from chromatell.models.nascent._model import Nascent
from chromatell.models.nascent._module import NascentConfig

__all__ = ["Nascent", "NascentConfig"]
