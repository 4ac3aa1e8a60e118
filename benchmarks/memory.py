"""Peak memory of training, prediction and evaluation of each family at 1x, 2x, 4x and 8x cells, and regions.

``python -m benchmarks memory``, or ``python benchmarks/memory.py [FAMILY ...]``. Each size is a child process, a copy
of one in which nothing but libraries was loaded. It tells the most that was resident in each step, and how much of that
the step added to what the process held before: the data, the model and the libraries. The exponent is the slope of the
added memory against the size, both in logarithms: 0 is flat, 1 grows with the data. Networks are small and trained for
one epoch: what grows is what is looked for.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import multiprocessing
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from _table import write_table

import chromatell as ctl

FACTORS = (1, 2, 4, 8)
FAMILIES = {  # cells (or tracks' bins) and regions at 1x
    "Dense": (400, 500),
    "Dense, on disk": (400, 500),
    "XChrom": (150, 150),
    "AtacFormer": (200, 250),
    "Nascent": (10_000, 0),
}
LIBRARIES = (
    *(f"chromatell.models.{name}" for name in ("dense", "xchrom", "atacformer", "nascent")),
    "chromatell.tl", "chromatell.evaluation.tasks", "chromatell.models._fit_network", "dask.array", "lightning.pytorch",
    "scipy.stats", "scvi.model.base", "sklearn.decomposition", "sklearn.neighbors", "zarr",
)  # fmt: skip
STEPS = ("train", "predict", "evaluate")
TRAIN = {"max_epochs": 1, "accelerator": "cpu", "precision": "32-true"}
BASELINES = ["region_mean_depth", "knn"]
VIEWS = ["overall", "per_cell", "per_region"]
CHEAP = {"n_bootstrap": 20, "seed": 0}


def resident(name: str) -> float:
    """Return a line of this process's status, 'VmRSS' or 'VmHWM', in MB."""
    return int(Path("/proc/self/status").read_text().split(f"{name}:")[1].split()[0]) / 1024


def measured(step: Callable[[], Any]) -> dict[str, float]:
    """Return the peak of a step, what it added, and its seconds."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before, start = resident("VmRSS"), time.perf_counter()
    step()
    peak = resident("VmHWM")
    return {"peak": peak, "added": peak - before, "s": time.perf_counter() - start}


def of_cells(family: str, n_cells: int, n_regions: int, folder: Path) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield the steps of Dense and XChrom."""
    if family == "XChrom":
        mdata = ctl.datasets.simulate_sequence_multiome(n_cells=n_cells, n_regions=n_regions, truth=False, seed=0)
        options: dict[str, Any] = {"stem_filters": 8, "hidden_filters": 8, "n_embed": 8}
    else:
        mdata = ctl.datasets.simulate_multiome(n_cells, 500, n_regions, truth=False, seed=0)
        options = {}
    ctl.pp.split_cells(mdata, seed=0)
    if family.endswith("disk"):
        mdata.write(folder / "cells.h5mu")
        del mdata
        mdata = ctl.io.open_cells(folder / "cells.h5mu")
    kind = ctl.models.XChrom if family == "XChrom" else ctl.models.Dense
    kind.setup_mudata(mdata)
    model = kind(mdata, **options)
    yield "train", lambda: model.train(**TRAIN, seed=0)
    query, out = mdata.mod["rna"], folder / "predicted.zarr"
    yield "predict", lambda: ctl.tl.predict(query, model, out=out)
    ctl.tl.add_prediction(mdata, out, key="predicted")
    yield "evaluate", lambda: ctl.tl.evaluate(mdata, baselines=BASELINES, views=VIEWS, **CHEAP)


def of_bins(n_cells: int, n_bins: int, folder: Path) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield the steps of AtacFormer."""
    atac = ctl.datasets.simulate_multiome(n_cells, 10, n_bins, truth=False, seed=0).mod["atac"]
    ctl.pp.split_cells(atac, seed=0)
    ctl.models.AtacFormer.setup_anndata(atac)
    model = ctl.models.AtacFormer(atac, d=16, k=8, n_hidden=16, n_layers=1, n_heads=2)
    yield "train", lambda: model.train(**TRAIN, seed=0)
    yield "predict", lambda: ctl.tl.predict(atac, model, out=folder / "predicted.zarr")
    yield "evaluate", lambda: ctl.tl.evaluate(atac, {"atacformer": model}, **CHEAP)


def of_tracks(n_bins: int) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield the steps of Nascent."""
    rng = np.random.default_rng(0)
    rate = np.repeat(rng.gamma(0.3, 2.0, n_bins // 20), 20)
    values = np.stack([rng.poisson(rate), rng.poisson(rate), np.log1p(rate)]).astype(np.float32)
    names = ["plus", "minus", "mark"]
    table = [
        {"name": n, "strand": s, "role": r, "assay": a}
        for n, s, r, a in zip(names, "+-.", ["input", "input", "target"], ["PRO", "PRO", "mark"], strict=True)
    ]
    tracks = ctl.data.BinnedTracks({"chr1": values}, table, chrom_sizes={"chr1": 50 * values.shape[1]})
    ctl.pp.split_regions(tracks, by="blocks", fractions=(0.6, 0.2, 0.2), block=5000, width=1050, seed=0)
    model = ctl.models.Nascent(tracks, architecture="cnn", window=21, n_filters=8, stretch=100)
    yield "train", lambda: model.train(**TRAIN, seed=0)
    yield "predict", lambda: ctl.tl.predict(tracks, model)
    ctl.tl.baseline(tracks, "ridge")
    yield "evaluate", lambda: ctl.tl.evaluate(tracks, **CHEAP)


def child(family: str, n_cells: int, n_regions: int, answer: Any) -> None:
    """Send the steps of one size."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if family == "Nascent":
            steps = of_tracks(n_cells)
        elif family == "AtacFormer":
            steps = of_bins(n_cells, n_regions, folder)
        else:
            steps = of_cells(family, n_cells, n_regions, folder)
        answer.send({step: measured(work) for step, work in steps})


def run(family: str, n_cells: int, n_regions: int) -> dict[str, dict[str, float]]:
    """Return the steps of one size, measured in a child process."""
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    process = context.Process(target=child, args=(family, n_cells, n_regions, there))
    process.start()
    there.close()
    try:
        found = here.recv()
    except EOFError:
        raise SystemExit(f"{family}, {n_cells} x {n_regions}: it failed, see above.") from None
    process.join()
    print(family, n_cells, n_regions, {s: (round(v["added"]), round(v["s"])) for s, v in found.items()}, flush=True)
    return found


def main(families: list[str]) -> None:
    """Print and keep the table."""
    for name in LIBRARIES:
        importlib.import_module(name)
    warnings.simplefilter("ignore")
    ctl.settings.verbosity = 0
    rows = []
    for family in families or FAMILIES:
        n_cells, n_regions = FAMILIES[family]
        first = run(family, n_cells, n_regions)
        for axis in ("cells", "regions") if n_regions else ("bins of tracks",):
            found = [first]
            for factor in FACTORS[1:]:
                sizes = (n_cells, n_regions * factor) if axis == "regions" else (n_cells * factor, n_regions)
                found.append(run(family, *sizes))
            for step in STEPS:
                added = [max(one[step]["added"], 1.0) for one in found]
                row: dict[str, Any] = {"family": family, "step": step, "grows": axis}
                row["1x"] = f"{n_cells:,} x {n_regions:,}" if n_regions else f"{n_cells:,}"
                row |= {f"+MB {f}x": f"{mb:.0f}" for f, mb in zip(FACTORS, added, strict=True)}
                row["exponent"] = f"{np.polyfit(np.log(FACTORS), np.log(added), 1)[0]:.2f}"
                row["peak MB 8x"] = f"{found[-1][step]['peak']:.0f}"
                rows.append(row)
    write_table(
        "memory",
        rows,
        "Resident memory that a step adds to what its process held before (+MB), at 1, 2, 4 and 8 times the cells or "
        "regions, and the slope of its logarithm; one epoch of small networks (Dense as it is), predictions into a "
        "Zarr store (tracks in memory), evaluation with two baselines, three views and 20 resamples (bins and "
        "tracks: all of theirs). 'peak': with data, model and libraries. Under about 30 MB it is noise.",
    )


if __name__ == "__main__":
    main(sys.argv[1:])
