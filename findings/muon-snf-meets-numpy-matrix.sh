#!/usr/bin/env bash
# muon 0.1.9 with NumPy 2.4.6 and scanpy 1.11.5, tl.snf (similarity network fusion), Python 3.11: it turns the distances
# that sc.pp.neighbors wrote, which are sparse, into a numpy.matrix, whose sums keep two dimensions, and hands those to
# np.add.outer. NumPy 2.4 refuses a matrix there; NumPy 2.2 stops one line later, since the outer sum has four.
# Expected: the fused graph of two modalities with neighbours of their own, as the docstring says.
# Seen: TypeError "add.outer() was passed a numpy matrix", whatever the data. With the same distances as a dense array in
# .obsp the same call writes a graph of 20 neighbours a cell.
set -euo pipefail
for python in "${PYTHON:-python3}" python3.11 "$HOME"/.pyenv/versions/3.11*/bin/python none; do
  if "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then break; fi
done
[[ "$python" != none ]] || { echo "Python 3.11 is needed: PYTHON=/path/to/python $0"; exit 1; }
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/env"
"$folder/env/bin/pip" install -q muon==0.1.9 mudata==0.3.10 anndata==0.12.19 scanpy==1.11.5 numpy==2.4.6 scipy==1.17.1 pandas==2.3.3
cd "$folder"
env/bin/python -W ignore - 2>log <<'PY' || { tail -n 3 log; exit 1; }
import anndata
import mudata
import muon
import numpy as np
import scanpy as sc

rng = np.random.default_rng(0)
kind = rng.integers(0, 3, 150)


def modality(n):
    data = anndata.AnnData((3 * rng.normal(size=(3, n))[kind] + rng.normal(size=(150, n))).astype("float32"))
    sc.pp.pca(data, n_comps=10)
    sc.pp.neighbors(data, n_neighbors=15)
    return data


def fused(dense):
    data = mudata.MuData({name: adata.copy() for name, adata in mods.items()})
    if dense:
        for adata in data.mod.values():
            adata.obsp["distances"] = adata.obsp["distances"].toarray()
    try:
        muon.tl.snf(data)
    except TypeError as error:
        return f"TypeError: {str(error).split(' as ')[0]}"
    graph = data.obsp["connectivities"]
    return f"{graph.shape}, {int(np.diff(graph.indptr).max())} neighbours at most"


mods = {"a": modality(20), "b": modality(30)}
sparse, dense = fused(False), fused(True)
print("distances as scanpy writes them:", sparse)
print("the same as dense arrays:", dense)
assert sparse == "TypeError: add.outer() was passed a numpy matrix", "this changed"
assert dense.startswith("(150, 150), ")
PY
