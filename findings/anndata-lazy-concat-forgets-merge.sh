#!/usr/bin/env bash
# anndata 0.13.4 (with xarray 2026.9.0), concat of what experimental.read_lazy opened, Python 3.12 or later (PYTHON names one):
# merge= is not looked at for .var (.obs with axis="var"). Whatever it says, and with None, its default, too, every column is
# kept, with the values of the first file. In memory, and by concat_on_disk of the same files, columns that differ between the
# files are left out by merge="same", all of them by None. The columns of peaks that differ are those that were computed per
# sample.
# Expected: the same .var as from the same files in memory.
# Seen, two samples with the same peaks, equal gc and unlike n_cells and highly_variable: in memory gc with "same" and "unique",
# nothing with "only" and None; lazily all three columns for each of the five, the two unlike ones as the first sample has them,
# as if they were of all cells. No warning. No report was found in anndata's issues; pull request 198 of annbatch works around
# it.
set -euo pipefail
for python in "${PYTHON:-python3}" python3.14 python3.13 python3.12 "$HOME"/.pyenv/versions/3.1[2-9]*/bin/python none; do
  if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then break; fi
done
[[ "$python" != none ]] || { echo "Python 3.12 or later is needed: PYTHON=/path/to/python $0"; exit 1; }
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/env"
"$folder/env/bin/pip" install -q "anndata[dask,lazy]==0.13.4" dask==2026.8.0 h5py==3.16.0 numpy==2.5.5 pandas==3.1.1 scipy==1.18.1 xarray==2026.9.0 zarr==3.4.2 
cd "$folder"
env/bin/python -W ignore - <<'PY'
import anndata
import numpy as np
import pandas as pd
import scipy.sparse
from anndata.experimental import concat_on_disk, read_lazy

rng = np.random.default_rng(0)
peaks = [f"chr1:{1000 * i}-{1000 * i + 500}" for i in range(50)]
gc = rng.random(50)
samples, files = [], []
for name in ("a", "b"):
    counts = scipy.sparse.csr_matrix(rng.poisson(1, (20, 50)).astype("float32"))
    columns = {"gc": gc, "n_cells": counts.getnnz(axis=0), "highly_variable": rng.random(50) > 0.5}
    sample = anndata.AnnData(counts, var=pd.DataFrame(columns, index=peaks))
    sample.obs_names = [f"{name}{i}" for i in range(20)]
    sample.write_h5ad(f"{name}.h5ad")
    samples.append(sample)
    files.append(f"{name}.h5ad")

every = ["gc", "n_cells", "highly_variable"]
expected = {"same": ["gc"], "unique": ["gc"], "only": [], None: [], "first": every}
for merge, columns in expected.items():
    memory = anndata.concat(samples, merge=merge)
    concat_on_disk(files, "both.h5ad", merge=merge)
    disk = anndata.read_h5ad("both.h5ad")
    lazy = anndata.concat([read_lazy(file) for file in files], merge=merge).to_memory()
    print(f"merge={merge!r}: in memory {list(memory.var)}, on disk {list(disk.var)}, lazily {list(lazy.var)}")
    assert list(memory.var) == list(disk.var) == columns
    assert (lazy.X != memory.X).nnz == 0
    assert list(lazy.var) == every, "this changed: merge is looked at"
    assert np.array_equal(lazy.var["n_cells"], samples[0].var["n_cells"]), "this changed"
PY
