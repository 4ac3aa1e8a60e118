"""A model of DNA that is linear, so that what it answers is known by hand, and cells and regions for it."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest
import torch
from tests.helpers import write_fasta

LENGTH, WIDTH, K = 20, 24, 5  # bases read, bases stored, length of the vectors
REGIONS = [("chr1", 100, 131), ("chr1", 140, 161), ("chr1", 240, 270), ("chr2", 60, 80), ("chr2", 200, 233)]


class LinearModule(torch.nn.Module):
    def __init__(self, weight: np.ndarray):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.from_numpy(weight))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        one = torch.einsum("nbl,kbl->nk", x, self.weight)
        return (one + torch.einsum("nbl,kbl->nk", x.flip((1, 2)), self.weight)) / 2


class LinearModel:
    """``w[k] = sum over places of weight[k, base, place]``, the mean of both strands; cells are in ``obsm['v']``."""

    family = "linear"
    sequence_length = LENGTH

    def __init__(self, weight: np.ndarray):
        self.weight = weight.astype(np.float32)
        self.both = (self.weight + self.weight[:, ::-1, ::-1]) / 2  # (K, 4, LENGTH)
        self.read = 0

    def region_vectors(self, tokens: np.ndarray) -> np.ndarray:
        assert tokens.shape[1] == LENGTH
        assert tokens.dtype == np.int8
        self.read += len(tokens)
        padded = np.pad(self.both, ((0, 0), (0, 1), (0, 0)))  # an N adds nothing
        return padded[:, tokens, np.arange(LENGTH)].sum(axis=2).T

    def cell_vectors(self, data: md.MuData, *, depth: str = "predicted") -> np.ndarray:
        assert depth == "fixed"
        return np.asarray(data.mod["rna"].obsm["v"], dtype=np.float32)

    def sequence_module(self) -> torch.nn.Module:
        return LinearModule(self.weight).eval()


@pytest.fixture
def linear() -> LinearModel:
    return LinearModel(np.random.default_rng(3).normal(size=(K, 4, LENGTH)))


@pytest.fixture(scope="session")
def genome() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(7)
    return {name: rng.integers(0, 4, 400).astype(np.int8) for name in ("chr1", "chr2")}


@pytest.fixture
def fasta(genome, tmp_path) -> Path:
    return write_fasta(tmp_path / "genome.fa", {n: "".join("ACGTN"[t] for t in s) for n, s in genome.items()})


@pytest.fixture
def sequenced(genome) -> md.MuData:
    """12 cells of types a (5), b (4) and c (2), one without; 5 regions with 24 bases each."""
    rng = np.random.default_rng(1)
    obs = pd.DataFrame(index=[f"cell{i}" for i in range(12)])
    rna = ad.AnnData(np.ones((12, 3), dtype=np.float32), obs=obs.copy(), obsm={"v": rng.normal(size=(12, K))})
    var = pd.DataFrame(REGIONS, columns=["chrom", "start", "end"], index=[f"{c}:{s}-{e}" for c, s, e in REGIONS])
    atac = ad.AnnData(np.ones((12, len(REGIONS)), dtype=np.float32), obs=obs.copy(), var=var)
    middles = [(c, (s + e) // 2) for c, s, e in REGIONS]
    atac.varm["dna_code"] = np.stack([genome[c][m - WIDTH // 2 : m + WIDTH // 2] for c, m in middles])
    mdata = md.MuData({"rna": rna, "atac": atac})
    mdata.obs["cell_type"] = pd.Categorical(["b"] * 4 + ["a"] * 5 + [None] + ["c"] * 2, categories=["b", "a", "c", "d"])
    return mdata
