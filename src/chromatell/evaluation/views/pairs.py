"""Views of pairs of cell and region: in total, in each cell, in each region, among cells of one depth or type."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from chromatell.evaluation.predictors import Prediction, Predictor, finite
from chromatell.evaluation.views.registry import Curve, Score, Scores, Truth, view
from chromatell.metrics import calibration, ranking, views
from chromatell.metrics.bootstrap import Histograms, linear_change, mean_change, profile_resampled
from chromatell.metrics.delong import RegionScores, region_ap, region_areas, region_auroc

MIN_TYPE_CELLS = 50  # within cell type: fewer cells hold hardly any open ones
N_RELIABILITY = 15
DRAWN = ("overall", "per_cell", "per_region", "depth_matched")  # views in which drawn labels are scored
_RANK_VALUES = 4_000_000  # pseudobulk values ranked for the interval of a Spearman correlation
_MIN_RANKED = 40  # replicates
_CHUNK = 1 << 23  # pseudobulk values held at a time
_SHARED = 1 << 25  # pseudobulk values of the truth, of all replicates, that are kept for the next prediction

Found = Iterator[Score | Curve]


@dataclass(frozen=True)
class OverPairs:
    """AUROC, AP, number of pairs and precision against recall of all pairs; of probabilities their reliability too."""

    auroc: float
    ap: float
    n: int
    pr: np.ndarray
    reliability: np.ndarray | None


@dataclass(frozen=True)
class Pairs(Truth):
    """The cells x regions on which predictions are scored.

    Attributes
    ----------
    rows, cols
        int (n,) and (m,): places of the cells, and of the regions among the predicted ones.
    truth
        float32 CSR (n, m), 1 where a region is open; or, with `left_out`, one of the bins that are asked for.
    depth
        float64 (n,), true depth.
    labels
        object (n,), or None.
    top
        Regions in the depth-matched views.
    cell_weights, region_weights
        float32 (replicates, n) and (replicates, m), how often each is drawn; no replicate where that side is not
        resampled, or no interval is wanted. Where both are, a score's change is the sum of the two.
    left_out
        CSR (n, m): open bins that a prediction reads, which are not asked for; None for none.
    by_region
        The truth as CSC.
    """

    rows: np.ndarray
    cols: np.ndarray
    truth: sp.csr_matrix
    depth: np.ndarray
    labels: np.ndarray | None
    top: int
    cell_weights: np.ndarray
    region_weights: np.ndarray
    left_out: sp.csr_matrix | None = None
    by_region: sp.csc_matrix = field(init=False)
    _shared: dict[Any, Any] = field(init=False, default_factory=dict, repr=False)
    of = "pairs"

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_region", self.truth.tocsc())

    def read(self, predictor: Predictor) -> Prediction:
        """Return what is predicted for these cells and regions, float32 (n, m)."""
        values = finite(predictor.predict(self.rows, self.cols), predictor.name, "the scored cells", "Predict again")
        within = values.size > 0 and values.min() >= 0 and values.max() <= 1
        return Prediction(predictor.name, values, predictor.is_probability and bool(within))

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
        """Share of open pairs among those that are compared."""
        n, m = self.truth.shape
        return self.truth.nnz / max(n * m - (0 if self.left_out is None else self.left_out.nnz), 1)

    def shared(self, name: Any, make: Callable[[], Any]) -> Any:
        """Return what is the same for all predictions, such as the truth of each replicate; made once."""
        if name not in self._shared:
            self._shared[name] = make()
        return self._shared[name]

    def every_open(self) -> sp.csr_matrix:
        """Return all open pairs, those that were left out too."""
        return self.truth if self.left_out is None else self.truth + self.left_out

    def compared(self, p: np.ndarray) -> tuple[sp.csr_matrix | np.ndarray, np.ndarray]:
        """Return truth and scores of the pairs that are compared: all, or those that were not left out, flattened."""
        return (self.truth, p) if self.left_out is None else ranking.closed_pairs(p, self.left_out, self.truth)

    def histograms(self, prediction: Prediction) -> list[Histograms]:
        """Return the binned pairs under the resampled cells, and under the resampled regions; made once."""
        if prediction.histograms is None:
            p, histograms = prediction.values, []
            if self.cells_resampled:
                histograms.append(Histograms.fit(self.truth, p, self.cell_weights, left_out=self.left_out))
            if self.regions_resampled:
                histograms.append(Histograms.fit(self.by_region.T, p.T, self.region_weights))
            prediction.histograms = histograms
        return prediction.histograms

    def over_pairs(self, prediction: Prediction) -> OverPairs:
        """Return what the pairs are in the order of their scores; made once."""
        if prediction.over_pairs is None:
            y, p = self.compared(prediction.values)
            ordered = ranking.sorted_scores(y, p)
            reliability = None
            if prediction.is_probability and self.left_out is None:
                reliability = ordered.reliability(calibration.mass_edges(p, N_RELIABILITY, ordered.ranked))
            prediction.over_pairs = OverPairs(*ordered.areas(), p.size, ordered.pr_curve(ranking.N_POINTS), reliability)
        over_pairs: OverPairs = prediction.over_pairs
        return over_pairs

    def change(self, *parts: np.ndarray | None) -> np.ndarray | None:
        """Return the sum of the changes under resampled cells and under resampled regions; None without either."""
        held = [p for p in parts if p is not None]
        return np.sum(held, axis=0) if held else None


@view("overall", of="pairs", own_bins=True)
def overall(pairs: Pairs, prediction: Prediction) -> Found:
    """All pairs: AUROC, AP and ``(AP - p) / (1 - p)`` at prevalence p."""
    over_pairs = pairs.over_pairs(prediction)
    d_area = d_ap = d_normalised = None
    prevalence = pairs.prevalence
    if binned := pairs.histograms(prediction):
        d_area, d_ap, d_prevalence = np.sum([h.ranking_change() for h in binned], axis=0)
        moved = ranking.normalised_ap(over_pairs.ap + d_ap, prevalence + d_prevalence)
        d_normalised = moved - ranking.normalised_ap(over_pairs.ap, prevalence)
    yield Score("overall", "auroc", over_pairs.auroc, over_pairs.n, d_area)
    yield Score("overall", "ap", over_pairs.ap, over_pairs.n, d_ap)
    if pairs.left_out is None:
        yield Score(
            "overall", "normalised_ap", ranking.normalised_ap(over_pairs.ap, prevalence), over_pairs.n, d_normalised
        )
    yield Curve("pr", over_pairs.pr)


@view("per_cell", of="pairs", own_bins=True)
def per_cell(pairs: Pairs, prediction: Prediction) -> Found:
    """Over regions, mean over the cells with both classes: AUROC and AP."""
    p = prediction.values
    areas = ranking.auroc_and_ap(pairs.truth, p, axis=1) if pairs.left_out is None else _in_each_cell(pairs, p)
    yield Curve("per_cell", areas[0].astype(np.float32))
    for metric, values, by_cell in zip(("auroc", "ap"), areas, (region_auroc, region_ap), strict=True):
        held = np.isfinite(values)
        over_cells = mean_change(values, pairs.cell_weights) if pairs.cells_resampled else None
        over_regions = None
        if pairs.regions_resampled:  # cells and regions change places
            influence = np.asarray(by_cell(pairs.truth.T, p.T).influence)
            over_regions = linear_change(influence, pairs.region_weights)
        value = float(values[held].mean()) if held.any() else np.nan
        yield Score("per_cell", metric, value, int(held.sum()), pairs.change(over_cells, over_regions))


def _in_each_cell(pairs: Pairs, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return AUROC and AP of each cell over the bins that were not left out."""
    seen, removed = sp.csr_matrix(pairs.left_out), pairs.truth
    areas = np.full((len(p), 2), np.nan)
    for i in range(len(p)):
        kept, truth = np.ones(p.shape[1], dtype=bool), np.zeros(p.shape[1], dtype=bool)
        kept[seen.indices[seen.indptr[i] : seen.indptr[i + 1]]] = False
        truth[removed.indices[removed.indptr[i] : removed.indptr[i + 1]]] = True
        areas[i] = ranking.auroc_and_ap(truth[kept], p[i, kept])
    return areas[:, 0], areas[:, 1]


@view("per_region", of="pairs")
def per_region(pairs: Pairs, prediction: Prediction) -> Found:
    """Over cells, mean over the regions with both classes: AUROC and AP."""
    p, by_cell = prediction.values, pairs.cells_resampled
    area, ap = region_areas(pairs.by_region, p, influence=by_cell)
    yield Curve("per_region", area.score.astype(np.float32))
    yield _mean_over_regions(pairs, "per_region", "auroc", area)
    yield _mean_over_regions(pairs, "per_region", "ap", ap)


@view("depth_matched", of="pairs", needs=["depth"], own_bins=True)
def depth_matched(pairs: Pairs, prediction: Prediction) -> Found:
    """Per region, AUROC over pairs of cells whose true depths differ by at most 3%; over the `top` regions."""
    p, by_cell = prediction.values, pairs.cells_resampled
    regions, strata = views.most_open(pairs.every_open(), pairs.top), views.depth_strata(pairs.depth)
    area = region_auroc(
        pairs.by_region, p, strata, by_size=True, left_out=pairs.left_out, regions=regions, influence=by_cell
    )
    if pairs.left_out is None:
        yield Curve("depth_matched", area.score, stored=False)
    yield _mean_over_regions(pairs, "depth_matched", "auroc", area)


@view("within_type", of="pairs", needs=["labels"])
def within_type(pairs: Pairs, prediction: Prediction) -> Found:
    """Per region, AUROC within labels of at least 50 cells."""
    yield _stratified(pairs, prediction, "within_type", None)


@view("within_type_depth_matched", of="pairs", needs=["labels", "depth"])
def within_type_depth_matched(pairs: Pairs, prediction: Prediction) -> Found:
    """Per region, AUROC over pairs of cells of one label whose true depths differ by at most 3%."""
    yield _stratified(pairs, prediction, "within_type_depth_matched", pairs.depth)


def _stratified(pairs: Pairs, prediction: Prediction, name: str, depth: np.ndarray | None) -> Score:
    strata = views.type_strata(_labels(pairs), depth, min_cells=MIN_TYPE_CELLS)
    regions = views.most_open(pairs.by_region, pairs.top)
    p, by_cell = prediction.values, pairs.cells_resampled
    area = region_auroc(pairs.by_region, p, strata, by_size=depth is not None, regions=regions, influence=by_cell)
    return _mean_over_regions(pairs, name, "auroc", area)


@view("profile", of="pairs", needs=["labels"])
def profile(pairs: Pairs, prediction: Prediction) -> Found:
    """Correlation of pseudobulk over regions, mean over labels; and of its deviation from the mean over labels."""
    p = prediction.values
    code, n_types = views.frequent_codes(_labels(pairs))
    size = max(n_types * p.shape[1], 1)

    def of_truth(weights: np.ndarray, ranks: bool) -> tuple[np.ndarray, np.ndarray | None]:
        bulk = views.pseudobulk(pairs.truth, code, weights, n_types)
        return bulk, views.profile_ranks(bulk) if ranks and n_types else None

    def over_cells(part: slice, ranks: bool) -> np.ndarray:
        weights = pairs.cell_weights[part]
        fits = len(pairs.cell_weights) * size <= _SHARED
        truth, known = (
            pairs.shared((part.start, ranks), lambda: of_truth(weights, ranks)) if fits else of_truth(weights, ranks)
        )
        predicted = views.pseudobulk(p, code, weights, n_types)
        return views.profile_correlation(truth, predicted, ranks=ranks, truth_ranks=known)

    one = np.ones((1, len(code)), dtype=np.float32)
    truth, predicted = (views.pseudobulk(x, code, one, n_types) for x in (pairs.truth, p))

    def over_regions(part: slice, ranks: bool) -> np.ndarray:
        return profile_resampled(truth[0], predicted[0], pairs.region_weights[part], ranks=ranks)

    point = np.full(len(views.PROFILE_METRICS), np.nan)
    if n_types:
        point = views.profile_correlation(truth, predicted)[0]
    changes = []
    if n_types and pairs.cells_resampled:
        changes.append(_in_parts(over_cells, len(pairs.cell_weights), size) - point)
    if n_types and pairs.regions_resampled:
        changes.append(_in_parts(over_regions, len(pairs.region_weights), size) - point)
    change = pairs.change(*changes)
    for j, metric in enumerate(views.PROFILE_METRICS):
        yield Score("profile", metric, float(point[j]), n_types, None if change is None else change[:, j])


def _in_parts(correlation: Callable[[slice, bool], np.ndarray], n: int, size: int) -> np.ndarray:
    # Ranks are slow to compute: where profiles are long, Spearman's interval rests on fewer replicates.
    n_ranked = min(n, max(_MIN_RANKED, _RANK_VALUES // size))
    step = max(1, _CHUNK // size)
    parts = []
    for a, b, ranks in ((0, n_ranked, True), (n_ranked, n, False)):
        parts += [correlation(slice(i, min(i + step, b)), ranks) for i in range(a, b, step)]
    return np.concatenate(parts)


@view("calibration", of="pairs", needs=["probability"], lower_is_better=["ece", "brier"])
def calibrated(pairs: Pairs, prediction: Prediction) -> Found:
    """Expected calibration error, in 15 bins of equal mass, and Brier score."""
    p = prediction.values
    curve = pairs.over_pairs(prediction).reliability
    if curve is None:  # some pairs are left out
        curve = calibration.reliability_curve(pairs.truth, p, n_bins=N_RELIABILITY)
    yield Curve("reliability", curve.astype(np.float32))
    brier = calibration.brier_score(pairs.truth, p, axis=1)
    over_cells = mean_change(brier, pairs.cell_weights) if pairs.cells_resampled else None
    over_regions = None
    if pairs.regions_resampled:
        over_regions = mean_change(calibration.brier_score(pairs.truth, p, axis=0), pairs.region_weights)
    binned = pairs.change(*(h.calibration_change(N_RELIABILITY) for h in pairs.histograms(prediction)))
    yield Score("calibration", "ece", calibration.curve_error(curve), p.size, binned)
    yield Score("calibration", "brier", float(brier.mean()), p.size, pairs.change(over_cells, over_regions))


@view("self_expected", of="pairs", needs=["probability", "model"], aside=None)
def self_expected(pairs: Pairs, prediction: Prediction) -> Found:
    """Score a model against labels drawn from it: what it would reach if its probabilities were the truth."""
    p, rng = prediction.values, prediction.rng
    if rng is None:  # a baseline, of which nothing is drawn
        return
    step = max(1, (1 << 22) // max(p.shape[1], 1))
    drawn = [sp.csr_matrix(rng.random(part.shape, dtype=np.float32) < part, dtype=np.float32)
             for part in (p[a : a + step] for a in range(0, len(p), step))]  # fmt: skip
    no_cells, no_regions = pairs.cell_weights[:0], pairs.region_weights[:0]
    truth = sp.vstack(drawn, format="csr")
    fake = replace(pairs, truth=truth, labels=None, cell_weights=no_cells, region_weights=no_regions)
    inner = Scores()
    for function in (overall, per_cell, per_region, depth_matched):
        inner.add(function(fake, Prediction(prediction.name, p)))
    for name in DRAWN:
        for metric in ("auroc", "ap") if name == "overall" else ("auroc",):
            score = inner[name, metric]
            yield Score("self_expected", f"{name}_{metric}", score.value, score.n)


def _mean_over_regions(pairs: Pairs, name: str, metric: str, scores: RegionScores) -> Score:
    over_cells = over_regions = None
    if scores.influence is not None and scores.n:
        over_cells = linear_change(scores.influence, pairs.cell_weights)
    if pairs.regions_resampled and scores.n:
        over_regions = mean_change(scores.score, pairs.region_weights)
    return Score(name, metric, scores.mean, scores.n, pairs.change(over_cells, over_regions))


def _labels(pairs: Pairs) -> np.ndarray:
    return np.zeros(len(pairs.rows), dtype=object) if pairs.labels is None else pairs.labels
