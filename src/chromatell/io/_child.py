"""A stranger's HDF5 file, Zarr store or bigWig is opened first in a child process, with limits of time and memory.

Damaged text of HDF5's own kind can keep the library busy for ever, or end the process; codecs of Zarr and readers of
bigWig are compiled code too. The child walks the file as the guard does, then reads all text and, up to some size, all
numbers. Where it does not come back in time, the file is refused and nothing has happened to the user's session.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from chromatell._errors import ChromatellError
from chromatell._settings import logger, settings

_BYTES_A_SECOND = 20 * 1024**2  # large files get more time
_START = 20  # seconds that Python and its libraries may take to load on a slow disk
# The child counts its own seconds of the processor, where the system can; by the clock it may take this many times as
# long, since on a machine with 16 jobs on 2 cores sound files would be refused. Windows knows the clock alone.
_BUSY = 1 if os.name == "nt" else 10
REFUSED = 3  # exit code of the child
BIGWIG = "bigwig"  # in place of a group
_CODE = "import sys, json; sys.path[:] = json.load(sys.stdin); from chromatell.io._look import main; main(sys.argv[1:])"
_KNOWN: set[tuple[int, ...]] = set()  # files that were written or looked at in this process


def open_in_child(path: Path, place: str = "/") -> None:
    """Raise where a file or store cannot be looked at in a child process; one is looked at once as long as it stays.

    Parameters
    ----------
    path
        An HDF5 file, a Zarr store or a bigWig.
    place
        The group that will be read, of HDF5 and Zarr.

    Raises
    ------
    ChromatellError
        The file is refused, or the child needs more than ``ctl.settings.check_seconds`` of the processor, or ten times
        as long by the clock; a large file gets more.
    """
    who = _identity(path)
    if not settings.check_seconds or who in _KNOWN or not Path(sys.executable or "").name.lower().startswith("python"):
        return
    limit = settings.check_seconds + who[-2] / _BYTES_A_SECOND
    call = [sys.executable, "-I", "-c", _CODE, str(path.absolute()), place, str(int(limit) + _START)]
    paths = json.dumps([p for p in map(os.path.abspath, filter(None, sys.path)) if Path(p).exists()])
    clock = (limit + _START) * _BUSY
    try:
        ended = subprocess.run(call, input=paths, capture_output=True, text=True, timeout=clock, check=False)
    except subprocess.TimeoutExpired:
        raise _stopped(path, f"did not end in {clock:.0f} s") from None
    except OSError as err:  # no process can be started here: the guard in this one is left
        logger.debug("%s is not looked at in a child process: %s", path.name, err)
        return
    if ended.returncode == REFUSED:
        raise ChromatellError(ended.stdout)
    if ended.returncode == -getattr(signal, "SIGXCPU", 0):
        raise _stopped(path, f"used up {limit + _START:.0f} s of the processor")
    if ended.returncode < 0:
        raise _stopped(path, f"was ended by signal {-ended.returncode}")
    if ended.returncode:
        said = ended.stderr.strip().splitlines()
        logger.debug("The child that looked at %s: %s", path.name, said[-1] if said else "no word")
        return
    known(path)


def known(path: Path) -> None:
    """Note that a file needs no child process, as long as nobody changes it."""
    _KNOWN.add(_identity(path))


def _identity(path: Path) -> tuple[int, ...]:
    """Return what tells a file, or a folder with all in it, from another state of itself; bytes and time come last."""
    info = path.stat()
    if not path.is_dir():
        return info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns
    count = size = 0
    newest = info.st_mtime_ns
    for folder, folders, files in os.walk(path):
        for name in (*folders, *files):
            inside = os.lstat(os.path.join(folder, name))  # noqa: PTH118  a store may have a million of them
            count, size, newest = count + 1, size + inside.st_size, max(newest, inside.st_mtime_ns)
    return info.st_dev, info.st_ino, count, size, newest


def _stopped(path: Path, what: str) -> ChromatellError:
    return ChromatellError(
        f"{path} was first opened in a child process, which {what}: the file is damaged, or made to do so. It is "
        "refused. Copy or download it again, and compare its size with the original. A sound file on a slow disk or a "
        "busy machine may need more time: ctl.settings.check_seconds = 600."
    )
