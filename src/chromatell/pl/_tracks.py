"""``ctl.pl.tracks``: a window of the genome, track under track."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Unpack

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.ticker import FuncFormatter, MaxNLocator

from chromatell._keys import PREDICTIONS, UNS
from chromatell._validate import ChromatellError
from chromatell.data._tracks_table import ASSAY, INPUT, PREDICTION, ROLE, SAMPLE, STRAND, one_region
from chromatell.data.tracks import BinnedTracks, as_tracks
from chromatell.pl._gene_row import name_rows, place_genes
from chromatell.pl._plot import Shown, plot
from chromatell.pl._sequence_view import axes_size
from chromatell.pl._style import BASELINE, FAINT, OKABE_ITO, finish, font_size, legend, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FILL = 0.86  # share of a row's height that is drawn on
_MOST = 1500  # steps of a line; more bins are shown by their largest value
_MEGABASE = 100_000  # bp shown, from which on positions are in Mb
_MAX_ROWS = 60
PLUS, MINUS, OBSERVED = OKABE_ITO["blue"], OKABE_ITO["vermillion"], "#9A9A9A"
_PREDICTED = [OKABE_ITO[c] for c in ("green", "purple", "yellow")]


@dataclass
class _Row:
    """What is drawn in one row, on one scale: names of tracks above and below the line, and of predictions."""

    label: str
    above: str | None = None
    below: str | None = None
    predicted: tuple[str, ...] = ()


@plot
def tracks(
    tracks: BinnedTracks | AnnData,
    region: str,
    names: str | Sequence[str] | None = None,
    *,
    annotation: str | os.PathLike[str] | pd.DataFrame | None = None,
    layer: str | None = None,
    ax: Axes | None = None,
    **more: Unpack[Shown],
) -> Axes:
    """Signal along a window of the genome: input strands mirrored, observed targets with predictions over them.

    Parameters
    ----------
    tracks
        Tracks, or an AnnData of a window of them.
    region
        Such as ``'chr21:35,000,000-35,200,000'`` (0-based, half-open), or a chromosome's name.
    names
        Which tracks, in their order; None takes all. A prediction is drawn over the target of its assay and sample,
        each model in a colour of its own; of several the legend has the keys.
    annotation
        Genes to draw: GTF, BED or table, a path or a DataFrame.
    layer
        Such as ``'raw'``; None draws the values themselves.

    Returns
    -------
    matplotlib.axes.Axes
        One row a pair of strands, an input, or a target; each from 0 to its largest value there, which stands beside
        its name. Masked bins have a grey ground. Where bins outnumber what can be told apart, their maximum is drawn.

    Raises
    ------
    ChromatellError
        The region does not parse or lies off its chromosome, no such track or layer, or over 60 rows.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> import chromatell as ctl
    >>> table = pd.DataFrame({"name": ["plus", "minus"], "strand": ["+", "-"], "role": "input"})
    >>> values = {"chr1": np.arange(20, dtype="float32").reshape(2, 10)}
    >>> signal = ctl.data.BinnedTracks(values, table, chrom_sizes={"chr1": 500})
    >>> ax = ctl.pl.tracks(signal, "chr1:100-400")
    >>> ax.get_xlabel()
    'Position on chr1 (bp, 0-based)'
    """
    held = as_tracks(tracks)
    chosen = held.check_names(names)
    chrom, start, end = one_region(region, held.chrom_sizes)
    _, bins = held.locate(region)
    rows = _rows(held, chosen)
    if len(rows) > _MAX_ROWS:
        raise ChromatellError(
            f"{len(chosen)} tracks would be {len(rows)} rows; up to {_MAX_ROWS} are drawn. Name some."
        )
    ax = new_axes(ax, (6.0, 1.0 + 0.55 * len(rows) + (0.6 if annotation is not None else 0)))
    ax.set_xlim(start, end)
    genes = None if annotation is None else place_genes(annotation, chrom, start, end, axes_size(ax)[0], font_size(ax))

    edges = np.minimum(np.arange(bins.start, bins.stop + 1) * held.bin_size, held.chrom_sizes[chrom])
    _ground(ax, ~held.usable(chrom)[bins], edges)
    ticks, labels = [], []
    keys = _keys(held, rows)
    for i, row in enumerate(rows):
        floor = len(rows) - 1 - i
        top, mirrored = _draw(ax, held, row, chrom, bins, edges, layer, floor, keys)
        ticks.append(floor + _FILL / 2)
        labels.append(f"{row.label}\n{'±' if mirrored else '0 to '}{f'{top:,.0f}' if top >= 100 else f'{top:.3g}'}")
    name_rows(ax, ticks, labels, genes)
    unit = positions(ax, end - start)
    finish(ax, f"Position on {chrom} ({unit})", _quantity(held, chosen, layer))
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    if keys:
        shown = ax.get_legend_handles_labels()[1]
        room = axes_size(ax)[0] * 72 / (0.6 * font_size(ax))  # letters in a line; a handle takes about 6
        n = len(shown) if sum(6 + len(label) for label in shown) < room else 2
        legend(ax, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=n, borderaxespad=0.1)
    return ax


def _keys(tracks: BinnedTracks, rows: Sequence[_Row]) -> dict[str, str]:
    """Return the model's key of each prediction drawn: as it is stored, else what its name adds to the target's."""
    entries = tracks.uns.get(UNS, {}).get(PREDICTIONS, {})
    stored = {name: key for key, said in entries.items() for name in said.get("tracks", [])}
    return {name: str(stored.get(name, name.removeprefix(f"{row.above}_"))) for row in rows for name in row.predicted}


def _rows(tracks: BinnedTracks, names: Sequence[str]) -> list[_Row]:
    """Return the rows from top to bottom: strands of a sample together, predictions with their target."""
    table = tracks.table.loc[list(names)]
    of = {n: (str(a), str(s)) for n, a, s in zip(table.index, table[ASSAY], table[SAMPLE], strict=True)}
    rows: list[_Row] = []
    taken: set[str] = set()
    for name in names:
        role, strand = table.loc[name, ROLE], table.loc[name, STRAND]
        if name in taken:
            continue
        if role == PREDICTION:
            targets = [n for n in names if table.loc[n, ROLE] == "target" and of[n] == of[name]]
            if not targets:
                rows.append(_Row(name, predicted=(name,)))
        elif role == INPUT and strand != ".":
            other = "-" if strand == "+" else "+"
            mates = [
                n
                for n in names
                if n not in taken and (table.loc[n, [ROLE, STRAND, SAMPLE]] == [role, other, of[name][1]]).all()
            ]
            pair = [name, *mates[:1]]
            taken.update(pair)
            above = next((n for n in pair if table.loc[n, STRAND] == "+"), None)
            below = next((n for n in pair if table.loc[n, STRAND] == "-"), None)
            rows.append(_Row(" / ".join(n for n in (above, below) if n), above, below))
        else:
            predicted = tuple(n for n in names if table.loc[n, ROLE] == PREDICTION and of[n] == of[name])
            rows.append(_Row(name, above=name, predicted=predicted if role == "target" else ()))
    return rows


def _draw(
    ax: Axes,
    tracks: BinnedTracks,
    row: _Row,
    chrom: str,
    bins: slice,
    edges: np.ndarray,
    layer: str | None,
    floor: float,
    keys: dict[str, str],
) -> tuple[float, bool]:
    """Draw one row between `floor` and `floor` + 1; return the value at its top, and whether 0 is in the middle."""
    names = [n for n in (row.above, row.below, *row.predicted) if n is not None]
    curves = {n: _fewer(tracks.values(chrom, [n], bins=bins, layer=layer)[0], edges) for n in names}
    top = max(float(np.nanmax(np.abs(values), initial=0)) for values, _ in curves.values()) or 1.0
    mirrored = row.below is not None or any(float(np.nanmin(values, initial=0)) < 0 for values, _ in curves.values())
    height = _FILL / (2 if mirrored else 1)
    zero = floor + (height if mirrored else 0)
    target = row.above is not None and tracks.table.loc[row.above, ROLE] != INPUT
    for name, sign, colour in (
        (row.above, 1, OBSERVED if target else PLUS if row.below or _strand(tracks, row.above) != "." else BASELINE),
        (row.below, -1, MINUS),
    ):
        if name is not None:
            values, steps = curves[name]
            ax.stairs(
                zero + sign * height * np.nan_to_num(values) / top,
                steps,
                baseline=zero,
                fill=True,
                color=colour,
                label=_once(ax, "observed") if target else None,
            )
    models = list(dict.fromkeys(keys.values()))
    for name in row.predicted:
        values, steps = curves[name]
        ax.stairs(
            zero + height * values / top,
            steps,
            baseline=None,
            color=_PREDICTED[models.index(keys[name]) % len(_PREDICTED)],
            linewidth=1.1,
            label=_once(ax, "predicted" if len(models) == 1 else keys[name]),
        )
    ax.axhline(zero, color=FAINT, linewidth=0.5, zorder=0.5)
    return top, mirrored


def _fewer(values: np.ndarray, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return values and edges of at most `_MOST` steps, each the value of largest size in it."""
    step = -(-values.size // _MOST)
    if step == 1:
        return values, edges
    n = -(-values.size // step)
    padded = np.full(n * step, np.nan, dtype=np.float32)
    padded[: values.size] = values
    grid = padded.reshape(n, step)
    at = np.argmax(np.abs(np.nan_to_num(grid)), axis=1)
    return grid[np.arange(n), at], np.append(edges[:-1:step], edges[-1])


def _ground(ax: Axes, masked: np.ndarray, edges: np.ndarray) -> None:
    change = np.flatnonzero(np.diff(masked.astype(np.int8), prepend=0, append=0))
    for first, last in change.reshape(-1, 2):
        ax.axvspan(float(edges[first]), float(edges[last]), color="#EFEFEF", linewidth=0, zorder=0)


def positions(ax: Axes, width: int) -> str:
    """Set few ticks; return the unit."""
    ax.xaxis.set_major_locator(MaxNLocator(3 if axes_size(ax)[0] < 4 else 5, integer=width < _MEGABASE))
    if width < _MEGABASE:
        ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
        return "bp, 0-based"
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x / 1e6:.{_digits(ax.get_xticks())}f}"))
    return "Mb"


def _digits(ticks: np.ndarray) -> int:
    """Return the decimals with which ticks in Mb are written as they are: no two of unlike distance look alike."""
    step = float(np.diff(ticks).min()) if len(ticks) > 1 else _MEGABASE  # a round number of bp
    return next(d for d in range(7) if d == 6 or abs(step * 10 ** (d - 6) - round(step * 10 ** (d - 6))) < 1e-6)


def _quantity(tracks: BinnedTracks, names: Sequence[str], layer: str | None) -> str:
    stats = {
        "mean": "mean over {} bp",
        "mean_covered": "mean over covered bases of {} bp",
        "sum": "sum over {} bp",
        "max": "maximum of {} bp",
    }
    used = set(tracks.table.loc[list(names), "stat"]) - {""}
    text = (
        stats[used.pop()].format(tracks.bin_size) if len(used) == 1 and used <= set(stats) else f"{tracks.bin_size} bp"
    )
    return f"Signal ({text})" + (f", {layer}" if layer else "")


def _strand(tracks: BinnedTracks, name: str | None) -> str:
    return "." if name is None else str(tracks.table.loc[name, STRAND])


def _once(ax: Axes, label: str) -> str | None:
    """Return a label for the legend, if no artist has it."""
    return None if label in ax.get_legend_handles_labels()[1] else label
