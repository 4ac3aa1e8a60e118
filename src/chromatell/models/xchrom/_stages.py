"""What is fitted before and after the towers are trained together."""

from __future__ import annotations

import numpy as np
import torch

from chromatell._keys import TRAIN, VAL
from chromatell.models.xchrom._effects import MAX_CELLS, PENALTIES, Effects, choose_penalty
from chromatell.models.xchrom._module import XChromModule
from chromatell.models.xchrom._seed_motifs import seed_motifs, seed_weights
from chromatell.models.xchrom._training import TrainingData
from chromatell.models.xchrom._warm_start import warm_start
from chromatell.nn.sequence_tower import MotifTower, centre

_VAL_CELLS = 2000


def cell_vectors(module: XChromModule, cells: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Return the vector of each cell, float32 (cells, n_vector), given its standardised embedding and log depth."""
    module.eval()
    device = next(module.parameters()).device
    with torch.inference_mode():
        x, d = torch.from_numpy(cells).to(device), torch.from_numpy(depth).to(device)
        return module.cells(x, d).float().cpu().numpy()


def start_from_cells(module: XChromModule, data: TrainingData, *, accelerator: str, seed: int) -> None:
    """Fit the cell tower without sequence, and start the filters of a motif tower at k-mers that go with it."""
    rows, seen = np.flatnonzero(data.cell_split == TRAIN), np.flatnonzero(data.region_split == TRAIN)
    d = data.dataset
    on_gpu = accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    vectors = warm_start(
        module,
        d.cells[rows],
        d.depth[rows],
        d.predicted_depth[rows],
        d.open_by_region[seen][:, rows].T.tocsr(),
        depth_slope=data.start[1],
        n_epochs=module.config.warm_epochs,
        seed=seed,
        device=torch.device("cuda" if on_gpu else "cpu"),
    )
    if isinstance(module.tower, MotifTower):
        tokens = centre(torch.from_numpy(data.tokens[seen]), module.config.tower.sequence_length).numpy()
        cells = cell_vectors(module, d.cells[rows], d.depth[rows])
        n_words = seed_motifs(module.tower, tokens, vectors, cells, seed)
        seed_weights(module.tower, tokens, vectors, cells, n_words)
    if module.config.freeze_cells:
        module.cell_tower.requires_grad_(False)


def region_terms(module: XChromModule, data: TrainingData, vectors: np.ndarray, seed: int) -> tuple[np.ndarray, float]:
    """Return the terms of the seen regions, float32 (seen, k), and their penalty, chosen on validation cells.

    `vectors` are those of the seen regions, from sequence alone.
    """
    rows, seen = np.flatnonzero(data.cell_split == TRAIN), np.flatnonzero(data.region_split == TRAIN)
    if rows.size > MAX_CELLS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, MAX_CELLS, replace=False))
    new = np.flatnonzero(data.cell_split == VAL)[:_VAL_CELLS]
    d = data.dataset
    opened = d.open_by_region[seen]
    effects = Effects.prepare(cell_vectors(module, d.cells[rows], d.depth[rows]), module.config.n_embed)
    penalty = PENALTIES[2]
    if new.size:
        new_cells = cell_vectors(module, d.cells[new], d.predicted_depth[new])
        penalty = choose_penalty(effects, vectors, opened[:, rows], new_cells, opened[:, new])
    return effects.fit(vectors, opened[:, rows], penalty), penalty
