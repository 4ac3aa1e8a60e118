"""What `tl.evaluate` wrote of tracks, as a table for a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from rich.table import Table
from rich.text import Text

from chromatell.cli._tables import gain_table, new_table, score

_AT_MOST = 4  # columns of scores that 80 characters hold
_VIEWS = ("smoothed", "raw")  # the first that was scored is shown


def track_leaderboard(table: pd.DataFrame, target: str, title: str) -> Table:
    """Return models above baselines for one target: Pearson correlation at each resolution, and peaks.

    Parameters
    ----------
    table
        What ``ctl.tl.evaluate(tracks)`` wrote.
    target
        Name of the track.
    title
        Above the table.
    """
    scores = _of_all(table, target)
    columns, view = _main(scores)
    shown = new_table(title, _note(view, columns.values()))
    shown.add_column("", no_wrap=True)
    for name in columns:
        shown.add_column(name, justify="right", no_wrap=True)
    values = {n: {str(r.model): (r.value, r.ci_low, r.ci_high) for r in t.itertuples()} for n, t in columns.items()}
    flags = scores.drop_duplicates("model").set_index("model")["is_baseline"].astype(bool)
    first = next(iter(values.values()), {})
    names = sorted(flags.index, key=lambda m: (flags[m], -np.nan_to_num(first.get(m, (np.nan,))[0], nan=-np.inf)))
    for name, following in zip(names, [*names[1:], None], strict=True):
        cells = [score(*(values[column].get(name, (np.nan,) * 3))) for column in columns]
        last = following is None or flags[following] != flags[name]
        shown.add_row(Text(str(name), style="" if flags[name] else "bold"), *cells, end_section=last)
    return shown


def track_gains(table: pd.DataFrame, target: str) -> Table | None:
    """Return by how much each model is above the best baseline in the leaderboard's scores; None without any.

    Parameters
    ----------
    table
        What ``ctl.tl.evaluate(tracks)`` wrote, the gains.
    target
        Name of the track.
    """
    columns, _ = _main(_of_all(table, target))
    if not columns:
        return None
    scores = {name.replace("\n", ", "): part for name, part in columns.items()}
    return gain_table("Gain over the best baseline (paired)", "bins", scores)


def _of_all(table: pd.DataFrame, target: str) -> pd.DataFrame:
    return table[(table["target"] == target).to_numpy() & (table["chrom"] == "all").to_numpy()]


def _main(scores: pd.DataFrame) -> tuple[dict[str, pd.DataFrame], str]:
    """Return the scores that are shown, by their headers, and the view that the correlations are of."""
    view = next((v for v in _VIEWS if (scores["view"] == v).any()), "")
    pearson = scores[(scores["view"] == view) & (scores["metric"] == "pearson")]
    columns = {
        f"Pearson r\n{_length(r)}": pearson[pearson["resolution"] == r] for r in np.unique(pearson["resolution"])
    }
    columns["AP\nof peaks"] = scores[(scores["view"] == "peaks") & (scores["metric"] == "ap")]
    held = {name: part for name, part in columns.items() if len(part)}
    return dict(list(held.items())[-_AT_MOST:]), view


def _note(view: str, columns: Iterable[pd.DataFrame]) -> str:
    said = [f"Correlations are with the {view} target."] if view else []
    if any(np.isfinite(part["ci_low"]).any() for part in columns):
        said.append("Grey: 95% intervals over blocks.")
    return " ".join(said)


def _length(bp: int) -> str:
    return f"{bp // 1000} kb" if bp % 1000 == 0 else f"{bp} bp"
