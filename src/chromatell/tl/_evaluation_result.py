"""What `tl.evaluate` finds on one kind of pairs: scores, the best baselines, regions where a model gains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from chromatell._keys import PREVALENCE, VAL
from chromatell._validate import ChromatellError, warn
from chromatell.metrics.delong import paired_auroc_test
from chromatell.tl._evaluation_pairs import HELD_OUT, Block
from chromatell.tl._evaluation_scores import Key, Pairs, Scores, score
from chromatell.tl._evaluation_setting import PROBABILITY_VIEWS, Predictor, Setting
from chromatell.tl._evaluation_tables import best_baselines, evaluation_table, false_discovery, gain_table

_FALSE_DISCOVERY = 0.05


@dataclass(frozen=True)
class Result:
    """What was scored on one kind of pairs, and the baselines that are best on its validation pairs."""

    pairs: Pairs
    predictors: list[Predictor]
    scores: dict[str, Scores]
    validation: Pairs | None
    best: dict[Key, str]

    @property
    def _baselines(self) -> set[str]:
        return {p.name for p in self.predictors if p.is_baseline}

    def evaluation(self, split: str, kind: str) -> pd.DataFrame:
        """Return the leaderboard."""
        references = {p.name for p in self.predictors if p.is_reference}
        return evaluation_table(self.scores, self._baselines, references, split, kind)

    def gains(self, split: str, kind: str) -> pd.DataFrame:
        """Return the gains over the best baselines."""
        return gain_table(self.scores, self._baselines, self.best, split, kind)

    def curves(self) -> dict[str, Any]:
        """Return what plots need."""
        return {**{n: dict(s.curves) for n, s in self.scores.items()}, PREVALENCE: self.pairs.prevalence}


def score_all(
    setting: Setting,
    pairs: Pairs,
    predictors: list[Predictor],
    rng: np.random.Generator,
    advance: Callable[[int], None],
) -> dict[str, Scores]:
    scores = {}
    for predictor, stream in zip(predictors, rng.spawn(len(predictors)), strict=True):
        values = _checked(predictor.predict(pairs.rows, pairs.cols), predictor.name)
        views = tuple(v for v in setting.views if v not in PROBABILITY_VIEWS or predictor.is_probability)
        scores[predictor.name] = score(pairs, values, views, rng=None if predictor.is_baseline else stream)
        advance(1)
    return scores


def choose(
    setting: Setting, kind: str, predictors: list[Predictor], scores: dict[str, Scores], block: Block
) -> tuple[Pairs | None, dict[Key, str]]:
    """Return the validation pairs (None without) and the best baseline of each view and metric there."""
    candidates = [p for p in predictors if p.is_baseline and not p.is_reference]
    if not candidates or all(p.is_baseline for p in predictors):
        return None, {}
    names = tuple(v for v in setting.views if v != "self_expected")
    problem = ""
    if block.rows.size and block.cols.size:
        try:
            pairs = setting.pairs(kind, VAL, block)
        except ChromatellError:
            problem = "no pair that can be ranked in the validation cells"
    else:
        problem = "no validation region" if block.rows.size else "no validation cell"
    if problem:
        warn(
            f"There is {problem}: the best baseline is chosen on the scored {kind} pairs themselves, and regions are "
            "not tested. Split again with ctl.pp.split_cells(mdata, fractions=(0.7, 0.1, 0.2))"
            f"{', ctl.pp.split_regions(mdata)' if kind in HELD_OUT else ''}."
        )
        return None, best_baselines({p.name: scores[p.name] for p in candidates})
    return pairs, best_baselines(
        {p.name: score(pairs, _checked(p.predict(pairs.rows, pairs.cols), p.name), names) for p in candidates}
    )


def predictable(result: Result, x_key: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Return on validation cells the gain of each region, and whether it stands up to a false-discovery rate of 5%."""
    by_name = {p.name: p for p in result.predictors}
    pairs, best = result.validation, result.best.get(("per_region", "auroc"))
    if pairs is None or best is None or x_key not in by_name or by_name[x_key].is_baseline:
        return None
    values = _checked(by_name[x_key].predict(pairs.rows, pairs.cols), x_key)
    gain, p = paired_auroc_test(pairs.by_region, values, by_name[best].predict(pairs.rows, pairs.cols))
    tested = p < 1
    found = np.zeros(p.size, dtype=bool)
    found[tested] = false_discovery(p[tested]) <= _FALSE_DISCOVERY
    return gain, found & (gain > 0)


def _checked(values: np.ndarray, name: str) -> np.ndarray:
    values = np.ascontiguousarray(values, dtype=np.float32)
    if not np.isfinite(values).all():
        raise ChromatellError(
            f"The prediction {name!r} holds {int((~np.isfinite(values)).sum())} NaN or infinite values in the scored "
            "cells. Predict again, or leave it out: models=[...]."
        )
    return values
