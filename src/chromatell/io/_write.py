"""Files and folders written beside their place and renamed, so that nobody ever finds half of one."""

from __future__ import annotations

import ctypes
import errno
import gc
import hashlib
import os
import re
import shutil
import socket
import sys
import time
import traceback
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from chromatell._settings import file_name, logger
from chromatell._validate import ChromatellError

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # what Linux's renameat2 takes
_STALE = 3 * 24 * 3600  # seconds after which what another machine left is taken for left
_REASONS = {
    errno.ENOSPC: ("there is no room left on the disk", "Make room, or choose another path"),
    errno.EDQUOT: ("your quota of the disk is used up", "Make room, or choose another path"),
    errno.EFBIG: ("it would be larger than files may be here", "Raise the limit (ulimit -f), or choose another path"),
    errno.EACCES: ("you may not write there", "Choose another path, or ask for the right to write"),
    errno.EPERM: ("you may not write there", "Choose another path, or ask for the right to write"),
    errno.EROFS: ("the disk is read-only", "Choose another path"),
    errno.ENAMETOOLONG: ("its name is too long", "Choose a shorter one"),
    errno.EIO: ("the disk reports an error", "Check the disk, or choose another path"),
}
_CODE = re.compile(r"(?:errno\s*=\s*|os error |Errno |Os \{ code: )(\d+)")  # as HDF5, Rust and Python say it


@contextmanager
def sibling(target: Path, *, overwrite: bool = True) -> Iterator[Path]:
    """Give a temporary name in the same folder; what is written there takes the place of `target` at the end.

    Where the block raises, the temporary file or folder is removed and `target` stays as it was. What a killed write of
    `target` left behind is removed first. Without `overwrite`, what came to `target` meanwhile is not replaced.

    Raises
    ------
    ChromatellError
        The disk is full or read-only, rights are missing, or another process wrote `target` first.
    """
    if target.is_symlink():
        target = target.resolve()  # a link stays one, to the new file
    sweep(target)
    temporary = _temporary(target)
    try:
        with written(target):
            yield temporary
            if temporary.is_dir():
                _place_folder(temporary, target, overwrite)
            else:
                _place_file(temporary, target, overwrite)
    except BaseException:
        remove(temporary)
        raise


@contextmanager
def siblings(targets: Sequence[Path], suffix: str, *, overwrite: bool) -> Iterator[dict[Path, Path]]:
    """Give each file of one folder a temporary place that ends in `suffix`; all take their names together, at the end.

    Raises
    ------
    ChromatellError
        As :func:`sibling`.
    """
    if not targets:
        yield {}
        return
    parent = targets[0].parent
    with written(parent):
        parent.mkdir(parents=True, exist_ok=True)
    together = parent / suffix.strip(".")
    sweep(together)
    folder = _temporary(together)
    try:
        with written(targets[0] if len(targets) == 1 else parent):
            folder.mkdir()
            places = {target: folder / f"{i}{suffix}" for i, target in enumerate(targets)}
            yield places
            for target, temporary in places.items():
                _place_file(temporary, target, overwrite)
    finally:
        remove(folder)


@contextmanager
def written(target: Path) -> Iterator[None]:
    """Turn a full disk, missing rights and their like, in whatever words a library says them, into one error."""
    try:
        yield
    except ChromatellError:
        raise
    except BaseException as err:
        code = _system_error(err, target)
        if code is None:
            raise
        why, cure = _REASONS[code]
        error = ChromatellError(f"{str(target)!r} could not be written: {why}. Nothing was changed there. {cure}.")
        _let_go(err)
        raise error from None


def sweep(target: Path) -> None:
    """Remove what writes of `target` that were killed left beside it; a store that was moved aside is put back."""
    pattern = re.compile(rf"\.{re.escape(target.name)}\.([0-9a-f]{{8}})-(\d+)-[0-9a-f]{{8}}\.tmp(\.old)?")
    try:
        matches = [(path, m) for path in target.parent.iterdir() if (m := pattern.fullmatch(path.name))]
        left = [path for path, m in matches if _is_left(path, m[1], int(m[2]))]
        for path in left:
            if path.suffix == ".old" and not target.exists():
                path.rename(target)
                logger.warning("%s is back: a write that was stopped had moved it aside.", file_name(target))
            else:
                remove(path)
                logger.warning("Removed %s, which a write that was stopped had left.", path.name)
    except OSError as err:  # what cannot be swept is no hindrance to what can be written
        logger.debug("Left-overs of %s stay: %s", file_name(target), err)


def check_writable(target: Path) -> None:
    """Raise, before any work, where a file or folder could not be made at `target`; missing folders are no hindrance.

    Raises
    ------
    ChromatellError
        What is there of the path is no folder, or not ours to write into.
    """
    folder = target.absolute().parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        why = "is not writable" if folder.is_dir() else "is a file, not a folder"
        raise ChromatellError(f"{str(target)!r} cannot be written: {folder} {why}. Choose another path.")


def remove(path: Path) -> None:
    """Remove a file or a folder, if there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def this_process() -> str:
    """Return a name of this process, by which `is_running` knows it again."""
    return f"{_machine()}-{os.getpid()}"


def is_running(process: str) -> bool:
    """Return whether another process of this machine runs that gave itself this name."""
    machine, _, number = process.partition("-")
    if machine != _machine() or not number.isdigit() or int(number) == os.getpid():
        return False
    return _is_alive(int(number))


def place_folder(temporary: Path, target: Path) -> None:
    """Give a complete folder its name; raise where something came there meanwhile."""
    if target.exists():
        raise _came_first(target)
    _place_folder(temporary, target, overwrite=False)


def _temporary(target: Path) -> Path:
    return target.with_name(f".{target.name}.{_machine()}-{os.getpid()}-{uuid.uuid4().hex[:8]}.tmp")


def _place_file(temporary: Path, target: Path, overwrite: bool) -> None:
    with temporary.open("rb+") as handle:
        os.fsync(handle.fileno())
    if overwrite:
        temporary.replace(target)
        return
    try:
        os.link(temporary, target)  # unlike a rename, it fails where there is something
    except FileExistsError:
        raise _came_first(target) from None
    except OSError:  # a file system without hard links
        if target.exists():
            raise _came_first(target) from None
        temporary.replace(target)
    else:
        temporary.unlink()


def _place_folder(temporary: Path, target: Path, overwrite: bool) -> None:
    """Rename a folder, if need be over another: in one step where the system can, else the old one is moved aside."""
    if not target.exists() or not overwrite:
        try:
            temporary.rename(target)
        except OSError as err:
            if err.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
            raise _came_first(target) from None
        return
    if _exchange(temporary, target):
        remove(temporary)
        return
    old = target.with_name(f"{temporary.name}.old")
    target.rename(old)
    try:
        temporary.rename(target)
    except OSError:
        old.rename(target)
        raise
    remove(old)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one step; False where the system cannot."""
    if not sys.platform.startswith("linux"):
        return False
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    return (
        rename is not None and rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0
    )


def _came_first(target: Path) -> ChromatellError:
    return ChromatellError(
        f"{str(target)!r} came to be while this was computed; another process wrote it. It stays as it is: choose "
        "another path, or pass overwrite=True."
    )


@cache
def _machine() -> str:
    """Return 8 digits for this machine, since its start, and this space of process numbers: containers have theirs."""
    said = [socket.gethostname()]
    for place in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        path = Path(place)
        if path.is_symlink():
            said.append(str(path.readlink()))
        elif path.is_file():
            said.append(path.read_text())
    return hashlib.sha256("\n".join(said).encode()).hexdigest()[:8]


def _is_left(path: Path, machine: str, process: int) -> bool:
    """Return whether nobody writes a temporary file any more."""
    if machine != _machine():
        return time.time() - path.lstat().st_mtime > _STALE
    return not _is_alive(process)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _system_error(err: BaseException | None, target: Path) -> int | None:
    """Return the number of the system's error that lies at the root of what a library raised on writing."""
    seen: set[int] = set()
    while err is not None and id(err) not in seen:
        seen.add(id(err))
        code = err.errno if isinstance(err, OSError) else None
        about = getattr(err, "filename", None)
        if about is not None and Path(os.fsdecode(about)).absolute().parent != target.absolute().parent:
            inside = target.absolute().parent in Path(os.fsdecode(about)).absolute().parents
            if not inside:
                return None  # the error is that of a file that was read
        said = _CODE.search(str(err))
        code = code if code is not None else int(said[1]) if said else None
        if code in _REASONS:
            return code
        err = err.__cause__ or err.__context__
    return None


def _let_go(err: BaseException | None) -> None:
    """Close what a failed write holds open, quietly: HDF5 says a page about each object that it cannot flush."""
    before = sys.unraisablehook

    def quiet(unraisable: Any) -> None:
        if "h5py" not in f"{getattr(unraisable.object, '__module__', '')}{unraisable.object!r}":
            before(unraisable)

    sys.unraisablehook = quiet
    try:
        while err is not None:
            if err.__traceback__ is not None:
                traceback.clear_frames(err.__traceback__)
            err = err.__cause__ or err.__context__
        gc.collect()
    finally:
        sys.unraisablehook = before
