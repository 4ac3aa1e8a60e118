"""What a report of cells says, section by section."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from mudata import MuData

from chromatell._keys import (
    ATAC_PRED,
    AUROC,
    AUROC_DEPTH_MATCHED,
    GAIN,
    RANK_REGIONS,
    SPLIT,
    SPLIT_HOW,
    SPLITS,
    UNCERTAINTY,
    UNS,
)
from chromatell._validate import ChromatellError
from chromatell.data.predictions import prediction_keys
from chromatell.reporting._biology import biology
from chromatell.reporting._html import WIDTH, Html, drawn, join, picture, table, tag, told
from chromatell.reporting._map import embedding
from chromatell.reporting._models import models

Section = tuple[str, str, Html]
_MAX_ROWS = 60  # a table of groups shows so many
_TOP = 5  # regions of a group
_COUNTED = 200_000_000  # values of a dense matrix that are looked at for their share that is not 0
CHOSEN = (
    "The best baseline is the one that was best on validation data; where another is ahead of it on the scored data, "
    "by its interval, that stands in 'but', with what is left of the gain: read such a gain as none."
)


@dataclass(frozen=True)
class Asked:
    """What the user asked for."""

    groupby: str
    key: str


def sections_of_cells(data: MuData | AnnData, asked: Asked) -> list[Section]:
    """Return the sections of a MuData, or of an AnnData of cells x bins."""
    parts: list[tuple[str, str, Callable[[], Html]]] = [
        ("data", "Data and split", lambda: _data(data, asked)),
        ("scores", "Scores beside baselines", lambda: _scores(data, asked)),
        ("curves", "Precision, calibration, single cells and regions", lambda: _curves(data, asked)),
        ("embedding", "Cells", lambda: embedding(data, asked.groupby)),
        ("regions", "Regions", lambda: _regions(data)),
        ("uncertainty", "Uncertainty", lambda: _uncertainty(data)),
        ("biology", "Genes, motifs and links", lambda: biology(data, asked.groupby)),
        ("models", "Models", lambda: models(data)),
        ("reading", "How to read this", lambda: _reading(data)),
    ]
    return [(anchor, heading, told(make)) for anchor, heading, make in parts]


def _data(data: MuData | AnnData, asked: Asked) -> Html:
    mods = dict(data.mod) if isinstance(data, MuData) else {"": data}
    columns = ["cells", "variables", "share not 0", "layers"]
    rows = [
        [a.n_obs, a.n_vars, _share(a.X), ", ".join(str(k) for k in a.layers if k is not None)] for a in mods.values()
    ]
    if isinstance(data, MuData):
        columns, rows = ["modality", *columns], [[n, *row] for n, row in zip(mods, rows, strict=True)]
    out = [table(columns, rows)]
    if SPLIT not in data.obs:
        call = "ctl.pp.split_cells(mdata)"
        return join(
            [*out, tag("p", f"The cells are not split into training, validation and test: {call}.", class_="note")]
        )
    split = data.obs[SPLIT].astype(str)
    how = data.uns.get(UNS, {}).get(SPLIT_HOW, {})
    by = str(how.get("by", "")) if isinstance(how, Mapping) else ""
    said = f"Cells are split by {by!r}: whole groups are held out." if by else "Cells are split at random."
    out += [tag("h3", "Split"), tag("p", said)]
    groups = _column(data, asked.groupby)
    if groups is None:
        counts = [[name, int((split == name).sum())] for name in SPLITS]
        return join([*out, table(["part", "cells"], counts)])
    crossed = pd.crosstab(groups, split).reindex(columns=list(SPLITS), fill_value=0)
    crossed = crossed.loc[crossed.sum(axis=1).sort_values(ascending=False, kind="stable").index]
    shown = [[name, *(int(n) for n in row)] for name, row in zip(crossed.index, crossed.to_numpy(), strict=True)]
    total = ["all", *(int((split == name).sum()) for name in SPLITS)]
    more = f"{len(shown) - _MAX_ROWS} smaller groups are left out." if len(shown) > _MAX_ROWS else ""
    return join([*out, table([asked.groupby, *SPLITS], [total, *shown[:_MAX_ROWS]], more)])


def _scores(data: MuData | AnnData, asked: Asked) -> Html:
    from matplotlib.figure import Figure

    from chromatell import pl
    from chromatell.pl._style import Evaluation

    first = Evaluation(data, asked.key)
    out = []
    for kind in dict.fromkeys(data.uns[UNS][asked.key]["pairs"].astype(str)):
        evaluation = Evaluation(data, asked.key, kind)
        out.append(tag("h3", evaluation.title or f"{kind} pairs"))
        out += [tag("p", line, class_="finding") for line in _findings(evaluation)]
        scored = set(zip(evaluation.table["view"], evaluation.table["metric"], strict=True))
        views = [v for v in (("overall", "ap"), ("per_cell", "auroc"), ("depth_matched", "auroc")) if v in scored]
        first_row = evaluation.table.iloc[0]
        views = views or [(str(first_row["view"]), str(first_row["metric"]))]
        n = evaluation.table["model"].nunique()
        figures = []
        for view in views:
            figure = Figure(figsize=(WIDTH, 0.8 + 0.2 * n), layout="constrained")
            pl.leaderboard(data, views=[view], pairs=kind, key=asked.key, ax=[figure.subplots()])
            figures.append(drawn(figure, f"{', '.join(_score(*view)[::-1])}, of each prediction"))
        out += [tag("div", *figures, class_="grid"), _gains(evaluation), _all_scores(evaluation)]
    split = str(first.table["split"].iloc[0])
    said = (
        f"Scored on {split} cells. Filled circles are models, squares baselines, open marks read the ATAC that is "
        "asked for. Lines are 95% intervals from resampling; the dotted line is the baseline that did best on "
        "validation data."
    )
    return join([tag("p", said, class_="soft"), *out])


def _findings(evaluation: Any) -> list[str]:
    """Return a sentence a model: in which main views it is ahead of the best baseline."""
    lines = []
    for model in evaluation.models:
        rows = evaluation.gains[(evaluation.gains["model"] == model).to_numpy()]
        ahead = rows.get("ahead", pd.Series("", index=rows.index)).astype(str)
        sure = (rows["ci_low"] > 0) & (ahead == "")
        behind = rows["ci_high"] < 0
        if len(rows):
            lines.append(
                f"{evaluation.name(model)} is ahead of the best baseline in {int(sure.sum())} of {len(rows)} scores, "
                f"behind it in {int(behind.sum())}; elsewhere the 95% interval of the difference holds 0, there is "
                "none, or another baseline is ahead of the chosen one."
            )
    return lines


def _gains(evaluation: Any) -> Html:
    if evaluation.gains.empty:
        return Html("")
    rows = [
        [
            row.model,
            *_score(row.view, row.metric),
            row.baseline,
            *(_signed(v) for v in (row.gain, row.ci_low, row.ci_high)),
            rival(row),
        ]
        for row in evaluation.gains.itertuples()
    ]
    columns = ["model", "view", "score", "best baseline", "gain", "95% from", "to", "but"]
    said = f"Positive is better, in every score. {CHOSEN}"
    return join([tag("h3", "Gain over the best baseline"), table(columns, rows, said)])


def rival(row: Any) -> str:
    """Return which baseline is ahead of the chosen one on the scored data, and what is left of the gain over it."""
    ahead = getattr(row, "ahead", "")  # a table of an older version does not say
    return f"{row.gain_over_ahead:+.4f} over {ahead}" if isinstance(ahead, str) and ahead else ""


def _all_scores(evaluation: Any) -> Html:
    """Return a row a score and a column a prediction."""
    names = list(dict.fromkeys(evaluation.table["model"].astype(str)))
    values: dict[tuple[str, str], dict[str, str]] = {}
    for row in evaluation.table.itertuples():
        shown = f"{row.value:.4f}" if np.isfinite(row.value) else ""
        values.setdefault((str(row.view), str(row.metric)), {})[str(row.model)] = shown
    rows = [[*_score(*of), *(scores.get(name, "") for name in names)] for of, scores in values.items()]
    return join([tag("h3", "All scores"), table(["view", "score", *(evaluation.name(name) for name in names)], rows)])


def _score(view: str, metric: str) -> tuple[str, str]:
    """Return a view and a metric in words."""
    from chromatell.pl._style import METRIC_LABELS, VIEW_LABELS

    return VIEW_LABELS.get(view, str(view)), METRIC_LABELS.get(metric, str(metric))


def _signed(value: float) -> str:
    return f"{value:+.4f}" if np.isfinite(value) else ""


def _curves(data: MuData | AnnData, asked: Asked) -> Html:
    from chromatell import pl

    made = []
    for about, draw in (
        ("Precision against recall over all pairs", pl.pr_curve),
        ("Observed share of open pairs against predicted probability", pl.calibration),
        ("AUROC of single cells and of single regions", pl.per_cell_per_region),
    ):

        def one(draw: Any = draw, about: str = about) -> Html:
            return picture(lambda ax: draw(data, key=asked.key, ax=ax), about, size=(WIDTH, 2.9), caption=about)

        made.append(told(one))
    return tag("div", *made, class_="grid")


def _regions(data: MuData | AnnData) -> Html:
    ranked = data.uns.get(UNS, {}).get(RANK_REGIONS)
    if isinstance(ranked, Mapping) and isinstance(ranked.get("table"), pd.DataFrame):
        return _ranked(data, ranked["table"])
    pred = data.mod.get(ATAC_PRED) if isinstance(data, MuData) else None
    if pred is None or AUROC not in pred.var:
        raise ChromatellError("Run ctl.tl.evaluate(mdata) for scores of regions, ctl.tl.rank_regions(mdata, groupby).")
    names = [c for c in ("region", AUROC, AUROC_DEPTH_MATCHED, GAIN) if c in pred.var]
    by = AUROC_DEPTH_MATCHED if AUROC_DEPTH_MATCHED in names else AUROC
    top = pred.var.nlargest(20, by)[names]
    heads = {AUROC: "AUROC", AUROC_DEPTH_MATCHED: "AUROC, depth-matched", GAIN: "gain over baseline"}
    said = (
        f"The 20 of {pred.n_vars:,} regions that are told best over cells. For those that differ between groups run "
        "ctl.tl.rank_regions(mdata, groupby)."
    )
    return table([heads.get(c, c) for c in names], top.itertuples(index=False, name=None), said)


def _ranked(data: Any, ranked: pd.DataFrame) -> Html:
    from chromatell import pl

    columns = [
        c for c in ("group", "region", "effect", "low", "high", "measured_effect", "measured_fdr") if c in ranked
    ]
    top = ranked[ranked["rank"] <= _TOP] if ranked["rank"].min() > 0 else ranked[ranked["rank"] < _TOP]
    top = top.assign(group=top["group"].astype(str)).sort_values(["group", "rank"], kind="stable")
    heads = {
        "effect": "log2 ratio",
        "low": "from",
        "high": "to",
        "measured_effect": "measured",
        "measured_fdr": "its FDR",
    }
    shown = told(lambda: picture(lambda ax: pl.rank_regions(data, ax=ax), "Regions of one group", size=(4.6, 4.0)))
    said = "Effects of predictions have intervals and no p-value: they are smooth, and cells are not independent."
    rows = top[columns].itertuples(index=False, name=None)
    return join(
        [shown, tag("h3", f"The first {_TOP} of each group"), table([heads.get(c, c) for c in columns], rows, said)]
    )


def _uncertainty(data: MuData | AnnData) -> Html:
    uncertainty = data.uns.get(UNS, {}).get(UNCERTAINTY)
    if not isinstance(uncertainty, Mapping) or not isinstance(uncertainty.get("coverage"), pd.DataFrame):
        raise ChromatellError("Run ctl.tl.uncertainty(mdata, groupby) for intervals and how often they hold.")
    from chromatell import pl

    coverage = uncertainty["coverage"]
    shown = picture(
        lambda ax: pl.uncertainty(data, ax=ax), "Share of intervals that hold the measured value", size=(WIDTH, 2.9)
    )
    rows = coverage[["split", "level", "covered", "width", "n"]].itertuples(index=False, name=None)
    listed = table(["cells", "nominal level", "hold the measured share", "mean width", "intervals"], rows)
    return tag("div", shown, listed, class_="grid")


def _reading(data: MuData | AnnData) -> Html:
    lines = [
        "A score says something beside a baseline only. Depth alone, the region's mean times the cell's total, reaches "
        "high scores over all pairs and per region; the depth-matched views take that away.",
        "A cell out of range lies further from the training cells than 95% of validation cells do: what is predicted "
        "for it is extrapolated.",
        "Single-cell ATAC is sparse: a perfect model scores far under 1.",
    ]
    if isinstance(data, MuData) and prediction_keys(data):
        lines.append(
            "Predicted values are smooth over like cells: tests that count cells as independent, such as "
            "sc.tl.rank_genes_groups, find differences where there are none."
        )
    return tag("ul", *(tag("li", line) for line in lines))


def _column(data: MuData | AnnData, name: str) -> pd.Series | None:
    """Return the labels of the cells as text, from `obs` of the whole or of a modality; None where there are none."""
    named = [data, *(data.mod.values() if isinstance(data, MuData) else ())]
    column = next((one.obs[name] for one in named if name in one.obs), None)
    return (
        None
        if column is None
        else column.reindex(data.obs_names).astype(object).where(lambda s: s.notna(), "none").astype(str)
    )


def _share(x: Any) -> float:
    """Return the share of values that are not 0; NaN where that would take long or nothing is there."""
    if sp.issparse(x):
        return x.nnz / max(1, x.shape[0] * x.shape[1])
    if isinstance(x, np.ndarray) and 0 < x.size <= _COUNTED:
        return float(np.count_nonzero(x) / x.size)
    return float("nan")
