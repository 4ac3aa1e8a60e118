#!/usr/bin/env bash
# scanpy 1.12.4 with scikit-learn 1.9.1, get.aggregate(func="median") of a sparse X, Python 3.12 or 3.13 (PYTHON names one): of
# a group with an even number of cells the two counts in the middle are added in the type of the matrix before they are halved,
# by utils.sparsefuncs.csc_median_axis_0 of scikit-learn. In bool one and one is one, in uint8 200 and 200 is 144.
# Expected: the median of numbers that are all alike is that number, as the same call gives for the same counts in a dense array
# and NumPy for any type.
# Seen: a peak that is open in all of four cells has the median 0.5 in a binary matrix of bool; counts that are all 200 have 72
# in uint8 (and -28 is that of 100 in int8). Of five cells it is right. All of 2,000 random peaks that are open in more than
# half of 40 cells have 0.5. The mean of the same call is right. No warning. No report of it was found; SciPy mended the same in
# ndimage.median in 2020.
set -euo pipefail
for python in "${PYTHON:-python3}" python3.12 python3.13 "$HOME"/.pyenv/versions/3.1[23]*/bin/python none; do
  if "$python" -c 'import sys; sys.exit(not (3, 12) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then break; fi
done
[[ "$python" != none ]] || { echo "Python 3.12 or 3.13 is needed: PYTHON=/path/to/python $0"; exit 1; }
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/env"
"$folder/env/bin/pip" install -q scanpy==1.12.4 anndata==0.13.4 scikit-learn==1.9.1 fast-array-utils==1.5.1 numpy==2.5.5 pandas==3.1.1 \
  scipy==1.18.1
cd "$folder"
env/bin/python -W ignore - 2>log <<'PY' || { tail -n 3 log; exit 1; }
import anndata
import numpy as np
import scanpy
import scipy.sparse as sp


def median(cells, func="median"):
    """What the cells, as one group, have by column."""
    data = anndata.AnnData(cells)
    data.obs["group"] = "all"
    found = scanpy.get.aggregate(data, "group", func).layers[func]
    return (found.toarray() if sp.issparse(found) else np.asarray(found)).ravel()


for value, kind, wrong in ((1, "bool", 0.5), (200, "uint8", 72), (100, "int8", -28)):
    cells = np.full((4, 3), value, kind)
    sparse, dense, odd = median(sp.csr_matrix(cells)), median(cells), median(sp.csr_matrix(np.full((5, 3), value, kind)))
    print(f"four cells of {value} in {kind}: {sparse[0]} sparse, {dense[0]} dense; five cells: {odd[0]} sparse")
    assert (dense == value).all()
    assert (odd == value).all()
    assert (sparse == wrong).all(), "this changed"
    assert (median(sp.csr_matrix(cells), "mean") == value).all()

rng = np.random.default_rng(0)
peaks = rng.random((40, 2000)) < rng.choice([0.8, 0.9, 0.95, 0.99, 1], 2000)
peaks = peaks[:, peaks.sum(axis=0) > 20]
half = int((median(sp.csr_matrix(peaks)) == 0.5).sum())
print(f"of {peaks.shape[1]} peaks that are open in more than half of 40 cells {half} have the median 0.5")
assert (np.median(peaks.astype(float), axis=0) == 1).all()
assert half == peaks.shape[1], "this changed"
PY
