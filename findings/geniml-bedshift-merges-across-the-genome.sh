#!/usr/bin/env bash
# geniml 0.8.4, bedshift (Bedshift.all_perturbations, which shifts, adds, cuts, merges and drops in this order), Python 3.11 to 3.13
# (PYTHON names one): merge joins a region with the one in the next row ("merge a region with the next region"), and shifted,
# added and cut regions have been moved to the end of the table, in random order. So neighbours in the table are not neighbours on
# the chromosome, and the merged region reaches from the start of the one to the end of the other, over anything between them,
# or, where that lies left of it, ends before it begins. Such a file is what the package makes to test similarity scores by.
# Expected: merged regions are as wide as two neighbours and the gap between them, here 3,300 bases.
# Seen: of 300 regions of 300 bases each 3,000 bases, three in ten shifted by less than 1,000 bases and three in ten merged, one
# merged region in seven has its end left of its start in the file, and one in five is wider than 10,000 bases, up to 600,000.
# merge alone, on the sorted table, gives 3,300 for all. Nothing is said of it.
set -euo pipefail
for python in "${PYTHON:-python3}" python3.11 python3.12 python3.13 "$HOME"/.pyenv/versions/3.1[123]*/bin/python none; do
  if "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then break; fi
done
[[ "$python" != none ]] || { echo "Python 3.11 to 3.13 is needed: PYTHON=/path/to/python $0"; exit 1; }
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/env"
"$folder/env/bin/pip" install -q --no-deps geniml==0.8.4 2>/dev/null  # without its stores and models
"$folder/env/bin/pip" install -q genomicranges==0.9.0 iranges==0.7.3 numpy==2.4.6 pandas==2.3.3 pyyaml==6.0.4 \
  logmuse==0.3.1 2>/dev/null
cd "$folder"
env/bin/python -W ignore - 2>log <<'PY' || { tail -n 3 log; exit 1; }
import numpy as np
from geniml.bedshift.bedshift import Bedshift

with open("peaks.bed", "w") as file:
    file.writelines(f"chr1\t{start}\t{start + 300}\n" for start in range(1000, 901_000, 3000))
with open("sizes", "w") as file:
    file.write("chr1\t1000000\n")


def merged(perturb):
    """The widths of the merged regions, marked M in the file that is written."""
    shifter = Bedshift("peaks.bed", "sizes")
    shifter.set_seed(1)
    perturb(shifter)
    shifter.to_bed("out.bed")
    with open("out.bed") as file:
        rows = [line.split() for line in file]
    return np.array([int(row[2]) - int(row[1]) for row in rows if row[3] == "M"])


alone = merged(lambda shifter: shifter.merge(0.3))
print(f"merge alone: {len(alone)} merged regions, widths {np.unique(alone).tolist()}")
assert np.unique(alone).tolist() == [3300]
widths = merged(lambda shifter: shifter.all_perturbations(shiftrate=0.3, shiftmean=0, shiftstdev=200, mergerate=0.3, seed=1))
negative, wide = int(np.sum(widths < 0)), int(np.sum(widths > 10_000))
print(f"shifted and merged: {len(widths)} merged regions, {negative} end before they begin, {wide} wider than 10,000,",
      f"widths {widths.min()} to {widths.max()}")
assert negative > len(widths) / 10 and widths.min() < -500_000, "this changed"
assert wide > len(widths) / 10 and widths.max() > 500_000, "this changed"
PY
