"""``ctl.tl.fisher``: a 2 x 2 table of predicted against observed open, beside the baselines at the same share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Unpack

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from mudata import MuData
from scipy.special import gammaln, logsumexp
from scipy.stats import fisher_exact

from chromatell._keys import FISHER, SPLITS, TRAIN, UNS, USES_TARGET_ASSAY, VAL
from chromatell._settings import logger, settings
from chromatell._validate import ChromatellError, in_range, name_list, one_of, paired, region_split_of, split_of
from chromatell.data.accessibility import open_matrix
from chromatell.data.named import Modalities, modalities
from chromatell.data.predictions import predicted_regions, prediction_keys, read_prediction
from chromatell.evaluation.predictors import inputs_of, origin_of, refuse_trained
from chromatell.evaluation.resampling import cell_weights
from chromatell.evaluation.tasks.splits import check_label_column
from chromatell.models._support import check_dense
from chromatell.models.baselines.cells import ORACLES, SEQUENCE_BASELINES, BaselineFitter
from chromatell.models.baselines.parts import labels_of

NOTE = (
    "Pairs of cells and regions are not independent (a cell's pairs share its depth, a region's its mean), so the "
    "p-value of Fisher's exact test is far too small; read the log odds ratio with its bootstrap interval over cells, "
    "beside the baselines at the same share of predicted positives."
)
_ROWS = 512


@modalities
def fisher(
    mdata: MuData,
    model: str | None = None,
    *,
    threshold: float | Literal["f1"] = "f1",
    split: str = "test",
    baselines: str | Sequence[str] = "all",
    labels: str | None = "cell_type",
    depth_key: str | None = None,
    n_bootstrap: int = 200,
    seed: int | None = None,
    copy: bool = False,
    **more: Unpack[Modalities],
) -> MuData | None:
    r"""Test whether pairs predicted to be open are open more often, and whether more so than a baseline's.

    Each (cell, region) pair of a split is called positive where the prediction is at or above the threshold. With the
    table's counts,

    .. math:: \text{odds ratio} = \frac{tp \cdot tn}{fp \cdot fn}.

    An odds ratio alone measures the threshold: few and certain calls have a higher one. So each baseline gets the
    threshold at which it calls as many pairs as the model does; pairs tied there count in part, as if drawn from
    among them at random. Where regions are split, the training regions are tabulated (cross-cell pairs).

    Parameters
    ----------
    mdata
        With ``obs['ctl_split']``, ``atac`` and ``atac_pred``.
    model
        Key of a prediction; None takes the one in `X`.
    threshold
        ``'f1'``: the one with the highest F1 score over all pairs of the validation cells; or a probability.
    split
        The cells that are tabulated: 'train', 'val' or 'test'.
    baselines
        'all' that are available but for those that read sequence, or a list of kinds, which may be empty. They read
        the modalities that the model reads.
    labels
        Column with cell types for `celltype_mean`; left out where there is none.
    depth_key
        Column of ``mdata.mod['atac'].obs`` with each cell's fragments.
    n_bootstrap
        Resamples of the cells, or of whole donors where cells were split by donor (``split_cells(by=)``), the same for
        the model and every baseline.
    seed
        None follows ``ctl.settings.seed``.

    Returns
    -------
    None, or a new MuData with ``copy=True``. Written:

    ``mdata.uns['ctl']['fisher']`` : pandas.DataFrame
        The model in the first row, then the baselines: `model`, `threshold`, `split`, `tp`, `fp`, `fn`, `tn` (pairs),
        `share_positive` (predicted), `precision`, `recall`, `odds_ratio`, `log_odds_ratio` (natural), `ci_low`,
        `ci_high` (of the log odds ratio, 95%), `p_value` (two-sided), `log10_p`, `is_baseline`, `uses_target_assay`
        (a reference, not a baseline to beat). An earlier table is replaced. `odds_ratio` is infinite where one count
        is 0; there the interval adds half a pair to each. It is NaN, and so is the interval, where all pairs, or none,
        are called.

    Raises
    ------
    ChromatellError
        No such prediction, no split, no validation cell for ``threshold='f1'``, or no open pair among them. Nothing was
        changed.

    Warnings
    --------
    Pairs are not independent: a cell's pairs share its depth, a region's its mean. The p-value is far too small; the
    interval, which resamples cells or donors, is what can be read. ``log10_p`` holds what underflows in `p_value`.

    Notes
    -----
    Peak memory: one prediction of the split beside those in `mdata`, split cells x regions float32.
    Fisher, J. R. Stat. Soc. 1922.

    Examples
    --------
    >>> import chromatell as ctl
    >>> mdata = ctl.datasets.simulate_multiome(200, 30, 60, seed=0)
    >>> ctl.pp.split_cells(mdata, seed=0)
    >>> ctl.tl.baseline(mdata, "svd_ridge", key_added="mine")
    >>> ctl.tl.fisher(mdata, "mine", baselines=["region_mean", "knn"])
    >>> mdata.uns["ctl"]["fisher"]["model"].tolist()
    ['mine', 'region_mean', 'knn']
    """
    _, atac = paired(mdata)
    one_of(split, SPLITS, "split")
    by_f1 = threshold == "f1"
    if not by_f1:
        if isinstance(threshold, str):
            raise ChromatellError(f"threshold={threshold!r} is not known; give 'f1' or a probability in [0, 1].")
        threshold = in_range(threshold, 0, 1, "threshold", whole=False)
    n_bootstrap = in_range(n_bootstrap, 1, 1_000_000, "n_bootstrap")
    splits = split_of(mdata, require=(split,))
    if by_f1 and not (splits == VAL).any():
        raise ChromatellError(
            "threshold='f1' is chosen on validation cells, and mdata.obs['ctl_split'] holds no 'val' cell. Name the "
            "threshold that was chosen on all cells, threshold=0.5 or another; a new split would score cells that the "
            "model was trained on."
        )
    regions = predicted_regions(mdata)
    model = prediction_keys(mdata)[0] if model is None else model
    values = read_prediction(mdata, model)
    if not isinstance(values, np.ndarray):  # in a Zarr store: thresholds need the values at hand
        check_dense(*values.shape)
        values = np.asarray(values, dtype=np.float32)
    refuse_trained(mdata, model, mdata.obs_names[splits == split], split)
    trained = _trained(atac, regions)
    if not trained.all():
        regions, values = regions[trained], values[:, trained]
    seed = settings.resolve_seed(seed)
    check_label_column(mdata, labels)
    inputs = inputs_of(mdata, [model])
    fitter, kinds = _baselines(mdata, regions, baselines, labels, depth_key, inputs, seed)

    cols = atac.var_names.get_indexer(regions)
    rows = np.flatnonzero(splits == split)
    truth = _truth(atac, rows, cols, split)
    if by_f1:
        val = np.flatnonzero(splits == VAL)
        threshold = best_f1_threshold(values, val, _truth(atac, val, cols, VAL))
    counts = cell_tables(values, rows, truth, float(threshold))
    weights = cell_weights(mdata, rows, split, n_bootstrap, np.random.default_rng(seed))
    table = [_row(model, float(threshold), split, counts, weights, is_baseline=False)]
    table[0][USES_TARGET_ASSAY] = bool(origin_of(mdata, model).get(USES_TARGET_ASSAY, False))
    n_called = round(float(counts[:, :2].sum()))
    for kind in [k for k in kinds if k != model]:  # a baseline may itself stand in atac_pred
        predicted = fitter.predict(kind, rows)
        own_threshold, counts = same_share(predicted, truth, n_called)
        table.append(_row(kind, own_threshold, split, counts, weights, is_baseline=True))
    target = mdata.copy() if copy else mdata
    target.uns[UNS] = {**target.uns.get(UNS, {}), FISHER: pd.DataFrame(table)}
    logger.info(NOTE)
    return target if copy else None


def _trained(atac: AnnData, regions: pd.Index) -> np.ndarray:
    """Return which regions were not held out, bool; one that `atac` does not hold is left for the fitter to refuse."""
    places = atac.var_names.get_indexer(regions)
    trained = (region_split_of(atac)[places] == TRAIN) | (places < 0)
    if not trained.any():
        raise ChromatellError(
            f"All {len(regions)} predicted regions are held out; a table is made of training regions. Score these with "
            "ctl.tl.evaluate(mdata, pairs='cross-both')."
        )
    return trained


def _baselines(
    mdata: MuData,
    regions: pd.Index,
    baselines: Any,
    labels: str | None,
    depth_key: str | None,
    inputs: Sequence[str],
    seed: int,
) -> tuple[BaselineFitter, list[str]]:
    """Return the fitter and the kinds that are asked for, each of which must be available."""
    if labels is not None:
        try:
            labels_of(mdata, labels)
        except ChromatellError:
            if not isinstance(baselines, str) and "celltype_mean" in baselines:
                raise
            labels = None
    fitter = BaselineFitter(mdata, regions, labels_key=labels, depth_key=depth_key, seed=seed, inputs=inputs, views=())
    available = fitter.available()
    if isinstance(baselines, str) and baselines == "all":
        return fitter, [kind for kind in available if kind not in SEQUENCE_BASELINES]
    kinds = name_list(baselines, "baselines")
    for kind in kinds:
        one_of(kind, available, "baselines")
    return fitter, kinds


def _truth(atac: Any, rows: np.ndarray, cols: np.ndarray, split: str) -> sp.csr_matrix:
    truth = open_matrix(atac, rows, cols)
    if truth.nnz == 0:
        raise ChromatellError(
            f"No region is open in any of the {rows.size} {split!r} cells; a table needs open pairs. "
            "Split anew, ctl.pp.split_cells(mdata, fractions=(0.6, 0.1, 0.3), seed=1), or select more open regions."
        )
    return truth


def best_f1_threshold(values: np.ndarray, rows: np.ndarray, truth: sp.csr_matrix) -> float:
    """Return the value at which calling pairs at or above it has the highest F1 score.

    Only values of open pairs can be it, so these alone are sorted; the others are counted between them, block by block.
    """
    cells = np.repeat(np.arange(rows.size), np.diff(truth.indptr))
    candidates, n_open = np.unique(values[rows[cells], truth.indices], return_counts=True)
    called = np.zeros(candidates.size, dtype=np.int64)
    for start in range(0, rows.size, _ROWS):
        at = np.searchsorted(candidates, values[rows[start : start + _ROWS]].ravel(), side="right")
        called += np.bincount(at, minlength=candidates.size + 1)[1:]
    tp = np.cumsum(n_open[::-1])[::-1]  # at or above each candidate
    called = np.cumsum(called[::-1])[::-1]
    f1 = 2 * tp / (called + truth.nnz)
    return float(candidates[np.argmax(f1)])


def cell_tables(values: np.ndarray, rows: np.ndarray, truth: sp.csr_matrix, threshold: float) -> np.ndarray:
    """Return tp, fp, fn, tn of each cell, float64 (cells, 4); `values` at or above the threshold are called open."""
    called = np.concatenate(
        [(values[rows[i : i + _ROWS]] >= np.float32(threshold)).sum(axis=1) for i in range(0, rows.size, _ROWS)]
    )
    cells = np.repeat(np.arange(rows.size), np.diff(truth.indptr))
    hit = values[rows[cells], truth.indices] >= np.float32(threshold)
    return _tables(np.bincount(cells, weights=hit, minlength=rows.size), called.astype(np.float64), truth)


def same_share(values: np.ndarray, truth: sp.csr_matrix, n_called: int) -> tuple[float, np.ndarray]:
    """Return the value at which `n_called` pairs are called, and tp, fp, fn, tn of each cell, float64 (cells, 4).

    Where the pairs at that value are more than are needed, each counts in part: the expectation over a random choice
    of them.
    """
    n_cells = values.shape[0]
    if n_called == 0:
        return float(np.nextafter(values.max(), np.float32(np.inf))), _tables(
            np.zeros(n_cells), np.zeros(n_cells), truth
        )
    threshold = _nth_largest(values, n_called)
    cells = np.repeat(np.arange(n_cells), np.diff(truth.indptr))
    open_values = values[cells, truth.indices]
    above, tied = _count(values, threshold)
    share = (n_called - above.sum()) / tied.sum()
    tp = np.bincount(cells, weights=(open_values > threshold) + share * (open_values == threshold), minlength=n_cells)
    return float(threshold), _tables(tp, above + share * tied, truth)


def _count(values: np.ndarray, threshold: np.float32) -> tuple[np.ndarray, np.ndarray]:
    """Return how many values of each row are above `threshold`, and how many equal it."""
    above = np.zeros(values.shape[0], dtype=np.int64)
    tied = np.zeros(values.shape[0], dtype=np.int64)
    for start in range(0, values.shape[0], _ROWS):
        block = values[start : start + _ROWS]
        above[start : start + _ROWS] = (block > threshold).sum(axis=1)
        tied[start : start + _ROWS] = (block == threshold).sum(axis=1)
    return above, tied


def _nth_largest(values: np.ndarray, n: int) -> np.float32:
    """Return the n-th largest of non-negative float32 values, by bisection on their bits: no copy, no sort."""
    bits = values.view(np.int32)  # they sort as the values do, which are not negative
    low, high = max(int(bits.min()), 0), int(bits.max())
    while low < high:  # the largest value that at least n reach
        middle = (low + high + 1) // 2
        reached = sum(int((bits[i : i + _ROWS] >= middle).sum()) for i in range(0, len(bits), _ROWS))
        low, high = (middle, high) if reached >= n else (low, middle - 1)
    return np.int32(low).view(np.float32)


def _tables(tp: np.ndarray, called: np.ndarray, truth: sp.csr_matrix) -> np.ndarray:
    n_open = np.diff(truth.indptr)
    return np.column_stack([tp, called - tp, n_open - tp, truth.shape[1] - called - n_open + tp])


def _row(
    model: str, threshold: float, split: str, counts: np.ndarray, weights: np.ndarray, *, is_baseline: bool
) -> dict[str, Any]:
    called = round(float(counts[:, :2].sum()))
    n_open = round(float(counts[:, [0, 2]].sum()))
    total = round(float(counts.sum()))
    tp = round(float(counts[:, 0].sum()))  # ties may have left a fraction
    fp, fn = called - tp, n_open - tp
    tn = total - tp - fp - fn
    resampled = log_odds(weights @ counts)
    low, high = np.nanquantile(resampled, [0.025, 0.975]) if np.isfinite(resampled).any() else (np.nan, np.nan)
    odds, p, log10_p = fisher_test(tp, fp, fn, tn)
    with np.errstate(divide="ignore"):
        log = float(np.log(odds))
    return {
        "model": model,
        "threshold": threshold,
        "split": split,
        "tp": tp,
        "fp": fp,
        "fn": fn,
        "tn": tn,
        "share_positive": called / total,
        "precision": tp / called if called else np.nan,
        "recall": tp / n_open,
        "odds_ratio": odds,
        "log_odds_ratio": log,
        "ci_low": float(low),
        "ci_high": float(high),
        "p_value": p,
        "log10_p": log10_p,
        "is_baseline": is_baseline,
        USES_TARGET_ASSAY: is_baseline and model in ORACLES,
    }


def log_odds(counts: np.ndarray) -> np.ndarray:
    """Return the log odds ratio of each row of tp, fp, fn, tn; half a pair is added to each where one is 0.

    It is NaN where all pairs, or none, are called or open: such a table says nothing of the two.
    """
    counts = np.asarray(counts, dtype=np.float64)
    tp, fp, fn, tn = (counts + 0.5 * (counts <= 0).any(axis=1, keepdims=True)).T
    margins = [counts[:, i] + counts[:, j] for i, j in ((0, 1), (2, 3), (0, 2), (1, 3))]
    return np.where(np.min(margins, axis=0) > 0, np.log(tp) + np.log(tn) - np.log(fp) - np.log(fn), np.nan)


def fisher_test(tp: int, fp: int, fn: int, tn: int) -> tuple[float, float, float]:
    """Return the odds ratio, the two-sided p-value of Fisher's exact test, and its log10."""
    test = fisher_exact([[tp, fp], [fn, tn]])
    p = float(test.pvalue)
    if p > 1e-250:
        return float(test.statistic), p, float(np.log10(p))
    return float(test.statistic), p, _log10_p(tp, fp, fn, tn)


def _log10_p(tp: int, fp: int, fn: int, tn: int) -> float:
    """Return log10 of the summed probability of all tables, of the same margins, that are no likelier than this one."""
    called, n_open, total = tp + fp, tp + fn, tp + fp + fn + tn
    k = np.arange(max(0, called + n_open - total), min(called, n_open) + 1, dtype=np.float64)
    log_p = (
        -gammaln(k + 1) - gammaln(called - k + 1) - gammaln(n_open - k + 1) - gammaln(total - called - n_open + k + 1)
    )
    at = log_p[int(tp - k[0])]
    return float((logsumexp(log_p[log_p <= at + 1e-7]) - logsumexp(log_p)) / np.log(10))
