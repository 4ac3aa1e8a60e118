"""The tuner of the baselines: a search along axes, for each purpose, with a word where the end of a grid is best."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from chromatell._settings import logger
from chromatell.models.baselines.protocol import Axis, tune


def test_each_purpose_has_its_least_loss_and_no_option_is_tried_twice():
    axes = {"a": Axis(tuple(range(10)), 5), "b": Axis((0.0, 1.0, 2.0), 1.0, (True, True))}
    tried = []

    def losses(option):
        tried.append(option)
        a, b = option
        return {"low": (a - 2) ** 2 + b, "high": (a - 7) ** 2 - b, "never": np.nan}

    assert tune("x", axes, losses) == {"low": (2, 0.0), "high": (7, 2.0)}
    assert len(set(tried)) == len(tried) < 30
    assert tune("x", axes, None) == {"": (5, 1.0)}
    assert tune("x", axes, lambda option: {"never": np.nan}) == {"": (5, 1.0)}


def alone(sizes, start, loss):
    """The search written plainly, for one purpose."""
    best = start
    for _ in range(8):
        before = best
        for axis, n in enumerate(sizes):
            origin = best
            for step in (1, -1):
                worse, at = 0, origin[axis] + step
                while 0 <= at < n and worse < 2:
                    place = (*origin[:axis], at, *origin[axis + 1 :])
                    if loss[place] < loss[best]:
                        best, worse = place, 0
                    else:
                        worse += 1
                    at += step
        if best == before:
            return best
    return best


def test_purposes_beside_each_other_find_what_each_finds_alone_and_ask_for_no_other_loss(rng):
    sizes, start, asked = (7, 6, 5), (3, 2, 2), []
    surface = {name: rng.normal(size=sizes).cumsum(axis=0) for name in ("one", "two", "three")}
    surface["one"][0] = np.nan

    class Lazy(dict):
        def __init__(self, place):
            super().__init__(dict.fromkeys(surface))
            self.place = place

        def __getitem__(self, name):
            asked.append((self.place, name))
            return surface[name][self.place]

    axes = {str(n): Axis(tuple(range(n)), at, (True, True)) for n, at in zip(sizes, start, strict=True)}
    found = tune("x", axes, Lazy)
    assert found == {name: alone(sizes, start, np.nan_to_num(loss, nan=np.inf)) for name, loss in surface.items()}
    assert len(asked) == len(set(asked)) < np.prod(sizes)


def test_one_worse_value_on_the_way_does_not_stop_the_search():
    loss = dict(enumerate([0.0, 5.0, 2.0, 4.0, 3.0]))
    assert tune("x", {"a": Axis(tuple(range(5)), 4, (True, False))}, lambda o: {"one": loss[o[0]]}) == {"one": (0,)}


@pytest.mark.parametrize(("ends", "warned"), [((False, False), True), ((False, True), False)])
def test_the_end_of_a_grid_is_worth_a_warning_unless_it_is_one_of_the_data(monkeypatch, ends, warned):
    said = []
    monkeypatch.setattr(logger, "warning", lambda message, *args: said.append(message % args))
    chosen = tune("knn", {"k": Axis((5, 10, 20), 10, ends)}, lambda option: {"ap": -option[0]})
    assert chosen == {"ap": (20,)}
    assert bool(said) == warned
    if warned:
        assert "Baseline knn: k = 20, chosen for 'ap'" in said[0]
    assert logger.level <= logging.WARNING


def test_an_axis_ends_where_the_data_end():
    assert Axis.up_to((5, 10, 50), 30, 50) == Axis((5, 10, 30), 30, (False, True))
    assert Axis.up_to((5, 10, 50), 80, 50) == Axis((5, 10, 50), 50, (False, False))
    assert Axis.up_to((1, 5, 10), 5, 10) == Axis((1, 5), 5, (True, True))
    assert Axis.up_to((5, 10), 3, 10) == Axis((3,), 3, (False, True))
