#!/usr/bin/env bash
# lightmotif 0.10.1, WeightMatrix.log_odds(background): its text says that the background frequencies rescale the weights
# before the log-odds are taken. They are not used: the scores are those of a quarter for each base, for any
# background, also one of AT-rich or GC-rich peaks.
# Expected: log2 of probability over background, so that with A and T at 0.4 each an A scores less than by default.
# Seen: the same scores to the last digit for four backgrounds, so the same hits for the same threshold.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q lightmotif==0.10.1 numpy==2.4.6
"$folder/env/bin/python" - <<'PY'
import lightmotif
import numpy as np

sites = ["A"] * 5 + ["C"] * 3 + ["G"] + ["T"]
weights = lightmotif.create(sites).counts.normalize(0.25)
probability = (np.array([5, 3, 1, 1]) + 0.25) / 11
even = np.log2(probability / 0.25)
for at in (0.25, 0.4, 0.1, 0.3):
    background = {"A": at, "C": 0.5 - at, "G": 0.5 - at, "T": at}
    matrix = weights.log_odds(background)
    scores = np.array([matrix.calculate(lightmotif.stripe(base))[0] for base in "ACGT"])
    right = np.log2(probability / np.array(list(background.values())))
    print(f"A and T {at}: scores of A, C, G, T {scores.round(3).tolist()}, by hand {right.round(3).tolist()}")
    assert np.allclose(scores, even, atol=1e-5), "this changed"
    assert at == 0.25 or not np.allclose(scores, right, atol=0.05)
PY
