"""Inputs that come through a pipe, ``-`` or ``<(zcat x.gz)``: kept as files while a command runs, which reads twice."""

from __future__ import annotations

import argparse
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from chromatell.cli._parser import UsageError

_OUTPUTS = ("output", "csv", "bigwig", "predictions", "out_store", "checkpoint_dir", "out", "config")
_HDF5 = b"\x89HDF"
_STDIN = "-"


@contextmanager
def files_of_pipes(args: argparse.Namespace) -> Iterator[None]:
    """Put the path of a copy in place of each input that can be read once only; the copies go at the end.

    Raises
    ------
    UsageError
        Two inputs are ``-``, or an HDF5 file comes through a pipe.
    """
    piped = {name: value for name, value in vars(args).items() if name not in _OUTPUTS and _is_pipe(value)}
    if not piped:
        yield
        return
    if sum(str(value) == _STDIN for value in piped.values()) > 1:
        raise UsageError("Two inputs are '-'; stdin is one. Name files, or pipes of their own: <(zcat x.bed.gz).")
    with tempfile.TemporaryDirectory(prefix="chromatell-") as folder:
        for name, value in piped.items():
            kept = Path(folder) / name
            if str(value) == _STDIN:
                _keep(sys.stdin.buffer, kept)
            else:
                with Path(value).open("rb") as pipe:
                    _keep(pipe, kept)
            setattr(args, name, type(value)(kept))
        yield


def _is_pipe(value: Any) -> bool:
    if not isinstance(value, str | Path) or str(value) == "":
        return False
    if str(value) == _STDIN:
        return isinstance(value, Path)  # not the text of another option
    try:
        mode = Path(value).stat().st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or (stat.S_ISCHR(mode) and Path(value) == Path("/dev/stdin"))


def _keep(pipe: IO[bytes], path: Path) -> None:
    start = pipe.read(len(_HDF5))
    if not start:
        raise UsageError("Nothing came through the pipe. Does what writes it end in an error?")
    if start == _HDF5:
        raise UsageError(
            "An .h5mu or .h5ad cannot be read from a pipe, since it is read at any place. Write it to a file first."
        )
    with path.open("wb") as file:
        file.write(start)
        shutil.copyfileobj(pipe, file, 1024**2)
