"""Preprocessing: ``ctl.pp``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chromatell._lazy import lazy

if TYPE_CHECKING:
    from chromatell.pp._add_sequence import add_sequence
    from chromatell.pp._annotate_regions import annotate_regions
    from chromatell.pp._bin_genome import bin_genome
    from chromatell.pp._bin_tracks import bin_tracks
    from chromatell.pp._count_regions import count_regions
    from chromatell.pp._embed_sequence import embed_sequence
    from chromatell.pp._link_genes import link_genes
    from chromatell.pp._map_orthologs import map_orthologs
    from chromatell.pp._mask_bins import mask_bins
    from chromatell.pp._match_regions import match_regions
    from chromatell.pp._select_features import select_features
    from chromatell.pp._simulate_assay import simulate_assay
    from chromatell.pp._smooth_tracks import smooth_tracks
    from chromatell.pp._split_cells import split_cells
    from chromatell.pp._split_regions import split_regions

__all__ = [
    "add_sequence",
    "annotate_regions",
    "bin_genome",
    "bin_tracks",
    "count_regions",
    "embed_sequence",
    "link_genes",
    "map_orthologs",
    "mask_bins",
    "match_regions",
    "select_features",
    "simulate_assay",
    "smooth_tracks",
    "split_cells",
    "split_regions",
]
__getattr__, __dir__ = lazy(__name__, {name: f"_{name}" for name in __all__})  # each in a file of its name
