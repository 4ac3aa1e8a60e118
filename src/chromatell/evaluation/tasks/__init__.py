"""Kinds of data that ``ctl.tl.evaluate`` scores: one file each, and one line here."""

from chromatell.evaluation.run import Task
from chromatell.evaluation.tasks.bins import BinTask
from chromatell.evaluation.tasks.cells import CellTask
from chromatell.evaluation.tasks.tracks import TrackTask

TASKS: list[type[Task]] = [TrackTask, BinTask, CellTask]  # the first that takes the data scores it

__all__ = ["TASKS", "BinTask", "CellTask", "TrackTask"]
