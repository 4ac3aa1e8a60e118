"""The values of tracks: rows of arrays in memory or on disk, chosen, added and replaced without copies."""

from __future__ import annotations

import copy as _copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from chromatell._arguments import arguments
from chromatell._keys import RAW
from chromatell._nearest import names_there
from chromatell._validate import ChromatellError, examples, in_range
from chromatell.data._tracks_info import TracksInfo
from chromatell.data._tracks_rows import (
    Row,
    Rows,
    change_sources,
    check_memory,
    duplicate,
    gather,
    is_loaded,
    read_source,
    sources_of,
    unknown_row,
)
from chromatell.data._tracks_table import check_sizes, check_values, track_table

if TYPE_CHECKING:
    from typing import Self

    from chromatell.genome.builds import ChromSizes

MAX_BIN = 10_000_000  # bp


class TracksValues(TracksInfo):
    """The values of tracks, which share arrays as long as nobody changes them; see `BinnedTracks`."""

    def __init__(
        self,
        values: Mapping[str, Any],
        table: pd.DataFrame | Sequence[str],
        *,
        bin_size: int = 50,
        chrom_sizes: ChromSizes,
    ) -> None:
        self.table = track_table(table)
        self.bin_size: int = in_range(bin_size, 1, MAX_BIN, "bin_size")
        self.chrom_sizes: dict[str, int] = check_sizes(values, chrom_sizes)
        self.masks: dict[str, np.ndarray] = {}
        self.splits: dict[str, np.ndarray] = {}
        self.uns: dict[str, Any] = {}
        sources = check_values(values, self.names, {c: self.n_bins_of(c) for c in self.chrom_sizes})
        self._rows: dict[str, Rows] = {
            name: {chrom: Row(source, i) for chrom, source in sources.items()} for i, name in enumerate(self.names)
        }
        self._layers: dict[str, dict[str, Rows]] = {}

    # Values

    @arguments
    def values(
        self,
        chrom: str,
        names: str | Sequence[str] | None = None,
        *,
        role: str | None = None,
        bins: slice | None = None,
        layer: str | None = None,
    ) -> np.ndarray:
        """Values of tracks on a chromosome.

        Parameters
        ----------
        chrom
            Its name.
        names, role
            Which tracks; all where both are None.
        bins
            Which bins, as a slice of step 1; None is all of them.
        layer
            Such as 'raw'; tracks without values of their own in that layer give their values. None is no layer.

        Returns
        -------
        numpy.ndarray, float32 (tracks, bins)
            It may be a view of the tracks' own memory: copy it before you change it.

        Raises
        ------
        ChromatellError
            No such chromosome, track, role or layer.
        """
        n = self.n_bins_of(chrom)
        if not isinstance(bins, slice | None):
            raise ChromatellError(f"bins= is of type {type(bins).__name__}; a slice is needed, such as slice(0, 100).")
        start, stop, step = (bins or slice(None)).indices(n)
        if step != 1:
            raise ChromatellError(f"bins={bins} must have a step of 1.")
        own = self._layer(layer)
        rows = [own.get(name, self._rows[name])[chrom] for name in self.check_names(names, role)]
        return gather(rows, start, max(start, stop))

    # Other tracks of the same

    @arguments
    def select(
        self,
        names: str | Sequence[str] | None = None,
        *,
        role: str | None = None,
        sample: str | None = None,
        chroms: str | Sequence[str] | None = None,
    ) -> Self:
        """Return some tracks, on some chromosomes; arrays are shared, not copied."""
        chosen = self.check_names(names, role)
        if sample is not None:
            chosen = self.check_names([n for n in chosen if self.table.loc[n, "sample"] == sample])
        held = self.chroms if chroms is None else [chroms] if isinstance(chroms, str) else list(chroms)
        tracks = self._like(self.table.loc[chosen].copy(), {self._chrom(c): self.chrom_sizes[c] for c in held})
        tracks._rows = {n: {c: self._rows[n][c] for c in held} for n in chosen}
        tracks._layers = {
            layer: {n: {c: rows[n][c] for c in held} for n in chosen if n in rows}
            for layer, rows in self._layers.items()
            if any(n in rows for n in chosen)
        }
        tracks.masks = {c: m for c, m in self.masks.items() if c in held}
        tracks.splits = {c: s for c, s in self.splits.items() if c in held}
        return tracks

    @arguments
    def add(self, values: Mapping[str, Any], table: pd.DataFrame | Sequence[str], *, overwrite: bool = False) -> None:
        """Add tracks to these, such as predictions.

        Parameters
        ----------
        values
            Chromosome to an array (new tracks, bins); a chromosome that is not there is NaN.
        table
            Names and descriptions of the new tracks, as in the class: ``[{"name": "other", "role": "prediction",
            "assay": "H3K4me3"}]`` will do.
        overwrite
            Replace tracks of the same name, and drop their layers.

        Raises
        ------
        ChromatellError
            A name is taken, or the values do not fit.
        """
        new = track_table(table)
        taken = [n for n in new.index if n in self._rows]
        if taken and not overwrite:
            raise ChromatellError(f"Tracks {examples(taken)} are there. Choose other names, or pass overwrite=True.")
        unknown = [c for c in values if c not in self.chrom_sizes]
        if unknown or not values:
            raise ChromatellError(
                f"values must hold chromosomes of these tracks ({examples(self.chroms, 8)}); found "
                f"{examples(values, 8) or 'none'}."
            )
        bins = {c: self.n_bins_of(c) for c in self.chrom_sizes}
        sources = check_values(values, list(new.index), {c: bins[c] for c in values})
        rows = {
            name: {c: Row(sources[c], i) if c in sources else unknown_row(n) for c, n in bins.items()}
            for i, name in enumerate(new.index)
        }
        self.drop(taken)
        self.table = pd.concat([self.table, new])
        self._rows.update(rows)

    @arguments
    def drop(self, names: str | Sequence[str]) -> None:
        """Remove tracks."""
        gone = set(self.check_names(names)) if len(names) else set()
        self.table = self.table[[n not in gone for n in self.names]]
        self._rows = {n: rows for n, rows in self._rows.items() if n not in gone}
        self._layers = {
            layer: kept
            for layer, rows in self._layers.items()
            if (kept := {n: r for n, r in rows.items() if n not in gone})
        }

    @arguments
    def replace(self, values: Mapping[str, Any], names: Sequence[str], *, keep: str | None = RAW) -> None:
        """Put new values in the place of tracks; the former ones stay in layer `keep`, unless older ones are there.

        Parameters
        ----------
        values
            Each chromosome to an array (tracks, bins).
        names
            Which tracks, in the order of the arrays' rows.
        keep
            None keeps no former values.
        """
        chosen = self.check_names(names)
        sources = check_values(values, chosen, {c: self.n_bins_of(c) for c in self.chrom_sizes})
        for i, name in enumerate(chosen):
            if keep is not None:
                self._layers.setdefault(keep, {}).setdefault(name, self._rows[name])
            self._rows[name] = {c: Row(source, i) for c, source in sources.items()}

    def copy(self) -> Self:
        """Return tracks that share nothing in memory with these; those in a Zarr store stay there, unchanged."""
        tracks = self.select()
        change_sources((tracks._rows, *tracks._layers.values()), duplicate)
        tracks.masks, tracks.splits, tracks.uns = (_copy.deepcopy(x) for x in (self.masks, self.splits, self.uns))
        return tracks

    def arrays(self) -> dict[str, Any]:
        """Return each chromosome's array (tracks, bins) as it lies, if it holds just these tracks; unread on disk."""
        arrays = {}
        for chrom in self.chroms:
            rows = [self._rows[name][chrom] for name in self.names]
            if [r.at for r in rows] != list(range(len(rows))) or any(r.source is not rows[0].source for r in rows):
                raise ChromatellError("These tracks were put together of several: save them, tracks.save('new.zarr').")
            arrays[chrom] = rows[0].source
        return arrays

    def load(self) -> Self:
        """Bring all values into memory, up to ``settings.dense_limit``; returns these same tracks."""
        layers = (self._rows, *self._layers.values())
        needed = sum(int(np.prod(x.shape)) * 4 for x in sources_of(layers) if not is_loaded(x))
        check_memory(needed, "Use them from the store: ctl.data.BinnedTracks.open(path).")
        change_sources(layers, lambda x: x if is_loaded(x) else np.array(read_source(x, slice(None), 0, x.shape[1])))
        return self

    def _like(self, table: pd.DataFrame, chrom_sizes: dict[str, int]) -> Self:
        tracks = object.__new__(type(self))
        tracks.table, tracks.bin_size, tracks.chrom_sizes = table, self.bin_size, chrom_sizes
        tracks.masks, tracks.splits, tracks.uns = {}, {}, dict(self.uns)
        tracks._rows, tracks._layers = {}, {}
        return tracks

    def _layer(self, layer: str | None) -> dict[str, Rows]:
        if layer is None:
            return {}
        if layer not in self._layers:
            names = names_there(self._layers, layer)
            raise ChromatellError(
                f"No layer {layer!r} in these tracks; there: {names}. ctl.pp.smooth_tracks(tracks) writes 'raw'."
            )
        return self._layers[layer]
