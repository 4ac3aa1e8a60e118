#!/usr/bin/env bash
# polars-bio 0.36.2, merge and cluster, Python 3.11 to 3.13 (PYTHON names one): min_dist is one base short. Intervals join where
# less than min_dist bases lie between them, so with the default, 0, those that touch stay apart, and with 1 only they join.
# Expected: cluster "groups intervals that overlap or are within min_dist of each other", and is "bioframe inspired"; bioframe's
# merge joins what is this far apart or less, and bedtools merge -d has the same number.
# Seen: of 0-100, 100-200 and 210-300 min_dist=0 leaves three intervals and min_dist=10 two, where bioframe has two and one. Of
# 1,600 random cases, in both coordinate systems, all are bioframe's with one less, and 1,308 bioframe's with the same. The
# tiles of a genome stay apart by default. No warning. No report of it was found.
set -euo pipefail
for python in "${PYTHON:-python3}" python3.11 python3.12 python3.13 "$HOME"/.pyenv/versions/3.1[123]*/bin/python none; do
  if "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then break; fi
done
[[ "$python" != none ]] || { echo "Python 3.11 to 3.13 is needed: PYTHON=/path/to/python $0"; exit 1; }
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/env"
"$folder/env/bin/pip" install -q polars-bio==0.36.2 polars==1.44.2 bioframe==0.8.0 pandas==3.1.1 numpy==2.4.6 pyarrow==24.0.0
cd "$folder"
env/bin/python -W ignore - 2>log <<'PY' || { tail -n 3 log; exit 1; }
import bioframe
import numpy as np
import pandas as pd
import polars as pl
import polars_bio


def merged(function, intervals, distance, zero_based=True):
    """What intervals, 0-based here, become, by polars-bio."""
    chroms, starts, ends = zip(*intervals, strict=True)
    table = pl.DataFrame({"chrom": chroms, "start": np.array(starts) + (not zero_based), "end": ends})
    table.config_meta.set(coordinate_system_zero_based=zero_based)
    found = getattr(polars_bio, function)(table, min_dist=distance, output_type="polars.DataFrame")
    names = ("chrom", "start", "end") if function == "merge" else ("chrom", "cluster_start", "cluster_end")
    return sorted({(chrom, start - (not zero_based), end) for chrom, start, end in found.select(names).rows()})


def joined(intervals, distance):
    """The same by bioframe; None joins only what overlaps."""
    table = bioframe.merge(pd.DataFrame(intervals, columns=["chrom", "start", "end"]), min_dist=distance)
    return sorted(table[["chrom", "start", "end"]].itertuples(index=False, name=None))


three = [("chr1", 0, 100), ("chr1", 100, 200), ("chr1", 210, 300)]
for distance, right, seen in ((0, 2, 3), (10, 1, 2)):
    numbers = [len(merged(function, three, distance)) for function in ("merge", "cluster")]
    print(f"min_dist={distance}: {numbers[0]} intervals, bioframe {len(joined(three, distance))}")
    assert len(joined(three, distance)) == right
    assert numbers == [seen, seen], "this changed"

rng = np.random.default_rng(0)
same = less = cases = 0
for _ in range(200):
    starts = rng.integers(0, 80, 7)
    chroms, ends = rng.choice(["chr1", "chr2"], 7), starts + rng.integers(1, 12, 7)
    intervals = list(zip(chroms.tolist(), starts.tolist(), ends.tolist(), strict=True))
    for distance in (0, 3):
        for zero_based in (True, False):
            for function in ("merge", "cluster"):
                found = merged(function, intervals, distance, zero_based)
                cases += 1
                same += found == joined(intervals, distance)
                less += found == joined(intervals, distance - 1 if distance else None)
print(f"{cases} cases: {same} are bioframe with min_dist, {less} with one less")
assert less == cases, "this changed"
assert same < 0.9 * cases, "this changed"
PY
