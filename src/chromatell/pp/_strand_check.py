"""Whether the two strands of the inputs are those of the genes, and not swapped or one file twice."""

from __future__ import annotations

import os

import numpy as np
import pandas as pd

from chromatell._keys import CHROM, END, START
from chromatell._settings import logger
from chromatell._validate import ChromatellError
from chromatell.data._tracks_table import INPUT, ROLE, SAMPLE, STRAND
from chromatell.genome.gene_bodies import read_gene_bodies
from chromatell.genome.regions import normalise_chrom, plain_chrom


class StrandCheck:
    """Adds up what chromosomes tell of the strands of each sample's inputs, and says in the end what is wrong.

    Parameters
    ----------
    table
        Table of the tracks.
    bin_size
        In bp.
    annotation
        Genes; None compares the strands with each other only.
    """

    def __init__(
        self, table: pd.DataFrame, bin_size: int, annotation: str | os.PathLike[str] | pd.DataFrame | None
    ) -> None:
        self.bin_size = bin_size
        self.genes = None if annotation is None else read_gene_bodies(annotation)
        if self.genes is not None:
            self.genes[CHROM] = normalise_chrom(self.genes[CHROM])
        self.pairs: dict[str, tuple[int, int]] = {}
        inputs = (table[ROLE] == INPUT).to_numpy()
        for sample in table[SAMPLE].unique():
            own = inputs & (table[SAMPLE] == sample).to_numpy()
            plus, minus = (np.flatnonzero(own & (table[STRAND] == s).to_numpy()) for s in "+-")
            if plus.size == 1 and minus.size == 1:
                self.pairs[str(sample)] = int(plus[0]), int(minus[0])
        self.names = list(table.index)
        self.same = dict.fromkeys(self.pairs, True)
        self.sums = {sample: np.zeros(2) for sample in self.pairs}  # on the gene's strand, on the other

    def add(self, chrom: str, values: np.ndarray) -> None:
        """Count one chromosome: float32 (tracks, bins)."""
        for sample, rows in self.pairs.items():
            plus, minus = (np.nan_to_num(values[i]) for i in rows)
            self.same[sample] &= bool(np.array_equal(plus, minus))
            if self.genes is None:
                continue
            genes = self.genes[self.genes[CHROM] == plain_chrom(chrom)]
            low = np.minimum(genes[START].to_numpy() // self.bin_size, plus.size)
            high = np.minimum(-(-genes[END].to_numpy() // self.bin_size), plus.size)
            upto = [np.concatenate([[0], np.cumsum(x, dtype=np.float64)]) for x in (plus, minus)]
            inside = [c[high] - c[low] for c in upto]
            strand = genes["strand"].to_numpy()
            forward, backward = strand == "+", strand == "-"
            self.sums[sample] += (
                inside[0][forward].sum() + inside[1][backward].sum(),
                inside[1][forward].sum() + inside[0][backward].sum(),
            )

    def finish(self) -> None:
        """Raise where strands are the same, or swapped."""
        for sample, rows in self.pairs.items():
            plus, minus = (self.names[i] for i in rows)
            if self.same[sample]:
                raise ChromatellError(
                    f"Tracks {plus!r} and {minus!r} hold the same values: one strand was given twice. Give the other "
                    "file."
                )
            own, other = self.sums[sample]
            if own + other == 0:
                continue
            share = own / (own + other)
            if share < 0.5:
                raise ChromatellError(
                    f"{share:.0%} of the signal of {plus!r} and {minus!r} in genes is on the gene's own strand: plus "
                    "and minus look swapped. Give each the other file."
                )
            logger.info("%s and %s: %.0f%% of the signal in genes is on their strand.", plus, minus, 100 * share)
