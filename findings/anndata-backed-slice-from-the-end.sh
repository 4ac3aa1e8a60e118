#!/usr/bin/env bash
# anndata 0.13.4 (0.12.19 alike) with h5py 3.16.0 and scipy 1.18.1, a slice of a file that is opened with backed="r" and has a
# sparse X, Python 3.12 or later (PYTHON names one): where both ends of the slice are counted from the end, the row pointers, of
# which there is one more than rows, are sliced by the same negative numbers. So X is that of the cells one further down, beside
# the names of the right ones. With one end counted from the end it raises, and a slice with step -1 loses a row.
# Expected: the same rows as of the same table in memory, as a slice of a dense X in the same kind of file gives them.
# Seen, 20 cells of which each has its number, 0 to 19, as count: [-8:-2] is c12 to c17 with 13 to 18, by to_memory() and by .X,
# and alike of genes in a csc; [-5:] and [:-3] raise a ValueError of the "index pointer size"; of [::-1] .X has 19 rows beside
# 20 names. Of all 171 slices [-i:-j] of two cells or more 18 raise, those with j = 1, and 153 give a table, none of them the
# right one; [12:18] is right. No warning. No report of it was found; in 2019 issues 118 and 276 told of errors with such
# slices, in older code.
set -euo pipefail
for python in "${PYTHON:-python3}" python3.12 python3.13 python3.14 "$HOME"/.pyenv/versions/3.1[2-9]*/bin/python none; do
  if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then break; fi
done
[[ "$python" != none ]] || { echo "Python 3.12 or later is needed: PYTHON=/path/to/python $0"; exit 1; }
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/env"
"$folder/env/bin/pip" install -q anndata==0.13.4 h5py==3.16.0 zarr==3.4.2 numpy==2.5.5 pandas==3.1.1 scipy==1.18.1
cd "$folder"
env/bin/python -W ignore - <<'PY'
import anndata
import numpy as np
import scipy.sparse

n = 20
cells = np.repeat(np.arange(n), 3).reshape(n, 3)  # cell i has the count i of each of three genes


def stored(name, matrix):
    data = anndata.AnnData(matrix)
    data.obs_names = [f"c{i}" for i in range(data.n_obs)]
    data.write_h5ad(name)
    return anndata.read_h5ad(name, backed="r")


sparse, dense = stored("sparse.h5ad", scipy.sparse.csr_matrix(cells)), stored("dense.h5ad", cells)
columns = stored("columns.h5ad", scipy.sparse.csc_matrix(cells.T))

part = sparse[-8:-2].to_memory()
print("[-8:-2]:", *part.obs_names, "have", part.X.toarray()[:, 0])
assert list(part.obs_names) == [f"c{i}" for i in range(12, 18)]
assert part.X.toarray()[:, 0].tolist() == list(range(13, 19)), "this changed: the cells have their own rows"
assert sparse[-8:-2].X.toarray()[:, 0].tolist() == list(range(13, 19)), "this changed"
assert columns[:, -8:-2].to_memory().X.toarray()[0].tolist() == list(range(13, 19)), "this changed: genes"
assert sparse[12:18].to_memory().X.toarray()[:, 0].tolist() == list(range(12, 18))
assert dense[-8:-2].to_memory().X[:, 0].tolist() == list(range(12, 18))

for ends in (slice(-5, None), slice(None, -3)):
    try:
        sparse[ends].to_memory()
    except ValueError as error:
        print(ends, "raises:", str(error)[:18])
        assert "index pointer size" in str(error)
    else:
        raise SystemExit("this changed: no error")
turned = sparse[::-1]
print(f"[::-1]: {turned.n_obs} names, {turned.X.shape[0]} rows")
assert (turned.n_obs, turned.X.shape[0]) == (20, 19), "this changed"

answers = right = raised = 0
for i in range(3, n + 1):
    for j in range(1, i - 1):
        try:
            found = sparse[-i:-j].to_memory().X.toarray()[:, 0]
        except (ValueError, IndexError):
            raised += 1
            continue
        answers += 1
        right += found.tolist() == list(range(n - i, n - j))
print(f"{answers + raised} slices [-i:-j] of two cells or more: {raised} raise, {answers} give a table, {right} of them the right one")
assert (raised, answers, right) == (18, 153, 0), "this changed"
PY
