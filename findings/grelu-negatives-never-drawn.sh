#!/usr/bin/env bash
# gReLU 1.1.0, data.preprocess.filter_coverage(negative_frac=...), Python 3.11 to 3.13 (PYTHON names one): the regions below the
# cutoff that are to be kept beside those above are never kept. They are looked for only where fewer regions pass than there are
# cells (rows), not regions (columns), so for a table of cell types by peaks the argument is passed over and the model is
# trained on open regions alone; where fewer pass than there are rows, the call ends in an error.
# Expected: with 100 of 1,000 regions above the cutoff and negative_frac=0.5, 150 regions; with 1, 200.
# Seen: 100 for each, by "cutoff" and by "top", with 5 or 50 cell types; a ValueError with 200. No error, no warning before.
set -euo pipefail
for python in "${PYTHON:-python3}" python3.11 python3.12 python3.13 "$HOME"/.pyenv/versions/3.1[123]*/bin/python none; do
  if "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then break; fi
done
[[ "$python" != none ]] || { echo "Python 3.11 to 3.13 is needed: PYTHON=/path/to/python $0"; exit 1; }
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/env"
"$folder/env/bin/pip" install -q --no-deps grelu==1.1.0 2>/dev/null  # without training, for the table alone
"$folder/env/bin/pip" install -q torch==2.13.0 anndata==0.12.19 bioframe==0.8.0 numpy==2.4.6 pandas==2.3.3 2>"$folder/log" || {
  tail -n 3 "$folder/log"; exit 1; }
cd "$folder"
env/bin/python -W ignore - 2>log <<'PY' || { tail -n 3 log; exit 1; }
import contextlib
import io

import anndata
import numpy as np
from grelu.data.preprocess import filter_coverage

REGIONS, OPEN = 1000, 100
rng = np.random.default_rng(0)


def kept(types, **options):
    """The regions that are kept: how many with much coverage, and how many with little."""
    high = rng.permutation(REGIONS) < OPEN
    table = anndata.AnnData(np.where(high, rng.uniform(5, 9, (types, REGIONS)), rng.uniform(0, 1, (types, REGIONS))).astype("float32"))
    table.var["high"] = high
    with contextlib.redirect_stdout(io.StringIO()):
        names = filter_coverage(table, **options).var
    return int(names["high"].sum()), int((~names["high"]).sum())


for types in (5, 50):
    assert kept(types, method="cutoff", cutoff=3) == (OPEN, 0)  # without negatives, as it should be
    for how in ({"method": "cutoff", "cutoff": 3}, {"method": "top", "cutoff": OPEN}):
        for share in (0.5, 1):
            seen = kept(types, negative_frac=share, **how)
            print(f"{types} types, {how['method']}, negative_frac={share}: {seen[0]} regions above, {seen[1]} below; "
                  f"asked for {int(share * OPEN)} of {REGIONS - OPEN}")
            assert seen == (OPEN, 0), "this changed"
try:
    seen = kept(200, method="cutoff", cutoff=3, negative_frac=1)
except ValueError as error:
    print("200 types:", error)
else:
    raise AssertionError(f"this changed: {seen}")
PY
