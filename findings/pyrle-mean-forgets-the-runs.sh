#!/usr/bin/env bash
# pyrle 0.0.46, Rle.mean() and Rle.std(): the values are added up once for each run and divided by the number of bases. The
# text of mean() says that values are multiplied with their run length, and writes that sum under its example, next to a
# result that is not its value. A coverage of run lengths is what PyRanges' to_rle gives.
# Expected: a coverage of 2 over 1,000 bases has the mean 2 and the deviation 0; runs 1, 2, 1 of 1, 2, 3 have the mean 2.
# Seen: 0.002 and 0.063; 1.5. Of 50 random coverages no mean is right, and the mean of the same coverage falls as its
# runs grow longer, so that broad domains look empty beside sharp peaks.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q pyrle==0.0.46 numpy==2.4.6 pandas==2.3.3 tabulate==0.10.0 natsort==8.4.0
"$folder/env/bin/python" -W ignore - <<'PY'
import numpy as np
from pyrle import Rle

flat = Rle([1000], [2.0])
print("2 over 1,000 bases: mean", flat.mean(), "deviation", round(float(flat.std()), 4))
assert flat.length == 1000
assert flat.mean() == 0.002, "this changed"
assert flat.std() > 0.05, "this changed"
example = Rle([1, 2, 1], [1.0, 2.0, 3.0])
print("the example of its text: mean", example.mean(), "by hand", np.repeat([1, 2, 3], [1, 2, 1]).mean())
assert example.mean() == 1.5, "this changed"

rng = np.random.default_rng(0)
right = 0
for _ in range(50):
    runs, values = rng.integers(1, 30, 20), rng.permutation(20) + 1.0
    bases = np.repeat(values, runs)
    coverage = Rle(runs, values)
    assert np.array_equal(np.repeat(coverage.values, coverage.runs), bases)  # nothing is lost on the way
    right += abs(coverage.mean() - bases.mean()) < 0.01
print("of 50 random coverages", right, "have the mean of their bases")
assert right == 0, "this changed"
PY
