"""Baselines of a region whose ATAC was never seen: what GC, CpG, words, motifs and the nearest TSS say of it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from anndata import AnnData

from chromatell._keys import DNA, TRAIN, TSS_DISTANCE, VAL
from chromatell._validate import ChromatellError, region_split_of
from chromatell.data.accessibility import open_matrix, selected
from chromatell.genome.kmers import kmer_shares
from chromatell.genome.region_covariates import motif_matches
from chromatell.models.baselines.cell_data import CellData
from chromatell.models.baselines.protocol import Baseline, register
from chromatell.models.baselines.sequence_rates import Reads, Regions, SequenceRates, cell_factors, probability

MIN_REGIONS = 20  # training regions with a sequence
_MAX_REGIONS = 50_000  # at most so many of them are used


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
        data, regions = self.data, []
        split, usable = region_split_of(data.atac), selected(data.atac)
        for part in (TRAIN, VAL):
            places = np.flatnonzero((split == part) & usable)
            places = places[(self.tokens[places] < 4).any(axis=1)]
            if places.size > _MAX_REGIONS:
                places = np.sort(np.random.default_rng(data.seed).choice(places, _MAX_REGIONS, replace=False))
            truth = open_matrix(data.atac, data.train, places)
            regions.append(Regions.read(*self.at(places), truth, self.factors[data.train]))
        if len(regions[0].n_open) < MIN_REGIONS:
            raise ChromatellError(
                f"{len(regions[0].n_open)} training regions have a sequence; a baseline that reads sequence needs "
                f"{MIN_REGIONS}. Run ctl.pp.split_regions(mdata, fractions=(0.9, 0.05, 0.05)), or leave it out."
            )
        return regions[0], regions[1]

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
