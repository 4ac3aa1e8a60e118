#!/usr/bin/env bash
# TOBIAS 0.17.5, ScoreBigwig, Python 3.12 (PYTHON names it): with a BED of six columns as --regions, the signal under a region on
# "-" is read from right to left, scored, and written to the track from left to right. So each such region of the output lies
# mirrored about its middle, and footprints stand at other bases than those that are protected. Promoters and start sites have
# a strand; a bigWig has none, and the help speaks of "genomic regions to run footprinting within".
# Expected: the same track whether the sixth column is "+" or "-" or left out.
# Seen: with --score none, which copies the signal, a cut at 2,100 of the region 2,000-2,500 on "-" comes out at 2,399. Of 40
# random regions with one footprint each, all have their best score at it on "+" and without a strand; on "-" one in ten or
# fewer, and each region is the mirror of what it is on "+". Exit status 0, no warning.
set -euo pipefail
for python in "${PYTHON:-python3}" python3.12 "$HOME"/.pyenv/versions/3.12*/bin/python none; do
  if "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 12))' 2>/dev/null; then break; fi
done
[[ "$python" != none ]] || { echo "Python 3.12 is needed: PYTHON=/path/to/python $0"; exit 1; }
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/env"
"$folder/env/bin/pip" install -q --no-deps tobias==0.17.5 2>/dev/null  # without its plots and networks
"$folder/env/bin/pip" install -q MOODS-python==1.9.4.1 numpy==2.4.6 scipy==1.17.1 pandas==2.3.3 pyBigWig==0.3.25 \
  scikit-learn==1.9.1 pysam==0.24.1 matplotlib==3.11.2 pyyaml==6.0.4 2>log || { tail -n 3 log; exit 1; }
cd "$folder"
env/bin/python -W ignore - <<'PY'
import subprocess

import numpy as np
import pyBigWig

WIDTH = 500


def scores(signal, starts, strand, score):
    """The track of the command, one row for each region."""
    with pyBigWig.open("cuts.bw", "w") as track:
        track.addHeader([("chr1", len(signal))])
        track.addEntries("chr1", 0, values=signal.tolist(), span=1, step=1)
    with open("regions.bed", "w") as file:
        for start in starts:
            file.write(f"chr1\t{start}\t{start + WIDTH}" + f"\tpeak\t0\t{strand}" * bool(strand) + "\n")
    subprocess.run(["env/bin/TOBIAS", "ScoreBigwig", "--signal", "cuts.bw", "--regions", "regions.bed", "--output", "scores.bw",
                    "--score", score, "--split", "1", "--verbosity", "0"], check=True, stdout=subprocess.DEVNULL)
    with pyBigWig.open("scores.bw") as track:
        return np.nan_to_num([track.values("chr1", int(start), int(start) + WIDTH, numpy=True) for start in starts])


cut = np.zeros(5000)
cut[2100] = 1
for strand, seen in (("+", 2100), ("", 2100), ("-", 2399)):
    places = 2000 + np.flatnonzero(scores(cut, [2000], strand, "none")[0])
    print(f'a cut at 2100 of the region 2000-2500, strand "{strand}": {places.tolist()}')
    assert places.tolist() == [seen], "this changed"

rng = np.random.default_rng(0)
starts = np.arange(40) * 1000 + 1000
places = rng.integers(40, WIDTH - 60, 40)
signal = np.zeros(42_000)
for at in starts + places:  # 20 protected bases between two runs of cuts
    signal[at - 20 : at] = signal[at + 20 : at + 40] = 5
tracks = {strand: scores(signal, starts, strand, "footprint") for strand in ("+", "", "-")}
right = {}
for strand, rows in tracks.items():
    best = np.array([np.flatnonzero(row == row.max()).mean() for row in rows])
    right[strand] = int(np.sum((places <= best) & (best < places + 20)))
    print(f'40 footprints, strand "{strand}": {right[strand]} have the best score of their region')
assert right["+"] == right[""] == 40
assert right["-"] <= 4, "this changed"
assert np.allclose(tracks["-"], tracks["+"][:, ::-1], atol=0.01), "this changed"
PY
