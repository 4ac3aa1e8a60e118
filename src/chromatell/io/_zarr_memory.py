"""A small Zarr store is written in memory and put on the disk as a whole: one file at a time costs 2 ms each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from zarr.storage import MemoryStore

MOST = 64 * 1024**2  # bytes, compressed, that are held


class _Full(Exception):
    """The store is larger than what is held in memory."""


class _Small(MemoryStore):
    """A store in memory that takes `MOST` bytes."""

    def __init__(self) -> None:
        self.files: dict[str, Any] = {}
        super().__init__(self.files)
        self.n_bytes, self.full = 0, False

    async def set(self, key: str, value: Any, *args: Any, **kwargs: Any) -> None:
        """Keep a file, unless all would be too large then."""
        self.n_bytes += len(value)
        if self.n_bytes > MOST:
            self.full = True
            raise _Full
        await super().set(key, value, *args, **kwargs)


def write_through_memory(write: Callable[[Any], None], folder: Path) -> None:
    """Call `write` with a store in memory and put its files into `folder`; with `folder` itself if they are too many.

    `write` is then called twice, and the first call's work, of 64 MB at most, is lost. The files are the same.
    """
    store = _Small()
    try:
        write(store)
    except Exception:
        if not store.full:
            raise
        store.files.clear()
        write(folder)
        return
    for name, value in store.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(value.to_bytes())
