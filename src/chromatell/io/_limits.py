"""How much a stranger's file may hold, counted from its metadata as it is walked."""

from __future__ import annotations

from dataclasses import dataclass

from chromatell._errors import ChromatellError
from chromatell.io._record import MAX_ARRAYS, MAX_BYTES

REFUSED = (
    "The file is refused and nothing was read from it. Ask its author for one written by ctl.io.write or "
    "ctl.io.export_model; if you trust it, open it yourself and write it again."
)
NOT_FLAT = "is a part of a table and has not one dimension, as a column and its categories must"
MODEL_DEPTH = 4
DATA_DEPTH, DATA_KEYS = 64, 1_000_000
# Zeros compress a thousandfold, a model's weights and sparse counts hardly ever more than tenfold.
MODEL_FLOOR, MODEL_RATIO = 256 * 1024**2, 100
DATA_FLOOR, DATA_RATIO = 1024**3, 200


@dataclass
class Budget:
    """What a walk has met so far, and the most it may meet.

    Parameters
    ----------
    name
        The file, for messages.
    model
        The strict limits of a model: depth 4, 10,000 keys, 4 GB; else those of whole data files.
    max_bytes
        The most that all arrays may take in memory; None is 4 GB for a model and no fixed bound for data.
    """

    name: str
    model: bool
    max_bytes: int | None = None
    keys: int = 0
    logical: int = 0
    stored: int = 0

    def deeper(self, where: str, depth: int) -> None:
        """Raise where groups are nested too deep."""
        limit = MODEL_DEPTH if self.model else DATA_DEPTH
        if depth > limit:
            raise ChromatellError(f"{where} is nested {depth} deep; at most {limit} are read. {REFUSED}")

    def count(self, where: str, n: int = 1) -> None:
        """Count keys."""
        self.keys += n
        limit = MAX_ARRAYS if self.model else DATA_KEYS
        if self.keys > limit:
            raise ChromatellError(
                f"{self.name} holds {self.keys} keys or more by {where}; at most {limit} are read. {REFUSED}"
            )

    def add(self, where: str, logical: int, stored: int) -> None:
        """Count the bytes of an array in memory and in the file."""
        self.logical += logical
        self.stored += stored
        limit = self.max_bytes if self.max_bytes is not None else (MAX_BYTES if self.model else None)
        if limit is not None and self.logical > limit:
            raise ChromatellError(
                f"The arrays of {self.name} take {_gb(self.logical)} or more in memory (up to {where}), "
                f"at most {_gb(limit)} are read. {REFUSED}"
            )

    def finish(self) -> None:
        """Raise where little in the file would become gigabytes in memory."""
        floor, ratio = (MODEL_FLOOR, MODEL_RATIO) if self.model else (DATA_FLOOR, DATA_RATIO)
        if self.logical > floor and self.logical > ratio * max(self.stored, 1):
            raise ChromatellError(
                f"{self.name} keeps {self.stored} bytes that would inflate to {_gb(self.logical)} in memory, "
                f"over {ratio} times as much. {REFUSED}"
            )


def _gb(n: int) -> str:
    return f"{n / 1024**3:.3g} GB"
