#!/usr/bin/env bash
# SciPy 1.17.1: asking a sparse matrix for its sum() changes the matrix. Where an entry is stored several times (one
# read, one entry: what one gets by handing barcodes and bins to coo_array), sum() adds them up in place, in the dtype
# of the entries, so that sum(axis=0) gives other counts after it than before it.
# Expected: reading a total alters nothing, and is the sum of the totals of the columns, which are added up as uint64.
# Seen: 300 reads of one cell in one bin as uint8 have a column sum of 300, then a sum() of 44, then a column sum of 44;
# as bool 300, 1, 1. The same for COO, CSR and CSC. As uint16 all three are 300. mean() gives 300 and changes nothing.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q "scipy==1.17.1" "numpy==2.4.6"
"$folder/env/bin/python" - <<'PY'
import numpy as np
import scipy.sparse as sp

READS = 300
zeros = np.zeros(READS, dtype="int32")


def counts(kind, dtype):
    """A matrix of one cell and one bin with an entry for each of 300 reads."""
    made = sp.coo_array((np.ones(READS, dtype), (zeros, zeros)), shape=(1, 1))
    if kind is sp.coo_array:
        return made
    return kind((np.ones(READS, dtype), zeros, np.array([0, READS])), shape=(1, 1))


for dtype, wrong in (("uint8", READS % 256), ("bool", 1), ("uint16", READS)):
    for kind in (sp.coo_array, sp.csr_array, sp.csc_array):
        matrix = counts(kind, dtype)
        before, stored, mean = int(matrix.sum(axis=0)[0]), matrix.nnz, float(matrix.mean())
        total, after = int(matrix.sum()), int(matrix.sum(axis=0)[0])
        print(f"{kind.__name__} {dtype}: column {before}, sum() {total}, column {after}, entries {stored} -> {matrix.nnz}")
        assert (before, mean, stored) == (READS, READS, READS)
        assert (total, after, matrix.nnz) == (wrong, wrong, 1), "this changed"
PY
