#!/usr/bin/env bash
# SciPy 1.17.1: sum(axis=0, dtype="float64") of a float32 sparse matrix adds up in float32 and turns only the result into
# float64. A column of 20,000,000 ones gives 16,777,216. (sum() of everything, mean(axis=0) and NumPy's sum are right.)
# It is what one writes for the total counts of a gene or the depth of a region: AnnData keeps counts as float32.
# Expected: 20,000,000, as numpy.sum(dtype="float64") of the same values.
# Seen: 16,777,216, where a sum in float32 stops growing, as a float64.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q "scipy==1.17.1" "numpy==2.4.6"
"$folder/env/bin/python" - <<'PY'
import numpy as np
import scipy
import scipy.sparse as sp

n = 20_000_000
dense = np.ones((n, 1), dtype="float32")
for kind in (sp.csr_matrix, sp.csr_array):
    counts = kind(dense)
    columns = np.asarray(counts.sum(axis=0, dtype="float64")).ravel()
    print(f"scipy {scipy.__version__}, {kind.__name__}: sum(axis=0, dtype='float64') {columns[0]:,.0f} ({columns.dtype})")
    assert columns.dtype == np.float64
    assert columns[0] == 2**24, "added up in float64 now"
    assert counts.sum(dtype="float64") == n
    assert np.asarray(counts.mean(axis=0, dtype="float64")).ravel()[0] == 1
assert dense.sum(axis=0, dtype="float64")[0] == n
PY
