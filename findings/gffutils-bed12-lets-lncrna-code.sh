#!/usr/bin/env bash
# gffutils 0.14, FeatureDB.bed12, Python 3.11 to 3.13 (PYTHON names one): a transcript without a CDS gets its own start and end as
# thickStart and thickEnd, the start as GFF counts it, from 1, beside a chromStart that counts from 0. So a non-coding RNA is
# written as one that codes from its second base to its last one. UCSC sets both to chromStart where there is no thick part,
# and CrossMap, bedtools and browsers take the thick part for the coding one. Of coding transcripts all columns are right.
# Expected: of a lncRNA at 1,001-2,000 of GFF thickStart = thickEnd = 1000, or, were all of it thick, 1000 and 2000.
# Seen: chromStart 1000, thickStart 1001, thickEnd 2000. Of 300 random transcripts, half of them with a CDS, the coding bases
# in their blocks are right for all that code, and all others code for each of their bases but one. No warning.
set -euo pipefail
for python in "${PYTHON:-python3}" python3.11 python3.12 python3.13 "$HOME"/.pyenv/versions/3.1[123]*/bin/python none; do
  if "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then break; fi
done
[[ "$python" != none ]] || { echo "Python 3.11 to 3.13 is needed: PYTHON=/path/to/python $0"; exit 1; }
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/env"
"$folder/env/bin/pip" install -q gffutils==0.14 2>/dev/null
cd "$folder"
env/bin/python -W ignore - 2>log <<'PY' || { tail -n 3 log; exit 1; }
import random

import gffutils

random.seed(0)
lines, exons_of, coding_of = [], {}, {}


def write(kind, start, end, attributes):
    """Add a line of GFF3; start and end count from 0, as in Python."""
    lines.append(f"chr1\t.\t{kind}\t{start + 1}\t{end}\t.\t+\t.\t{attributes}")


def add(name, exons, coding):
    kind = "mRNA" if coding else "lnc_RNA"
    write("gene", exons[0][0], exons[-1][1], f"ID=gene_{name}")
    write(kind, exons[0][0], exons[-1][1], f"ID={name};Parent=gene_{name}")
    for start, end in exons:
        write("exon", start, end, f"Parent={name}")
        if coding and max(start, coding[0]) < min(end, coding[1]):
            write("CDS", max(start, coding[0]), min(end, coding[1]), f"Parent={name}")
    exons_of[name], coding_of[name] = exons, coding


add("lncRNA", [(1000, 1100), (1800, 2000)], None)
add("one_exon", [(3000, 3300)], None)
for number in range(300):
    places = sorted(random.sample(range(1000), 6))
    places = [5000 + 2000 * number + place for place in places]
    exons = list(zip(places[::2], places[1::2], strict=True))
    coding = (random.randrange(*exons[0]), exons[2][0] + 1) if number % 2 else None
    add(f"tx{number}", exons, coding)
genes = gffutils.create_db("\n".join(lines), ":memory:", from_string=True)


def thick_bases(row):
    """Bases of the blocks of a BED12 row that lie in its thick part."""
    columns = row.split("\t")
    start, thick_start, thick_end = int(columns[1]), int(columns[6]), int(columns[7])
    blocks = zip(map(int, columns[11].split(",")), map(int, columns[10].split(",")), strict=True)
    return sum(max(0, min(thick_end, start + at + size) - max(thick_start, start + at)) for at, size in blocks)


for name in ("lncRNA", "one_exon"):
    row = genes.bed12(name)
    length = sum(end - start for start, end in exons_of[name])
    print(row.replace("\t", " "), "-", thick_bases(row), "coding bases of", length)
    assert thick_bases(row) == length - 1, "this changed"

right = off = 0
for name in (f"tx{number}" for number in range(300)):
    found, exons, coding = thick_bases(genes.bed12(name)), exons_of[name], coding_of[name]
    if coding:
        right += found == sum(max(0, min(end, coding[1]) - max(start, coding[0])) for start, end in exons)
    else:
        off += found == sum(end - start for start, end in exons) - 1
print(f"150 coding transcripts: {right} have their coding bases; 150 others: {off} code for all bases but one")
assert right == 150
assert off == 150, "this changed"
PY
