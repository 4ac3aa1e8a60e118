#!/usr/bin/env bash
# dragonnfruit 0.4.0 with torch 2.13.0, io.LocusGenerator and io.GenomewideGenerator, Python 3.11 to 3.13 (PYTHON names one). With
# n_cells_per_locus above 1 ("multiple examples in a row will come from the same locus") the locus of example i is number
# i // n_cells_per_locus, while the number of examples stays that of the loci: of the table only the first part is ever read, the
# same one in each epoch. And GenomewideGenerator makes a generator of random_state and draws from NumPy's global one.
# Expected: all loci are drawn in an epoch, each n times; with a random_state, "a random seed to use to make the sampling process
# deterministic", twice the same examples.
# Seen: of 100 loci 100, 50, 10 and 1 are drawn in an epoch with 1, 2, 10 and 100 cells for each, and no others in a second one.
# Two generators with random_state=0 give other loci, and the same ones if numpy.random.seed is called before. No warning.
set -euo pipefail
for python in "${PYTHON:-python3}" python3.11 python3.12 python3.13 "$HOME"/.pyenv/versions/3.1[123]*/bin/python none; do
  if "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then break; fi
done
[[ "$python" != none ]] || { echo "Python 3.11 to 3.13 is needed: PYTHON=/path/to/python $0"; exit 1; }
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/env"
"$folder/env/bin/pip" install -q --no-deps dragonnfruit==0.4.0 2>/dev/null  # without its readers of signal
"$folder/env/bin/pip" install -q tangermeme==1.6.0 torch==2.13.0 numpy==2.4.6 scipy==1.17.1 pandas==2.3.3 2>/dev/null
cd "$folder"
env/bin/python -W ignore - 2>log <<'PY' || { tail -n 3 log; exit 1; }
import numpy as np
import scipy.sparse as sp
from dragonnfruit.io import GenomewideGenerator, LocusGenerator

LENGTH = 50_000
sequence = {"chr1": np.zeros((4, LENGTH), dtype=np.int8)}
where = sp.csc_matrix(np.arange(LENGTH, dtype=np.int64)[None])  # one cell, whose signal is the position
common = {"sequence": sequence, "signal": {"chr1": where}, "neighbors": np.zeros((1, 1), int), "cell_states": np.zeros((1, 2)),
          "read_depths": np.zeros((1, 1)), "chroms": ["chr1"], "trimming": 10, "window": 40, "reverse_complement": False}
with open("loci.bed", "w") as file:
    file.writelines(f"chr1\t{start}\t{start + 100}\n" for start in range(1000, 41_000, 400))


def drawn(number):
    """The loci of two epochs."""
    loci = LocusGenerator(loci="loci.bed", n_cells_per_locus=number, max_jitter=0, random_state=0, **common)
    assert len(loci) == 100
    return [{int(loci[i][1][0]) for i in range(len(loci))} for _ in range(2)]


for number in (1, 2, 10, 100):
    first, second = drawn(number)
    print(f"{number} cells for each of 100 loci: {len(first)} drawn in one epoch, {len(first | second)} in two")
    assert len(first) == 100 // number and first == second, "this changed"


def genomewide(seed):
    if seed is not None:
        np.random.seed(seed)
    genome = GenomewideGenerator(random_state=0, **common)
    return [int(genome[i][1][0]) for i in range(20)]


seeded, unseeded = [genomewide(1), genomewide(1)], [genomewide(None), genomewide(None)]
print("random_state=0 twice, the same examples:", unseeded[0] == unseeded[1])
print("after numpy.random.seed(1) twice:", seeded[0] == seeded[1])
assert seeded[0] == seeded[1]
assert unseeded[0] != unseeded[1], "this changed"
PY
