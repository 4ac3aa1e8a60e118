"""Seconds of a process that predicts 10 cells, or tracks, from files, by family, beside importing what it needs."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from _table import write_table

import chromatell as ctl

RUNS = 3  # of 6 processes each, after one that fills the caches: about 90 s where nothing else runs
FLOOR = "import torch, anndata, mudata"


def files(folder: Path) -> dict[str, tuple[Path, Path]]:
    """Write a small model of each family; return its query and its file."""
    options = {"train_kwargs": {"max_epochs": 1}, "seed": 0}
    cells = ctl.datasets.simulate_multiome(200, 300, 400, seed=0)
    ctl.pp.split_cells(cells, seed=0)
    ctl.tl.dense(cells, **options)
    dna = ctl.datasets.simulate_sequence_multiome(n_cells=120, n_regions=60, seed=0)
    ctl.pp.split_cells(dna, seed=0)
    ctl.tl.xchrom(dna, stem_filters=8, **options)
    bins = cells.copy()
    del bins.uns["ctl"]["models"]
    ctl.tl.atacformer(bins, context="X_pca", d=16, k=8, n_hidden=32, n_layers=1, n_heads=2, **options)
    found = {}
    for name, mdata in (("dense", cells), ("xchrom", dna), ("atacformer", bins)):
        ctl.io.write(mdata, folder / f"{name}.h5mu")
        mdata.mod["rna"][:10].copy().write_h5ad(folder / f"{name}_query.h5ad")
        found[name] = folder / f"{name}_query.h5ad", folder / f"{name}.h5mu"
    signal = np.random.default_rng(0).poisson(0.3, 4000)
    tracks = ctl.data.BinnedTracks({"chr1": [signal, signal > 1]}, ["plus", "mark"], chrom_sizes={"chr1": 200_000})
    tracks.table.loc["plus", "role"] = "input"
    ctl.tl.nascent(tracks, window=21, **options)
    tracks.save(folder / "nascent.zarr")
    return {**found, "nascent": (folder / "nascent.zarr", folder / "nascent.zarr")}


def spent(*command: str) -> tuple[float, float]:
    """Return the seconds that a process takes, of the processor (its children's too) and by the clock."""
    before, start = os.times(), time.perf_counter()
    subprocess.run([sys.executable, *command], check=True, capture_output=True)
    after = os.times()
    processor = after.children_user + after.children_system - before.children_user - before.children_system
    return processor, time.perf_counter() - start


def main() -> None:
    ctl.settings.verbosity = 1
    with tempfile.TemporaryDirectory() as name:
        work: dict[str, tuple[str, ...]] = {FLOOR: ("-c", FLOOR)}
        for family, (query, model) in files(Path(name)).items():
            call = f"import chromatell as ctl; ctl.tl.predict({str(query)!r}, model={str(model)!r})"
            work[f"tl.predict, {family}"] = "-c", call
        query, model = Path(name) / "dense_query.h5ad", Path(name) / "dense.h5mu"
        out = str(Path(name) / "out.h5mu")
        work["chromatell predict, dense"] = (
            "-m", "chromatell.cli", "predict", str(query), "--model", str(model), "-o", out, "--overwrite",
        )  # fmt: skip
        seconds: dict[str, list[tuple[float, float]]] = {what: [] for what in work}
        for run in range(RUNS + 1):
            for what, command in work.items():
                took = spent(*command)
                if run:
                    seconds[what].append(took)
    processor = {what: np.array(took)[:, 0] for what, took in seconds.items()}
    rows = [
        {"process": what, "s of the processor": f"{np.median(s):.2f} ({s.min():.2f}-{s.max():.2f})",
         "beside the imports": f"{np.median(s / processor[FLOOR]):.2f}",
         "s by the clock, least": f"{min(clock for _, clock in seconds[what]):.2f}"}
        for what, s in processor.items()
    ]  # fmt: skip
    note = (
        "Seconds of a whole process, with those of the child processes that look a file over first; of the processor, "
        f"user and system, median and range of {RUNS} runs in turn. Where other work ran on the machine the clock is "
        "an upper bound. Goal: 4 s."
    )
    write_table("cold_predict", rows, note)


if __name__ == "__main__":
    main()
