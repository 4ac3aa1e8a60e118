"""Ways to alter a file: its bytes, the structure that it holds, the rows of its text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

BOUNDARY = [0, 1, -1, 2, 127, 128, 255, 256, 2**15, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**53, 2**63 - 1, -(2**31)]
TEXTS = [
    "",
    " ",
    "NaN",
    "inf",
    "1e30",
    "-1",
    "0x10",
    "1.5",
    "٣",
    "\u2028",
    "a" * 300,
    '"',
    "#",
    ";",
    "chr1",
    "+",
    "1_0",
]
LEAVES = [*BOUNDARY, *TEXTS, None, True, [], {}, 1.5, [0], {"a": 1}]


def mutate_bytes(raw: bytes, rng: np.random.Generator) -> bytes:
    """Flip, overwrite, cut, copy or swap intervals of bytes, one to three times."""
    data = bytearray(raw)
    for _ in range(int(rng.integers(1, 4))):
        n = len(data)
        if n < 4:
            return bytes(data)
        at = int(rng.integers(n))
        length = int(min(n - at, rng.choice([1, 2, 4, 8, 16, 64, 512])))
        kind = int(rng.integers(8))
        if kind == 0:
            data[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            data[at] = int(rng.choice([0, 1, 127, 128, 254, 255]))
        elif kind == 2:
            size = int(rng.choice([2, 4, 8]))
            value = int(BOUNDARY[int(rng.integers(len(BOUNDARY)))]) % (1 << (8 * size))
            data[at : at + size] = value.to_bytes(size, "little")
        elif kind == 3:
            del data[at : at + length]
        elif kind == 4:
            data[at:at] = data[at : at + length]
        elif kind == 5:
            del data[at:]
        elif kind == 6:
            data[at : at + length] = bytes(length)
        else:
            other = int(rng.integers(n))
            data[at : at + length] = data[other : other + length]
    return bytes(data)


def mutate_rows(text: str, rng: np.random.Generator, separator: str = "\t") -> str:
    """Change fields, whole rows and line ends of a table, one to three times."""
    lines = text.splitlines()
    for _ in range(int(rng.integers(1, 4))):
        if not lines:
            return ""
        at = int(rng.integers(len(lines)))
        fields = lines[at].split(separator)
        field = int(rng.integers(len(fields)))
        kind = int(rng.integers(11))
        if kind <= 3:
            values = [*map(str, BOUNDARY), *TEXTS]
            fields[field] = values[int(rng.integers(len(values)))]
        elif kind == 4:
            fields.pop(field)
        elif kind == 5:
            fields.insert(field, fields[field])
        elif kind == 6:
            other = int(rng.integers(len(fields)))
            fields[field], fields[other] = fields[other], fields[field]
        elif kind == 7:
            lines.insert(at, lines[at])
        elif kind == 8:
            lines.pop(at)
            continue
        elif kind == 9:
            lines[at] = lines[at].replace(separator, " ")
            continue
        else:
            lines.insert(at, str(rng.choice(["", "#comment", "track name=x", "browser position chr1", "##x", "\t\t"])))
            continue
        lines[at] = separator.join(fields)
    return str(rng.choice(["\n", "\n", "\n", "\r\n"])).join(lines) + str(rng.choice(["\n", "\n", ""]))


def mutate_json(value: Any, rng: np.random.Generator) -> Any:
    """Replace, remove or add one leaf or branch of a JSON value."""
    paths: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        for key, child in list(items):
            paths.append((node, key))
            walk(child)

    value = json.loads(json.dumps(value))
    walk(value)
    if not paths:
        return LEAVES[int(rng.integers(len(LEAVES)))]
    node, key = paths[int(rng.integers(len(paths)))]
    if rng.random() < 0.2:
        del node[key]
    else:
        node[key] = LEAVES[int(rng.integers(len(LEAVES)))]
    return value


def boundary(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Put a boundary value of its type, or of its length, somewhere into an array."""
    found = values.copy()
    if not found.size:
        return found
    if found.dtype.kind in "iu":
        info = np.iinfo(found.dtype)
        own = [int(found.max()), int(found.max()) + 1, int(found.min()) - 1, len(found), len(found) - 1, len(found) + 1]
        pool = [v for v in [*BOUNDARY, *own, info.min, info.max] if info.min <= v <= info.max]
        found.flat[int(rng.integers(found.size))] = pool[int(rng.integers(len(pool)))]
    elif found.dtype.kind == "f":
        found.flat[int(rng.integers(found.size))] = rng.choice([np.nan, np.inf, -np.inf, -1.0, 0.0, 1e30])
    elif found.dtype.kind == "b":
        found.flat[int(rng.integers(found.size))] ^= True
    return found


def reshaped(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Give an array another length, rank or type."""
    kind = int(rng.integers(6))
    if kind == 0:
        return values[:-1]
    if kind == 1:
        return np.concatenate([values, values[-1:]])
    if kind == 2:
        return values[..., None]
    if kind == 3:
        return values[:0]
    if values.dtype.kind not in "iufb":
        return values[::-1]
    return values.astype(rng.choice(["i1", "u2", "f4", "f8", "i8"]), copy=True)


def mutate_hdf5(path: Path, rng: np.random.Generator) -> None:
    """Change values, shapes, types, names or attributes of a data set, index arrays most often."""
    import h5py

    with h5py.File(path, "r+") as file:
        found: list[Any] = []
        file.visititems(lambda _, node: found.append(node))
        sets = [node for node in found if isinstance(node, h5py.Dataset)]
        index = [
            d for d in sets if d.name.rsplit("/", 1)[-1] in ("indptr", "indices", "codes", "obsmap") or d.size < 40
        ]
        pool = index if index and rng.random() < 0.7 else sets
        node = pool[int(rng.integers(len(pool)))]
        kind = int(rng.integers(8))
        if kind <= 3 and node.shape != ():
            node[...] = boundary(node[...], rng)
        elif kind <= 5 and node.shape != ():
            name, parent, attributes = node.name.rsplit("/", 1)[-1], node.parent, dict(node.attrs)
            new = reshaped(node[...], rng)
            dtype = node.dtype if new.dtype.kind == "O" else None
            del parent[name]
            made = parent.create_dataset(name, data=new, dtype=dtype)
            made.attrs.update(attributes)
        elif kind == 6:
            del node.parent[node.name.rsplit("/", 1)[-1]]
        else:
            holders = [n for n in [*found, file] if len(n.attrs)]
            holder = holders[int(rng.integers(len(holders)))]
            name = str(rng.choice(sorted(holder.attrs)))
            value = LEAVES[int(rng.integers(len(LEAVES) - 6))]
            holder.attrs[name] = "" if value is None else value


def mutate_zarr(folder: Path, rng: np.random.Generator) -> list[tuple[Path, bytes]]:
    """Change one file of a store; return what it held, so that it can be put back."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    texts = [p for p in files if p.name in ("zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata")]
    chunks = [p for p in files if p not in set(texts)]
    kind = int(rng.integers(4))
    path = (texts if kind <= 1 else chunks)[int(rng.integers(len(texts if kind <= 1 else chunks)))]
    before = path.read_bytes()
    if kind == 0:
        path.write_text(json.dumps(mutate_json(json.loads(before), rng)))
    elif kind == 1 or kind == 2:
        path.write_bytes(mutate_bytes(before, rng))
    else:
        import zarr

        parent = next(p for p in path.parents if (p / "zarr.json").is_file() or (p / ".zarray").is_file())
        array = zarr.open_array(parent, mode="r+")
        whole = {p: p.read_bytes() for p in parent.rglob("*") if p.is_file()}
        if array.dtype.kind in "iufb" and array.shape != ():
            array[...] = boundary(np.asarray(array[...]), rng)
        return list(whole.items())
    return [(path, before)]
