"""BigWig files looked at before a library reads them: that they are bigWig, whole, and of bounded size.

The reader (pybigtools) aborts the process on sizes that lead it to ask for petabytes, so the tables of a file are
walked here first: header, list of chromosomes (a B+ tree) and index of the data (an R tree).

Kent et al., BigWig and BigBed: enabling browsing of large distributed datasets (Bioinformatics, 2010), supplement.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from chromatell._validate import ChromatellError

MAGIC = 0x888FFC26
_BIGBED, TREE, INDEX = 0x8789F2EB, 0x78CA8C91, 0x2468ACE0
_NEEDED = (
    "Needed: a bigWig. Make one of a bedGraph with UCSC's bedGraphToBigWig, and of a BAM a bedGraph with bedtools "
    "genomecov -bg."
)
_COPY = "Copy or download it again."
_MAX_NAME = 255  # bytes of a chromosome's name
_MAX_CHROMS = 2_000_000
_MAX_BLOCK = 1 << 20  # bytes of a block of data: at most 65,535 values of 12 bytes
_MAX_NODES = 20_000_000


@dataclass(frozen=True)
class Header:
    """What stands at the head of a bigWig.

    Attributes
    ----------
    order
        '<' or '>', of its bytes.
    size
        Size of the file, in bytes.
    chrom_tree, index
        Where the list of chromosomes and the index of the data begin.
    ends_well
        Whether its last bytes are the signature that writers put there.
    """

    order: str
    size: int
    chrom_tree: int
    index: int
    ends_well: bool


def check_bigwig(path: Path) -> Header:
    """Return the header of a file that is a whole bigWig as far as its tables tell, or raise.

    Raises
    ------
    ChromatellError
        There is no such file, it is empty, cut short, of another format, or its tables point outside of it.
    """
    if not path.is_file():
        raise ChromatellError(f"There is no file at {str(path)!r}. Give the path of a bigWig on this machine.")
    with path.open("rb") as handle:
        header = _header(handle, path)
        _check_chroms(handle, header, path)
        _check_index(handle, header, path)
    return header


def _header(handle: BinaryIO, path: Path) -> Header:
    raw, size = handle.read(64), path.stat().st_size
    if size == 0:
        raise ChromatellError(f"{str(path)!r} is empty (0 bytes). {_NEEDED}")
    order = next((o for o in "<>" if len(raw) >= 4 and struct.unpack(o + "I", raw[:4])[0] == MAGIC), "")
    if not order:
        raise ChromatellError(f"{str(path)!r} is not a bigWig: {_looks_like(raw)}. {_NEEDED}")
    if len(raw) < 64:
        raise _cut(path, "it ends within its header")
    _, _, _, tree, data, index, _, _, _, _, buffer, _ = struct.unpack(order + "IHHQQQHHQQIQ", raw)
    for what, at in (("list of chromosomes", tree), ("data", data), ("index", index)):
        if not 64 <= at < size:
            raise _cut(path, f"its {what} should begin at byte {at}, and it has {size}")
    if buffer > _MAX_BLOCK:
        raise ChromatellError(
            f"{str(path)!r} says its blocks take {buffer} bytes; at most {_MAX_BLOCK} are read. It is damaged. {_COPY}"
        )
    handle.seek(size - 4)
    return Header(order, size, tree, index, handle.read(4) == struct.pack(order + "I", MAGIC))


def _looks_like(raw: bytes) -> str:
    for magic, name in (
        (b"\x1f\x8b", "a gzip file"),
        (b"BAM\x01", "a BAM"),
        (b"\x89HDF", "an HDF5 file"),
        (struct.pack("<I", _BIGBED), "a bigBed, which holds intervals and no signal"),
        (struct.pack(">I", _BIGBED), "a bigBed, which holds intervals and no signal"),
    ):
        if raw.startswith(magic):
            return f"it is {name}"
    text = raw.decode("latin-1")
    if all(c.isprintable() or c in "\t\r\n" for c in text):
        fields = text.split("\n")[0].split("\t")
        positions = len(fields) >= 3 and fields[1].isdigit() and fields[2].strip().isdigit()
        table = "a bedGraph" if len(fields) == 4 else "a BED"
        kind = f"{table} or a table" if positions else "wiggle text" if "Step" in text or "track" in text else "text"
        return f"it is {kind}, beginning {text[:40]!r}"
    return f"it begins with the bytes {raw[:4].hex()}"


def _cut(path: Path, why: str) -> ChromatellError:
    return ChromatellError(f"{str(path)!r} is a bigWig that is cut short or damaged: {why}. {_COPY}")


def _read(handle: BinaryIO, at: int, n: int, header: Header, path: Path) -> bytes:
    if at + n > header.size:
        raise _cut(path, f"a table needs bytes {at} to {at + n}, and it has {header.size}")
    handle.seek(at)
    return handle.read(n)


def _check_chroms(handle: BinaryIO, header: Header, path: Path) -> None:
    """Walk the B+ tree: names of a bounded length, as many as it says, no node read twice."""
    raw = _read(handle, header.chrom_tree, 32, header, path)
    magic, _, key, value, count, _ = struct.unpack(header.order + "IIIIQQ", raw)
    if magic != TREE or not 1 <= key <= _MAX_NAME or value != 8 or count > _MAX_CHROMS:
        raise _cut(path, "its list of chromosomes is not one")
    n_listed, seen, todo = 0, set[int](), [header.chrom_tree + 32]
    while todo:
        at = todo.pop()
        if at in seen or n_listed > count:
            raise _cut(path, "its list of chromosomes runs in a circle")
        seen.add(at)
        leaf, _, n = struct.unpack(header.order + "BBH", _read(handle, at, 4, header, path))
        body = _read(handle, at + 4, n * (key + 8), header, path)
        if leaf == 1:
            n_listed += n
        else:
            dtype = np.dtype([("key", f"S{key}"), ("child", header.order + "u8")])
            todo += np.frombuffer(body, dtype)["child"].tolist()
    if n_listed != count:
        raise _cut(path, f"it lists {n_listed} chromosomes and says {count}")


def _check_index(handle: BinaryIO, header: Header, path: Path) -> None:
    """Walk the R tree: every block of data lies in the file."""
    raw = _read(handle, header.index, 48, header, path)
    if struct.unpack(header.order + "I", raw[:4])[0] != INDEX:
        raise _cut(path, "the index of its data is not one")
    o = header.order
    span = [(name, o + "u4") for name in ("c0", "s0", "c1", "s1")]
    leaf_type = np.dtype([*span, ("at", o + "u8"), ("size", o + "u8")])
    node_type = np.dtype([*span, ("at", o + "u8")])
    seen, todo = set[int](), [header.index + 48]
    while todo:
        at = todo.pop()
        if at in seen or len(seen) > _MAX_NODES:
            raise _cut(path, "the index of its data runs in a circle")
        seen.add(at)
        leaf, _, n = struct.unpack(o + "BBH", _read(handle, at, 4, header, path))
        if leaf not in (0, 1):
            raise _cut(path, "the index of its data is not one")
        dtype = leaf_type if leaf else node_type
        entries = np.frombuffer(_read(handle, at + 4, n * dtype.itemsize, header, path), dtype)
        if (entries["at"] >= header.size).any():
            raise _cut(path, "its index points past its end")
        if not leaf:
            todo += entries["at"].tolist()
        elif (entries["size"] > np.uint64(header.size) - entries["at"]).any():
            raise _cut(path, "a block of data goes on past its end")
