"""What a baseline is: fit, tune, predict; the register of all kinds; one tuner."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from chromatell._settings import logger
from chromatell._validate import one_of

MAX_REFERENCE = 50_000  # training cells among which neighbours are sought

# The same for cells and for bins. Wide, so that the ends are not chosen; the tuner looks at a part of them only.
NEIGHBOURS = (1, 2, 5, 10, 20, 30, 50, 100, 150, 300, 500, 1_000, 2_000)
RANKS = (1, 2, 3, 5, 8, 12, 20, 30, 50)
DIMENSIONS = (1, 2, 5, 10, 20, 30, 50)
PENALTIES = tuple(10.0**e for e in range(-2, 8))  # from least squares to the mean, whose ends are limits
# of what stands beside components of expression: library size, other inputs; at the ends one of them alone counts
WEIGHTS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
_ROUNDS = 8  # over all axes
_PATIENCE = 2  # worse values in a row after which a search turns round

EVERY = slice(None)  # in place of columns: all of them

Option = tuple[Any, ...]  # one choice of all that is tuned
Place = tuple[int, ...]  # the same, as places on the axes
Losses = Callable[[Option], Mapping[str, float]]  # an option's losses by purpose; the first is the usual one


@dataclass(frozen=True)
class Axis:
    """The values of one thing that is tuned.

    Attributes
    ----------
    values
        Ascending.
    usual
        Taken without validation data; one of them.
    ends
        Whether the least and the greatest value are limits of the data, such as all cells, and not of the grid: one
        that is chosen is worth no warning then.
    """

    values: tuple[Any, ...]
    usual: Any
    ends: tuple[bool, bool] = (False, False)

    @classmethod
    def up_to(cls, values: Sequence[Any], most: Any, usual: Any) -> Axis:
        """Return the values up to the most that the data hold, which is their end where it is below the grid's."""
        held = tuple(v for v in values if v < most)
        held = (*held, most) if most <= values[-1] else held
        first = held[0] == min(most, 1)  # nothing is below one neighbour, component or rank
        return cls(held, min(held, key=lambda v: (abs(v - usual), v)), (first, most <= values[-1]))


class Baseline(ABC):
    """A simple predictor that every model must beat.

    A baseline is made with its :class:`Data`, and is fitted when it is first asked for a prediction. `fit` sees
    training rows alone; :func:`tune` chooses on the `axes` by validation rows, for each purpose (a view, or a target
    track) the option that is best in it.

    Attributes
    ----------
    name, about
        Its name, and what it knows in a line.
    of
        What it predicts: 'cells' (x regions), 'completion' (of a cell's open bins), 'labels' or 'tracks'.
    is_oracle
        It reads the target assay of what it predicts: shown, but never the best baseline.
    reads_region_atac
        It knows a region by its ATAC, so it says nothing of one that was held out.
    """

    name: ClassVar[str]
    about: ClassVar[str]
    of: ClassVar[str] = "cells"
    is_oracle: ClassVar[bool] = False
    reads_region_atac: ClassVar[bool] = True
    tuned: ClassVar[tuple[str, ...]] = ()  # names of the axes, as the provenance gives them; see also `names`

    def __init__(self, data: Any) -> None:
        self.data: Any = data
        self.chosen: dict[str, Option] = {}

    @classmethod
    def possible(cls, data: Any) -> bool:
        """Return whether the data hold what it needs."""
        return True

    def fit(self) -> None:  # noqa: B027  # most are fitted by what they share
        """Fit on the training rows."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the axes: `tuned`, and those that only some data have."""
        return self.tuned

    def axes(self) -> Sequence[Axis]:
        """Return what may be chosen, an axis for each of the `names`. None is no choice."""
        return ()

    @abstractmethod
    def predict(self, rows: Any, cols: Any, option: Option) -> np.ndarray:
        """Return predictions of some rows and columns under one option."""

    def ready(self, purpose: str | None = None) -> Option:
        """Fit and tune where that has not been done; return what was chosen for a purpose, else for the usual one."""
        if not hasattr(self, "_ready"):
            self.fit()
            axes = self.axes()
            if axes:
                self.chosen = tune(self.name, dict(zip(self.names, axes, strict=True)), self.data.losses(self))
            self._ready = True
        return self.chosen.get(purpose or "", next(iter(self.chosen.values()), ()))


class Data(ABC):
    """What the baselines of one kind read, and the baselines that were made of it."""

    of: ClassVar[str]

    def __init__(self) -> None:
        self.made: dict[str, Baseline] = {}
        self._shared: dict[str, Any] = {}

    @abstractmethod
    def losses(self, baseline: Baseline) -> Losses | None:
        """Return the losses of an option on validation data, by purpose; None without any."""

    def baseline(self, kind: str) -> Baseline:
        """Return a baseline by its name; the same one each time."""
        if kind not in self.made:
            self.made[kind] = BASELINES[self.of, one_of(kind, Listed(self.of), "kind")](self)
        return self.made[kind]

    def possible(self) -> list[str]:
        """Return the names of the baselines that these data allow."""
        return [name for name in Listed(self.of) if BASELINES[self.of, name].possible(self)]

    def shared(self, name: str, make: Callable[[], Any]) -> Any:
        """Return what several baselines need, which is made once."""
        if name not in self._shared:
            self._shared[name] = make()
        return self._shared[name]


BASELINES: dict[tuple[str, str], type[Baseline]] = {}


def register(baseline: type[Baseline]) -> type[Baseline]:
    """Put a baseline on the list, in the order in which it is shown."""
    BASELINES[baseline.of, baseline.name] = baseline
    return baseline


class Listed(Mapping[str, str]):
    """Name and description of baselines, oracles last: those that are registered when it is asked.

    Parameters
    ----------
    of
        What they predict, as `Baseline.of`.
    only
        Which of these; all without it.
    """

    def __init__(self, of: str, only: Callable[[type[Baseline]], bool] = lambda _: True) -> None:
        self._of, self._only = of, only

    def _held(self) -> dict[str, str]:
        held = [b for b in BASELINES.values() if b.of == self._of and self._only(b)]
        return {b.name: b.about for b in sorted(held, key=lambda b: b.is_oracle)}

    def __getitem__(self, name: str) -> str:
        return self._held()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._held())

    def __len__(self) -> int:
        return len(self._held())


def oracles(of: str) -> Listed:
    """Return those that read the target assay of what they predict."""
    return Listed(of, lambda baseline: baseline.is_oracle)


def tune(name: str, axes: Mapping[str, Axis], losses: Losses | None) -> dict[str, Option]:
    """Return for each purpose the option with the least loss on validation data that a search finds.

    From the usual option it goes along one axis after the other, as far as the loss falls or two values in a row do not
    lower it, until no axis has a better value. Purposes go beside each other, so that an option's prediction, which is
    made for one of them, serves those that ask for it too.

    Parameters
    ----------
    axes
        By name.
    losses
        Losses of an option, by purpose, NaN where one cannot be computed; None where there are no validation data. It
        is called once an option, and the mapping may compute a loss when it is asked for.

    Returns
    -------
    dict
        Purpose -> option; the usual option under '' without validation data. A purpose whose loss cannot be computed
        is left out.
    """
    grid = list(axes.values())
    start = tuple(axis.values.index(axis.usual) for axis in grid)
    if losses is None:
        return {"": tuple(axis.usual for axis in grid)}
    known = {start: losses(_option(grid, start))}
    best: dict[str, Place | None] = dict.fromkeys(known[start])
    searches = {purpose: _search(start, [len(axis.values) for axis in grid]) for purpose in best}
    waiting = {purpose: next(search) for purpose, search in searches.items()}
    while waiting:
        place = Counter(waiting.values()).most_common(1)[0][0]
        if place not in known:
            known[place] = losses(_option(grid, place))
        for purpose in [p for p, wanted in waiting.items() if wanted == place]:
            try:
                waiting[purpose] = searches[purpose].send(float(np.nan_to_num(known[place][purpose], nan=np.inf)))
            except StopIteration as end:
                best[purpose] = end.value
                del waiting[purpose]
    chosen = {purpose: _option(grid, at) for purpose, at in best.items() if at is not None}
    for purpose, at in best.items():
        for (axis_name, axis), i in zip(axes.items(), at or (), strict=False):
            if _at_edge(axis, i):
                logger.warning(
                    "Baseline %s: %s = %s, chosen for %r on validation data, is at the end of its grid (%s to %s): a "
                    "better one may lie beyond.", name, axis_name, axis.values[i], purpose, axis.values[0],
                    axis.values[-1],
                )  # fmt: skip
    logger.debug("Baseline %s: %s, chosen on validation data.", name, chosen)
    return chosen or {"": tuple(axis.usual for axis in grid)}


def _option(grid: Sequence[Axis], place: Place) -> Option:
    return tuple(axis.values[i] for axis, i in zip(grid, place, strict=True))


def _search(start: Place, sizes: Sequence[int]) -> Generator[Place, float, Place | None]:
    """Yield the places whose loss is wanted, each once; return the best, None where the start has no loss."""
    known: dict[Place, float] = {}

    def loss(place: Place) -> Generator[Place, float, float]:
        if place not in known:
            known[place] = yield place
        return known[place]

    least = yield from loss(start)
    if not np.isfinite(least):
        return None
    best = start
    for _ in range(_ROUNDS):
        before = best
        for i, n in enumerate(sizes):
            at = best
            for way in (1, -1):
                worse, j = 0, at[i] + way
                while 0 <= j < n and worse < _PATIENCE:
                    place = (*at[:i], j, *at[i + 1 :])
                    value = yield from loss(place)
                    best, least, worse = (place, value, 0) if value < least else (best, least, worse + 1)
                    j += way
        if best == before:
            break
    return best


def _at_edge(axis: Axis, i: int) -> bool:
    """Return whether a value is at an end of its axis that is none of the data."""
    n = len(axis.values)
    return n > 1 and ((i == 0 and not axis.ends[0]) or (i == n - 1 and not axis.ends[1]))


def reference_rows(n: int, seed: int) -> np.ndarray:
    """Return the training rows among which neighbours are sought: all, or 50,000 drawn at random."""
    if n <= MAX_REFERENCE:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, MAX_REFERENCE, replace=False))
