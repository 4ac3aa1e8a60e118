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

# name -> file that defines it
_WHERE = {
    "history": "_history",
    "pr_curve": "_pr_curve",
    "per_cell_per_region": "_per_cell_per_region",
    "leaderboard": "_leaderboard",
    "calibration": "_calibration",
    "confusion": "_confusion",
    "tf_activity": "_tf_activity",
    "logo": "_logo",
    "ism_heatmap": "_ism_heatmap",
    "tracks": "_tracks",
    "track_scatter": "_track_scatter",
    "metric_by_chromosome": "_metric_by_chromosome",
    "embedding_scores": "_embedding_scores",
    "gene_activity": "_gene_activity",
    "rank_regions": "_rank_regions",
    "motif_activity": "_motif_activity",
    "link_regions": "_link_regions",
    "uncertainty": "_uncertainty",
    "perturb": "_perturb",
    "region": "_region",
    "browser": "_browser",
}

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
__getattr__, __dir__ = lazy(__name__, _WHERE)
