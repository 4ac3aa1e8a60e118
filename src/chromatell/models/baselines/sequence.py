"""Baselines of a region whose ATAC was never seen: what GC, CpG, words, motifs and the nearest TSS say of it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from anndata import AnnData

from chromatell._keys import DNA, TRAIN, TSS_DISTANCE, VAL
from chromatell._validate import ChromatellError, region_split_of
from chromatell.data.accessibility import open_matrix, selected
from chromatell.genome.kmers import kmer_shares
from chromatell.genome.region_covariates import motif_matches
from chromatell.models.baselines.cell_data import CellData
from chromatell.models.baselines.protocol import PENALTIES, Axis, Baseline, Option, register, tune
from chromatell.models.baselines.sequence_features import Features, PartialRidge, Reads

GRID = Axis((*PENALTIES, np.inf), 1e3, (True, True))  # from least squares to no use of the words
MIN_REGIONS = 20  # training regions with a sequence
_MAX_REGIONS = 50_000  # of them that are used
_ROWS = 1_024  # windows taken at a time
_STEEPEST = 4.0  # of the log rate, by which a cell may differ from the others


def tokens_of(atac: AnnData) -> np.ndarray:
    """Return ``atac.varm['dna_code']``, int8 (n_regions, width), checked."""
    if DNA not in atac.varm:
        raise ChromatellError(
            f"Did not find mdata.mod['atac'].varm[{DNA!r}], the sequence of each region. Run "
            "ctl.pp.add_sequence(mdata, 'genome.fa') first."
        )
    tokens = np.asarray(atac.varm[DNA])
    if tokens.ndim != 2 or tokens.dtype.kind not in "iu" or tokens.size == 0 or tokens.min() < 0 or tokens.max() > 4:
        raise ChromatellError(
            f"mdata.mod['atac'].varm[{DNA!r}] has dtype {tokens.dtype} and shape {tokens.shape}; whole numbers 0 to 4 "
            "(A C G T N), n_regions x width, are needed. Run ctl.pp.add_sequence(mdata, 'genome.fa') again."
        )
    return tokens


class Sequences:
    """What the baselines that read sequence share: training and validation regions, and the cells' factors.

    Regions are split by ``atac.var['ctl_split']``; all are training regions without it. At most 50,000 of a part are
    used, of those that are selected and have a known base.
    """

    def __init__(self, data: CellData) -> None:
        self.data = data
        self.tokens = tokens_of(data.atac)
        var = data.atac.var
        self.distance = var[TSS_DISTANCE].to_numpy(np.float64) if TSS_DISTANCE in var else None
        self.factors = cell_factors(data.design, data.train, data.predicted_ratio)

    @cached_property
    def shown(self) -> tuple[Regions, Regions]:
        """Training and validation regions."""
        data, found = self.data, []
        split, usable = region_split_of(data.atac), selected(data.atac)
        for part in (TRAIN, VAL):
            places = np.flatnonzero((split == part) & usable)
            places = places[(self.tokens[places] < 4).any(axis=1)]
            if places.size > _MAX_REGIONS:
                places = np.sort(np.random.default_rng(data.seed).choice(places, _MAX_REGIONS, replace=False))
            truth = open_matrix(data.atac, data.train, places)
            found.append(Regions.read(*self.at(places), truth, self.factors[data.train]))
        if len(found[0].n_open) < MIN_REGIONS:
            raise ChromatellError(
                f"{len(found[0].n_open)} training regions have a sequence; a baseline that reads sequence needs "
                f"{MIN_REGIONS}. Run ctl.pp.split_regions(mdata) with a larger share for training, or leave it out."
            )
        return found[0], found[1]

    def at(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the tokens of regions, and their distance to the nearest TSS; None where that is not known."""
        return self.tokens[places], None if self.distance is None else self.distance[places]


class SequenceBaseline(Baseline):
    """A baseline that knows a region by its sequence. `predict` takes positions of cells and of all regions."""

    reads_region_atac = False
    responds: ClassVar[bool] = False  # whether sequence says how a region responds to expression
    data: CellData

    @classmethod
    def possible(cls, data: CellData) -> bool:
        """Sequences of enough training regions are needed."""
        return DNA in data.atac.varm and data.n_train_regions >= MIN_REGIONS

    @property
    @abstractmethod
    def reads(self) -> Reads:
        """What is read of a region."""

    def fit(self) -> None:
        """Fit the rates to the training regions; what is tuned is chosen by regions, not by cells."""
        data = self.data
        sequences = data.shared("sequences", lambda: Sequences(data))
        train, val = sequences.shown
        rates = SequenceRates(self.reads, train, data.train.size, val, responds=self.responds, name=self.name)
        if self.tuned:
            self.chosen = {"": (rates.penalty,)}
        self._factors = sequences.factors
        self._rate, self._response = rates.predict(*sequences.at(data.places))

    def predict(self, rows: np.ndarray, cols: Any, option: Any) -> np.ndarray:
        """Return probabilities from the sequences, float64 (rows, regions)."""
        ratio = self.data.predicted_ratio[rows]
        return probability(self._rate[cols], self._response[cols], self._factors[rows], ratio)


@register
class Gc(SequenceBaseline):
    """GC content."""

    name = "gc"
    about = "region mean from the GC content of its sequence, x the cell's predicted depth (needs pp.add_sequence)"
    reads = Reads(1)


@register
class GcCpg(SequenceBaseline):
    """GC content and CpG."""

    name, about = "gc_cpg", "the same from GC content and CpG, observed over expected"
    reads = Reads(2)


@register
class GcCpgTss(SequenceBaseline):
    """GC content, CpG and the distance to the nearest transcription start site."""

    name = "gc_cpg_tss"
    about = "the same from GC content, CpG and log distance to the nearest TSS (needs pp.annotate_regions)"
    reads = Reads(2, near=True)

    @classmethod
    def possible(cls, data: CellData) -> bool:
        """Distances are needed too."""
        return super().possible(data) and TSS_DISTANCE in data.atac.var

    def fit(self) -> None:
        """Check that distances are there."""
        if TSS_DISTANCE not in self.data.atac.var:
            raise ChromatellError(
                f"The baseline 'gc_cpg_tss' needs mdata.mod['atac'].var[{TSS_DISTANCE!r}]. Run "
                "ctl.pp.annotate_regions(mdata, 'genes.gtf.gz') first, or leave it out."
            )
        super().fit()


@register
class KmerRidge(SequenceBaseline):
    """GC, CpG and 5-mers, and what they say of a region's response to expression."""

    name, tuned, responds = "kmer_ridge", ("alpha",), True
    about = "ridge regression from GC, CpG and 5-mers to the region's mean and to its response to expression"
    reads = Reads(2, words=kmer_shares)


@register
class MotifRidge(SequenceBaseline):
    """GC, CpG, the distance to the nearest TSS where it is known, and the motifs that the user gave."""

    name, tuned, responds = "motif_ridge", ("alpha",), True
    about = "the same from GC, CpG, log distance to the nearest TSS where known, and matches of motifs (needs motifs=)"

    @classmethod
    def possible(cls, data: CellData) -> bool:
        """Motifs are needed too."""
        return super().possible(data) and data.motifs is not None

    @property
    def reads(self) -> Reads:
        """Counts and best scores of the motifs beside what `gc_cpg_tss` reads."""
        motifs = self.data.motifs
        if motifs is None:
            raise ChromatellError(
                "The baseline 'motif_ridge' needs motifs: a file in MEME format, names or ids of JASPAR, or "
                "ctl.genome.motifs.family_motifs(). Pass motifs='motifs.meme', or leave it out."
            )
        return Reads(2, near=True, words=lambda tokens: motif_words(tokens, motifs))


def motif_words(tokens: np.ndarray, motifs: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the log of one plus the hits of each motif, and its best score (NaN where it fits nowhere), (n, 2 p)."""
    counts, best = motif_matches(tokens, motifs)
    return np.concatenate([np.log1p(counts), best], axis=1)


@dataclass(frozen=True)
class Regions:
    """Regions with their sequence and what the training cells show of them.

    Attributes
    ----------
    tokens
        int8 (n, width).
    n_open
        float64 (n,), training cells in which each is open.
    covariance
        float64 (n, k), mean over the training cells of open x each cell factor.
    distance
        float64 (n,), bp to the nearest TSS; None where that is not known.
    """

    tokens: np.ndarray
    n_open: np.ndarray
    covariance: np.ndarray
    distance: np.ndarray | None = None

    @classmethod
    def read(
        cls, tokens: np.ndarray, distance: np.ndarray | None, truth: sp.csr_matrix, factors: np.ndarray
    ) -> Regions:
        """Return them from `truth`, CSR (training cells, n), and `factors` (training cells, k)."""
        by_region = truth.T.tocsr()
        n_open = np.asarray(truth.sum(axis=0), dtype=np.float64).ravel()
        return cls(tokens, n_open, (by_region @ factors) / len(factors), distance)


class SequenceRates:
    """Log rate of a region in a cell, from the region's sequence and the cell's factors.

    ``rate = depth ratio x exp(a + b mean(sequence) + factors . response(sequence))``, ``P(open) = 1 - exp(-rate)``.

    Parameters
    ----------
    reads
        What is read of a region.
    train
        Training regions.
    n_cells
        Training cells.
    val
        Validation regions. Penalties are chosen on them and on the training regions, each left out in turn.
    responds
        Whether there is a response; without, a region is the same in all cells but for their depth.
    name
        Name of the baseline, for what the tuner says.

    Notes
    -----
    The mean is the complementary log-log of the share of cells, with half a cell added, weighted by the inverse of one
    unit of variance between regions plus the Poisson variance. The map ``a + b`` of predictions that leave the region
    out is fitted to the shares by complementary log-log regression, which keeps probabilities calibrated. The response
    to a factor is a region's covariance with it over the derivative of the link, weighted by its information; here GC
    and CpG pay the penalty too, and each factor has one of its own, infinite where sequence says nothing of it. One
    slope for all, that of the truth on left-out predictions, makes up for what the penalties shrink too much.
    """

    def __init__(
        self,
        reads: Reads,
        train: Regions,
        n_cells: int,
        val: Regions | None = None,
        *,
        responds: bool = False,
        name: str = "sequence",
    ) -> None:
        self._features, (free, penalised) = Features.fit(reads, train.tokens, train.distance)
        target, weight = _log_rate(train.n_open, n_cells)
        held = None
        if val is not None:
            held = self._features(val.tokens, val.distance), *_log_rate(val.n_open, n_cells)
        ridge = PartialRidge(free, penalised, target[:, None], weight)
        alpha = choose(name, ridge, target[:, None], weight, held)
        self._mean = ridge.at(alpha)
        self.penalty = float(alpha[0])
        self._map = _complementary_log_log(ridge.left_out(alpha)[:, 0], train.n_open / n_cells)
        self._response: tuple[np.ndarray, np.ndarray] | None = None
        self.penalties = np.zeros(0)
        if responds and train.covariance.shape[1]:
            target, weight = _response(train, n_cells)
            if held is not None and val is not None:
                held = (_all_penalised(*held[0]), *_response(val, n_cells))
            ridge = PartialRidge(*_all_penalised(free, penalised), target, weight)
            self.penalties = choose(name, ridge, target, weight, held)
            slope = _slope(ridge.left_out(self.penalties), target, weight)
            self._response = (slope * ridge.at(self.penalties)[0], slope * ridge.at(self.penalties)[1])

    def predict(self, tokens: np.ndarray, distance: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return the log rate of each region, float64 (n,), and its response to the factors (n, k); k may be 0."""
        rate, response = np.empty(len(tokens)), []
        for a in range(0, len(tokens), _ROWS):
            part = None if distance is None else distance[a : a + _ROWS]
            free, penalised = self._features(tokens[a : a + _ROWS], part)
            rate[a : a + _ROWS] = self._map[0] + self._map[1] * _apply(self._mean, free, penalised)[:, 0]
            if self._response is not None:
                response.append(_apply(self._response, *_all_penalised(free, penalised)))
        return rate, np.concatenate(response) if response else np.zeros((len(tokens), 0))


def probability(rate: np.ndarray, response: np.ndarray, factors: np.ndarray, ratio: np.ndarray) -> np.ndarray:
    """Return the probability of being open, float64 (cells, regions).

    Parameters
    ----------
    rate, response
        Rates and responses of the regions, from :meth:`SequenceRates.predict`.
    factors, ratio
        Factors of the cells, (cells, k), and their depth over its mean, (cells,).
    """
    own = factors[:, : response.shape[1]] @ response.T
    # factors have unit variance: without the second term a region that differs between cells would be open more often
    own = np.clip(own, -_STEEPEST, _STEEPEST) - (response**2).sum(axis=1) / 2
    return -np.expm1(-ratio[:, None] * np.exp(np.minimum(rate + own, 50.0)))


def choose(
    name: str,
    ridge: PartialRidge,
    target: np.ndarray,
    weight: np.ndarray,
    held: tuple[tuple[np.ndarray, np.ndarray], np.ndarray, np.ndarray] | None,
) -> np.ndarray:
    """Return for each target the penalty of the smallest weighted squared error, of left-out rows and of `held`."""
    n = target.shape[1]

    def losses(option: Option) -> dict[str, float]:
        every = np.full(n, option[0])
        error = (weight[:, None] * (ridge.left_out(every) - target) ** 2).sum(axis=0)
        if held is not None:
            inputs, true, w = held
            error += (w[:, None] * (_apply(ridge.at(every), *inputs) - true.reshape(-1, n)) ** 2).sum(axis=0)
        return {str(j): float(e) for j, e in enumerate(error)}

    chosen = tune(name, {"alpha": GRID}, losses)
    return np.array([chosen.get(str(j), (GRID.usual,))[0] for j in range(n)])


def cell_factors(design: np.ndarray, train: np.ndarray, ratio: np.ndarray) -> np.ndarray:
    """Return what expression says of a cell beyond its predicted depth, of unit variance in the training cells.

    Parameters
    ----------
    design
        float64 (cells, d), components of expression.
    train
        Places of the training cells.
    ratio
        (cells,), predicted depth over its mean; each column's linear part in it is taken out.

    Returns
    -------
    numpy.ndarray, float32 (cells, k)
        Uncorrelated in the training cells; k <= d.
    """
    depth = np.column_stack([np.ones(len(ratio)), ratio])
    weights, *_ = np.linalg.lstsq(depth[train], design[train], rcond=None)
    rest = design - depth @ weights
    values, vectors = np.linalg.eigh(rest[train].T @ rest[train])
    held = values > 1e-6 * max(float(values.max(initial=0)), 1e-12)
    return (rest @ (vectors[:, held] / np.sqrt(values[held])) * np.sqrt(train.size)).astype(np.float32)


def _all_penalised(free: np.ndarray, penalised: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.zeros((len(free), 0)), np.column_stack([free, penalised])


def _apply(weights: tuple[np.ndarray, np.ndarray], free: np.ndarray, penalised: np.ndarray) -> np.ndarray:
    return weights[0][0] + free @ weights[0][1:] + penalised @ weights[1]


def _log_rate(n_open: np.ndarray, n_cells: int) -> tuple[np.ndarray, np.ndarray]:
    share = np.minimum((n_open + 0.5) / (n_cells + 1), 1 - 0.5 / (n_cells + 1))
    return np.log(-np.log1p(-share)), 1.0 / (1.0 + 1.0 / (n_open + 0.5))


def _response(regions: Regions, n_cells: int) -> tuple[np.ndarray, np.ndarray]:
    share = np.clip((regions.n_open + 0.5) / (n_cells + 1), None, 1 - 0.5 / (n_cells + 1))
    slope = -(1 - share) * np.log1p(-share)  # of the probability in the log rate
    return regions.covariance / slope[:, None], slope**2 / (share * (1 - share))


def _slope(predicted: np.ndarray, target: np.ndarray, weight: np.ndarray) -> float:
    """Return the weighted slope of `target` on `predicted` through the origin, within 0 to 2."""
    size = float((weight[:, None] * predicted**2).sum())
    return float(np.clip((weight[:, None] * predicted * target).sum() / size, 0, 2)) if size > 0 else 1.0


def _complementary_log_log(x: np.ndarray, share: np.ndarray, steps: int = 50) -> tuple[float, float]:
    """Return intercept and slope of ``log(-log(1 - p))`` on `x`, by Fisher scoring; a negative slope is set to 0."""
    flat = float(np.log(-np.log1p(-np.clip(share.mean(), 1e-9, 1 - 1e-9))))
    if x.std() < 1e-9:
        return flat, 0.0
    centre, scale = x.mean(), x.std()
    design = np.column_stack([np.ones(x.size), (x - centre) / scale])
    w = np.array([flat, 0.0])
    for _ in range(steps):
        rate = np.exp(np.clip(design @ w, -30, 3))
        p = np.clip(-np.expm1(-rate), 1e-9, 1 - 1e-9)
        slope = rate * (1 - p)
        information = slope**2 / (p * (1 - p))
        matrix = (design * information[:, None]).T @ design + 1e-9 * np.eye(2)
        step = np.clip(np.linalg.solve(matrix, design.T @ (slope * (share - p) / (p * (1 - p)))), -2, 2)
        w += step
        if np.abs(step).max() < 1e-9:
            break
    if not np.isfinite(w).all() or w[1] <= 0:
        return flat, 0.0
    return float(w[0] - w[1] * centre / scale), float(w[1] / scale)
