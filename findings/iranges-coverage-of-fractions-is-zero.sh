#!/usr/bin/env bash
# iranges 0.7.3, IRanges.coverage(weight=...), Python 3.11 to 3.13 (PYTHON names one): weights are turned into whole numbers before
# they are added up, and the decimals are cut off. A read that maps to two places and counts a half at each counts nothing, and
# a fragment with a weight of 1.9 as much as one with 1. Bioconductor's coverage, of which the package is a port, takes
# numbers with decimals as they are ("weight" may be numeric there) and returns such.
# Expected: "compute weighted coverage": the weights of the ranges over each base, added up; or an error for a float.
# Seen: two ranges of 0.5 that overlap cover 0 everywhere, the answer has the type float64, and there is no warning. Of 1,000
# ranges with random weights of 0 to 2 the sum over all bases is half of the right one; ten times the weights get 95%.
set -euo pipefail
for python in "${PYTHON:-python3}" python3.11 python3.12 python3.13 "$HOME"/.pyenv/versions/3.1[123]*/bin/python none; do
  if "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then break; fi
done
[[ "$python" != none ]] || { echo "Python 3.11 to 3.13 is needed: PYTHON=/path/to/python $0"; exit 1; }
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/env"
"$folder/env/bin/pip" install -q iranges==0.7.3 biocframe==0.8.1 biocutils==0.5.0 numpy==2.4.6
cd "$folder"
env/bin/python -W error - <<'PY'
import numpy as np
from iranges import IRanges

pair = IRanges([1, 2], [3, 3])
for weight in (1, 2, 0.5, np.array([0.5, 1.9])):
    found = pair.coverage(weight=weight)
    print(f"1-3 and 2-4, weight {weight}: {found.tolist()}, {found.dtype}")
assert pair.coverage(weight=2).tolist() == [2, 4, 4, 2]
assert pair.coverage(weight=0.5).tolist() == [0, 0, 0, 0], "this changed"
assert pair.coverage(weight=np.array([0.5, 1.9])).tolist() == [0, 1, 1, 1], "this changed"
assert pair.coverage(weight=0.5).dtype == np.float64

rng = np.random.default_rng(0)
starts, widths, weights = rng.integers(1, 100_000, 1000), rng.integers(20, 200, 1000), rng.uniform(0, 2, 1000)
for factor, low, high in ((1, 0.45, 0.55), (10, 0.94, 0.96)):
    right = np.zeros(100_201)
    for start, width, weight in zip(starts, widths, weights * factor, strict=True):
        right[start - 1 : start - 1 + width] += weight
    share = IRanges(starts, widths).coverage(weight=weights * factor).sum() / right.sum()
    print(f"1,000 ranges, weights of 0 to {2 * factor}: {share:.1%} of the coverage")
    assert low < share < high, "this changed"
PY
