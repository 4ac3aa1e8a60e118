#!/usr/bin/env bash
# PEAKQC 0.1.8, add_fld_metrics from a file of fragments, Python 3.12 or 3.13 (PYTHON names one): mean_fragment_size is too small
# wherever the fifth column, how many reads a fragment had, is above 1. A running mean moves by (size - mean) / reads so far,
# once a fragment, where a fragment of n reads has to move it by n times that. So the deeper a library is sequenced, the
# shorter its fragments are called, and cells of two libraries differ by nothing but their depth. The distribution that the same
# call returns is right. n_fragments is the number of reads, not of fragments.
# Expected: fragments of 200 bases alone (209 in the file, 9 are taken off) have the mean 200, whatever their reads.
# Seen: 200 with one read each, 192.03 with two, 140.49 with five and 51.24 with 20, of 200 fragments. Of a mixture of sizes with
# a mean of 154, 124 at six reads a fragment. And `peaks_thr`, the threshold of the score, is used for a plot alone:
# fld_score is the same with 0 and with a million. No warning.
set -euo pipefail
for python in "${PYTHON:-python3}" python3.12 python3.13 "$HOME"/.pyenv/versions/3.1[23]*/bin/python none; do
  if "$python" -c 'import sys; sys.exit(not (3, 12) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then break; fi
done
[[ "$python" != none ]] || { echo "Python 3.12 or 3.13 is needed: PYTHON=/path/to/python $0"; exit 1; }
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/env"
"$folder/env/bin/pip" install -q peakqc==0.1.8 beartype==0.22.9 numpy==2.4.6 pandas==2.3.3 scipy==1.17.1 anndata==0.12.19 \
  scanpy==1.12.4 pysam==0.24.1 matplotlib==3.11.2 numba==0.68.1 scikit-learn==1.9.1 2>/dev/null
cd "$folder"
cat > run.py <<'PY'
import contextlib
import io

import anndata
import numpy as np
import pandas as pd
from peakqc.fld_scoring import add_fld_metrics


def metrics(cells, peaks_thr=0.5):
    """The columns that are added to cells, given as their fragments' sizes and reads."""
    rows = sorted((1000 * i, 1000 * i + size + 9, cell, reads) for cell, fragments in cells.items()
                  for i, (size, reads) in enumerate(fragments))
    with open("fragments.tsv", "w") as file:
        file.writelines(f"chr1\t{start}\t{end}\t{cell}\t{reads}\n" for start, end, cell, reads in rows)
    data = anndata.AnnData(np.zeros((len(cells), 1), "float32"), obs=pd.DataFrame(index=list(cells)))
    with contextlib.redirect_stdout(io.StringIO()):
        _, sizes = add_fld_metrics(data, "fragments.tsv", plot=False, n_threads=1, sample_size=None, peaks_thr=peaks_thr,
                                   return_distributions=True)
    return data.obs, sorted(sizes @ np.arange(sizes.shape[1]) / sizes.sum(axis=1))


if __name__ == "__main__":
    alike = {f"{reads} reads": [(200, reads)] * 200 for reads in (1, 2, 5, 20)}
    found, by_sizes = metrics(alike)
    print("fragments of 200 bases:", found["mean_fragment_size"].to_dict(), "; by the distributions", np.array(by_sizes))
    assert by_sizes == [200, 200, 200, 200]
    assert found["n_fragments"].tolist() == [200, 400, 1000, 4000], "this changed"
    assert found["mean_fragment_size"].tolist() == [200, 192.03, 140.49, 51.24], "this changed"

    rng = np.random.default_rng(0)
    near = rng.choice([60, 200, 370], 3000, p=[0.5, 0.35, 0.15])
    sizes = rng.normal(near, 25).astype(int).clip(20, 900).tolist()
    mixed = {str(reads): [(size, reads) for size in sizes] for reads in (1, 6)}
    found, by_sizes = metrics(mixed)
    print(f"a mixture, mean {np.mean(sizes):.1f}:", found["mean_fragment_size"].to_dict())
    assert np.allclose(by_sizes, np.mean(sizes)) and abs(found.loc["1", "mean_fragment_size"] - np.mean(sizes)) < 0.01
    assert found.loc["6", "mean_fragment_size"] < 0.85 * np.mean(sizes), "this changed"
    scores = [metrics(mixed, threshold)[0]["fld_score"].tolist() for threshold in (0, 0.5, 1e6)]
    print("scores with the thresholds 0, 0.5 and 1e6:", scores)
    assert scores[0] == scores[1] == scores[2] and scores[0][0] > 0, "this changed"
PY
env/bin/python -W ignore run.py 2>log || { tail -n 3 log; exit 1; }
