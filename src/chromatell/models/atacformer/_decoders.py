"""Decoders: from the encoded sentence to the state of any bin. One interface; `DECODERS` names them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

N_STATES = 3  # not in the sentence, in it, in it but removed


@dataclass
class Encoded:
    """What the encoder makes of a packed batch.

    Attributes
    ----------
    hidden
        (tokens, d), sentences one after another.
    lengths
        int64 (cells,).
    cls
        (cells, d).
    eos
        (cells, n_eos, d).
    vector
        Function from token ids (n,) to their embeddings (n, k), DNA included.
    """

    hidden: Tensor
    lengths: Tensor
    cls: Tensor
    eos: Tensor
    vector: Callable[[Tensor], Tensor]


class Decoder(nn.Module):
    """The interface: asked pairs in training, a grid of cells x bins in prediction; the same numbers from both."""

    @abstractmethod
    def forward(self, encoded: Encoded, cell: Tensor, bin: Tensor) -> Tensor:
        """Return the logits of the three states, (asked, 3), of the asked pairs of `cell` and `bin`, int64 (asked,)."""

    def grid(self, encoded: Encoded, bins: Tensor) -> Tensor:
        """Return (cells, bins, 3); a decoder may do this faster."""
        n = len(encoded.lengths)
        cell = torch.arange(n, device=bins.device).repeat_interleave(len(bins))
        return self(encoded, cell, bins.repeat(n)).view(n, len(bins), N_STATES)


class ChromosomeDecoder(Decoder):
    """`<eos_c>` and `<cls>` -> state of the cell on chromosome c; joined with each bin of c by a small network.

    The state is a vector of length k. It meets the bin's embedding twice: in a feed-forward network with one hidden
    layer, whose first layer is a sum of a part for the state and a part for the bin (so each is computed once, not once
    a pair), and in a product of low rank for each of the states 1 and 2.
    """

    chrom: Tensor

    def __init__(self, c: Any, tables: Mapping[str, Tensor]):
        super().__init__()
        self.register_buffer("chrom", tables["chrom"], persistent=False)  # the record holds it once
        self.from_eos, self.from_cls = nn.Linear(c.d, c.k), nn.Linear(c.d, c.k, bias=False)
        self.state_up, self.bin_up = nn.Linear(c.k, c.k), nn.Linear(c.k, c.k, bias=False)
        self.product = nn.Linear(c.k, 2 * c.k)
        self.out = nn.Linear(c.k, N_STATES)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def _state(self, encoded: Encoded) -> tuple[Tensor, Tensor]:
        """Return what each cell brings on each chromosome: (cells, chroms, k) and (cells, chroms, 2, k)."""
        state = self.from_eos(encoded.eos) + self.from_cls(encoded.cls)[:, None]
        return self.state_up(state), self.product(state).unflatten(-1, (2, -1)) * state.shape[-1] ** -0.5

    def forward(self, encoded: Encoded, cell: Tensor, bin: Tensor) -> Tensor:
        """Return (asked, 3)."""
        hidden, factors = self._state(encoded)
        vector, place = encoded.vector(bin), self.chrom[bin]
        logits = self.out(F.gelu(hidden[cell, place] + self.bin_up(vector)))
        product = (factors[cell, place] * vector[:, None]).sum(-1)  # (asked, 2)
        return logits + F.pad(product, (1, 0))

    def grid(self, encoded: Encoded, bins: Tensor) -> Tensor:
        """Return (cells, bins, 3), a chromosome at a time."""
        hidden, factors = self._state(encoded)
        vector, place = encoded.vector(bins), self.chrom[bins]
        up = self.bin_up(vector)
        out = hidden.new_empty(len(hidden), len(bins), N_STATES)
        for c in place.unique().tolist():
            on = (place == c).nonzero().squeeze(1)
            logits = self.out(F.gelu(hidden[:, c, None] + up[on]))  # (cells, bins of c, 3)
            product = torch.einsum("csk,bk->cbs", factors[:, c], vector[on])
            out[:, on] = logits + F.pad(product, (1, 0))
        return out


DECODERS: dict[str, Callable[[Any, Mapping[str, Tensor]], Decoder]] = {"chromosome": ChromosomeDecoder}


def make_decoder(config: Any, tables: Mapping[str, Tensor]) -> Decoder:
    """Return the decoder of a configuration; it takes what it reads of the bins from `tables`."""
    return DECODERS[config.decoder](config, tables)
