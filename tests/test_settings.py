"""Settings and progress."""

from __future__ import annotations

import pytest

import chromatell as ctl
from chromatell._progress import progress
from chromatell._settings import Settings


def test_seed_is_the_argument_then_the_setting_then_zero(monkeypatch):
    settings = Settings()
    assert settings.resolve_seed(7) == 7
    settings.seed = 3
    assert settings.resolve_seed() == 3
    assert settings.resolve_seed(0) == 0
    monkeypatch.setitem(__import__("sys").modules, "scvi", type("M", (), {"settings": type("S", (), {"seed": 11})}))
    assert Settings().resolve_seed() == 11


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
