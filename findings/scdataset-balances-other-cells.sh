#!/usr/bin/env bash
# scDataset 0.3.0 with torch 2.13.0, ClassBalancedSampling and BlockWeightedSampling, Python 3.11 to 3.13 (PYTHON names one):
# `indices` are sorted and the labels or weights that go with them are not, so each cell is drawn by the weight of another one. A
# split is a list in random order (train_test_split of scikit-learn gives such), and labels[train] of it is what the text calls
# subset balancing. Its warning speaks of "optimal I/O performance", and of no labels.
# Expected: with 900 cells of one type and 100 of another, half of what is drawn is of the rare type, in any order of indices.
# Seen: a half if the indices are sorted, and a tenth if they are shuffled: nothing is balanced. Of cells 30, 10 and 20 with the
# weights 1, 0 and 0, cell 10 alone is drawn. Labels or weights for all cells of the collection are right in any order.
set -euo pipefail
for python in "${PYTHON:-python3}" python3.11 python3.12 python3.13 "$HOME"/.pyenv/versions/3.1[123]*/bin/python none; do
  if "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then break; fi
done
[[ "$python" != none ]] || { echo "Python 3.11 to 3.13 is needed: PYTHON=/path/to/python $0"; exit 1; }
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/env"
"$folder/env/bin/pip" install -q scdataset==0.3.0 torch==2.13.0 numpy==2.4.6
cd "$folder"
env/bin/python -W ignore - 2>log <<'PY' || { tail -n 3 log; exit 1; }
import numpy as np
from scdataset import BlockWeightedSampling, ClassBalancedSampling

cells = np.arange(2000)
rng = np.random.default_rng(0)
types = np.where(rng.permutation(2000) < 200, "rare", "common")
train = np.r_[np.flatnonzero(types == "common")[:900], np.flatnonzero(types == "rare")[:100]]
drawn = {}
for order, indices in {"sorted": np.sort(train), "shuffled": rng.permutation(train)}.items():
    for given, labels in {"of the cells": types[indices], "of all": types}.items():
        got = ClassBalancedSampling(labels, indices=indices, total_size=20_000).get_indices(cells, seed=1)
        assert set(got.tolist()) <= set(train.tolist())
        drawn[order, given] = float(np.mean(types[got] == "rare"))
        print(f"indices {order}, labels {given}: {drawn[order, given]:.2f} of what is drawn is rare, of the cells 0.10")
assert abs(drawn["sorted", "of the cells"] - 0.5) < 0.02 and abs(drawn["sorted", "of all"] - drawn["shuffled", "of all"]) < 0.02
assert abs(drawn["shuffled", "of the cells"] - 0.1) < 0.03, "this changed"

one = BlockWeightedSampling(indices=[30, 10, 20], weights=[1, 0, 0], total_size=50).get_indices(cells, seed=1)
print("cells 30, 10, 20 with weights 1, 0, 0: drawn", sorted(set(one.tolist())))
assert set(one.tolist()) == {10}, "this changed"
PY
