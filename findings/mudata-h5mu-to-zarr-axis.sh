#!/usr/bin/env bash
# mudata 0.4.1 with anndata 0.13.4, h5py 3.16.0 and zarr 3.4.2, Python 3.12 or later (PYTHON names one).
# Behaviour: a MuData that was read from a .h5mu cannot be written to Zarr. `axis` comes back from HDF5 as a numpy.int64,
# is handed to Zarr's attributes as it is, and Zarr, whose attributes are JSON, raises TypeError.
# Expected: the same object, made in memory or read from a file, is written. Made in memory it is.
# Seen: "made in memory: written", "axis: int64", "read from .h5mu: TypeError Object of type int64 is not JSON serializable".
set -euo pipefail

for python in "${PYTHON:-python3}" python3.14 python3.13 python3.12 "$HOME"/.pyenv/versions/3.1[2-9]*/bin/python none; do
  if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then break; fi
done
[[ "$python" != none ]] || { echo "Python 3.12 or later is needed: PYTHON=/path/to/python $0"; exit 1; }
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/env"
"$folder/env/bin/pip" install -q mudata==0.4.1 anndata==0.13.4 h5py==3.16.0 zarr==3.4.2
cd "$folder"
env/bin/python -W ignore - <<'PY'
import anndata
import mudata
import numpy as np

rna, atac = (anndata.AnnData(np.ones((3, n), dtype="float32")) for n in (2, 4))
rna.var_names, atac.var_names = ["g1", "g2"], ["r1", "r2", "r3", "r4"]
made = mudata.MuData({"rna": rna, "atac": atac})
made.write_zarr("made.zarr")
print("made in memory: written")
made.write_h5mu("made.h5mu")
again = mudata.read_h5mu("made.h5mu")
print("axis:", type(again.axis).__name__)
assert isinstance(again.axis, np.int64)
try:
    again.write_zarr("again.zarr")
except TypeError as error:
    print("read from .h5mu: TypeError", error)
    assert "int64" in str(error)
else:
    raise SystemExit("read from .h5mu: written; the behaviour has changed")
PY
