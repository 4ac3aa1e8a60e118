"""A file for HDF5 to write to, which keeps what goes wrong until the library has closed everything.

HDF5 cannot undo a failed write: it prints a page about each object that it cannot flush, and can end the process when
Python does. Here a write never fails for it; the first error is raised when the file is closed.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class H5Sink(io.RawIOBase):
    """An open file, and its path, that takes everything and remembers the first error."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("w+b", buffering=0)
        self._at = self._end = 0
        self.error: BaseException | None = None

    def __fspath__(self) -> str:
        return str(self._path)

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place."""
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._end}[whence]
        return self._at

    def tell(self) -> int:
        """Return the place."""
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Read what was written; zeros where it was not."""
        view = memoryview(buffer).cast("B")
        n = max(0, min(len(view), self._end - self._at))
        self._file.seek(self._at)
        got = self._file.readinto(view[:n]) or 0
        view[got:n] = bytes(n - got)
        self._at += n
        return n

    def write(self, data: Any) -> int:
        """Write, or remember why not."""
        view = memoryview(data).cast("B")
        if self.error is None:
            try:
                self._file.seek(self._at)
                done = 0
                while done < len(view):
                    done += self._file.write(view[done:]) or 0
            except (OSError, KeyboardInterrupt) as err:  # neither may pass through HDF5
                self.error = err
        self._at += len(view)
        self._end = max(self._end, self._at)
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        """Cut or extend."""
        self._end = self._at if size is None else size
        if self.error is None:
            try:
                self._file.truncate(self._end)
            except (OSError, KeyboardInterrupt) as err:
                self.error = err
        return self._end

    def flush(self) -> None:
        """Do nothing: nothing is held back."""

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


@contextmanager
def h5_sink(path: Path) -> Iterator[H5Sink]:
    """Give a file to hand to h5py; raise what went wrong on writing it once h5py has let go of it."""
    sink = H5Sink(path)
    try:
        yield sink
    except Exception as err:
        if sink.error is not None:
            raise sink.error from err
        raise
    finally:
        sink.close()
    if sink.error is not None:
        raise sink.error
