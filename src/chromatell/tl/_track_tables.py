"""Tables of `tl.evaluate` on tracks: scores, and gains over the best baseline."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from chromatell.metrics.bootstrap import interval
from chromatell.tl._track_predictions import TrackPredictor
from chromatell.tl._track_scores import ALL, LOWER_IS_BETTER, Scores

_WHAT = ("split", "target", "chrom", "view", "resolution", "metric")
EVALUATION_COLUMNS = ("model", "is_baseline", "uses_target_assay", *_WHAT, "value", "ci_low", "ci_high", "n")
GAIN_COLUMNS = ("model", "baseline", *_WHAT, "gain", "ci_low", "ci_high", "n")
_TYPES: dict[str, type] = {"is_baseline": bool, "uses_target_assay": bool, "resolution": np.int64, "n": np.int64}
_ALONE = ("pearson", "spearman", "rmse", "ap", "f1")  # metrics that say which is better; precision has its recall
_NUMBERS = ("value", "gain", "ci_low", "ci_high")
Best = Mapping[tuple[str, int, str], str]  # view, resolution, metric to baseline


def best_baselines(scores: Mapping[str, Scores], baselines: Iterable[str]) -> Best:
    """Return for each view, resolution and metric the baseline with the best score over all chromosomes."""
    best: dict[tuple[str, int, str], tuple[float, str]] = {}
    for name in baselines:
        for (chrom, view, resolution, metric), (value, _, _) in scores[name].items():
            if chrom != ALL or metric not in _ALONE or not np.isfinite(value):
                continue
            worth = -value if metric in LOWER_IS_BETTER else value
            at = (view, resolution, metric)
            if at not in best or worth > best[at][0]:
                best[at] = worth, name
    return {at: name for at, (_, name) in best.items()}


def score_rows(predictor: TrackPredictor, scores: Scores, split: str, target: str) -> list[tuple[Any, ...]]:
    """Return rows of the table of scores."""
    return [
        (predictor.name, predictor.is_baseline, predictor.is_reference, split, target, *key)
        + (value, *interval(value, change), n)
        for key, (value, change, n) in scores.items()
    ]


def gain_rows(name: str, scores: Mapping[str, Scores], best: Best, split: str, target: str) -> list[tuple[Any, ...]]:
    """Return rows of the table of gains: model minus the chosen baseline, positive is better."""
    rows = []
    for key, (value, change, n) in scores[name].items():
        baseline = best.get(key[1:])
        if baseline is None or key not in scores[baseline]:
            continue
        sign = -1.0 if key[-1] in LOWER_IS_BETTER else 1.0
        other = scores[baseline][key]
        gain = sign * (value - other[0])
        rows.append((name, baseline, split, target, *key, gain, *interval(gain, sign * (change - other[1])), n))
    return rows


def as_table(rows: list[tuple[Any, ...]], columns: tuple[str, ...]) -> pd.DataFrame:
    """Return a table whose columns each hold one type, so that it survives in a store."""
    table = pd.DataFrame(rows, columns=list(columns))
    types = {name: np.float64 if name in _NUMBERS else _TYPES.get(name, object) for name in columns}
    return table.astype(types).set_axis(pd.RangeIndex(len(table)).astype(str), axis=0)
