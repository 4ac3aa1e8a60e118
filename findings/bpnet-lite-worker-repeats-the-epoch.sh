#!/usr/bin/env bash
# bpnet-lite 1.1.0 with torch 2.13.0, io.PeakGenerator with num_workers=1, Python 3.11 to 3.13 (PYTHON names one): every epoch
# is the first one again. The random numbers by which peaks are shuffled, jittered and turned over and negatives are drawn live
# in the data set; a worker gets a copy of it when an epoch begins and takes it away with itself, so the one that is copied next
# has drawn nothing. With two workers it raises a TypeError, as only one of them sees the index at which the order of the peaks
# is made.
# Expected: "the number of processes fetching data at a time" changes the speed, not the data: each epoch has a new order, other
# jitter and other negatives, as with num_workers=0.
# Seen, 60 peaks and 200 negatives, negative_ratio=0.5: with num_workers=0 no two of five epochs are alike, and 112 sequences of
# negatives are seen; with num_workers=1 all five are the same to the last base, 27 are seen, and each peak has one place and
# one strand. random_state=None is the same. No warning. No report of it was found.
set -euo pipefail
for python in "${PYTHON:-python3}" python3.11 python3.12 python3.13 "$HOME"/.pyenv/versions/3.1[123]*/bin/python none; do
  if "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then break; fi
done
[[ "$python" != none ]] || { echo "Python 3.11 to 3.13 is needed: PYTHON=/path/to/python $0"; exit 1; }
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/env"
"$folder/env/bin/pip" install -q --no-deps bpnet-lite==1.1.0  # without MACS3, which is built from source and not needed here
"$folder/env/bin/pip" install -q torch==2.13.0 tangermeme==1.6.0 figwig==0.2.0 memelite==0.5.0 numba==0.68.1 numpy==2.4.6 \
  pandas==2.3.3 pyfaidx==0.9.2.2 scikit-learn==1.8.0 scipy==1.17.1 joblib==1.6.0 matplotlib==3.11.2 pyBigWig==0.3.29 h5py==3.16.0
cd "$folder"
cat > epochs.py <<'PY'
import numpy as np
import pandas as pd
from bpnetlite.io import PeakGenerator

LENGTH = 200_000


def loci(first, count):
    starts = first + 500 * np.arange(count)
    return pd.DataFrame({"chrom": "chr1", "start": starts, "end": starts + 100})


def epochs(workers, seed, count=5):
    """What five epochs hand out: of each example its sequence as bytes, and whether it is a peak."""
    rng = np.random.default_rng(0)
    bases = np.eye(4, dtype="int8")[rng.integers(0, 4, LENGTH)].T
    signal = rng.poisson(1, LENGTH).astype("float32")
    data = PeakGenerator(loci(2000, 60), loci(60_000, 200), {"chr1": bases}, [{"chr1": signal}], in_window=200, out_window=100,
                         max_jitter=20, negative_ratio=0.5, random_state=seed, num_workers=workers, pin_memory=False, batch_size=8)
    return [[(X.numpy().tobytes(), int(label)) for Xs, ys, labels in data for X, label in zip(Xs, labels)] for _ in range(count)]


def negatives(found):
    return len({sequence for epoch in found for sequence, label in epoch if label == 0})


if __name__ == "__main__":
    alone, worker, unseeded = epochs(0, 0), epochs(1, 0), epochs(1, None)
    for name, found in (("in the process itself", alone), ("by one worker", worker), ("by one worker, no seed", unseeded)):
        alike = sum(epoch == found[0] for epoch in found[1:])
        print(f"{name}: {alike} of 4 further epochs are the first again; sequences of negatives seen: {negatives(found)}")
    assert all(epoch != alone[0] for epoch in alone[1:]) and len(alone[0]) == 90
    assert all(epoch == worker[0] for epoch in worker[1:]), "this changed: the epochs differ"
    assert all(epoch == unseeded[0] for epoch in unseeded[1:]), "this changed: the epochs differ without a seed"
    assert negatives(alone) > 2 * negatives(worker), "this changed"
    try:
        epochs(2, 0, 1)
    except TypeError as error:
        print("two workers:", str(error).strip().splitlines()[-1])
    else:
        raise AssertionError("this changed: two workers are no error")
PY
env/bin/python -W ignore epochs.py
