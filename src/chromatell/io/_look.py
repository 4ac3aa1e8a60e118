"""What the child process does of `_child.py`: walk a file as the guard does, and read it."""

from __future__ import annotations

import sys
from math import prod
from pathlib import Path

from chromatell._errors import ChromatellError
from chromatell._settings import logger, settings
from chromatell.io._child import BIGWIG, REFUSED

_MEMORY = 8 * 1024**3  # address space of the child
_NUMBERS = 256 * 1024**2  # bytes of numbers that the child reads too
_BLOCK = 100_000
_BASES = 64 * 1024**2  # bases of a bigWig that the child reads too


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
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))  # at the first a signal of its own
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        look(path, place)
    except ChromatellError as error:
        sys.stdout.write(str(error))
        sys.exit(REFUSED)


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
