"""What a view is, and the register of all of them: one function and one decorator make a new one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from chromatell._validate import ChromatellError
from chromatell.evaluation.predictors import Prediction, Predictor

ALL = "all"  # chromosomes together

Key = tuple[str, str, int, str]  # chromosome ('' of cells), view, resolution (0 of cells), metric
Choice = tuple[str, int, str]  # the same without the chromosome: what one baseline is the best in


class Truth(ABC):
    """What predictions are scored against: made by a task, read by the views of one kind."""

    of: ClassVar[str]  # the kind of views that read it
    chooses_threshold: ClassVar[bool] = False  # whether predictions are read on validation data for a threshold alone

    @abstractmethod
    def read(self, predictor: Predictor) -> Prediction:
        """Return what a predictor says of this truth, checked."""


@dataclass(frozen=True)
class Score:
    """One number.

    Attributes
    ----------
    value, n
        The score, and over how many pairs, cells, regions, types or bins.
    change
        float64 (replicates,): replicate minus value; None where nothing was resampled, NaN where one was not computed.
    chrom, resolution
        For tracks: 'all' or a chromosome, and the resolution in bp.
    lower_is_better
        What its view says of the metric; :func:`score` writes it.
    """

    view: str
    metric: str
    value: float
    n: int
    change: np.ndarray | None = None
    chrom: str = ""
    resolution: int = 0
    lower_is_better: bool = False

    @property
    def way(self) -> float:
        """-1 where less is better, else 1."""
        return -1.0 if self.lower_is_better else 1.0

    @property
    def key(self) -> Key:
        """What tells it from the other scores of a prediction."""
        return self.chrom, self.view, self.resolution, self.metric

    @property
    def choice(self) -> Choice:
        """What it is in which one baseline is the best."""
        return self.view, self.resolution, self.metric


@dataclass(frozen=True)
class Curve:
    """What plots and columns need beside scores; `stored` with the tables, or else for a column alone."""

    name: str
    values: np.ndarray
    stored: bool = True


@dataclass
class Scores:
    """What one prediction scores: scores by their keys, curves and columns by their names."""

    points: dict[Key, Score] = field(default_factory=dict)
    curves: dict[str, np.ndarray] = field(default_factory=dict)
    columns: dict[str, np.ndarray] = field(default_factory=dict)

    def add(self, entries: Iterable[Score | Curve]) -> Scores:
        """Take what a view found."""
        for one in entries:
            if isinstance(one, Curve):
                (self.curves if one.stored else self.columns)[one.name] = one.values
            else:
                self.points[one.key] = one
        return self

    def update(self, other: Scores) -> None:
        """Take what was found in other views."""
        self.points.update(other.points)
        self.curves.update(other.curves)
        self.columns.update(other.columns)

    def __getitem__(self, key: tuple[str, str]) -> Score:
        """Return a score of cells by its view and metric."""
        view, metric = key
        return self.points["", view, 0, metric]


@dataclass(frozen=True)
class View:
    """One view.

    Attributes
    ----------
    name, of
        Its name in the tables, and the kind of truth that it reads: 'pairs', 'labels', 'embedding' or 'tracks'.
    function
        From a truth and a prediction to scores and curves.
    needs
        What it needs: 'labels' of the cells, their 'depth', 'probability' (of a prediction), 'model' (baselines have no
        such scores), 'smoothed' targets.
    lower_is_better
        Metrics of which less is better.
    aside
        Metrics that do not say by themselves which prediction is better: no baseline is chosen by them.
    own_bins
        Whether a view of 'pairs' is one of cells x bins too, where bins that were removed from a cell are asked for.
        Its function then compares no pair in the truth's `left_out`, the open bins that a model still reads.
    """

    name: str
    of: str
    function: Callable[[Any, Prediction], Iterator[Score | Curve]]
    needs: frozenset[str]
    lower_is_better: frozenset[str]
    aside: frozenset[str] | None  # None is all of them
    own_bins: bool = False


VIEWS: dict[tuple[str, str], View] = {}


def view(
    name: str,
    *,
    of: str,
    needs: Iterable[str] = (),
    lower_is_better: Iterable[str] = (),
    aside: Iterable[str] | None = (),
    own_bins: bool = False,
) -> Callable[[Callable[[Any, Prediction], Iterator[Score | Curve]]], Any]:
    """Register a function as a view; see `View` for what is said of it."""

    def register(function: Callable[[Any, Prediction], Iterator[Score | Curve]]) -> Any:
        if (of, name) in VIEWS:
            raise ChromatellError(f"There is a view {name!r} of {of!r} already. Choose another name.")
        apart = None if aside is None else frozenset(aside)
        VIEWS[of, name] = View(name, of, function, frozenset(needs), frozenset(lower_is_better), apart, own_bins)
        return function

    return register


def view_names(of: str, *, needs: str | None = None, own_bins: bool = False) -> tuple[str, ...]:
    """Return the names of the views of a kind of truth, in the order of the tables.

    With `needs`, of those that need this; with `own_bins`, of those in which removed bins are scored.
    """
    views = [v for v in VIEWS.values() if v.of == of and (v.own_bins or not own_bins)]
    return tuple(v.name for v in views if needs is None or needs in v.needs)


def chooses(of: str, score: Score) -> bool:
    """Return whether a baseline may be chosen by a score: one that says which prediction is better, over everything."""
    registered = VIEWS.get((of, score.view))
    apart = registered is not None and (registered.aside is None or score.metric in registered.aside)
    return not apart and score.chrom in ("", ALL) and bool(np.isfinite(score.value))


def score(truth: Truth, prediction: Prediction, names: Iterable[str]) -> Scores:
    """Score one prediction in the views named; those whose needs it does not meet are left out."""
    scores = Scores()
    for name in names:
        one = VIEWS[truth.of, name]
        if "probability" in one.needs and not prediction.is_probability:
            continue
        if "model" in one.needs and prediction.rng is None:
            continue
        scores.add(_told(one, entry) for entry in one.function(truth, prediction))
    return scores


def _told(one: View, entry: Score | Curve) -> Score | Curve:
    if isinstance(entry, Score) and entry.metric in one.lower_is_better:
        return replace(entry, lower_is_better=True)
    return entry


def score_by_view(truth: Truth, predictor: Predictor, names: Sequence[str]) -> Scores:
    """Read a predictor, which may predict otherwise in each view, and score it."""
    scores = Scores()
    for variant, some in predictor.by_view(names):
        scores.update(score(truth, truth.read(variant), some))
    return scores
