"""Small made-up genomes: a motif for each cell type opens the regions that hold it; and models trained on them."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from tests.helpers import write_fasta

import chromatell as ctl

WIDTH, LENGTH = 150, 140  # of the windows, and of what the tower reads
MOTIFS = ("TGACTCACGT", "GGAATTCCAA", "CAGGTGTTAC")
BASSET = {"kind": "basset", "stem_filters": 16, "stem_kernel": 11, "stem_pool": 4, "filters": (16, 16)}
BASSET |= {"last_filters": 8, "gelu_after": False, "dropout": 0.1}
TINY = {**BASSET, "sequence_length": LENGTH, "n_embed": 6, "n_hidden": 16, "n_pcs": 5, "warm_epochs": 3}
TINY |= {"region_effect": False, "stack": False}
TRAIN = {"full_rate_at": 0, "lr": 1e-2, "weight_decay": 1e-3, "batch_size": 64}  # of a small 'basset' tower
TRAIN |= {"precision": "32-true"}
LETTERS = np.frombuffer(b"ACGTN", dtype=np.uint8)


def made_up(n_cells=240, n_regions=360, seed=0):
    """Return (MuData, tokens of chr1 and chr2): type k opens the regions with motif k, on either strand."""
    rng = np.random.default_rng(seed)
    n = n_regions // 2
    genome = {c: rng.integers(0, 4, 200 * (n + 1)).astype(np.int8) for c in ("chr1", "chr2")}
    motif = rng.integers(0, 3, 2 * n)
    middle = np.tile(200 * np.arange(n) + 200, 2)
    chrom = np.repeat(["chr1", "chr2"], n)
    tokens = np.empty((2 * n, WIDTH), dtype=np.int8)
    for i, (c, mid) in enumerate(zip(chrom, middle, strict=True)):
        word = ctl.genome.encode(MOTIFS[motif[i]])
        word = word if rng.random() < 0.5 else (3 - word[::-1]).astype(np.int8)
        at = mid + rng.integers(-50, 40)
        genome[c][at : at + 10] = word
        tokens[i] = genome[c][mid - WIDTH // 2 : mid - WIDTH // 2 + WIDTH]
    kind = rng.integers(0, 3, n_cells)
    fragments = rng.gamma(4, 25, n_cells)
    logit = np.where(kind[:, None] == motif, 0.5, -2.5) + np.log(fragments / 100)[:, None]
    truth = 1 / (1 + np.exp(-logit))
    opened = (rng.random(truth.shape) < truth).astype(np.float32)
    genes = rng.gamma(1, 5, (3, 40))
    expression = rng.poisson(genes[kind] * (fragments / 100)[:, None] ** 0.7) + (np.arange(40) == 0)
    cells = pd.DataFrame({"cell_type": pd.Categorical(kind.astype(str))}, index=[f"c{i}" for i in range(n_cells)])
    var = pd.DataFrame({"chrom": chrom, "start": middle - 60, "end": middle + 60})
    var.index = [f"{c}:{s}-{e}" for c, s, e in var.to_numpy()]
    rna = ad.AnnData(sp.csr_matrix(expression.astype(np.float32)), obs=cells.copy())
    rna.var_names = [f"g{i}" for i in range(40)]
    atac = ad.AnnData(sp.csr_matrix(opened), obs=cells.copy(), var=var)
    atac.varm["dna_code"] = tokens
    atac.layers["truth"] = truth.astype(np.float32)
    mdata = md.MuData({"rna": rna, "atac": atac})
    mdata.obs["cell_type"] = cells["cell_type"]
    mdata.obs["ctl_split"] = parts(rng, n_cells)
    atac.var["ctl_split"] = parts(rng, 2 * n)
    return mdata, genome


def parts(rng, n):
    """Marks of 70% train, 10% val and 20% test."""
    cut = np.repeat(["train", "val", "test"], [n - 3 * (n // 10), n // 10, 2 * (n // 10)])
    return pd.Categorical(rng.permutation(cut))


def tiny_options(**options):
    """Return options of a tiny model; those that its tower would not read are left out."""
    motifs = options.get("kind") == "motifs"
    return {
        **{k: v for k, v in TINY.items() if not (motifs and k in ("filters", "last_filters", "gelu_after"))},
        **options,
    }


def train_tiny(mdata, epochs=2, seed=0, setup=None, train=None, **options):
    """Return a tiny model, trained on a copy."""
    mdata = mdata.copy()
    ctl.models.XChrom.setup_mudata(mdata, **(setup or {}))
    model = ctl.models.XChrom(mdata, **tiny_options(**options))
    model.train(max_epochs=epochs, seed=seed, **{**TRAIN, **(train or {})})
    return model


@pytest.fixture(scope="session")
def fit():
    """Train a tiny model: ``fit(mdata, epochs=2, seed=0, setup={}, train={}, **options)``."""
    return train_tiny


@pytest.fixture(scope="session")
def tiny():
    """Sizes of the tiny model."""
    return dict(TINY)


@pytest.fixture(scope="session")
def world():
    return made_up()


@pytest.fixture(scope="session")
def mdata(world):
    return world[0]


@pytest.fixture(scope="session")
def small():
    """What is trained many times."""
    return made_up(120, 120, seed=1)[0]


@pytest.fixture(scope="session")
def trained(mdata):
    return train_tiny(mdata, epochs=25)


@pytest.fixture(scope="session")
def with_effect(mdata):
    return train_tiny(mdata, epochs=25, region_effect=True)


@pytest.fixture(scope="session")
def fasta(world, tmp_path_factory):
    path = Path(tmp_path_factory.mktemp("genome") / "made_up.fa")
    return write_fasta(path, {name: LETTERS[tokens].tobytes().decode() for name, tokens in world[1].items()})
