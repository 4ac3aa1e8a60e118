"""Every view of one prediction on one set of cells: values, their changes under resampling, and what plots need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp

from chromatell.metrics import calibration, ranking, views
from chromatell.metrics.bootstrap import Histograms, linear_change, mean_change
from chromatell.metrics.delong import RegionScores, region_ap

VIEWS = (
    "overall",
    "per_cell",
    "per_region",
    "depth_matched",
    "within_type",
    "within_type_depth_matched",
    "profile",
    "calibration",
    "self_expected",
)
LABEL_VIEWS = ("within_type", "within_type_depth_matched", "profile")
DEPTH_VIEWS = ("depth_matched", "within_type_depth_matched")
LOWER_IS_BETTER = frozenset({"ece", "brier"})
MIN_TYPE_CELLS = 50  # within cell type: fewer cells hold hardly any open ones
MIN_PROFILE_CELLS = 20
N_RELIABILITY = 15
_RANK_VALUES = 4_000_000  # pseudobulk values ranked for the interval of a Spearman correlation
_MIN_RANKED = 40  # replicates
_CHUNK = 1 << 23  # pseudobulk values held at a time

Key = tuple[str, str]  # view, metric


@dataclass(frozen=True)
class Cells:
    """The cells on which predictions are scored.

    Attributes
    ----------
    rows
        int (n,), their places in the MuData.
    truth
        float32 CSR (n, m), 1 where a region is open.
    by_region
        The same as CSC.
    depth
        float64 (n,), true depth.
    labels
        object (n,), or None.
    top
        Regions in the depth-matched views.
    weights
        float32 (replicates, n), how often each cell is drawn; no replicate where no interval is wanted.
    """

    rows: np.ndarray
    truth: sp.csr_matrix
    depth: np.ndarray
    labels: np.ndarray | None
    top: int
    weights: np.ndarray
    by_region: sp.csc_matrix = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_region", self.truth.tocsc())

    @property
    def resampled(self) -> bool:
        """Whether intervals are wanted."""
        return len(self.weights) > 0

    @property
    def prevalence(self) -> float:
        """Share of (cell, region) pairs that are open."""
        return self.truth.nnz / (self.truth.shape[0] * self.truth.shape[1])


@dataclass
class Scores:
    """What one prediction scores.

    Attributes
    ----------
    points
        (view, metric) -> value, and over how many pairs, cells, regions or types.
    changes
        (view, metric) -> float64 (replicates,), replicate minus value; NaN where a replicate was not computed.
    curves
        `pr`, `reliability`, `per_cell`, `per_region`: float32.
    depth_matched
        float64 (m,) of the depth-matched AUROC, or None where that view was left out.
    """

    points: dict[Key, tuple[float, int]] = field(default_factory=dict)
    changes: dict[Key, np.ndarray] = field(default_factory=dict)
    curves: dict[str, np.ndarray] = field(default_factory=dict)
    depth_matched: np.ndarray | None = None


def score(
    cells: Cells, probability: np.ndarray, names: tuple[str, ...], *, rng: np.random.Generator | None = None
) -> Scores:
    """Score one prediction, float32 (n, m), in the views named; `rng` draws the labels of `self_expected`."""
    result = Scores()
    histograms = (
        Histograms.fit(cells.truth, probability)
        if cells.resampled and {"overall", "calibration"} & set(names)
        else None
    )
    for name in names:
        if name == "self_expected":
            if rng is not None and _is_probability(probability):
                _self_expected(result, cells, probability, rng)
        elif name in ("overall", "calibration"):
            (_overall if name == "overall" else _calibration)(result, cells, probability, histograms)
        else:
            _BY_NAME[name](result, cells, probability)
    return result


def self_expected_metrics() -> list[tuple[str, Key]]:
    """Return the names that scores have in the view `self_expected`, and which score each stands beside."""
    beside = [("overall", "auroc"), ("overall", "ap")]
    beside += [(view, "auroc") for view in ("per_cell", "per_region", "depth_matched")]
    return [(f"{view}_{metric}", (view, metric)) for view, metric in beside]


def _overall(result: Scores, cells: Cells, p: np.ndarray, histograms: Histograms | None) -> None:
    area, ap = ranking.auroc_and_ap(cells.truth, p)
    prevalence, n = cells.prevalence, p.size
    result.points["overall", "auroc"] = (area, n)
    result.points["overall", "ap"] = (ap, n)
    result.points["overall", "normalised_ap"] = (ranking.normalised_ap(ap, prevalence), n)
    result.curves["pr"] = ranking.pr_curve(cells.truth, p)
    if histograms is not None:
        d_area, d_ap, d_prevalence = histograms.ranking_change(cells.weights)
        result.changes["overall", "auroc"] = d_area
        result.changes["overall", "ap"] = d_ap
        moved = ranking.normalised_ap(ap + d_ap, prevalence + d_prevalence)
        result.changes["overall", "normalised_ap"] = moved - ranking.normalised_ap(ap, prevalence)


def _per_cell(result: Scores, cells: Cells, p: np.ndarray) -> None:
    area, ap = ranking.auroc_and_ap(cells.truth, p, axis=1)
    result.curves["per_cell"] = area.astype(np.float32)
    for metric, values in (("auroc", area), ("ap", ap)):
        held = np.isfinite(values)
        result.points["per_cell", metric] = (float(values[held].mean()) if held.any() else np.nan, int(held.sum()))
        if cells.resampled:
            result.changes["per_cell", metric] = mean_change(values, cells.weights)


def _per_region(result: Scores, cells: Cells, p: np.ndarray) -> None:
    area = views.among(cells.by_region, p, np.arange(p.shape[1]), None, influence=cells.resampled)
    result.curves["per_region"] = area.score.astype(np.float32)
    _keep(result, cells, ("per_region", "auroc"), area)
    _keep(result, cells, ("per_region", "ap"), region_ap(cells.by_region, p, influence=cells.resampled))


def _depth_matched(result: Scores, cells: Cells, p: np.ndarray) -> None:
    scores = views.depth_matched_auroc(cells.by_region, p, cells.depth, top=cells.top, influence=cells.resampled)
    result.depth_matched = scores.score
    _keep(result, cells, ("depth_matched", "auroc"), scores)


def _within_type(result: Scores, cells: Cells, p: np.ndarray) -> None:
    strata = views.type_strata(_labels(cells), min_cells=MIN_TYPE_CELLS)
    _keep(result, cells, ("within_type", "auroc"), _stratified(cells, p, strata))


def _within_type_depth_matched(result: Scores, cells: Cells, p: np.ndarray) -> None:
    strata = views.type_strata(_labels(cells), cells.depth, min_cells=MIN_TYPE_CELLS)
    _keep(result, cells, ("within_type_depth_matched", "auroc"), _stratified(cells, p, strata))


def _stratified(cells: Cells, p: np.ndarray, strata: np.ndarray) -> RegionScores:
    regions = views.most_open(cells.by_region, cells.top)
    return views.among(cells.by_region, p, regions, strata, influence=cells.resampled)


def _profile(result: Scores, cells: Cells, p: np.ndarray) -> None:
    code, _, count = views.label_codes(_labels(cells))
    enough = np.flatnonzero(count >= MIN_PROFILE_CELLS)
    renamed = np.full(count.size + 1, -1)  # the last entry serves cells without a label, whose code is -1
    renamed[enough] = np.arange(enough.size)
    code, n_types = renamed[code], enough.size
    size = max(n_types * p.shape[1], 1)
    one = np.ones((1, len(code)), dtype=np.float32)

    def correlation(weights: np.ndarray, ranks: bool) -> np.ndarray:
        truth = views.pseudobulk(cells.truth, code, weights, n_types)
        return views.profile_correlation(truth, views.pseudobulk(p, code, weights, n_types), ranks=ranks)

    point = correlation(one, True)[0] if n_types else np.full(len(views.PROFILE_METRICS), np.nan)
    for metric, value in zip(views.PROFILE_METRICS, point, strict=True):
        result.points["profile", metric] = (float(value), n_types)
    if not cells.resampled or not n_types:
        return
    # Ranks are slow to compute: where profiles are long, Spearman's interval rests on fewer replicates.
    n_ranked = min(len(cells.weights), max(_MIN_RANKED, _RANK_VALUES // size))
    step = max(1, _CHUNK // size)
    parts = []
    for a, b, ranks in ((0, n_ranked, True), (n_ranked, len(cells.weights), False)):
        parts += [correlation(cells.weights[i : min(i + step, b)], ranks) for i in range(a, b, step)]
    change = np.concatenate(parts) - point
    for j, metric in enumerate(views.PROFILE_METRICS):
        result.changes["profile", metric] = change[:, j]


def _calibration(result: Scores, cells: Cells, p: np.ndarray, histograms: Histograms | None) -> None:
    if not _is_probability(p):
        return
    curve = calibration.reliability_curve(cells.truth, p, n_bins=N_RELIABILITY)
    result.curves["reliability"] = curve.astype(np.float32)
    brier = calibration.brier_score(cells.truth, p, axis=1)
    result.points["calibration", "ece"] = (calibration.curve_error(curve), p.size)
    result.points["calibration", "brier"] = (float(brier.mean()), p.size)
    if histograms is not None:
        result.changes["calibration", "ece"] = histograms.calibration_change(cells.weights, N_RELIABILITY)
        result.changes["calibration", "brier"] = mean_change(brier, cells.weights)


def _self_expected(result: Scores, cells: Cells, p: np.ndarray, rng: np.random.Generator) -> None:
    """Score the prediction against labels drawn from it: what it would reach if its probabilities were the truth."""
    step = max(1, (1 << 22) // max(p.shape[1], 1))
    drawn = [sp.csr_matrix(rng.random(part.shape, dtype=np.float32) < part, dtype=np.float32)
             for part in (p[a : a + step] for a in range(0, len(p), step))]  # fmt: skip
    fake = Cells(cells.rows, sp.vstack(drawn, format="csr"), cells.depth, None, cells.top, cells.weights[:0])
    inner = Scores()
    _overall(inner, fake, p, None)
    for view in (_per_cell, _per_region, _depth_matched):
        view(inner, fake, p)
    for name, key in self_expected_metrics():
        result.points["self_expected", name] = inner.points[key]


def _keep(result: Scores, cells: Cells, key: Key, scores: RegionScores) -> None:
    result.points[key] = (scores.mean, scores.n)
    if scores.influence is not None and scores.n:
        result.changes[key] = linear_change(scores.influence, cells.weights)


def _labels(cells: Cells) -> np.ndarray:
    return np.zeros(len(cells.rows), dtype=object) if cells.labels is None else cells.labels


def _is_probability(p: np.ndarray) -> bool:
    return bool(p.size and p.min() >= 0 and p.max() <= 1)


_BY_NAME: dict[str, Callable[[Scores, Cells, np.ndarray], None]] = {
    "per_cell": _per_cell,
    "per_region": _per_region,
    "depth_matched": _depth_matched,
    "within_type": _within_type,
    "within_type_depth_matched": _within_type_depth_matched,
    "profile": _profile,
}
