"""Altered files, seeded, in a child process: the same answer, a documented difference, or one clear error.

``python -m benchmarks fuzz`` does the same for as long as it is told to.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import chromatell as ctl

ROOT = Path(__file__).parents[1]
QUICK = (
    *("model.safetensors", "signal.bw", "regions.bed", "fragments.tsv", "chrom.sizes", "genome.fa", "genes.gtf"),
    *("models.gtf", "genes.bed12", "peaks.homer", "motifs.meme", "rehashed dense"),
)
SLOW = ("model.h5mu", "model.zarr", "data.h5ad", "data.h5mu", "data.zarr", "tracks.zarr", "predictions.zarr")
NOTHING_SAME = {"model.safetensors"}  # of 300, since every byte is covered by the hash


def run(*words: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(Path(ctl.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    call = [sys.executable, "-m", *words]
    return subprocess.run(call, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("kinds", "inputs"), [(QUICK, 300), (SLOW, 24)], ids=["quick", "slow"])
def test_altered_inputs(kinds, inputs, tmp_path):
    pytest.importorskip("pybigtools")
    pytest.importorskip("pyfaidx")
    ended = run("benchmarks.fuzz.run", "--together", "1", str(inputs), str(tmp_path), *kinds)
    assert ended.returncode == 0, ended.stderr[-2000:]
    found = json.loads(ended.stdout)
    assert list(found) == list(kinds)
    for kind, said in found.items():
        assert said["bad"] == [], kind
        assert sum(said["count"].values()) == inputs
        assert said["count"]["refused"] > inputs / 10, kind  # the alterations are such that something is refused
        assert said["count"].get("same", 0) > 0 or kind in NOTHING_SAME, kind  # and not everything


def test_the_harness_finds_what_it_looks_for(tmp_path):
    """A reader that answers otherwise, raises a bare error, ends or hangs is counted as such."""
    script = f"""
import sys, time, os
from pathlib import Path
import benchmarks.fuzz.run as run
from benchmarks.fuzz import texts
bed = texts.Bed.read
def read(self):
    n = int.from_bytes(self.path.read_bytes()[-3:], "little") % 4 if self.path.read_bytes() != self.raw else 9
    if n == 0:
        return [("chr1", 1, 2)]
    if n == 1:
        raise KeyError("bare")
    return bed(self)
texts.Bed.read = read
folder = Path({str(tmp_path)!r})
run.together(["regions.bed"], 0, 60, folder)
"""
    ended = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(Path(ctl.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    count = json.loads(ended.stdout)["regions.bed"]["count"]
    assert count["silent"] >= 1
    assert count["fault"] >= 1
    assert count["refused"] >= 1


def test_the_command_says_what_it_knows():
    ended = run("benchmarks", "fuzz", "--kinds", "no such")
    assert ended.returncode == 2
    assert "there are ['model.h5mu'," in ended.stdout
    assert run("benchmarks").returncode == 2
