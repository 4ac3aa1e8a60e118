"""What stands beside the network of a Dense: ridge, and mean x predicted depth; and their weights, chosen on 'val'."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from chromatell._validate import ChromatellError
from chromatell.data.stored import stored
from chromatell.models.baselines.parts import EPS, RidgePath, scaled
from chromatell.models.baselines.protocol import DIMENSIONS, PENALTIES, RANKS, Axis, tune

NETWORK, RIDGE, LOW_RANK, DEPTH = "network", "ridge", "low rank", "depth"
MEMBERS = (DEPTH, LOW_RANK, RIDGE, NETWORK)  # the simplest first
WORDS = {
    NETWORK: "the network",
    RIDGE: "ridge regression of each region on expression",
    LOW_RANK: "ridge regression on the leading components of the ATAC",
    DEPTH: "the region's mean x the predicted depth",
}
ENTRIES = 100_000_000  # open entries of the training cells that the regressions are fitted on
CELLS = 200_000
VAL_CELLS, TUNE_CELLS, TUNE_REGIONS = 2_000, 1_000, 5_000
# Few cells: half of what is predicted is what takes the least to know, which alters no order of cells of one depth.
PRIOR = np.array([1 / 2, 1 / 6, 1 / 6, 1 / 6])
PRIOR_CELLS = 200  # as many validation cells count as much as the prior
_LOWEST = 1e-3  # a weight below it is none


@dataclass(frozen=True)
class Regressions:
    """Simple predictors of the same cells from the same expression, in closed form.

    Attributes
    ----------
    projection, scale
        float32 (genes, k): components of the z-scored expression; by which their scores are divided.
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
    """

    projection: np.ndarray
    scale: float
    centre: np.ndarray
    mean: np.ndarray
    depth_mean: float
    beta: np.ndarray | None = None
    low: np.ndarray | None = None
    components: np.ndarray | None = None

    def design(self, z: np.ndarray, library: np.ndarray, more: np.ndarray) -> np.ndarray:
        """Return centred scores, other inputs (cells, m) and library size, float32 (cells, k + m + 1)."""
        if not self.projection.shape[1]:
            return np.zeros((len(z), 1), dtype=np.float32)  # no member reads it
        found = np.column_stack([(z @ self.projection) / np.float32(self.scale), more, library])
        return (found - self.centre).astype(np.float32)

    def predict(self, member: str, design: np.ndarray, ratio: np.ndarray, regions: Any) -> np.ndarray:
        """Return probabilities of one member, float32 (cells, regions).

        `ratio` is the predicted depth of each cell over the mean, which ridge reads from the expression by itself.
        """
        mean = self.mean[regions]
        if member == DEPTH:
            return scaled(ratio, mean).astype(np.float32)
        if member == RIDGE:
            assert self.beta is not None  # a member whose arrays are there
            change = design @ self.beta[:, regions]
        else:
            assert self.low is not None
            assert self.components is not None
            change = (design @ self.low) @ self.components[:, regions]
        return np.clip(mean + change, EPS, 1 - EPS)


@dataclass(frozen=True)
class Stack:
    """Weights of the members, which sum to 1, and the members beside the network.

    Attributes
    ----------
    weights
        Member -> weight above 0.
    loss
        Member, and 'stack' -> loss in held-out validation cells; for the card.
    n_cells
        Validation cells that chose.
    """

    weights: dict[str, float]
    simple: Regressions
    loss: dict[str, float]
    n_cells: int

    @property
    def network_weight(self) -> float:
        """Of the network."""
        return self.weights.get(NETWORK, 0.0)

    def combine(
        self, network: np.ndarray, design: np.ndarray, ratio: np.ndarray, regions: Any, deeper: np.ndarray | None
    ) -> np.ndarray:
        """Return the weighted mean of the members, float32 (cells, regions).

        `deeper` is by how many times a given depth is above the predicted one, (cells,): the rates of what reads the
        depth from the expression are multiplied by it. None where depth is predicted.
        """
        total = np.float32(self.network_weight) * network
        for member, weight in self.weights.items():
            if member == NETWORK:
                continue
            p = self.simple.predict(member, design, ratio, regions)
            if deeper is not None and member != DEPTH:
                p = -np.expm1(np.log1p(-p) * deeper[:, None].astype(np.float32))
            total += np.float32(weight) * p
        return total

    def described(self) -> str:
        """What a model's card says of it."""
        parts = [f"{weight:.2f} x {WORDS[member]}" for member, weight in sorted(self.weights.items(), key=_by_weight)]
        alone = f" (the network alone: {self.loss[NETWORK]:.5g})" if self.network_weight < 1 else ""
        said = parts[0].removeprefix("1.00 x ") + " alone" if len(parts) == 1 else " + ".join(parts)
        return f"{said}; loss in {self.n_cells} validation cells {self.loss['stack']:.5g}{alone}"

    # ---- the record

    def arrays(self) -> dict[str, np.ndarray]:
        """Return what is needed to predict, as plain arrays."""
        s = self.simple
        found = {"stack.weights": np.array([self.weights.get(m, 0.0) for m in MEMBERS])}
        if set(self.weights) - {NETWORK}:
            found |= {"stack.mean": s.mean, "stack.depth": np.array([s.scale, s.depth_mean])}
        if RIDGE in self.weights or LOW_RANK in self.weights:
            found |= {"stack.projection": s.projection, "stack.centre": s.centre}
        if RIDGE in self.weights and s.beta is not None:
            found["stack.beta"] = s.beta
        if LOW_RANK in self.weights and s.low is not None and s.components is not None:
            found |= {"stack.low": s.low, "stack.components": s.components}
        return found

    @classmethod
    def from_arrays(
        cls, n_genes: int, n_regions: int, arrays: Mapping[str, np.ndarray], n_more: int = 0
    ) -> Stack | None:
        """Return it from a record; None of one without, whose network predicts alone. Shapes and values are checked.

        `n_more` is the number of columns that other inputs have.
        """
        if "stack.weights" not in arrays:
            return None
        weights = stored(arrays, "stack.weights", (len(MEMBERS),))
        if (weights < 0).any() or abs(float(weights.sum()) - 1) > 1e-6:
            raise ChromatellError(
                f"The stored 'stack.weights' are {weights.tolist()}; numbers of 0 or more that sum to 1 are needed. "
                "Ask for the file again."
            )
        held = {m: float(w) for m, w in zip(MEMBERS, weights, strict=True) if w > 0}
        projection, centre = np.zeros((n_genes, 0), dtype=np.float32), np.zeros(1)
        beta = low = components = None
        if RIDGE in held or LOW_RANK in held:
            k = arrays["stack.projection"].shape[-1]
            projection = stored(arrays, "stack.projection", (n_genes, k))
            centre = stored(arrays, "stack.centre", (k + n_more + 1,))
        if RIDGE in held:
            beta = stored(arrays, "stack.beta", (len(centre), n_regions))
        if LOW_RANK in held:
            rank = arrays["stack.low"].shape[-1]
            low = stored(arrays, "stack.low", (len(centre), rank))
            components = stored(arrays, "stack.components", (rank, n_regions))
        mean, numbers = np.zeros(n_regions, dtype=np.float32), np.ones(2)
        if set(held) - {NETWORK}:
            mean = stored(arrays, "stack.mean", (n_regions,))
            numbers = stored(arrays, "stack.depth", (2,))
        simple = Regressions(projection, float(numbers[0]), centre, mean, float(numbers[1]), beta, low, components)
        return cls(held, simple, {}, 0)


def _by_weight(item: tuple[str, float]) -> float:
    return -item[1]


# ---- fit


def fit_regressions(
    scores: np.ndarray,
    library: np.ndarray,
    truth: Any,
    *,
    components: np.ndarray,
    depth_mean: float,
    val: tuple[np.ndarray, np.ndarray, Any],
    seed: int,
) -> Regressions:
    """Fit ridge and its low-rank form on training cells; penalty, rank and number of components by validation cells.

    Parameters
    ----------
    scores, library
        float32 (cells, k), and (cells,) or (cells, m + 1) with what other inputs hold before it; of training cells.
    truth
        CSR (cells, regions), 1 where open.
    components
        float32 (genes, k): the map from z-scored genes to the scores.
    val
        The same three of validation cells.
    """
    scale = max(float(scores.std(axis=0).max()), EPS)
    design = np.column_stack([scores / scale, library]).astype(np.float64)
    always = design.shape[1] - scores.shape[1]
    n = truth.shape[0]
    share = np.asarray(truth.sum(axis=0), dtype=np.float64).ravel() / n
    mean = np.clip(share, 0.5 / (n + 1), 1 - 0.5 / (n + 1)).astype(np.float32)
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(val[2].shape[0])[:TUNE_CELLS])
    cols = np.sort(rng.permutation(truth.shape[1])[:TUNE_REGIONS])
    held = np.column_stack([val[0][rows] / scale, val[1][rows]])
    wanted = val[2][rows][:, cols].toarray()
    dimensions = Axis.up_to((*DIMENSIONS, 100), scores.shape[1], 20)
    penalty = Axis(PENALTIES, 100.0, (True, True))
    full = RidgePath(design, truth, always=always)
    low = RidgePath(design, truth, rank=max(RANKS), always=always, seed=seed)

    def loss(path: RidgePath, **option: Any) -> dict[str, float]:
        p = path.at(**option).predict(held, mean, cols)
        return {"brier": float(np.mean((p - wanted) ** 2))}

    alpha, k = tune("ridge", {"alpha": penalty, "k": dimensions}, lambda o: loss(full, alpha=o[0], components=o[1]))[
        "brier"
    ]
    ranks = Axis.up_to(RANKS, low.rank, 12)
    ranks = Axis(ranks.values, ranks.usual, (True, True))
    alpha_low, k_low, rank = tune(
        "low rank",
        {"alpha": penalty, "k": dimensions, "rank": ranks},
        lambda o: loss(low, alpha=o[0], components=o[1], rank=o[2]),
    )["brier"]
    of_all, of_few = full.at(alpha, k), low.at(alpha_low, k_low, rank)
    return Regressions(
        projection=np.ascontiguousarray(components, dtype=np.float32),
        scale=scale,
        centre=of_all.centre,
        mean=mean,
        depth_mean=depth_mean,
        beta=of_all.beta,
        low=of_few.beta,
        components=of_few.components,
    )


class Moments:
    """What the weights are chosen by: products of the members with each other and with the truth, of each cell.

    A region counts by the inverse of its variance plus the mean variance, so that neither the open regions alone nor
    the many that are nearly never open decide.

    Parameters
    ----------
    n_cells
        Validation cells.
    mean
        float32 (regions,), share of training cells.
    """

    def __init__(self, n_cells: int, mean: np.ndarray) -> None:
        m = len(MEMBERS)
        variance = mean.astype(np.float64) * (1 - mean)
        self.weight = (1 / (variance + variance.mean() + 1e-12) / len(mean)).astype(np.float32)
        self.inner = np.zeros((n_cells, m, m))
        self.cross = np.zeros((n_cells, m))
        self.own = np.zeros(n_cells)

    def add(self, rows: slice, regions: Any, members: list[np.ndarray], truth: np.ndarray) -> None:
        """Add a block: predictions of the members and the truth, float32 (cells, regions) each."""
        w = self.weight[regions]
        weighted = [p * w for p in members]
        for i, p in enumerate(weighted):
            self.cross[rows, i] += np.einsum("cr,cr->c", p, truth, dtype=np.float64)
            for j in range(i + 1):
                found = np.einsum("cr,cr->c", p, members[j], dtype=np.float64)
                self.inner[rows, i, j] += found
                if i != j:
                    self.inner[rows, j, i] += found
        self.own[rows] += (truth * w).sum(axis=1, dtype=np.float64)  # the truth is 0 or 1

    def loss(self, weights: np.ndarray) -> np.ndarray:
        """Return the weighted squared error of each cell."""
        return np.einsum("i,cij,j->c", weights, self.inner, weights) - 2 * self.cross @ weights + self.own

    def best(self) -> np.ndarray:
        """Return the weights of 0 or more that sum to 1 and have the least summed error, drawn towards `PRIOR`."""
        a, b = self.inner.sum(axis=0), self.cross.sum(axis=0)
        m = len(b)
        mean = self.inner.mean(axis=0)  # what a shift of weight from one member to another changes in a cell
        pull = PRIOR_CELLS * float(np.trace(mean) / m - mean[~np.eye(m, dtype=bool)].mean())
        a, b = a + max(pull, 1e-12) * np.eye(m), b + max(pull, 1e-12) * PRIOR
        found, least = PRIOR, np.inf
        for size in range(1, m + 1):
            for some in itertools.combinations(range(m), size):
                held = list(some)
                kkt = np.zeros((size + 1, size + 1))
                kkt[:size, :size] = a[np.ix_(held, held)]
                kkt[:size, -1] = kkt[-1, :size] = 1
                solved = np.linalg.solve(kkt, np.append(b[held], 1.0))[:size]
                w = np.zeros(m)
                w[held] = solved
                loss = float(w @ a @ w - 2 * b @ w)
                if (solved >= 0).all() and loss < least:
                    found, least = w, loss
        return found


def choose_weights(moments: Moments) -> tuple[dict[str, float], dict[str, float]]:
    """Return the weights of the members, and the mean loss of each and of their weighted mean in the cells."""
    weights = moments.best()
    weights = np.where(weights < _LOWEST, 0.0, weights)
    weights /= weights.sum()
    loss = {m: float(moments.loss(w).mean()) for m, w in zip(MEMBERS, np.eye(len(MEMBERS)), strict=True)}
    loss["stack"] = float(moments.loss(weights).mean())
    return {m: float(w) for m, w in zip(MEMBERS, weights, strict=True) if w > 0}, loss
