"""Every plot takes `ax`, `show` and `save`, and honours them by one piece of code."""

from __future__ import annotations

import inspect

import matplotlib.pyplot as plt
import numpy as np
import pytest
from tests.helpers import file_names

import chromatell as ctl

PLOTS = [name for name in ctl.pl.__all__ if name != "browser"]


@pytest.mark.parametrize("name", PLOTS)
def test_each_plot_has_them_and_says_so(name):
    function = getattr(ctl.pl, name)
    parameters = inspect.signature(function).parameters
    for given in ("ax", "show", "save"):
        assert parameters[given].kind is inspect.Parameter.KEYWORD_ONLY
        assert parameters[given].default is None
        assert f"\n{given}\n    " in inspect.getdoc(function)
    assert function.__code__ is ctl.pl.calibration.__code__, "not drawn through chromatell.pl._plot.plot"


def test_it_draws_on_the_axes_given_and_returns_them(mdata):
    figure, ax = plt.subplots()
    assert ctl.pl.calibration(mdata, ax=ax) is ax
    assert ctl.pl.calibration(mdata, ax=ax, show=False) is ax
    assert plt.get_fignums() == [figure.number]


def test_show_shows_the_figure_and_returns_nothing(mdata, monkeypatch):
    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(plt.get_fignums()))
    for show in (None, False):
        ctl.pl.pr_curve(mdata, show=show)
    assert shown == []
    plt.close("all")
    assert ctl.pl.pr_curve(mdata, show=True) is None
    assert shown == [[1]]


@pytest.mark.parametrize(
    ("suffix", "start"), [(".png", b"\x89PNG"), (".pdf", b"%PDF"), (".svg", b"<?xml"), (".PNG", b"\x89PNG")]
)
def test_save_writes_the_whole_figure_in_the_format_of_its_name(mdata, tmp_path, suffix, start):
    path = tmp_path / "new" / f"board{suffix}"
    axes = ctl.pl.leaderboard(mdata, save=path)
    assert np.size(axes) == 3
    assert path.read_bytes().startswith(start)
    assert file_names(path.parent) == {path.name}


def test_what_is_saved_is_what_was_drawn(mdata, tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"older")
    ax = ctl.pl.confusion(mdata, "dense", save=path)
    picture = plt.imread(path)
    assert picture.shape[1] > 200
    assert len(np.unique(picture.reshape(-1, picture.shape[2]), axis=0)) > 20
    assert ax.get_xlabel() == "Predicted"


@pytest.mark.parametrize(
    ("save", "message"),
    [("a", "one of the suffixes"), ("a.jpog", "save='a.png'"), (True, "is of type bool"), ("taken.png", "is a folder")],
)
def test_a_name_that_cannot_be_written_is_refused_before_anything_is_drawn(mdata, tmp_path, monkeypatch, save, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken.png").mkdir()
    with pytest.raises(ctl.ChromatellError, match=message):
        ctl.pl.pr_curve(mdata, save=save)
    assert plt.get_fignums() == []
    assert file_names(tmp_path) == {"taken.png"}


@pytest.mark.parametrize("ax", [3, "left", [None, 3]])
def test_what_is_no_axes_is_named(mdata, ax):
    with pytest.raises(ctl.ChromatellError, match="axes of matplotlib are needed"):
        ctl.pl.pr_curve(mdata, ax=ax)
    assert plt.get_fignums() == []
