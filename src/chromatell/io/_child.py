"""A stranger's HDF5 file, Zarr store or bigWig is opened first in a child process, with limits of time and memory.

Damaged text of HDF5's own kind can keep the library busy for ever, or end the process; codecs of Zarr and readers of
bigWig are compiled code too. The child walks the file as the guard does, then reads all text and, up to some size, all
numbers. Where it does not come back in time, the file is refused and nothing has happened to the user's session.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from math import prod
from pathlib import Path

from chromatell._errors import ChromatellError
from chromatell._settings import logger, settings

_MEMORY = 8 * 1024**3  # address space of the child
_NUMBERS = 256 * 1024**2  # bytes of numbers that the child reads too
_BYTES_A_SECOND = 20 * 1024**2  # large files get more time
_BLOCK = 100_000
_BASES = 64 * 1024**2  # of a bigWig, that the child reads too
_START = 20  # seconds that Python and its libraries may take to load on a slow disk
_REFUSED = 3
BIGWIG = "bigwig"  # in place of a group
_CODE = (
    "import sys, json; sys.path[:] = json.load(sys.stdin); from chromatell.io._child import main; main(sys.argv[1:])"
)
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
        The file is refused, or the child does not end in ``ctl.settings.check_seconds`` and more for a large file.
    """
    who = _identity(path)
    if not settings.check_seconds or who in _KNOWN or not Path(sys.executable or "").name.lower().startswith("python"):
        return
    limit = settings.check_seconds + who[-2] / _BYTES_A_SECOND
    call = [sys.executable, "-I", "-c", _CODE, str(path.absolute()), place, str(int(limit) + _START)]
    paths = json.dumps([p for p in map(os.path.abspath, filter(None, sys.path)) if Path(p).exists()])
    try:
        ended = subprocess.run(call, input=paths, capture_output=True, text=True, timeout=limit + _START, check=False)
    except subprocess.TimeoutExpired:
        raise _stopped(path, f"did not end in {limit + _START:.0f} s") from None
    except OSError as err:  # no process can be started here: the guard in this one is left
        logger.debug("%s is not looked at in a child process: %s", path.name, err)
        return
    if ended.returncode == _REFUSED:
        raise ChromatellError(ended.stdout)
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
        "refused. Copy or download it again, and compare its size with the original. A sound file on a slow disk may "
        "need more time: ctl.settings.check_seconds = 600."
    )


def main(arguments: list[str]) -> None:
    """Look at a file in this process, the child; the exit code is 0, or 3 with the reason on standard output."""
    path, place, seconds = Path(arguments[0]), arguments[1], int(arguments[2])
    settings.check_seconds = 0  # this is the child
    try:
        import resource
    except ImportError:  # not on Windows: time alone is limited, by the parent
        pass
    else:
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        look(path, place)
    except ChromatellError as error:
        sys.stdout.write(str(error))
        sys.exit(_REFUSED)


def look(path: Path, place: str = "/") -> None:
    """Walk a file, or a part of it, and read its text, and as many numbers as there is room for."""
    if path.is_dir():
        _look_zarr(path, place)
    elif place == BIGWIG:
        _look_bigwig(path)
    else:
        _look_h5(path, place)


def _look_bigwig(path: Path) -> None:
    from chromatell.io.bigwig import BigWig

    with BigWig(path) as file:
        left = _BASES
        for chrom, size in file.sizes.items():
            last = min(size, left)
            file.binned(chrom, 50, "max", bins=slice(0, -(-last // 50)))
            left -= last
            if left <= 0:
                break


def _look_zarr(path: Path, place: str) -> None:
    import zarr

    from chromatell.io._limits import Budget
    from chromatell.io._zarr_guard import check_store, step_into

    folder = step_into(path, *filter(None, place.split("/")))
    if folder is None:
        return  # the parent says what is missing
    check_store(folder, Budget(str(path), model=False))
    left = _NUMBERS

    def read(group: zarr.Group) -> None:
        nonlocal left
        for _, node in group.members():
            if isinstance(node, zarr.Group):
                read(node)
                continue
            size = prod(node.shape) * max(node.dtype.itemsize, 1)
            text = node.dtype.kind not in "iufbc"
            left -= 0 if text else size
            if not text and left <= 0:
                continue
            for start in range(0, node.shape[0], _BLOCK) if node.shape else ():
                node[start : start + _BLOCK]
            if node.shape == ():
                node[()]

    try:
        read(zarr.open_group(str(folder), mode="r", use_consolidated=False))
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001  the parent reads it again, and says what zarr raises
        logger.debug("%s: %s", path, error)


def _look_h5(path: Path, place: str) -> None:
    import h5py

    from chromatell.io._h5_guard import check_group, group_at, open_h5
    from chromatell.io._limits import Budget

    with open_h5(path) as file:
        group = group_at(file, *place.strip("/").split("/")) if place != "/" else file["/"]
        if group is None:
            return  # the parent says what is missing
        check_group(group, Budget(str(path), model=False))
        left = _NUMBERS

        def read(node: h5py.Group | h5py.Dataset) -> None:
            nonlocal left
            for name in node.attrs:
                if not isinstance(node.attrs.get_id(name).get_type(), h5py.h5t.TypeReferenceID):
                    node.attrs[name]
            if isinstance(node, h5py.Group):
                for child in node.values():
                    read(child)
                return
            size = prod(node.shape or ()) * node.dtype.itemsize
            if node.dtype.kind != "O":
                left -= size
            if node.dtype.kind == "O" or left > 0:
                for start in range(0, node.shape[0], _BLOCK) if node.shape else ():
                    node[start : start + _BLOCK]
                if node.shape == ():
                    node[()]

        read(group)
