"""``architecture='transfer'``: trees of samples that might have been, blended with the log signal, a CNN, smoothed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from chromatell._keys import TRAIN
from chromatell._validate import ChromatellError
from chromatell.data._other_assays import KINDS, changed
from chromatell.data._tracks_inputs import input_values
from chromatell.data._tracks_smooth import TRUNCATE
from chromatell.data._tracks_table import STRAND
from chromatell.models.nascent._bins import draw_bins
from chromatell.models.nascent._carried_network import (
    PIECES_HOLD,
    REACH,
    CarriedNetwork,
    Pieces,
    around,
    drawn_starts,
)
from chromatell.models.nascent._carry import Assay, Densities, Sample
from chromatell.models.nascent._losses import to_value
from chromatell.models.nascent._smoothing import MOST, PIECE, chosen, smoothed_predictor, tried_widths, width_losses
from chromatell.models.nascent._stack import ALIKE, Held, Stack, ridge_says, ridge_signal
from chromatell.models.nascent._trees import TreeModule, Trees

if TYPE_CHECKING:
    from chromatell.data.tracks import BinnedTracks
    from chromatell.models.nascent._batches import Source
    from chromatell.models.nascent._config import NascentConfig
    from chromatell.models.nascent._evaluation import Predictor
    from chromatell.models.nascent._signal import Signal

NETWORK_SHARE = 0.5  # of the CNN in a prediction, where it is there
_RISES = 0.05  # least correlation of a target with the log signal that it is blended with
_ENOUGH = 4_000_000  # bins of chromosomes that one changed sample is made of
_WEIGHED = 200_000  # validation bins that choose width and share


def bins_beyond(options: NascentConfig, bin_size: int) -> int:
    """Return how far away on each side, in bins, others lie whose windows are read too: for the CNN and to smooth."""
    if not options.carries:
        return 0
    widest = math.ceil(TRUNCATE * max(tried_widths(bin_size))) if options.smooth else 0
    return widest + (REACH if options.cnn else 0)


@dataclass(frozen=True)
class Blend:
    """How much of the smoothed log signal and of the CNN is in a prediction, and over what it is smoothed, float64.

    Attributes
    ----------
    share
        (targets,) of the log signal beside trees: from 0, trees alone, to 1.
    centre
        (1,) mean of the log signal in training.
    level, slope
        (targets,) what the log signal at its mean stands for, and one more of it: it varies as the trees do.
    width
        (targets,) standard deviation, in bins, of the Gaussian that smooths the prediction; 0 smooths nothing.
    network
        (targets,) share of the CNN beside both others, from 0 to 1.
    """

    share: np.ndarray
    centre: np.ndarray
    level: np.ndarray
    slope: np.ndarray
    width: np.ndarray
    network: np.ndarray

    @classmethod
    def of(cls, share: float, trees: np.ndarray, log_signal: np.ndarray, targets: np.ndarray) -> Blend:
        """Return the blend of what trees say (targets, bins) and the log signal (bins,) of unchanged training bins.

        A target that does not rise with the log signal there has none of it.
        """
        spread = float(log_signal.std())
        slope = trees.astype(np.float64).std(axis=1) / spread if spread > 0 else np.zeros(len(trees))
        centre = np.array([log_signal.mean()])
        shares = [share if _correlation(y, log_signal) > _RISES else 0.0 for y in targets]
        none = np.zeros(len(trees))
        return cls(np.array(shares), centre, trees.mean(axis=1, dtype=np.float64), slope, none, none.copy())

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the fields by name, width and share of a CNN only where there is any: older releases know none."""
        arrays = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: x for name, x in arrays.items() if name not in ("width", "network") or x.any()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], n_targets: int) -> Blend:
        """Return it of stored fields; raise where they are none of so many targets."""
        blend = cls(**{"width": np.zeros(n_targets), "network": np.zeros(n_targets), **arrays})
        blend._check(n_targets)
        return blend

    def _check(self, n_targets: int) -> None:
        for name in (f.name for f in fields(self)):
            shape = (1,) if name == "centre" else (n_targets,)
            array = getattr(self, name)
            if array.shape != shape or array.dtype != np.float64 or not np.isfinite(array).all():
                raise ChromatellError(f"The stored blend has a wrong {name!r}. Ask for the file again, or train anew.")
        low = min(x.min() for x in (self.share, self.slope, self.width, self.network))
        if low < 0 or max(self.share.max(), self.network.max()) > 1 or self.width.max() > MOST:
            raise ChromatellError("The stored blend is out of range. Ask for the file again, or train anew.")

    def described(self, targets: Sequence[str], bin_size: int) -> dict[str, dict[str, float]]:
        """Return of each target over how many bp its prediction is smoothed, and the share of the CNN in it."""
        said = {"smoothing": self.width * bin_size, "cnn_share": self.network}
        return {name: dict(zip(targets, x.tolist(), strict=True)) for name, x in said.items()}

    def apply(self, trees: np.ndarray, log_signal: np.ndarray, network: np.ndarray | None = None) -> np.ndarray:
        """Return float32 (targets, bins) of what trees and the network say of each."""
        simple = self.level[:, np.newaxis] + self.slope[:, np.newaxis] * (log_signal - self.centre)
        share = self.share[:, np.newaxis]
        return self.beside_network((1 - share) * trees + share * simple, network)

    def beside_network(self, others: np.ndarray, network: np.ndarray | None) -> np.ndarray:
        """Return float32 (targets, bins) of what else is said and, where there is one, of the network."""
        if network is not None:
            beside = self.network[:, np.newaxis]
            others = (1 - beside) * others + beside * network
        return others.astype(np.float32)


class BlendedTrees(TreeModule):
    """Trees, their blend and perhaps a CNN and a stack, where the other architectures hold a network."""

    def __init__(
        self, trees: Trees, blend: Blend, network: CarriedNetwork | None = None, stack: Stack | None = None
    ) -> None:
        super().__init__(trees)
        self.blend = blend
        self.network = network if blend.network.any() else None
        self.stack = stack if stack is not None and stack.used.any() else None

    def described(self, targets: Sequence[str], bin_size: int) -> dict[str, dict[str, Any]]:
        """Return what a card says of each target: smoothing, and the shares of the CNN and of ridge."""
        stack = dict.fromkeys(targets) if self.stack is None else self.stack.described(targets)
        return {**self.blend.described(targets, bin_size), "ridge_share": stack}


def blended_predictor(module: BlendedTrees, signal: Densities, kind: str, own: Signal | None = None) -> Predictor:
    """Return what predicts some bins of one chromosome.

    `own` is what the ridge of the stack reads, as `ridge_signal` gives it: of a sample like that of training.
    """
    stack = None if own is None else module.stack

    def blended(columns: slice) -> np.ndarray:
        alike = signal.silent(columns)
        alone = np.flatnonzero(~alike)
        if alike.any():  # one bin without any signal stands for all of them
            alone = np.append(alone, np.flatnonzero(alike)[0])
        said = None
        if module.network is None:
            features = signal.features(columns.start + alone)
        else:
            features = signal.features(around(columns, signal.n_bins))
            said, features = module.network.output(features), features[:, REACH + alone]

        def spread(values: np.ndarray) -> np.ndarray:
            block = np.empty((values.shape[0], alike.size), dtype=np.float32)
            block[:, alike] = values[:, -1:]
            block[:, alone] = values
            return block

        trees = spread(module.trees.predict(features))
        value = _value(kind, module.blend.apply(trees, signal.log_signal(columns), said))
        if stack is None or own is None:
            return value
        ridge = stack.said(own, columns.start + alone)
        second = spread(stack.trees.predict(np.concatenate([features, ridge])))
        both = module.blend.beside_network((trees + second) / 2, said)
        return stack.apply(value, _value(kind, both), spread(ridge))

    return smoothed_predictor(blended, module.blend.width, signal.n_bins)


def _value(kind: str, output: np.ndarray) -> np.ndarray:
    return to_value(kind, torch.from_numpy(output)).numpy()


@dataclass(frozen=True)
class CarriedBins:
    """Bins of samples that might have been.

    Attributes
    ----------
    features, targets, log_signal
        (features, bins), (targets, bins), scaled, and (bins,).
    at
        int64 (bins,): where each lies; those with the same ``at // PIECE`` are of one sample and chromosome.
    plain
        How many of the first are unchanged.
    network
        What the CNN says of these bins, (targets, bins), where there is one.
    ridge, peaks
        What the ridge of a stack says, and which bins hold a peak, (targets, bins); None where there is no stack.
    kinds
        int64 (bins,): which of the samples each is of, a place in `KINDS`.
    """

    features: np.ndarray
    targets: np.ndarray
    log_signal: np.ndarray
    at: np.ndarray
    plain: int
    network: np.ndarray | None = None
    ridge: np.ndarray | None = None
    peaks: np.ndarray | None = None
    kinds: np.ndarray | None = None

    def stacked(self, trees: Trees, blend: Blend, stack: Stack, loss: str) -> Stack:
        """Return the stack as these validation bins choose it."""
        if self.ridge is None or self.peaks is None or self.kinds is None:
            raise ChromatellError("What ridge says of the validation bins is not known: draw them with it.")
        rows = np.flatnonzero(np.isin(self.kinds, [KINDS.index(kind) for kind in ALIKE]))
        features, ridge = self.features[:, rows], self.ridge[:, rows]
        network = None if self.network is None else self.network[:, rows]
        first, second = trees.predict(features), stack.trees.predict(np.concatenate([features, ridge]))
        held = Held(
            targets=self.targets[:, rows],
            peaks=self.peaks[:, rows],
            at=self.at[rows],
            kinds=self.kinds[rows],
            value=_value(loss, blend.apply(first, self.log_signal[rows], network)),
            trees=_value(loss, blend.beside_network((first + second) / 2, network)),
            ridge=ridge,
        )
        return stack.chosen(held, blend.width)

    def chosen(self, trees: Trees, blend: Blend, options: NascentConfig, seed: np.random.SeedSequence) -> Blend:
        """Return a blend with the share of the CNN and the width that have the least loss in these bins, or some.

        Both stay as they are for a target that is known in none of them.
        """
        piece = self.at // PIECE
        unchanged = np.unique(piece[: self.plain])
        others = np.random.default_rng(seed).permutation(np.setdiff1d(piece, unchanged))
        rows = np.flatnonzero(np.isin(piece, np.concatenate([unchanged, others])[: _WEIGHED // PIECE]))
        said, signal = trees.predict(self.features[:, rows]), self.log_signal[rows]
        network = None if self.network is None else self.network[:, rows]
        widths = tried_widths(options.bin_size) if options.smooth else [0.0]
        losses, tried = [], []
        for share in (0.0,) if network is None else (0.0, NETWORK_SHARE):
            shares = np.full(len(said), share)
            blended = _value(options.loss, replace(blend, network=shares).apply(said, signal, network))
            plain = rows < self.plain
            losses.append(width_losses(blended, self.targets[:, rows], self.at[rows], plain, widths, options.loss))
            tried += [(share, width) for width in widths]
        every, unchanged = (np.concatenate(x, axis=1) for x in zip(*losses, strict=True))
        best = np.array(tried)[chosen(every, unchanged)]
        told = np.isfinite(self.targets[:, rows]).any(axis=1)
        kept = np.stack([blend.network, blend.width], axis=1)
        best = np.where(told[:, np.newaxis], best, kept)
        return replace(blend, network=best[:, 0], width=best[:, 1])


def samples_of(options: NascentConfig) -> int:
    """Return how many samples that might have been share the bins."""
    return len(KINDS) if options.augment else 1


def samples(
    source: Source, assays: Sequence[Assay], split: str, seed: np.random.SeedSequence
) -> Iterator[tuple[str, np.random.SeedSequence, dict[str, np.ndarray], Sample]]:
    """Yield samples that might have been: kind, seed, inputs of each chromosome (inputs, bins), and their scale.

    A sample is made of chromosomes with usable bins of a part, in a random order until they hold enough bins, so that
    memory does not grow with the genome. One with so few reads that nothing is left of an assay is left out.
    """
    data, options, sample = source.data, source.options, source.sample
    if sample is None:
        raise ChromatellError("The scale of the sample is not known: fit it first.")
    strands = [str(s) for s in data.table.loc[list(source.inputs), STRAND]]
    kinds = KINDS if options.augment else KINDS[:1]
    for kind, stream in zip(kinds, seed.spawn(len(kinds)), strict=True):
        rng = np.random.default_rng(stream)
        values = {}
        for chrom in _some(data, split, rng):
            own = input_values(data, chrom, source.inputs)
            values[chrom] = changed(own, kind, strands, sample.scale[0, 2], data.bin_size, rng)
        usable = {c: data.usable(c, split) for c in values}
        if any(not sum(v[list(a.rows)][:, usable[c]].sum() for c, v in values.items()) > 0 for a in assays):
            continue
        scale = Sample.of(((v, usable[c]) for c, v in values.items()), assays, options.window, options.ranks)
        yield kind, stream, values, scale


def carried_bins(
    source: Source,
    assays: Sequence[Assay],
    split: str,
    most: int,
    seed: np.random.SeedSequence,
    *,
    pieces: Pieces | None = None,
    network: CarriedNetwork | None = None,
    ridge: tuple[np.ndarray, np.ndarray] | None = None,
) -> CarriedBins | None:
    """Return bins of a part as several samples that might have been see them; None where the part has none.

    Each kind draws bins of its own, validation bins in pieces, and at most `most` are drawn in all. `pieces` takes up
    pieces of the same samples, which train the CNN; `network` is one that says what it makes of the bins; `ridge` holds
    the weights of a regression that does so too, and the least value of each target.
    """
    data, options = source.data, source.options
    parts: dict[str, list[np.ndarray]] = {}
    plain = first = 0
    share = max(most // samples_of(options), 1)
    for kind, stream, values, scale in samples(source, assays, split, seed):
        own, piece = data.select(chroms=list(values)), 1 if split == TRAIN else PIECE
        at, _ = draw_bins(own, split, share, stream.spawn(1)[0], piece=piece, say=False)
        usable = {c: data.usable(c, split) for c in at}
        starts: dict[str, list[int]] = {}
        if pieces is not None:
            starts = drawn_starts(usable, PIECES_HOLD * share, np.random.default_rng(stream.spawn(1)[0]))
        for chrom, bins in at.items():
            raw, y = values.pop(chrom), source.y(chrom)
            signal = Densities(raw, assays, scale, options.window)
            if pieces is not None:
                pieces.add(signal, y, usable[chrom], starts[chrom])
            of_bins = {
                "features": signal.features(bins),
                "targets": y[:, bins],
                "log_signal": signal.log_signal(bins),
                "at": first + bins,
                "kinds": np.full(bins.size, KINDS.index(kind)),
            }
            if network is not None:
                of_bins["network"] = _said(network, signal, bins)
            if ridge is not None:
                of_bins["ridge"] = ridge_says(*ridge, ridge_signal(raw, assays, scale, options.window), bins)
                of_bins["peaks"] = source.peaks(chrom)[:, bins]
            for name, part in of_bins.items():
                parts.setdefault(name, []).append(part)
            plain += bins.size if kind == KINDS[0] else 0
            first += -(-signal.n_bins // PIECE) * PIECE
        if pieces is not None and kind == KINDS[0]:
            pieces.plain = len(pieces.x)
    if not parts:
        return None
    return CarriedBins(plain=plain, **{name: np.concatenate(part, axis=-1) for name, part in parts.items()})


def _said(network: CarriedNetwork, signal: Densities, bins: np.ndarray) -> np.ndarray:
    """Return what the network says of some bins, which lie in pieces, float32 (targets, bins)."""
    outputs = []
    for piece in np.unique(bins // PIECE):
        columns = slice(piece * PIECE, min((piece + 1) * PIECE, signal.n_bins))
        own = bins[bins // PIECE == piece] - columns.start
        outputs.append(network.output(signal.features(around(columns, signal.n_bins)))[:, own])
    return np.concatenate(outputs, axis=1)


def _correlation(y: np.ndarray, x: np.ndarray) -> float:
    known = np.isfinite(y)
    y, x = y[known].astype(np.float64), x[known]
    return 0.0 if y.size < 2 or y.std() == 0 or x.std() == 0 else float(np.corrcoef(y, x)[0, 1])


def _some(data: BinnedTracks, split: str, rng: np.random.Generator) -> list[str]:
    """Return chromosomes with usable bins of a part, in a random order, until they have enough bins."""
    chroms: list[str] = []
    for chrom in rng.permutation(data.chroms).tolist():
        if sum(data.n_bins_of(c) for c in chroms) >= _ENOUGH:
            break
        if data.usable(chrom, split).any():
            chroms.append(chrom)
    return chroms
