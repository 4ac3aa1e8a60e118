"""``ctl.pl.leaderboard``: every prediction and baseline, with intervals."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.ticker import MaxNLocator
from mudata import MuData

from chromatell._docs import documented, example
from chromatell._keys import COMPLETION, EVALUATION, OWN_ATAC
from chromatell._nearest import names_there
from chromatell._unread import refuse_unread, usual
from chromatell._validate import ChromatellError
from chromatell.data.tracks import BinnedTracks
from chromatell.pl._plot import Shown, plot
from chromatell.pl._style import BASELINE, INK, OKABE_ITO, Evaluation, finish, font_size, metric_label
from chromatell.pl._track_evaluation import ALL, TargetScores, TrackEvaluation

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAIN = (("overall", "ap"), ("per_cell", "auroc"), ("depth_matched", "auroc"))
_FIRST_METRIC = {"overall": "ap", "peaks": "ap", "profile": "pearson", "calibration": "brier"}
LOWER_IS_BETTER = frozenset({"ece", "brier", "rmse"})


@plot
@documented("evaluated")
@example("evaluated")
def leaderboard(
    mdata: MuData | AnnData | BinnedTracks,
    *,
    views: str | Sequence[str | tuple[str, str]] | None = None,
    models: Sequence[str] | None = None,
    pairs: str | None = None,
    targets: str | Sequence[str] | None = None,
    resolution: int | None = None,
    key: str = EVALUATION,
    ax: Axes | Sequence[Axes] | None = None,
    **more: Unpack[Shown],
) -> Axes | np.ndarray:
    """Scores of models and baselines with 95% intervals, a panel for each view, or for each target of tracks.

    Parameters
    ----------
    mdata
        After ``ctl.tl.evaluate(mdata)``; cells x bins, or tracks, after the same call.
    views
        Views, or pairs of view and metric such as ``('per_cell', 'auroc')``. None takes the average precision over
        all pairs, the AUROC per cell and the depth-matched AUROC; where a single `ax` is given, the depth-matched
        AUROC. Labels and embeddings show every view (where a single `ax` is given, the first). Tracks show one view, or
        one such pair; None takes Pearson's correlation in the first view of the table.
    models
        Which models and baselines; None takes all.
    pairs
        'cross-cell', 'cross-sample', 'cross-region' or 'cross-both'; of cells x bins 'completion', 'labels' or
        'embedding'. None takes the first in the table.
    targets, resolution
        For tracks: the targets, a panel each (None takes all), and the resolution in bp (None takes the finest).
    ax
        Axes to draw on, one for each panel; None makes a figure.

    Returns
    -------
    matplotlib.axes.Axes, or an array of them
        One for each panel. Rows are sorted by the last panel, the best on top: models are filled blue circles,
        baselines grey squares. What reads the ATAC of the cells that it predicts is open: a reference is a diamond, a
        model with ``depth='observed'`` a circle, named an upper bound. For cells x bins, where all read the cell's own,
        none is. The dotted line is the baseline that was chosen on the validation pairs; a second, red one is a
        baseline that beats it on the scored pairs by more than its interval: a gain over the first is then no success.

    Raises
    ------
    ChromatellError
        `tl.evaluate` was not run, or not in that view or on those pairs; the number of axes is not that of views.

    Examples
    --------
    >>> ctl.pl.leaderboard(mdata, views="per_cell").get_xlabel()
    'AUROC (per cell)'
    """
    if isinstance(mdata, BinnedTracks):
        return _of_tracks(TrackEvaluation(mdata, key), views, targets, resolution, models, ax)
    of_tracks = (("targets", "resolution"), False, "tracks, and these are cells")
    refuse_unread({"targets": targets, "resolution": resolution}, usual(leaderboard), [of_tracks])
    evaluation = Evaluation(mdata, key, pairs)
    table = (
        evaluation.table
        if models is None
        else evaluation.table[evaluation.table["model"].isin(evaluation.scored(models))]
    )
    single = ax is not None and not isinstance(ax, Sequence | np.ndarray)
    each_view = evaluation.pairs in OWN_ATAC and evaluation.pairs != COMPLETION
    scores = _scores(table, views, single=single, each_view=each_view, call=evaluation.call)
    table = table[[of in scores for of in zip(table["view"], table["metric"], strict=True)]]
    panels = _panels(ax, len(scores), table["model"].nunique())
    order = _order(table, *scores[-1])
    reading = evaluation.references | evaluation.upper_bounds
    for panel, (view, metric) in zip(panels, scores, strict=True):
        rows = table[(table["view"] == view) & (table["metric"] == metric)].set_index("model").reindex(order)
        _draw(panel, evaluation, rows, view, metric, reading, two_lines=len(scores) > 1)
    for panel in panels[1:]:
        panel.set_yticklabels([])
    if evaluation.title:
        panels[0].set_title(evaluation.title, fontsize=font_size(panels[0]), loc="left", pad=14)
    return panels[0] if len(scores) == 1 else np.array(panels, dtype=object)


def _of_tracks(
    evaluation: TrackEvaluation, views: Any, targets: Any, resolution: int | None, models: Sequence[str] | None, ax: Any
) -> Axes | np.ndarray:
    """Draw a panel for each target."""
    names = evaluation.targets if targets is None else [targets] if isinstance(targets, str) else list(targets)
    view, metric = (
        (views, _FIRST_METRIC.get(views or "", "pearson")) if views is None or isinstance(views, str) else views
    )
    scores = [evaluation.scores(target, view, resolution, metric) for target in names]
    tables = [s.chosen(models) for s in scores]
    tables = [t[(t["chrom"] == ALL).to_numpy()] for t in tables]
    panels = _panels(ax, len(scores), max(t["model"].nunique() for t in tables))
    order = _order(tables[-1], scores[-1].view, metric)
    order = [*(m for t in tables for m in pd.unique(t["model"]) if m not in order), *order]
    for panel, of, table in zip(panels, scores, tables, strict=True):
        rows = table.set_index("model").reindex(list(dict.fromkeys(order)))
        _draw(panel, of, rows, of.what, metric, of.references, two_lines=True)
        panel.set_title(of.target, fontsize=font_size(panel), loc="left", pad=14)
    for panel in panels[1:]:
        panel.set_yticklabels([])
    return panels[0] if len(scores) == 1 else np.array(panels, dtype=object)


def _scores(table: pd.DataFrame, views: Any, *, single: bool, each_view: bool, call: str) -> list[tuple[str, str]]:
    scored = list(dict.fromkeys(zip(table["view"].astype(str), table["metric"].astype(str), strict=True)))
    first = dict(reversed(scored))  # each view keeps its first metric
    if views is None:
        wanted = [p for p in (MAIN[-1:] if single else MAIN) if p in scored] or scored[:1]
        if each_view and not single:
            wanted = [(view, first[view]) for view in dict.fromkeys(v for v, _ in scored)]
    else:
        metric_of = {
            view: m if (view, m := _FIRST_METRIC.get(view, "auroc")) in scored else first[view] for view in first
        }
        listed = [views] if isinstance(views, str) else list(views)
        wanted = [
            (v, metric_of.get(v, _FIRST_METRIC.get(v, "auroc"))) if isinstance(v, str) else (str(v[0]), str(v[1]))
            for v in listed
        ]
    missing = [p for p in wanted if p not in scored]
    if missing or not wanted:
        names = dict.fromkeys(view for view, _ in scored)
        asked = next((view for view, _ in missing), "")
        raise ChromatellError(
            f"No scores of {missing or 'any view'} in uns['ctl']; there: {names_there(names, asked)}, by "
            f"{', '.join(dict.fromkeys(metric for _, metric in scored)) or 'no metric'}. Name some, "
            f"views=[...], or run {call} with others."
        )
    return wanted


def _panels(ax: Any, n: int, n_rows: int) -> list[Axes]:
    if ax is None:
        import matplotlib.pyplot as plt

        size = (6.0 if n == 1 else 2.2 + 2.0 * n, max(2.0, 0.9 + 0.28 * n_rows))
        _, axes = plt.subplots(1, n, figsize=size, sharey=False, squeeze=False, layout="constrained")
        return list(axes[0])
    panels = list(np.ravel(np.asarray(ax, dtype=object)))
    if len(panels) != n:
        raise ChromatellError(f"{len(panels)} axes were given for {n} views; give one for each, or views= of one view.")
    return panels


def _order(table: pd.DataFrame, view: str, metric: str) -> list[str]:
    """Return the models from the worst, which stands at the bottom, to the best."""
    values = table[(table["view"] == view) & (table["metric"] == metric)].set_index("model")["value"].astype(float)
    values = values.reindex(pd.unique(table["model"]))
    return list(values.sort_values(ascending=metric not in LOWER_IS_BETTER, kind="stable", na_position="first").index)


def _draw(
    ax: Axes,
    evaluation: Evaluation | TargetScores,
    rows: pd.DataFrame,
    view: str,
    metric: str,
    reading: Collection[str],
    *,
    two_lines: bool,
) -> None:
    size, best = font_size(ax), evaluation.best_baseline(view, metric)
    for y, (name, row) in enumerate(rows.iterrows()):
        if not np.isfinite(row["value"]):
            continue
        style = _marker(bool(row["is_baseline"]), reads_target=name in reading)
        if np.isfinite(row["ci_low"]) and np.isfinite(row["ci_high"]):
            ax.plot([row["ci_low"], row["ci_high"]], [y, y], color=style["markeredgecolor"], linewidth=1.4, zorder=2)
        ax.plot([row["value"]], [y], markersize=size * 0.6, linestyle="none", zorder=3, **style)
    ahead = evaluation.ahead(view, metric)
    lines = [(best, "best baseline" if ahead is None else "chosen", BASELINE, "right")]
    lines.append((ahead, "ahead", OKABE_ITO["vermillion"], "left"))
    for of, text, colour, side in lines:
        if of in rows.index:
            at = float(rows.loc[of, "value"])
            if ahead and metric in LOWER_IS_BETTER:
                side = "left" if side == "right" else "right"
            ax.axvline(at, color=colour, linewidth=0.9, linestyle=(0, (1, 2)), zorder=1)
            place: dict[str, Any] = {"xytext": (0, 1), "textcoords": "offset points", "fontsize": size - 1, "ha": side}
            ax.annotate(text, (at, len(rows) - 0.4), color=colour, **place)
    ax.set_yticks(range(len(rows)), [evaluation.name(str(n)) for n in rows.index])
    ax.set_ylim(-0.6, len(rows) - 0.4)
    ax.grid(axis="y", color="#EBEBEB", linewidth=0.7)
    ax.set_axisbelow(True)
    width = _room(ax, [evaluation.name(str(n)) for n in rows.index])
    digits = 0.055 * size  # inches of a label such as 0.725, and the space beside it
    ax.xaxis.set_major_locator(MaxNLocator(nbins=max(1, min(4, int(width / digits))), min_n_ticks=2))
    better = " (lower is better)" if metric in LOWER_IS_BETTER else ""
    score = metric_label(view, metric, lines=two_lines) + better
    finish(ax, _wrapped(score, width, size) if two_lines else score, "")
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)
    for label, name in zip(ax.get_yticklabels(), rows.index, strict=True):
        label.set_color(BASELINE if name in evaluation.baselines else INK)
        label.set_fontweight("normal" if name in evaluation.baselines else "bold")


def _room(ax: Axes, names: Sequence[str]) -> float:
    """Return the width of a panel in inches once names stand beside the first: constrained layout makes room later."""
    width = float(ax.get_window_extent().width / ax.figure.dpi)
    figure = ax.get_figure(root=True)
    if figure is None or figure.get_layout_engine() is None:
        return width
    n = len({round(other.get_position().x0, 3) for other in figure.axes})
    beside = max(map(len, names), default=0) * 0.55 * font_size(ax) / 72
    return max(0.3, min(width, (0.94 * figure.get_size_inches()[0] - beside) / max(n, 1) - 0.12))


def _wrapped(label: str, width: float, size: float) -> str:
    """Return a label with its lines broken where they are wider than the panel."""
    letters = max(8, int(width * 72 / (0.53 * size)))
    lines = (textwrap.wrap(line, letters, break_long_words=False) for line in label.split("\n"))
    return "\n".join(part for line in lines for part in line)


def _marker(is_baseline: bool, *, reads_target: bool) -> dict[str, Any]:
    colour = BASELINE if is_baseline else OKABE_ITO["blue"]
    shape = "o" if not is_baseline else "D" if reads_target else "s"
    return {"marker": shape, "markerfacecolor": "white" if reads_target else colour, "markeredgecolor": colour}
