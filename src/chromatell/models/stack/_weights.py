"""How much a network, and each of what stands beside it, counts: weights from cells that are held out."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from chromatell._validate import ChromatellError
from chromatell.data.stored import stored
from chromatell.models.stack._matched import Watched
from chromatell.models.stack._regressions import DEPTH, LOW_RANK, MEMBERS, NETWORK, RIDGE, Regressions

WORDS = {
    NETWORK: "the network",
    RIDGE: "ridge regression of each region on expression",
    LOW_RANK: "ridge regression on the leading components of the ATAC",
    DEPTH: "the region's mean x the predicted depth",
}
VAL_CELLS = 2_000
ERRORS = 2.0  # standard errors by which the network's share is lowered; validation cells also chose its epoch
SHAPE = 2.0  # how often an error in a cell's profile counts for one in how open the cell is at all
_LOWEST = 1e-3  # a weight below it is none


@dataclass(frozen=True)
class Stack:
    """Weights of the members, which sum to 1, and the members beside the network.

    Attributes
    ----------
    weights
        Member -> weight above 0.
    loss
        Member, and 'stack' -> loss in validation cells; for the card.
    n_cells
        Validation cells that chose.
    """

    weights: dict[str, float]
    simple: Regressions
    loss: dict[str, float]
    n_cells: int

    @property
    def network_weight(self) -> float:
        """Weight of the network."""
        return self.weights.get(NETWORK, 0.0)

    def combine(
        self, network: np.ndarray | None, design: np.ndarray, ratio: np.ndarray, regions: Any, deeper: np.ndarray | None
    ) -> np.ndarray:
        """Return the weighted mean of the members, float32 (cells, regions).

        `network` is what the network says, float32 (cells, regions), which is overwritten and returned; None where it
        has no weight and was not asked. `deeper` is by how many times a given depth is above the predicted one,
        (cells,), by which rates are multiplied. None where depth is predicted. Few regions at a time (`TILE`) are the
        fastest.
        """
        regions = _as_slice(regions)
        if network is None:
            network = np.zeros((len(design), self.simple.mean[regions].size), dtype=np.float32)
        network *= np.float32(self.network_weight)
        members = [m for m in self.weights if m != NETWORK]
        shared = sum(m == DEPTH or m in self.simple.on_depth for m in members) > 1
        at_depth = self.simple.at_depth(ratio, regions) if shared else None  # an exponential of every value
        p = np.empty_like(network)
        for member in members:
            weight = self.weights[member]
            if deeper is None:
                network += self.simple.predict(member, design, ratio, regions, at_depth, weight, out=p)
            else:
                rate = np.log1p(-self.simple.predict(member, design, ratio, regions, at_depth, out=p))
                network -= np.expm1(rate * deeper[:, None].astype(np.float32)) * np.float32(weight)
        return network

    def described(self) -> str:
        """What a model's card says of it."""
        weights = sorted(self.weights.items(), key=_by_weight)
        parts = [f"{weight:.2f}".replace("0.00", f"{weight:.1g}") + f" x {WORDS[member]}" for member, weight in weights]
        better = ", which is no clear gain in so few" if self.loss[NETWORK] < self.loss["stack"] else ""
        alone = f" (the network alone: {self.loss[NETWORK]:.5g}{better})" if self.network_weight < 1 else ""
        said = parts[0].removeprefix("1.00 x ") + " alone" if len(parts) == 1 else " + ".join(parts)
        return f"{said}; weighted squared error in {self.n_cells} validation cells {self.loss['stack']:.5g}{alone}"

    # ---- the record

    def arrays(self) -> dict[str, np.ndarray]:
        """Return what is needed to predict, as plain arrays."""
        s = self.simple
        arrays = {"stack.weights": np.array([self.weights.get(m, 0.0) for m in MEMBERS])}
        if set(self.weights) - {NETWORK}:
            arrays |= {"stack.mean": s.mean, "stack.depth": np.array([s.scale, s.depth_mean])}
        if RIDGE in self.weights or LOW_RANK in self.weights:
            on_depth = np.array([float(m in s.on_depth) for m in MEMBERS])
            arrays |= {"stack.projection": s.projection, "stack.centre": s.centre, "stack.on_depth": on_depth}
        if RIDGE in self.weights and s.beta is not None:
            arrays["stack.beta"] = s.beta
        if LOW_RANK in self.weights and s.low is not None and s.components is not None:
            arrays |= {"stack.low": s.low, "stack.components": s.components}
        return arrays

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
        on_depth = np.zeros(len(MEMBERS))
        if RIDGE in held or LOW_RANK in held:
            k = arrays["stack.projection"].shape[-1]
            projection = stored(arrays, "stack.projection", (n_genes, k))
            centre = stored(arrays, "stack.centre", (k + n_more + 1,))
            if "stack.on_depth" in arrays:  # older ones start from the mean
                on_depth = stored(arrays, "stack.on_depth", (len(MEMBERS),))
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
        scale, depth = (float(v) for v in numbers)
        if not (mean.min() >= 0 and mean.max() <= 1 and scale > 0 and depth > 0):
            raise ChromatellError(
                f"The stored 'stack.mean' lies between {mean.min():g} and {mean.max():g}, and 'stack.depth' is "
                f"{[scale, depth]}; shares of open cells, and numbers above 0, are needed. Ask for the file again."
            )
        start = frozenset(m for m, value in zip(MEMBERS, on_depth, strict=True) if value)
        return cls(held, Regressions(projection, scale, centre, mean, depth, beta, low, components, start), {}, 0)


def _as_slice(regions: Any) -> Any:
    """Return neighbouring positions as a slice, which copies nothing."""
    if isinstance(regions, np.ndarray) and regions.size and (np.diff(regions) == 1).all():
        return slice(int(regions[0]), int(regions[-1]) + 1)
    return regions


def _by_weight(item: tuple[str, float]) -> float:
    return -item[1]


class Moments:
    """What the weights are chosen by: products of the members with each other and with the truth, of each cell.

    A region counts by the inverse of its variance plus the mean variance, so that neither the open regions alone nor
    the many that are nearly never open decide. The part of a cell's errors that is a multiple of the regions'
    means, its level, which is depth, counts once; the rest, its profile, twice: what tells cells of one depth apart is
    small beside the level, and was given up for it.

    Parameters
    ----------
    n_cells
        Held-out cells.
    mean
        float32 (regions,), share of training cells.
    n_val
        The first so many of the cells are validation cells, of which all members are known; of the others, the network
        is not. None is all.
    """

    def __init__(self, n_cells: int, mean: np.ndarray, n_val: int | None = None) -> None:
        m = len(MEMBERS)
        variance = mean.astype(np.float64) * (1 - mean)
        self.weight = (1 / (variance + variance.mean() + 1e-12) / len(mean)).astype(np.float32)
        self.n_val = n_cells if n_val is None else n_val
        self._mean = mean.astype(np.float32)
        self._inner = np.zeros((n_cells, m, m))
        self._cross = np.zeros((n_cells, m))
        self._own = np.zeros(n_cells)
        self._levels = np.zeros((n_cells, m + 1))  # products with the regions' means; the last is the truth's
        self._means = np.zeros(n_cells)

    def add(self, rows: Any, regions: Any, members: list[np.ndarray], truth: np.ndarray, times: float = 1.0) -> None:
        """Add a block: predictions of the members and the truth, float32 (cells, regions) each.

        It counts so many times, where its regions stand for more.
        """
        w = self.weight[regions] * np.float32(times)
        level = w * self._mean[regions]
        for i, p in enumerate(members):
            weighted = p * w
            self._levels[rows, i] += p @ level
            self._cross[rows, i] += np.einsum("cr,cr->c", weighted, truth, dtype=np.float64)
            for j in range(i + 1):
                products = np.einsum("cr,cr->c", weighted, members[j], dtype=np.float64)
                self._inner[rows, i, j] += products
                if i != j:
                    self._inner[rows, j, i] += products
        self._levels[rows, -1] += truth @ level
        self._means[rows] += float((level * self._mean[regions]).sum(dtype=np.float64))
        self._own[rows] += (truth * w).sum(axis=1, dtype=np.float64)  # the truth is 0 or 1

    @property
    def inner(self) -> np.ndarray:
        """Products of the members, (cells, members, members)."""
        levels = self._levels[:, :-1]
        return SHAPE * self._inner - self._of_level(levels[:, :, None] * levels[:, None, :])

    @property
    def cross(self) -> np.ndarray:
        """Products of the members with the truth, (cells, members)."""
        return SHAPE * self._cross - self._of_level(self._levels[:, :-1] * self._levels[:, -1:])

    def _of_level(self, products: np.ndarray) -> np.ndarray:
        """Return what products of levels count too often."""
        means = np.maximum(self._means, 1e-30).reshape(-1, *(1,) * (products.ndim - 1))
        return (SHAPE - 1) * products / means

    def loss(self, weights: np.ndarray) -> np.ndarray:
        """Return the weighted squared error of each validation cell."""
        inner, cross = self.inner[: self.n_val], self.cross[: self.n_val]
        own = SHAPE * self._own - self._of_level(self._levels[:, -1] ** 2)
        return np.einsum("i,cij,j->c", weights, inner, weights) - 2 * cross @ weights + own[: self.n_val]

    def best(self) -> np.ndarray:
        """Return the weights, 0 or more, with sum 1.

        Those of the simple members have the least summed error in all cells. The network then takes the share with the
        least error in the validation cells, less two standard errors of that share: few cells leave it none.
        """
        inner, cross = self.inner, self.cross
        simple = _on_simplex(inner[:, :-1, :-1].sum(axis=0), cross[:, :-1].sum(axis=0))
        weights, n = np.append(simple, 0.0), self.n_val
        step = np.eye(len(weights))[-1] - weights
        gain = (cross[:n] - inner[:n] @ weights) @ step  # what a small share gains in each cell
        apart = np.einsum("i,cij,j->c", step, inner[:n], step)
        total = float(apart.sum())
        if total <= 0:
            return weights
        share = float(gain.sum()) / total
        error = float(np.sqrt(((gain - share * apart) ** 2).sum() * n / max(n - 1, 1))) / total
        return weights + float(np.clip(share - ERRORS * error, 0, 1)) * step


def _on_simplex(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the w of 0 or more with sum 1 that has the least w'aw - 2b'w."""
    m = len(b)
    a = a + max(1e-9 * float(np.trace(a)), 1e-12) * np.eye(m)  # members may be the same
    best, least = np.eye(m)[0], np.inf
    for size in range(1, m + 1):
        for some in itertools.combinations(range(m), size):
            held = list(some)
            kkt = np.zeros((size + 1, size + 1))
            kkt[:size, :size] = a[np.ix_(held, held)]
            kkt[:size, -1] = kkt[-1, :size] = 1
            w = np.zeros(m)
            w[held] = np.linalg.solve(kkt, np.append(b[held], 1.0))[:size]
            loss = float(w @ a @ w - 2 * b @ w)
            if (w >= 0).all() and loss < least:
                best, least = w, loss
    return best


def choose_weights(moments: Moments, watched: Watched | None = None) -> tuple[dict[str, float], dict[str, float]]:
    """Return the weights of the members, and the mean loss of each and of their weighted mean in validation cells.

    `watched` raises the network's share where the weighted mean would tell cells of one depth apart worse than it does.
    """
    weights = moments.best()
    if watched is not None:
        weights = watched.raised(weights)
    weights = np.where(weights < _LOWEST, 0.0, weights)
    weights /= weights.sum()
    loss = {m: float(moments.loss(w).mean()) for m, w in zip(MEMBERS, np.eye(len(MEMBERS)), strict=True)}
    loss["stack"] = float(moments.loss(weights).mean())
    return {m: float(w) for m, w in zip(MEMBERS, weights, strict=True) if w > 0}, loss
