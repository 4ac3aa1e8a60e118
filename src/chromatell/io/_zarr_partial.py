"""A store of predictions that many processes may fill, part by part, and that a stopped run goes on with."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from chromatell._settings import file_name, logger
from chromatell._validate import ChromatellError
from chromatell.io._replace import check_target
from chromatell.io._write import is_running, place_folder, remove, sibling, this_process, written
from chromatell.io._zarr_guard import INCOMPLETE
from chromatell.io._zarr_writer import CHUNKS, checked_values, finish_or_stop, finish_store, make_store, open_x

_RUN = "ctl_run"  # attribute: the digest of what the run is


@dataclass(frozen=True)
class Place:
    """Where predictions are written: small, and the same in every process that sees the disk.

    Attributes
    ----------
    folder
        The Zarr group.
    per_cell
        Regions that are kept of each cell; 0 for all, in a dense matrix.
    """

    folder: str
    shape: tuple[int, int]
    dtype: str
    per_cell: int = 0

    @cached_property
    def _x(self) -> Any:
        if not Path(self.folder).is_dir():
            raise ChromatellError(
                f"{self.folder} is not seen by this process: out= must lie on a disk that all workers share. Choose "
                "such a path, or leave client= out."
            )
        return open_x(self.folder)

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("folder", "shape", "dtype", "per_cell")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def write(self, rows: slice, columns: slice, values: np.ndarray) -> None:
        """Write a block of a dense matrix; whole chunks are the fastest. The values are those of `checked_values`."""
        self._x[rows, columns] = values

    def write_best(self, rows: slice, place: np.ndarray, value: np.ndarray) -> None:
        """Write the kept regions of some cells, (cells, `per_cell`)."""
        flat = slice(rows.start * self.per_cell, rows.stop * self.per_cell)
        self._x["data"][flat] = checked_values(value, self.dtype, rows).ravel()
        self._x["indices"][flat] = place.ravel()


class ResumableWriter(AbstractContextManager["ResumableWriter"]):
    """A Zarr store of predictions that fills by parts of whole chunks of cells, in any order.

    With `run`, the store is ``<path>.partial`` until it is complete. It says so itself: readers refuse it. A run that
    is stopped leaves it there, once a part is in it, and the same run goes on with it. Without `run` nothing stays.

    Parameters
    ----------
    path
        The folder to make.
    cells
        Names of the cells.
    var
        Table of the regions.
    per_cell
        Regions that are kept of each cell, in a sparse matrix; 0 for all.
    run
        What the run is, as plain values.

    Raises
    ------
    ChromatellError
        Something is at `path`, or the partial store is of another run, or is written by a running process.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        cells: pd.Index,
        var: pd.DataFrame,
        *,
        dtype: Literal["float32", "float16"] = "float32",
        per_cell: int = 0,
        run: Mapping[str, Any] | None = None,
    ):
        self.path, self.var, self.dtype, self.per_cell = Path(path), var, dtype, per_cell
        self.obs = pd.DataFrame(index=pd.Index(cells, dtype=str))
        self.shape = (len(self.obs), len(var))
        self.run = None if run is None else hashlib.sha256(json.dumps(run, sort_keys=True).encode()).hexdigest()
        self._done: set[tuple[int, int]] = set()
        self._outer: AbstractContextManager[Any] = nullcontext()
        if 0 in self.shape:
            raise ChromatellError(f"There is nothing to write: {self.shape[0]} cells x {self.shape[1]} regions.")
        for index, what in ((self.obs.index, "cells"), (var.index, "regions")):
            if not index.is_unique:
                raise ChromatellError(f"The names of {what} repeat; give each its own name before predicting.")
        check_target(self.path, "predictions", overwrite=False, cure="remove it")

    def __enter__(self) -> ResumableWriter:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.run is None:
            self._outer = sibling(self.path, overwrite=False)
            self.folder = self._outer.__enter__()
            self._make()
        else:
            self._outer = written(self.path)
            self._outer.__enter__()
            partial = self.path.with_name(f"{self.path.name}.partial")
            if not partial.exists():
                # whole from its first moment: one without the note below is complete, but for its name
                with sibling(partial, overwrite=False) as self.folder:
                    self._make()
                    (self.folder / INCOMPLETE).write_text(f"# {this_process()}\n")
                self.folder = partial
            else:
                self.folder = partial
                self._go_on()
        self.place = Place(str(self.folder.absolute()), self.shape, self.dtype, self.per_cell)
        return self

    def _make(self) -> None:
        attributes = {} if self.run is None else {_RUN: self.run}
        make_store(self.folder, self.shape, self.dtype, CHUNKS, per_cell=self.per_cell, attributes=attributes)

    def _go_on(self) -> None:
        import zarr

        try:
            said = zarr.open_group(str(self.folder), mode="r").attrs.get(_RUN)
        except (OSError, ValueError, KeyError):
            said = None
        if said != self.run:
            raise ChromatellError(
                f"{str(self.folder)!r} is there, of another run: other cells, regions, model or options, or no store "
                "at all. Choose another out=, or remove it if nothing in it is needed."
            )
        log = self.folder / INCOMPLETE
        lines = log.read_text().splitlines() if log.is_file() else []
        writers = [line[2:] for line in lines if line.startswith("# ")]
        if writers and is_running(writers[-1]):
            raise ChromatellError(
                f"{str(self.folder)!r} is being written by a process that runs ({writers[-1].partition('-')[2]}). "
                "Wait for it, or choose another out=."
            )
        if not log.is_file():  # complete, but for its name
            self._done = {(0, self.shape[0])}
            return
        parts = [line.partition("-") for line in lines if line and not line.startswith("#")]
        self._done = {(int(a), int(b)) for a, dash, b in parts if dash and a.isdigit() and b.isdigit()}
        with log.open("a") as handle:
            handle.write(f"\n# {this_process()}\n")
        logger.info("%s goes on: %s of %s cells are there.", file_name(self.folder), f"{self._n():,}", len(self.obs))

    def has(self, rows: slice) -> bool:
        """Return whether a part is there already."""
        return (rows.start, rows.stop) in self._done or (0, self.shape[0]) in self._done

    def mark(self, rows: slice) -> None:
        """Take note that a part was written."""
        self._done.add((rows.start, rows.stop))
        if self.run is not None:
            with (self.folder / INCOMPLETE).open("a") as handle:
                handle.write(f"{rows.start}-{rows.stop}\n")

    def _n(self) -> int:
        return sum(stop - start for start, stop in self._done)

    def __exit__(self, *raised: Any) -> Literal[False]:
        finish_or_stop(self._outer, raised, self._finish, self._stopped)
        return False

    def _stopped(self) -> None:
        if self.run is None:
            return
        if not self._done:
            remove(self.folder)
            return
        logger.warning(
            f"Stopped: {self._n():,} of {len(self.obs):,} cells are in {file_name(self.folder)}. The same call with "
            "the same cells goes on from there."
        )

    def _finish(self) -> None:
        if self._n() != len(self.obs):
            raise ChromatellError(f"Only {self._n():,} of {len(self.obs):,} cells were written. Write every part once.")
        log = self.folder / INCOMPLETE
        if self.run is None or log.is_file():
            finish_store(self.folder, self.obs, self.var, {}, left_out=(INCOMPLETE,))
            log.unlink(missing_ok=True)
        if self.run is not None:
            place_folder(self.folder, self.path)
