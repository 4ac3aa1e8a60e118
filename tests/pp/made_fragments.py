"""Random fragments and peaks, and their counts in bins, one fragment at a time."""

from __future__ import annotations

import gzip
from collections import Counter

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

SIZES = {"chr1": 23_000, "chr2": 9_500, "chrX": 4_000}
CELLS = ["C3", "C1", "C2", "C9"]


def random_fragments(rng, n=3000, sizes=SIZES, cells=("C1", "C2", "C3", "other")):
    chrom = rng.choice([*sizes, "chrM", "KI27.1"], n)
    room = np.array([sizes.get(c, 16_000) for c in chrom])
    start = (rng.random(n) * (room - 1)).astype(int)
    end = np.minimum(start + rng.integers(1, 900, n), room)
    return pd.DataFrame({"chrom": chrom, "start": start, "end": end, "barcode": rng.choice(cells, n), "n": 3})


def write(path, table, header=()):
    opener = gzip.open if str(path).endswith(".gz") else open
    with opener(path, "wt") as f:
        f.writelines(f"# {line}\n" for line in header)
        table.to_csv(f, sep="\t", header=False, index=False)
    return path


def slow_counts(rows, sizes, size, count="fragments", assign="midpoint"):
    """(barcode, 'chrom:start-end') -> count, one fragment at a time."""
    found = Counter()
    for chrom, start, end, barcode, *_ in rows:
        if chrom not in sizes:
            continue
        if count == "cut_sites":
            hit = [start // size, (end - 1) // size]
        elif assign == "midpoint":
            hit = [(start + end) // 2 // size]
        else:
            hit = list(range(start // size, (end - 1) // size + 1))
        for b in hit:
            found[barcode, f"{chrom}:{b * size}-{min((b + 1) * size, sizes[chrom])}"] += 1
    return found


def as_counter(adata):
    x = sp.coo_matrix(adata.X)
    assert adata.X.format == "csr"
    assert adata.X.dtype == np.float32
    assert adata.X.has_sorted_indices
    assert (x.data > 0).all()
    names = zip(adata.obs_names[x.row], adata.var_names[x.col], strict=True)
    return Counter(dict(zip(names, x.data.astype(int), strict=True)))


def peaks(rng, n=60, n_cells=25):
    chrom = rng.choice([*SIZES, "chrM"], n)
    start = np.array([rng.integers(0, SIZES.get(c, 3000) - 1500) for c in chrom])
    var = pd.DataFrame({"chrom": chrom, "start": start, "end": start + rng.integers(1, 1500, n)})
    x = sp.random(n_cells, n, 0.3, "csr", random_state=1, data_rvs=lambda k: rng.integers(1, 5, k)).astype(np.float32)
    obs = pd.DataFrame({"donor": pd.Categorical(list("abcde") * 5)}, index=[f"C{i}" for i in range(n_cells)])
    adata = AnnData(x, obs=obs, var=var.set_axis([f"p{i}" for i in range(n)]))
    adata.obsm["X_pca"] = rng.normal(size=(n_cells, 3))
    return adata
