#!/usr/bin/env bash
# muon 0.2.0 (anndata 0.13.4, mudata 0.4.1), atac.pp.binarize, Python 3.12 or later (PYTHON names one): of a view with a sparse
# X, that is of a table that was subset and not copied, nothing is changed. A view makes its X anew each time it is asked for;
# the ones are written into that one, which is then gone. tfidf beside it makes the view a table of its own first, and a dense X
# is set.
# Expected: "Transform peak counts to the binary matrix (all the non-zero values become 1)", as without the subset or with a
# dense X.
# Seen: of counts up to 5, after filtering cells by a mask, the same counts, 0 of the 1,000 cells binary, in an AnnData and in
# the modality of a MuData alike; with .copy(), or dense, all are ones. What is computed of them next, as TF-IDF, is of counts.
# No error, no warning. No report of it was found.
set -euo pipefail
for python in "${PYTHON:-python3}" python3.14 python3.13 python3.12 "$HOME"/.pyenv/versions/3.1[2-9]*/bin/python none; do
  if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then break; fi
done
[[ "$python" != none ]] || { echo "Python 3.12 or later is needed: PYTHON=/path/to/python $0"; exit 1; }
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/env"
"$folder/env/bin/pip" install -q muon==0.2.0 mudata==0.4.1 anndata==0.13.4 scanpy==1.12.4 numpy==2.5.5 pandas==3.1.1 scipy==1.18.1
cd "$folder"
env/bin/python -W ignore - 2>log <<'PY' || { tail -n 3 log; exit 1; }
import anndata
import muon
import numpy as np
import scipy.sparse as sp

rng = np.random.default_rng(0)
counts = sp.csr_matrix(rng.poisson(0.7, (2000, 50)).astype("float32"))
passed = np.arange(2000) % 2 == 0


def largest(data):
    """The largest count of each cell."""
    return (data.X.toarray() if sp.issparse(data.X) else np.asarray(data.X)).max(axis=1)


def binarized(data):
    muon.atac.pp.binarize(data)
    largest_count = largest(data["atac"] if isinstance(data, muon.MuData) else data)
    return int(((largest_count <= 1)).sum())


def table(matrix=counts):
    return anndata.AnnData(matrix.copy())


before = int((largest(table()[passed]) <= 1).sum())
both = muon.MuData({"atac": table(), "rna": table()})
found = {
    "copy": binarized(table()[passed].copy()),
    "dense view": binarized(table(counts.toarray())[passed]),
    "view": binarized(table()[passed]),
    "view of a MuData": binarized(both[passed]),
}
print(f"of 1,000 cells {before} have no count above 1; after binarize:", found)
assert found["copy"] == found["dense view"] == 1000
assert before < 100
assert found["view"] == before, "this changed"
assert found["view of a MuData"] == before, "this changed"
PY
