"""Plots: ``ctl.pl``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chromatell._lazy import lazy

if TYPE_CHECKING:
    from chromatell.pl._browser import browser
    from chromatell.pl._calibration import calibration
    from chromatell.pl._confusion import confusion
    from chromatell.pl._embedding_scores import embedding_scores
    from chromatell.pl._gene_activity import gene_activity
    from chromatell.pl._history import history
    from chromatell.pl._ism_heatmap import ism_heatmap
    from chromatell.pl._leaderboard import leaderboard
    from chromatell.pl._link_regions import link_regions
    from chromatell.pl._logo import logo
    from chromatell.pl._metric_by_chromosome import metric_by_chromosome
    from chromatell.pl._motif_activity import motif_activity
    from chromatell.pl._per_cell_per_region import per_cell_per_region
    from chromatell.pl._perturb import perturb
    from chromatell.pl._pr_curve import pr_curve
    from chromatell.pl._rank_regions import rank_regions
    from chromatell.pl._region import region
    from chromatell.pl._tf_activity import tf_activity
    from chromatell.pl._track_scatter import track_scatter
    from chromatell.pl._tracks import tracks
    from chromatell.pl._uncertainty import uncertainty

__all__ = [
    "browser",
    "calibration",
    "confusion",
    "embedding_scores",
    "gene_activity",
    "history",
    "ism_heatmap",
    "leaderboard",
    "link_regions",
    "logo",
    "metric_by_chromosome",
    "motif_activity",
    "per_cell_per_region",
    "perturb",
    "pr_curve",
    "rank_regions",
    "region",
    "tf_activity",
    "track_scatter",
    "tracks",
    "uncertainty",
]
__getattr__, __dir__ = lazy(__name__, {name: f"_{name}" for name in __all__})  # each in a file of its name
