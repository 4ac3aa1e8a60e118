"""What plots along a sequence share: which region, group and window to draw, and the axis of genomic positions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator
from mudata import MuData

from chromatell._keys import ATTRIBUTION, ISM
from chromatell._nearest import names_there
from chromatell._validate import ChromatellError
from chromatell.pl._style import call_of, read_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FIELDS = ("regions", "chrom", "start", "groups", "tokens", "effect", "method")


@dataclass(frozen=True)
class Window:
    """Values along one region for one group.

    Attributes
    ----------
    effect
        float32 (4, width): of A, C, G, T in each place.
    tokens
        int8 (width,): the bases that are there.
    start
        0-based position of the first.
    """

    region: str
    group: str
    chrom: str
    start: int
    effect: np.ndarray
    tokens: np.ndarray
    is_ism: bool

    @property
    def title(self) -> str:
        """The region and the group."""
        return f"{self.region}, {'all cells' if self.group == 'all' else self.group}"


def window_of(
    mdata: MuData, key: str, region: str | None, group: str | None, start: int | None, end: int | None
) -> Window:
    """Return what to draw; None takes the first region, the first group, the whole window."""
    call = "ctl.tl.attribute(mdata, regions)" if key == ATTRIBUTION else "ctl.tl.ism(mdata, regions)"
    call = call_of(call, key, ATTRIBUTION if key == ATTRIBUTION else ISM)
    stored = read_table(mdata, key, call)
    if not isinstance(stored, Mapping) or any(name not in stored for name in FIELDS):
        raise ChromatellError(
            f"mdata.uns['ctl'][{key!r}] is not what tl.ism or tl.attribute writes. Run {call}, or name "
            "another with key=."
        )
    r = _number(stored["regions"], region, "region", key, call)
    g = _number(stored["groups"], group, "group", key, call)
    first, tokens = int(stored["start"][r]), np.asarray(stored["tokens"])[r]
    low, high = first if start is None else start, first + tokens.size if end is None else end
    if not first <= low < high <= first + tokens.size:
        raise ChromatellError(
            f"start={start}, end={end} is not a window of {stored['chrom'][r]}:{first}-{first + tokens.size} (0-based, "
            f"half-open), which is what mdata.uns['ctl'][{key!r}] holds of {stored['regions'][r]!r}. Write a wider one "
            f"with {call[:-1]}, window=...)."
        )
    part = slice(int(low) - first, int(high) - first)
    effect = np.asarray(stored["effect"])[r, g][:, part]
    return Window(
        region=str(stored["regions"][r]),
        group=str(stored["groups"][g]),
        chrom=str(stored["chrom"][r]),
        start=int(low),
        effect=effect,
        tokens=tokens[part],
        is_ism=str(stored["method"]) == ISM,
    )


def _number(names: Any, wanted: str | None, what: str, key: str, call: str) -> int:
    names = [str(name) for name in np.atleast_1d(names)]
    if wanted is None:
        return 0
    if str(wanted) not in names:
        raise ChromatellError(
            f"No {what} {wanted!r} in mdata.uns['ctl'][{key!r}]; there: {names_there(names, wanted, 8)}. Add it with "
            f"{call}."
        )
    return names.index(str(wanted))


def genomic_axis(ax: Axes, shown: Window) -> str:
    """Set limits and ticks to positions, few enough to fit; return the label of the axis."""
    width = shown.tokens.size
    ax.set_xlim(shown.start - 0.5, shown.start + width - 0.5)
    few = min(width, 3 if axes_size(ax)[0] < 4 else 5)
    ax.xaxis.set_major_locator(MaxNLocator(few, integer=True, min_n_ticks=1))  # no tick between two bases
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
    return f"Position on {shown.chrom} (bp, 0-based)"


def axes_size(ax: Axes) -> tuple[float, float]:
    """Return width and height of the axes, in inches, about: before the layout makes room for text."""
    figure = ax.get_figure(root=True)
    assert figure is not None  # axes on which something is drawn have one
    width, height = figure.get_size_inches() * ax.get_position().size
    return float(width), float(height)
