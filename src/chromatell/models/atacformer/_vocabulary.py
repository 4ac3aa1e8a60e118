"""Token ids: the bins, then `<pad>`, `<cls>`, `<context>`, then one `<eos>` a chromosome (or a region class)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from chromatell._validate import ChromatellError, in_range

N_FIXED = 3  # <pad>, <cls>, <context>


@dataclass(frozen=True)
class Vocabulary:
    """What each token id means. Bins come first, so that a column of the matrix is its own token.

    Attributes
    ----------
    bins
        Names of the bins, in token order.
    chroms
        Names of the chromosomes.
    chrom
        int64 (bins,): chromosome of each bin, as a place in `chroms`.
    n_eos
        Number of `<eos>` tokens; with the chromosome decoder one a chromosome.
    """

    bins: pd.Index
    chroms: tuple[str, ...]
    chrom: np.ndarray
    n_eos: int

    @classmethod
    def of_regions(cls, regions: pd.DataFrame) -> Vocabulary:
        """Return the vocabulary of a table with `chrom`; chromosomes are ordered as people count them."""
        names = regions["chrom"].astype(str)
        chroms = sorted(pd.unique(names), key=_karyotype)
        place = {c: i for i, c in enumerate(chroms)}
        chrom = names.map(place).to_numpy(dtype=np.int64)
        return cls(pd.Index(regions.index.astype(str)), tuple(chroms), chrom, len(chroms))

    @property
    def n_bins(self) -> int:
        """Number of bins."""
        return len(self.bins)

    @property
    def pad(self) -> int:
        """Id of `<pad>`: no packed sentence holds it; exports to padded tools do."""
        return self.n_bins

    @property
    def cls_token(self) -> int:
        """Id of `<cls>`."""
        return self.n_bins + 1

    @property
    def context(self) -> int:
        """Id of `<context>`."""
        return self.n_bins + 2

    @property
    def eos(self) -> np.ndarray:
        """Ids of `<eos_1>` to `<eos_n>`, int64."""
        return np.arange(self.n_bins + N_FIXED, len(self), dtype=np.int64)

    def __len__(self) -> int:
        return self.n_bins + N_FIXED + self.n_eos

    def room(self, max_length: int, *, context: bool) -> int:
        """Return how many bins a sentence of at most `max_length` tokens holds."""
        special = 1 + int(context) + self.n_eos
        if max_length <= special:
            raise ChromatellError(
                f"max_length={max_length} leaves no room for bins: {special} tokens of a sentence are special (<cls>, "
                f"{'<context>, ' if context else ''}{self.n_eos} <eos>). Take max_length={special + 1} or more, such "
                "as 5000."
            )
        return in_range(max_length, special + 1, 10**7, "max_length") - special


def _karyotype(name: str) -> tuple[int, int, str]:
    bare = name.removeprefix("chr")
    return (0, int(bare), name) if bare.isdigit() else (1, "XYM".find(bare[:1]), name)
