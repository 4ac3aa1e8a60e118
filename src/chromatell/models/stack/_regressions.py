"""What stands beside the network, in closed form: ridge, and mean x predicted depth."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from chromatell.data.depth import DepthModel
from chromatell.models.baselines.parts import EPS, Ridge, RidgePath, blocks, scaled
from chromatell.models.baselines.protocol import DIMENSIONS, PENALTIES, RANKS, WEIGHTS, Axis, Option, tune

NETWORK, RIDGE, LOW_RANK, DEPTH = "network", "ridge", "low rank", "depth"
MEMBERS = (DEPTH, LOW_RANK, RIDGE, NETWORK)  # the simplest first
ENTRIES = 100_000_000  # open entries of the training cells that the regressions are fitted on
DENSE = 20_000_000  # cells x regions up to which they may start from mean x depth: what that leaves is not sparse
CELLS = 200_000
TUNE_CELLS, TUNE_REGIONS = 1_000, 5_000
# Validation cells up to which held-out tenths of the training cells are asked as well. Tenths, since of 250 cells four
# fifths tell the depth so much worse than all that mean x depth came out too low.
FEW, FOLDS = 300, 10
MOST = 5_000  # training cells that are dealt into them

Embed = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Regressions:
    """Simple predictors of the same cells from the same expression, in closed form.

    Attributes
    ----------
    projection, scale
        float32 (genes, k): components of the z-scored expression, or of what else is read; by which their scores are
        divided.
    centre
        float64 (k + m + 1,), mean over the training cells of the scores, of what other inputs hold, and of the library
        size.
    beta
        float32 (k + m + 1, regions), of ridge; None where it is not among the members.
    low, components
        float32 (k + m + 1, rank) and (rank, regions), of the low rank; likewise.
    mean
        float32 (regions,), share of the training cells in which each is open.
    depth_mean
        Mean of the predicted depth over the training cells.
    on_depth
        Those of RIDGE and LOW_RANK that start from mean x predicted depth, and not from the mean. RIDGE did in records
        of earlier versions.
    """

    projection: np.ndarray
    scale: float
    centre: np.ndarray
    mean: np.ndarray
    depth_mean: float
    beta: np.ndarray | None = None
    low: np.ndarray | None = None
    components: np.ndarray | None = None
    on_depth: frozenset[str] = frozenset()

    def design(self, z: np.ndarray, library: np.ndarray, more: np.ndarray) -> np.ndarray:
        """Return centred scores, other inputs (cells, m) and library size, float32 (cells, k + m + 1)."""
        if not self.projection.shape[1]:
            return np.zeros((len(z), 1), dtype=np.float32)  # no member reads it
        columns = np.column_stack([(z @ self.projection) / np.float32(self.scale), more, library])
        return (columns - self.centre).astype(np.float32)

    def design_of(self, cells: Cells) -> np.ndarray:
        """Return the same of cells whose scores are known."""
        return (cells.design(self.scale) - self.centre).astype(np.float32)

    def at_depth(self, ratio: np.ndarray, regions: Any) -> np.ndarray:
        """Return the regions' means at the predicted depth of each cell over the mean, float32 (cells, regions)."""
        return _scaled(ratio, self.mean[regions])

    def predict(
        self,
        member: str,
        design: np.ndarray,
        ratio: np.ndarray,
        regions: Any,
        at_depth: np.ndarray | None = None,
        times: float = 1.0,
        out: np.ndarray | None = None,
    ) -> np.ndarray:
        """Return probabilities of one member `times` a number, float32 (cells, regions), which nothing else holds.

        `ratio` is the predicted depth of each cell over the mean; `at_depth`, which is left as it is, what
        :meth:`at_depth` returns, where several members start from it. They are written into `out` where it is given.
        """
        factor, mean = np.float32(times), self.mean[regions]
        if member == DEPTH:
            return _scaled(ratio, mean, times, out) if at_depth is None else np.multiply(at_depth, factor, out=out)
        base: np.ndarray = mean * factor
        if member in self.on_depth:
            base = _scaled(ratio, mean, times) if at_depth is None else at_depth * factor
        design = design * factor  # a pass over the small matrix, and none over the large one
        if member == RIDGE:
            assert self.beta is not None  # a member whose arrays are there
            probabilities = np.matmul(design, self.beta[:, regions], out=out)
        else:
            assert self.low is not None
            assert self.components is not None
            probabilities = np.matmul(design @ self.low, self.components[:, regions], out=out)
        # in place: a block of cells x regions that is made anew costs as much as what is done to it
        probabilities += base
        return np.clip(probabilities, np.float32(times * EPS), np.float32(times * (1 - EPS)), out=probabilities)


def _scaled(ratio: np.ndarray, mean: np.ndarray, times: float = 1.0, out: np.ndarray | None = None) -> np.ndarray:
    """Return what `scaled` does `times` a number, float32, in a sixth of the time."""
    rate = -np.log1p(-mean.astype(np.float64))
    values = np.einsum("c,r->cr", -ratio.astype(np.float32), rate.astype(np.float32), out=out)  # half of `outer`'s time
    np.expm1(values, out=values)
    return np.multiply(values, np.float32(-times), out=values)


class Cells(NamedTuple):
    """What is known of cells.

    Attributes
    ----------
    scores, more, sizes
        float32 (cells, k), (cells, m) and (cells, s): components, what other inputs hold, the library size and what
        else depth is predicted from.
    depth, ratio
        (cells,), the true depth; the predicted one over its mean in the training cells.
    truth
        CSR (cells, regions), 1 where open.
    """

    scores: np.ndarray
    more: np.ndarray
    sizes: np.ndarray
    depth: np.ndarray
    ratio: np.ndarray
    truth: Any

    def at(self, rows: np.ndarray, cols: Any = slice(None)) -> Cells:
        """Return some cells and regions."""
        of_cells = {name: x[rows] for name, x in self._asdict().items()}
        return Cells(**of_cells | {"truth": of_cells["truth"][:, cols]})

    def design(self, scale: float) -> np.ndarray:
        """Return float64 (cells, k + m + 1)."""
        return np.column_stack([self.scores / scale, self.more, self.sizes[:, :1]]).astype(np.float64)


class _Trial:
    """Regressions of some cells, and what they say of others."""

    def __init__(self, train: Cells, held: Cells, scale: float, inputs: Sequence[int], seed: int) -> None:
        n, n_regions = train.truth.shape
        self._n_inputs = len(inputs)
        share = np.asarray(train.truth.sum(axis=0), dtype=np.float64).ravel() / n
        self.mean = np.clip(share, 0.5 / (n + 1), 1 - 0.5 / (n + 1)).astype(np.float32)
        self.held, self._design = held, held.design(scale)
        design = train.design(scale)
        left: list[tuple[bool, Any]] = [(False, train.truth)]  # the truth, and whether mean x depth is taken off it
        if n * n_regions <= DENSE:
            rest = train.truth.toarray().astype(np.float32, copy=False)
            for rows in blocks(n):
                rest[rows] -= scaled(train.ratio[rows], self.mean)
            left.append((True, rest))
        # Only the low rank may start from the depth: a depth that is predicted badly makes noise of what tells cells of
        # one depth apart, and two members that lean on the same prediction do not make up for its errors.
        self.paths = {
            (LOW_RANK, on_depth): RidgePath(design, truth, rank=max(RANKS), inputs=inputs, seed=seed)
            for on_depth, truth in left
        }
        self.paths[RIDGE, False] = RidgePath(design, train.truth, inputs=inputs, seed=seed)

    def say(self, member: str, option: tuple[Any, ...], rows: Any = slice(None), cols: Any = slice(None)) -> np.ndarray:
        """Return what a member says of some held cells and regions, float32."""
        base: np.ndarray = self.mean[cols]
        if member == DEPTH or option[-1]:
            base = scaled(self.held.ratio[rows], base).astype(np.float32)
        if member == DEPTH:
            return base
        change = self.at(member, option).change(self._design[rows], cols)
        return np.clip(base + change, EPS, 1 - EPS)

    def at(self, member: str, option: tuple[Any, ...]) -> Ridge:
        """Return the regression of one choice, whose last is whether it starts from mean x depth."""
        *own, on_depth = option
        n = len(own) - self._n_inputs
        alpha, components, *rank = own[:n]
        return self.paths[member, on_depth].at(alpha, components, rank[0] if rank else None, own[n:])


class Apart(NamedTuple):
    """Training cells that regressions of the others were asked about."""

    rows: np.ndarray
    cols: np.ndarray
    members: list[np.ndarray]  # without the network, float32 (rows, cols)
    truth: np.ndarray


def fit_regressions(
    train: Cells,
    val: Cells,
    *,
    components: np.ndarray,
    depth_mean: float,
    embed: Embed,
    seed: int,
    inputs: Mapping[str, int] | None = None,
) -> tuple[Regressions, Iterator[Apart]]:
    """Fit ridge and its low-rank form on training cells; penalties, ranks and the like by cells that are held out.

    Held out are the validation cells, and where they are few each tenth of the training cells in turn, whose
    regressions and predicted depths are those of the other nine, in at most 5,000 regions.

    Parameters
    ----------
    components
        float32 (genes, k): the map from z-scored genes to the scores.
    depth_mean
        Mean of the depths that are predicted for the training cells.
    embed
        From training cells and others among them to the scores of the others, on components of the first alone.
    inputs
        Number of columns of each other input, by name; each has a weight of its own, 0 to leave it out.

    Returns
    -------
    tuple
        The regressions, and what those of the other tenths say of each tenth.
    """
    scale = max(float(train.scores.std(axis=0).max()), EPS)
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(len(val.scores))[:TUNE_CELLS])
    cols = np.sort(rng.permutation(train.truth.shape[1])[:TUNE_REGIONS])
    inputs = inputs or {}
    widths = tuple(inputs.values())
    whole = _Trial(train, val, scale, widths, seed)
    some = rng.permutation(len(train.scores))[: MOST if len(val.scores) < FEW else 0]
    tenths = [np.sort(part) for part in np.array_split(some, FOLDS) if part.size]
    apart = [_without(train, np.setdiff1d(some, held), held, cols, embed, widths, seed) for held in tenths]
    tried = [(whole, rows, cols), *((trial, slice(None), slice(None)) for trial in apart)]
    wanted = [trial.held.truth[r][:, c].toarray() for trial, r, c in tried]

    def error(member: str, option: tuple[Any, ...]) -> np.ndarray:
        """Return the mean squared error of each cell; `option` ends with where the regression starts."""
        of = [(trial.say(member, option, r, c) - y) ** 2 for (trial, r, c), y in zip(tried, wanted, strict=True)]
        return np.concatenate([x.mean(axis=1, dtype=np.float64) for x in of])

    def brier(member: str, start: Any, option: Option) -> dict[str, float]:
        return {"brier": float(error(member, (*option, start)).mean())}

    penalty = Axis(PENALTIES, 100.0, (True, True))
    grid = {"alpha": penalty, "k": Axis.up_to((*DIMENSIONS, 100), train.scores.shape[1], 20)}
    ranks = Axis.up_to(RANKS, min(path.rank for trial, *_ in tried for path in trial.paths.values()), 12)
    weights = {f"weight of {name}": Axis(WEIGHTS, 1.0, (True, True)) for name in inputs}
    axes = {RIDGE: grid | weights, LOW_RANK: grid | {"rank": Axis(ranks.values, ranks.usual, (True, True))} | weights}
    chosen: dict[str, tuple[Any, ...]] = {DEPTH: ()}
    for member, axis in axes.items():
        for start in sorted(start for of, start in whole.paths if of == member):  # penalties differ: one search each
            option = tune(member, axis, partial(brier, member, start))["brier"]
            candidate = (*option, start)
            if not start or not _clearly_less(error(member, chosen[member]), error(member, candidate)):
                chosen[member] = candidate
    of_all, of_few = (whole.at(m, chosen[m]) for m in (RIDGE, LOW_RANK))
    regressions = Regressions(
        projection=np.ascontiguousarray(components, dtype=np.float32),
        scale=scale,
        centre=of_all.centre,
        mean=whole.mean,
        depth_mean=depth_mean,
        beta=of_all.beta,
        low=of_few.beta,
        components=of_few.components,
        on_depth=frozenset(m for m in (RIDGE, LOW_RANK) if chosen[m][-1]),
    )
    said = (
        Apart(held, cols, [trial.say(m, chosen[m]) for m in MEMBERS[:-1]], y)
        for held, (trial, *_), y in zip(tenths, tried[1:], wanted[1:], strict=False)
    )
    return regressions, said


def _without(
    train: Cells,
    rest: np.ndarray,
    held: np.ndarray,
    cols: np.ndarray,
    embed: Embed,
    inputs: Sequence[int],
    seed: int,
) -> _Trial:
    """Return regressions of some training cells, which others, held out, are asked of.

    Components are those of the first: a cell that they were found with lies nearer to them than a new one.
    """
    sizes = train.sizes
    of_rest, of_held = (embed(rest, rows) for rows in (rest, held))
    depth = DepthModel.fit(of_rest, sizes[rest], train.depth[rest])
    ratios = [depth.depth_of(depth.predict(own, sizes[rows])) for own, rows in ((of_rest, rest), (of_held, held))]
    mean = max(ratios[0].mean(), 1e-6)
    ours, theirs = (
        train.at(rows, cols)._replace(scores=own, ratio=ratio / mean)
        for rows, own, ratio in zip((rest, held), (of_rest, of_held), ratios, strict=True)
    )
    return _Trial(ours, theirs, max(float(of_rest.std(axis=0).max()), EPS), inputs, seed)


def _clearly_less(error: np.ndarray, other: np.ndarray) -> bool:
    """Return whether an error is less than another, of the same cells, by more than one standard error."""
    apart = other - error
    return float(apart.mean()) > float(apart.std(ddof=1)) / np.sqrt(apart.size)
