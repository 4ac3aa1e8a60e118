#!/usr/bin/env bash
# pybigtools 0.3.0: an exception in the iterator of intervals is not raised by write(); a damaged bigWig is left.
# Behaviour: BBIWriter.write(chroms, values) takes any iterator. Where the iterator raises, the error is printed on
#   standard output ("Error occurred: ..."), write() returns as if all went well, and the file that it leaves is damaged.
# Expected: write() raises, as pyBigWig's addEntries does and as any consumer of an iterator does.
# Seen: no exception; a file of some hundred bytes is there, which cannot be opened. A caller has to read it back.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q pybigtools==0.3.0 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" - <<'PY'
import pathlib

import pybigtools


def intervals():
    for i in range(10):
        if i == 3:
            raise ValueError("the source broke off")
        yield "chr1", 100 * i, 100 * i + 50, 1.0


raised = False
try:
    pybigtools.open("x.bw", "w").write({"chr1": 10_000}, intervals())
except Exception as error:
    raised = True
    print("raised:", error)
try:
    with pybigtools.open("x.bw") as file:
        opens = f"opens, with {len(list(file.records('chr1')))} of 10 intervals"
except pybigtools.BBIReadError as error:
    opens = f"does not open ({error})"
size = pathlib.Path("x.bw").stat().st_size
print(f"write() raised: {raised}; the file of {size} bytes {opens}")
assert not raised and "10 of 10" not in opens, "the behaviour changed"
PY
