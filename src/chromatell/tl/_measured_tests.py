"""Tests of measured accessibility between groups: by cells, by donors, by DESeq2 on pseudobulk."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from scipy import stats

from chromatell._validate import ChromatellError
from chromatell.data.chosen import indicator
from chromatell.tl._resampling import PSEUDO

TESTS = ("cells", "donors", "deseq2")
MIN_CELLS = 5  # a donor needs so many in a group and outside it


def by_cells(x: sp.csr_matrix, inside: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """Return two-sided p-values, float64 (regions,): open cells of a group, given those of both and their depth.

    The number of open cells in the group, out of all open ones, is binomial with the group's share of the depth.
    """
    depth = np.asarray(x.sum(axis=1, dtype=np.float64)).ravel()
    k = np.asarray(x[inside].sum(axis=0)).ravel()
    n = k + np.asarray(x[outside].sum(axis=0)).ravel()
    share = depth[inside].sum() / max(depth[inside].sum() + depth[outside].sum(), 1e-12)
    below, above = stats.binom.cdf(k, n, share), stats.binom.sf(k - 1, n, share)
    return np.where(n > 0, np.minimum(1.0, 2 * np.minimum(below, above)), np.nan)


def by_donors(x: sp.csr_matrix, inside: np.ndarray, outside: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """Return two-sided p-values of the donors' log ratios: paired t where donors have both, Welch's t elsewhere."""
    n = int(samples.max()) + 1
    depth = np.asarray(x.sum(axis=1, dtype=np.float64)).ravel()
    logs = []
    for cells in (inside, outside):
        of = np.full(x.shape[0], -1)
        of[cells] = samples[cells]
        enough = np.bincount(of[of >= 0], minlength=n) >= MIN_CELLS
        sums = np.asarray((indicator(of, n) @ x).todense(), dtype=np.float64)
        total = np.bincount(of[of >= 0], depth[of >= 0], minlength=n)
        enough &= total > 0
        rate = sums / np.where(enough, total, 1.0)[:, None] * depth.mean()
        logs.append(np.where(enough[:, None], np.log2(rate + PSEUDO), np.nan))
    both = np.isfinite(logs[0][:, 0]) & np.isfinite(logs[1][:, 0])
    if both.sum() >= 2:
        return _t_test((logs[0] - logs[1])[both])
    parts = [one[np.isfinite(one[:, 0])] for one in logs]
    if min(len(part) for part in parts) < 2:
        return np.full(x.shape[1], np.nan)
    return _t_test(*parts)


def _t_test(*parts: np.ndarray) -> np.ndarray:
    """Return p-values of a mean of 0, or of two equal means (Welch); NaN where nothing varies."""
    n = [len(part) for part in parts]
    error = [part.var(axis=0, ddof=1) / len(part) for part in parts]
    total = np.sum(error, axis=0)
    flat = total <= 1e-20
    means = [part.mean(axis=0) for part in parts]
    shift = means[0] - (means[1] if len(parts) == 2 else 0.0)
    safe = np.where(flat, 1.0, total)
    df = safe**2 / np.maximum(sum(e**2 / (k - 1) for e, k in zip(error, n, strict=True)), 1e-300)
    return np.where(flat, np.nan, 2 * stats.t.sf(np.abs(shift) / np.sqrt(safe), df))


def by_deseq2(x: Any, inside: np.ndarray, outside: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """Return p-values of DESeq2 on the counts of each donor's cells in and outside the group."""
    try:
        from pydeseq2.dds import DeseqDataSet
        from pydeseq2.ds import DeseqStats
    except ImportError as error:
        raise ChromatellError(
            "test='deseq2' needs pydeseq2: pip install 'chromatell[differential]'. test='donors' needs nothing."
        ) from error
    counts, about = [], []
    for name, cells in (("a", inside), ("b", outside)):
        for donor in np.unique(samples[cells]):
            own = cells[samples[cells] == donor]
            if donor >= 0 and own.size >= MIN_CELLS:
                counts.append(np.asarray(x[own].sum(axis=0)).ravel())
                about.append((f"{name}{donor}", name))
    table = pd.DataFrame(about, columns=["name", "side"]).set_index("name")
    if table["side"].value_counts().reindex(["a", "b"]).fillna(0).min() < 2:
        return np.full(x.shape[1], np.nan)
    counted = np.array(counts).astype(np.int64)
    used = counted.sum(axis=0) > 0
    frame = pd.DataFrame(counted[:, used], index=table.index, columns=[str(i) for i in np.flatnonzero(used)])
    data = DeseqDataSet(counts=frame, metadata=table, design="~side", quiet=True)
    data.deseq2()
    result = DeseqStats(data, contrast=["side", "a", "b"], quiet=True)
    result.summary()
    out = np.full(counted.shape[1], np.nan)
    out[used] = result.results_df["pvalue"].to_numpy()
    return out


def false_discovery(p: np.ndarray) -> np.ndarray:
    """Return Benjamini and Hochberg's adjusted p-values; NaN stay NaN and do not count."""
    known = np.isfinite(p)
    out = np.full(p.shape, np.nan)
    if known.any():
        out[known] = stats.false_discovery_control(p[known])
    return out
