"""What the plots share: colours, sizes, and reading the tables that `tl` wrote."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib import rcParams
from mudata import MuData

from chromatell._keys import (
    COMPLETION,
    CURVES,
    EMBEDDING,
    EVALUATION,
    GAINS,
    LABELS,
    OWN_ATAC,
    UNS,
    USES_TARGET_ASSAY,
    sibling,
)
from chromatell._nearest import names_there
from chromatell._validate import ChromatellError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Which = Literal["best", "all", "none"] | Sequence[str]

# Okabe & Ito (2008): told apart with every common kind of colour vision. Grey and black are for baselines.
OKABE_ITO = {
    "blue": "#0072B2",
    "vermillion": "#D55E00",
    "green": "#009E73",
    "purple": "#CC79A7",
    "orange": "#E69F00",
    "sky": "#56B4E9",
    "yellow": "#F0E442",
}
MODEL_COLOURS = [c for name, c in OKABE_ITO.items() if name != "orange"]  # which is for references
BASELINE, FAINT, INK = "#595959", "#B5B5B5", "#1A1A1A"
PAIRS = "pairs"  # column of the tables: which kind of pairs was scored

TITLES = {COMPLETION: "removed bins", LABELS: "labels of cells", EMBEDDING: "neighbours in the embedding"}

VIEW_LABELS = {
    "overall": "all pairs",
    "per_cell": "per cell",
    "per_region": "per region",
    "depth_matched": "depth-matched",
    "within_type": "within type",
    "within_type_depth_matched": "within type, depth-matched",
    "profile": "cell-type profile",
    "calibration": "calibration",
    "self_expected": "self-expected",
}
METRIC_LABELS = {
    "auroc": "AUROC",
    "ap": "average precision",
    "normalised_ap": "normalised AP",
    "pearson": "Pearson r",
    "spearman": "Spearman rho",
    "rmse": "RMSE",
    "f1": "F1",
    "macro_f1": "macro-F1",
    "knn_label": "kNN label score",
    "deviation_pearson": "Pearson r of deviation",
    "deviation_spearman": "Spearman rho of deviation",
    "ece": "calibration error",
    "brier": "Brier score",
}


def metric_label(view: str, metric: str, *, lines: bool = False) -> str:
    """Return the text of an axis, such as 'AUROC (per cell)'; on two lines where space is short."""
    between = "\n" if lines else " "
    return f"{METRIC_LABELS.get(metric, metric)}{between}({VIEW_LABELS.get(view, view)})"


def new_axes(ax: Axes | None, figsize: tuple[float, float] = (6.0, 4.0)) -> Axes:
    """Return `ax`, or the axes of a new figure. pyplot is touched only where no axes were given."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=figsize, layout="constrained")
    return ax


def room_for(names: Iterable[str]) -> float:
    """Return inches to add to a new figure beside an axis for the longest name, where it has over 16 letters."""
    return 0.07 * max(0, max(map(len, names), default=0) - 16)


def font_size(ax: Axes) -> float:
    """Return a size of text, in points, that fits the figure: 6.5 at 3.3 inches (one column), at most 10."""
    figure = ax.get_figure(root=True)
    width = 6.4 if figure is None else figure.get_size_inches()[0]
    return float(np.clip(4.6 + 0.58 * width, 6.0, min(10.0, rcParams["font.size"])))


def finish(ax: Axes, xlabel: str, ylabel: str, title: str = "") -> Axes:
    """Label the axes, drop the frame's upper and right side, and set every text to the figure's size."""
    size = font_size(ax)
    ax.set_xlabel(xlabel, fontsize=size)
    ax.set_ylabel(ylabel, fontsize=size)
    if title:
        ax.set_title(title, fontsize=size, loc="left")
    ax.tick_params(labelsize=size - 0.5, length=3)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def legend(ax: Axes, **kwargs: Any) -> None:
    """Draw a legend without a frame, in the figure's size of text."""
    ax.legend(frameon=False, fontsize=font_size(ax) - 0.5, handlelength=1.8, labelspacing=0.35, **kwargs)


def call_of(call: str, key: str, usual: str) -> str:
    """Return the call that writes a table under the name that was asked for."""
    return call if key == usual else f"{call[:-1]}, key_added={key!r})"


def read_table(mdata: MuData | AnnData, key: str, call: str) -> Any:
    """Return ``mdata.uns['ctl'][key]``, or say which call writes it."""
    if not isinstance(mdata, MuData | AnnData):
        raise ChromatellError(f"Expected a MuData with the tables of {call}, got {type(mdata).__name__}.")
    own = mdata.uns.get(UNS, {})
    if key not in own and isinstance(mdata, AnnData):
        raise ChromatellError(
            f"Expected a MuData, or an AnnData of cells x bins, with the tables of {call}: adata.uns['ctl'][{key!r}] "
            f"is not there. Run {call} first."
        )
    if key not in own:
        raise ChromatellError(f"Did not find mdata.uns['ctl'][{key!r}]. Run {call} first.")
    return own[key]


def object_name(data: Any) -> str:
    """Return what the user is likely to call it."""
    return "adata" if isinstance(data, AnnData) else "mdata"


def name_ahead(gains: pd.DataFrame) -> str | None:
    """Return the baseline named in the column `ahead` of some gains; None for none, and in tables without it."""
    names = [str(n) for n in gains.get("ahead", ()) if n]
    return names[0] if names else None


class Evaluation:
    """The tables that one call of `tl.evaluate` wrote, of one kind of pairs; `pairs` None takes the first there."""

    def __init__(self, mdata: MuData | AnnData, key: str, pairs: str | None = None) -> None:
        name = object_name(mdata)
        call = call_of(f"ctl.tl.evaluate({name})", key, EVALUATION)
        self.call = call
        table: pd.DataFrame = read_table(mdata, key, call)
        gains: pd.DataFrame = read_table(mdata, sibling(key, GAINS), call)
        curves: Mapping[str, Any] = read_table(mdata, sibling(key, CURVES), call)
        if PAIRS not in table:
            raise ChromatellError(
                f"{name}.uns['ctl'][{key!r}] was written by an earlier version, which did not say what pairs it "
                f"scored. Run {call} again."
            )
        scored = list(dict.fromkeys(table[PAIRS].astype(str)))
        if pairs is not None and pairs not in scored:
            raise ChromatellError(
                f"No scores of pairs {pairs!r} in {name}.uns['ctl'][{key!r}]; there: {names_there(scored, pairs)}."
            )
        self.pairs = scored[0] if pairs is None else pairs
        self.title = (
            f"{self.pairs} pairs" if len(scored) > 1 or self.pairs not in ("cross-cell", "cross-sample") else ""
        )
        self.title = TITLES.get(self.pairs, self.title)
        self.table = table[(table[PAIRS] == self.pairs).to_numpy()]
        self.gains = gains[(gains[PAIRS] == self.pairs).to_numpy()]
        self.curves: Mapping[str, Any] = curves.get(self.pairs, {})
        flags = self.table.drop_duplicates("model").set_index("model")
        is_baseline, reads_target = (flags[c].astype(bool) for c in ("is_baseline", USES_TARGET_ASSAY))
        self.models = [str(m) for m in flags.index[~is_baseline]]
        self.baselines = [str(m) for m in flags.index[is_baseline]]
        if self.pairs in OWN_ATAC:  # there all read the cell's ATAC, and none is above the others for it
            reads_target = reads_target & False
        self.upper_bounds = {str(m) for m in flags.index[~is_baseline & reads_target]}
        self.references = {str(m) for m in flags.index[is_baseline & reads_target]}

    def name(self, model: str) -> str:
        """Return a name for a legend or an axis: what reads the ATAC of the cells that it predicts says so."""
        if model in self.references:
            return f"{model} (reads ATAC)"
        return f"{model} (upper bound)" if model in self.upper_bounds else model

    def value(self, model: str, view: str, metric: str) -> float:
        """Return one score, NaN where it was not computed."""
        t = self.table
        scores = t.loc[(t["model"] == model) & (t["view"] == view) & (t["metric"] == metric), "value"]
        return float(scores.iloc[0]) if len(scores) else float("nan")

    def best_baseline(self, view: str, metric: str) -> str | None:
        """Return the baseline that was chosen on the validation cells for a score, None where there is none."""
        g = self.gains
        baseline = g.loc[(g["view"] == view) & (g["metric"] == metric), "baseline"]
        return str(baseline.iloc[0]) if len(baseline) else None

    def ahead(self, view: str, metric: str) -> str | None:
        """Return the baseline that beats the chosen one on the scored cells by more than its interval, or None."""
        g = self.gains
        return name_ahead(g[(g["view"] == view) & (g["metric"] == metric)])

    def scored(self, names: str | Sequence[str]) -> list[str]:
        """Return names of models and baselines as a list; raise where one was not scored."""
        asked, known = [names] if isinstance(names, str) else list(names), [*self.models, *self.baselines]
        missing = [name for name in asked if name not in known]
        if missing or not asked:
            raise ChromatellError(
                f"No scores of {missing or 'any model'} in uns['ctl']; there: "
                f"{names_there(known, missing)}. Name some of these, or run {self.call} with it."
            )
        return asked

    def chosen(self, models: str | Sequence[str] | None, curve: str) -> list[str]:
        """Return what to draw: all models where None, or all baselines without one; each must have the curve."""
        if models is None:
            names = [m for m in (self.models or self.baselines) if self.has(m, curve)]
        else:
            names = [models] if isinstance(models, str) else list(models)
        missing = [m for m in names if not self.has(m, curve)]
        if missing or not names:
            with_curve = [m for m in (*self.models, *self.baselines) if self.has(m, curve)]
            raise ChromatellError(
                f"No curve {curve!r} of {missing or 'any model'} in uns['ctl']; there: "
                f"{names_there(with_curve, missing)}. Run {self.call} with that model and view."
            )
        return names

    def others(self, baselines: Which, models: Sequence[str], view: str, metric: str, curve: str) -> list[str]:
        """Return the baselines to draw beside the models; the best one comes first."""
        best = self.best_baseline(view, metric)
        if isinstance(baselines, str):
            if baselines not in ("best", "all", "none"):
                raise ChromatellError(f"baselines={baselines!r} is not known; choose 'best', 'all', 'none' or a list.")
            wanted: Iterable[str] = {"best": [best] if best else [], "all": self.baselines, "none": []}[baselines]
        else:
            wanted = self.chosen(list(baselines), curve) if len(baselines) else []
        names = [b for b in wanted if b not in models and self.has(b, curve)]
        return sorted(names, key=lambda b: (b != best, b in self.references))

    def has(self, model: str, curve: str) -> bool:
        """Return whether a curve of a model was stored and is not empty."""
        return model in self.curves and np.size(self.curves[model].get(curve, ())) > 0

    def curve(self, model: str, curve: str) -> np.ndarray:
        """Return a stored curve."""
        return np.asarray(self.curves[model][curve])


class Lines:
    """What a plot of one curve a prediction draws: models in colour and solid, baselines grey, their labels.

    Parameters
    ----------
    evaluation
        The tables.
    models, baselines
        As the user gave them.
    curve
        Which stored curve.
    best
        View and metric in which the best baseline is chosen.
    shown, format
        View and metric, and a format such as ``'AP {:.3f}'``, of the score in the legend.
    """

    def __init__(
        self,
        evaluation: Evaluation,
        models: str | Sequence[str] | None,
        baselines: Which,
        *,
        curve: str,
        best: tuple[str, str],
        shown: tuple[str, str],
        format: str,
    ) -> None:
        names = evaluation.chosen(models, curve)
        others = evaluation.others(baselines, names, *best, curve)
        self.names = [*names, *others]
        text = {n: f"{evaluation.name(n)}, {format.format(evaluation.value(n, *shown))}" for n in self.names}
        self._labels = legend_labels(text, others, evaluation.references, grouped=baselines == "all")
        self._styles = line_styles(names, others, evaluation.references)

    def style(self, name: str) -> dict[str, Any]:
        """Return how to draw one line, with its label."""
        return {"label": self._labels[name], **self._styles[name]}


def line_styles(
    models: Sequence[str], baselines: Sequence[str], references: Collection[str]
) -> dict[str, dict[str, Any]]:
    """Return how to draw each line: models in colour and solid; baselines grey, told apart by their dashes."""
    dashes: list[Any] = ["--", ":", "-.", (0, (5, 1)), (0, (1, 1)), (0, (3, 1, 1, 1)), (0, (8, 2)), (0, (2, 4))]
    styles: dict[str, dict[str, Any]] = {}
    for i, name in enumerate(models):
        styles[name] = {"color": MODEL_COLOURS[i % len(MODEL_COLOURS)], "linestyle": "-", "linewidth": 1.8, "zorder": 3}
    for i, name in enumerate(baselines):
        colour = OKABE_ITO["orange"] if name in references else BASELINE if i == 0 else FAINT
        styles[name] = {"color": colour, "linestyle": dashes[i % len(dashes)], "linewidth": 1.3, "zorder": 2}
    return styles


def legend_labels(
    text: Mapping[str, str], baselines: Sequence[str], references: Collection[str], *, grouped: bool
) -> dict[str, str]:
    """Return the label of each line; grouped, all baselines but the first share one, and so do the references.

    A label that starts with an underscore is not shown, so that a legend of eight baselines does not cover the curves.
    """
    labels = dict(text)
    if not grouped:
        return labels
    reading = [b for b in baselines if b in references]
    others = [b for b in baselines[1:] if b not in references]
    for group, name in ((others, "other baselines"), (reading, "references (read ATAC)")):
        for i, member in enumerate(group):
            labels[member] = f"_{name}" if i else name
    return labels
