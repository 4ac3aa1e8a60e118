"""What the benchmark scripts share: the two data sets as the issue of each number defines them, and a table printer."""

from __future__ import annotations

import os
from pathlib import Path

import mudata
import numpy as np
from mudata import MuData

import chromatell as ctl
from chromatell._compat import no_pull

RESULTS = Path(__file__).parent / "results"


def data_dir() -> Path:
    """The folder of small real data sets."""
    return Path(os.environ.get("CHROMATELL_DATA", Path(__file__).parents[2] / "shared" / "data"))


def load(name: str) -> MuData:
    """Read 'pbmc' (51 genes x 2,815 regions), 'cortex' (1,677 x 25,734) or 'bmmc' (500 cells, 1,134 x 600)."""
    files = {"pbmc": "pbmc10k_51genes.h5mu", "cortex": "snare_mouse_cortex.h5mu", "bmmc": "bmmc_500cells.h5mu"}
    file = files[name]
    with no_pull():
        return mudata.read_h5mu(data_dir() / "multiome" / file)


def prepare(mdata: MuData, name: str, seed: int) -> MuData:
    """Split the cells (70 / 10 / 20) and select the regions on the training cells."""
    mdata = mdata.copy()
    ctl.pp.split_cells(mdata, seed=seed)
    if name == "pbmc":
        ctl.pp.select_features(mdata, n_regions=500)
    else:
        ctl.pp.select_features(mdata, min_open=0.005)
    return mdata


def interval(values: np.ndarray) -> tuple[float, float, float]:
    """Return (mean, low, high): Student's t over the values."""
    from scipy import stats

    values = np.asarray(values, dtype=float)
    n = len(values)
    half = stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n) if n > 1 else np.nan
    return float(values.mean()), float(values.mean() - half), float(values.mean() + half)


def save(name: str, text: str) -> None:
    """Print a table and keep it under ``benchmarks/results``."""
    print(text)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text(text + "\n")
