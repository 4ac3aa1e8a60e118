"""What each input beside expression adds: ridge regression that reads all of them, beside one fitted without it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from chromatell.evaluation.predictors import Predictor
from chromatell.evaluation.run import Comparison
from chromatell.evaluation.tables import difference
from chromatell.evaluation.views.registry import Scores, chooses, score

ALL = ""  # what reads all inputs
KIND = "ridge"
COLUMNS = (
    *("input", "split", "pairs", "view", "metric", "with_it", "without_it"),
    *("gain", "ci_low", "ci_high", "n"),
)


def input_gains(ridges: Mapping[str, Predictor], comparison: Comparison, split: str) -> pd.DataFrame:
    """Return a row an input, view and metric; intervals are paired.

    Parameters
    ----------
    ridges
        Input -> what reads all others, and `ALL` -> what reads all.
    """
    scores = {}
    for name, predictor in ridges.items():
        found = scores[name] = Scores()
        for variant, views in predictor.by_view(comparison.views):
            found.update(score(comparison.scored, comparison.scored.read(variant), views))
    rows = []
    for name in (n for n in ridges if n != ALL):
        for one in scores[ALL].points.values():
            other = scores[name].points.get(one.key)
            if other is not None and chooses(comparison.scored.of, one):
                said = (name, split, comparison.name, one.view, one.metric, one.value, other.value)
                rows.append((*said, *difference(one, other), one.n))
    types = dict.fromkeys(COLUMNS[:5], object) | dict.fromkeys(COLUMNS[5:-1], np.float64) | {"n": np.int64}
    table = pd.DataFrame(rows, columns=list(COLUMNS)).astype(types)
    return table.set_axis(pd.RangeIndex(len(table)).astype(str), axis=0)
