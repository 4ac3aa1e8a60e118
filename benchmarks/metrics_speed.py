"""AUROC and average precision of many columns: chromatell beside a loop over scikit-learn, in one run.

    python benchmarks/metrics_speed.py [cells] [regions]

Prints one line for each metric, kind of score and kind of label: seconds, speed-up, largest difference. The loop over
scikit-learn runs on a share of the columns and is scaled up, which favours neither side.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np
import scipy.sparse as sp
from rich.console import Console
from rich.table import Table
from sklearn.metrics import average_precision_score, roc_auc_score

from chromatell.metrics.ranking import auroc, average_precision
from chromatell.metrics.views import depth_matched_auroc

SHARE = 10  # scikit-learn sees one column in ten
METRICS = (("AUROC", auroc, roc_auc_score), ("AP", average_precision, average_precision_score))


def best_of(f: Callable[[], object], n: int = 3) -> float:
    """Return the shortest of `n` runs, in seconds."""
    times = []
    for _ in range(n):
        start = time.perf_counter()
        f()
        times.append(time.perf_counter() - start)
    return min(times)


def main(n_cells: int = 2000, n_regions: int = 4000) -> None:
    rng = np.random.default_rng(0)
    y = rng.random((n_cells, n_regions)) < 0.05
    labels = {"dense 5%": y, "sparse 5%": sp.csr_matrix(y.astype(np.float32))}
    scores = {
        "continuous float32": rng.random(y.shape, dtype=np.float32),
        "continuous float64": rng.random(y.shape),
        "tied (20 values)": rng.integers(0, 20, y.shape).astype(np.float32),
    }
    table = Table(title=f"{n_cells:,} cells x {n_regions:,} regions, one value a region")
    for name in (
        "metric",
        "scores",
        "labels",
        "chromatell s",
        "scikit-learn loop s",
        "times faster",
        "largest difference",
    ):
        table.add_column(name)
    columns = range(0, n_regions, SHARE)
    for metric, ours, theirs in METRICS:
        for kind, score in scores.items():
            start = time.perf_counter()
            expected = np.array([theirs(y[:, j], score[:, j]) for j in columns])
            loop = (time.perf_counter() - start) * SHARE
            for form, given in labels.items():
                seconds = best_of(lambda ours=ours, given=given, score=score: ours(given, score, axis=0))
                off = np.abs(ours(given, score, axis=0)[::SHARE] - expected).max()
                table.add_row(
                    metric, kind, form, f"{seconds:.3f}", f"{loop:.1f}", f"{loop / seconds:.0f}", f"{off:.0e}"
                )
    console = Console()
    console.print(table)
    n, m = 1750, 5400
    sparse = sp.csc_matrix(rng.random((n, m)) < 0.02)
    score, depth = rng.random((n, m), dtype=np.float32), rng.lognormal(size=n)
    for top in (2000, None):
        seconds = best_of(lambda top=top: depth_matched_auroc(sparse, score, depth, top=top), 2)
        console.print(f"depth-matched AUROC, {n:,} cells x {m:,} regions x 10 deciles, top={top}: {seconds:.2f} s")


if __name__ == "__main__":
    main(*(int(a) for a in sys.argv[1:3]))
