#!/usr/bin/env bash
# muon 0.2.0, mofapy2 0.7.5, tl.mofa(use_obs="union", use_layer=...), Python 3.12 or later (PYTHON names one): to lay the
# cells of all modalities into one table it takes each modality's X again, so the layer that was asked for is read and
# thrown away. `uns["mofa"]["params"]` still names the layer.
# Expected: factors of the layer. One factor stands in the layer "signal" of both modalities, and X is noise.
# Seen, with ATAC of 50 of the 60 cells: the factor is not found, and the model is the one of X, number for number. With
# all 60 cells in both, when there is nothing to unite, it is found (correlation above 0.99).
set -euo pipefail
for python in "${PYTHON:-python3}" python3.14 python3.13 python3.12 "$HOME"/.pyenv/versions/3.1[2-9]*/bin/python none; do
  if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then break; fi
done
[[ "$python" != none ]] || { echo "Python 3.12 or later is needed: PYTHON=/path/to/python $0"; exit 1; }
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/env"
"$folder/env/bin/pip" install -q muon==0.2.0 mudata==0.4.1 anndata==0.13.4 scanpy==1.12.4 mofapy2==0.7.5
cd "$folder"
cat >fit.py <<'PY'
import anndata
import mudata
import muon
import numpy as np

rng = np.random.default_rng(0)
n = 60
factor = rng.normal(size=n)
parts = {}
for name, width in (("rna", 20), ("atac", 15)):
    signal = np.outer(factor, rng.normal(size=width)) + 0.1 * rng.normal(size=(n, width))
    parts[name] = anndata.AnnData(rng.normal(size=(n, width)), layers={"signal": signal})
    parts[name].obs_names = [f"cell{i}" for i in range(n)]
    parts[name].var_names = [f"{name}{i}" for i in range(width)]


def factors(shared, **options):
    data = mudata.MuData({"rna": parts["rna"].copy(), "atac": parts["atac"][:shared].copy()})
    muon.tl.mofa(data, use_obs="union", use_var=None, n_factors=2, n_iterations=30, outfile="model.hdf5", **options)
    return data.obsm["X_mofa"], data.uns["mofa"]["params"]["data"]["use_layer"]


def best(found):
    return max(abs(np.corrcoef(found[:, k], factor)[0, 1]) for k in range(found.shape[1]))


every, _ = factors(n, use_layer="signal")
union, named = factors(50, use_layer="signal")
plain, _ = factors(50)
print(f"RESULT all cells {best(every):.3f}, union of the layer '{named}' {best(union):.3f}, union of X {best(plain):.3f}")
assert named == "signal"
assert best(every) > 0.99
assert best(union) < 0.6, "this changed: the layer is used with use_obs='union'"
assert np.array_equal(union, plain), "this changed: the model is not the one of X"
PY
env/bin/python -W ignore fit.py >log 2>&1 || { cat log; exit 1; }
grep RESULT log
