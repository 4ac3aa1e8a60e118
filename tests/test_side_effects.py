"""A snapshot of what calls must leave as it was: files, environment, generators, warnings, signals, plots, settings."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import torch

import chromatell as ctl

QUICK = {"train_kwargs": {"max_epochs": 1}, "seed": 0}


def files(*folders: Path) -> dict[str, int]:
    return {str(p): p.stat().st_size for folder in folders for p in sorted(folder.rglob("*")) if p.is_file()}


def snapshot(*folders: Path) -> dict[str, Any]:
    gc.collect()
    numpy_state = np.random.get_state()  # not Python's own generator: `MuData()` itself draws from it
    return {
        "files": files(*folders),
        "cwd": Path.cwd(),
        "environment": dict(os.environ),
        "sys.path": list(sys.path),
        "numpy's generator": (numpy_state[1].tolist(), numpy_state[2]),
        "torch's generator": torch.get_rng_state().tolist(),
        "torch": (torch.get_default_dtype(), torch.is_grad_enabled(), torch.are_deterministic_algorithms_enabled()),
        "torch's threads": torch.get_num_threads(),
        "warnings": [str(f) for f in warnings.filters],
        "signals": {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)},
        "logging": (logging.root.level, list(logging.root.handlers), logging.getLogger("lightning.pytorch").level),
        "numpy's errors": np.geterr(),
        "hooks": (sys.excepthook, sys.unraisablehook),
        "plots": dict(mpl.rcParams),
        "threads": {t.name for t in threading.enumerate() if not t.daemon},
        "settings": vars(ctl.settings).copy(),
        "umask": os.umask(os.umask(0o22)),
    }


def equal(a: Any, b: Any) -> bool:
    return bool(a == b) if not isinstance(a, dict) else a.keys() == b.keys() and all(equal(a[k], b[k]) for k in a)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("input")
    mdata = ctl.datasets.simulate_multiome(60, 8, 12, n_types=2, seed=0)
    ctl.pp.split_cells(mdata, seed=0)
    ctl.tl.dense(mdata, **QUICK)  # libraries are loaded, and what they do at import is done
    ctl.tl.evaluate(mdata, baselines=["region_mean"], n_bootstrap=5)
    ctl.pl.leaderboard(mdata)
    ctl.io.write(mdata, folder / "shared.h5mu")
    return mdata, folder / "shared.h5mu"


def wrong(mdata: Any, file: Path) -> None:
    with pytest.raises(ctl.ChromatellError):
        ctl.tl.dense(mdata, depth_key="absent", **QUICK)
    with pytest.raises(ctl.ChromatellError):
        ctl.io.read(file.with_name("absent.h5mu"))
    with pytest.raises(ctl.ChromatellError):
        ctl.io.write(mdata, file)


CALLS = {
    "split": lambda m, f: ctl.pp.split_cells(m, seed=1),
    "select": lambda m, f: ctl.pp.select_features(m, n_regions=5),
    "train": lambda m, f: ctl.tl.dense(m, key_added="again", **QUICK),
    "baseline": lambda m, f: ctl.tl.baseline(m, "region_mean"),
    "evaluate": lambda m, f: ctl.tl.evaluate(m, baselines=["region_mean"], n_bootstrap=5),
    "predict": lambda m, f: ctl.tl.predict(m.mod["rna"], model=f),
    "read": lambda m, f: ctl.io.read(f),
    "plot": lambda m, f: ctl.pl.leaderboard(m),
    "errors": wrong,
}


@pytest.mark.parametrize("name", CALLS)
def test_calls_leave_all_else_as_it_was(name, data, tmp_path, monkeypatch):
    mdata, file = data[0].copy(), data[1]
    for variable in ("HOME", "TMPDIR", "XDG_CACHE_HOME"):
        (tmp_path / variable).mkdir()
        monkeypatch.setenv(variable, str(tmp_path / variable))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    before = snapshot(tmp_path, file.parent)
    CALLS[name](mdata, file)
    after = snapshot(tmp_path, file.parent)
    changed = {what for what in before if not equal(before[what], after[what])}
    assert changed == set(), {what: (before[what], after[what]) for what in changed - {"torch's generator"}}
