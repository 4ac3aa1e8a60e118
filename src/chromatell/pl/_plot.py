"""What every plot does beside drawing: checks where it is to be saved, saves it, shows it, and documents `ax`."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypedDict, TypeVar, cast

import numpy as np

from chromatell._arguments import arguments, check, wraps_with_keywords
from chromatell._docs import completed
from chromatell._validate import ChromatellError
from chromatell.data.named import Modalities
from chromatell.io._write import check_writable, sibling

_P = ParamSpec("_P")
_R = TypeVar("_R")

# What a docstring does not say of its own: parameters that mean the same in several plots.
SHARED = {
    "pairs": "'cross-cell', 'cross-sample', 'cross-region' or 'cross-both'; None takes the first in the table.",
    "ax": "Axes to draw on; None makes a figure.",
    "show": "True shows the figure, as pyplot does, and returns None; else a notebook shows it by itself.",
    "save": "File to save the figure in; the suffix says the format (`.png`, `.pdf`, `.svg`). What is there is "
    "replaced; ``rcParams['savefig.dpi']`` of matplotlib says how fine.",
}


class Shown(TypedDict, total=False):
    """Keywords of every plot that `plot` honours; `SHARED` says what each is."""

    show: bool | None
    save: str | Path | None


class ShownModalities(Shown, Modalities, total=False):
    """The same, and those that `modalities` honours."""


def plot(draw: Callable[_P, _R]) -> Callable[_P, _R]:
    """Honour `show` and `save` of a function that draws, and complete its docstring from `SHARED`."""
    checked = arguments(draw, also=("show", "save"))

    @wraps_with_keywords(draw)
    def drawn(*args: Any, show: bool | None = None, save: str | Path | None = None, **kwargs: Any) -> Any:
        check("show", show, bool | None, None)
        path = None if save is None else _target(save)
        _check_axes(kwargs.get("ax"))
        result = checked(*args, **kwargs)
        if path is not None:
            _save(result, path)
        if not show:
            return result
        import matplotlib.pyplot as plt

        plt.show()
        return None

    drawn.__doc__ = completed(inspect.getdoc(draw) or "", list(inspect.signature(drawn).parameters), SHARED)
    return cast("Callable[_P, _R]", drawn)  # `show` and `save` stand in the signature of `draw`


def _target(save: str | os.PathLike[str]) -> Path:
    """Return where a figure goes, or raise, before anything is drawn, where it cannot."""
    from matplotlib.backend_bases import FigureCanvasBase

    if not isinstance(save, str | os.PathLike):
        raise ChromatellError(
            f"save={save!r} is of type {type(save).__name__}. Name a file, such as save='figure.png'."
        )
    path = Path(save)
    if path.is_dir():
        raise ChromatellError(f"save={str(path)!r} is a folder. Name a file in it: save={str(path / 'figure.png')!r}.")
    formats = sorted(FigureCanvasBase.filetypes)
    if path.suffix[1:].lower() not in formats:
        raise ChromatellError(
            f"save={str(path)!r} does not say a format that matplotlib writes. Take one of the suffixes "
            f"{', '.join(formats)}: save={str(path.with_suffix('.png'))!r}."
        )
    check_writable(path)
    return path


def _check_axes(ax: Any) -> None:
    """Raise, before anything is drawn, where `ax` holds something else than axes."""
    from matplotlib.axes import Axes

    if other := [a for a in np.ravel(np.asarray(ax, dtype=object)) if not isinstance(a, Axes | None)]:
        raise ChromatellError(
            f"ax={other[0]!r} is a {type(other[0]).__name__}; axes of matplotlib are needed, such as those of "
            "matplotlib.pyplot.subplots(), or leave ax= out."
        )


def _save(axes: Any, path: Path) -> None:
    figure = np.ravel(axes)[0].get_figure(root=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    with sibling(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:].lower(), bbox_inches="tight")
