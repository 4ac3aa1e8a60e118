"""Building blocks that several families share."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from chromatell.nn.ranks import BatchNorm


class MLP(nn.Sequential):
    """Fully connected layers: Linear, norm, SiLU, dropout, `n_layers` times; then Linear to `n_out`.

    ``(cells, n_in) -> (cells, n_out)``. With ``n_layers=0`` it is a single linear map.
    """

    def __init__(
        self, n_in: int, n_out: int, *, n_hidden: int, n_layers: int, norm: str, dropout: float, dropout_in: float = 0.0
    ):
        layers: list[nn.Module] = [nn.Dropout(dropout_in)] if dropout_in else []
        for i in range(n_layers):
            layers.append(nn.Linear(n_in if i == 0 else n_hidden, n_hidden))
            if norm == "batch":
                layers.append(BatchNorm(n_hidden))
            elif norm == "layer":
                layers.append(nn.LayerNorm(n_hidden))
            layers += [nn.SiLU(), nn.Dropout(dropout)]
        layers.append(nn.Linear(n_hidden if n_layers else n_in, n_out))
        super().__init__(*layers)


class GeneAttention(nn.Module):
    """Attention over gene tokens: a few learned queries read all genes, so the cost is linear in the number of genes.

    A gene's token is ``embedding + value * direction``; `n_queries` learned queries cross-attend to all tokens and then
    to each other (as in the Perceiver, Jaegle et al. 2021). ``(cells, genes) -> (cells, n_queries * d)``.
    """

    def __init__(self, n_genes: int, *, d: int, n_queries: int, n_heads: int, n_layers: int, dropout: float):
        super().__init__()
        self.embedding = nn.Parameter(torch.randn(n_genes, d) * d**-0.5)
        self.direction = nn.Parameter(torch.randn(n_genes, d) * d**-0.5)
        self.query = nn.Parameter(torch.randn(n_queries, d) * d**-0.5)
        self.norm = nn.LayerNorm(d)
        self.read = nn.MultiheadAttention(d, n_heads, dropout=dropout, batch_first=True)
        self.mix = nn.ModuleList(
            nn.TransformerEncoderLayer(d, n_heads, 4 * d, dropout, activation="gelu", batch_first=True, norm_first=True)
            for _ in range(n_layers)
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(cells, genes) -> (cells, n_queries * d)``."""
        tokens = self.norm(self.embedding + x.unsqueeze(-1) * self.direction)  # (cells, genes, d)
        h = self.query.expand(x.shape[0], -1, -1)
        h = h + self.read(h, tokens, tokens, need_weights=False)[0]
        for layer in self.mix:
            h = layer(h)
        return h.flatten(1)


class LinkedGenes(nn.Module):
    """A skip from each gene to the regions linked to it: one weight for each (gene, region) link, sorted by region.

    Adds ``sum over links of weight * expression`` to a region's logit.
    """

    link_gene: Tensor
    link_region: Tensor

    def __init__(self, link_gene: Tensor, link_region: Tensor):
        super().__init__()
        self.register_buffer("link_gene", link_gene)
        self.register_buffer("link_region", link_region)
        self.weight = nn.Parameter(torch.zeros(link_gene.numel()))
        self._on_host: np.ndarray | None = None  # `link_region`, so that no block waits for a device to say where it is

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self._on_host = None  # other links
        super()._load_from_state_dict(*args, **kwargs)

    def forward(self, x: Tensor, start: int, stop: int) -> Tensor:
        """``(cells, genes) -> (cells, stop - start)``, for the regions from `start` to `stop`."""
        if self._on_host is None:
            self._on_host = self.link_region.cpu().numpy()
        first, last = np.searchsorted(self._on_host, [start, stop]).tolist()
        out = x.new_zeros(x.shape[0], stop - start)
        if first == last:
            return out
        part = x[:, self.link_gene[first:last]] * self.weight[first:last]
        return out.index_add(1, self.link_region[first:last] - start, part.to(out.dtype))
