#!/usr/bin/env bash
# snapatac2 2.10.0, tl.marker_regions, Python 3.12 or later (PYTHON names one): for up to six groups it finds no marker in any data
# at its own threshold, p-value < 0.01. The score of a region is how many standard deviations a group lies from the mean of
# all groups, itself included, and among n numbers none can be more than the square root of n - 1: 2.24 for six, p = 0.0127.
# Expected: regions that are open in all cells of one group and in no cell of the others are markers of that group.
# Seen: of two to six groups with ten such regions each, an empty dict; of seven groups, the ten of each. For two and three
# groups it is empty at 0.05 too, and for two at 0.16: no region can have a p-value below 0.1587. No error, no warning.
set -euo pipefail
for python in "${PYTHON:-python3}" python3.14 python3.13 python3.12 "$HOME"/.pyenv/versions/3.1[2-9]*/bin/python none; do
  if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then break; fi
done
[[ "$python" != none ]] || { echo "Python 3.12 or later is needed: PYTHON=/path/to/python $0"; exit 1; }
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/env"
"$folder/env/bin/pip" install -q --no-deps snapatac2==2.10.0  # without MACS3, which is built from source and not needed here
"$folder/env/bin/pip" install -q pandas==2.3.3 anndata==0.12.19 numpy==2.4.6 polars==1.44.2 pyarrow==24.0.0 \
  "scverse-misc[datasets]==0.1.2" natsort==8.4.0 pooch==1.9.0 rustworkx==0.18.1 tqdm==4.70.1 typeguard==4.6.1
cd "$folder"
env/bin/python -W ignore - 2>log <<'PY' || { tail -n 3 log; exit 1; }
import anndata
import numpy as np
import scipy.sparse as sp
import snapatac2
from scipy.stats import norm

CELLS, EACH = 20, 10


def markers(groups, pvalue):
    """How many of the regions that one group alone has are found, by group."""
    counts = np.kron(np.eye(groups), np.ones((CELLS, EACH))).astype("float32")
    data = anndata.AnnData(sp.csr_matrix(counts))
    data.var_names = [f"chr1:{1000 * i}-{1000 * i + 500}" for i in range(groups * EACH)]
    data.obs["group"] = np.repeat([f"group{i}" for i in range(groups)], CELLS)
    found = snapatac2.tl.marker_regions(data, groupby="group", pvalue=pvalue)
    own = {f"group{i}": list(data.var_names[i * EACH : (i + 1) * EACH]) for i in range(groups)}
    assert all(list(regions) == own[name] for name, regions in found.items())
    return {name: len(regions) for name, regions in found.items()}


for groups in range(2, 9):
    seen = markers(groups, 0.01)
    print(f"{groups} groups: smallest p-value possible {norm.sf(np.sqrt(groups - 1)):.4f}, groups with markers {len(seen)}")
    if groups > 6:
        assert seen == {f"group{i}": EACH for i in range(groups)}
    else:
        assert seen == {}, "this changed"
assert markers(3, 0.05) == markers(2, 0.05) == markers(2, 0.158) == {}, "this changed"
assert len(markers(4, 0.05)) == 4
PY
