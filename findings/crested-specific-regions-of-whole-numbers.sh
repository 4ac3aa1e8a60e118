#!/usr/bin/env bash
# CREsted 1.11.0, pp.sort_and_filter_regions_on_specificity and pp.filter_regions_on_specificity, Python 3.12 or 3.13 (PYTHON
# names one): scores are kept in the type of the matrix. Where it holds whole numbers, as import_beds of the same
# package gives them and as counts are, each Gini score, which lies between 0 and 1, becomes 0. method="gini" then takes the
# last rows of the table as the most specific ones of every class, and the filter keeps no region. method="proportion",
# the default, divides 0 by 0 in a region that is open nowhere, which float32 is guarded against, and ranks it first.
# Expected: the same regions, whether the matrix is int64 or float32.
# Seen, three classes with ten regions of their own and ten that no class has: float32 gives each its own ten; int64 gives all
# three the ten empty regions by either method, with a score of 0 and of NaN, and 0 regions for the filter in place of 30.
# NumPy warns of the division in the second; the first is silent.
set -euo pipefail
for python in "${PYTHON:-python3}" python3.13 python3.12 "$HOME"/.pyenv/versions/3.1[23]*/bin/python none; do
  if "$python" -c 'import sys; sys.exit(not (3, 12) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then break; fi
done
[[ "$python" != none ]] || { echo "Python 3.12 or 3.13 is needed: PYTHON=/path/to/python $0"; exit 1; }
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/env"
"$folder/env/bin/pip" install -q --no-deps crested==1.11.0  # without Keras, which its preprocessing does not import
"$folder/env/bin/pip" install -q anndata==0.13.4 numpy==2.4.6 scipy==1.17.1 pandas==2.3.3 pybigtools==0.3.0 pysam==0.24.1 \
  loguru==0.7.3 pooch==1.9.0 tqdm==4.70.1
cd "$folder"
env/bin/python -W ignore - 2>log <<'PY' || { tail -n 3 log; exit 1; }
import os

import crested

CLASSES, EACH = ("a", "b", "c"), 10
places = [f"chr1\t{1000 * i}\t{1000 * i + 500}\n" for i in range(EACH * 4)]
os.mkdir("beds")
for i, name in enumerate(CLASSES):
    with open(f"beds/{name}.bed", "w") as file:
        file.writelines(places[EACH * i : EACH * (i + 1)])
with open("regions.bed", "w") as file:
    file.writelines(places)  # the last ten are open in no class
made = crested.import_beds("beds", "regions.bed", remove_empty_regions=False)
assert made.shape == (3, 40) and made.X.sum() == 30
print("import_beds gives", made.X.dtype)
assert made.X.dtype.kind == "i"

for dtype in ("float32", "int64"):
    data = made.copy()
    data.X = made.X.astype(dtype)
    for method in ("gini", "proportion"):
        chosen = crested.pp.sort_and_filter_regions_on_specificity(data, top_k=EACH, method=method, inplace=False)
        assert chosen.var["rank"].tolist() == list(range(1, EACH + 1)) * 3
        starts, names, scores = chosen.var["start"].to_numpy() // 1000, chosen.var["Class name"], chosen.var[f"{method}_score"]
        own = [int((starts[names == name] // EACH == i).sum()) for i, name in enumerate(CLASSES)]
        empty = [int((starts[names == name] >= 3 * EACH).sum()) for name in CLASSES]
        print(f"{dtype}, {method}: own regions {own}, regions open nowhere {empty}, scores {sorted(set(scores.round(2).astype(str)))}")
        if dtype == "float32":
            assert own == [EACH] * 3
        else:
            assert (own, empty) == ([0] * 3, [EACH] * 3), "this changed"
            assert (scores == 0).all() if method == "gini" else scores.isna().all(), "this changed"
    kept = crested.pp.filter_regions_on_specificity(data, gini_std_threshold=0.0, inplace=False).n_vars
    print(f"{dtype}, filter: {kept} regions")
    assert kept == (30 if dtype == "float32" else 0), "this changed"
PY
