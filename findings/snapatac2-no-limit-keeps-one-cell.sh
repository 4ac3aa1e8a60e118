#!/usr/bin/env bash
# snapatac2 2.10.0, pp.filter_cells, Python 3.12 or later (PYTHON names one): where no limit is left, all cells but the first
# are thrown away. The mask begins as the single value True, limits that are None or 0 are passed over, and True as it is has
# one place, 0, which is taken for the list of cells to keep.
# Expected: "Use None to disable" each of the limits, so with all of them None, or minima of 0, every cell is kept.
# Seen: 1 of 500 cells, the first, in the table itself, which is subset in place by default, and [0] with inplace=False. With
# min_counts=1, below all cells, or with max_counts=10**9 all 500 are kept. And max_counts=0, which no cell that has fragments
# passes, is no limit either. A loop over thresholds that begins at 0 is enough. No error, no warning. No report of it was
# found.
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
import pandas as pd
import snapatac2

rng = np.random.default_rng(0)
cells = pd.DataFrame({"n_fragment": rng.integers(1, 20_000, 500), "tsse": rng.uniform(1, 20, 500)})
cells.index = [f"c{i}" for i in range(500)]


def kept(**limits):
    data = anndata.AnnData(np.ones((500, 3), "float32"), obs=cells.copy())
    listed = snapatac2.pp.filter_cells(data, inplace=False, **limits)
    snapatac2.pp.filter_cells(data, **limits)
    assert list(data.obs_names) == list(cells.index[listed])
    print(limits, ":", data.n_obs, "cells")
    return list(data.obs_names)


assert len(kept(min_counts=1, min_tsse=None)) == 500
assert len(kept(min_counts=0, min_tsse=0, max_counts=10**9)) == 500
assert len(kept(min_counts=1000, min_tsse=5)) == ((cells["n_fragment"] >= 1000) & (cells["tsse"] >= 5)).sum()
assert kept(min_counts=None, min_tsse=None) == ["c0"], "this changed"
assert kept(min_counts=0, min_tsse=0) == ["c0"], "this changed"
assert len(kept(min_counts=1, min_tsse=None, max_counts=0)) == 500, "this changed"
PY
