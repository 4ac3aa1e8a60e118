"""Tables of `tl.evaluate`: the leaderboard, the gains over the best baseline, and the regions where there is one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from chromatell.metrics.bootstrap import interval
from chromatell.tl._evaluation_scores import LOWER_IS_BETTER, VIEWS, Key, Scores

EVALUATION_COLUMNS = (
    "model",
    "is_baseline",
    "uses_target_assay",
    "split",
    "pairs",
    "view",
    "metric",
    "value",
    "ci_low",
    "ci_high",
    "n",
)
GAIN_COLUMNS = ("model", "baseline", "split", "pairs", "view", "metric", "gain", "ci_low", "ci_high", "n")


def evaluation_table(
    scores: Mapping[str, Scores], baselines: set[str], references: set[str], split: str, pairs: str
) -> pd.DataFrame:
    """Return the tidy table: one row a prediction, view and metric."""
    rows = []
    for name, result in scores.items():
        for (view, metric), (value, n) in result.points.items():
            change = result.changes.get((view, metric))
            low, high = (np.nan, np.nan) if change is None else interval(value, change)
            rows.append((name, name in baselines, name in references, split, pairs, view, metric, value, low, high, n))
    return _typed(rows, EVALUATION_COLUMNS, VIEWS)


def best_baselines(chosen_on: Mapping[str, Scores]) -> dict[Key, str]:
    """Return for each view and metric the baseline that scores best on the cells given."""
    best: dict[Key, tuple[float, str]] = {}
    for name, result in chosen_on.items():
        for key, (value, _) in result.points.items():
            if key[0] == "self_expected" or not np.isfinite(value):
                continue
            worth = -value if key[1] in LOWER_IS_BETTER else value
            if key not in best or worth > best[key][0]:
                best[key] = (worth, name)
    return {key: name for key, (_, name) in best.items()}


def gain_table(
    scores: Mapping[str, Scores], baselines: set[str], best: Mapping[Key, str], split: str, pairs: str
) -> pd.DataFrame:
    """Return by how much each model is above the baseline chosen for each view and metric; positive is better."""
    rows = []
    for name, result in scores.items():
        if name in baselines:
            continue
        for key, (value, n) in result.points.items():
            other = best.get(key)
            if other is None or key not in scores[other].points:
                continue
            sign = -1.0 if key[1] in LOWER_IS_BETTER else 1.0
            gain = sign * (value - scores[other].points[key][0])
            low = high = np.nan
            if key in result.changes and key in scores[other].changes:
                low, high = interval(gain, sign * (result.changes[key] - scores[other].changes[key]))
            rows.append((name, other, split, pairs, *key, gain, low, high, n))
    return _typed(rows, GAIN_COLUMNS, VIEWS)


def stacked(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Return tables of one kind under each other; an empty one does not change the types of the columns."""
    held = [t for t in tables if len(t)] or tables[:1]
    table = pd.concat(held, ignore_index=True)
    return table.set_axis(pd.RangeIndex(len(table)).astype(str), axis=0)


def false_discovery(p: np.ndarray) -> np.ndarray:
    """Return p-values adjusted by Benjamini & Hochberg (J. R. Stat. Soc. B 57, 1995), float64 (n,)."""
    n = p.size
    if n == 0:
        return p.astype(np.float64)
    order = np.argsort(p)
    scaled = p[order] * n / np.arange(1, n + 1)
    adjusted = np.empty(n)
    adjusted[order] = np.minimum.accumulate(scaled[::-1])[::-1].clip(max=1)
    return adjusted


def _typed(rows: list[tuple], columns: tuple[str, ...], views: tuple[str, ...]) -> pd.DataFrame:
    """Return a table whose columns each hold one type, so that it survives in `.h5mu` and `.zarr`."""
    table = pd.DataFrame(rows, columns=list(columns))
    place = table["view"].map({v: i for i, v in enumerate(views)})
    table = table.iloc[np.argsort(place.to_numpy(dtype=float), kind="stable")]
    types: dict[str, type] = {"is_baseline": bool, "uses_target_assay": bool, "n": np.int64}
    for name in columns:
        if name in ("value", "gain", "ci_low", "ci_high"):
            types[name] = np.float64
        elif name not in types:
            types[name] = object
    table = table.astype({k: v for k, v in types.items() if k in table})
    return table.set_axis(pd.RangeIndex(len(table)).astype(str), axis=0)
