"""Time of `tl.evaluate` beside the training of the model that it scores, and how it grows with the cells.

    python benchmarks/evaluate_speed.py [cells ...]
    python benchmarks/evaluate_speed.py against CHECKOUT    # real data, in turn with the code of another checkout

Simulated cells x 1,000 regions, all baselines, all views. Seconds of the processor, and what of them goes into tuning
the baselines. `benchmarks/results/evaluate_speed.md` keeps the table; the exponent is that of the last doubling.
`evaluate_speed_real.md` keeps the second one: the packaged example and the cortex after 3 epochs of a Dense, with all
baselines that the code has, and with four that both have; each run in a process of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from _data import data_dir
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


_ONE = """
import json, sys, time, warnings
warnings.simplefilter("ignore")
sys.path.insert(0, sys.argv[2])
from _data import load
import chromatell as ctl
ctl.settings.verbosity = 0
mdata = ctl.datasets.pbmc_example() if sys.argv[1] == "example" else load(sys.argv[1])
ctl.pp.split_cells(mdata, seed=0)
ctl.tl.dense(mdata, seed=0, train_kwargs={"max_epochs": 3})
found = {}
for name, kinds in (("all", "all"), ("four", ["region_mean", "region_mean_depth", "knn", "svd_ridge"])):
    start = time.process_time()
    ctl.tl.evaluate(mdata, seed=0, baselines=kinds)
    found[name] = time.process_time() - start
print(json.dumps(found))
"""


def against(other: Path, pairs: int = 3) -> None:
    """Print and keep the seconds of two checkouts on real data."""
    own, rows = Path(__file__).parents[1], []
    for name in ("example", "cortex"):
        runs: dict[Path, list[dict[str, float]]] = {other: [], own: []}
        for _ in range(pairs):
            for root, found in runs.items():
                command = [sys.executable, "-c", _ONE, name, str(root / "benchmarks")]
                data = {"CHROMATELL_DATA": str(data_dir()), "OMP_NUM_THREADS": "1"}
                env = os.environ | data | {"PYTHONPATH": str(root / "src")}
                done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
                found.append(json.loads(done.stdout.splitlines()[-1]))
        for what in ("all", "four"):
            before, now = (np.array([run[what] for run in runs[root]]) for root in (other, own))
            ratio = now / before
            row = {"set": name, "baselines": what, "before, s": f"{np.median(before):.1f}"}
            spread = f"{np.median(ratio):.2f} ({ratio.min():.2f} to {ratio.max():.2f})"
            rows.append(row | {"now, s": f"{np.median(now):.1f}", "now / before": spread})
        write_table("evaluate_speed_real", rows, f"`tl.evaluate` beside the code of {other.name}, {pairs} pairs.")


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
    if sys.argv[1:2] == ["against"]:
        against(Path(sys.argv[2]).resolve())
    else:
        main([int(a) for a in sys.argv[1:]] or [1_000, 2_000, 4_000, 8_000])
