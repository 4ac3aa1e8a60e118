#!/usr/bin/env bash
# dragonnfruit 0.4.0, preprocessing.extract_cellxpeak and extract_cellxtile, Python 3.11 to 3.13 (PYTHON names one). A peak of BED,
# whose end is not in it, is counted with the base at its end, so that where two peaks touch both count what is cut there. Counts
# are kept in int8, one for each cut, and added up in it wherever the matrix is summed or made dense: 128 or more are negative.
# And the tiles of all chromosomes come in the order of a Python set, another one in each process; there are no names for the
# columns, so the matrix cannot be set beside one of another run, or told which tile is which.
# Expected: a cut at 600 is in 600-700 and not in 500-600; 400 cuts in a peak are 400; tiles in the order of the chromosomes.
# Seen: of a fragment 500-600, which is cut at 500 and 600, the peaks 400-500, 500-600 and 600-700 have 1, 2 and 1, four cuts in
# place of two. 200 such fragments in 450-700 are -112. With five values of PYTHONHASHSEED the four chromosomes come in more
# than one order. No warning.
set -euo pipefail
for python in "${PYTHON:-python3}" python3.11 python3.12 python3.13 "$HOME"/.pyenv/versions/3.1[123]*/bin/python none; do
  if "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then break; fi
done
[[ "$python" != none ]] || { echo "Python 3.11 to 3.13 is needed: PYTHON=/path/to/python $0"; exit 1; }
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/env"
"$folder/env/bin/pip" install -q --no-deps dragonnfruit==0.4.0 2>/dev/null  # without its models
"$folder/env/bin/pip" install -q numpy==2.4.6 scipy==1.17.1 pandas==2.3.3 pyBigWig==0.3.25 scikit-learn==1.9.1 \
  tqdm==4.70.1 2>/dev/null
cd "$folder"
cat > count.py <<'PY'
import gzip

import pandas as pd
from dragonnfruit.preprocessing import extract_cellxpeak, extract_cellxtile, extract_fragments


def cuts(fragments, sizes):
    with gzip.open("fragments.tsv.gz", "wt") as file:
        file.writelines(f"{chrom}\t{start}\t{end}\tAAAC-1\t1\n" for chrom, start, end in fragments)
    return extract_fragments(["fragments.tsv.gz"], sizes, verbose=False)[0]


def in_peaks(fragments, starts, ends):
    peaks = pd.DataFrame({"chrom": "chr1", "start": starts, "end": ends})
    return extract_cellxpeak(cuts(fragments, {"chr1": 1000}), peaks).toarray()[0].tolist()


def order():
    """How many cuts the tiles of four chromosomes have; chromosome i has i cuts for each, all in one tile."""
    sizes = {f"chr{i}": 3000 for i in (1, 2, 3, 4)}
    tiles = extract_cellxtile(cuts([(f"chr{i}", 1100, 1200) for i in (1, 2, 3, 4) for _ in range(i)], sizes), 1000)
    return [count // 2 for count in tiles.toarray()[0].tolist() if count]
PY
env/bin/python -W ignore - 2>log <<'PY' || { tail -n 3 log; exit 1; }
import subprocess

from count import in_peaks

touching = in_peaks([("chr1", 500, 600)], [400, 500, 600], [500, 600, 700])
print("one fragment 500-600 in 400-500, 500-600, 600-700:", touching)
assert in_peaks([("chr1", 510, 590)], [400, 500, 600], [500, 600, 700]) == [0, 2, 0]
assert touching == [1, 2, 1], "this changed"
deep = {number: in_peaks([("chr1", 500, 600)] * number, [450], [700])[0] for number in (60, 64, 200)}
print("cuts of 60, 64 and 200 fragments in 450-700:", deep)
assert deep[60] == 120
assert deep[64] == -128 and deep[200] == -112, "this changed"
orders = set()
for seed in range(5):
    said = subprocess.run(["env/bin/python", "-W", "ignore", "-c", "import count; print(count.order())"], check=True,
                          capture_output=True, text=True, env={"PYTHONHASHSEED": str(seed)})
    print(f"PYTHONHASHSEED={seed}: the chromosomes in the order of the tiles", said.stdout.strip())
    orders.add(said.stdout)
assert all(sorted(eval(order)) == [1, 2, 3, 4] for order in orders)
assert len(orders) > 1, "this changed"
PY
