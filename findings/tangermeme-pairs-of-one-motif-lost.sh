#!/usr/bin/env bash
# tangermeme 1.6.0 with torch 2.13.0, annotate.pairwise_annotations with unique=True, its default, Python 3.11 to 3.13 (PYTHON
# names one): motifs that stand twice or more in one sequence pair with themselves in none. Its text says that three instances
# of KLF4 in an example give a single KLF4-KLF4 pair; the annotations of an example are made unique first, so that one is left
# and pairs with nothing. And with symmetric=False, where "the row is the first element in X", pairs are laid down by the number
# of the motif.
# Expected: three instances of one motif in a sequence make its diagonal 1; of motif 1 before motif 0, row 1 and column 0 are
# counted.
# Seen: 0, and row 0 and column 1. unique=False counts 3 and is in order. Of 500 random sequences with two to six of four motifs
# every diagonal is 0, where by hand between 100 and 400 sequences have the motif twice. Homotypic clusters of sites, which are
# what one looks for first, cannot be seen. No warning. No report of it was found.
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
env/bin/python -W ignore - <<'PY'
import random
from collections import Counter

import torch
from tangermeme.annotate import pairwise_annotations

three = torch.tensor([[0, 0], [0, 0], [0, 0]])
print("three of one motif:", pairwise_annotations(three).tolist(), "unique=False:", pairwise_annotations(three, unique=False).tolist())
assert pairwise_annotations(three, unique=False).tolist() == [[3]]
assert pairwise_annotations(three).tolist() == [[0]], "this changed"
turned = torch.tensor([[0, 1], [0, 0]])
print("1 before 0, symmetric=False:", pairwise_annotations(turned, symmetric=False).tolist())
assert pairwise_annotations(turned, symmetric=False, unique=False).tolist() == [[0, 0], [1, 0]]
assert pairwise_annotations(turned, symmetric=False).tolist() == [[0, 1], [0, 0]], "this changed"

rng = random.Random(0)
sites = [(i, rng.randrange(4)) for i in range(500) for _ in range(rng.randrange(2, 7))]
twice = [sum(Counter(m for j, m in sites if j == i)[motif] > 1 for i in range(500)) for motif in range(4)]
together = sum({0, 1} <= {m for j, m in sites if j == i} for i in range(500))
found = pairwise_annotations(torch.tensor(sites))
print("sequences with a motif twice, by hand", twice, "; found", found.diagonal().tolist())
assert int(found[0, 1]) == together and min(twice) > 100
assert found.diagonal().tolist() == [0, 0, 0, 0], "this changed"
PY
