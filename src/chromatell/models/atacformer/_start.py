"""Where training starts: log odds of the bins, their embedding by latent semantic indexing, a pretrained model."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from chromatell._settings import logger
from chromatell._validate import ChromatellError, examples
from chromatell.data.lsi import Lsi
from chromatell.models.atacformer._fitted import Fitted
from chromatell.models.atacformer._module import AtacFormerConfig, AtacFormerModule
from chromatell.models.atacformer._vocabulary import N_FIXED, Vocabulary


def log_odds(frequency: np.ndarray) -> Tensor:
    """Return float32 (bins,); a bin open in no training cell (or all) keeps a finite value."""
    p = frequency.clip(1e-6, 1 - 1e-4)
    return torch.from_numpy(np.log(p / (1 - p)).astype(np.float32))


def lsi_vectors(binarized: sp.csr_matrix, k: int, *, seed: int) -> np.ndarray:
    """Return a vector of each bin, float32 (bins, k), of mean square 1/k, by `Lsi` of the training cells.

    Where there are fewer cells or bins than `k`, the numbers beyond are zeros.
    """
    of_bins = Lsi.fit(binarized, k, seed=seed, drop_first=False).bin_vectors()
    vectors = np.zeros((binarized.shape[1], k), dtype=np.float32)
    vectors[:, : of_bins.shape[1]] = of_bins
    size = float(np.sqrt(np.mean(np.square(vectors, dtype=np.float64))))
    return vectors / max(size, 1e-12) * np.float32(k**-0.5)


def new_module(
    network: AtacFormerConfig, fitted: Fitted, *, vectors: np.ndarray | None, pretrained: Any
) -> AtacFormerModule:
    """Return a module before training.

    Parameters
    ----------
    vectors
        float32 (bins, k), where the embeddings of the bins start; None leaves them random.
    pretrained
        A trained AtacFormer to go on from, or None.
    """
    module = AtacFormerModule(network, fitted.tensors(), log_odds(fitted.frequency), fitted.mean_open)
    if vectors is not None:
        module.tokens.table.weight.data[: network.n_bins] = torch.from_numpy(vectors)
    if pretrained is not None:
        continue_from(module, fitted, pretrained.module, pretrained.fitted)
    return module


def continue_from(module: AtacFormerModule, fitted: Fitted, old: AtacFormerModule, known: Fitted) -> None:
    """Copy what fits of a trained module: bins, chromosomes and labels by name, the rest by shape.

    A bin that the old module does not know starts at the mean of those it does.
    """
    state = module.state_dict()
    place = known.vocabulary.bins.get_indexer(fitted.vocabulary.bins)
    n_known = int((place >= 0).sum())
    if n_known == 0:
        raise ChromatellError(
            f"pretrained= knows none of the {len(place):,} bins (such as {examples(fitted.vocabulary.bins, 2)}); its "
            f"own are such as {examples(known.vocabulary.bins, 2)}. Are they of the same genome build, bin size and "
            "way of naming? Count its bins, adata = "
            "ctl.pp.bin_genome('fragments.tsv.gz', bins=model.regions), or leave pretrained= out."
        )
    logger.info(f"{n_known:,} of {len(place):,} bins are those of the pretrained model.")
    with torch.no_grad():
        for name, value in old.state_dict().items():
            if name == "tokens.table.weight":
                _copy_tokens(state[name], value, fitted.vocabulary, known.vocabulary, place)
            elif name.startswith("heads.") or name in ("bias", "mean_open"):
                continue  # the log odds are those of the new data
            elif name in state and state[name].shape == value.shape:
                state[name].copy_(value)
        for i, (key, classes) in enumerate(fitted.labels.items()):
            if known.labels.get(key) == classes:
                module.heads[i].load_state_dict(old.heads[list(known.labels).index(key)].state_dict())


def _copy_tokens(to: Tensor, table: Tensor, new: Vocabulary, old: Vocabulary, place: np.ndarray) -> None:
    known = place >= 0
    to[: new.n_bins] = table[place[known]].mean(dim=0)
    to[: new.n_bins][known] = table[place[known]]
    to[new.n_bins : new.n_bins + N_FIXED] = table[old.n_bins : old.n_bins + N_FIXED]
    for token, name in zip(new.eos, new.eos_names, strict=True):
        if name in old.eos_names:
            to[token] = table[old.eos[old.eos_names.index(name)]]


def loaded(pretrained: Any) -> Any:
    """Return the trained AtacFormer to start from, of a path, data that carries it, or itself; None stays None."""
    from chromatell.models import load  # here: the package imports this module

    if pretrained is None:
        return None
    model = pretrained if hasattr(pretrained, "family") else load(pretrained)
    if model.family != "atacformer":
        raise ChromatellError(f"pretrained= is a {model.family!r} model; an 'atacformer' model is needed.")
    model._require_trained()
    return model
