"""What tracks there are, on which chromosomes, and which of their bins count: all but the values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from chromatell._arguments import arguments
from chromatell._keys import SPLITS
from chromatell._nearest import names_there
from chromatell._validate import ChromatellError
from chromatell.data._tracks_rows import Layer, is_loaded, sources_of
from chromatell.data._tracks_table import ROLES, missing_names, one_region, own_chrom
from chromatell.genome.builds import identify

# why a bin is masked; reasons add up
BLACKLIST, GAP, ZERO, OUTSIDE = 1, 2, 4, 8
REASONS = {"blacklist": BLACKLIST, "gap": GAP, "no signal": ZERO, "outside": OUTSIDE}
NO_SPLIT = -1  # marks bins that are in no part: those between blocks


class TracksInfo:
    """What :class:`chromatell.data.BinnedTracks` tells of itself."""

    table: pd.DataFrame
    bin_size: int
    chrom_sizes: dict[str, int]
    masks: dict[str, np.ndarray]
    splits: dict[str, np.ndarray]
    _rows: Layer
    _layers: dict[str, Layer]

    @property
    def names(self) -> list[str]:
        """Names of the tracks, in order."""
        return [str(name) for name in self.table.index]

    @property
    def chroms(self) -> list[str]:
        """Names of the chromosomes, in order."""
        return list(self.chrom_sizes)

    @property
    def n_tracks(self) -> int:
        """Number of tracks."""
        return len(self.table)

    @property
    def n_bins(self) -> int:
        """Number of bins of all chromosomes together."""
        return sum(self.n_bins_of(c) for c in self.chrom_sizes)

    @property
    def layers(self) -> dict[str, list[str]]:
        """Name of each layer, such as 'raw', to the tracks that have values of their own there."""
        return {layer: [n for n in self.names if n in rows] for layer, rows in self._layers.items()}

    @property
    def build(self) -> str:
        """The genome's build, told by the lengths of its chromosomes; ``''`` where it is not known."""
        return identify(self.chrom_sizes)

    @property
    def in_memory(self) -> bool:
        """Whether no value is left on disk."""
        return all(is_loaded(x) for x in sources_of((self._rows, *self._layers.values())))

    @arguments
    def n_bins_of(self, chrom: str) -> int:
        """Return the number of bins of a chromosome, the last and shorter one among them."""
        return -(-self.chrom_sizes[self._chrom(chrom)] // self.bin_size)

    @arguments
    def names_of(
        self, *, role: str | None = None, strand: str | None = None, sample: str | None = None, assay: str | None = None
    ) -> list[str]:
        """Return the names of the tracks of a role, a strand, a sample, an assay."""
        keep = np.ones(self.n_tracks, dtype=bool)
        for column, wanted in (("role", role), ("strand", strand), ("sample", sample), ("assay", assay)):
            if wanted is not None:
                keep &= (self.table[column] == wanted).to_numpy()
        return [name for name, kept in zip(self.names, keep, strict=True) if kept]

    def check_names(self, names: str | Sequence[str] | None, role: str | None = None) -> list[str]:
        """Return names as a list, all of which must be there; None takes those of the role, or all."""
        chosen = self.names_of(role=role) if names is None else [names] if isinstance(names, str) else list(names)
        if not chosen or len(set(chosen)) < len(chosen) or any(n not in self._rows for n in chosen):
            raise ChromatellError(missing_names(self.table, chosen, role if names is None else None))
        return [str(n) for n in chosen]

    @arguments
    def usable(self, chrom: str, split: str | None = None) -> np.ndarray:
        """Return which bins of a chromosome are not masked, bool (bins,); with `split`, also in that part.

        Without a split every bin is 'train'.
        """
        keep = np.ones(self.n_bins_of(chrom), dtype=bool)
        if chrom in self.masks:
            keep &= self.masks[chrom] == 0
        if split is not None:
            if split not in SPLITS:
                raise ChromatellError(f"split={split!r} is not known; choose one of {list(SPLITS)}.")
            keep &= (self.splits[chrom] if self.splits else 0) == SPLITS.index(split)
        return keep

    @arguments
    def locate(self, region: str) -> tuple[str, slice]:
        """Return the chromosome and the bins that hold a region, such as ``'chr21:35,000,000-35,200,000'``.

        Positions are 0-based, half-open; bins that lie partly inside count. A chromosome's name alone is all of it.
        """
        chrom, start, end = one_region(region, self.chrom_sizes)
        return chrom, slice(start // self.bin_size, -(-end // self.bin_size))

    def __repr__(self) -> str:
        build = f" of {self.build}" if self.build else ""
        n = len(self.chroms)
        where = "in memory" if self.in_memory else "on disk"
        lines = [
            f"BinnedTracks: {self.n_tracks} tracks x {self.n_bins:,} bins of {self.bin_size} bp, "
            f"{n} chromosome{'s' if n > 1 else ''}{build}, {where}"
        ]
        for role in ROLES:
            names = self.names_of(role=role)
            if names:
                shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
                lines.append(f"    {role}s: {shown}")
        if self.layers:
            lines.append("    layers: " + ", ".join(f"{k} ({len(v)} tracks)" for k, v in self.layers.items()))
        if self.masks:
            masked = sum(int((m != 0).sum()) for m in self.masks.values())
            lines.append(f"    masked: {masked:,} bins ({100 * masked / self.n_bins:.1f}%)")
        if self.splits:
            counts = [sum(int(self.usable(c, part).sum()) for c in self.splits) for part in SPLITS]
            shown = ", ".join(f"{c:,} {p}" for c, p in zip(counts, SPLITS, strict=True))
            lines.append(f"    split: {shown} bins that are usable")
        return "\n".join(lines)

    def _chrom(self, chrom: str) -> str:
        if chrom not in self.chrom_sizes:
            own = own_chrom(chrom, self.chroms)
            raise ChromatellError(
                f"No chromosome {chrom!r} in these tracks; there: {names_there(self.chroms, own, 8)}."
            )
        return chrom
