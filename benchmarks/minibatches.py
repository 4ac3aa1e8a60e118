"""Minibatches of sparse targets: ours in memory and from disk, beside the loaders of scvi-tools, in pairs."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import anndata as ad
import numpy as np
import scipy.sparse as sp
from _table import write_table

BATCH, PER_CELL = 1024, 810


def cells_by_regions(n_cells: int, n_regions: int, per_cell: int = PER_CELL, seed: int = 0) -> sp.csr_matrix:
    """Return open regions at random, the same number of entries whatever the number of regions."""
    rng = np.random.default_rng(seed)
    # one region in each of `per_cell` equal intervals: sorted, and no region twice in a cell
    edges = np.linspace(0, n_regions, per_cell + 1).astype(np.int64)
    index = (edges[:-1] + rng.random((n_cells, per_cell)) * np.diff(edges)).astype(np.int32).ravel()
    indptr = np.arange(0, index.size + 1, per_cell)
    return sp.csr_matrix((np.ones(index.size, dtype=np.float32), index, indptr), shape=(n_cells, n_regions))


def our_loader(x, order: str = "cells", *, held: bool = True):
    """Return our loader; the encoder's input is one gene, so that targets alone are timed.

    With ``held=False`` targets on disk are read buffer by buffer, as those that are too large to be held.
    """
    from unittest.mock import patch

    import pandas as pd

    from chromatell.data.cells import _CACHE_BYTES, CellDataset, CellInput, cell_loader
    from chromatell.data.expression import Expression

    rna = np.ones((x.shape[0], 1), dtype=np.float32)
    rna[::2] = 2
    inputs = CellInput(rna, Expression.fit(rna, pd.Index(["g"])))
    with patch("chromatell.data.cells._CACHE_BYTES", _CACHE_BYTES if held else 0):
        dataset = CellDataset(inputs, x, np.zeros(x.shape[0], dtype=np.float32), block=16_384)
    return cell_loader(dataset, BATCH, shuffle=True, seed=0, order=order)


def scvi_loader(adata, *, sparse: bool):
    """Return scvi-tools' own loader of the same cells."""
    from scvi.data import AnnDataManager
    from scvi.data.fields import LayerField
    from scvi.dataloaders import AnnDataLoader

    manager = AnnDataManager(fields=[LayerField("X", None, is_count_data=False)], setup_method_args={})
    manager.register_fields(adata)
    return AnnDataLoader(manager, batch_size=BATCH, shuffle=True, load_sparse_tensor=sparse)


def rate(loader, n_cells: int) -> float:
    """Return cells per second of the processor, over one epoch."""
    start = time.process_time()
    for _ in loader:
        pass
    return n_cells / (time.process_time() - start)


def compare(rows: list[dict], name: str, loaders: dict[str, tuple], pairs: int) -> None:
    """Time the loaders in turn, `pairs` times, and add a row for each: median and range of cells/s and of the ratio."""
    found: dict[str, list[float]] = {k: [] for k in loaders}
    for loader, n in loaders.values():
        rate(loader, n)  # once to warm up
    for _ in range(pairs):
        for k, (loader, n) in loaders.items():
            found[k].append(rate(loader, n))
    ours = np.array(next(iter(found.values())))
    for k, v in found.items():
        ratio = ours / np.array(v)
        rows.append(
            {
                "data": name,
                "loader": k,
                "cells/s": f"{np.median(v):,.0f} ({min(v):,.0f}-{max(v):,.0f})",
                "ours / it": f"{np.median(ratio):.2f} ({ratio.min():.2f}-{ratio.max():.2f})",
            }
        )


def main(pairs: int = 5) -> None:
    import scvi

    import chromatell as ctl
    from chromatell._rows import matrix

    scvi.settings.verbosity = 40
    ctl.settings.verbosity = 1
    rows: list[dict] = []
    for n_regions in (5_000, 27_000, 200_000):
        x = cells_by_regions(5_000, n_regions)
        loaders = {"chromatell": (our_loader(x), 5_000)}
        loaders["scvi-tools, sparse"] = (scvi_loader(ad.AnnData(x), sparse=True), 5_000)
        if n_regions == 27_000:
            loaders["scvi-tools, dense"] = (scvi_loader(ad.AnnData(x), sparse=False), 5_000)
        compare(rows, f"memory, 5,000 x {n_regions:,}", loaders, pairs)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.h5ad"
        x = cells_by_regions(20_000, 27_000)
        ad.AnnData(x).write_h5ad(path)
        backed = ad.read_h5ad(path, backed="r")
        start = time.process_time()
        ours = our_loader(matrix(backed), "auto")
        once = time.process_time() - start
        loaders = {
            "chromatell, backed, held": (ours, 20_000),
            "chromatell, backed, by buffers": (our_loader(matrix(backed), "auto", held=False), 20_000),
            "chromatell, memory": (our_loader(x), 20_000),
            "scvi-tools, backed, sparse": (scvi_loader(backed, sparse=True), 20_000),
        }
        compare(rows, "h5ad, 20,000 x 27,000", loaders, min(pairs, 5))
    about = f"Batches of {BATCH:,} cells, {PER_CELL} open regions a cell; one thread. Up to 512 MB of what is on disk "
    about += (
        f"is held: it was read once, in {once:.2f} s of the processor, which is not in the rate; more is read by "
        "buffers."
    )
    write_table("minibatches", rows, about)


if __name__ == "__main__":
    main()
