#!/usr/bin/env bash
# bioframe 0.8.0, merge_runs and mark_runs: float values are compared by numpy.isclose with its defaults, neighbour
# by neighbour, so that all values below 1e-8 are one run, as are values that drift by less than one in 100,000 at a time. The
# merged run has the first value alone. P-values and small probabilities are below 1e-8 where they matter.
# Expected: two neighbours of 3e-9 and 8e-40 are two runs, as they are by their -log10 of 8.5 and 39.1, or as whole numbers.
# Seen: one run, 3e-9. Of 200 random p-values of 1e-9 to 1e-300, no two alike, one interval is left; of a track that rises
# from 100 to 110 over 12,000 bins, one interval of the value 100, by which its mean is 100 in place of 105. No warning.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q bioframe==0.8.0 pandas==2.3.3 numpy==2.4.6 matplotlib==3.11.2
"$folder/env/bin/python" -W ignore - <<'PY'
import bioframe
import numpy as np
import pandas as pd


def merged(values):
    starts = np.arange(len(values)) * 10
    return bioframe.merge_runs(pd.DataFrame({"chrom": "chr1", "start": starts, "end": starts + 10, "value": values}), "value")


two = np.array([3e-9, 8e-40])
print("3e-9 and 8e-40:", merged(two)["value"].tolist(), ", by -log10:", merged(-np.log10(two))["value"].round(1).tolist())
assert len(merged(-np.log10(two))) == 2
assert merged(two)["value"].tolist() == [3e-9], "this changed"

pvalues = 10.0 ** -np.random.default_rng(0).uniform(9, 300, 200)
print("200 p-values:", len(merged(pvalues)), "intervals, by -log10", len(merged(-np.log10(pvalues))))
assert len(set(pvalues)) == len(merged(-np.log10(pvalues))) == 200
assert len(merged(pvalues)) == 1, "this changed"

ramp = np.linspace(100, 110, 12_000)
table = merged(ramp)
mean = np.average(table["value"], weights=table["end"] - table["start"])
print(f"a rise from 100 to 110: {len(table)} interval, mean {mean:.2f}, of the bins {ramp.mean():.2f}")
assert len(table) == 1 and mean == 100, "this changed"
PY
