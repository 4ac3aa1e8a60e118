"""What a gene's expression does to the log-odds of every region in a trained `Dense`, all else equal."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from anndata import AnnData
from mudata import MuData

from chromatell._rows import read
from chromatell._values import log_odds, log_rates, query_expression
from chromatell.data.cells import CellBatch
from chromatell.models.dense._fitted import Scores

if TYPE_CHECKING:
    from chromatell.models.dense._model import Dense

METHODS = ("knockout", "gradient")
_GENES = 128  # decoded at a time
_STEP = 0.1  # sd, of the central difference
_FEWEST = 10  # cells that express a gene


class GeneEffects:
    """Mean effect of each gene over cells.

    ``knockout``: log-odds with the gene's expression minus those without any, mean over the cells that express it.
    ``gradient``: change of the log-odds for one standard deviation more, at each cell, mean over all cells.

    The logit is affine in a cell's state, ``bias + w . z + depth * d + links . genes``, so that the state's mean over
    cells is taken, and decoded once a gene. Depth, total and the number of detected genes stay as they are.

    Parameters
    ----------
    model
        Trained.
    data
        Cells with expression.
    """

    def __init__(self, model: Dense, data: MuData | AnnData) -> None:
        rna = query_expression(data)
        self.model, self.projection, e = model, model.fitted.projection, model.fitted.expression
        x, present = e.align(rna)
        covariates = model.fitted.beside_expression(data, np.arange(rna.n_obs))
        self.scores = model.fitted.scores(read(x), present, covariates)
        self.z = self.scores.z
        # the z-score of no expression at all
        self.absent = np.clip(-e.mean / e.sd, -e.clip, e.clip).astype(np.float32)
        self.present = np.ones(len(e.genes), dtype=bool) if present is None else np.asarray(present, dtype=bool)

    @cached_property
    def x(self) -> np.ndarray:
        """What the encoder reads, float32 (cells, its inputs)."""
        return self.z if self.projection is None else self.z @ self.projection

    def of(self, genes: np.ndarray, method: str) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield (genes, cells used of each, float32 (genes, regions)) in blocks; no cells, no effect: NaN."""
        with torch.no_grad():
            base = self._encode(self.x)
            for start in range(0, len(genes), _GENES):
                part = genes[start : start + _GENES]
                states, shifts, n = [], np.zeros((len(part), self.z.shape[1]), dtype=np.float32), []
                for i, gene in enumerate(part):
                    state, shift, cells = (self._knockout if method == "knockout" else self._gradient)(gene, base)
                    states.append(state)
                    shifts[i, gene] = shift
                    n.append(cells)
                effects = self._decode(torch.stack(states, dim=1), shifts)
                used = np.array(n)
                effects[used == 0] = np.nan
                yield part, used, effects

    def _knockout(self, gene: int, base: torch.Tensor) -> tuple[torch.Tensor, float, int]:
        cells, expressed = self._expressing(gene)
        if not cells.size:
            return torch.zeros_like(base[:, 0]), 0.0, 0
        x = self._shifted(gene, -expressed, cells)
        state = (base[:, cells] - self._encode(x, cells)).mean(dim=1)
        return state, float(expressed.mean()), cells.size

    def _gradient(self, gene: int, base: torch.Tensor) -> tuple[torch.Tensor, float, int]:
        if not self.present[gene]:
            return torch.zeros_like(base[:, 0]), 0.0, 0
        cells, step = np.arange(len(self.z)), np.full(len(self.z), _STEP, dtype=np.float32)
        up, down = (self._encode(self._shifted(gene, s, cells), cells) for s in (step, -step))
        return (up - down).mean(dim=1) / (2 * _STEP), 1.0, cells.size

    def _expressing(self, gene: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the cells that express a gene and by how much, as a z-score; none where they are too few."""
        above = self.z[:, gene] - self.absent[gene]
        cells = np.flatnonzero(above > 1e-4)
        if cells.size < _FEWEST or not self.present[gene]:
            cells = cells[:0]
        return cells, above[cells]

    def _shifted(self, gene: int, by: np.ndarray, cells: np.ndarray) -> np.ndarray:
        """Return what the encoder reads of some cells, where a gene's z-score is changed."""
        x = self.x[cells].copy()
        if self.projection is None:
            x[:, gene] += by
        else:
            x += by[:, None] * self.projection[gene]
        return x

    def _encode(self, x: np.ndarray, cells: np.ndarray | slice = slice(None)) -> torch.Tensor:
        sizes = torch.from_numpy(self.scores.beside[cells].astype(np.float32))
        batch = CellBatch(torch.from_numpy(x), None, sizes, torch.zeros(len(x))).to(self.model.device)
        return self.model.module.encode(batch)  # (members, cells, latent)

    def _decode(self, states: torch.Tensor, shifts: np.ndarray) -> np.ndarray:
        """Return the change of the logits, mean over members, (genes, regions)."""
        module, n = self.model.module, len(shifts)
        zero = np.zeros_like(shifts)
        sizes = np.zeros((n, self.scores.beside.shape[1]), dtype=np.float32)
        out = np.empty((n, module.config.n_regions), dtype=np.float32)
        moved, still = (
            self.model._batch(genes, sizes, np.zeros(n, dtype=np.float32)).to(self.model.device)
            for genes in (shifts, zero)
        )
        for start in range(0, module.config.n_regions, module.config.block):
            stop = min(start + module.config.block, module.config.n_regions)
            change = module.decode(states, moved, start, stop) - module.decode(0 * states, still, start, stop)
            out[:, start:stop] = change.float().mean(dim=0).cpu().numpy()
        return out


class StackEffects(GeneEffects):
    """The same in what a `Dense` with a stack predicts, at the mean depth.

    The members are added up as probabilities, so no mean state stands for the cells: those that express a gene are
    predicted anew. Peak memory: three matrices of cells x regions.
    """

    def of(self, genes: np.ndarray, method: str) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield (gene, cells used, float32 (1, regions)) one by one; no cells, no effect: NaN."""
        every = np.arange(len(self.z))
        base = self._log_odds(every) if method == "knockout" else None
        for gene in genes:
            cells, expressed = self._expressing(gene) if method == "knockout" else (every, 0.0)
            effect = np.full(len(self.model.regions), np.nan, dtype=np.float32)
            if cells.size and self.present[gene]:
                if base is not None:
                    change = base[cells] - self._log_odds(cells, gene, -expressed)
                else:
                    change = (self._log_odds(cells, gene, _STEP) - self._log_odds(cells, gene, -_STEP)) / (2 * _STEP)
                effect = change.mean(axis=0, dtype=np.float64).astype(np.float32)
            yield np.array([gene]), np.array([cells.size * self.present[gene]]), effect[np.newaxis]

    def _log_odds(self, cells: np.ndarray, gene: int | None = None, by: np.ndarray | float = 0.0) -> np.ndarray:
        """Return the log-odds (log rates of a Poisson model) of some cells in which the z-score of a gene is moved."""
        z, sizes, beside = (part[cells] for part in self.scores)
        if gene is not None:
            z[:, gene] += by
        out = np.empty((len(z), len(self.model.regions)), dtype=np.float32)
        counts = self.model.module.config.likelihood == "poisson"
        fixed = np.zeros(len(z), dtype=np.float32)
        for cols, p in self.model.blocks_of(Scores(z, sizes, beside), np.arange(out.shape[1]), fixed):
            out[:, cols] = log_rates(p) if counts else log_odds(p)
        return out
