"""What training shows: a bar in a terminal, a line an epoch in a log file, nothing that warns in a notebook."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
import threading
import types
import warnings

import pytest
import rich.console

import chromatell as ctl
from chromatell.models._fit_network import make_trainer
from chromatell.models._train_config import TrainConfig

CALL = {"train_kwargs": {"max_epochs": 2}, "seed": 0, "n_hidden": 4, "n_members": 1}


@pytest.fixture(scope="module")
def cells():
    mdata = ctl.datasets.simulate_multiome(60, 8, 12, n_types=2, seed=0)
    ctl.pp.split_cells(mdata, seed=0)
    return mdata


def in_a_terminal(monkeypatch, call):
    """Return what a call writes to stderr where that is a terminal."""
    reader, writer = os.openpty()
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    written = []

    def listen():
        try:
            while piece := os.read(reader, 65536):
                written.append(piece)
        except OSError:  # the other end is closed
            return

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    with os.fdopen(writer, "w") as stderr, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", stderr)
        patch.setitem(vars(ctl.settings), "_verbosity", 2)
        call()
    thread.join(timeout=10)
    os.close(reader)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", b"".join(written).decode())


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="no pseudo-terminals on this system")
def test_a_bar_in_a_terminal(cells, monkeypatch, log):
    shown = in_a_terminal(monkeypatch, lambda: ctl.tl.dense(cells.copy(), **CALL))
    assert re.search(r"Training .* 0/\d+", shown)  # as it begins
    assert re.search(r"Epoch 2/2: training loss [\d.]+, validation loss [\d.]+.* (\d+)/\1", shown)  # as it ends
    assert not [line for line in log if line.startswith("Epoch")]


def test_lines_in_a_file_and_a_run_that_goes_on_says_so(cells, log, tmp_path):
    call = {**CALL, "train_kwargs": {"max_epochs": 2, "checkpoint_dir": tmp_path}}
    ctl.tl.dense(cells.copy(), **call)
    epochs = [line for line in log if line.startswith("Epoch")]
    assert [line.split(":")[0] for line in epochs] == ["Epoch 1/2", "Epoch 2/2"]
    ctl.tl.dense(cells.copy(), **call)
    assert f"Epoch 2 of 2 is in '{tmp_path}': it is finished, nothing is trained." in log


def test_a_notebook_without_ipywidgets_warns_of_nothing(cells, monkeypatch, capsys, log):
    find = importlib.util.find_spec
    monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "ipywidgets" else find(name, *a))
    monkeypatch.setattr(rich.console, "_is_jupyter", lambda: True)
    monkeypatch.setitem(sys.modules, "ipywidgets", None)  # importing it fails
    mdata = cells.copy()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        ctl.tl.dense(mdata, **CALL)
        ctl.tl.evaluate(mdata, baselines=["region_mean", "knn"], n_bootstrap=0)
        ctl.tl.predict(mdata.mod["rna"], mdata)
    assert not [str(w.message) for w in said if "ipywidgets" in str(w.message)]  # tqdm's and rich's both name it
    assert not [line for line in log if line.startswith("Epoch")]  # it would keep every line
    assert "Epoch" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "cure"),
    [
        ({"limit_train_batches": -3, "min_epochs": 1}, "Leave 'limit_train_batches' out of trainer_kwargs."),
        ({"precision": "8", "accelerator": "cpu"}, "Take precision='32-true'."),
        ({"devices": -1}, "Take devices=1."),
        ({"accelerator": "tpuu", "min_epochs": 1}, "Take accelerator='cpu'."),
    ],
)
def test_only_the_option_that_is_wrong_is_to_be_changed(options, cure):
    with pytest.raises(ctl.ChromatellError, match="Training cannot be set up with") as caught:
        make_trainer(TrainConfig(), **options)
    assert str(caught.value).endswith(f". {cure}")
