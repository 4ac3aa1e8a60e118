"""Settings and progress."""

from __future__ import annotations

import numpy as np
import pytest

import chromatell as ctl
from chromatell._progress import progress
from chromatell._settings import Settings, file_name, logger


def test_seed_is_the_argument_then_the_setting_then_zero(monkeypatch):
    settings = Settings()
    assert settings.resolve_seed(7) == 7
    settings.seed = 3
    assert settings.resolve_seed() == 3
    assert settings.resolve_seed(0) == 0
    monkeypatch.setitem(__import__("sys").modules, "scvi", type("M", (), {"settings": type("S", (), {"seed": 11})}))
    assert Settings().resolve_seed() == 11


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("seed", "a", "ctl.settings.seed='a': a whole number from 0 or None is needed"),
        ("seed", True, "ctl.settings.seed=True"),
        ("seed", -1, "ctl.settings.seed=-1"),
        ("n_jobs", "four", "ctl.settings.n_jobs='four': a whole number from 1 is needed"),
        ("n_jobs", 0, "ctl.settings.n_jobs=0"),
        ("dense_limit", None, "ctl.settings.dense_limit=None: a number from 0 is needed"),
        ("check_seconds", float("nan"), "ctl.settings.check_seconds=nan"),
    ],
)
def test_a_knob_refuses_what_it_cannot_take(name, value, message):
    before = getattr(ctl.settings, name)
    with pytest.raises(ctl.ChromatellError, match=message):
        setattr(ctl.settings, name, value)
    assert getattr(ctl.settings, name) == before
    setattr(ctl.settings, name, before)


def test_all_knobs_are_shown():
    shown = repr(type(ctl.settings)())
    assert shown == "Settings(seed=None, verbosity=2, n_jobs=1, dense_limit=4294967296, check_seconds=60)"


def test_verbosity_is_checked():
    with pytest.raises(ValueError, match="must be 0, 1, 2 or 3"):
        ctl.settings.verbosity = 9


def test_progress_is_silent_without_a_terminal_and_counts_with_one(monkeypatch, capsys):
    with progress("Doing", 2, "things") as advance:
        advance(1)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(Settings, "progress", property(lambda self: True))
    monkeypatch.setenv("TTY_COMPATIBLE", "1")  # as rich names a terminal
    with progress("Doing", 2, "things") as advance:
        advance(2)
    assert "Doing" in capsys.readouterr().err


def test_the_log_names_files_and_not_where_they_lie(tmp_path, caplog, monkeypatch):
    assert file_name(tmp_path / "a.fa") == file_name("/home/me/a.fa") == "a.fa"
    fasta = tmp_path / "small.fa"
    fasta.write_text(">chr1\n" + "ACGT" * 100 + "\n")
    monkeypatch.setattr(logger, "propagate", True)
    with caplog.at_level("INFO", logger="chromatell"):
        genome = ctl.genome.Genome(fasta, cache_dir=tmp_path / "cache")
        assert genome.fetch("chr1", 0, 4).tolist() == [0, 1, 2, 3]
        fasta.write_text(">chr1\n" + "CCGT" * 101 + "\n")
        assert ctl.genome.Genome(fasta, cache_dir=tmp_path / "cache").fetch("chr1", 0, 4).tolist() == [1, 1, 2, 3]
        pytest.importorskip("pybigtools")
        tracks = ctl.data.BinnedTracks({"chr1": np.ones((1, 8))}, ["mark"], chrom_sizes={"chr1": 400})
        ctl.io.bigwig.write(tracks, tmp_path / "out")
    assert "Encoded small.fa" in caplog.text
    assert "The token cache small.fa-" in caplog.text
    assert "Wrote mark.bw" in caplog.text
    assert str(tmp_path) not in caplog.text
