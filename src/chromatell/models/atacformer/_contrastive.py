"""Contrastive learning: a cell changed by its neighbours is told from other cells, and told what was changed.

In training only: what is made here is neither stored with a model nor used in its predictions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chromatell._validate import ChromatellError, in_range
from chromatell.data.cells import row_blocks
from chromatell.data.lsi import Lsi
from chromatell.models._options import refuse_unknown
from chromatell.models.atacformer._batch import Positive, SentenceBatch
from chromatell.models.atacformer._decoders import ChromosomeDecoder, Encoded, RegionClassDecoder
from chromatell.models.atacformer._sentences import Sentences, pack
from chromatell.nn import ranks

ABSENT, KEPT, DROPPED, ADDED = 0, 1, 2, 3  # states of a bin in a changed cell
_LSI = 30  # components in which neighbours are found
_ROWS = 1024  # cells whose neighbours are looked for at a time


@dataclass(frozen=True)
class Contrastive:
    """How cells are changed, and what telling them apart weighs.

    Attributes
    ----------
    weight
        Weight of telling the changed cell from the others of the batch (InfoNCE), beside masked modelling.
    decoder_weight
        Weight of telling which bins were dropped and added.
    temperature
        Cosines of a cell and a changed one are divided by it.
    dropped
        Share of a cell's open bins that is dropped.
    added
        Bins of a neighbour that are added, as a share of the cell's open bins; fewer where the neighbour has fewer that
        the cell has not.
    n_neighbors
        Nearest neighbours among the training cells, one of which is drawn each time.
    n_projection
        Length of the projection of `<cls>` in which cells are compared.
    """

    weight: float = 0.1
    decoder_weight: float = 0.1
    temperature: float = 0.1
    dropped: float = 0.3
    added: float = 0.2
    n_neighbors: int = 10
    n_projection: int = 64


def resolve_contrastive(chosen: bool | Mapping[str, Any] | Contrastive) -> Contrastive | None:
    """Return how contrastive learning is done, or None for none; values out of range are named."""
    if chosen is False or chosen is None:
        return None
    if isinstance(chosen, Mapping):
        refuse_unknown("contrastive=", {str(k): v for k, v in chosen.items()}, [f.name for f in fields(Contrastive)])
        c = Contrastive(**chosen)
    elif chosen is True or isinstance(chosen, Contrastive):
        c = Contrastive() if chosen is True else chosen
    else:
        raise ChromatellError(
            f"contrastive={chosen!r}: True, False, or a dict of options is needed, such as {{'temperature': 0.1}}."
        )
    for name in ("weight", "decoder_weight"):
        in_range(getattr(c, name), 0, 1e6, f"contrastive[{name!r}]", whole=False)
    in_range(c.temperature, 1e-3, 1e3, "contrastive['temperature']", whole=False)
    for name in ("dropped", "added"):
        in_range(getattr(c, name), 0, 1, f"contrastive[{name!r}]", whole=False)
    in_range(c.n_neighbors, 1, 10_000, "contrastive['n_neighbors']")
    in_range(c.n_projection, 1, 65_536, "contrastive['n_projection']")
    return c


def nearest_cells(z: np.ndarray, n: int) -> np.ndarray:
    """Return the nearest `n` other rows by cosine, int64 (cells, n), nearest first; `z` has rows of length 1.

    Exact, in blocks of rows: peak memory 1,024 x cells; time grows with the square of the cells.
    """
    n = min(n, len(z) - 1)
    nearest = np.empty((len(z), n), dtype=np.int64)
    for rows in row_blocks(len(z), _ROWS):
        cosine = z[rows] @ z.T
        cosine[np.arange(len(cosine)), np.arange(rows.start, rows.start + len(cosine))] = -np.inf
        near = np.argpartition(-cosine, n - 1, axis=1)[:, :n]
        nearest[rows] = np.take_along_axis(near, np.argsort(-np.take_along_axis(cosine, near, 1), axis=1), 1)
    return nearest


class Positives:
    """Makes the changed cells of a batch: part of the open bins dropped, bins of a near neighbour added.

    Parameters
    ----------
    sentences
        The training cells; neighbours are looked for among these alone.
    """

    def __init__(self, sentences: Sentences, config: Contrastive, *, seed: int):
        if len(sentences) < 2:
            raise ChromatellError(
                f"contrastive= needs neighbours, and there is {len(sentences)} training cell. Leave it out, or split "
                "again: ctl.pp.split_cells(adata)."
            )
        self.sentences, self.config = sentences, config
        z = Lsi.fit(sentences.binarized, _LSI, seed=seed).transform(sentences.binarized)
        self.neighbors = nearest_cells(z, config.n_neighbors)

    def __call__(self, rows: np.ndarray, rng: np.random.Generator) -> Positive:
        """Return the cells of these rows, changed; `rng` draws the neighbour and the bins."""
        s, c = self.sentences, self.config
        part = s.binarized[rows]
        bins, cell, rank, n = s.shuffled(part, rng)
        n_dropped = np.rint(c.dropped * n).astype(np.int64)
        kept = rank >= n_dropped[cell]
        room = np.minimum(np.rint(c.added * n).astype(np.int64), s.room - (n - n_dropped))
        new_bins, new_cell = self._from_neighbors(rows, part, room, rng)
        n_added = np.bincount(new_cell, minlength=len(rows))
        n_bins = n - n_dropped + n_added

        order = np.argsort(n_bins, kind="stable")  # equal lengths stand together, so that attention takes them in one
        place = np.argsort(order, kind="stable")
        in_cell = place[np.concatenate([cell[kept], new_cell])]
        in_bins = np.concatenate([bins[kept], new_bins])[np.argsort(in_cell, kind="stable")]
        tokens, lengths = pack(s.vocabulary, in_bins, n_bins[order], context=s.context is not None)
        n_seen = torch.from_numpy(n_bins[order].astype(np.float32))
        changed = SentenceBatch(torch.from_numpy(tokens), torch.from_numpy(lengths), n_seen, torch.zeros_like(n_seen))

        shown = kept & (rank < (n_dropped + n_added)[cell])  # ranks are random: as many kept bins as added ones
        absent_bins, absent_cell = self._absent(part, n_dropped, new_bins, new_cell, rng)
        asked = [
            (absent_cell, absent_bins, ABSENT),
            (cell[shown], bins[shown], KEPT),
            (cell[~kept], bins[~kept], DROPPED),
            (new_cell, new_bins, ADDED),
        ]
        state = np.concatenate([np.full(len(b), value, dtype=np.int64) for _, b, value in asked])
        cells, of_bins = (np.concatenate([group[i] for group in asked]) for i in (0, 1))
        return Positive(changed, *(torch.from_numpy(a) for a in (place, place[cells], of_bins, state)))

    def _from_neighbors(
        self, rows: np.ndarray, part: sp.csr_matrix, room: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return (bin, cell) of what one neighbour each has, the cell has not, and is drawn: at most `room` a cell."""
        drawn = self.neighbors[rows, rng.integers(0, self.neighbors.shape[1], len(rows))]
        theirs = self.sentences.binarized[drawn]
        cell, bins = _pairs(theirs)
        new = ~np.isin(_keys(cell, bins, part), _keys(*_pairs(part), part))
        cell, bins = cell[new], bins[new]
        order = np.lexsort((rng.random(len(cell)), cell))
        cell, bins = cell[order], bins[order]
        first = np.searchsorted(cell, cell)  # where the cell's bins begin
        fits = np.arange(len(cell)) - first < room[cell]
        return bins[fits], cell[fits]

    def _absent(
        self,
        part: sp.csr_matrix,
        n: np.ndarray,
        new_bins: np.ndarray,
        new_cell: np.ndarray,
        rng: np.random.Generator,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return (bin, cell): about `n` a cell that are neither open in it nor added, drawn as closed bins are."""
        s = self.sentences
        cell = np.repeat(np.arange(len(n)), n)
        bins = np.searchsorted(s.cumulative, rng.random(len(cell)) * s.cumulative[-1], side="right")
        bins = np.minimum(bins, s.vocabulary.n_bins - 1)
        present = np.concatenate([_keys(*_pairs(part), part), _keys(new_cell, new_bins, part)])
        absent = ~np.isin(_keys(cell, bins, part), present)
        return bins[absent], cell[absent]


def _pairs(x: sp.csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    return np.repeat(np.arange(x.shape[0]), np.diff(x.indptr)), x.indices.astype(np.int64)


def _keys(cell: np.ndarray, bins: np.ndarray, of: sp.csr_matrix) -> np.ndarray:
    return cell.astype(np.int64) * of.shape[1] + bins


def info_nce(a: Tensor, b: Tensor, temperature: float) -> Tensor:
    """Return how badly rows of `a` find their own among those of `b`, and the other way round; both (cells, n).

    Cross entropy of cosines over the temperature, float32, the mean of both ways.

    References
    ----------
    van den Oord et al., arXiv:1807.03748; Chen et al., ICML 2020.
    """
    cosine = F.normalize(a.float(), dim=1) @ F.normalize(b.float(), dim=1).T / temperature
    own = torch.arange(len(a), device=a.device)
    return (F.cross_entropy(cosine, own) + F.cross_entropy(cosine.T, own)) / 2


class ContrastiveHead(nn.Module):
    """Projection of `<cls>` for InfoNCE, and a decoder that says of bins what became of them, read from `<eos>`."""

    def __init__(self, network: Any, tables: Mapping[str, Tensor], config: Contrastive):
        super().__init__()
        d = network.d
        self.config = config
        self.project = nn.Sequential(nn.Linear(d, d), nn.GELU(), nn.Linear(d, config.n_projection))
        # the <eos> tokens are those of the classes with that decoder, of the chromosomes with every other
        family = RegionClassDecoder if network.decoder == "region_class" else ChromosomeDecoder
        self.decoder = family(network, tables, n_states=ADDED + 1)

    def forward(self, encoded: Encoded, changed: Encoded, positive: Positive) -> Tensor:
        """Return the loss, given the encoded batch and the encoded changed cells."""
        c = self.config
        own, other = (ranks.gathered(self.project(x)) for x in (encoded.cls, changed.cls[positive.place]))
        loss = c.weight * info_nce(own, other, c.temperature)  # each cell is told from all of the batch
        if ranks.total(len(positive.state)) > 0:
            logits = self.decoder(changed, positive.cell, positive.bin, positive.n_asked).float()
            cost = F.cross_entropy(logits, positive.state, reduction="sum")
            loss = loss + c.decoder_weight * ranks.ratio(cost, len(positive.state))
        return loss
