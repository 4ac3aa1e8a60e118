"""Ctrl-C, a reader that goes away, and mistakes that are told before the libraries are loaded."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
import torch
from tests.helpers import file_names

import chromatell as ctl
from chromatell._keys import OWN_ATAC
from chromatell.cli import _choices, _main, main
from chromatell.evaluation.tasks.bins import BASELINES_OF
from chromatell.evaluation.tasks.splits import KINDS
from chromatell.evaluation.views.registry import view_names
from chromatell.genome.builds import _ALIASES, BUILDS
from chromatell.genome.variants import read_variants
from chromatell.models.atacformer._decoders import DECODERS
from chromatell.models.atacformer._presets import PRESETS as ATACFORMER
from chromatell.models.baselines.cells import BASELINES
from chromatell.models.baselines.tracks import TRACK_BASELINES
from chromatell.models.dense._module import _CHOICES, DenseModule
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
    assert said.err == "Error: Stopped; no output was written.\n"
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


WRONG = [  # words of a call, exit code, what is said
    (
        "train IN -o OUT --preset pannel",
        2,
        "--preset 'pannel' is not one of --family dense: default, panel,",
    ),
    ("train IN -o OUT --family atacformer --decoder x", 2, "--decoder 'x' is not one of --family atacformer: chrom"),
    ("train IN -o OUT --accelerator cdua", 2, "one of auto, cpu, gpu, cuda, mps. Did you mean 'cuda'?"),
    ("train IN -o OUT --family xchrom --annotation no.gtf", 1, "The file of genes 'no.gtf' is not there."),
    ("train no.h5mu -o OUT", 1, "There is no file or folder at no.h5mu."),
    ("train IN -o no/o.h5mu", 2, "The folder of the output"),
    ("evaluate IN --views overal", 2, "--views 'overal' is not one of overall, per_cell, per_region, depth_matched"),
    ("evaluate IN --views raw,smooth", 2, "smoothed, raw, peaks (tracks). Did you mean 'smoothed'?"),
    ("evaluate x.h5ad --views profile", 2, "'profile' is not one of overall, per_cell, depth_matched (cells x bins)."),
    ("evaluate IN --pairs cross_cell", 2, "Did you mean 'cross-cell'?"),
    ("evaluate IN --baselines knn,region_maen", 2, "Did you mean 'region_mean'?"),
    ("evaluate IN --baselines all,knn", 2, "--baselines 'all' is not one of region_mean,"),
    ("evaluate no.h5mu", 1, "There is no file or folder at no.h5mu."),
    ("predict IN --model no.h5mu -o OUT", 1, "There is no file or folder at no.h5mu."),
    ("predict --plus IN --model IN --bigwig IN", 2, "The folder of --bigwig"),
    ("variant IN --variants no.vcf --csv out.csv", 1, "The file of variants 'no.vcf' is not there."),
    ("ism IN --regions chr1:1-9 --csv no/out.csv", 2, "The folder of the output"),
    ("export no.h5mu -o m", 1, "There is no file or folder at no.h5mu."),
    ("export IN -o IN/m", 2, "The folder of -o"),
    ("report no.h5mu -o o.html", 1, "There is no file or folder at no.h5mu."),
    (
        "bin IN -o b.h5ad --chrom-sizes hg83",
        2,
        "--chrom-sizes 'hg83' is not a file that is there, or one of hg19, hg38,",
    ),
    ("bin IN -o b.h5ad --chrom-sizes mm01", 2, "Did you mean 'mm10'?"),
    ("demo --out IN/x", 2, "The folder of --out"),
]


def test_names_files_and_folders_are_told_before_any_library_is_loaded(tmp_path):
    code = """
import contextlib, io, json, sys
from chromatell.cli import main
said = []
for words in json.loads(sys.argv[1]):
    with contextlib.redirect_stderr(io.StringIO()) as out:
        code = main(words.split())
    said.append([code, out.getvalue()])
print(json.dumps([said, sorted({"torch", "scvi", "anndata", "pandas", "numpy"} & set(sys.modules))]))
"""
    (tmp_path / "in.h5mu").touch()
    calls = [words.replace("IN", "in.h5mu").replace("OUT", "out.h5mu") for words, _, _ in WRONG]
    ran = subprocess.run(
        [sys.executable, "-c", code, json.dumps(calls)], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    found, loaded = json.loads(ran.stdout)
    assert loaded == []
    for (words, wanted, message), (ended, said) in zip(WRONG, found, strict=True):
        assert (ended, message in said) == (wanted, True), (words, said)
    assert file_names(tmp_path) == {"in.h5mu"}


def test_the_names_are_those_that_the_families_know():
    presets = {"dense": DENSE, "xchrom": XCHROM, "atacformer": ATACFORMER}
    nascent = {name for presets in ARCHITECTURES.values() for name in presets}
    known = _choices.TRAIN
    assert known["preset"] == {**{k: tuple(v) for k, v in presets.items()}, "nascent": ("default", "stanford2019")}
    assert nascent == set(known["preset"]["nascent"])
    assert set(known["encoder"]["dense"]) == set(_CHOICES["encoder"])
    assert set(known["loss"]["dense"]) == set(LOSSES)
    assert known["decoder"]["atacformer"] == tuple(DECODERS)
    assert known["architecture"]["nascent"] == tuple(ARCHITECTURES)
    assert {name.lower() for name in _choices.BUILDS} == {*BUILDS, *_ALIASES}
    views, pairs, baselines = (_choices.EVALUATE[option] for option in ("views", "pairs", "baselines"))
    own_bins = view_names("pairs", own_bins=True)
    assert own_bins == ("overall", "per_cell", "depth_matched")
    assert views == {"cells": view_names("pairs"), "cells x bins": own_bins, "tracks": view_names("tracks")}
    assert pairs == {"cells": KINDS, "cells x bins": OWN_ATAC}
    of_bins = tuple(dict.fromkeys(kind for kinds in BASELINES_OF.values() for kind in kinds))
    assert baselines == {"cells": tuple(BASELINES), "cells x bins": of_bins, "tracks": tuple(TRACK_BASELINES)}


@pytest.mark.parametrize(
    ("option", "value"),
    [("--seed", "-1"), ("--batch-size", "0"), ("--max-epochs", "0"), ("--lr", "nan")],
)
def test_numbers_out_of_range_are_a_mistake_in_the_call(option, value, capsys):
    assert main(["train", "absent.h5mu", "-o", "o.h5mu", option, value]) == 2
    assert f"Argument {option}: '{value}' is not" in capsys.readouterr().err


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
    with pytest.raises(ctl.ChromatellError, match="1 of 1 variants are not named .*'rs123' are not looked up"):
        read_variants(["rs123"])
