"""Every view of one prediction on some pairs of cell and region: values, their changes under resampling, curves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp

from chromatell.metrics import calibration, ranking, views
from chromatell.metrics.bootstrap import Histograms, linear_change, mean_change, profile_resampled
from chromatell.metrics.delong import RegionScores, region_ap, region_auroc

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
class Pairs:
    """The cells x regions on which predictions are scored.

    Attributes
    ----------
    rows, cols
        int (n,) and (m,): places of the cells in the MuData, and of the regions among the predicted ones.
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
    cell_weights, region_weights
        float32 (replicates, n) and (replicates, m), how often each is drawn; no replicate where that side is not
        resampled, or no interval is wanted. Where both are, a score's change is the sum of the two.
    """

    rows: np.ndarray
    cols: np.ndarray
    truth: sp.csr_matrix
    depth: np.ndarray
    labels: np.ndarray | None
    top: int
    cell_weights: np.ndarray
    region_weights: np.ndarray
    by_region: sp.csc_matrix = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_region", self.truth.tocsc())

    @property
    def cells_resampled(self) -> bool:
        """Whether intervals come from resampled cells."""
        return len(self.cell_weights) > 0

    @property
    def regions_resampled(self) -> bool:
        """Whether intervals come from resampled regions."""
        return len(self.region_weights) > 0

    @property
    def prevalence(self) -> float:
        """Share of (cell, region) pairs that are open."""
        return self.truth.nnz / (self.truth.shape[0] * self.truth.shape[1])

    def histograms(self, p: np.ndarray) -> list[Histograms]:
        """Return the binned pairs under the resampled cells, and under the resampled regions."""
        found = []
        if self.cells_resampled:
            found.append(Histograms.fit(self.truth, p, self.cell_weights))
        if self.regions_resampled:
            found.append(Histograms.fit(self.by_region.T, p.T, self.region_weights))
        return found


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
    pairs: Pairs, probability: np.ndarray, names: tuple[str, ...], *, rng: np.random.Generator | None = None
) -> Scores:
    """Score one prediction, float32 (n, m), in the views named; `rng` draws the labels of `self_expected`."""
    result = Scores()
    histograms = pairs.histograms(probability) if {"overall", "calibration"} & set(names) else []
    for name in names:
        if name == "self_expected":
            if rng is not None and _is_probability(probability):
                _self_expected(result, pairs, probability, rng)
        elif name in ("overall", "calibration"):
            (_overall if name == "overall" else _calibration)(result, pairs, probability, histograms)
        else:
            _BY_NAME[name](result, pairs, probability)
    return result


def self_expected_metrics() -> list[tuple[str, Key]]:
    """Return the names that scores have in the view `self_expected`, and which score each stands beside."""
    beside = [("overall", "auroc"), ("overall", "ap")]
    beside += [(view, "auroc") for view in ("per_cell", "per_region", "depth_matched")]
    return [(f"{view}_{metric}", (view, metric)) for view, metric in beside]


def _overall(result: Scores, pairs: Pairs, p: np.ndarray, histograms: list[Histograms]) -> None:
    area, ap = ranking.auroc_and_ap(pairs.truth, p)
    prevalence, n = pairs.prevalence, p.size
    result.points["overall", "auroc"] = (area, n)
    result.points["overall", "ap"] = (ap, n)
    result.points["overall", "normalised_ap"] = (ranking.normalised_ap(ap, prevalence), n)
    result.curves["pr"] = ranking.pr_curve(pairs.truth, p)
    if histograms:
        d_area, d_ap, d_prevalence = np.sum([h.ranking_change() for h in histograms], axis=0)
        result.changes["overall", "auroc"] = d_area
        result.changes["overall", "ap"] = d_ap
        moved = ranking.normalised_ap(ap + d_ap, prevalence + d_prevalence)
        result.changes["overall", "normalised_ap"] = moved - ranking.normalised_ap(ap, prevalence)


def _per_cell(result: Scores, pairs: Pairs, p: np.ndarray) -> None:
    area, ap = ranking.auroc_and_ap(pairs.truth, p, axis=1)
    result.curves["per_cell"] = area.astype(np.float32)
    for metric, values, by_cell in (("auroc", area, region_auroc), ("ap", ap, region_ap)):
        held = np.isfinite(values)
        result.points["per_cell", metric] = (float(values[held].mean()) if held.any() else np.nan, int(held.sum()))
        changes = []
        if pairs.cells_resampled:
            changes.append(mean_change(values, pairs.cell_weights))
        if pairs.regions_resampled:  # cells and regions change places
            influence = np.asarray(by_cell(pairs.truth.T, p.T).influence)
            changes.append(linear_change(influence, pairs.region_weights))
        if changes:
            result.changes["per_cell", metric] = np.sum(changes, axis=0)


def _per_region(result: Scores, pairs: Pairs, p: np.ndarray) -> None:
    area = views.among(pairs.by_region, p, np.arange(p.shape[1]), None, influence=pairs.cells_resampled)
    result.curves["per_region"] = area.score.astype(np.float32)
    _keep(result, pairs, ("per_region", "auroc"), area)
    _keep(result, pairs, ("per_region", "ap"), region_ap(pairs.by_region, p, influence=pairs.cells_resampled))


def _depth_matched(result: Scores, pairs: Pairs, p: np.ndarray) -> None:
    scores = views.depth_matched_auroc(pairs.by_region, p, pairs.depth, top=pairs.top, influence=pairs.cells_resampled)
    result.depth_matched = scores.score
    _keep(result, pairs, ("depth_matched", "auroc"), scores)


def _within_type(result: Scores, pairs: Pairs, p: np.ndarray) -> None:
    strata = views.type_strata(_labels(pairs), min_cells=MIN_TYPE_CELLS)
    _keep(result, pairs, ("within_type", "auroc"), _stratified(pairs, p, strata))


def _within_type_depth_matched(result: Scores, pairs: Pairs, p: np.ndarray) -> None:
    strata = views.type_strata(_labels(pairs), pairs.depth, min_cells=MIN_TYPE_CELLS)
    _keep(result, pairs, ("within_type_depth_matched", "auroc"), _stratified(pairs, p, strata))


def _stratified(pairs: Pairs, p: np.ndarray, strata: np.ndarray) -> RegionScores:
    regions = views.most_open(pairs.by_region, pairs.top)
    return views.among(pairs.by_region, p, regions, strata, influence=pairs.cells_resampled)


def _profile(result: Scores, pairs: Pairs, p: np.ndarray) -> None:
    code, _, count = views.label_codes(_labels(pairs))
    enough = np.flatnonzero(count >= MIN_PROFILE_CELLS)
    renamed = np.full(count.size + 1, -1)  # the last entry serves cells without a label, whose code is -1
    renamed[enough] = np.arange(enough.size)
    code, n_types = renamed[code], enough.size
    one = np.ones((1, len(code)), dtype=np.float32)

    def bulk(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return views.pseudobulk(pairs.truth, code, weights, n_types), views.pseudobulk(p, code, weights, n_types)

    def over_cells(weights: np.ndarray, ranks: bool) -> np.ndarray:
        return views.profile_correlation(*bulk(weights), ranks=ranks)

    truth, predicted = bulk(one)

    def over_regions(weights: np.ndarray, ranks: bool) -> np.ndarray:
        return profile_resampled(truth[0], predicted[0], weights, ranks=ranks)

    point = np.full(len(views.PROFILE_METRICS), np.nan)
    if n_types:
        point = views.profile_correlation(truth, predicted)[0]
    for metric, value in zip(views.PROFILE_METRICS, point, strict=True):
        result.points["profile", metric] = (float(value), n_types)
    changes = []
    size = max(n_types * p.shape[1], 1)
    if n_types and pairs.cells_resampled:
        changes.append(_in_parts(over_cells, pairs.cell_weights, size) - point)
    if n_types and pairs.regions_resampled:
        changes.append(_in_parts(over_regions, pairs.region_weights, size) - point)
    if changes:
        for j, metric in enumerate(views.PROFILE_METRICS):
            result.changes["profile", metric] = np.sum(changes, axis=0)[:, j]


def _in_parts(correlation: Callable[[np.ndarray, bool], np.ndarray], weights: np.ndarray, size: int) -> np.ndarray:
    # Ranks are slow to compute: where profiles are long, Spearman's interval rests on fewer replicates.
    n_ranked = min(len(weights), max(_MIN_RANKED, _RANK_VALUES // size))
    step = max(1, _CHUNK // size)
    parts = []
    for a, b, ranks in ((0, n_ranked, True), (n_ranked, len(weights), False)):
        parts += [correlation(weights[i : min(i + step, b)], ranks) for i in range(a, b, step)]
    return np.concatenate(parts)


def _calibration(result: Scores, pairs: Pairs, p: np.ndarray, histograms: list[Histograms]) -> None:
    if not _is_probability(p):
        return
    curve = calibration.reliability_curve(pairs.truth, p, n_bins=N_RELIABILITY)
    result.curves["reliability"] = curve.astype(np.float32)
    brier = calibration.brier_score(pairs.truth, p, axis=1)
    result.points["calibration", "ece"] = (calibration.curve_error(curve), p.size)
    result.points["calibration", "brier"] = (float(brier.mean()), p.size)
    changes = [mean_change(brier, pairs.cell_weights)] if pairs.cells_resampled else []
    if pairs.regions_resampled:
        changes.append(mean_change(calibration.brier_score(pairs.truth, p, axis=0), pairs.region_weights))
    if changes:
        result.changes["calibration", "ece"] = np.sum([h.calibration_change(N_RELIABILITY) for h in histograms], axis=0)
        result.changes["calibration", "brier"] = np.sum(changes, axis=0)


def _self_expected(result: Scores, pairs: Pairs, p: np.ndarray, rng: np.random.Generator) -> None:
    """Score the prediction against labels drawn from it: what it would reach if its probabilities were the truth."""
    step = max(1, (1 << 22) // max(p.shape[1], 1))
    drawn = [sp.csr_matrix(rng.random(part.shape, dtype=np.float32) < part, dtype=np.float32)
             for part in (p[a : a + step] for a in range(0, len(p), step))]  # fmt: skip
    none = pairs.cell_weights[:0], pairs.region_weights[:0]
    fake = Pairs(pairs.rows, pairs.cols, sp.vstack(drawn, format="csr"), pairs.depth, None, pairs.top, *none)
    inner = Scores()
    _overall(inner, fake, p, [])
    for view in (_per_cell, _per_region, _depth_matched):
        view(inner, fake, p)
    for name, key in self_expected_metrics():
        result.points["self_expected", name] = inner.points[key]


def _keep(result: Scores, pairs: Pairs, key: Key, scores: RegionScores) -> None:
    result.points[key] = (scores.mean, scores.n)
    changes = []
    if scores.influence is not None and scores.n:
        changes.append(linear_change(scores.influence, pairs.cell_weights))
    if pairs.regions_resampled and scores.n:
        changes.append(mean_change(scores.score, pairs.region_weights))
    if changes:
        result.changes[key] = np.sum(changes, axis=0)


def _labels(pairs: Pairs) -> np.ndarray:
    return np.zeros(len(pairs.rows), dtype=object) if pairs.labels is None else pairs.labels


def _is_probability(p: np.ndarray) -> bool:
    return bool(p.size and p.min() >= 0 and p.max() <= 1)


_BY_NAME: dict[str, Callable[[Scores, Pairs, np.ndarray], None]] = {
    "per_cell": _per_cell,
    "per_region": _per_region,
    "depth_matched": _depth_matched,
    "within_type": _within_type,
    "within_type_depth_matched": _within_type_depth_matched,
    "profile": _profile,
}
