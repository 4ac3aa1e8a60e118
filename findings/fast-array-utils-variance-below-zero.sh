#!/usr/bin/env bash
# fast-array-utils 1.5.1, stats.mean_var, and scanpy 1.12.4, whose highly variable genes rest on it, Python 3.12 or later
# (PYTHON names one): counts in a dense array are squared in their own type before they are summed as float64, so a square
# wraps from 16 on in uint8, 256 in uint16, and 46,341 in int32. The variance is then wrong, and may be below zero. Of a
# sparse matrix it is right along an axis and wrong over all. The means, which are summed as float64, are right.
# Expected: 20 and 0 have the mean 10 and the variance 100, in any type, dense or sparse, along an axis or over all.
# Seen: -28 in uint8, dense, and sparse with axis=None; 100 for the same sparse matrix with axis=0. In scanpy,
# pp.highly_variable_genes(flavor="seurat_v3"), which asks for raw counts, the same counts as uint8 and as float32 have
# variances of -150 and 32, and other peaks are selected; a sparse matrix has the right ones. No warning.
set -euo pipefail
for python in "${PYTHON:-python3}" python3.14 python3.13 python3.12 "$HOME"/.pyenv/versions/3.1[2-9]*/bin/python none; do
  if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then break; fi
done
[[ "$python" != none ]] || { echo "Python 3.12 or later is needed: PYTHON=/path/to/python $0"; exit 1; }
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/env"
"$folder/env/bin/pip" install -q fast-array-utils==1.5.1 scanpy==1.12.4 anndata==0.13.4 numba==0.68.1 numpy==2.4.6 scipy==1.17.1 \
  pandas==2.3.3 scikit-misc==0.5.3
cd "$folder"
env/bin/python -W ignore - 2>log <<'PY' || { tail -n 3 log; exit 1; }
import anndata
import numpy as np
import scanpy as sc
import scipy.sparse as sp
from fast_array_utils.stats import mean_var


def variances(values, dtype):
    """Give the variance of a column, dense and sparse, along the axis and over all."""
    dense = np.array(values, dtype)[:, None]
    found = []
    for kind in (np.asarray, sp.csr_matrix):
        for axis in (0, None):
            mean, variance = mean_var(kind(dense), axis=axis)
            assert np.all(mean == dense.mean(dtype="float64"))
            found.append(float(np.squeeze(variance)))
    print(f"{dtype} {values}: dense {found[0]}, {found[1]}, sparse {found[2]}, {found[3]} (axis=0, axis=None)")
    return found


for dtype in ("float32", "float64", "int32"):
    assert variances([20, 0], dtype) == [100] * 4
for dtype, high in (("uint8", 20), ("uint16", 300), ("int32", 50_000)):
    right = (high / 2) ** 2
    wrong = high**2 % 2 ** np.iinfo(dtype).bits
    wrong -= 2**32 if dtype == "int32" and wrong >= 2**31 else 0
    wrong = wrong / 2 - right  # the mean of the wrapped squares less the square of the mean
    assert variances([high, 0], dtype) == [wrong, wrong, right, wrong], "this changed"
assert variances([15, 1], "uint8") == [49] * 4

rng = np.random.default_rng(0)
counts = rng.poisson(np.where(np.arange(200) < 20, 12, 1), (300, 200))
counts[:150, :20] = rng.poisson(20, (150, 20))  # 20 peaks with more fragments in half of the cells
assert counts.max() < 256
tables = {}
for dtype in ("float32", "uint8"):
    for kind in (np.asarray, sp.csr_matrix):
        data = anndata.AnnData(kind(counts.astype(dtype)))
        table = sc.pp.highly_variable_genes(data, flavor="seurat_v3", n_top_genes=20, inplace=False)
        tables[dtype, kind.__name__] = table
        print(f"scanpy, {dtype}, {kind.__name__}: variance of the first peak {table['variances'].iloc[0]:.0f}")
right = counts.var(axis=0, ddof=1)
for key, table in tables.items():
    assert np.allclose(table["variances"], right, rtol=1e-3) == (key != ("uint8", "asarray")), "this changed"
wrong = tables["uint8", "asarray"]
shared = (wrong["highly_variable"].to_numpy() & tables["float32", "asarray"]["highly_variable"].to_numpy()).sum()
print(f"scanpy: {(wrong['variances'] < 0).sum()} peaks have a variance below zero; {shared} of 20 selected peaks are shared")
assert (wrong["variances"] < 0).sum() == 20 and shared < 10, "this changed"
PY
