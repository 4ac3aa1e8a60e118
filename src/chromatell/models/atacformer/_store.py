"""An AtacFormer module from stored arrays; what comes from a stranger is checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch

from chromatell._validate import ChromatellError
from chromatell.data.stored import stored, stored_index
from chromatell.models.atacformer._data import check_fractions
from chromatell.models.atacformer._module import AtacFormerConfig, AtacFormerModule
from chromatell.models.atacformer._presets import checked
from chromatell.models.atacformer._vocabulary import Vocabulary
from chromatell.nn.stored_module import stored_module

_AGAIN = "Ask for the file again."


def vocabulary_from(bins: pd.Index, config: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Vocabulary:
    """Return the vocabulary of a record."""
    chroms, chrom = tuple(str(c) for c in config["chroms"]), arrays["bins.chrom"]
    stored_index(chrom, len(chroms), "bins.chrom")
    eos = tuple(str(name) for name in config["eos_names"])
    by_class = config["network"]["decoder"] == "region_class"  # else there is an <eos> a chromosome
    eos_fit = 1 <= len(eos) <= 100_000 if by_class else eos == chroms
    if chrom.shape != (len(bins),) or not bins.is_unique or not eos_fit:
        raise ChromatellError(f"The stored bins do not fit their {len(bins)} names. {_AGAIN}")
    return Vocabulary(bins, chroms, chrom, eos, config["network"]["eos"] != "outside")


def module_from(
    raw: Mapping[str, Any], sizes: Mapping[str, Any], tables: Mapping[str, np.ndarray], arrays: Mapping[str, np.ndarray]
) -> AtacFormerModule:
    """Return the module of a record.

    Parameters
    ----------
    raw
        The stored description of the network.
    sizes
        Those of its fields that the vocabulary, the labels and the context of the record give.
    tables
        Arrays that describe the bins; the module holds them, but they are no weights.
    """
    config = checked(
        AtacFormerConfig(**{**raw, "n_classes": tuple(raw["n_classes"]), "class_weights": tuple(raw["class_weights"])})
    )
    wrong = [name for name, value in sizes.items() if getattr(config, name) != value]
    if wrong:
        raise ChromatellError(f"The stored sizes {wrong} are not those of the bins and labels it names. {_AGAIN}")
    if config.n_dna:
        stored(tables, "dna", (config.n_bins, config.n_dna))
    if config.decoder == "region_class":
        check_fractions(stored(tables, "region_class", (config.n_bins, config.n_eos)))
    given = {name: torch.from_numpy(table.copy()) for name, table in tables.items()}
    return stored_module(lambda: AtacFormerModule(config, given, torch.empty(config.n_bins), 1.0), arrays)
