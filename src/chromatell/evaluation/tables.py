"""The tidy tables: scores, and gains over the best baseline, with the id columns of their task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from chromatell._keys import USES_TARGET_ASSAY
from chromatell.evaluation.predictors import Predictor
from chromatell.evaluation.views.registry import Choice, Score, Scores, chooses
from chromatell.metrics.bootstrap import interval, metric_range

PAIRS = ("split", "pairs", "view", "metric")  # what a row of cells is about
TRACKS = ("split", "target", "chrom", "view", "resolution", "metric")  # and one of tracks
_MODEL = ("model", "is_baseline", USES_TARGET_ASSAY)
_VALUE = ("value", "ci_low", "ci_high", "n")
# the last two name a baseline that is ahead of the chosen one on the scored data, and say what is left of the gain
_GAIN = ("gain", "ci_low", "ci_high", "n", "ahead", "gain_over_ahead")
_TYPES: dict[str, type] = {"is_baseline": bool, USES_TARGET_ASSAY: bool, "resolution": np.int64, "n": np.int64}
_NUMBERS = ("value", "gain", "ci_low", "ci_high", "gain_over_ahead", "with_it", "without_it")
_INPUTS = ("input", *PAIRS, "with_it", "without_it", "gain", "ci_low", "ci_high", "n")
ALL, KIND = "", "ridge"  # gains of inputs: the name of what reads all of them, and the baseline that is fitted anew
EVALUATION_COLUMNS = (*_MODEL, *PAIRS, *_VALUE)
GAIN_COLUMNS = ("model", "baseline", *PAIRS, *_GAIN)


def score_table(
    scores: Mapping[str, Scores], predictors: Iterable[Predictor], about: Sequence[str], fixed: Mapping[str, Any]
) -> pd.DataFrame:
    """Return one row a prediction, view and metric.

    Parameters
    ----------
    about
        The id columns, `PAIRS` or `TRACKS`.
    fixed
        Values of those that a score does not say: the split, and the kind of pairs or the target.
    """
    rows = []
    for p in predictors:
        for score in scores[p.name].points.values():
            low = high = np.nan
            if score.change is not None:
                low, high = interval(score.value, score.change, within=metric_range(score.metric))
            said = _about(score, about, fixed)
            rows.append((p.name, p.is_baseline, p.uses_target_assay, *said, score.value, low, high, score.n))
    return _typed(rows, (*_MODEL, *about, *_VALUE))


def best_baselines(of: str, chosen_on: Mapping[str, Scores]) -> dict[Choice, str]:
    """Return for each view, resolution and metric the baseline that scores best on the data given."""
    best: dict[Choice, tuple[float, str]] = {}
    for name, result in chosen_on.items():
        for score in result.points.values():
            worth = score.way * score.value
            if chooses(of, score) and (score.choice not in best or worth > best[score.choice][0]):
                best[score.choice] = (worth, name)
    return {choice: name for choice, (_, name) in best.items()}


def gain_table(
    scores: Mapping[str, Scores],
    predictors: Iterable[Predictor],
    best: Mapping[Choice, str],
    about: Sequence[str],
    fixed: Mapping[str, Any],
) -> pd.DataFrame:
    """Return by how much each model is above the baseline chosen for each view and metric; positive is better."""
    rows = []
    predictors = list(predictors)
    rivals = [p.name for p in predictors if p.may_be_best]
    for name in [p.name for p in predictors if not p.is_baseline]:
        for score in scores[name].points.values():
            chosen = best.get(score.choice)
            if chosen is None or score.key not in scores[chosen].points:
                continue
            other = scores[chosen].points[score.key]
            gain, low, high = difference(score, other)
            ahead = _ahead(other, [(r, scores[r].points[score.key]) for r in rivals if score.key in scores[r].points])
            left = difference(score, scores[ahead].points[score.key])[0] if ahead else np.nan
            rows.append((name, chosen, *_about(score, about, fixed), gain, low, high, score.n, ahead, left))
    return _typed(rows, ("model", "baseline", *about, *_GAIN))


def difference(score: Score, other: Score) -> tuple[float, float, float]:
    """Return by how much a score is better than another on the same resamples, with its paired interval."""
    way = score.way
    gain = way * (score.value - other.value)
    if score.change is None or other.change is None:
        return gain, np.nan, np.nan
    low, high = metric_range(score.metric)
    return gain, *interval(gain, way * (score.change - other.change), within=(low - high, high - low))


def input_gains(scores: Mapping[str, Scores], of: str, *said: str) -> pd.DataFrame:
    """Return what each input beside expression adds, a row an input, view and metric; intervals are paired.

    Parameters
    ----------
    scores
        Input -> those of ridge regression that reads all others, and `ALL` -> of one that reads all.
    of, said
        The kind of views; the split, and the kind of pairs.
    """
    rows = []
    for name in (n for n in scores if n != ALL):
        for one in scores[ALL].points.values():
            other = scores[name].points.get(one.key)
            if other is not None and chooses(of, one):
                about = (name, *said, one.view, one.metric, one.value, other.value)
                rows.append((*about, *difference(one, other), one.n))
    return stacked([_typed(rows, _INPUTS)])


def _ahead(chosen: Score, rivals: Sequence[tuple[str, Score]]) -> str:
    """Return the baseline that is best on the scored data, if any is above the chosen one by more than its interval."""
    gains = {name: difference(rival, chosen) for name, rival in rivals if not np.isnan(rival.value)}
    if not any(low > 0 for _, low, _ in gains.values()):  # never without an interval
        return ""
    return max(gains, key=lambda name: gains[name][0])  # its own interval may hold 0


def stacked(tables: list[pd.DataFrame], views: Sequence[str] | None = None) -> pd.DataFrame:
    """Return tables under each other, each in the order of the `views`; an empty one changes no type of a column."""
    if views is not None:
        place = {v: i for i, v in enumerate(views)}
        tables = [t.iloc[np.argsort(t["view"].map(place).to_numpy(dtype=float), kind="stable")] for t in tables]
    held = [t for t in tables if len(t)] or tables[:1]
    table = pd.concat(held, ignore_index=True)
    return table.set_axis(pd.RangeIndex(len(table)).astype(str), axis=0)


def _about(score: Score, about: Sequence[str], fixed: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(fixed[name] if name in fixed else getattr(score, name) for name in about)


def _typed(rows: list[tuple[Any, ...]], columns: tuple[str, ...]) -> pd.DataFrame:
    """Return a table whose columns each hold one type, so that it survives in `.h5mu` and `.zarr`."""
    table = pd.DataFrame(rows, columns=list(columns))
    return table.astype({c: np.float64 if c in _NUMBERS else _TYPES.get(c, object) for c in columns})
