"""What the sequence tower learns first of all: the vectors that the first fit found for the training regions."""

from __future__ import annotations

import numpy as np
import torch
from torch.utils.data import Dataset

from chromatell.models.xchrom._module import RegionVectors, XChromModule
from chromatell.nn.sequence_tower import MotifTower, centre, one_hot

_LEAST = 1e-4  # directions in which cells differ less than this share of the largest variance count as that share
_SEQUENCES = 64  # read at a time


class VectorData(Dataset):
    """Map-style data set over *batches* of regions and their vectors, beside `RegionCells`.

    Parameters
    ----------
    tokens
        int8 (n_regions, width), of all regions.
    rows
        int64 (n,): the regions that have a vector.
    vectors
        float32 (n, n_vector).
    metric
        float32 (n_vector, n_vector): an error times this has, squared and summed, the variance over cells of the logit.
    said
        float32 (n_regions, n_vector): what covariates say of all regions; None without covariates.
    """

    def __init__(
        self,
        tokens: np.ndarray,
        rows: np.ndarray,
        vectors: np.ndarray,
        metric: np.ndarray,
        said: np.ndarray | None = None,
    ):
        self.tokens, self.metric, self.said = tokens, torch.from_numpy(metric), said
        self.vectors = np.full((len(tokens), vectors.shape[1]), np.nan, dtype=np.float32)
        self.vectors[rows] = vectors

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, index: tuple[np.ndarray, np.ndarray]) -> RegionVectors:
        regions, _ = index
        return RegionVectors(
            tokens=torch.from_numpy(np.ascontiguousarray(self.tokens[regions])),
            vectors=torch.from_numpy(self.vectors[regions]),
            metric=self.metric,
            said=None if self.said is None else torch.from_numpy(self.said[regions]),
        )


def metric_of(cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the square root of the second moment of the cells' vectors, and its inverse, both float32 (k, k).

    With ``root``, ``|e @ root|**2`` is the mean over cells of the squared product of `e` and the cell's vector.
    """
    moment = cells.T.astype(np.float64) @ cells / len(cells)
    values, axes = np.linalg.eigh(moment)
    size = np.sqrt(np.maximum(values, _LEAST * values[-1]))
    return (axes * size).astype(np.float32), (axes / size).T.astype(np.float32)


def start_at_vectors(
    module: XChromModule, tokens: np.ndarray, vectors: np.ndarray, cells: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Turn the sequence side so that all it has to learn is of the same size; return the metric, and the start.

    What the tower returns then are coordinates in which cells differ alike, in units of what is left to learn in each.
    It starts at the ridge of the vectors on composition, which stays as it is: few regions support no more.

    Parameters
    ----------
    tokens
        int8 (regions, length) of the training regions, as long as the tower reads.
    vectors, cells
        float32 (regions, n_vector) and (cells, n_vector), whose products are logits.

    Returns
    -------
    tuple
        `metric` as in `VectorData`, and the vectors that training starts from, float32 (regions, n_vector).
    """
    tower = module.tower
    assert isinstance(tower, MotifTower)
    root, inverse = metric_of(cells)
    origin = vectors.mean(axis=0)
    wanted = (vectors - origin) @ root
    features = read_composition(tower, tokens)
    weight = ridge(features, wanted)
    middle = features.mean(axis=0) @ weight
    origin = origin - middle @ inverse
    left = wanted - (features @ weight - middle)
    unit = _scale_tower(module, tower, origin, inverse, left)
    with torch.no_grad():
        tower.straight.weight.copy_(torch.from_numpy((weight / unit).T))
    tower.straight.requires_grad_(False)
    return root, vectors - left @ inverse


def start_beside_covariates(
    module: XChromModule,
    table: np.ndarray,
    vectors: np.ndarray,
    cells: np.ndarray,
    weight: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Fit what covariates say, and turn the tower so that what is left for it is of the same size in each coordinate.

    Parameters
    ----------
    table
        float (regions, p), covariates of the training regions.
    vectors, cells
        float32 (regions, n_vector) and (cells, n_vector), whose products are logits.
    weight
        float (regions,).

    Returns
    -------
    tuple
        `metric` as in `VectorData`, and the vectors that training starts from, float32 (regions, n_vector).
    """
    tower, covariates = module.tower, module.covariates
    assert isinstance(tower, MotifTower)
    assert covariates is not None
    root, inverse = metric_of(cells)
    said = covariates.fit(table, (vectors - vectors.mean(axis=0)) @ root, inverse, weight)
    origin = np.average(vectors - said, axis=0, weights=weight).astype(np.float32)
    left = (vectors - said - origin) @ root
    _scale_tower(module, tower, origin, inverse, left)
    tower.straight.requires_grad_(False)  # composition is among the covariates
    return root, origin + said


@torch.no_grad()
def _scale_tower(
    module: XChromModule, tower: MotifTower, origin: np.ndarray, inverse: np.ndarray, left: np.ndarray
) -> np.ndarray:
    """Let the tower begin at `origin`, each coordinate as large as what is left there; return those sizes."""
    unit = left.std(axis=0)
    unit = np.maximum(unit, 1e-3 * unit.max() + 1e-6)
    module.origin.copy_(torch.from_numpy(origin))
    module.basis.copy_(torch.from_numpy(unit[:, None] * inverse))
    tower.last.bias.zero_()
    return unit


@torch.no_grad()
def read_covariates(module: XChromModule, tokens: np.ndarray) -> np.ndarray:
    """Return GC, CpG and motifs, float32 (regions, 2 + n_motifs), of int8 (regions, >= `covariate_length`)."""
    covariates, device = module.covariates, module.origin.device
    assert covariates is not None
    length, values = module.config.covariate_length, []
    for i in range(0, len(tokens), _SEQUENCES):
        part = centre(torch.from_numpy(np.ascontiguousarray(tokens[i : i + _SEQUENCES])).to(device), length)
        values.append(covariates.features(one_hot(part)))
    return torch.cat(values).cpu().numpy()


@torch.no_grad()
def read_composition(tower: MotifTower, tokens: np.ndarray) -> np.ndarray:
    """Return what the tower reads of the composition, float32 (regions, 4)."""
    device = tower.place.device
    parts = [
        tower.composition(one_hot(torch.from_numpy(tokens[i : i + _SEQUENCES]).to(device)))
        for i in range(0, len(tokens), _SEQUENCES)
    ]
    return torch.cat(parts).cpu().numpy()


def ridge(features: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the weights (features, k) of the ridge on standardised features with the lowest leave-one-out error."""
    sd = features.std(axis=0, dtype=np.float64)
    sd[sd < 1e-6] = np.inf
    x, y = (features - features.mean(axis=0)) / sd, wanted - wanted.mean(axis=0)
    u, s, vt = np.linalg.svd(x, full_matrices=False)

    def left_out(penalty: float) -> float:
        shrink = s**2 / (s**2 + penalty)
        leverage = np.square(u) @ shrink + 1 / len(x)
        return float(np.square((y - (u * shrink) @ (u.T @ y)) / (1 - leverage).clip(1e-3)[:, None]).sum())

    penalty = min(len(x) * np.logspace(-3, 3, 13), key=left_out)
    return (vt.T @ ((s / (s**2 + penalty))[:, None] * (u.T @ y))) / sd[:, None]
