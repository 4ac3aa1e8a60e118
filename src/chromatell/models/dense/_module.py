"""Dense: expression of a cell -> logit (or log rate) of every region. Plain PyTorch."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chromatell._validate import in_range, one_of, own_types
from chromatell.data.cells import CellBatch
from chromatell.nn import ranks
from chromatell.nn.blocks import MLP, GeneAttention, LinkedGenes
from chromatell.nn.losses import LossConfig, blocked_loss

ScoreMap = tuple[Tensor, Tensor, int]
N_SIZES = 2  # covariates of every cell: log total, log number of detected genes
_CHOICES = {
    "encoder": ("mlp", "autoencoder", "transformer", "shared"),
    "norm": ("none", "batch", "layer"),
    "likelihood": ("bernoulli", "poisson"),
}
_LIMITS = (  # what whole numbers may be
    ("n_pcs", 0, 100_000),
    ("n_hidden", 1, 100_000),
    ("n_layers", 0, 64),
    ("n_latent", 1, 100_000),
    ("n_members", 1, 64),
    ("depth_hidden", 0, 100_000),
    ("block", 1, 10**9),
)
_SHARES = (
    ("dropout", 0.95),
    ("dropout_in", 0.95),
    ("depth_mix", 1),
    ("depth_shrink", 1),
    ("reconstruction_weight", 1e6),
)


@dataclass(frozen=True)
class DenseConfig:
    """Sizes and choices of the network; every field is stored with the model."""

    n_genes: int = 0
    n_regions: int = 0
    n_covariates: int = 0  # batch levels and continuous covariates
    encoder: str = "mlp"
    n_pcs: int = 0  # project expression onto this many principal components first; 0 reads the genes themselves
    n_hidden: int = 256
    n_layers: int = 1
    n_latent: int = 64
    norm: str = "layer"
    dropout: float = 0.2
    dropout_in: float = 0.2
    n_members: int = 1  # networks trained side by side, their probabilities averaged
    shared_head: bool = False  # the members share the output weights
    depth_hidden: int = 64  # width of the network that predicts depth; 0 leaves it to ridge regression
    depth_mix: float = 0.5  # share of training cells that are given their predicted depth instead of their own
    depth_shrink: float = 0.8  # a predicted depth is drawn towards the mean: it is uncertain
    linked_genes: bool = False
    reconstruction_weight: float = 0.1  # autoencoder only
    likelihood: str = "bernoulli"
    depth_term: bool = True
    block: int = 16_384  # regions at a time in loss and prediction
    loss: LossConfig = field(default_factory=LossConfig)

    def __post_init__(self) -> None:
        own_types(self)
        for name, allowed in _CHOICES.items():
            one_of(getattr(self, name), allowed, name)
        for name, low, high in _LIMITS:
            object.__setattr__(self, name, in_range(getattr(self, name), low, high, name))
        for name, most in _SHARES:
            object.__setattr__(self, name, in_range(getattr(self, name), 0, most, name, whole=False))


class DenseModule(nn.Module):
    """``logit[c, r] = bias[r] + z[c] . w[r] + depth[c] * d[r] + skip``, with ``z = encoder(x)``, for each member.

    Parameters
    ----------
    bias
        float32 (regions,): logit (or log) of the training mean, where training starts.
    depth_slope
        Where the depth weights start: the sd of log depth.
    links
        (gene, region) indices of linked pairs, sorted by region; for ``linked_genes`` and ``encoder='shared'``.
    scores
        For ``encoder='shared'``, the map from genes to per-region and gene-set scores: (feature, gene) indices, int64
        (2, entries), float32 weights (entries,), and the number of features.
    """

    def __init__(
        self,
        config: DenseConfig,
        bias: Tensor,
        depth_slope: float,
        links: tuple[Tensor, Tensor] | None = None,
        scores: ScoreMap | None = None,
    ):
        super().__init__()
        self.config = c = config
        self.encoders = nn.ModuleList(self._encoder(scores) for _ in range(c.n_members))
        # (members or 1, regions, latent): a block of regions is a contiguous part of each member
        n_heads = 1 if c.shared_head else c.n_members
        self.weight = nn.Parameter(torch.randn(n_heads, c.n_regions, c.n_latent) * 0.3 * c.n_latent**-0.5)
        self.bias = nn.Parameter(bias.clone())
        self.depth_weight = nn.Parameter(torch.full((c.n_regions,), depth_slope)) if c.depth_term else None
        self.linked = LinkedGenes(*links) if links is not None and c.linked_genes else None
        self.depth_heads = nn.ModuleList(
            MLP(self._n_in, 1, n_hidden=c.depth_hidden, n_layers=1, norm="none", dropout=0.0)
            for _ in range(c.n_members if c.depth_hidden else 0)
        )
        self.reconstruct = nn.Linear(c.n_latent, c.n_genes) if c.encoder == "autoencoder" else None

    @property
    def _n_in(self) -> int:
        return (self.config.n_pcs or self.config.n_genes) + N_SIZES + self.config.n_covariates

    def _encoder(self, scores: ScoreMap | None) -> nn.Module:
        c = self.config
        mlp: dict[str, Any] = {"n_hidden": c.n_hidden, "n_layers": c.n_layers, "norm": c.norm, "dropout": c.dropout}
        if c.encoder == "transformer":
            return AttentionEncoder(c, mlp)
        if c.encoder == "shared":
            assert scores is not None  # the model class builds them
            return SharedEncoder(c, mlp, scores)
        return MLP(self._n_in, c.n_latent, dropout_in=c.dropout_in, **mlp)

    def encode(self, batch: CellBatch) -> Tensor:
        """Return the latent state of each cell, (members, cells, latent)."""
        x = torch.cat([batch.x, batch.covariates], dim=1)
        return torch.stack([encoder(x) for encoder in self.encoders])

    def decode(self, z: Tensor, batch: CellBatch, start: int, stop: int) -> Tensor:
        """Return the logits (log rates) of regions `start` to `stop`, (members, cells, stop - start)."""
        # depth and bias are two more columns of the product: one pass over the block instead of three
        columns = [self.bias[start:stop]]
        states = [torch.ones_like(batch.depth)]
        if self.depth_weight is not None:
            columns.append(self.depth_weight[start:stop])
            states.append(batch.depth)
        weight = self.weight[:, start:stop]
        weight = torch.cat([weight, torch.stack(columns, dim=1).expand(weight.shape[0], -1, -1)], dim=2).transpose(1, 2)
        z = torch.cat([z, torch.stack(states, dim=1).expand(z.shape[0], -1, -1)], dim=2)
        logits = torch.matmul(z, weight[0] if weight.shape[0] == 1 else weight)
        if self.linked is not None and batch.genes is not None:
            logits = logits + self.linked(batch.genes, start, stop)
        return logits

    def predict_depth(self, batch: CellBatch) -> Tensor:
        """Return the standardised log depth of each cell, regressed on expression, (members, cells)."""
        x = torch.cat([batch.x, batch.covariates], dim=1)
        return torch.stack([head(x).squeeze(-1) for head in self.depth_heads])

    def probabilities(self, z: Tensor, batch: CellBatch, start: int, stop: int) -> Tensor:
        """Return the probability that each region is open by each member, (members, cells, stop - start), float32."""
        logits = self.decode(z, batch, start, stop).float()
        if self.config.likelihood == "poisson":
            return -torch.expm1(-logits.exp())  # P(at least one fragment)
        return logits.sigmoid() if logits.requires_grad else logits.sigmoid_()

    def probability(self, z: Tensor, batch: CellBatch, start: int, stop: int) -> Tensor:
        """Return the probability that each region is open, (cells, stop - start), float32: the mean over members."""
        each = self.probabilities(z, batch, start, stop)
        if len(each) == 1:
            return each[0]
        if each.requires_grad:
            return each.mean(dim=0)
        total = each[0]
        for one in each[1:]:
            total += one  # in place: a third of the time that a mean over so long a stride takes
        return total.div_(len(each))

    def forward(self, batch: CellBatch) -> Tensor:
        """Return the probability that each region is open, (cells, regions)."""
        return self.probability(self.encode(batch), batch, 0, self.config.n_regions)

    def loss(self, batch: CellBatch) -> Tensor:
        """Return the loss of the batch: of a cell, summed over regions; a mean over cells and members.

        In training a share of the cells is given its own depth; in validation it is predicted, as for new cells.
        """
        target = batch.target
        assert target is not None
        depth_loss: Tensor | float = 0.0
        if self.depth_heads:
            predicted = self.predict_depth(batch)
            guess = self.config.depth_shrink * predicted.detach().mean(dim=0)
            if self.training:
                depth_loss = F.mse_loss(predicted, batch.depth.expand_as(predicted))
                depth_loss = ranks.share_of_mean(depth_loss, len(batch))
                own = torch.rand_like(guess) >= self.config.depth_mix
                guess = torch.where(own, batch.depth, guess)
            batch = replace(batch, depth=guess)
        z = self.encode(batch)
        per_member = blocked_loss(
            lambda start, stop: self.decode(z, batch, start, stop),
            target,
            n_cells=batch.x.shape[0],
            n_regions=self.config.n_regions,
            config=self.config.loss,
        )
        if self.reconstruct is not None and batch.genes is not None:
            target = batch.genes.expand(z.shape[0], -1, -1)
            error = F.mse_loss(self.reconstruct(z), target, reduction="none").mean((1, 2))
            per_member = per_member + self.config.reconstruction_weight * ranks.share_of_mean(error, len(batch))
        return self.config.n_regions * per_member.mean() + depth_loss


class AttentionEncoder(nn.Module):
    """Gene tokens -> learned queries -> MLP."""

    def __init__(self, c: DenseConfig, mlp: dict):
        super().__init__()
        d, n_queries = 64, 8
        self.n_genes = c.n_pcs or c.n_genes
        self.attention = GeneAttention(self.n_genes, d=d, n_queries=n_queries, n_heads=4, n_layers=1, dropout=c.dropout)
        self.head = MLP(n_queries * d + N_SIZES + c.n_covariates, c.n_latent, **mlp)

    def forward(self, x: Tensor) -> Tensor:
        """``(cells, genes + covariates) -> (cells, latent)``."""
        genes, covariates = x[:, : self.n_genes], x[:, self.n_genes :]
        return self.head(torch.cat([self.attention(genes), covariates], dim=1))


class SharedEncoder(nn.Module):
    """Expression carried into the space of regions (and gene sets) by a fixed sparse map, then an MLP."""

    score_index: Tensor
    score_value: Tensor

    def __init__(self, c: DenseConfig, mlp: dict, scores: ScoreMap):
        super().__init__()
        self.n_genes = c.n_genes
        index, value, self.n_features = scores
        self.register_buffer("score_index", index)
        self.register_buffer("score_value", value)
        self.head = MLP(self.n_features + N_SIZES + c.n_covariates, c.n_latent, dropout_in=c.dropout_in, **mlp)

    def forward(self, x: Tensor) -> Tensor:
        """``(cells, genes + covariates) -> (cells, latent)``."""
        shape = (self.n_features, self.n_genes)
        to_scores = torch.sparse_coo_tensor(self.score_index, self.score_value, shape, check_invariants=False)
        scores = torch.sparse.mm(to_scores, x[:, : self.n_genes].T.float()).T  # (cells, features)
        return self.head(torch.cat([scores, x[:, self.n_genes :]], dim=1))
