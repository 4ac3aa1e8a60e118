"""Time of `tl.evaluate` beside the training of the model that it scores, and how it grows with the cells.

    python benchmarks/evaluate_speed.py [cells ...]

Simulated cells x 1,000 regions, all baselines, all views. Seconds of the processor, and what of them goes into tuning
the baselines. `benchmarks/results/evaluate_speed.md` keeps the table; the exponent is that of the last doubling.
"""

from __future__ import annotations

import sys
import time
import warnings

import numpy as np
from _table import write_table

import chromatell as ctl
from chromatell.models.baselines import protocol


def seconds(cells: int) -> dict[str, float]:
    """Return the seconds of training, of scoring and of tuning."""
    mdata = ctl.datasets.simulate_multiome(cells, 200, 1_000, n_types=6, depth=40.0, truth=False, seed=0)
    ctl.pp.split_cells(mdata, seed=0)
    start = time.process_time()
    ctl.tl.dense(mdata, seed=0)
    train = time.process_time() - start
    tuning, tune = [0.0], protocol.tune

    def timed(*args):
        before = time.process_time()
        found = tune(*args)
        tuning[0] += time.process_time() - before
        return found

    protocol.tune = timed
    start = time.process_time()
    ctl.tl.evaluate(mdata, seed=0)
    protocol.tune = tune
    return {"train": train, "evaluate": time.process_time() - start, "tuning": tuning[0]}


def main(sizes: list[int]) -> None:
    """Print and keep the table."""
    rows, before = [], None
    for cells in sizes:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = seconds(cells)
        row = {"cells": f"{cells:,}"} | {f"{k}, s": f"{v:.1f}" for k, v in found.items()}
        row["evaluate / train"] = f"{found['evaluate'] / found['train']:.2f}"
        if before is not None:
            grown = np.log(found["evaluate"] / before[1]) / np.log(cells / before[0])
            row["exponent"] = f"{grown:.2f}"
        before = cells, found["evaluate"]
        rows.append(row)
        write_table(
            "evaluate_speed", rows, "`tl.evaluate`, 1,000 regions, all baselines and views; goal <= 1x training."
        )


if __name__ == "__main__":
    main([int(a) for a in sys.argv[1:]] or [1_000, 2_000, 4_000, 8_000])
