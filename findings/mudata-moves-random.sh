#!/usr/bin/env bash
# mudata 0.4.1 with anndata 0.13.4, Python 3.12 or later (PYTHON names one): making, reading, or copying a MuData draws
# from Python's global `random` (it names columns for a moment with random letters), so a seeded script that reads or
# copies one more object gets other cells from random.sample, and a shuffle elsewhere another order.
# Expected: random.seed(0) and then random.sample give the same cells, whatever data are read in between.
# Seen: other cells after MuData(), read_h5mu() and copy(); the same after a view, update() and write_h5mu(), and always
# for AnnData.
set -euo pipefail
for python in "${PYTHON:-python3}" python3.14 python3.13 python3.12 "$HOME"/.pyenv/versions/3.1[2-9]*/bin/python none; do
  if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then break; fi
done
[[ "$python" != none ]] || { echo "Python 3.12 or later is needed: PYTHON=/path/to/python $0"; exit 1; }
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/env"
"$folder/env/bin/pip" install -q mudata==0.4.1 anndata==0.13.4 h5py==3.16.0
cd "$folder"
env/bin/python -W ignore - <<'PY'
import random

import anndata
import mudata
import numpy as np

parts = {}
for name in ("rna", "atac"):
    parts[name] = anndata.AnnData(np.ones((5, 2), dtype="float32"))
    parts[name].var_names = [f"{name}1", f"{name}2"]
made = mudata.MuData(parts)
made.write_h5mu("made.h5mu")


def drawn(step):
    random.seed(0)
    step()
    return random.sample(range(1000), 4)


nothing = drawn(lambda: None)
moves = {
    "MuData()": lambda: mudata.MuData(parts),
    "read_h5mu()": lambda: mudata.read_h5mu("made.h5mu"),
    "copy()": made.copy,
}
keeps = {
    "a view": lambda: made[:3],
    "update()": made.update,
    "write_h5mu()": lambda: made.write_h5mu("made.h5mu"),
    "AnnData.copy()": parts["rna"].copy,
}
print("nothing in between:", nothing)
for name, step in moves.items():
    print(f"{name}: {drawn(step)}")
    assert drawn(step) != nothing, f"this changed: {name} leaves random alone"
for name, step in keeps.items():
    assert drawn(step) == nothing, f"this changed: {name} moves random"
PY
