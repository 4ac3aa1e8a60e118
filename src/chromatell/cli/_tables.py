"""What `tl.evaluate` wrote, as tables for a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from rich import box
from rich.table import Table
from rich.text import Text

from chromatell._keys import EVALUATION, GAINS, OWN_ATAC, UNS, USES_TARGET_ASSAY

Pair = tuple[str, str]  # view, metric

MAIN: dict[Pair, str] = {
    ("overall", "ap"): "AP\nall pairs",
    ("per_cell", "auroc"): "AUROC\nper cell",
    ("depth_matched", "auroc"): "AUROC\ndepth-matched",
    ("profile", "deviation_pearson"): "Pearson r\nof deviation",
}
_AT_MOST = 4  # columns of scores that 80 characters hold


def kinds(mdata: MuData | AnnData) -> list[str]:
    """Return the kinds of pairs that were scored, such as 'cross-cell'."""
    return list(dict.fromkeys(mdata.uns[UNS][EVALUATION]["pairs"].astype(str)))


def leaderboard(mdata: MuData | AnnData, title: str, note: str = "", pairs: str | None = None) -> Table:
    """Return models above baselines above references, with 95% intervals under the scores.

    Parameters
    ----------
    mdata
        After ``ctl.tl.evaluate(mdata)``.
    title
        Above the table.
    note
        Under it: what a reader must know of the data.
    pairs
        Which kind of pairs; None takes the first there.
    """
    scores: pd.DataFrame = mdata.uns[UNS][EVALUATION]
    pairs = kinds(mdata)[0] if pairs is None else pairs
    scores = scores[(scores["pairs"] == pairs).to_numpy()]
    columns = _pairs(scores)
    table = new_table(title, note)
    table.add_column("", no_wrap=True)
    for pair in columns:
        table.add_column(_header(pair), justify="right", no_wrap=True)
    rank = {"model": 0, "upper bound": 1, "baseline": 2, "reference": 3}
    names_of = {(False, False): "model", (False, True): "upper bound", (True, False): "baseline"}
    flags = scores.drop_duplicates("model")
    kind = {
        str(m): names_of.get((bool(b), bool(r) and pairs not in OWN_ATAC), "reference")
        for m, b, r in zip(flags["model"], flags["is_baseline"], flags[USES_TARGET_ASSAY], strict=True)
    }
    first = _column(scores, columns[0])
    names = sorted(kind, key=lambda m: (rank[kind[m]], -np.nan_to_num(first[m][0], nan=-np.inf)))
    for name, following in zip(names, [*names[1:], None], strict=True):
        cells = [score(*_column(scores, pair).get(name, (np.nan,) * 3)) for pair in columns]
        label = Text(name, style="bold" if kind[name] in ("model", "upper bound") else "")
        if kind[name] in ("reference", "upper bound"):
            label.append(f"\n{'upper bound, ' * (kind[name] == 'upper bound')}reads the cells' ATAC", style="dim")
        table.add_row(label, *cells, end_section=following is None or kind[following] != kind[name])
    return table


def gains(mdata: MuData | AnnData, pairs: str | None = None) -> Table | None:
    """Return by how much each model is above the best baseline in the views of the leaderboard; None without any.

    Parameters
    ----------
    mdata
        After ``ctl.tl.evaluate(mdata)``.
    pairs
        Which kind of pairs; None takes the first there, and does not name it.
    """
    table: pd.DataFrame = mdata.uns[UNS][GAINS]
    table = table[(table["pairs"] == (kinds(mdata)[0] if pairs is None else pairs)).to_numpy()]
    if table.empty:
        return None
    scores = {
        _header(pair).replace("\n", ", "): table[(table["view"] == pair[0]) & (table["metric"] == pair[1])]
        for pair in _pairs(table)
    }
    return gain_table(f"Gain over the best baseline (paired){'' if pairs is None else f', {pairs}'}", "cells", scores)


def gain_table(title: str, scored: str, scores: Mapping[str, pd.DataFrame]) -> Table:
    """Return gains, by the name of their score, as a table; `scored` are cells, or bins."""
    table = new_table(
        title,
        f"The baseline is chosen on validation {scored}, for each score anew. 95% intervals; bold where above 0 and "
        f"no other baseline is ahead of the chosen one on the scored {scored}.",
    )
    for name in ("", "score", "best baseline"):
        table.add_column(name, no_wrap=True)
    table.add_column("gain", justify="right", no_wrap=True)
    table.add_column("95% interval", justify="right", no_wrap=True)
    for header, rows in scores.items():
        for row in rows.itertuples():
            ahead = getattr(row, "ahead", "")  # a table of an older version does not say
            style = "bold" if row.ci_low > 0 and not ahead else ""
            shown = (f"{row.gain:+.4f}", _signed_interval(row.ci_low, row.ci_high))
            rival = f"{row.baseline}\nbut {row.gain_over_ahead:+.4f} over {ahead}" if ahead else str(row.baseline)
            table.add_row(str(row.model), header, rival, *(Text(t, style=style) for t in shown))
    return table


def new_table(title: str, note: str) -> Table:
    """Return an empty table."""
    return Table(
        title=Text(title, style="bold"),
        title_justify="left",
        caption=Text(note) if note else None,
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )


def _pairs(table: pd.DataFrame) -> list[Pair]:
    """Return the main scores that the table holds, or the first ones where it holds none of them."""
    pairs: list[Pair] = list(dict.fromkeys(zip(table["view"].astype(str), table["metric"].astype(str), strict=True)))
    return [pair for pair in MAIN if pair in pairs] or pairs[:_AT_MOST]


def _header(pair: Pair) -> str:
    return MAIN.get(pair, f"{pair[1]}\n{pair[0]}".replace("_", " "))


def _column(table: pd.DataFrame, pair: Pair) -> dict[str, tuple[float, float, float]]:
    rows = table[(table["view"] == pair[0]) & (table["metric"] == pair[1])]
    return {str(r.model): (float(r.value), float(r.ci_low), float(r.ci_high)) for r in rows.itertuples()}


def score(value: float, low: float, high: float) -> Text:
    """Return a score over its interval."""
    if not np.isfinite(value):
        return Text("n/a", style="dim")
    shown = Text(f"{value:.3f}")
    return shown.append(f"\n{low:.3f}–{high:.3f}", style="dim") if np.isfinite(low) and np.isfinite(high) else shown


def _signed_interval(low: float, high: float) -> str:
    return f"{low:+.4f} to {high:+.4f}" if np.isfinite(low) and np.isfinite(high) else ""
