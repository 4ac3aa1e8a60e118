"""Attention from queries of a cell to the encoded tokens of its own sentence, packed."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def cross_attend(q: Tensor, k: Tensor, v: Tensor, n_queries: list[int], lengths: list[int]) -> Tensor:
    """Return what each query reads of its own sentence, (queries, heads, width).

    On CPU in float32, a call for each run of cells with as many queries and tokens; on CUDA jagged nested tensors.

    Parameters
    ----------
    q
        (queries, heads, width): the queries of the first cell, then of the second, ...
    k, v
        (tokens, heads, width): sentences one after another.
    n_queries, lengths
        Queries and tokens of each cell.
    """
    if q.is_cuda:
        return cross_attend_jagged(q, k, v, n_queries, lengths)
    runs = [(n, length, len(list(run))) for (n, length), run in groupby(zip(n_queries, lengths, strict=True))]
    with torch.autocast("cpu", enabled=False):
        asked = q.float().split([n * cells for n, _, cells in runs])
        keys, values = (x.float().split([length * cells for _, length, cells in runs]) for x in (k, v))
        out = []
        for (n, length, cells), a, b, c in zip(runs, asked, keys, values, strict=True):
            a = a.unflatten(0, (cells, n)).transpose(1, 2)  # (cells, heads, n, width)
            b, c = (x.unflatten(0, (cells, length)).transpose(1, 2) for x in (b, c))
            out.append(F.scaled_dot_product_attention(a, b, c).transpose(1, 2).flatten(0, 1))
        return torch.cat(out).to(q.dtype)


def cross_attend_jagged(q: Tensor, k: Tensor, v: Tensor, n_queries: list[int], lengths: list[int]) -> Tensor:
    """Return `cross_attend` through nested tensors: one call, whatever the lengths."""
    a, b, c = (
        torch.nested.nested_tensor_from_jagged(
            x, torch.tensor([0, *n], device=x.device).cumsum(0), min_seqlen=min(n), max_seqlen=max(n)
        )
        for x, n in ((q, n_queries), (k, lengths), (v, lengths))
    )
    out = F.scaled_dot_product_attention(a.transpose(1, 2), b.transpose(1, 2), c.transpose(1, 2))
    return out.transpose(1, 2).values()


class OutsideEos(nn.Module):
    """`<eos>` tokens that stand in no sentence: from their embeddings they ask the encoded one, and no token sees them.

    One block of attention and one linear layer, with the query added to what it reads.
    """

    def __init__(self, c: Any):
        super().__init__()
        self.n_eos, self.n_heads = c.n_eos, c.n_heads
        self.norm, self.norm_out = nn.LayerNorm(c.d), nn.LayerNorm(c.d)
        self.query, self.kv, self.out = nn.Linear(c.d, c.d), nn.Linear(c.d, 2 * c.d), nn.Linear(c.d, c.d)

    def forward(self, eos: Tensor, hidden: Tensor, lengths: list[int]) -> Tensor:
        """Embeddings of the tokens (n_eos, d), encoded sentences (tokens, d) -> (cells, n_eos, d)."""
        cells = len(lengths)
        q = self.query(self.norm(eos)).unflatten(-1, (self.n_heads, -1)).repeat(cells, 1, 1)
        k, v = self.kv(hidden).view(len(hidden), 2, self.n_heads, -1).unbind(1)
        read = cross_attend(q, k, v, [self.n_eos] * cells, lengths).flatten(1)
        return self.norm_out(eos + self.out(read).view(cells, self.n_eos, -1))
