"""What any region has, beside its tower: GC, CpG, the nearest start site of a gene, motifs; linear, in closed form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from chromatell._settings import logger
from chromatell._validate import ChromatellError
from chromatell.genome.motifs import log_odds, read_motifs, score_threshold
from chromatell.genome.region_covariates import StartSites, check_sites, tss_proximity

N_PLAIN = 3  # proximity, GC, CpG; motifs follow
_FURTHEST = 8.0  # sd from the training mean within which a covariate is believed
_PVALUE = 1e-4  # p-value of a hit at one place on one strand
_RATIOS = (0.0, 0.01, 0.1, 1.0)  # prior variance of a motif's weight over that of GC's
_PENALTIES = np.logspace(-3, 2, 11)  # times the number of regions
_FEW = 10.0  # cells in which a region is open: its vector then counts half
_CURE = "Give the annotation of the regions' build: annotation='genes.gtf'."


class RegionCovariates(nn.Module):
    """``(n, 4, length) -> (n, n_vector)``: what is linear in GC, CpG and the hits of motifs, on either strand.

    All weights are set once, by `fit`; none is trained. What the place of a region adds, its proximity to a start
    site, is added by `of_places`; without it a region counts as one of average proximity.

    A motif counts by the sum over places of ``max(0, score - threshold + 1)``, in bits: a hit at the threshold is 1.
    """

    def __init__(self, n_motifs: int, motif_width: int, n_vector: int):
        super().__init__()
        p = N_PLAIN + n_motifs
        self.both = nn.ReLU()  # modules, each used once: attribution methods follow them
        self.scan = nn.Conv1d(4, n_motifs, motif_width, padding=motif_width // 2) if n_motifs else None
        self.hits = nn.ModuleList(nn.ReLU() for _ in range(2)) if n_motifs else None
        for name, value in (("mean", torch.zeros(p)), ("sd", torch.ones(p)), ("weight", torch.zeros(p, n_vector))):
            self.register_buffer(name, value)
        self.mean: Tensor
        self.sd: Tensor
        self.weight: Tensor
        self.requires_grad_(False)

    @torch.no_grad()
    def set_motifs(self, motifs: Mapping[str, np.ndarray]) -> None:
        """Take the motifs, (length, 4) probabilities; each shorter one lies in the middle of the filter."""
        if self.scan is None:
            return
        self.scan.weight.zero_()
        width = self.scan.weight.shape[2]
        for i, pwm in enumerate(motifs.values()):
            first, least = (width - len(pwm)) // 2, score_threshold(pwm, _PVALUE)
            rare = np.isfinite(least)  # a vague motif has no hits
            self.scan.weight[i, :, first : first + len(pwm)] = torch.from_numpy(log_odds(pwm).T * rare).float()
            self.scan.bias[i] = 1 - least if rare else -1.0

    def features(self, x: Tensor) -> Tensor:
        """Return GC and CpG, as shares of the known bases, and the motifs: ``(n, 4, length) -> (n, 2 + n_motifs)``."""
        known = x.sum(dim=(1, 2)).clamp(min=1)
        gc = (x[:, 1] + x[:, 2]).sum(dim=1) / known
        cpg = 2 * self.both(x[:, 1, :-1] + x[:, 2, 1:] - 1.5).sum(dim=1) / known  # 2 of 2, away from the kink
        shares = torch.stack([gc, cpg], dim=1)
        if self.scan is None or self.hits is None:
            return shares
        hits = [relu(self.scan(s)).sum(dim=2) for relu, s in zip(self.hits, (x, x.flip((1, 2))), strict=True)]
        return torch.cat([shares, hits[0] + hits[1]], dim=1)

    def forward(self, x: Tensor) -> Tensor:
        """One-hot; an N counts as no base."""
        with torch.autocast(x.device.type, enabled=False):
            return self.of_features(self.features(x))

    def of_features(self, features: Tensor) -> Tensor:
        """``(n, 2 + n_motifs) -> (n, n_vector)``."""
        return self._standard(features, slice(1, None)) @ self.weight[1:]

    def of_places(self, proximity: np.ndarray | None, n: int) -> np.ndarray:
        """Return what proximity to a start site adds to the vectors, float32 (n, n_vector); NaN is the average."""
        if proximity is None:
            return np.zeros((n, self.weight.shape[1]), dtype=np.float32)
        x = torch.from_numpy(np.asarray(proximity, dtype=np.float32))[:, None].to(self.mean.device)
        return (torch.nan_to_num(self._standard(x, slice(0, 1))) @ self.weight[:1]).cpu().numpy()

    def of_table(self, table: np.ndarray) -> np.ndarray:
        """Return what the whole table says, as in `fit`, float32 (n, n_vector)."""
        x = torch.from_numpy(np.asarray(table, dtype=np.float32)).to(self.mean.device)
        return (torch.nan_to_num(self._standard(x, slice(None))) @ self.weight).cpu().numpy()

    def check(self) -> None:
        """Raise where stored weights cannot be standardised by."""
        if not bool((self.sd > 0).all()):
            raise ChromatellError("The stored 'weights.covariates.sd' is not above 0. Ask for the file again.")

    def _standard(self, x: Tensor, own: slice) -> Tensor:
        return ((x - self.mean[own]) / self.sd[own]).clamp(-_FURTHEST, _FURTHEST)

    @torch.no_grad()
    def fit(self, table: np.ndarray, wanted: np.ndarray, inverse: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Set the weights by ridge regression; return what they say of the regions, float32 (n, n_vector), and centre.

        Parameters
        ----------
        table
            float (n, p): proximity (NaN where unknown), GC, CpG, motifs, of the training regions.
        wanted
            float32 (n, k): their vectors in coordinates in which cells differ alike.
        inverse
            float32 (k, n_vector): turns these into vectors.
        weight
            float (n,), of the regions.
        """
        known = np.isfinite(table)
        mean = np.where(known, table, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
        centred = np.where(known, table - mean, 0)
        sd = np.sqrt(np.square(centred).mean(axis=0))
        varies = sd > 1e-9 + 1e-6 * np.abs(mean)
        x = np.clip(centred / np.where(varies, sd, np.inf), -_FURTHEST, _FURTHEST)
        beta = ridge_by_group(x, N_PLAIN, wanted, weight)
        for own, value in ((self.mean, mean), (self.sd, np.where(varies, sd, 1.0)), (self.weight, beta @ inverse)):
            own.copy_(torch.from_numpy(np.asarray(value, dtype=np.float32)))
        return ((x @ beta) @ inverse).astype(np.float32)


def ridge_by_group(x: np.ndarray, n_first: int, wanted: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the weights, float64 (p, k), of a ridge in which the features from `n_first` on may pay more.

    For each column of `wanted` penalty and ratio have the lowest weighted leave-one-out error, which is exact, from the
    leverages. Features are standardised; an intercept is fitted and not returned.
    """
    n, root = len(x), np.sqrt(weight / weight.mean())[:, None]
    centre_x, centre_y = (np.average(a, axis=0, weights=weight) for a in (x, wanted))
    xs, ys = root * (x - centre_x), root * (wanted - centre_y)
    own = root[:, 0] ** 2 / n  # leverage of the intercept
    best, beta = np.full(wanted.shape[1], np.inf), np.zeros((x.shape[1], wanted.shape[1]))
    for ratio in _RATIOS if x.shape[1] > n_first else _RATIOS[:1]:
        scale = np.where(np.arange(x.shape[1]) < n_first, 1.0, np.sqrt(ratio))
        u, s, vt = np.linalg.svd(xs * scale, full_matrices=False)
        inside = u.T @ ys
        for penalty in _PENALTIES * n:
            shrink = s**2 / (s**2 + penalty)
            leverage = np.square(u) @ shrink + own
            error = np.square((ys - u @ (shrink[:, None] * inside)) / (1 - leverage).clip(1e-3)[:, None]).sum(axis=0)
            better = error < best
            best[better] = error[better]
            coefficients = scale[:, None] * (vt.T @ ((s / (s**2 + penalty))[:, None] * inside[:, better]))
            beta[:, better] = coefficients
    return beta


def region_weights(n_open: np.ndarray) -> np.ndarray:
    """Return how much each region counts, given in how many cells it is open: what is rarely open is known badly."""
    return 1 / (1 + _FEW / (np.asarray(n_open, dtype=np.float64) + 0.5))


@dataclass(frozen=True)
class CovariateSource:
    """Start sites of genes and motifs, as they were given; either may be absent."""

    sites: StartSites | None = None
    motifs: dict[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def read(cls, annotation: Any, motifs: Any) -> CovariateSource:
        """Return what was named, read; raise where it cannot be."""
        sites = None if annotation is None else StartSites.read(annotation)
        return cls(sites, {} if motifs is None else read_motifs(motifs))

    @property
    def width(self) -> int:
        """Bases of the longest motif; 0 without any."""
        return max(map(len, self.motifs.values()), default=0)

    def check(self, places: pd.DataFrame) -> None:
        """Raise where the annotation cannot be of these regions; say so where there is none."""
        if self.sites is not None:
            if (places["start"] < 0).all():
                raise ChromatellError(
                    "annotation= needs the coordinates of the regions, and none has any. Give atac.var 'chrom', "
                    "'start' and 'end', or leave annotation= out."
                )
            check_sites(self.sites, places, _CURE)
        else:
            logger.info(
                "No annotation: what is linear in a region is read from GC and CpG alone, not from its distance to a "
                "start site. " + _CURE
            )

    def proximity(self, places: pd.DataFrame | None) -> np.ndarray | None:
        """Return proximity to the nearest start site, float64 (n,), or None where sites or places are unknown."""
        return None if self.sites is None or places is None else tss_proximity(places, self.sites)

    @property
    def described(self) -> str:
        """Words for a model's card."""
        parts = ["GC", "CpG"]
        if self.sites is not None:
            parts.append(f"proximity to the nearest of {len(self.sites.positions):,} start sites")
        if self.motifs:
            parts.append(f"{len(self.motifs)} motifs")
        return ", ".join(parts) + ("" if self.sites is not None else " (no annotation was given)")

    def plain(self) -> dict[str, Any]:
        """Return what a record's configuration says of it."""
        return {"chromosomes": list(self.sites.chromosomes) if self.sites else [], "motifs": list(self.motifs)}

    def arrays(self) -> dict[str, np.ndarray]:
        """Return what a record holds of it."""
        if self.sites is None:
            return {}
        return {"sites.first": self.sites.first, "sites.positions": self.sites.positions}

    @classmethod
    def from_record(cls, config: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> CovariateSource:
        """Return the source of a record; its motifs are in the weights, so that only their names come back."""
        again = "Ask for the file again."
        said = config["covariates"]
        names = [said[k] for k in ("chromosomes", "motifs")]
        if not all(isinstance(n, list) and all(isinstance(s, str) for s in n) for n in names):
            raise ChromatellError(f"The model's description names no start sites and motifs. {again}")
        motifs = {name: np.zeros((0, 4), dtype=np.float32) for name in names[1]}
        if not names[0]:
            return cls(None, motifs)
        first, positions = arrays["sites.first"], arrays["sites.positions"]
        whole = first.dtype == positions.dtype == np.int64 and first.ndim == positions.ndim == 1
        if not whole or len(first) != len(names[0]) + 1 or first[0] != 0 or first[-1] != len(positions):
            raise ChromatellError(f"The stored start sites do not fit {len(names[0])} chromosomes. {again}")
        ends = np.zeros(len(positions), dtype=bool)
        ends[first[1:-1].clip(0, max(len(positions) - 1, 0))] = True  # a chromosome begins anew
        if (np.diff(first) < 1).any() or (np.diff(positions)[~ends[1:]] <= 0).any():
            raise ChromatellError(f"The stored start sites are not in order. {again}")
        return cls(StartSites(tuple(names[0]), first, positions), motifs)
