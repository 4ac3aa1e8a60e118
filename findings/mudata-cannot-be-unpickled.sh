#!/usr/bin/env bash
# mudata 0.4.1 with anndata 0.13.4, Python 3.12 or later (PYTHON names one): a MuData is pickled without a word and
# cannot be unpickled, so it cannot be sent to a dask, joblib or multiprocessing worker, and what was kept so is lost.
# Expected: pickle.loads(pickle.dumps(mdata)) gives the same data, as it does for AnnData, or pickling says that it
# cannot be done.
# Seen: dumps ends well, loads raises "cannot create weak reference to 'NoneType' object": the file manager of a MuData
# refers to an empty AnnData that nothing holds. copy.deepcopy fails alike; MuData.copy() is all right.
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
import copy
import pickle

import anndata
import mudata
import numpy as np

cells = anndata.AnnData(np.ones((3, 2), dtype="float32"))
assert (pickle.loads(pickle.dumps(cells)).X == cells.X).all()  # AnnData goes there and back
mdata = mudata.MuData({"rna": cells})
assert mdata.copy().shape == (3, 2)
kept = pickle.dumps(mdata)
for name, step in {"pickle.loads": lambda: pickle.loads(kept), "copy.deepcopy": lambda: copy.deepcopy(mdata)}.items():
    try:
        step()
    except TypeError as error:
        print(f"{name}: {error}")
        assert "weak reference" in str(error)
    else:
        raise AssertionError(f"this changed: {name} gives the MuData back")
PY
