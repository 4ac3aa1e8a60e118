"""What is fitted before and after the towers are trained together."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from chromatell._keys import TEST, TRAIN, VAL
from chromatell.data.cells import row_blocks
from chromatell.models.xchrom._effects import MAX_CELLS, PENALTIES, Effects, choose_penalty
from chromatell.models.xchrom._module import XChromModule
from chromatell.models.xchrom._seed_motifs import seed_motifs, telling_motifs
from chromatell.models.xchrom._training import TrainingData
from chromatell.models.xchrom._vectors import VectorData, read_covariates, start_at_vectors, start_beside_covariates
from chromatell.models.xchrom._warm_start import warm_start
from chromatell.nn.region_covariates import N_PLAIN, region_weights
from chromatell.nn.sequence_tower import MotifTower, centre

SHARES = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)  # how much of what a motif tower says is added to composition
_VAL_CELLS, _VAL_REGIONS, _SHARE_CELLS = 2000, 2000, 2000
_LEAST_REGIONS = 8  # fewer validation regions are nothing to judge by
_ROWS, _COLUMNS = 2048, 16_384  # cells and regions predicted at a time
_SEQUENCES = 64  # that the tower reads at a time


def cell_vectors(module: XChromModule, cells: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Return the vector of each cell, float32 (cells, n_vector), given its standardised embedding and log depth."""
    module.eval()
    device = next(module.parameters()).device
    with torch.inference_mode():
        x, d = torch.from_numpy(cells).to(device), torch.from_numpy(depth).to(device)
        return module.cells(x, d).float().cpu().numpy()


def sequence_vectors(module: XChromModule, tokens: np.ndarray) -> np.ndarray:
    """Return the vector of each sequence, float32 (n, n_vector), from int8 (n, >= length); both strands."""
    module.eval()
    device = next(module.parameters()).device
    out = np.empty((len(tokens), module.config.n_vector), dtype=np.float32)
    with torch.inference_mode():
        for rows in row_blocks(len(tokens), _SEQUENCES):
            part = torch.from_numpy(np.ascontiguousarray(tokens[rows])).to(device)
            out[rows] = module.regions(part).float().cpu().numpy()
    return out


def probabilities(v: np.ndarray, w: np.ndarray, device: torch.device) -> Iterator[tuple[slice, slice, np.ndarray]]:
    """Yield (cells, regions, what the network says of them, float32), given the vectors of both."""
    for rows in row_blocks(len(v), _ROWS):
        cells = torch.from_numpy(v[rows]).to(device)
        for cols in row_blocks(len(w), _COLUMNS):
            yield rows, cols, (cells @ torch.from_numpy(w[cols]).to(device).T).sigmoid().cpu().numpy()


def tower_vectors(module: XChromModule, tokens: np.ndarray, said: np.ndarray) -> np.ndarray:
    """Return the vector of each sequence, float32 (n, n_vector), given what covariates say of it."""
    module.eval()
    device = next(module.parameters()).device
    out = np.empty_like(said)
    with torch.inference_mode():
        for rows in row_blocks(len(tokens), _SEQUENCES):
            part = torch.from_numpy(np.ascontiguousarray(tokens[rows])).to(device)
            out[rows] = module.regions(part, torch.from_numpy(said[rows]).to(device)).float().cpu().numpy()
    return out


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread of the CPU, and leave their number as it was."""
    before = torch.get_num_threads()
    with threadpool_limits(1):
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)


@one_thread()  # words are chosen one by one: sums in another order would choose others, and give another model
def start_from_cells(module: XChromModule, data: TrainingData, *, accelerator: str, seed: int) -> None:
    """Fit the cell tower without sequence, and start the sequence side from what it found: filters at telling words."""
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
        own, said = cell_vectors(module, d.cells[rows], d.depth[rows]), vectors.mean(axis=0)
        known: list[np.ndarray] = []
        if module.covariates is not None:
            said, counts = _beside_covariates(module, data, vectors, own)
            motifs = list(data.fitted.source.motifs.values())
            known = telling_motifs(counts, motifs, vectors - said, own, module.config.tower.stem_filters // 2)
        elif module.config.learns_vectors:
            metric, said = start_at_vectors(module, tokens, vectors, own)
            data.vectors = VectorData(data.tokens, seen, vectors, metric)
        seed_motifs(module.tower, tokens, vectors - said, own, seed, known)
    if module.config.freeze_cells:
        module.cell_tower.requires_grad_(False)


def _beside_covariates(
    module: XChromModule, data: TrainingData, vectors: np.ndarray, cells: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Fit the covariates on training regions, keep what they say of all; return where training starts, and motifs."""
    covariates, d = module.covariates, data.dataset
    assert covariates is not None
    covariates.set_motifs(data.fitted.source.motifs)
    seen, rows = np.flatnonzero(data.region_split == TRAIN), np.flatnonzero(data.cell_split == TRAIN)
    near = data.fitted.source.proximity(data.fitted.places)
    first = np.full(len(data.tokens), np.nan) if near is None else near
    table = np.column_stack([first, read_covariates(module, data.tokens)])
    weight = region_weights(np.diff(d.open_by_region[seen][:, rows].indptr))
    metric, said = start_beside_covariates(module, table[seen], vectors, cells, weight)
    d.said = covariates.of_table(table)
    data.vectors = VectorData(data.tokens, seen, vectors, metric, d.said)
    return said, table[seen, N_PLAIN:]


@torch.no_grad()
def share_of_filters(module: XChromModule, data: TrainingData) -> Any:
    """Shrink what filters say beside what is simpler; return the share that stays, None where nothing is simpler."""
    if module.covariates is not None:
        level, response = choose_shares(module, data)
        return {"level": level, "response": response}
    return choose_share(module, data) if module.config.learns_vectors else None


def choose_shares(module: XChromModule, data: TrainingData) -> tuple[float, float]:
    """Shrink what the filters say beside the covariates; return the shares that stay, of level and of response.

    The level is what a region's vector says in the mean over cells, the response how cells differ. Both shares are
    chosen together on the validation regions: the smallest whose cross entropy lies within one standard error, over
    regions, of the lowest (Breiman et al. 1984). With under eight of these there is nothing to judge by: all stays.
    """
    d, new = data.dataset, np.flatnonzero(data.region_split == VAL)[:_VAL_REGIONS]
    cells = np.flatnonzero(data.cell_split != TEST)
    cells = cells[:: -(-cells.size // _SHARE_CELLS)]
    v = cell_vectors(module, d.cells[cells], d.predicted_depth[cells])
    middle = torch.from_numpy(v.mean(axis=0)).to(module.basis)
    whole = module.basis.clone()

    def scale(level: float, response: float) -> None:
        module.basis.copy_(response * whole)
        module.basis[:, -2] += (level - response) * (whole @ middle)  # the bias is the same in all cells

    if new.size < _LEAST_REGIONS:
        return 1.0, 1.0
    assert d.said is not None
    said = d.said[new]
    opened = d.open_by_region[new][:, cells].toarray()

    def logits(level: float, response: float) -> np.ndarray:
        scale(level, response)
        return tower_vectors(module, data.tokens[new], said) @ v.T

    none = logits(0.0, 0.0)
    of_level, of_response = logits(1.0, 0.0) - none, logits(0.0, 1.0) - none  # from these all others are linear
    pairs = sorted(itertools.product(SHARES, SHARES), key=lambda p: (sum(p), p))
    losses = []
    for level, response in pairs:
        z = none + level * of_level + response * of_response
        losses.append((np.logaddexp(0, z) - opened * z).mean(axis=1))  # of each region
    best = losses[int(np.argmin([loss.mean() for loss in losses]))]
    close = [(x - best).mean() <= (x - best).std(ddof=1) / np.sqrt(new.size) for x in losses]
    chosen = pairs[close.index(True)]
    scale(*chosen)
    return chosen


@torch.no_grad()
def choose_share(module: XChromModule, data: TrainingData) -> float:
    """Shrink what the filters of a motif tower say towards composition alone; return the share of it that stays.

    The share is the smallest whose cross entropy on the validation regions lies within one standard error, over
    regions, of the lowest (Breiman et al. 1984): filters that were learned from few
    regions mostly say what is not so.
    """
    tower, d, new = module.tower, data.dataset, np.flatnonzero(data.region_split == VAL)
    if new.size < _LEAST_REGIONS:
        return 1.0
    new = new[:_VAL_REGIONS]
    cells = np.flatnonzero(data.cell_split != TEST)
    cells = cells[:: -(-cells.size // _SHARE_CELLS)]
    opened = d.open_by_region[new][:, cells].toarray()
    v = cell_vectors(module, d.cells[cells], d.predicted_depth[cells])
    full = tower.last.weight.clone(), tower.last.bias.clone()

    def scale(share: float) -> None:
        for value, whole in zip((tower.last.weight, tower.last.bias), full, strict=True):
            value.copy_(share * whole)

    def logits(share: float) -> np.ndarray:
        scale(share)
        return sequence_vectors(module, data.tokens[new]) @ v.T

    none, whole = logits(0.0), logits(1.0)  # between them it is linear
    losses = [none + share * (whole - none) for share in SHARES]
    losses = [(np.logaddexp(0, z) - opened * z).mean(axis=1) for z in losses]  # of each region
    best = losses[int(np.argmin([loss.mean() for loss in losses]))]
    close = [(x - best).mean() <= (x - best).std(ddof=1) / np.sqrt(new.size) for x in losses]
    share = SHARES[close.index(True)]
    scale(share)
    return share


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
