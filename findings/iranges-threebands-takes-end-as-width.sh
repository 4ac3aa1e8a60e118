#!/usr/bin/env bash
# iranges 0.7.3, IRanges.threebands(start, end) and overlap_indices(start, end), Python 3.11 to 3.13 (PYTHON names one). threebands
# hands its arguments on by place to narrow, which takes start, width, end: the end of the middle band is taken as its width, and
# its width as its end. overlap_indices ("indices that overlap with the given range") keeps what begins right of the start or
# ends left of the end, which all ranges do but those that reach past both ends, the ones that cover the given range most.
# Expected: of 1-10, threebands(start=2, end=4) is 1-1, 2-4, 5-10, as its own narrow(start=2, end=4) has the middle; and 5-10
# overlaps 1-20 and 6-7 of the ranges 1-20, 6-7, 100-109.
# Seen: 1-1, 2-5, 6-10; and 6-7 and 100-109. Of 1,000 random ranges 998 or more "overlap" 5,000-5,100 of 100,000; no warning.
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


def ends(ranges):
    return list(zip(ranges.get_start().tolist(), ranges.get_end().tolist(), strict=True))


ten = IRanges([1], [10])
bands = {name: ends(band) for name, band in ten.threebands(start=2, end=4).items()}
print("threebands(start=2, end=4) of 1-10:", bands, "; narrow:", ends(ten.narrow(start=2, end=4)))
assert ends(ten.narrow(start=2, end=4)) == [(2, 4)]
assert bands == {"left": [(1, 1)], "middle": [(2, 5)], "right": [(6, 10)]}, "this changed"
middle = ends(ten.threebands(start=2, width=4)["middle"])
print("threebands(start=2, width=4) of 1-10, the middle:", middle, "; narrow:", ends(ten.narrow(start=2, width=4)))
assert ends(ten.narrow(start=2, width=4)) == [(2, 5)]
assert middle == [(2, 4)], "this changed"

three = IRanges([1, 6, 100], [20, 2, 10])
print("1-20, 6-7, 100-109 that overlap 5-10: number", three.overlap_indices(start=5, end=10).tolist())
assert three.find_overlaps(IRanges([5], [6])).get_column("self_hits").tolist() == [0, 1]
assert three.overlap_indices(start=5, end=10).tolist() == [1, 2], "this changed"

rng = np.random.default_rng(0)
many = IRanges(rng.integers(1, 100_000, 1000), rng.integers(20, 200, 1000))
by_search = len(many.find_overlaps(IRanges([5000], [101])))
found = len(many.overlap_indices(start=5000, end=5100))
print(f"1,000 ranges and 5,000-5,100: {found} by overlap_indices, {by_search} by find_overlaps")
assert by_search < 10
assert found >= 998, "this changed"
PY
