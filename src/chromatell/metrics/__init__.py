"""Scores: pure arrays in, arrays out. ``ctl.metrics``."""

from chromatell.metrics.calibration import brier_score, expected_calibration_error, reliability_curve
from chromatell.metrics.delong import paired_auroc_test, region_ap, region_auroc
from chromatell.metrics.ranking import auroc, average_precision, normalised_ap, pr_curve
from chromatell.metrics.tracks import coarsen, track_scores
from chromatell.metrics.views import depth_matched_auroc

__all__ = [
    "auroc",
    "average_precision",
    "brier_score",
    "coarsen",
    "depth_matched_auroc",
    "expected_calibration_error",
    "normalised_ap",
    "paired_auroc_test",
    "pr_curve",
    "region_ap",
    "region_auroc",
    "reliability_curve",
    "track_scores",
]
