"""Make the stored files of one release: ``python tests/archive/make.py FOLDER``, with that release installed.

Each file holds what it was read from, the model and the predictions that it gave. They are never made anew: a file that
an old release wrote is worth keeping because it is old. Families that a release does not have are left out.
"""

from __future__ import annotations

import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np

import chromatell as ctl

QUICK = {"max_epochs": 2}


def dense(folder: Path) -> None:
    mdata = ctl.datasets.simulate_multiome(60, 12, 16, seed=0, truth=False)
    ctl.pp.split_cells(mdata, seed=0)
    ctl.tl.dense(mdata, n_hidden=8, n_latent=4, seed=0, train_kwargs=QUICK)
    mdata.write_h5mu(folder / "dense.h5mu", compression="gzip")
    np.save(folder / "dense.npy", mdata.mod["atac_pred"].X)
    ctl.io.export_model(mdata, "dense", folder / "dense_exported")
    dense_elsewhere(mdata, folder)


def dense_elsewhere(mdata, folder: Path) -> None:
    """Keep the same as a `.zarr`, hundreds of small files in one, and its cells with the model as an `.h5ad`."""
    with tempfile.TemporaryDirectory() as work, tarfile.open(folder / "dense.zarr.tar.gz", "w:gz") as archive:
        mdata.write_zarr(Path(work) / "dense.zarr")
        archive.add(Path(work) / "dense.zarr", "dense.zarr")
    rna = mdata.mod["rna"].copy()
    ctl.io.write_record(rna, "dense", ctl.io.read_record(mdata))
    rna.write_h5ad(folder / "dense.h5ad", compression="gzip")


def xchrom(folder: Path) -> None:
    mdata = ctl.datasets.simulate_sequence_multiome(n_cells=60, n_regions=16, n_genes=12, seed=0)
    ctl.pp.split_cells(mdata, seed=0)
    ctl.tl.xchrom(mdata, stem_filters=4, seed=0, train_kwargs=QUICK)
    del mdata.mod["atac"]
    mdata.update()
    mdata.write_h5mu(folder / "xchrom.h5mu", compression="gzip")
    np.save(folder / "xchrom.npy", mdata.mod["atac_pred"].X)


def atacformer(folder: Path) -> None:
    adata = ctl.datasets.simulate_multiome(60, 12, 24, seed=0, truth=False).mod["atac"]
    ctl.pp.split_cells(adata, seed=0)
    ctl.tl.atacformer(adata, labels="cell_type", d=8, n_hidden=8, n_layers=1, n_heads=2, seed=0, train_kwargs=QUICK)
    adata.write_h5ad(folder / "atacformer.h5ad", compression="gzip")
    np.save(folder / "atacformer.npy", adata.obsm["X_atacformer"])


def nascent(folder: Path) -> None:
    signal = np.random.default_rng(0).poisson(0.3, 400)
    tracks = ctl.data.BinnedTracks({"chr1": [signal, signal > 1]}, ["plus", "mark"], chrom_sizes={"chr1": 20_000})
    tracks.table.loc["plus", "role"] = "input"
    ctl.tl.nascent(tracks, window=5, seed=0, max_depth=2, train_kwargs={"max_epochs": 5})
    tracks.save(folder / "nascent.zarr")


if __name__ == "__main__":
    out = Path(sys.argv[1])
    out.mkdir(parents=True)
    for family in (dense, xchrom, atacformer, nascent):
        if hasattr(ctl.tl, family.__name__):
            family(out)
