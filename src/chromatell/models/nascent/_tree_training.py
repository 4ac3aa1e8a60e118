"""Trees of a `Nascent` model, and the CNN beside them: the bins that they are fitted on, and how."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from chromatell._keys import SPLITS, TRAIN, VAL
from chromatell._settings import logger
from chromatell._validate import ChromatellError, examples
from chromatell.models._train_config import TrainConfig
from chromatell.models.nascent._batches import Source, tree_bins
from chromatell.models.nascent._bins import draw_bins, most_bins
from chromatell.models.nascent._carried_network import CarriedNetwork, Pieces, fitted_network, warn_too_few
from chromatell.models.nascent._carry import Assay
from chromatell.models.nascent._config import NascentConfig
from chromatell.models.nascent._smoothing import unchosen_widths
from chromatell.models.nascent._stack import PART, ROUNDS, Stack, fit_ridge
from chromatell.models.nascent._transfer import (
    NETWORK_SHARE,
    Blend,
    BlendedTrees,
    CarriedBins,
    carried_bins,
    samples_of,
)
from chromatell.models.nascent._trees import TreeModule, Trees

Bins = tuple[np.ndarray, np.ndarray]  # features (features, bins) and scaled targets (targets, bins)


@dataclass(frozen=True)
class TreeBins:
    """The bins that trees are grown on.

    Attributes
    ----------
    train, val
        Training bins, and those on which growing stops; without validation bins the latter are empty.
    used
        How many training bins are used, and of how many.
    carried, held
        The training and the validation bins of 'transfer'; the latter None without any.
    network
        The CNN beside the trees of 'transfer'; None where it has none.
    own, ridge
        Bins of the sample as it is, and a regression of it, for the stack of 'transfer'; None where it has none.
    """

    options: NascentConfig
    train: Bins
    val: Bins
    used: dict[str, int]
    carried: CarriedBins | None = None
    held: CarriedBins | None = None
    network: CarriedNetwork | None = None
    own: CarriedBins | None = None
    ridge: tuple[np.ndarray, np.ndarray] | None = None  # weights, and the least value of each target

    @classmethod
    def draw(cls, source: Source, assays: Sequence[Assay], low: np.ndarray, seed: int) -> TreeBins:
        """Draw the bins, and fit the CNN of 'transfer' on pieces; `assays` are those of the inputs.

        `low` is the least value of each target in training, scaled.
        """
        options, draws = source.options, np.random.SeedSequence(seed).spawn(2)
        if options.carries:
            pieces = Pieces() if options.cnn else None
            train = carried_bins(source, assays, TRAIN, most_bins(options, TRAIN), draws[0], pieces=pieces)
            if train is None:
                raise ChromatellError("No usable bin is marked 'train'. Run ctl.pp.split_regions(tracks, by='blocks').")
            network = None if pieces is None else fitted_network(pieces, options.loss, draws[0].spawn(1)[0])
            if pieces is not None and network is None:
                warn_too_few(pieces, source.data, most_bins(options, TRAIN), samples_of(options))
            del pieces  # not in memory beside the validation bins
            ridge = own = None
            if _stacks(source):
                streams = np.random.SeedSequence([seed, len(SPLITS)]).spawn(2)
                ridge = fit_ridge(source, assays, streams[0]), low
                as_it_is = replace(source, options=replace(options, augment=False))
                own = carried_bins(as_it_is, assays, TRAIN, -(-options.max_bins // PART), streams[1], ridge=ridge)
            val = carried_bins(source, assays, VAL, most_bins(options, VAL), draws[1], network=network, ridge=ridge)
            n = sum(int(source.data.usable(c, TRAIN).sum()) for c in source.data.chroms)
            none = np.empty((0, 0), dtype=np.float32)
            stop = (none, none) if val is None else (val.features, val.targets)
            used = {"used": train.plain, "of": n}
            return cls(options, (train.features, train.targets), stop, used, train, val, network, own, ridge)
        drawn = [draw_bins(source.data, s, most_bins(options, s), d) for s, d in zip((TRAIN, VAL), draws, strict=True)]
        n = drawn[0][1]
        used = {"used": min(n, options.max_bins), "of": n}
        return cls(options, tree_bins(source, drawn[0][0]), tree_bins(source, drawn[1][0]), used)

    def grow(
        self,
        plan: TrainConfig,
        *,
        sigmas: Mapping[str, float],
        seed: int,
        accelerator: str | None,
        state: Path | None,
        identity: Callable[[], dict[str, Any]],
    ) -> tuple[TreeModule | BlendedTrees, dict[str, list[float]]]:
        """Return the trees, and the losses after each round; `state` and `identity` as for `boost`.

        `sigmas` says of each target the bins that it was smoothed over.
        """
        from chromatell.models.nascent._boosting import boost, has_loss, tree_options

        if self.val[0].size:
            told = (has_loss(y, self.options.loss) for y in self.val[1])
            self._say_untold([name for name, is_told in zip(sigmas, told, strict=True) if not is_told], plan)
        gpu = accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
        trees, history = boost(
            self.train,
            self.val if self.val[0].size else None,
            plan,
            tree_options(self.options) | self._least_leaf(),
            loss=self.options.loss,
            seed=seed,
            device="cuda" if gpu else "cpu",
            state=state,
            identity=identity,
            called=self._called(),
        )
        if self.carried is None:
            return TreeModule(trees), history
        plain = slice(0, self.carried.plain)
        said = trees.predict(self.carried.features[:, plain])
        blend = Blend.of(self.options.blend, said, self.carried.log_signal[plain], self.carried.targets[:, plain])
        width = unchosen_widths(list(sigmas.values())) if self.options.smooth else blend.width
        share = 0.0 if self.network is None else NETWORK_SHARE
        blend = replace(blend, width=width, network=np.full(width.size, share))  # where no validation bin says which
        if self.held is not None:
            blend = self.held.chosen(trees, blend, self.options, np.random.SeedSequence([seed, SPLITS.index(VAL)]))
        stack = self._stack(trees, blend, plan, seed=seed, device="cuda" if gpu else "cpu")
        return BlendedTrees(trees, blend, self.network, stack), history

    def _stack(self, trees: Trees, blend: Blend, plan: TrainConfig, *, seed: int, device: str) -> Stack | None:
        """Return what stands beside the first trees in samples like that of training; None where nothing is drawn."""
        from chromatell.models.nascent._boosting import boost, tree_options

        own, held, ridge = self.own, self.held, self.ridge
        if own is None or held is None or ridge is None or own.ridge is None or held.ridge is None:
            return None
        plain = slice(0, held.plain)
        second, _ = boost(
            (np.concatenate([own.features, own.ridge]), own.targets),
            (np.concatenate([held.features[:, plain], held.ridge[:, plain]]), held.targets[:, plain]),
            replace(plan, max_epochs=min(plan.max_epochs, ROUNDS)),
            tree_options(self.options),
            loss=self.options.loss,
            seed=seed,
            device=device,
            called="bins as they are, and what ridge says of them",
        )
        none = np.zeros(len(own.targets))
        stack = Stack(trees=second, ridge=ridge[0], low=ridge[1], share=none, used=none)
        return held.stacked(trees, blend, stack, self.options.loss)

    def _say_untold(self, names: Sequence[str], plan: TrainConfig) -> None:
        """Say which targets have no validation bins that tell when to stop."""
        if names:
            side = " or they are on one side of the threshold" if self.options.loss == "logistic" else ""
            logger.info(
                "No validation bin of %s is known%s: trees of all %d rounds are kept, as without validation bins.",
                examples(names), side, plan.max_epochs,
            )  # fmt: skip

    def _called(self) -> str:
        """Return what a log line calls the rows: those of 'transfer' may hold a bin several times."""
        if self.carried is None or self.carried.plain == self.train[1].shape[1]:
            return "bins"
        plain = f"{self.carried.plain:,} of them as they are"
        return f"bins, {plain} and the others as other depths and assays would see them"

    def _least_leaf(self) -> dict[str, Any]:
        """Return the least rows of a leaf, of 'transfer' so many more as its samples hold the same bins again."""
        if self.carried is None:
            return {}
        rows, used, every = self.carried.targets.shape[1], self.used["used"], self.used["of"]
        distinct = every * (1 - (1 - min(used / max(every, 1), 1.0)) ** (rows / max(used, 1)))
        return {"min_child_weight": self.options.min_child_weight * max(1.0, rows / max(distinct, 1.0))}


def _stacks(source: Source) -> bool:
    """Return whether a stack is fitted: there are validation bins that choose it, and values, not margins."""
    options, data = source.options, source.data
    return options.stack and options.loss != "hinge" and any(data.usable(c, VAL).any() for c in data.chroms)
