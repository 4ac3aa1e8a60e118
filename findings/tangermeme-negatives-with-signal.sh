#!/usr/bin/env bash
# tangermeme 1.6.0 with torch 2.13.0, match.extract_matching_loci(bigwig=...): the background loci that it draws must have
# less signal in `out_window` than the peaks, by `signal_beta`. Where out_window is as wide as in_window, which the function
# allows (it refuses a wider one), the signal of every window is the sum of an empty slice, 0, and none is left out. So
# peaks that are not in the table are drawn as negatives.
# Expected: of a track where every other window of 1,000 bp has signal, none of those is drawn, for any out_window.
# Seen: 11 of 20 loci with out_window=1000 have the signal of a peak; none with 998, 999 or 500. No error, no warning.
set -euo pipefail
for python in "${PYTHON:-python3}" python3.11 python3.12 python3.13 "$HOME"/.pyenv/versions/3.1[123]*/bin/python none; do
  if "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then break; fi
done
[[ "$python" != none ]] || { echo "Python 3.11 to 3.13 is needed: PYTHON=/path/to/python $0"; exit 1; }
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/env"
"$folder/env/bin/pip" install -q torch==2.13.0 tangermeme==1.6.0 figwig==0.2.0 memelite==0.5.0 numba==0.68.1 numpy==2.4.6 \
  pandas==2.3.3 pyfaidx==0.9.2.2 scikit-learn==1.8.0 scipy==1.17.1 joblib==1.6.0 matplotlib==3.11.2 pyBigWig==0.3.29
cd "$folder"
env/bin/python -W ignore - 2>log <<'PY' || { tail -n 3 log; exit 1; }
import numpy as np
import pandas as pd
import pyBigWig
from tangermeme.match import extract_matching_loci

rng = np.random.default_rng(0)
length, width = 200_000, 1000
with open("genome.fa", "w") as file:
    file.write(">chr1\n" + "".join(rng.choice(list("ACGT"), length)) + "\n")
starts = list(range(0, length, 2 * width))  # a peak in every other window
out = pyBigWig.open("track.bw", "w")
out.addHeader([("chr1", length)])
out.addEntries(["chr1"] * len(starts), starts, ends=[start + width for start in starts], values=[5.0] * len(starts))
out.close()
peaks = pd.DataFrame({"chrom": "chr1", "start": starts[:20]})  # the others are not in the table
peaks["end"] = peaks["start"] + width
drawn = {}
for out_window in (500, 998, 999, 1000):
    loci = extract_matching_loci(peaks, "genome.fa", in_window=width, out_window=out_window, bigwig="track.bw", random_state=0)
    drawn[out_window] = sum(start % (2 * width) == 0 for start in loci["start"])
    print(f"in_window {width}, out_window {out_window}: {drawn[out_window]} of {len(loci)} negatives have the signal of a peak")
    assert len(loci) == 20
assert drawn[500] == drawn[998] == drawn[999] == 0
assert drawn[1000] >= 5, "this changed"
PY
