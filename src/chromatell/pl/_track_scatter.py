"""``ctl.pl.track_scatter``: observed against predicted signal, bin by bin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

import numpy as np
from matplotlib.patheffects import withStroke

from chromatell._keys import EVALUATION, PREDICTIONS, RAW, SPLITS, UNS
from chromatell._validate import ChromatellError, one_of
from chromatell.data._tracks_table import ASSAY, PREDICTION, ROLE, SAMPLE
from chromatell.data.tracks import BinnedTracks
from chromatell.metrics.tracks import coarsen
from chromatell.pl._plot import Shown, plot
from chromatell.pl._style import INK, finish, font_size, new_axes
from chromatell.pl._track_evaluation import ALL, TrackEvaluation, base_pairs

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@plot
def track_scatter(
    tracks: BinnedTracks,
    target: str,
    model: str,
    *,
    split: str = "test",
    view: str = "smoothed",
    resolution: int | None = None,
    log: bool = False,
    key: str = EVALUATION,
    ax: Axes | None = None,
    **more: Unpack[Shown],
) -> Axes:
    """Observed against predicted signal in the bins of a part, as a density, with Pearson's r in the corner.

    Parameters
    ----------
    tracks
        Tracks with the target and its prediction.
    target
        Name of the observed track.
    model
        Name of the model, such as 'nascent', or of the predicted track.
    split
        The bins: 'train', 'val' or 'test'; masked ones are left out.
    view
        'smoothed', the target as it is, or 'raw', as it was before ``ctl.pp.smooth_tracks``.
    resolution
        In bp, a multiple of the bin size; None is a bin.
    log
        Draw log(1 + signal).
    key
        `key_added` of ``ctl.tl.evaluate``, from whose table r is read; where it has no such score, none is shown.

    Returns
    -------
    matplotlib.axes.Axes
        Darker hexagons hold more bins, on a logarithmic scale; the dashed line is where both are equal. The r is that
        of the signal, also where logs are drawn.

    Raises
    ------
    ChromatellError
        No such target or prediction, or no bin in that part.

    Examples
    --------
    >>> import numpy as np
    >>> import chromatell as ctl
    >>> signal = np.random.default_rng(0).gamma(1, 2, 4000)
    >>> values = {"chr1": [signal, signal + 1]}
    >>> tracks = ctl.data.BinnedTracks(values, ["mark", "mark_mine"], chrom_sizes={"chr1": 200_000})
    >>> tracks.table["role"] = ["target", "prediction"]
    >>> ctl.pl.track_scatter(tracks, "mark", "mine", split="train").get_xlabel()
    'Observed mark (50 bp)'
    """
    one_of(split, SPLITS, "split")
    one_of(view, ("smoothed", RAW), "view")
    (target,) = tracks.check_names([target])
    predicted = _prediction(tracks, target, model)
    width = tracks.bin_size if resolution is None else resolution
    if width < tracks.bin_size or width % tracks.bin_size:
        raise ChromatellError(f"resolution={resolution} must be a multiple of the bin size, {tracks.bin_size} bp.")
    layer = RAW if view == RAW and target in tracks.layers.get(RAW, []) else None
    x, y = _pooled(tracks, target, predicted, split, layer, width // tracks.bin_size)
    if not x.size:
        raise ChromatellError(
            f"No usable bin is {split!r} and predicted. Run ctl.pp.split_regions(tracks, by='blocks') or take another."
        )
    if log:
        x, y = np.log1p(np.maximum(x, 0)), np.log1p(np.maximum(y, 0))
    ax = new_axes(ax, (4.2, 3.6))
    size = font_size(ax)
    n_across = int(np.clip(ax.get_window_extent().width / ax.figure.dpi * 14, 16, 50))
    hexagons = ax.hexbin(x, y, gridsize=n_across, bins="log", mincnt=1, cmap="viridis_r", linewidths=0)
    low, high = min(x.min(), y.min(), 0.0), max(x.max(), y.max())
    (line,) = ax.plot([low, high], [low, high], color=INK, linewidth=1.0, linestyle="--", zorder=3)
    line.set_path_effects([withStroke(linewidth=2.4, foreground="white")])  # seen on any colour of the hexagons
    bar = ax.figure.colorbar(hexagons, ax=ax, pad=0.02, fraction=0.06)
    bar.set_label(f"Bins of {base_pairs(width)}", fontsize=size)
    bar.ax.tick_params(labelsize=size - 0.5, length=2)
    bar.outline.set_visible(False)
    r = _pearson(tracks, key, target, model, split, "raw" if view == RAW else view, width)
    if r is not None:
        ax.text(0.03, 0.97, f"r = {r:.2f}", transform=ax.transAxes, ha="left", va="top", fontsize=size)
    unit = f"({base_pairs(width)}{', raw' if layer else ''}{', log(1 + x)' if log else ''})"
    finish(ax, f"Observed {target} {unit}", f"Predicted by {model}")
    return ax


def _prediction(tracks: BinnedTracks, target: str, model: str) -> str:
    """Return the name of the predicted track."""
    table = tracks.table
    predicted = [str(n) for n in table.index[table[ROLE] == PREDICTION]]
    if model in predicted:
        return model
    listed = tracks.uns.get(UNS, {}).get(PREDICTIONS, {}).get(model, {}).get("tracks", [])
    same = [
        n for n in listed if n in predicted and all(table.loc[n, c] == table.loc[target, c] for c in (ASSAY, SAMPLE))
    ]
    for name in (f"{target}_{model}", *same):
        if name in predicted:
            return name
    raise ChromatellError(
        f"There is no prediction of {target!r} by {model!r}; predicted tracks: {predicted or 'none'}. Predict first: "
        "ctl.tl.nascent(tracks)."
    )


def _pooled(
    tracks: BinnedTracks, target: str, predicted: str, split: str, layer: str | None, factor: int
) -> tuple[np.ndarray, np.ndarray]:
    parts = []
    for chrom in tracks.chroms:
        usable = tracks.usable(chrom, split)
        if not usable.any():
            continue
        pair = [tracks.values(chrom, target, layer=layer)[0], tracks.values(chrom, predicted)[0]]
        usable &= np.isfinite(pair[0]) & np.isfinite(pair[1])
        if factor == 1:
            parts.append(np.stack([v[usable] for v in pair]).astype(np.float64))
        else:
            held = coarsen(pair[0], usable, factor)[1]
            parts.append(np.stack([coarsen(v, usable, factor)[0][held] for v in pair]))
    x, y = np.concatenate(parts, axis=1) if parts else np.empty((2, 0))
    return x, y


def _pearson(
    tracks: BinnedTracks, key: str, target: str, model: str, split: str, view: str, resolution: int
) -> float | None:
    """Return what the table says, None where it does not."""
    try:
        table = TrackEvaluation(tracks, key).table
    except ChromatellError:  # the plot stands without it
        return None
    at = {"model": model, "split": split, "target": target, "chrom": ALL, "view": view, "resolution": resolution}
    rows = table[np.all([table[c] == v for c, v in {**at, "metric": "pearson"}.items()], axis=0)]
    return float(rows["value"].iloc[0]) if len(rows) else None
