"""Dense at 20,000 cells x 100,000 regions (simulated, about 2% open): one epoch, then all test cells into a Zarr store.

Usage: python benchmarks/dense_scale.py [--cells 20000] [--regions 100000] [--genes 10000]
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from _data import save

import chromatell as ctl


def peak_gb() -> float:
    """Peak resident memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def main(n_cells: int, n_regions: int, n_genes: int) -> str:
    """Return the table."""
    start = time.perf_counter()
    mdata = ctl.datasets.simulate_multiome(n_cells, n_genes, n_regions, depth=0.021 * n_regions, truth=False, seed=0)
    ctl.pp.split_cells(mdata, seed=0)
    made, made_gb = time.perf_counter() - start, peak_gb()
    share = mdata["atac"].X.nnz / np.prod(mdata["atac"].shape, dtype=float)

    ctl.models.Dense.setup_mudata(mdata)
    model = ctl.models.Dense(mdata)
    start = time.perf_counter()
    model.train(max_epochs=1, seed=0)
    trained, trained_gb = time.perf_counter() - start, peak_gb()

    test = mdata["rna"][(mdata.obs["ctl_split"] == "test").to_numpy()].copy()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pred.zarr"
        start = time.perf_counter()
        model.predict(test, out=path, dtype="float16")
        predicted = time.perf_counter() - start
        size = sum(f.stat().st_size for f in path.rglob("*") if f.is_file()) / 1e9
    lines = [
        f"## {n_cells:,} cells x {n_regions:,} regions x {n_genes:,} genes, {share:.1%} open, CPU",
        "",
        "| step | seconds | peak memory of the process so far (GB) |",
        "| --- | --- | --- |",
        f"| simulate, split | {made:.1f} | {made_gb:.2f} |",
        f"| set up, statistics, one epoch ({model.config['smoothing']}) | {trained:.1f} | {trained_gb:.2f} |",
        f"| predict {test.n_obs:,} test cells into Zarr ({size:.2f} GB, float16) | {predicted:.1f} | {peak_gb():.2f} |",
        "",
        f"The dense matrix of all cells would take {n_cells * n_regions * 4 / 1e9:.0f} GB.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=20_000)
    parser.add_argument("--regions", type=int, default=100_000)
    parser.add_argument("--genes", type=int, default=10_000)
    args = parser.parse_args()
    ctl.settings.verbosity = 1
    save("dense_scale", main(args.cells, args.regions, args.genes))
