"""Token ids: the bins, then `<pad>`, `<cls>`, `<context>`, then one `<eos>` a chromosome or a region class."""

from __future__ import annotations

from collections.abc import Sequence
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
    eos_names
        What each `<eos>` token stands for: a chromosome, or a class of regions.
    eos_inside
        Whether sentences hold the `<eos>` tokens; else they only ask, from outside.
    """

    bins: pd.Index
    chroms: tuple[str, ...]
    chrom: np.ndarray
    eos_names: tuple[str, ...]
    eos_inside: bool = True

    @classmethod
    def of_regions(
        cls, regions: pd.DataFrame, *, classes: Sequence[str] | None = None, eos_inside: bool = True
    ) -> Vocabulary:
        """Return the vocabulary of a table with `chrom`; chromosomes are ordered as people count them.

        There is one `<eos>` a chromosome, or one for each of `classes`.
        """
        names = regions["chrom"].astype(str)
        chroms = sorted(pd.unique(names), key=_karyotype)
        place = {c: i for i, c in enumerate(chroms)}
        chrom = names.map(place).to_numpy(dtype=np.int64)
        eos = tuple(map(str, chroms if classes is None else classes))
        return cls(pd.Index(regions.index.astype(str)), tuple(chroms), chrom, eos, eos_inside)

    @property
    def n_bins(self) -> int:
        """Number of bins."""
        return len(self.bins)

    @property
    def n_eos(self) -> int:
        """Number of `<eos>` tokens."""
        return len(self.eos_names)

    @property
    def n_inside(self) -> int:
        """Number of `<eos>` tokens that a sentence holds: all or none."""
        return self.n_eos if self.eos_inside else 0

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
        special = 1 + int(context) + self.n_inside
        if max_length <= special:
            raise ChromatellError(
                f"max_length={max_length} leaves no room for bins: {special} tokens of a sentence are special (<cls>, "
                f"{'<context>, ' if context else ''}{self.n_inside} <eos>). Take max_length={special + 1} or more, "
                "such as 5000."
            )
        return in_range(max_length, special + 1, 10**7, "max_length") - special


def _karyotype(name: str) -> tuple[int, int, str]:
    bare = name.removeprefix("chr")
    return (0, int(bare), name) if bare.isdigit() else (1, "XYM".find(bare[:1]), name)
