#!/usr/bin/env bash
# seqpro 0.23.0, Python 3.11 to 3.13 (PYTHON names one), gc_content and nucleotide_content with normalize=True, "return
# proportions": the counts of every sequence are divided by the length of the longest one in the list, so the GC of a peak
# hangs on which others are asked for with it. Peaks of one width are not touched; peaks of many widths get a GC that rises
# with their width. Neither counts lower case, which is how repeats are written in the genomes of UCSC.
# Expected: the GC of "GC" is 1, alone or beside a sequence of 8 bases, and that of "GCgc" is 1 too.
# Seen: 1 alone and 0.25 beside the other; the proportions of its bases sum to a quarter; 0.5. seqpro.length of the same
# list knows both lengths. Of 200 random peaks of 200 to 1,000 bases with a GC near 0.5, GC and width correlate above 0.98.
set -euo pipefail
for python in "${PYTHON:-python3}" python3.11 python3.12 python3.13 "$HOME"/.pyenv/versions/3.1[123]*/bin/python none; do
  if "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then break; fi
done
[[ "$python" != none ]] || { echo "Python 3.11 to 3.13 is needed: PYTHON=/path/to/python $0"; exit 1; }
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/env"
"$folder/env/bin/pip" install -q seqpro==0.23.0 numpy==2.4.6 numba==0.68.1 polars==1.44.2 pandas==2.3.3
cd "$folder"
env/bin/python -W ignore - 2>log <<'PY' || { tail -n 3 log; exit 1; }
import numpy as np
import seqpro

pair = ["GC", "ACGTACGT"]
alone, beside = float(seqpro.gc_content("GC")), seqpro.gc_content(pair).tolist()
bases = seqpro.nucleotide_content(pair, alphabet=seqpro.DNA)[0].tolist()
masked = float(seqpro.gc_content("GCgc"))
print("GC of GC alone:", alone, "; of GC and ACGTACGT:", beside, "; A, C, G, T of GC beside it:", bases, "; GC of GCgc:", masked)
assert seqpro.length(pair).tolist() == [2, 8]
assert alone == 1
assert beside == [0.25, 0.5], "this changed"
assert bases == [0, 0.125, 0.125, 0], "this changed"
assert masked == 0.5, "this changed"

rng = np.random.default_rng(0)
widths = rng.integers(200, 1001, 200)
peaks = ["".join(rng.choice(list("ACGT"), width)) for width in widths]
right = np.array([sum(base in "GC" for base in peak) / len(peak) for peak in peaks])
found = seqpro.gc_content(peaks)
print(f"200 peaks: GC and width correlate by {np.corrcoef(found, widths)[0, 1]:.2f}, by hand {np.corrcoef(right, widths)[0, 1]:.2f}")
assert abs(np.corrcoef(right, widths)[0, 1]) < 0.2
assert np.corrcoef(found, widths)[0, 1] > 0.98, "this changed"
PY
