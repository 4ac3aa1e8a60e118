"""A table of results as Markdown and JSON, with the machine and the versions it was made with."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).parent / "results"
_PACKAGES = ("chromatell", "anndata", "numpy", "scipy", "torch", "scvi-tools", "zarr", "dask")


def machine() -> dict[str, Any]:
    """Return what a reader needs to know of the machine, and the versions of what was timed."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    threads = os.environ.get("OMP_NUM_THREADS", "all")
    return {
        "processor": name,
        "cores": os.cpu_count(),
        "threads": threads,
        "python": platform.python_version(),
        **versions,
    }


def write_table(name: str, rows: list[dict[str, Any]], note: str = "") -> None:
    """Print rows as Markdown, and keep them under ``benchmarks/results`` as Markdown and JSON."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = ["| " + " | ".join(columns) + " |", "| " + " | ".join("---" for _ in columns) + " |"]
    lines += ["| " + " | ".join(str(row.get(c, "")) for c in columns) + " |" for row in rows]
    about = machine()
    said = ", ".join(f"{k} {v}" for k, v in about.items())
    text = "\n".join(([note, ""] if note else []) + [*lines, "", said]) + "\n"
    print(text)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text(text)
    (RESULTS / f"{name}.json").write_text(json.dumps({"note": note, "machine": about, "rows": rows}, indent=1) + "\n")


def in_pairs(work: dict[str, Callable[[], object]], pairs: int = 5, *, warm: bool = True) -> dict[str, np.ndarray]:
    """Return the seconds of the processor that each work takes, done in turn, `pairs` times."""
    found: dict[str, list[float]] = {name: [] for name in work}
    for i in range(pairs + warm):
        for name, one in work.items():
            start = time.process_time()
            one()
            if i >= warm:
                found[name].append(time.process_time() - start)
    return {name: np.array(seconds) for name, seconds in found.items()}


def spread(values: np.ndarray, digits: int = 2) -> str:
    """Return a median with its range."""
    return f"{np.median(values):.{digits}f} ({values.min():.{digits}f}-{values.max():.{digits}f})"
