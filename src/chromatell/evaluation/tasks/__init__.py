"""Kinds of data that ``ctl.tl.evaluate`` scores: one file each, and one line here."""

from chromatell.evaluation.run import Task
from chromatell.evaluation.tasks.bins import BinTask
from chromatell.evaluation.tasks.cells import CellTask
from chromatell.evaluation.tasks.tracks import TrackTask

TASKS: list[type[Task]] = [TrackTask, BinTask, CellTask]  # the first that takes the data scores it

__all__ = ["TASKS", "BinTask", "CellTask", "TrackTask", "has_option"]


def has_option(kind: type[Task], option: str) -> bool:
    """Return whether a keyword of ``ctl.tl.evaluate`` says anything of a kind of data."""
    of_others = any(option in task.own_options for task in TASKS) and option not in kind.own_options
    return not of_others and option not in kind.no_options
