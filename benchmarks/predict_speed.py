"""Predictions of 3,000 cells x 50,000 regions into a store, beside a raw write of the same bytes; top_k and groups.

The network predicts alone; in one row it counts `WEIGHTS` beside all that the stack has. (The stack itself gives a
network of one epoch no weight, and one without weight is not computed.)
"""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import zarr
from _table import write_table

import chromatell as ctl

CELLS, REGIONS, GENES = 3000, 50_000, 2000
WEIGHTS = {"depth": 0.05, "low rank": 0.2, "ridge": 0.3, "network": 0.45}  # about those of a model that has learned


def seconds(work: Callable[[], object]) -> float:
    """Return the seconds of the processor that some work takes."""
    start = time.process_time()
    work()
    return time.process_time() - start


def raw(path: Path, values: np.ndarray) -> None:
    """Write the same bytes with zstd at level 1, and nothing else."""
    store = zarr.create_array(
        str(path), shape=values.shape, chunks=(512, 4096), dtype=values.dtype,
        compressors=zarr.codecs.ZstdCodec(level=1),
    )  # fmt: skip
    store[:] = values


def main(pairs: int = 5) -> None:
    ctl.settings.verbosity = 1
    torch.set_num_threads(1)
    mdata = ctl.datasets.simulate_multiome(CELLS, GENES, REGIONS, seed=0)
    ctl.pp.split_cells(mdata, seed=0)
    ctl.models.Dense.setup_mudata(mdata)
    model = ctl.models.Dense(mdata)
    model.train(max_epochs=1, seed=0)
    together = ctl.models.Dense.from_record(model.to_record())
    together.fitted.stack = replace(model.fitted.stack, weights=WEIGHTS)
    model.fitted.stack = None
    rna = mdata.mod["rna"]
    half = model.predict(rna).astype(np.float16)
    found: dict[str, list[float]] = {}
    groups = rna.obs["cell_type"].astype("category").array
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for i in range(pairs):
            work = {
                "raw zstd-1 write of the same bytes": lambda i=i: raw(place / f"raw{i}.zarr", half),
                "predict, in memory": lambda: model.predict(rna),
                "predict -> Zarr float16": lambda i=i: model.predict(rna, out=place / f"h{i}.zarr", dtype="float16"),
                "predict -> Zarr float16, with a stack of four": lambda i=i: together.predict(
                    rna, out=place / f"t{i}.zarr", dtype="float16"
                ),
                "predict -> Zarr float32": lambda i=i: model.predict(rna, out=place / f"s{i}.zarr"),
                "predict, top_k=1000": lambda: model.predict(rna, top_k=1000),
                "predict, means of groups": lambda: model.predict(rna, groups=groups),
            }
            for name, one in work.items():
                found.setdefault(name, []).append(seconds(one))
    base = np.array(found["raw zstd-1 write of the same bytes"])
    write = np.array(found["predict -> Zarr float16"]) - np.array(found["predict, in memory"])
    rows = [
        {
            "step": name,
            "s": f"{np.median(v):.2f} ({min(v):.2f}-{max(v):.2f})",
            "of the raw write": f"{np.median(v / base):.2f} ({(v / base).min():.2f}-{(v / base).max():.2f})",
        }
        for name, v in ((name, np.array(v)) for name, v in found.items())
    ]
    ratio = write / base
    rows.append(
        {
            "step": "write of float16: store less memory",
            "s": f"{np.median(write):.2f} ({write.min():.2f}-{write.max():.2f})",
            "of the raw write": f"{np.median(ratio):.2f} ({ratio.min():.2f}-{ratio.max():.2f})",
        }
    )
    counted = ", ".join(f"{weight} x {member}" for member, weight in WEIGHTS.items())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    write_table(
        "predict_speed",
        rows,
        f"{CELLS:,} cells x {REGIONS:,} regions, {GENES:,} genes; seconds of the processor, torch on one thread, "
        f"median and range of {pairs} runs in turn; the network has {model.network.n_members} members and "
        f"predicts alone, but for the row of a stack, whose weights are set: {counted}. Peak "
        f"of the process {peak:.1f} GB, with the matrices in memory that are compared.",
    )


if __name__ == "__main__":
    main()
