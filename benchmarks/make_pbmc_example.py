"""Cut the packaged example out of the PBMC multiome: ``python benchmarks/make_pbmc_example.py [output.h5mu]``.

Reads ``multiome/pbmc10k_51genes.h5mu`` and ``annotation/hg38_genes.tsv.gz`` in ``$CHROMATELL_DATA``. Regions are the
most open ones in the cells that are *not* kept, so the choice has seen no cell of the example.
"""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

import mudata
import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from chromatell._compat import no_pull
from chromatell.genome.annotation import read_genes

N_CELLS, N_REGIONS, SEED, LIMIT = 3200, 1000, 0, 1_500_000
ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("CHROMATELL_DATA", ROOT.parent / "shared" / "data"))
OUT = ROOT / "src" / "chromatell" / "datasets" / "_files" / "pbmc_example.h5mu"


def draw_cells(labels: pd.Series, n: int, rng: np.random.Generator) -> np.ndarray:
    """Cells in proportion to their types (largest remainders up), in the original order."""
    sizes = labels.value_counts()
    exact = sizes * n / sizes.sum()
    take = np.floor(exact).astype(int)
    take[(exact - take).sort_values(ascending=False, kind="stable").index[: n - take.sum()]] += 1
    return np.sort(
        np.concatenate(
            [rng.choice(np.flatnonzero(labels == t), k, replace=False) for t, k in take.sort_index().items()]
        )
    )


def main(out: Path) -> None:
    full = mudata.read_h5mu(DATA / "multiome" / "pbmc10k_51genes.h5mu")
    rna, atac = full.mod["rna"], full.mod["atac"]
    rng = np.random.default_rng(SEED)
    kept = draw_cells(rna.obs["cell_type"].astype(str), N_CELLS, rng)
    others = np.setdiff1d(np.arange(rna.n_obs), kept)
    n_open = np.asarray((atac.X[others] > 0).sum(axis=0)).ravel()
    regions = np.sort(np.argsort(-n_open, kind="stable")[:N_REGIONS])

    genes = read_genes(DATA / "annotation" / "hg38_genes.tsv.gz").drop_duplicates("gene_id").set_index("gene_id")
    sites = genes.loc[rna.var["gene_id"].astype(str)]
    var = (
        rna.var[["gene_id"]]
        .astype(str)
        .assign(
            chrom=sites["chrom"].to_numpy(),
            tss=sites["tss"].to_numpy(dtype=np.int64),
            strand=sites["strand"].to_numpy(),
        )
    )
    obs = rna.obs.iloc[kept][["cell_type", "n_counts", "n_genes"]].copy()
    obs["cell_type"] = obs["cell_type"].astype(str).astype("category")
    obs[["n_counts", "n_genes"]] = obs[["n_counts", "n_genes"]].astype(np.int32)
    counts = sp.csr_matrix(atac.X[kept][:, regions])
    assert counts.data.max() < 256
    # float16 keeps three digits of a smoothed value; the reader turns both into float32
    small_rna = AnnData(np.asarray(rna.X[kept], dtype=np.float16), obs=obs, var=var)
    small_atac = AnnData(
        counts.astype(np.uint8), obs=obs.copy(), var=atac.var.iloc[regions][["chrom", "start", "end"]].copy()
    )
    for mod in (small_rna, small_atac):
        mod.obs.index.name = None
        mod.uns["genome"] = "GRCh38"
    with no_pull(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        small = mudata.MuData({"rna": small_rna, "atac": small_atac})
        small.obs["cell_type"] = obs["cell_type"]
        small.write_h5mu(out, compression="gzip", compression_opts=9)
    size = out.stat().st_size
    print(f"{out}: {small.n_obs} cells x {small_rna.n_vars} genes x {small_atac.n_vars} regions, {size / 1e6:.2f} MB")
    print(
        f"open: {counts.nnz / np.prod(counts.shape):.3f}; "
        f"cells without an open region: {int((counts.getnnz(1) == 0).sum())}"
    )
    print(obs["cell_type"].value_counts().to_string())
    if size > LIMIT:
        raise SystemExit(f"{size} bytes are above the limit of {LIMIT}.")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else OUT)
