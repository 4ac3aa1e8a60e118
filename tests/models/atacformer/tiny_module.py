"""Sizes of a tiny `AtacFormer`, a tiny network with nothing at zero, and sentences for it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from chromatell.models.atacformer._batch import SentenceBatch
from chromatell.models.atacformer._module import AtacFormerConfig, AtacFormerModule

TINY = {"d": 32, "k": 16, "n_hidden": 64, "n_layers": 1, "n_heads": 2}
N_BINS, N_EOS = 40, 3
N_TOKENS = N_BINS + 3 + N_EOS


def tiny_config(**options: Any) -> AtacFormerConfig:
    sizes = {"n_bins": N_BINS, "n_tokens": N_TOKENS, "n_eos": N_EOS, "k": 8, "d": 16, "n_heads": 4, "n_hidden": 32}
    return AtacFormerConfig(**{**sizes, "n_layers": 2, **options})


def tiny_module(config: AtacFormerConfig, tables: dict[str, Tensor]) -> AtacFormerModule:
    module = AtacFormerModule(config, tables, torch.randn(N_BINS), 7.0).eval()
    for p in module.parameters():  # nothing at zero: every path counts
        nn.init.normal_(p, std=0.3)
    return module


def batch_of(sentences: Any, context: Tensor | None = None, eos: str = "inside") -> SentenceBatch:
    head = [N_BINS + 1] + ([N_BINS + 2] if context is not None else [])
    end = [] if eos == "outside" else list(range(N_BINS + 3, N_TOKENS))
    whole = [[*head, *map(int, s), *end] for s in sentences]
    n = torch.tensor([len(s) for s in sentences], dtype=torch.float32)
    return SentenceBatch(
        tokens=torch.tensor([t for s in whole for t in s]),
        lengths=torch.tensor([len(s) for s in whole]),
        n_seen=n,
        n_removed=n + 1,
        context=context,
    )
