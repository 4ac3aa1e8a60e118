"""AtacFormer: a cell as a sentence of open bins -> the state of any bin, labels, an embedding. Plain PyTorch.

A sentence is `<cls>`, a `<context>` token if there is a context, the open bins in any order, then the `<eos>` tokens.
Sentences of a batch are packed one after another: no padding is computed on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chromatell.models.atacformer._batch import SentenceBatch
from chromatell.models.atacformer._cross_attention import OutsideEos
from chromatell.models.atacformer._decoders import Encoded, make_decoder
from chromatell.models.atacformer._sentences import CLOSED, REMOVED
from chromatell.nn import ranks

if TYPE_CHECKING:
    from chromatell.models.atacformer._contrastive import ContrastiveHead


@dataclass(frozen=True)
class AtacFormerConfig:
    """Sizes of the model; every field is stored with it."""

    n_bins: int = 0
    n_tokens: int = 0  # bins and special tokens
    n_eos: int = 0
    n_classes: tuple[int, ...] = ()  # classes of each label
    n_context: int = 0  # length of the context; 0 for none
    n_dna: int = 0  # length of a bin's DNA embedding; 0 for none
    k: int = 64  # length of a bin's own embedding
    d: int = 512
    n_layers: int = 12
    n_heads: int = 8
    n_hidden: int = 2048  # width of the feed-forward part
    dropout: float = 0.1
    decoder: str = "chromosome"
    eos: str = "inside"  # where the <eos> tokens are: in the sentence, 'outside' it, asking, or 'both'
    class_weights: tuple[float, float, float] = (1.0, 1.0, 1.0)  # closed, seen, removed bins
    label_weight: float = 1.0


class TokenEmbedding(nn.Module):
    """A token's vector of length k, its own plus (for bins) a projection of its DNA; then k -> d."""

    dna: Tensor | None

    def __init__(self, c: AtacFormerConfig, dna: Tensor | None):
        super().__init__()
        self.n_bins = c.n_bins
        self.table = nn.Embedding(c.n_tokens, c.k)
        nn.init.normal_(self.table.weight, std=c.k**-0.5)
        self.up = nn.Linear(c.k, c.d, bias=False)
        self.from_dna = nn.Linear(c.n_dna, c.k, bias=False) if c.n_dna else None
        self.register_buffer("dna", dna, persistent=False)  # float32 (bins, n_dna)

    def vector(self, token: Tensor) -> Tensor:
        """Return (n, k); special tokens have no DNA."""
        own = self.table(token)
        if self.from_dna is None or self.dna is None:
            return own
        is_bin = token < self.n_bins
        return own + self.from_dna(self.dna[torch.where(is_bin, token, 0)]) * is_bin[:, None]

    def forward(self, token: Tensor) -> Tensor:
        """Return (n, d)."""
        return self.up(self.vector(token))


def attend(q: Tensor, k: Tensor, v: Tensor, lengths: list[int]) -> Tensor:
    """Return attention inside each sentence; all are (tokens, heads, d / heads), sentences one after another.

    On CUDA, jagged nested tensors, which flash attention takes as they are. On CPU, a call for each run of sentences of
    the same length, in float32: the backward pass of its bfloat16 kernel is several times slower.
    """
    if q.is_cuda:
        return attend_jagged(q, k, v, lengths)
    runs = [(length, sum(1 for _ in run)) for length, run in groupby(lengths)]
    sizes = [length * n for length, n in runs]
    out = []
    with torch.autocast("cpu", enabled=False):
        parts = zip(*(x.float().split(sizes) for x in (q, k, v)), strict=True)  # split: one backward for all runs
        for (length, n), part in zip(runs, parts, strict=True):
            # (sentences, heads, length, d / heads)
            a, b, c = (x.view(n, length, *x.shape[1:]).transpose(1, 2) for x in part)
            out.append(F.scaled_dot_product_attention(a, b, c).transpose(1, 2).flatten(0, 1))
        return torch.cat(out).to(q.dtype)


def attend_jagged(q: Tensor, k: Tensor, v: Tensor, lengths: list[int]) -> Tensor:
    """Return `attend` through nested tensors: one call, whatever the lengths."""
    offsets = torch.tensor([0, *lengths], device=q.device).cumsum(0)
    a, b, c = (
        torch.nested.nested_tensor_from_jagged(x, offsets, min_seqlen=min(lengths), max_seqlen=max(lengths))
        for x in (q, k, v)
    )  # (sentences, jagged length, heads, d / heads)
    out = F.scaled_dot_product_attention(a.transpose(1, 2), b.transpose(1, 2), c.transpose(1, 2))
    return out.transpose(1, 2).values()


class Block(nn.Module):
    """Pre-norm Transformer block over packed tokens."""

    def __init__(self, c: AtacFormerConfig):
        super().__init__()
        self.n_heads, self.dropout = c.n_heads, c.dropout
        self.norm_1, self.norm_2 = nn.LayerNorm(c.d), nn.LayerNorm(c.d)
        self.qkv, self.out = nn.Linear(c.d, 3 * c.d), nn.Linear(c.d, c.d)
        self.up, self.down = nn.Linear(c.d, c.n_hidden), nn.Linear(c.n_hidden, c.d)
        for last in (self.out, self.down):  # the residual stream keeps its size, as in GPT-2
            nn.init.normal_(last.weight, std=(2 * c.n_layers * last.in_features) ** -0.5)
            nn.init.zeros_(last.bias)

    def forward(self, x: Tensor, lengths: list[int]) -> Tensor:
        """``(tokens, d) -> (tokens, d)``."""
        p = self.dropout if self.training else 0.0
        q, k, v = self.qkv(self.norm_1(x)).view(len(x), 3, self.n_heads, -1).unbind(1)  # (tokens, heads, d / heads)
        y = attend(q, k, v, lengths).flatten(1)
        x = x + F.dropout(self.out(y), p)
        y = self.down(F.gelu(self.up(self.norm_2(x))))
        return x + F.dropout(y, p)


class AtacFormerModule(nn.Module):
    """Encoder, decoder of bin states, one linear head a label."""

    mean_open: Tensor

    def __init__(
        self,
        config: AtacFormerConfig,
        tables: Mapping[
            str, Tensor
        ],  # a row for each bin: 'chrom', int64 (bins,), and what else decoder and embedding read
        bias: Tensor,  # float32 (bins,): log odds of being open in a cell of mean depth
        mean_open: float,  # open bins of a training cell
    ):
        super().__init__()
        c = self.config = config
        self.tokens = TokenEmbedding(c, tables.get("dna"))
        self.context = nn.Linear(c.n_context, c.d) if c.n_context else None
        self.blocks = nn.ModuleList(Block(c) for _ in range(c.n_layers))
        self.norm = nn.LayerNorm(c.d)
        self.outside = None if c.eos == "inside" else OutsideEos(c)
        self.decoder = make_decoder(c, tables)
        self.contrastive: ContrastiveHead | None = None  # in training only
        self.bias = nn.Parameter(bias.clone())
        self.depth_weight = nn.Parameter(torch.ones(2))  # for log n_seen, log n_removed
        self.register_buffer("mean_open", torch.tensor([mean_open]))
        self.heads = nn.ModuleList(nn.Linear(c.d, n) for n in c.n_classes)
        self.label_weights: list[Tensor | None] = [None] * len(c.n_classes)  # one for each class, in training

    @property
    def skips_parts(self) -> bool:
        """Whether a batch may leave some weights without a gradient: a head, where no cell of it has a label."""
        return len(self.heads) > 0

    def encode(self, batch: SentenceBatch) -> Encoded:
        """Return the hidden states of all tokens, and apart those of `<cls>` and `<eos>`."""
        end = batch.lengths.cumsum(0)
        start = end - batch.lengths
        x = self.tokens(batch.tokens)  # (tokens, d)
        if self.context is not None and batch.context is not None:
            x = x.index_add(0, start + 1, self.context(batch.context).to(x.dtype))
        for block in self.blocks:
            x = block(x, batch.sizes)
        x = self.norm(x)
        eos = self.eos(x, batch.sizes, end)
        return Encoded(hidden=x, sizes=batch.sizes, cls=x[start], eos=eos, vector=self.tokens.vector)

    def eos(self, x: Tensor, sizes: list[int], end: Tensor) -> Tensor:
        """Return (cells, n_eos, d): the `<eos>` states from inside the sentences, from outside, or the sum of both."""
        c = self.config
        if self.outside is not None:
            tokens = torch.arange(c.n_tokens - c.n_eos, c.n_tokens, device=x.device)
            outside = self.outside(self.tokens(tokens), x, sizes)
            if c.eos == "outside":
                return outside
        inside = x[end[:, None] + torch.arange(-c.n_eos, 0, device=end.device)]
        return inside if self.outside is None else inside + outside

    def prior(self, bin: Tensor, n_seen: Tensor, n_removed: Tensor) -> Tensor:
        """Return what is known of the states (..., 3) before the sentence is read: bin frequency times depth."""
        depth = [torch.log((n + 0.5) / self.mean_open) for n in (n_seen, n_removed)]
        bias = self.bias[bin]
        zero = torch.zeros_like(bias + depth[0])
        return torch.stack([zero, *(bias + w * x for w, x in zip(self.depth_weight, depth, strict=True))], dim=-1)

    def label_logits(self, encoded: Encoded) -> list[Tensor]:
        """Return (cells, classes) for each label."""
        return [head(encoded.cls).float() for head in self.heads]

    def loss(self, batch: SentenceBatch) -> Tensor:
        """Return the loss of masked modelling, a mean over asked pairs, plus those of labels and of contrast, if any.

        How often a state is asked, and its class weight, go into the logits in training and only there: what is left,
        the raw logits, are those of the whole genome, so that predicted probabilities need no correction.
        """
        asked = batch.asked
        assert asked is not None  # the loader made it
        encoded = self.encode(batch)
        logits = self.decoder(encoded, asked.cell, asked.bin, asked.n_asked).float()
        logits = logits + self.prior(asked.bin, batch.n_seen[asked.cell], batch.n_removed[asked.cell])
        weight = logits.new_tensor(self.config.class_weights)
        adjusted = logits + asked.log_rate + weight.log()
        loss = F.cross_entropy(adjusted, asked.state, weight=weight, reduction="sum")
        loss = ranks.ratio(loss, len(asked.state))
        if batch.labels is not None:
            for i, scores in enumerate(self.label_logits(encoded)):
                if not ranks.total(batch.labelled[i]) > 0:  # no rank holds a label: the head takes no part
                    continue
                label = batch.labels[:, i]
                w = self.label_weights[i]
                w = scores.new_ones(scores.shape[1]) if w is None else w.to(scores)
                n = (w[label.clamp(min=0)] * (label >= 0)).sum()
                cost = F.cross_entropy(scores, label, weight=w, reduction="sum", ignore_index=-1)
                loss = loss + self.config.label_weight * ranks.ratio(cost, n)
        if self.contrastive is not None and batch.positive is not None:
            loss = loss + self.contrastive(encoded, self.encode(batch.positive.sentences), batch.positive)
        return loss

    def grid(self, encoded: Encoded, bins: Tensor, n_seen: Tensor, n_removed: Tensor) -> Tensor:
        """Return raw logits (cells, bins, 3): for prediction, in blocks."""
        logits = self.decoder.grid(encoded, bins).float()
        return logits + self.prior(bins[None], n_seen[:, None], n_removed[:, None])

    def probability(self, encoded: Encoded, bins: Tensor, n_seen: Tensor, n_removed: Tensor) -> Tensor:
        """Return (cells, bins): the probability that a bin that is not in the sentence is open."""
        logits = self.grid(encoded, bins, n_seen, n_removed)
        return torch.sigmoid(logits[..., REMOVED] - logits[..., CLOSED])
