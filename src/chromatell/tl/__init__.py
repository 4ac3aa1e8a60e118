"""Tools: ``ctl.tl``."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chromatell.tl._add_prediction import add_prediction
    from chromatell.tl._baseline import baseline
    from chromatell.tl._dense import dense
    from chromatell.tl._evaluate import evaluate
    from chromatell.tl._fisher import fisher
    from chromatell.tl._predict import predict

# name -> file that defines it; loaded where it is first used
_WHERE = {
    "dense": "_dense",
    "predict": "_predict",
    "baseline": "_baseline",
    "add_prediction": "_add_prediction",
    "evaluate": "_evaluate",
    "fisher": "_fisher",
}

__all__ = ["add_prediction", "baseline", "dense", "evaluate", "fisher", "predict"]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        value = getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
