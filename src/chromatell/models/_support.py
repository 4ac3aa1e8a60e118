"""What a model needs around it: a view of the data that may be written on, limits, quiet and precision of training."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData

from chromatell._compat import no_pull
from chromatell._keys import ATAC, RNA, SPLIT_HOW, SPLITS, UNS
from chromatell._settings import check_fits, logger
from chromatell._sparse import check_sparse
from chromatell._validate import ChromatellError, split_of, warn

STORE = "Write a store, out='predictions.zarr', or ask for fewer, regions=[...]."  # where predictions do not fit


def shared_view(mdata: MuData, modalities: tuple[str, ...]) -> MuData:
    """Return a MuData that shares matrices with `mdata`: scvi-tools writes its columns there, not on the user's."""
    mods = {}
    for name in modalities:
        source = mdata.mod[name]
        mods[name] = AnnData(
            source.X,
            obs=source.obs.copy(),
            var=source.var.copy(),
            obsm=dict(source.obsm),
            varm=dict(source.varm),
            uns={},
        )
    with no_pull():
        inner = MuData(mods)
    for name in mdata.obs.columns:
        inner.obs[name] = mdata.obs[name].reindex(inner.obs_names)
    inner.uns[UNS] = dict(mdata.uns.get(UNS, {}))
    return inner


def check_dense(n_cells: int, n_regions: int) -> None:
    """Raise where a dense matrix of predictions would be over ``settings.dense_limit``."""
    check_fits(4 * n_cells * n_regions, f"{n_cells:,} cells x {n_regions:,} regions as a dense matrix take", STORE)


def observed_atac(data: Any) -> AnnData:
    """Return the cells' own ATAC, which ``depth='observed'`` reads, with a warning; raise where there is none."""
    if not isinstance(data, MuData) or ATAC not in data.mod:
        raise ChromatellError(
            "depth='observed' reads each cell's own ATAC, and the query has none. Use depth='predicted' (from "
            "expression) or 'fixed'."
        )
    warn(
        "depth='observed' uses the target assay: take these predictions as an upper bound, not as predictions from "
        "expression."
    )
    check_sparse(data.mod[ATAC].X, "mdata.mod['atac'].X")
    return data.mod[ATAC]


@contextlib.contextmanager
def quiet_lightning() -> Iterator[None]:
    """Keep Lightning's hardware lines and its advice on workers out of the notebook: batches are made in memory."""
    loggers = [
        logging.getLogger(name)
        for name in ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero")
    ]
    levels = [item.level for item in loggers]
    for item in loggers:
        item.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*LeafSpec.*")  # Lightning's own use of torch's pytree
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            warnings.filterwarnings("ignore", message=".*across ranks is zero.*")  # no validation part
            warnings.filterwarnings("ignore", message=".*Checkpoint directory.*")
            warnings.filterwarnings("ignore", message=".*`lr_scheduler.step\\(\\)`.*")
            warnings.filterwarnings("ignore", message=".*sync_dist=True.*")  # losses are those of all ranks
            warnings.filterwarnings("ignore", message=".*val_dataloader.*")
            warnings.filterwarnings("ignore", message=".*find_unused_parameters.*")
            yield
    finally:
        for item, level in zip(loggers, levels, strict=True):
            item.setLevel(level)


@contextlib.contextmanager
def first_rank_speaks() -> Iterator[None]:
    """Keep log lines to the first of the processes that train together."""
    from lightning.pytorch.utilities import rank_zero_only

    level = logger.level
    if rank_zero_only.rank:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def on_first_rank(model: Any, write: Callable[[], Any], read: Callable[[], Any]) -> Any:
    """Return what `write` returns; where several processes trained the model the first writes, then the others read."""
    trainer = getattr(model, "trainer", None)
    if trainer is None or trainer.world_size == 1:
        return write()
    written = write() if trainer.is_global_zero else None
    torch.distributed.barrier()
    return written if trainer.is_global_zero else read()


def resolve_precision(precision: str, accelerator: str, *, on_cpu: bool = True) -> str:
    """Return Lightning's name of a precision; 'auto' is bfloat16 autocast where the hardware has it, else float32.

    `on_cpu` is whether bfloat16 pays on a CPU with its instructions. This is the one place that decides.
    """
    if precision != "auto":
        return precision
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        bf16 = torch.cuda.is_bf16_supported()
    else:
        bf16 = on_cpu and accelerator in ("auto", "cpu") and cpu_has_bf16()
    if bf16:
        logger.debug("Training in bfloat16 autocast; loss in float32.")
    return "bf16-mixed" if bf16 else "32-true"


def cpu_has_bf16() -> bool:
    """Return whether the CPU multiplies faster in bfloat16: AMX. With AVX-512 alone XChrom trains at .62 of float32."""
    test = getattr(torch.cpu, "_is_amx_tile_supported", None)  # torch calls it private; older versions do not have it
    return test is not None and bool(test())


def rng_devices(accelerator: str, devices: Any) -> list[int]:
    """Return the GPUs that a training may draw numbers on: their generators are put back at its end, no others."""
    n = torch.cuda.device_count() if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available() else 0
    if isinstance(devices, list):
        return [i for i in devices if i < n]
    try:
        wanted = 1 if devices == "auto" else int(devices)
    except (TypeError, ValueError):  # Lightning says what is wrong with it
        return []
    return list(range(n if wanted < 0 else min(wanted, n)))


def type_of(data: Any) -> str:
    """Return what an object is, for a message."""
    return f"a MuData with {sorted(data.mod)}" if isinstance(data, MuData) else type(data).__name__


def expression_of(source: Any) -> AnnData:
    """Return the expression of a query, or its embedding."""
    rna = source.mod[RNA] if isinstance(source, MuData) and RNA in source.mod else source
    if not isinstance(rna, AnnData):
        raise ChromatellError(
            f"predict() takes an AnnData of expression or a MuData with modality 'rna'; got {type_of(source)}."
        )
    return rna


def describe(data: MuData, var_names: Mapping[str, list[str]]) -> dict[str, Any]:
    """Return what a model card says of the data: sizes and how it was split; no cell, donor or label is named."""
    counts = pd.Series(split_of(data)).value_counts()
    how = data.uns.get(UNS, {}).get(SPLIT_HOW, {})
    by = str(how.get("by", "")) or "cells at random"
    return {
        "data": {
            "cells": {name: int(counts.get(name, 0)) for name in SPLITS},
            "variables": {name: len(names) for name, names in var_names.items()},
        },
        "split": {"by": by, "held_out_labels": bool(how.get("holdout", ""))},
    }
