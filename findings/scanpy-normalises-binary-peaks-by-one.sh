#!/usr/bin/env bash
# scanpy 1.12.4 with numba 0.68.1, pp.normalize_total, Python 3.12 or later (PYTHON names one): of a sparse matrix of
# booleans, which is what `adata.X > 0` makes of peaks, the total of every cell is taken as True, 1. With target_sum each
# open peak gets the whole target, and without it nothing is normalised: the depth stays in, for PCA and all that follows.
# Expected: every cell has the total target_sum afterwards, or the median of the totals, as its text says and as uint8 and
# float32 of the same matrix have it; or the error that a dense matrix of booleans raises.
# Seen: cells with 10, 20, 40 and 80 open peaks have totals of 100,000 to 800,000 with target_sum=1e4, and 10 to 80
# without. No warning. calculate_qc_metrics of the same matrix has the right totals.
set -euo pipefail
for python in "${PYTHON:-python3}" python3.14 python3.13 python3.12 "$HOME"/.pyenv/versions/3.1[2-9]*/bin/python none; do
  if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then break; fi
done
[[ "$python" != none ]] || { echo "Python 3.12 or later is needed: PYTHON=/path/to/python $0"; exit 1; }
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/env"
"$folder/env/bin/pip" install -q scanpy==1.12.4 anndata==0.13.4 numba==0.68.1 numpy==2.4.6 scipy==1.17.1 pandas==2.3.3 \
  fast-array-utils==1.5.1
cd "$folder"
env/bin/python -W ignore - 2>log <<'PY' || { tail -n 3 log; exit 1; }
import anndata
import numpy as np
import scanpy as sc
import scipy.sparse as sp

open_peaks = [10, 20, 40, 80]
binary = np.arange(100) < np.array(open_peaks)[:, None]


def totals(kind, dtype, **options):
    data = anndata.AnnData(kind(binary.astype(dtype)))
    sc.pp.normalize_total(data, **options)
    return np.asarray(data.X.sum(axis=1)).ravel().round().astype(int).tolist()


data = anndata.AnnData(sp.csr_matrix(binary))
sc.pp.calculate_qc_metrics(data, percent_top=None, inplace=True)
assert data.obs["total_counts"].tolist() == open_peaks
for kind in (sp.csr_matrix, sp.csr_array, sp.csc_matrix):
    for dtype in ("bool", "uint8", "float32"):
        with_target, without = totals(kind, dtype, target_sum=1e4), totals(kind, dtype)
        print(f"{kind.__name__} {dtype}: target_sum=1e4 {with_target}, by default {without}")
        if dtype == "bool":
            assert with_target == [10_000 * n for n in open_peaks], "this changed"
            assert without == open_peaks, "this changed"
        else:
            assert with_target == [10_000] * 4 and without == [30] * 4
try:
    totals(np.asarray, "bool")
except TypeError as error:
    print("dense bool:", type(error).__name__)
else:
    raise SystemExit("this changed: a dense matrix of booleans is taken")
PY
