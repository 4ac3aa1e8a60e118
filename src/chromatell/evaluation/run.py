"""Score, choose the best baselines on validation data, pair the gains, write: the same for every kind of data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from chromatell._dask import in_order, shared
from chromatell._keys import CURVES, EVALUATION, GAINS, INPUT_GAINS, PREVALENCE, SPLITS, UNS, sibling
from chromatell._progress import progress
from chromatell._settings import logger, settings
from chromatell._validate import ChromatellError, in_range, one_of, result_key
from chromatell.evaluation.predictors import Predictor
from chromatell.evaluation.tables import (
    PAIRS,
    best_baselines,
    gain_table,
    score_table,
    stacked,
)
from chromatell.evaluation.views.registry import Choice, Scores, Truth, score, view_names

_ALONE = Lock()


@dataclass(frozen=True)
class Request:
    """What the user asked ``ctl.tl.evaluate`` for; its docstring says what each is."""

    models: Any
    baselines: str | Sequence[str] | None
    split: str
    pairs: str | Sequence[str] | None
    views: str | Sequence[str] | None
    labels: str | None
    depth_key: str | None
    n_bootstrap: int
    top: int
    regions: str | Sequence[str] | None
    max_regions: int | None
    seed: int | None
    client: Any  # a `dask.distributed` client, whose workers score; None scores here
    options: Mapping[str, Any]

    def __post_init__(self) -> None:
        one_of(self.split, SPLITS, "split")
        in_range(self.n_bootstrap, 0, 1_000_000, "n_bootstrap")
        in_range(self.top, 1, 1_000_000_000, "top")
        if self.max_regions is not None:
            in_range(self.max_regions, 1, 1_000_000_000, "max_regions")

    def streams(self, n: int) -> list[np.random.SeedSequence]:
        """Return `n` seeds."""
        return np.random.SeedSequence(settings.resolve_seed(self.seed)).spawn(n)

    def kinds_of_baselines(self) -> list[str]:
        """Return the kinds of baselines asked for, ``['all']`` for each that the data allows; none for None."""
        return [] if self.baselines is None else listed(self.baselines)

    def views_of(self, kind: str, *, own_bins: bool = False) -> tuple[str, ...]:
        """Return the views asked for, checked; with `own_bins`, among those in which removed bins are scored."""
        every = view_names(kind, own_bins=own_bins)
        views = every if self.views is None else tuple(one_of(v, every, "views") for v in listed(self.views))
        if not views:
            raise ChromatellError(f"views=[] names no view. Leave it out for all of them: {', '.join(every)}.")
        return views


@dataclass(frozen=True)
class Comparison:
    """Predictors that are scored against one truth.

    Attributes
    ----------
    name, fixed
        Name of the kind of pairs, or of the target; and what the id columns of all its rows say.
    scored, validation
        The truth, and the one on which the best baselines and thresholds are chosen; None chooses on the scored one.
    views
        Their names.
    rng
        Generator of the labels that are drawn from models.
    """

    name: str
    fixed: Mapping[str, Any]
    scored: Truth
    validation: Truth | None
    predictors: list[Predictor]
    views: tuple[str, ...]
    rng: np.random.Generator


@dataclass(frozen=True)
class Compared:
    """What a comparison found: scores, and the baselines that are best on its validation data."""

    comparison: Comparison
    scores: dict[str, Scores]
    best: dict[Choice, str]


class Task(ABC):
    """A kind of data: the only place that knows it.

    A task says what predictors are compared on which truths, and writes what only its kind of data has.
    """

    called: ClassVar[str]  # the kind of data, in words
    about: ClassVar[tuple[str, ...]] = PAIRS  # id columns of its tables
    order: ClassVar[str | None] = "pairs"  # the kind of views in whose order the rows stand
    own_options: ClassVar[tuple[str, ...]] = ()  # keywords of ``ctl.tl.evaluate`` that this kind alone has
    no_options: ClassVar[tuple[str, ...]] = ()  # keywords that others share and that say nothing of this kind
    has_curves: ClassVar[bool] = True

    @classmethod
    @abstractmethod
    def takes(cls, data: Any, request: Request) -> bool:
        """Return whether this is the kind of data."""

    @abstractmethod
    def __init__(self, data: Any, request: Request) -> None:
        """Check the request against the data, before anything is computed."""

    @property
    @abstractmethod
    def n_predictions(self) -> int:
        """How many predictions are scored, for the progress bar."""

    @abstractmethod
    def comparisons(self) -> Iterator[Comparison]:
        """Yield what is compared; each is made when it is asked for, and may be forgotten then."""

    def collect(self, compared: Compared) -> None:  # noqa: B027  # most tasks keep nothing
        """Take what a comparison found, for `finish` and `write`."""

    def finish(self) -> dict[str, pd.DataFrame]:
        """Compute what all comparisons were needed for, before anything is written; return further tables."""
        return {}

    def write(self, data: Any) -> None:  # noqa: B027  # most tasks write nothing but the tables
        """Write what only this kind of data has, beside the tables."""


def run(task: Task, data: Any, request: Request, key_added: str, *, copy: bool) -> Any:
    """Score the predictors of a task and write the tables; return the new object with `copy`, else None."""
    for name in (key_added, *(sibling(key_added, table) for table in (GAINS, CURVES, INPUT_GAINS))):
        result_key(name, EVALUATION, *((GAINS, CURVES, INPUT_GAINS) if key_added == EVALUATION else ()))
    tables: list[pd.DataFrame] = []
    gains: list[pd.DataFrame] = []
    curves: dict[str, Any] = {}
    with progress("Scoring", task.n_predictions, "predictions") as advance:
        for comparison in task.comparisons():
            compared = compare(comparison, advance, request.client)
            fixed = {"split": request.split, **comparison.fixed}
            tables.append(score_table(compared.scores, comparison.predictors, task.about, fixed))
            gains.append(gain_table(compared.scores, comparison.predictors, compared.best, task.about, fixed))
            drawn = {n: dict(s.curves) for n, s in compared.scores.items()}
            if any(drawn.values()):
                prevalence = getattr(comparison.scored, PREVALENCE.strip("_"))
                curves[comparison.name] = {**drawn, PREVALENCE: prevalence}
            task.collect(compared)
    views = None if task.order is None else view_names(task.order)
    written: dict[str, Any] = {
        key_added: stacked(tables, views),
        sibling(key_added, GAINS): told(stacked(gains, views)),
    }
    written |= {sibling(key_added, name): table for name, table in task.finish().items()}
    if task.has_curves:
        written[sibling(key_added, CURVES)] = curves
    target = data.copy() if copy else data
    target.uns = {**target.uns, UNS: {**target.uns.get(UNS, {}), **written}}
    task.write(target)
    return target if copy else None


def compare(comparison: Comparison, advance: Callable[[int], None], client: Any = None) -> Compared:
    """Score every predictor; baselines that models are measured against on the validation data too."""
    c = comparison
    scores: dict[str, Scores] = {}
    chosen_on: dict[str, Scores] = {}
    what = shared(client, c)
    each = in_order(client, _scored, ((what, i, stream) for i, stream in enumerate(c.rng.spawn(len(c.predictors)))))
    for predictor, (predictor_scores, known) in zip(c.predictors, each, strict=True):
        scores[predictor.name] = predictor_scores
        if known is not None:
            chosen_on[predictor.name] = known
        advance(1)
    if c.validation is None:
        chosen_on = {p.name: scores[p.name] for p in c.predictors if p.may_be_best}
    return Compared(c, scores, best_baselines(c.scored.of, chosen_on))


def _scored(c: Comparison, i: int, stream: np.random.Generator) -> tuple[Scores, Scores | None]:
    """Return what `_scored_alone` does; one at a time in a process, since predictors share what they have fitted."""
    with _ALONE:
        return _scored_alone(c, i, stream)


def _scored_alone(c: Comparison, i: int, stream: np.random.Generator) -> tuple[Scores, Scores | None]:
    """Return the scores of a predictor, and those on the validation data where the best baseline is chosen by them."""
    predictor = c.predictors[i]
    candidate = predictor.may_be_best and any(not p.is_baseline for p in c.predictors)
    scores, known = Scores(), Scores()
    for variant, views in predictor.by_view(c.views):
        threshold = float("nan")
        if c.validation is not None and (candidate or c.validation.chooses_threshold):
            validation = c.validation.read(variant)
            validation.threshold = threshold = validation.best_threshold()
            if candidate:
                known.update(score(c.validation, validation, views))
            del validation
        prediction = c.scored.read(variant)
        prediction.threshold = threshold
        prediction.rng = None if predictor.is_baseline else stream
        scores.update(score(c.scored, prediction, views))
        del prediction  # before the next one is made
    return scores, known if candidate and c.validation is not None else None


def told(gains: pd.DataFrame) -> pd.DataFrame:
    """Return the gains as they are; say where the chosen baseline is not the one to beat on the scored data."""
    held = gains[(gains["ahead"] != "") & (gains["gain"] > 0)]
    if len(held):
        first = held.loc[held["gain_over_ahead"].idxmin()]
        logger.warning(
            "%d of %d gains are over a baseline that another one beats on the scored data: %s is above %s in %s %s by "
            "%.3g, but %s %s by %.3g (column 'ahead'). Few validation data chose; read such a gain as none.",
            len(held), int((gains["gain"] > 0).sum()), first["model"], first["baseline"], first["view"],
            first["metric"], first["gain"], "above" if first["gain_over_ahead"] > 0 else "below", first["ahead"],
            abs(first["gain_over_ahead"]),
        )  # fmt: skip
    return gains


def listed(names: Any) -> list[str]:
    """Return names as a list, one name too."""
    return [names] if isinstance(names, str) else list(names)
