"""``ctl.pl.metric_by_chromosome``: a score of predicted tracks on each chromosome."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Unpack

import numpy as np

from chromatell._docs import documented
from chromatell._keys import EVALUATION
from chromatell._validate import ChromatellError
from chromatell.data.tracks import BinnedTracks
from chromatell.pl._plot import Shown, plot
from chromatell.pl._sequence_view import axes_size
from chromatell.pl._style import METRIC_LABELS, finish, font_size, legend, line_styles, new_axes
from chromatell.pl._track_evaluation import ALL, TrackEvaluation

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SPREAD = 0.7  # share of a chromosome's room over which its models are spread
_MARKERS = "osD^vPX<>"


@plot
@documented("evaluated")
def metric_by_chromosome(
    tracks: BinnedTracks,
    metric: str = "pearson",
    *,
    target: str | None = None,
    view: str | None = None,
    resolution: int | None = None,
    models: Sequence[str] | None = None,
    key: str = EVALUATION,
    ax: Axes | None = None,
    **more: Unpack[Shown],
) -> Axes:
    """A score of each model and baseline on each chromosome, and on all together, with 95% intervals.

    Parameters
    ----------
    tracks
        After ``ctl.tl.evaluate(tracks)``.
    metric
        'pearson', 'spearman', 'rmse', 'ap', 'f1', 'precision' or 'recall'.
    target
        Which target; None takes the first in the table.
    view, resolution
        'smoothed', 'raw' or 'peaks', and bp; None takes the first view with that metric and its finest resolution.
    models
        Which models and baselines; None takes all.

    Returns
    -------
    matplotlib.axes.Axes
        Models in colour, baselines grey; what reads the targets is orange. The dotted line parts all chromosomes, on
        the left, from each.

    Raises
    ------
    ChromatellError
        `tl.evaluate` was not run, or not for that target, view, resolution, metric or model.

    Examples
    --------
    >>> import numpy as np
    >>> import chromatell as ctl
    >>> signal = np.random.default_rng(0).poisson(0.3, 4000)
    >>> values = {c: [signal, signal > 1, signal + 0.5] for c in ("chr1", "chr2")}
    >>> sizes = dict.fromkeys(values, 200_000)
    >>> tracks = ctl.data.BinnedTracks(values, ["plus", "mark", "mark_mine"], chrom_sizes=sizes)
    >>> tracks.table["role"] = ["input", "target", "prediction"]
    >>> tracks.table["assay"] = ["PRO-seq", "mark", "mark"]
    >>> ctl.tl.evaluate(tracks, baselines=["log_signal"], split="train", block=10_000, n_bootstrap=20)
    >>> ax = ctl.pl.metric_by_chromosome(tracks)
    >>> [label.get_text() for label in ax.get_xticklabels()]
    ['all', 'chr1', 'chr2']
    """
    evaluation = TrackEvaluation(tracks, key)
    scores = evaluation.scores(evaluation.targets[0] if target is None else target, view, resolution, metric)
    rows = scores.chosen(models)
    rows = rows[np.isfinite(rows["value"].to_numpy())]
    scored, named = set(rows["chrom"]), set(rows["model"])
    chroms = [c for c in (ALL, *tracks.chroms) if c in scored]
    best = scores.best_baseline(scores.view, metric)
    own_models = [m for m in scores.models if m in named]
    others = sorted((b for b in scores.baselines if b in named), key=lambda b: (b in scores.references, b != best))
    names = [*own_models, *others]
    if not names:
        raise ChromatellError(f"{metric!r} is not defined for {scores.target!r} ({scores.what}): no model to draw.")
    ax = new_axes(ax, (max(4.0, 1.2 + 0.16 * len(chroms) * len(names)), 3.4))
    size = font_size(ax)
    styles = line_styles(own_models, others, scores.references)
    offsets = _SPREAD * (np.arange(len(names)) - (len(names) - 1) / 2) / max(len(names), 2)
    for i, name in enumerate(names):
        own = rows[rows["model"] == name].set_index("chrom").reindex(chroms)
        x, colour = np.arange(len(chroms)) + offsets[i], styles[name]["color"]
        ax.vlines(x, own["ci_low"], own["ci_high"], color=colour, linewidth=1.2)
        ax.plot(
            x,
            own["value"],
            linestyle="none",
            marker="o" if name in own_models else _MARKERS[1 + i % (len(_MARKERS) - 1)],
            markersize=size * 0.5,
            color=colour,
            markerfacecolor=colour if name in own_models else "white",
            label=scores.name(name),
        )
    if len(chroms) > 1:
        ax.axvline(0.5, color="#B5B5B5", linewidth=0.8, linestyle=(0, (1, 2)))
    ax.set_xlim(-0.6, len(chroms) - 0.4)
    ax.set_xticks(range(len(chroms)), chroms)
    width = axes_size(ax)[0] / len(chroms)  # inches a name
    ax.tick_params(axis="x", rotation=90 if max(len(c) for c in chroms) * size * 0.62 / 72 > width else 0)
    ax.grid(axis="y", color="#EBEBEB", linewidth=0.7)
    ax.set_axisbelow(True)
    finish(ax, "", f"{METRIC_LABELS.get(metric, metric)}\n({scores.target}, {scores.what})")
    legend(ax, loc="lower left", bbox_to_anchor=(-0.02, 1.0), borderaxespad=0.1, ncols=2, columnspacing=1.0)
    return ax
