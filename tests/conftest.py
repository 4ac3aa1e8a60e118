"""Fixtures that all tests share: small real data where it is at hand, and simulated data that needs nothing."""

from __future__ import annotations

import logging
import os
import sys
import tracemalloc
import warnings
from collections.abc import Iterator
from types import FrameType

# Two workers on two cores: threads of their own would wait for each other, spinning. Set before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")  # else UMAP leaves torch with more threads, and sums in another order

import tempfile
import threading
from pathlib import Path

import anndata
import mudata
import numpy as np
import pandas as pd
import pytest

import chromatell

_cache = tempfile.TemporaryDirectory(prefix="chromatell-cache-")  # also of the processes that tests start
os.environ["CHROMATELL_CACHE"] = _cache.name

if not hasattr(mudata, "settings"):  # mudata 0.3: as 0.4 does by default
    mudata.set_options(pull_on_update=False)


_show = warnings._showwarnmsg  # type: ignore[attr-defined]
_of_the_run: list[object] = []  # where pytest keeps warnings while a test runs


def _place(frame: FrameType) -> str:
    """Return whose code a frame runs: a library's name, 'src', 'tests', or nothing for Python's own."""
    path = Path(frame.f_code.co_filename)
    if "site-packages" in path.parts:
        return path.parts[path.parts.index("site-packages") + 1]
    if path.is_relative_to(Path(chromatell.__file__).parent):
        return "src"
    return "tests" if path.is_relative_to(Path(__file__).parent) or path.name.startswith("<doctest") else ""


def _refuse_own(message: warnings.WarningMessage) -> None:
    """Raise a library's warning where the package called that library: such a one is ours to mend.

    What one library says of another's call is theirs. What a test or the package catches is left to them, and so are
    the package's own warnings, which are for the user.
    """
    caught = warnings._showwarnmsg_impl not in _of_the_run  # type: ignore[attr-defined]
    if not caught and not issubclass(message.category, chromatell.ChromatellWarning):
        places, frame = [], sys._getframe(1)
        if threading.current_thread() is not threading.main_thread():  # of a library, for a call of the main one
            frame = sys._current_frames()[threading.main_thread().ident]
        while frame is not None and len(set(places)) < 2:
            places += [place] if (place := _place(frame)) else []
            frame = frame.f_back
        if "src" in places and places[0] != "tests":
            raise message.category(f"{message.message} [a call of the package]")
    _show(message)


warnings._showwarnmsg = _refuse_own  # type: ignore[attr-defined]


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    _of_the_run[:] = [warnings._showwarnmsg_impl]  # type: ignore[attr-defined]
    return (yield)


def put_x_among_layers(patch: pytest.MonkeyPatch) -> None:
    """Let package and tests see what anndata 0.13 shows, a layer None that is `X`; anndata itself does not see it."""
    one = anndata.AnnData(np.ones((1, 1)))
    if None in list(one.layers):
        return

    def patched(kind: type) -> None:
        names, item = kind.__iter__, kind.__getitem__

        def keys(layers, frame):
            seen = frame.f_globals.get("__name__", "").startswith(("chromatell", "test"))
            return [*([None] if seen and layers.parent.X is not None else []), *names(layers)]

        patch.setattr(kind, "__getitem__", lambda layers, key: layers.parent.X if key is None else item(layers, key))
        patch.setattr(kind, "__iter__", lambda layers: iter(keys(layers, sys._getframe(1))))
        patch.setattr(kind, "keys", lambda layers: keys(layers, sys._getframe(1)))
        patch.setattr(kind, "items", lambda layers: [(k, layers[k]) for k in keys(layers, sys._getframe(1))])

    patched(type(one.layers))
    patched(type(one[:1].layers))


if os.environ.get("CHROMATELL_FUTURE"):  # .ci/run: what pandas 3 and anndata 0.13 do, on the stack that is pinned
    if hasattr(pd.options, "future") and int(pd.__version__.split(".")[0]) < 3:
        pd.options.future.infer_string = True
        anndata.settings.allow_write_nullable_strings = True  # as 0.13 does with pandas 3
    put_x_among_layers(pytest.MonkeyPatch())


@pytest.fixture
def x_among_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    put_x_among_layers(monkeypatch)


chromatell.settings.check_seconds = (
    0  # no child process for each file that a test reads; tests/io/test_child.py has some
)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of small real data sets; the test is skipped where it is absent."""
    default = Path(__file__).parents[2] / "shared" / "data"
    path = Path(os.environ.get("CHROMATELL_DATA", default))
    if not path.is_dir():
        pytest.skip(f"real data not found at {path}; set CHROMATELL_DATA")
    return path


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def log() -> Iterator[list[str]]:
    """What the package logs."""
    records: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: records.append(record.getMessage())
    logging.getLogger("chromatell").addHandler(handler)
    yield records
    logging.getLogger("chromatell").removeHandler(handler)


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> str:
    """The same test on the processor and, where there is one, on CUDA."""
    import torch

    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return request.param


@pytest.fixture
def little_memory() -> Iterator[None]:
    """Python and NumPy take under 64 MB in the whole test: nothing large was read or inflated."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 64 * 1024**2
