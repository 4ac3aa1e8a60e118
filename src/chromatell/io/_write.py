"""Files and folders written beside their place and renamed, so that nobody ever finds half of one."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chromatell._validate import ChromatellError


@contextmanager
def beside(target: Path) -> Iterator[Path]:
    """Give a temporary name in the same folder; what is written there takes the place of `target` at the end.

    Where the block raises, the temporary file or folder is removed and `target` stays as it was.
    """
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        yield temporary
        if temporary.is_dir():
            _replace_folder(temporary, target)
        else:
            with temporary.open("rb+") as handle:
                os.fsync(handle.fileno())
            temporary.replace(target)
    except BaseException:
        remove(temporary)
        raise


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


def check_new(target: str | os.PathLike[str]) -> None:
    """Raise, before any work, where something is at `target` already or nothing can be written there."""
    if Path(target).exists():
        raise ChromatellError(f"{str(target)!r} exists. Choose another path for the predictions, or remove it.")
    check_writable(Path(target))


def remove(path: Path) -> None:
    """Remove a file or a folder, if there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _replace_folder(temporary: Path, target: Path) -> None:
    """Rename a folder over another; a folder cannot be replaced in one step, so the old one is moved aside first."""
    if not target.exists():
        temporary.rename(target)
        return
    old = target.with_name(f"{temporary.name}.old")
    target.rename(old)
    try:
        temporary.rename(target)
    except OSError:
        old.rename(target)
        raise
    remove(old)
