"""Ctrl-C, a reader that goes away, and mistakes that are told before the libraries are loaded."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
import torch

import chromatell as ctl
from chromatell.cli import _choices, _main, main
from chromatell.genome.variants import read_variants
from chromatell.models.atacformer._decoders import DECODERS
from chromatell.models.atacformer._presets import PRESETS as ATACFORMER
from chromatell.models.dense._module import ENCODERS, DenseModule
from chromatell.models.dense._presets import PRESETS as DENSE
from chromatell.models.nascent._config import ARCHITECTURES
from chromatell.models.xchrom._presets import PRESETS as XCHROM
from chromatell.nn.losses import LOSSES


@pytest.fixture(autouse=True)
def ctrl_c_is_heard():
    """A job in the background is started with Ctrl-C ignored, and hands that on to the tests."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_while_libraries_are_loaded_is_130_whatever_they_make_of_it(monkeypatch, capsys):
    def load(args):
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        except KeyboardInterrupt as error:
            raise ImportError("a library cannot be loaded") from error

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(_main, "_command", lambda name: load)
    assert main(["demo"]) == 130
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "Error: Stopped; nothing was written.\n"
    assert signal.getsignal(signal.SIGINT) is before


def test_other_errors_are_not_taken_for_ctrl_c(monkeypatch):
    def fail(args):
        raise ZeroDivisionError

    monkeypatch.setattr(_main, "_command", lambda name: fail)
    with pytest.raises(ZeroDivisionError):
        main(["demo"])


def test_ctrl_c_while_training_is_130_and_says_how_to_go_on(cells, monkeypatch, capsys):
    loss = DenseModule.loss
    calls = []

    def press(self, batch):
        calls.append(self.training)
        if sum(calls) == 5:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        return loss(self, batch)

    argv = ["train", str(cells), "-o", str(cells.with_name("o.h5mu")), "--max-epochs", "3", "--batch-size", "32"]
    argv += ["--checkpoint-dir", str(cells.with_name("run"))]
    monkeypatch.setattr(DenseModule, "loss", press)
    assert main(argv) == 130
    said = capsys.readouterr()
    assert said.out == ""
    flat = " ".join(said.err.split())
    assert "Training was stopped. The state after epoch 1 is in" in flat
    assert "Traceback" not in said.err
    assert not cells.with_name("o.h5mu").exists()
    monkeypatch.setattr(DenseModule, "loss", loss)
    assert main(argv) == 0
    flat = " ".join(capsys.readouterr().err.split())
    assert "Epoch 1 of 3 is in" in flat
    assert "Epoch 2/3: training loss" in flat


def run_python(code, **options):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, **options)


def test_a_reader_that_has_seen_enough_is_no_error():
    code = """
import subprocess, sys
head = subprocess.Popen(["head", "-n", "1"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
import os
os.dup2(head.stdin.fileno(), 1)
from chromatell.cli import _main, main
_main._command = lambda name: lambda args: print("line\\n" * 10**6)
code = main(["demo"])
print(code, file=sys.stderr)
"""
    ran = run_python(code)
    assert ran.stderr.strip() == "0"
    assert ran.returncode == 0


def test_scores_go_to_stdout_alone(shared, capsys):
    assert main(["evaluate", str(shared), "--csv", "-", "--baselines", "region_mean", "--n-bootstrap", "0", "-q"]) == 0
    table = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert {"dense", "region_mean"} <= set(table["model"])
    assert table["value"].notna().any()


def test_wrong_names_are_told_before_torch_is_loaded(tmp_path):
    code = f"""
import sys
from chromatell.cli import main
code = main(["train", "absent.h5mu", "-o", {str(tmp_path / "o.h5mu")!r}, "--preset", "pannel"])
print(code, "torch" in sys.modules, "scvi" in sys.modules)
"""
    ran = run_python(code)
    assert ran.stdout.split() == ["2", "False", "False"]
    assert (
        "--preset 'pannel' is not one of --family dense: default, panel, wizel2025. Did you mean panel?" in ran.stderr
    )


def test_the_names_are_those_that_the_families_know():
    presets = {"dense": DENSE, "xchrom": XCHROM, "atacformer": ATACFORMER}
    nascent = {name for presets in ARCHITECTURES.values() for name in presets}
    known = _choices.TRAIN
    assert known["preset"] == {**{k: tuple(v) for k, v in presets.items()}, "nascent": ("default", "stanford2019")}
    assert nascent == set(known["preset"]["nascent"])
    assert set(known["encoder"]["dense"]) == set(ENCODERS)
    assert set(known["loss"]["dense"]) == set(LOSSES)
    assert known["decoder"]["atacformer"] == tuple(DECODERS)
    assert known["architecture"]["nascent"] == tuple(ARCHITECTURES)


@pytest.mark.parametrize(
    ("option", "value"),
    [("--seed", "-1"), ("--batch-size", "0"), ("--max-epochs", "0"), ("--lr", "nan")],
)
def test_numbers_out_of_range_are_a_mistake_in_the_call(option, value, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["train", "absent.h5mu", "-o", "o.h5mu", option, value])
    assert stop.value.code == 2
    assert f"argument {option}: '{value}' is not" in capsys.readouterr().err


def test_a_folder_that_cannot_be_used_is_told_first(cells, refused):
    out = cells.with_name("o.h5mu")
    said = refused(["train", cells, "-o", out, "--checkpoint-dir", cells / "run"], 2)
    assert "--checkpoint-dir" in said
    assert "is a file" in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": -1}, "seed=-1: a whole number from 0"),
        ({"seed": 1.5}, "seed=1.5"),
        ({"batch_size": 0}, "batch_size=0 is out of range"),
        ({"max_epochs": 0}, "max_epochs=0 is out of range"),
        ({"lr": -1.0}, "lr=-1.0 is out of range"),
        ({"accelerator": "abacus"}, "accelerator='abacus'"),
        ({"precision": "64-odd"}, "precision='64-odd'"),
        ({"devices": 0}, "devices=0"),
        ({"trainer_kwargs": {"strategy": "ddp_spawn"}}, "take 'ddp'"),
        ({"trainer_kwargs": {"no_such_option": 1}}, "no_such_option"),
    ],
)
def test_the_same_mistakes_in_python_are_one_error_before_any_work(simulated, monkeypatch, options, message):
    mdata = simulated.copy()
    ctl.pp.split_cells(mdata, seed=0)
    monkeypatch.setattr(ctl.models.Dense, "_fit_stats", None)
    with pytest.raises(ctl.ChromatellError, match=message):
        ctl.tl.dense(mdata, train_kwargs=options) if "seed" not in options else ctl.tl.dense(mdata, **options)
    assert "atac_pred" not in mdata.mod


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_told(cells, refused):
    said = refused(["train", cells, "-o", cells.with_name("o.h5mu"), "--accelerator", "gpu", "-q"], 1)
    assert "accelerator='gpu'" in said
    assert "Take accelerator='cpu'" in " ".join(said.split())


def test_names_of_variants_are_told_from_files():
    with pytest.raises(ctl.ChromatellError, match="got list; names, such as 'rs123', are not looked up"):
        read_variants(["rs123"])
