"""``architecture='transfer'``: trees of samples that might have been, blended with the log signal and smoothed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
import torch

from chromatell._keys import TRAIN
from chromatell._validate import ChromatellError
from chromatell.data._other_assays import KINDS, changed
from chromatell.data._tracks_inputs import input_values
from chromatell.data._tracks_table import STRAND
from chromatell.models.nascent._bins import draw_bins
from chromatell.models.nascent._carry import Assay, Densities, Sample
from chromatell.models.nascent._losses import to_value
from chromatell.models.nascent._smoothing import MOST, PIECE, chosen_widths, smoothed_predictor, tried_widths
from chromatell.models.nascent._trees import TreeModule, Trees

if TYPE_CHECKING:
    from chromatell.data.tracks import BinnedTracks
    from chromatell.models.nascent._batches import Source
    from chromatell.models.nascent._config import NascentConfig
    from chromatell.models.nascent._evaluation import Predictor

_RISES = 0.05  # least correlation of a target with the log signal that it is blended with
_ENOUGH = 4_000_000  # bins of chromosomes that one changed sample is made of
_WEIGHED = 200_000  # validation bins that choose the width


@dataclass(frozen=True)
class Blend:
    """How much of the smoothed log signal is in a prediction, and over what that is smoothed, float64.

    Attributes
    ----------
    share
        (targets,) from 0, trees alone, to 1.
    centre
        (1,) mean of the log signal in training.
    level, slope
        (targets,) what the log signal at its mean stands for, and one more of it: it varies as the trees do.
    width
        (targets,) standard deviation, in bins, of the Gaussian that smooths the prediction; 0 smooths nothing.
    """

    share: np.ndarray
    centre: np.ndarray
    level: np.ndarray
    slope: np.ndarray
    width: np.ndarray

    @classmethod
    def of(cls, share: float, trees: np.ndarray, log_signal: np.ndarray, targets: np.ndarray) -> Blend:
        """Return the blend of what trees say (targets, bins) and the log signal (bins,) of unchanged training bins.

        A target that does not rise with the log signal there has none of it.
        """
        spread = float(log_signal.std())
        slope = trees.astype(np.float64).std(axis=1) / spread if spread > 0 else np.zeros(len(trees))
        centre = np.array([log_signal.mean()])
        shares = [share if _correlation(y, log_signal) > _RISES else 0.0 for y in targets]
        return cls(np.array(shares), centre, trees.mean(axis=1, dtype=np.float64), slope, np.zeros(len(trees)))

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the fields by name, the width only where it smooths: releases before it know none."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "width" or self.width.any()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], n_targets: int) -> Blend:
        """Return it of stored fields; raise where they are none of so many targets."""
        blend = cls(**{"width": np.zeros(n_targets), **arrays})
        blend._check(n_targets)
        return blend

    def _check(self, n_targets: int) -> None:
        for name in (f.name for f in fields(self)):
            shape = (1,) if name == "centre" else (n_targets,)
            array = getattr(self, name)
            if array.shape != shape or array.dtype != np.float64 or not np.isfinite(array).all():
                raise ChromatellError(f"The stored blend has a wrong {name!r}. Ask for the file again, or train anew.")
        low = min(self.share.min(), self.slope.min(), self.width.min())
        if low < 0 or self.share.max() > 1 or self.width.max() > MOST:
            raise ChromatellError("The stored blend is out of range. Ask for the file again, or train anew.")

    def apply(self, trees: np.ndarray, log_signal: np.ndarray) -> np.ndarray:
        """Return float32 (targets, bins)."""
        simple = self.level[:, np.newaxis] + self.slope[:, np.newaxis] * (log_signal - self.centre)
        share = self.share[:, np.newaxis]
        return ((1 - share) * trees + share * simple).astype(np.float32)


class BlendedTrees(TreeModule):
    """Trees and their blend, where the other architectures hold a network."""

    def __init__(self, trees: Trees, blend: Blend) -> None:
        super().__init__(trees)
        self.blend = blend


def blended_predictor(module: BlendedTrees, signal: Densities, kind: str) -> Predictor:
    """Return what predicts some bins of one chromosome."""

    def blended(columns: slice) -> np.ndarray:
        alike = signal.silent(columns)
        alone = np.flatnonzero(~alike)
        if alike.any():  # one bin without any signal stands for all of them
            alone = np.append(alone, np.flatnonzero(alike)[0])
        found = module.trees.predict(signal.features(columns.start + alone))
        block = np.empty((found.shape[0], alike.size), dtype=np.float32)
        block[:, alike] = found[:, -1:]
        block[:, alone] = found
        return _value(kind, module.blend.apply(block, signal.log_signal(columns)))

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
    """

    features: np.ndarray
    targets: np.ndarray
    log_signal: np.ndarray
    at: np.ndarray
    plain: int

    def smoothing(self, trees: Trees, blend: Blend, options: NascentConfig, seed: np.random.SeedSequence) -> np.ndarray:
        """Return the width of each target with the least loss in these bins, or in some pieces of them."""
        piece = self.at // PIECE
        unchanged = np.unique(piece[: self.plain])
        others = np.random.default_rng(seed).permutation(np.setdiff1d(piece, unchanged))
        rows = np.flatnonzero(np.isin(piece, np.concatenate([unchanged, others])[: _WEIGHED // PIECE]))
        output = blend.apply(trees.predict(self.features[:, rows]), self.log_signal[rows])
        found, tried = _value(options.loss, output), tried_widths(options.bin_size)
        return chosen_widths(found, self.targets[:, rows], self.at[rows], rows < self.plain, tried, options.loss)


def carried_bins(
    source: Source, assays: Sequence[Assay], split: str, most: int, seed: np.random.SeedSequence
) -> CarriedBins | None:
    """Return bins of a part as several samples that might have been see them; None where the part has none.

    Each kind draws bins of its own, validation bins in pieces, and at most `most` are drawn in all. A sample is made of
    chromosomes in a random order until they hold enough bins, so that memory does not grow with the genome.
    """
    data, options, sample = source.data, source.options, source.sample
    if sample is None:
        raise ChromatellError("The scale of the sample is not known: fit it first.")
    strands = [str(s) for s in data.table.loc[list(source.inputs), STRAND]]
    kinds = KINDS if options.augment else KINDS[:1]
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]] = []
    plain = first = 0
    for kind, stream in zip(kinds, seed.spawn(len(kinds)), strict=True):
        rng = np.random.default_rng(stream)
        chroms = _some(data, split, rng)
        if not chroms:
            return None
        values = {}
        for chrom in chroms:
            own = input_values(data, chrom, source.inputs)
            values[chrom] = changed(own, kind, strands, sample.scale[0, 2], data.bin_size, rng)
        usable = {c: data.usable(c, split) for c in values}
        if any(not sum(v[list(a.rows)][:, usable[c]].sum() for c, v in values.items()) > 0 for a in assays):
            continue  # so few reads that nothing is left
        scale = Sample.of(((v, usable[c]) for c, v in values.items()), assays, options.window, options.ranks)
        share = max(most // len(kinds), 1)
        piece = 1 if split == TRAIN else PIECE
        at, _ = draw_bins(data.select(chroms=chroms), split, share, stream.spawn(1)[0], piece=piece, say=False)
        for chrom, bins in at.items():
            signal = Densities(values.pop(chrom), assays, scale, options.window)
            parts.append((signal.features(bins), source.y(chrom)[:, bins], signal.log_signal(bins), first + bins))
            plain += bins.size if kind == KINDS[0] else 0
            first += -(-signal.n_bins // PIECE) * PIECE
    if not parts:
        return None
    features, targets, log_signal, places = (np.concatenate([p[i] for p in parts], axis=-1) for i in range(4))
    return CarriedBins(features, targets, log_signal, places, plain)


def _correlation(y: np.ndarray, x: np.ndarray) -> float:
    known = np.isfinite(y)
    y, x = y[known].astype(np.float64), x[known]
    return 0.0 if y.size < 2 or y.std() == 0 or x.std() == 0 else float(np.corrcoef(y, x)[0, 1])


def _some(data: BinnedTracks, split: str, rng: np.random.Generator) -> list[str]:
    """Return chromosomes with usable bins of a part, in a random order, until they have enough bins."""
    found: list[str] = []
    for chrom in rng.permutation(data.chroms).tolist():
        if sum(data.n_bins_of(c) for c in found) >= _ENOUGH:
            break
        if data.usable(chrom, split).any():
            found.append(chrom)
    return found
