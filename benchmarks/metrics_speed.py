"""AUROC and average precision of each region: chromatell beside scikit-learn and torchmetrics, in turns.

``python benchmarks/metrics_speed.py [CELLS] [REGIONS]``. The peers go through one region in ten, and their time is
scaled up, which favours neither side; torchmetrics is given all of these at once, as labels of one call.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from _table import in_pairs, spread, write_table
from sklearn.metrics import average_precision_score, roc_auc_score
from torchmetrics.functional.classification import multilabel_auroc, multilabel_average_precision

from chromatell.metrics.ranking import auroc, average_precision
from chromatell.metrics.views import depth_matched_auroc

SHARE = 10  # of the regions, one in so many for the peers
METRICS = {
    "AUROC": (auroc, roc_auc_score, multilabel_auroc),
    "AP": (average_precision, average_precision_score, multilabel_average_precision),
}


def compared(name: str, score: np.ndarray, labels: dict[str, Any]) -> list[dict[str, str]]:
    """Return the rows of one metric and one kind of score."""
    ours, sklearn, theirs = METRICS[name]
    y, part = labels["dense"][:, ::SHARE], np.ascontiguousarray(score[:, ::SHARE])
    tensors = torch.from_numpy(part), torch.from_numpy(np.ascontiguousarray(y, dtype=np.int64))
    found: dict[str, np.ndarray] = {}

    def kept(who: str, value: Callable[[], Any]) -> None:
        found[who] = np.asarray(value())

    work: dict[str, Callable[[], None]] = {
        form: partial(kept, form, partial(ours, given, score, axis=0)) for form, given in labels.items()
    }
    work["sklearn"] = partial(kept, "sklearn", lambda: [sklearn(a, b) for a, b in zip(y.T, part.T, strict=True)])
    work["torchmetrics"] = partial(kept, "torchmetrics", partial(theirs, *tensors, y.shape[1], average="none"))
    seconds = in_pairs(work)
    rows = []
    for form in labels:
        row = {"metric": name, "labels": form, "s": spread(seconds[form], 3)}
        for who in ("sklearn", "torchmetrics"):
            row[f"{who} s"] = spread(seconds[who] * SHARE, 1)
            row[f"{who} / it"] = spread(seconds[who] * SHARE / seconds[form], 0)
            row[f"off {who}"] = f"{np.abs(found[form][::SHARE] - found[who]).max():.0e}"
        rows.append(row)
    return rows


def main(n_cells: int = 2000, n_regions: int = 4000) -> None:
    warnings.filterwarnings("ignore", module="torchmetrics")
    rng = np.random.default_rng(0)
    y = rng.random((n_cells, n_regions)) < 0.05
    labels = {"dense": y, "sparse": sp.csr_matrix(y.astype(np.float32))}
    scores = {
        "float32": rng.random(y.shape, dtype=np.float32),
        "float64": rng.random(y.shape),
        "20 values, float32": rng.integers(0, 20, y.shape).astype(np.float32),
    }
    rows = [
        {"scores": kind} | row
        for name in METRICS
        for kind, score in scores.items()
        for row in compared(name, score, labels)
    ]
    n, m = 1750, 5400
    opened = sp.csc_matrix(rng.random((n, m)) < 0.02)
    score, depth = rng.random((n, m), dtype=np.float32), rng.lognormal(size=n)
    matched = in_pairs(
        {str(top): partial(depth_matched_auroc, opened, score, depth, top=top) for top in (2000, None)}, 3
    )
    more = "; ".join(f"top={top} {spread(s)} s" for top, s in matched.items())
    write_table(
        "metrics_speed",
        rows,
        f"{n_cells:,} cells x {n_regions:,} regions, 5% open, one value a region; seconds of the processor, median and "
        f"range of 5 runs in turn; the peers on one region in {SHARE}, times {SHARE}. 'off': largest difference. "
        f"Depth-matched AUROC of {n:,} cells x {m:,} regions in 10 strata: {more}.",
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
