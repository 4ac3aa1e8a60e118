#!/usr/bin/env bash
# memelite 0.5.0, fimo(): the best match of a motif can have a p-value of 0. The table of p-values is made of the scores
# of the columns, each rounded to bins of 0.1, and is looked up with the rounded sum of the exact scores, which may lie
# past the last bin that the table fills.
# Expected: at least 4^-width, the probability of the one sequence that matches best, where each base has a quarter; so
# -log10(p) is at most 0.6 a base.
# Seen: of 400 motifs of width 8 (counts of 20 to 2,000 sites), 39 give their own consensus a p-value of 0, whose -log10
# is infinite and which no correction for multiple tests raises; others give it up to 6 times 4^-8. Of width 12 it is 80
# of 400. With bin_size=0.01 it is 47 and 70.
set -euo pipefail
for python in "${PYTHON:-python3}" python3.11 python3.12 python3.13 "$HOME"/.pyenv/versions/3.1[123]*/bin/python none; do
  if "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then break; fi
done
[[ "$python" != none ]] || { echo "Python 3.11 to 3.13 is needed: PYTHON=/path/to/python $0"; exit 1; }
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/env"
"$folder/env/bin/pip" install -q memelite==0.5.0 numba==0.68.1 numpy==2.4.6 pandas==2.3.3
cd "$folder"
env/bin/python -W ignore - 2>log <<'PY' || { tail -n 3 log; exit 1; }
import numpy as np
from memelite import fimo


def consensus_p(width, bin_size):
    """The p-value that fimo gives the consensus of each of 400 motifs made from counts of sites."""
    rng = np.random.default_rng(width)
    motifs, sequences = {}, []
    for i in range(400):
        sites = int(rng.integers(20, 2000))
        counts = np.stack([rng.multinomial(sites, rng.dirichlet([0.5] * 4)) for _ in range(width)], axis=1)
        motifs[f"m{i:03d}"] = counts / sites
        sequences.append(np.eye(4, dtype="int8")[counts.argmax(axis=0)].T)
    hits = fimo(motifs, np.stack(sequences), threshold=0.01, reverse_complement=False, bin_size=bin_size)
    return np.array([table.loc[table["sequence_name"] == i, "p-value"].iloc[0] for i, table in enumerate(hits)])


for width in (8, 12):
    for bin_size in (0.1, 0.01):
        p = consensus_p(width, bin_size)
        times = p[p > 0] * 4.0**width
        print(f"width {width}, bin_size {bin_size}: {(p == 0).sum()} of {p.size} consensus sequences with a p-value of 0;"
              f" the others 4^-{width} times {times.min():.2f} to {times.max():.1f}")
        assert times.min() > 0.99
        assert (p == 0).any(), "this changed"
        assert bin_size != 0.1 or (p == 0).sum() >= 30, "this changed"
PY
