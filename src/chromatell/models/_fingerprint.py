"""What tells one training run from another: its data, split, options, seed, and where it starts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from anndata import AnnData
from mudata import MuData
from torch import Tensor
from torch.utils.data import DataLoader

from chromatell._keys import SELECTED, SPLIT
from chromatell.data.tracks import BinnedTracks
from chromatell.models._train_config import TrainConfig

_ROWS = 8192  # read at a time


class Digest:
    """A SHA-256 that takes arrays, tables and plain values."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, name: str, value: Any) -> None:
        """Take a value in; matrices on disk are read block by block."""
        self._hash.update(f"\0{name}\0{type(value).__name__}\0".encode())
        if isinstance(value, Tensor):
            value = value.detach().cpu().contiguous()
            value = (value.view(torch.uint8) if value.dtype == torch.bfloat16 else value).numpy()
        if sp.issparse(value):
            self._hash.update(f"{value.format} {value.shape}".encode())
            for part in ("data", "indices", "indptr"):
                self._bytes(getattr(value, part))
        elif isinstance(value, np.ndarray) and value.dtype != object:
            self._bytes(value)
        elif hasattr(value, "shape") and len(value.shape) == 2 and not isinstance(value, np.ndarray | pd.DataFrame):
            for start in range(0, value.shape[0], _ROWS):
                block = value[start : start + _ROWS]
                self.add(f"rows {start}", block.compute() if hasattr(block, "compute") else block)
        else:
            values = list(value) if isinstance(value, Iterable) and not isinstance(value, str) else [value]
            self._hash.update("\0".join(map(str, values)).encode())

    def _bytes(self, array: np.ndarray) -> None:
        self._hash.update(f"{array.dtype.str} {array.shape}".encode())
        self._hash.update(np.ascontiguousarray(array).data)

    def hex(self) -> str:
        """Return the hash in hex."""
        return self._hash.hexdigest()


def data_digest(data: MuData | AnnData | BinnedTracks, setup: Mapping[str, Any]) -> str:
    """Return a hash of all that a model reads of its data; `setup` names columns and arrays beside the matrices."""
    digest = Digest()
    if isinstance(data, BinnedTracks):
        digest.add("table", data.table.astype(str).to_csv())
        digest.add("bin size", data.bin_size)
        for chrom in data.chroms:
            digest.add(chrom, np.asarray(data.values(chrom)))
            if chrom in data.masks:
                digest.add("mask", np.asarray(data.masks[chrom]))
        return digest.hex()
    named = {str(v) for value in setup.values() for v in (value if isinstance(value, list | tuple) else [value])}
    parts = {"": data} if isinstance(data, AnnData) else data.mod
    for name, adata in parts.items():
        digest.add(f"{name} X", adata.X)
        digest.add(f"{name} cells", adata.obs_names)
        digest.add(f"{name} variables", adata.var_names)
        if SELECTED in adata.var:
            digest.add(f"{name} selected", adata.var[SELECTED].to_numpy(dtype=bool))
        for kind in ("obsm", "varm"):
            for key in sorted(named & set(getattr(adata, kind))):
                digest.add(f"{name} {kind} {key}", np.asarray(getattr(adata, kind)[key]))
    tables = [data.obs] if isinstance(data, AnnData) else [data.obs, *(m.obs for m in data.mod.values())]
    for table in tables:
        for key in sorted(named & set(table.columns)):
            digest.add(f"obs {key}", table[key].astype(str))
    return digest.hex()


def split_digest(data: MuData | AnnData | BinnedTracks) -> str:
    """Return a hash of who is trained on, validated and tested."""
    digest = Digest()
    if isinstance(data, BinnedTracks):
        for chrom, codes in sorted(data.splits.items()):
            digest.add(chrom, np.asarray(codes))
        return digest.hex()
    digest.add("cells", data.obs[SPLIT].astype(str) if SPLIT in data.obs else [])
    for name, adata in {"": data}.items() if isinstance(data, AnnData) else data.mod.items():
        digest.add(f"{name} regions", adata.var[SPLIT].astype(str) if SPLIT in adata.var else [])
    return digest.hex()


def start_digest(module: torch.nn.Module, loaders: Iterable[DataLoader | None]) -> str:
    """Return a hash of the weights and tables that training starts from, and of the first batch of each part."""
    digest = Digest()
    for name, value in (*module.named_parameters(), *module.named_buffers()):
        digest.add(name, value)
    for loader in loaders:
        if loader is not None:
            for item in loader.sampler:
                _add_batch(digest, loader.dataset[item])
                break
    return digest.hex()


def _add_batch(digest: Digest, batch: Any) -> None:
    for name, value in vars(batch).items():
        if isinstance(value, Tensor) or not hasattr(value, "__dict__"):
            digest.add(name, value)
        else:
            _add_batch(digest, value)


def options_of(config: Mapping[str, Any], train: TrainConfig, **more: Any) -> dict[str, Any]:
    """Return all options of a run, flat: name -> text.

    How long it is belongs to them where the schedule ends with it.
    """
    fields = asdict(train)
    if train.schedule != "cosine":
        del fields["max_epochs"]
    return dict(_flat({**config, **fields, **more, "package": version("chromatell")}))


def _flat(values: Mapping[str, Any], before: str = "") -> Iterable[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", json.dumps(value, default=str)


def fingerprint(
    data: MuData | AnnData | BinnedTracks,
    config: Mapping[str, Any],
    train: TrainConfig,
    *,
    start: str,
    **more: Any,
) -> dict[str, Any]:
    """Return what a state of training says of its run: plain values, equal where the run is the same."""
    return {
        "data": data_digest(data, config.get("setup", {})),
        "split": split_digest(data),
        "start": start,
        "options": options_of(config, train, **more),
    }
