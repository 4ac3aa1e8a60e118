"""``ctl.pl.history``: loss against epoch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
from anndata import AnnData
from matplotlib.ticker import MaxNLocator
from mudata import MuData

from chromatell._keys import MODELS, UNS
from chromatell._nearest import names_there
from chromatell._validate import ChromatellError, examples
from chromatell.data.tracks import BinnedTracks
from chromatell.io._uns_store import read_record
from chromatell.models import FAMILIES, family_class
from chromatell.pl._plot import Shown, plot
from chromatell.pl._style import BASELINE, OKABE_ITO, finish, font_size, legend, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LINES = {
    "train_loss": ("training", BASELINE, "-"),
    "validation_loss": ("validation", OKABE_ITO["blue"], "-"),
}


@plot
def history(
    data: MuData | AnnData | BinnedTracks | Any,
    key: str | None = None,
    *,
    ax: Axes | None = None,
    **more: Unpack[Shown],
) -> Axes:
    """Training and validation loss against epoch, with the epoch whose weights were kept.

    Parameters
    ----------
    data
        A MuData, AnnData or BinnedTracks that carries a model, or a model.
    key
        Which model, where there are several.

    Returns
    -------
    matplotlib.axes.Axes
        A line for each loss; a dot marks the lowest validation loss. Where the two are further apart than either
        changes, as where training weighs or regularises what validation does not, or are of two kinds, as those of
        `XChrom`, the validation loss has an axis of its own on the right.

    Raises
    ------
    ChromatellError
        There is no model, no such one, several and no `key`, or it has no history.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> import chromatell as ctl
    >>> model = SimpleNamespace(history={"train_loss": [0.5, 0.4], "validation_loss": [0.6, 0.5]})
    >>> ctl.pl.history(model).get_xlabel()
    'Epoch'
    """
    losses = _losses(data, key)
    ax = new_axes(ax)
    apart = len(losses) == 2 and (_of_two_kinds(data, key) or _apart(losses))
    right = ax.twinx() if apart else ax
    for name, (label, colour, style) in _LINES.items():
        if name in losses:
            values, on = losses[name], right if name == "validation_loss" else ax
            on.plot(np.arange(1, values.size + 1), values, style, color=colour, label=label, linewidth=1.6)
    if np.isfinite(losses.get("validation_loss", np.array([np.nan]))).any():
        best = int(np.nanargmin(losses["validation_loss"]))
        low = float(losses["validation_loss"][best])
        right.plot(
            [best + 1],
            [low],
            "o",
            color=OKABE_ITO["blue"],
            markersize=font_size(ax) * 0.6,
            label=f"lowest: epoch {best + 1}",
        )
    last = max(v.size for v in losses.values())
    margin = 0.02 * last + 0.2
    ax.set_xlim(1 - margin, last + margin)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    if not apart:
        legend(ax)
        return finish(ax, "Epoch", "Loss (mean of the training objective)")
    lines = [*ax.get_lines(), *right.get_lines()]
    names = [str(line.get_label()) for line in lines]
    above = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0), "ncols": 3}  # where no line runs under it
    legend(ax, handles=lines, labels=names, **above)
    finish(right, "", "Validation loss")
    right.spines["right"].set_visible(True)
    for axis, name in ((ax, "train_loss"), (right, "validation_loss")):
        axis.yaxis.label.set_color(_LINES[name][1])
        axis.tick_params(axis="y", labelcolor=_LINES[name][1])
    return finish(ax, "Epoch", "Training loss")


def _of_two_kinds(data: Any, key: str | None) -> bool:
    """Return whether the two losses are of different kinds, which one axis would compare."""
    if not isinstance(data, MuData | AnnData | BinnedTracks):
        return bool(getattr(getattr(data, "declared", None), "two_losses", False))
    stored = data.uns[UNS][MODELS]
    name = next(iter(stored)) if key is None else key
    if "manifest" not in stored[name]:
        return False
    family = read_record(data, name).family
    return family in FAMILIES and family_class(family).declared.two_losses


def _apart(losses: dict[str, np.ndarray]) -> bool:
    """Return whether the two losses are so far apart that neither would be seen to change on one axis."""
    if len(losses) < 2:
        return False
    (low, high), (other_low, other_high) = (
        (np.nanmin(v), np.nanmax(v)) if np.isfinite(v).any() else (np.nan, np.nan) for v in losses.values()
    )
    gap = max(low, other_low) - min(high, other_high)
    return bool(gap > 2 * max(high - low, other_high - other_low))


def _losses(data: Any, key: str | None) -> dict[str, np.ndarray]:
    if isinstance(data, MuData | AnnData | BinnedTracks):
        stored = data.uns.get(UNS, {}).get(MODELS, {})
        if not stored:
            name = {MuData: "mdata", AnnData: "adata"}.get(type(data), "tracks")
            raise ChromatellError(
                f"Did not find {name}.uns['ctl']['models']. Run ctl.tl.dense(mdata), or the verb of another family, "
                "first."
            )
        if key is None and len(stored) != 1:
            raise ChromatellError(
                f"The {type(data).__name__} carries {len(stored)} models ({examples(stored, 8)}); name one: key=."
            )
        key = next(iter(stored)) if key is None else key
        if key not in stored:
            raise ChromatellError(f"No model {key!r} in uns['ctl']['models']; there: {names_there(stored, key, 8)}.")
        recorded = stored[key].get("history")
        what = f"The model {key!r}"
    else:
        recorded = getattr(data, "history", None)
        what = f"This {type(data).__name__}"
    losses = {}
    if isinstance(recorded, Mapping):
        losses = {k: np.asarray(v, dtype=np.float64).ravel() for k, v in recorded.items() if k in _LINES}
    losses = {k: v for k, v in losses.items() if v.size}
    if not losses:
        raise ChromatellError(
            f"{what} has no 'train_loss' or 'validation_loss' in its history. Train it first: .train()."
        )
    return losses
