"""A Dense module from stored arrays, and its predictions block by block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

from chromatell._validate import ChromatellError
from chromatell.data.cells import TILE, CellBatch, row_blocks
from chromatell.data.stored import stored_index
from chromatell.models.dense._module import N_SIZES, DenseConfig, DenseModule
from chromatell.nn.losses import LossConfig
from chromatell.nn.stored_module import stored_module

_COLUMNS = 4096  # regions predicted at a time, where they are scattered or a GPU does it


def stored_config(raw: Mapping[str, Any], n_genes: int, n_regions: int) -> DenseConfig:
    """Return the network of a stored description, which must be that of a model and fit its own names."""
    try:
        c = DenseConfig(**{**raw, "loss": LossConfig(**raw["loss"])})
    except ChromatellError as error:
        raise ChromatellError(
            f"The model's description is not that of any model. {error} Ask for the file again."
        ) from error
    if (c.n_genes, c.n_regions) != (n_genes, n_regions):
        raise ChromatellError(
            f"The model says {c.n_genes} genes and {c.n_regions} regions but names {n_genes} and {n_regions}. Ask for "
            "the file again."
        )
    return c


def module_from(config: DenseConfig, arrays: Mapping[str, np.ndarray]) -> DenseModule:
    """Return the module of a record. Indices are checked: a wrong one would read outside a tensor."""
    weights = {k.removeprefix("weights."): v for k, v in arrays.items() if k.startswith("weights.")}
    state = {name: torch.from_numpy(value.copy()) for name, value in weights.items()}
    pairs = scores = None
    if "linked.link_gene" in state:
        stored_index(weights["linked.link_gene"], config.n_genes, "weights.linked.link_gene")
        stored_index(weights["linked.link_region"], config.n_regions, "weights.linked.link_region")
        pairs = (state["linked.link_gene"], state["linked.link_region"])
    if config.encoder == "shared":
        index = weights["encoders.0.score_index"]
        n_features = weights[
            "encoders.0.head.0.weight" if config.dropout_in == 0 else "encoders.0.head.1.weight"
        ].shape[1]
        n_features -= N_SIZES + config.n_covariates
        for i in range(config.n_members):
            mine = weights[f"encoders.{i}.score_index"]
            stored_index(mine[0], n_features, f"weights.encoders.{i}.score_index")
            stored_index(mine[1], config.n_genes, f"weights.encoders.{i}.score_index")
        scores = (torch.from_numpy(index.copy()), state["encoders.0.score_value"], n_features)
    return stored_module(lambda: DenseModule(config, torch.empty(config.n_regions), 1.0, pairs, scores), arrays)


def decode_blocks(module: DenseModule, batch: CellBatch, position: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield (columns, block) of the regions at the given positions, in runs that a block of the network covers."""
    size = _size(module, position)
    with torch.no_grad():
        latent = module.encode(batch)
        for cols in row_blocks(len(position), size):
            wanted = position[cols]
            first, last = int(wanted.min()), int(wanted.max()) + 1
            if last - first <= 2 * size:
                block = module.probability(latent, batch, first, last)
                if len(wanted) < last - first or (np.diff(wanted) != 1).any():
                    block = block[:, wanted - first]
            else:  # scattered over many regions: a part at a time
                parts = np.empty((batch.x.shape[0], len(wanted)), dtype=np.float32)
                for start in range(first, last, size):
                    inside = (wanted >= start) & (wanted < start + size)
                    if inside.any():
                        part = module.probability(latent, batch, start, min(start + size, last))
                        parts[:, inside] = part[:, wanted[inside] - start].cpu().numpy()
                yield cols, parts
                continue
            yield cols, block.cpu().numpy()


def not_asked(module: DenseModule, batch: CellBatch, position: np.ndarray) -> Iterator[tuple[slice, None]]:
    """Yield the columns that `decode_blocks` does, without what the network says: it has no weight in the stack."""
    for cols in row_blocks(len(position), _size(module, position)):
        yield cols, None


def _size(module: DenseModule, position: np.ndarray) -> int:
    """Return how many regions are predicted at a time."""
    in_cache = module.bias.device.type == "cpu" and bool((np.diff(position) == 1).all())
    return min(module.config.block, TILE if in_cache else _COLUMNS)
