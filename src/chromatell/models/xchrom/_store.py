"""An XChrom module from stored arrays, and its sequence side alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor, nn

from chromatell._keys import CHROM, END, START
from chromatell._validate import ChromatellError
from chromatell.data.stored import stored_index
from chromatell.models.xchrom._module import XChromConfig, XChromModule
from chromatell.nn.sequence_tower import TowerConfig
from chromatell.nn.single_changes import change_effects
from chromatell.nn.stored_module import stored_module

_AGAIN = "Ask for the file again."


class SequenceVectors(nn.Module):
    """``(n, 4, length) -> (n, n_vector)``, the mean over both strands; it shares the weights of the module."""

    def __init__(self, module: XChromModule):
        super().__init__()
        self.module = module
        self.both = module.config.tower.turns_strands

    def forward(self, x: Tensor) -> Tensor:
        """One-hot, A C G T in the second dimension; turned round in both is the other strand."""
        w = self.module.from_one_hot(x)
        return (w + self.module.from_one_hot(x.flip((1, 2)))) / 2 if self.both else w

    def change_effects(self, tokens: Tensor, part: slice, batch_size: int) -> Tensor:
        """Return what each change of one base in `part` does, ``int8 (n, length) -> (n, 4, width, n_vector)``."""
        return change_effects(self.module, tokens, part, both=self.both, batch_size=batch_size)


def check_config(raw: Mapping[str, Any]) -> XChromConfig:
    """Return the network of a stored description, or raise where it asks for more than any model has."""
    try:
        config = XChromConfig(**{**raw, "tower": TowerConfig(**raw["tower"])})
    except ChromatellError as error:
        raise ChromatellError(f"The model's description is not that of any model. {error} {_AGAIN}") from error
    tower = config.tower
    no_width = bool(config.n_motifs) and not config.motif_width
    if (
        no_width
        or not config.n_inputs
        or tower.n_bottleneck != config.n_bottleneck
        or tower.sequence_length < tower.shortest
    ):
        raise ChromatellError(f"The model's description is out of range: {dict(raw)}. {_AGAIN}")
    return config


def plain_places(places: pd.DataFrame) -> tuple[np.ndarray, list[str]]:
    """Return coordinates as int64 (regions, 3): place in the list of chromosomes, start, end; and that list."""
    codes, names = pd.factorize(places[CHROM], sort=True)
    return np.column_stack([codes, places[START], places[END]]).astype(np.int64), list(map(str, names))


def places_from(regions: pd.Index, value: np.ndarray, chromosomes: Any) -> pd.DataFrame:
    """Return the table that `plain_places` took apart, indexed by the regions."""
    if not isinstance(chromosomes, list) or not all(isinstance(c, str) for c in chromosomes):
        raise ChromatellError(f"The model's description names no chromosomes. {_AGAIN}")
    if value.shape != (len(regions), 3):
        raise ChromatellError(f"The stored 'regions.places' does not fit the {len(regions)} regions. {_AGAIN}")
    stored_index(value[:, :1], len(chromosomes), "regions.places")
    names = np.array([*chromosomes, ""], dtype=object)[value[:, 0]]
    return pd.DataFrame({CHROM: names, START: value[:, 1], END: value[:, 2]}, index=regions)


def module_from(config: XChromConfig, arrays: Mapping[str, np.ndarray]) -> XChromModule:
    """Return the module of a record."""
    module = stored_module(lambda: XChromModule(config), arrays)
    if module.covariates is not None:
        module.covariates.check()
    return module
