"""Time and memory of feature selection: ``python benchmarks/select_features_scale.py``, 36,000 genes x 200,000 regions.

Prints one line a method: seconds, and the memory that the call needed on top of the data. ``--cells``, ``--genes`` and
``--regions`` change the size.
"""

from __future__ import annotations

import argparse
import os
import threading
import time
from collections.abc import Callable

import psutil

import chromatell as ctl


def measured(call: Callable[[], object]) -> tuple[float, float]:
    """Seconds, and peak memory above what was in use before (GB; sampled every 10 ms)."""
    process = psutil.Process(os.getpid())
    before = peak = process.memory_info().rss
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.01):
            peak = max(peak, process.memory_info().rss)

    thread = threading.Thread(target=watch)
    thread.start()
    start = time.perf_counter()
    try:
        call()
    finally:
        seconds = time.perf_counter() - start
        done.set()
        thread.join()
    return seconds, (peak - before) / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--genes", type=int, default=36_000)
    parser.add_argument("--regions", type=int, default=200_000)
    size = parser.parse_args()
    ctl.settings.verbosity = 1
    start = time.perf_counter()
    mdata = ctl.datasets.simulate_multiome(
        size.cells, size.genes, size.regions, depth=0.02 * size.regions, truth=False, seed=0
    )
    rna, atac = mdata.mod["rna"], mdata.mod["atac"]
    stored = sum(m.X.data.nbytes + m.X.indices.nbytes + m.X.indptr.nbytes for m in (rna, atac)) / 1e9
    dense = 4 * (rna.n_obs * rna.n_vars + atac.n_obs * atac.n_vars) / 1e9
    print(
        f"{size.cells} cells x {size.genes} genes x {size.regions} regions, "
        f"{time.perf_counter() - start:.0f} s to simulate"
    )
    print(
        f"open {atac.X.nnz / (atac.n_obs * atac.n_vars):.3f}; {stored:.2f} GB sparse, {dense:.1f} GB if it were dense"
    )
    ctl.pp.split_cells(mdata, seed=0)
    seconds, memory = measured(lambda: ctl.pp.link_genes(mdata, rna.var))
    print(f"{'link_genes':<32}{seconds:8.1f} s  {memory:6.2f} GB")
    for method in ("variance", "proximity", "lasso", "random_forest"):
        seconds, memory = measured(
            lambda method=method: ctl.pp.select_features(mdata, n_genes=2_000, n_regions=50_000, method=method)
        )
        print(f"{'select_features, ' + method:<32}{seconds:8.1f} s  {memory:6.2f} GB")


if __name__ == "__main__":
    main()
