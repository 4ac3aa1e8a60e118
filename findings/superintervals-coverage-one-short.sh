#!/usr/bin/env bash
# superintervals 1.0.3, IntervalMap.coverage: ends are inclusive everywhere in it, as its text says and as its counts and
# gaps take them, but the length of an overlap is end minus start, one base short for each interval. So cut sites, 5' ends
# and CpGs, which are one base each, cover nothing.
# Expected: the interval 1 to 5 covers 5 bases of 1 to 5, and a cut site at 7 one base of 1 to 10.
# Seen: (1, 4) and (1, 0): counted, and 4 and 0 bases. Of 1,000 random cut sites the coverage is 0, of 1,000 reads of 30
# bases it is 29,000. The text of search_idxs does not say either that its indices are those after sorting by start:
# read as rows of the arrays that the map was made from, they name other intervals, with no error; search_values is right.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q superintervals==1.0.3 numpy==2.4.6
"$folder/env/bin/python" -W ignore - <<'PY'
import numpy as np
from superintervals import IntervalMap


def made(starts, ends):
    return IntervalMap.from_arrays(np.asarray(starts, "int32"), np.asarray(ends, "int32"), list(range(len(starts))))


span = made([1, 10], [5, 15])
gaps = [(int(start), int(end)) for start, end, _ in span.gaps(1, 15).search_items(1, 15) if start > 5]
print("1-5 and 10-15: overlaps at 5", span.count(5, 5), ", gap", gaps[0], ", coverage of 1-5", span.coverage(1, 5))
assert span.count(5, 5) == 1 and gaps[0] == (6, 9)  # ends are inclusive
assert span.coverage(1, 5) == (1, 4), "this changed"
assert made([7], [7]).coverage(1, 10) == (1, 0), "this changed"

rng = np.random.default_rng(0)
starts = rng.integers(0, 100_000, 1000)
for width, seen in ((1, 0), (30, 29_000)):
    count, bases = made(starts, starts + width - 1).coverage(-10, 200_000)
    print(f"{count} intervals of {width} bases: coverage {bases}, by hand {1000 * width}")
    assert (count, bases) == (1000, seen), "this changed"

table = made([500, 100, 900], [510, 110, 910])
print("500-510 is row 0 of the arrays: search_values", table.search_values(505, 505), ", search_idxs", table.search_idxs(505, 505))
assert table.search_values(505, 505) == [0]
assert table.search_idxs(505, 505) == [1], "this changed"
PY
