#!/usr/bin/env bash
# sinto 0.10.1 (`sinto fragments`, fragments.fragments), Python 3.11 to 3.13 (PYTHON names one): reads are paired by name alone,
# and flags are not looked at. Where a read has a third record, a supplementary alignment as bwa mem writes it for a split read,
# with a mapping quality of its own, the fragment is thrown away, or, if that record is within 5,000 bases on the right strand,
# gets its end.
# Expected: the fragment of the two primary alignments, with 4 and 5 bases taken off for Tn5, as without the third record.
# Seen, six pairs of 200 bases: the one without a third record is right; three whose supplementary alignment lies left of them,
# near them or far right on "+" are missing; two with one behind them on "-" end there, 1,000 to 2,000 bases long. Of 300 random
# pairs, a third of them split, all that are not split are right and no other one is. Such pairs are of junctions and copy
# number changes. Exit status 0; no warning. No report of it was found.
set -euo pipefail
for python in "${PYTHON:-python3}" python3.11 python3.12 python3.13 "$HOME"/.pyenv/versions/3.1[123]*/bin/python none; do
  if "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then break; fi
done
[[ "$python" != none ]] || { echo "Python 3.11 to 3.13 is needed: PYTHON=/path/to/python $0"; exit 1; }
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/env"
"$folder/env/bin/pip" install -q pysam==0.24.1 numpy==2.4.6 scipy==1.17.1
"$folder/env/bin/pip" install -q --no-deps sinto==0.10.1  # without umi-tools, which is built from source and not needed here
cd "$folder"
env/bin/python -W ignore - <<'PY'
import random

import pysam
from sinto.fragments import fragments

PLUS, MINUS, SUPPLEMENTARY = 99, 147, 2048


def made(records):
    """The fragments that sinto makes of (name, start, flag, CIGAR), by barcode; each pair has a barcode of its own."""
    header = pysam.AlignmentHeader.from_dict({"HD": {"VN": "1.6", "SO": "coordinate"}, "SQ": [{"SN": "chr1", "LN": 2_000_000}]})
    with pysam.AlignmentFile("reads.bam", "wb", header=header) as file:
        for name, start, flag, cigar in sorted(records, key=lambda record: record[1]):
            read = pysam.AlignedSegment(header)
            read.query_name, read.reference_id, read.reference_start, read.flag = name, 0, start, flag
            read.cigarstring, read.mapping_quality = cigar, 60
            read.query_sequence = "A" * sum(length for kind, length in read.cigartuples if kind in (0, 1, 4))
            read.set_tag("CB", name)
            file.write(read)
    pysam.index("reads.bam")
    fragments("reads.bam", "fragments.tsv", nproc=1)
    with open("fragments.tsv") as file:
        rows = [line.split() for line in file]
    return {row[3]: (int(row[1]), int(row[2])) for row in rows}


def pair(name, start, split=""):
    """The two primary alignments of a fragment of 200 bases, one of them split."""
    first = (name, start, PLUS, "30M20S" if split == "first" else "50M")
    second = (name, start + 170, MINUS, "20S30M") if split == "second" else (name, start + 150, MINUS, "50M")
    return [first, second]


records = pair("whole", 1000)
records += pair("left", 40_000, "first") + [("left", 39_000, PLUS | SUPPLEMENTARY, "30H20M")]
records += pair("near", 50_000, "first") + [("near", 50_600, PLUS | SUPPLEMENTARY, "30H20M")]
records += pair("far", 60_000, "first") + [("far", 90_000, PLUS | SUPPLEMENTARY, "30H20M")]
records += pair("behind", 100_000, "second") + [("behind", 101_000, MINUS | SUPPLEMENTARY, "20M30H")]
records += pair("further", 110_000, "second") + [("further", 112_000, MINUS | SUPPLEMENTARY, "20M30H")]
expected = {name: (start + 4, start + 195) for name, start, flag, _ in records if flag == PLUS}
found = made(records)
for name in expected:
    print(f"{name}: expected {expected[name]}, found {found.get(name)}")
assert found["whole"] == expected["whole"]
assert set(found) == {"whole", "behind", "further"}, "this changed"
assert found["behind"] == (100_004, 101_015) and found["further"] == (110_004, 112_015), "this changed"
assert made([record for record in records if not record[2] & SUPPLEMENTARY]) == expected

rng = random.Random(0)
records, split = [], set()
for i in range(300):
    start, name = 6000 * i + 6000 + rng.randrange(1000), f"cell{i}"
    if i % 3:
        records += pair(name, start)
    else:
        split.add(name)
        which, flag = rng.choice([("first", PLUS), ("second", MINUS)])
        records += pair(name, start, which) + [(name, start + rng.choice([-1, 1]) * rng.randrange(300, 4000), flag | SUPPLEMENTARY, "20M30H")]
expected = {name: (start + 4, start + 195) for name, start, flag, _ in records if flag == PLUS}
found = made(records)
right = {name for name in expected if found.get(name) == expected[name]}
print(f"random: {len(right - split)} of {len(expected) - len(split)} whole pairs right, {len(right & split)} of {len(split)} split ones")
assert right >= set(expected) - split
assert not right & split, "this changed"
PY
