"""Decoders: from the encoded sentence to the state of any bin. One interface; `DECODERS` names them."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chromatell.models.atacformer._cross_attention import cross_attend

N_STATES = 3  # not in the sentence, in it, in it but removed


@dataclass
class Encoded:
    """What the encoder makes of a packed batch.

    Attributes
    ----------
    hidden
        (tokens, d), sentences one after another.
    sizes
        Tokens of each sentence, on the host.
    cls
        (cells, d).
    eos
        (cells, n_eos, d).
    vector
        Function from token ids (n,) to their embeddings (n, k), DNA included.
    """

    hidden: Tensor
    sizes: list[int]
    cls: Tensor
    eos: Tensor
    vector: Callable[[Tensor], Tensor]


class Decoder(nn.Module):
    """The interface: asked pairs in training, a grid of cells x bins in prediction; the same numbers from both."""

    n_states: int

    @abstractmethod
    def forward(self, encoded: Encoded, cell: Tensor, bin: Tensor, n_asked: list[int] | None = None) -> Tensor:
        """Return the logits of the states, (asked, n_states), of the asked pairs of `cell` and `bin`, int64 (asked,).

        There are three states, or as many as the decoder was made for. `n_asked` is how many are asked of each cell,
        on the host, but for zeros at the end; None counts them.
        """

    @abstractmethod
    def grid(self, encoded: Encoded, bins: Tensor) -> Tensor:
        """Return (cells, bins, n_states)."""


class Meeting(nn.Module):
    """Where a vector that speaks for the cell meets a bin's embedding, both of length k -> logits of the states.

    They meet twice: in a feed-forward network with one hidden layer, whose first layer is a sum of a part for the cell
    and a part for the bin (so each is computed once, not once a pair), and in a product of low rank for each state but
    the first.
    """

    def __init__(self, k: int, n_states: int):
        super().__init__()
        self.n_products = n_states - 1
        self.state_up, self.bin_up = nn.Linear(k, k), nn.Linear(k, k, bias=False)
        self.product = nn.Linear(k, self.n_products * k)
        self.out = nn.Linear(k, n_states)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def prepare(self, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return what a state (..., k) brings: (..., k) to the hidden layer, (..., n_states - 1, k) to the products."""
        return self.state_up(state), self.product(state).unflatten(-1, (self.n_products, -1)) * state.shape[-1] ** -0.5

    def forward(self, up: Tensor, factors: Tensor, vector: Tensor) -> Tensor:
        """Return (asked, n_states), pair by pair."""
        logits = self.out(F.gelu(up + self.bin_up(vector)))
        return logits + F.pad((factors * vector[:, None]).sum(-1), (1, 0))


class EosDecoder(Decoder):
    """What `<eos>` decoders share: `<eos_c>` and `<cls>` -> the state of the cell in c, a vector of length k."""

    def __init__(self, c: Any, n_states: int):
        super().__init__()
        self.n_states = n_states
        self.from_eos, self.from_cls = nn.Linear(c.d, c.k), nn.Linear(c.d, c.k, bias=False)
        self.meeting = Meeting(c.k, n_states)


class ChromosomeDecoder(EosDecoder):
    """A bin is read from the state of its chromosome."""

    chrom: Tensor

    def __init__(self, c: Any, tables: Mapping[str, Tensor], n_states: int = N_STATES):
        super().__init__(c, n_states)
        self.register_buffer("chrom", tables["chrom"], persistent=False)  # the record holds it once

    def _prepared(self, encoded: Encoded) -> tuple[Tensor, Tensor]:
        return self.meeting.prepare(self.from_eos(encoded.eos) + self.from_cls(encoded.cls)[:, None])

    def forward(self, encoded: Encoded, cell: Tensor, bin: Tensor, n_asked: list[int] | None = None) -> Tensor:
        """Return (asked, n_states)."""
        up, factors = self._prepared(encoded)  # (cells, chroms, k), (cells, chroms, n_states - 1, k)
        place = self.chrom[bin]
        return self.meeting(up[cell, place], factors[cell, place], encoded.vector(bin))

    def grid(self, encoded: Encoded, bins: Tensor) -> Tensor:
        """Return (cells, bins, n_states), a chromosome at a time."""
        up, factors = self._prepared(encoded)
        vector, place = encoded.vector(bins), self.chrom[bins]
        bin_up = self.meeting.bin_up(vector)
        out = up.new_empty(len(up), len(bins), self.n_states)
        for c in place.unique().tolist():
            on = (place == c).nonzero().squeeze(1)
            logits = self.meeting.out(F.gelu(up[:, c, None] + bin_up[on]))  # (cells, bins of c, n_states)
            product = torch.einsum("csk,bk->cbs", factors[:, c], vector[on])
            out[:, on] = logits + F.pad(product, (1, 0))
        return out


class RegionClassDecoder(EosDecoder):
    """A bin is read from a mixture of the states of its classes, such as promoter and exon, weighted by their shares.

    What no class covers is read from `<cls>` alone, and so is a bin without any class. Classes overlap: where shares
    sum to more than 1 they are divided by the sum.
    """

    mixture: Tensor

    def __init__(self, c: Any, tables: Mapping[str, Tensor], n_states: int = N_STATES):
        super().__init__(c, n_states)
        self.register_buffer("mixture", class_mixture(tables["region_class"]), persistent=False)

    def _prepared(self, encoded: Encoded) -> tuple[Tensor, Tensor]:
        none = self.from_cls(encoded.cls)[:, None]
        return self.meeting.prepare(torch.cat([self.from_eos(encoded.eos) + none, none], dim=1))

    def forward(self, encoded: Encoded, cell: Tensor, bin: Tensor, n_asked: list[int] | None = None) -> Tensor:
        """Return (asked, n_states)."""
        up, factors = self._prepared(encoded)  # (cells, classes + 1, k), (cells, classes + 1, n_states - 1, k)
        brought = torch.cat([up[:, :, None], factors], dim=2).float()
        # the hidden layer and the products are linear in the state, and weights sum to 1: what is mixed is what is due
        at = cell[:, None] * up.shape[1] + torch.arange(up.shape[1], device=cell.device)
        mixed = F.embedding_bag(at, brought.flatten(2).flatten(0, 1), per_sample_weights=self.mixture[bin], mode="sum")
        mixed = mixed.unflatten(1, (self.n_states, -1))  # (asked, n_states, k)
        return self.meeting(mixed[:, 0], mixed[:, 1:], encoded.vector(bin))

    def grid(self, encoded: Encoded, bins: Tensor) -> Tensor:
        """Return (cells, bins, n_states)."""
        up, factors = self._prepared(encoded)
        vector, weight = encoded.vector(bins), self.mixture[bins]
        hidden = torch.einsum("bm,cmk->cbk", weight, up) + self.meeting.bin_up(vector)
        weighted = (weight[:, :, None] * vector[:, None]).flatten(1)  # (bins, (classes + 1) k)
        product = factors.transpose(1, 2).flatten(2) @ weighted.T  # (cells, n_states - 1, bins)
        return self.meeting.out(F.gelu(hidden)) + F.pad(product.transpose(1, 2), (1, 0))


class CrossAttentionDecoder(Decoder):
    """A bin asks the encoded sentence itself: one query a bin, made of its embedding, attends to the cell's tokens.

    Queries do not see each other, so that a bin's answer does not depend on what else is asked. Queries, keys and
    values are of length k, not d. What is read meets the bin's embedding as elsewhere. A pair costs in proportion to
    the length of the sentence.
    """

    def __init__(self, c: Any, tables: Mapping[str, Tensor], n_states: int = N_STATES):
        super().__init__()
        self.n_states, self.n_heads = n_states, math.gcd(c.n_heads, c.k)
        self.norm, self.query = nn.LayerNorm(c.k), nn.Linear(c.k, c.k)
        self.kv = nn.Linear(c.d, 2 * c.k)
        self.meeting = Meeting(c.k, n_states)

    def _queries(self, vector: Tensor) -> Tensor:
        return self.query(self.norm(vector)).unflatten(-1, (self.n_heads, -1))  # (bins, heads, k / heads)

    def _keys_values(self, encoded: Encoded) -> tuple[Tensor, Tensor]:
        k, v = self.kv(encoded.hidden).unflatten(-1, (2, self.n_heads, -1)).unbind(1)
        return k, v  # (tokens, heads, k / heads)

    def forward(self, encoded: Encoded, cell: Tensor, bin: Tensor, n_asked: list[int] | None = None) -> Tensor:
        """Return (asked, n_states): pairs are brought together by cell, and none is padded."""
        order = cell.argsort(stable=True)
        vector = encoded.vector(bin[order])
        n_queries = torch.bincount(cell).tolist() if n_asked is None else n_asked
        n_queries = [*n_queries, *[0] * (len(encoded.sizes) - len(n_queries))]
        k, v = self._keys_values(encoded)
        read = cross_attend(self._queries(vector), k, v, n_queries, encoded.sizes).flatten(1)
        logits = self.meeting(*self.meeting.prepare(read), vector)
        return torch.empty_like(logits).index_copy(0, order, logits)

    def grid(self, encoded: Encoded, bins: Tensor) -> Tensor:
        """Return (cells, bins, n_states), a cell at a time."""
        vector = encoded.vector(bins)
        q, (k, v), lengths = self._queries(vector), self._keys_values(encoded), encoded.sizes
        out = []
        for length, keys, values in zip(lengths, k.split(lengths), v.split(lengths), strict=True):
            read = cross_attend(q, keys, values, [len(bins)], [length]).flatten(1)
            out.append(self.meeting(*self.meeting.prepare(read), vector))
        return torch.stack(out)


def class_mixture(fractions: Tensor) -> Tensor:
    """Return weights that sum to 1, (bins, classes + 1): of the classes, and last of what no class covers."""
    total = fractions.sum(dim=1, keepdim=True)
    return torch.cat([fractions, (1 - total).clamp(min=0)], dim=1) / total.clamp(min=1)


DECODERS: dict[str, Callable[..., Decoder]] = {
    "chromosome": ChromosomeDecoder,
    "region_class": RegionClassDecoder,
    "cross_attention": CrossAttentionDecoder,
}


def make_decoder(config: Any, tables: Mapping[str, Tensor]) -> Decoder:
    """Return the decoder of a configuration; it takes what it reads of the bins from `tables`."""
    return DECODERS[config.decoder](config, tables)
