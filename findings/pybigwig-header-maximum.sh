#!/usr/bin/env bash
# pyBigWig 0.3.24: header()["maxVal"] of a file that it wrote is wrong where the largest value comes as a new minimum.
# libBigWig compares a value with the maximum only if it is not a new minimum, and starts the maximum at DBL_MIN, so the
# first value of a file, or a file whose values fall, leave no maximum.
# Expected: maxVal of [0.5, -3, -2] is 0.5, and of [5, 4, 3] is 5 (intervals() and stats() say so).
# Seen: 0 for both (2.2e-308 stands in the file): who trusts the header takes a minus strand with one positive bin for
# all-negative, and a signal for none.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q "pyBigWig==0.3.24" "numpy==2.2.6"
"$folder/env/bin/python" - "$folder" <<'PY'
import sys
import pyBigWig

folder = sys.argv[1]
for values in ([0.5, -3.0, -2.0], [5.0, 4.0, 3.0], [3.0, 4.0, 5.0]):
    path = f"{folder}/x.bw"
    out = pyBigWig.open(path, "w")
    out.addHeader([("chr1", 1000)])
    out.addEntries(["chr1"] * 3, [0, 10, 20], ends=[10, 20, 30], values=values)
    out.close()
    found = pyBigWig.open(path)
    header = found.header()
    held = [v for _, _, v in found.intervals("chr1")]
    print(f"values {held}: header says {header['minVal']} to {header['maxVal']}")
    assert held == values
    if values == [3.0, 4.0, 5.0]:
        assert header["maxVal"] == 5
    else:
        assert header["maxVal"] < 1e-300, "the header's maximum is right now"
PY
