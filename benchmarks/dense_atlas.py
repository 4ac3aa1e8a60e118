"""Dense on cells that lie on disk: seconds of the processor and peak memory of one epoch, from a shortened one.

``python benchmarks/dense_atlas.py FOLDER [CELLS REGIONS GENES STEPS]`` simulates the cells into FOLDER (8 GB at the
full size; removed at the end), sets up, takes some steps, and says what an epoch would take.
"""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path

import anndata as ad
import h5py
import mudata
import numpy as np
import pandas as pd
from _table import write_table

OPEN, EXPRESSED, TYPES = 0.02, 0.05, 12


def write_counts(path: Path, n_cells: int, n_vars: int, density: float, seed: int) -> np.ndarray:
    """Write a `.h5ad` of cell types, block by block, and return each cell's sum.

    A type's variables are a random subset, 40% of all; a cell holds every so-manieth of these from a random start on.
    """
    rng = np.random.default_rng(seed)
    label = np.random.default_rng(0).integers(0, TYPES, n_cells)
    pools = [np.sort(rng.choice(n_vars, int(0.4 * n_vars), replace=False)).astype(np.int32) for _ in range(TYPES)]
    size = np.maximum(20, rng.lognormal(np.log(density * n_vars), 0.3, n_cells)).astype(np.int64)
    indptr = np.zeros(n_cells + 1, dtype=np.int64)
    empty = ad.AnnData(obs=pd.DataFrame(index=[f"c{i}" for i in range(n_cells)]), var=_names(n_vars, path.stem))
    empty.write_h5ad(path)
    total = np.zeros(n_cells)
    with h5py.File(path, "r+") as file:
        if "X" in file:
            del file["X"]
        group = file.create_group("X")
        group.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": [n_cells, n_vars]})
        for name, dtype in (("indices", np.int32), ("data", np.float32)):
            group.create_dataset(name, (0,), dtype, maxshape=(None,), chunks=(2**18,))
        end = 0
        for start in range(0, n_cells, 2000):
            rows = []
            for i in range(start, min(start + 2000, n_cells)):
                pool = pools[label[i]]
                step = max(1.0, len(pool) / size[i])
                rows.append(pool[(rng.random() * step + np.arange(0, len(pool) - step, step)).astype(np.int64)])
                indptr[i + 1] = indptr[i] + len(rows[-1])
            index = np.concatenate(rows)
            value = (1 + (index * 7919 % 11 == 0)).astype(np.float32)
            total[start : start + len(rows)] = np.add.reduceat(value, indptr[start : start + len(rows)] - indptr[start])
            for name, array in (("indices", index), ("data", value)):
                group[name].resize((end + len(index),))
                group[name][end:] = array
            end += len(index)
        group["indptr"] = indptr
    return total


def _names(n: int, kind: str) -> pd.DataFrame:
    if kind == "rna":
        return pd.DataFrame(index=[f"g{i}" for i in range(n)])
    return pd.DataFrame(index=[f"chr1:{i * 1000}-{i * 1000 + 500}" for i in range(n)])


def peak() -> float:
    """Return the most memory that this process has held, GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def main(
    folder: str = "", n_cells: int = 200_000, n_regions: int = 200_000, n_genes: int = 20_000, steps: int = 10
) -> None:
    import tempfile

    with tempfile.TemporaryDirectory(dir=folder or None) as place:
        _run(Path(place), n_cells, n_regions, n_genes, steps)


def _run(place: Path, n_cells: int, n_regions: int, n_genes: int, steps: int) -> None:
    import chromatell as ctl

    begun = time.process_time()
    write_counts(place / "rna.h5ad", n_cells, n_genes, EXPRESSED, 1)
    depth = write_counts(place / "atac.h5ad", n_cells, n_regions, OPEN, 2)
    size = sum(f.stat().st_size for f in place.iterdir()) / 1e9
    simulated = time.process_time() - begun
    mods = {name: ad.read_h5ad(place / f"{name}.h5ad", backed="r") for name in ("rna", "atac")}
    mods["atac"].obs["n_fragments"] = depth
    mdata = mudata.MuData(mods)
    ctl.pp.split_cells(mdata, seed=0)
    before = peak()
    begun, wall = time.process_time(), time.time()
    ctl.models.Dense.setup_mudata(mdata)
    model = ctl.models.Dense(mdata)
    clock: dict[str, float] = {}

    from lightning.pytorch import Callback

    class Clock(Callback):
        def on_train_batch_start(self, trainer, plan, batch, i):
            clock.setdefault("first", time.process_time())

        def on_train_batch_end(self, trainer, plan, outputs, batch, i):
            clock["last"] = time.process_time()
            clock["n"] = clock.get("n", 0) + 1

    model.train(
        max_epochs=1,
        seed=0,
        precision="32-true",
        trainer_kwargs={"limit_train_batches": steps, "limit_val_batches": 1, "callbacks": [Clock()]},
    )
    whole, wall = time.process_time() - begun, time.time() - wall
    n_train = int((mdata.obs["ctl_split"] == "train").sum())
    step = (clock["last"] - clock["first"]) / clock["n"]
    epoch = step * -(-n_train // 256)
    rows = [
        {
            "cells x regions x genes": f"{n_cells:,} x {n_regions:,} x {n_genes:,}",
            "on disk, GB": f"{size:.1f}",
            "peak, GB": f"{peak():.2f} ({before:.2f} before)",
            "set-up and statistics, s": f"{clock['first'] - begun:.0f}",
            "step of 256 cells, s": f"{step:.2f}",
            "epoch (from the steps), s": f"{epoch:,.0f}",
            "ns a cell-region": f"{1e9 * epoch / n_train / n_regions:.1f}",
            "run in all, s (wall)": f"{whole:.0f} ({wall:.0f})",
        }
    ]
    note = (
        f"Seconds of the processor, one thread, float32. {int(clock['n'])} steps were taken; the epoch is "
        f"one of them times their number; simulating took {simulated:.0f} s and is not counted. "
        "Cells are read with `backed='r'`."
    )
    write_table(f"dense_atlas_{n_cells}x{n_regions}", rows, note)


if __name__ == "__main__":
    main(*sys.argv[1:2], *map(int, sys.argv[2:]))
