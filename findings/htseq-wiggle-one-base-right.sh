#!/usr/bin/env bash
# HTSeq 2.1.2, WiggleReader, Python 3.11 to 3.13 (PYTHON names one): every interval that it reads lies one base right. Positions
# of a wiggle file count from 1, those of a GenomicInterval from 0, and none is taken off, as GFF_Reader of the same package
# does. A track that is read so and written by write_bedgraph_file is not the track that was there.
# Expected: of a fixedStep block with start=1 the first interval is 0 to 1, as UCSC's text of the format has it and bx-python
# reads.
# Seen: 1 to 2. Of 200 random blocks, fixed and variable steps, with spans of 1 to 10, all intervals are those of bx-python
# moved by one base; a base of signal on a site is found beside the site. No error, no warning. No report of it was found.
set -euo pipefail
for python in "${PYTHON:-python3}" python3.11 python3.12 python3.13 "$HOME"/.pyenv/versions/3.1[123]*/bin/python none; do
  if "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then break; fi
done
[[ "$python" != none ]] || { echo "Python 3.11 to 3.13 is needed: PYTHON=/path/to/python $0"; exit 1; }
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/env"
"$folder/env/bin/pip" install -q HTSeq==2.1.2 bx-python==0.15.1 numpy==2.4.6 pysam==0.24.1
cd "$folder"
env/bin/python -W ignore - <<'PY'
import bx.wiggle
import HTSeq
import numpy as np


def both(lines):
    """The intervals of a wiggle file as HTSeq and as bx-python read them, from 0 and with the end left out."""
    with open("x.wig", "w") as file:
        file.writelines(lines)
    one = [(iv.chrom, iv.start, iv.end, value) for iv, value in HTSeq.WiggleReader("x.wig")]
    with open("x.wig") as file:
        two = [(chrom, start, end, value) for chrom, start, end, strand, value in bx.wiggle.IntervalReader(file)]
    return one, two


one, two = both(["fixedStep chrom=chr1 start=1 step=1\n", "5\n", "6\n"])
print("HTSeq    ", one)
print("bx-python", two)
assert two == [("chr1", 0, 1, 5.0), ("chr1", 1, 2, 6.0)]
assert one == [("chr1", 1, 2, 5.0), ("chr1", 2, 3, 6.0)], "this changed"

rng = np.random.default_rng(0)
lines, true = [], []
for block in range(200):
    span, start = int(rng.integers(1, 11)), 1000 * block + 1
    values = [float(v) for v in rng.integers(1, 100, 5)]
    steps = np.full(5, 20) if block % 2 else rng.integers(span, 40, 5)
    starts = start + np.concatenate([[0], np.cumsum(steps[:-1])])
    if block % 2:
        lines += [f"fixedStep chrom=chr1 start={start} step=20 span={span}\n"] + [f"{v}\n" for v in values]
    else:
        lines += [f"variableStep chrom=chr1 span={span}\n"] + [f"{s} {v}\n" for s, v in zip(starts, values, strict=True)]
    true += [("chr1", int(s) - 1, int(s) - 1 + span, v) for s, v in zip(starts, values, strict=True)]
one, two = both(lines)
moved = [(chrom, start + 1, end + 1, value) for chrom, start, end, value in true]
print(f"{len(true)} random intervals: bx-python is right: {two == true}; HTSeq is one base right of it: {one == moved}")
assert two == true
assert one == moved, "this changed"
PY
