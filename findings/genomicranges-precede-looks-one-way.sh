#!/usr/bin/env bash
# genomicranges 0.9.0, GenomicRanges.precede and follow with ignore_strand=False, their default, Python 3.11 to 3.13 (PYTHON
# names one): the strand only decides which pairs are kept. The direction is that of the coordinates for both strands, so for a
# range on "-" the next one downstream is looked for upstream, and precede and follow change places. Bioconductor, whose method
# it is, turns around for "-".
# Expected: of three genes on "-" at 1,000, 5,000 and 9,000 the one in the middle precedes the one at 1,000, since it is read
# towards it; and where all coordinates are mirrored and all strands turned, the answers stay the same.
# Seen: 9,000 for precede and 1,000 for follow, as on "+". Of 200 random sets of 20 ranges and 20 queries on both strands the
# answers for "-" are, all of them, those that the mirror image gives for the other of the two functions. No warning. No report
# of it was found; nearest has a fault of its own.
set -euo pipefail
for python in "${PYTHON:-python3}" python3.11 python3.12 python3.13 "$HOME"/.pyenv/versions/3.1[123]*/bin/python none; do
  if "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then break; fi
done
[[ "$python" != none ]] || { echo "Python 3.11 to 3.13 is needed: PYTHON=/path/to/python $0"; exit 1; }
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/env"
"$folder/env/bin/pip" install -q genomicranges==0.9.0 iranges==0.7.3 biocframe==0.8.1 biocutils==0.5.0 numpy==2.4.6
"$folder/env/bin/python" -W ignore - <<'PY'
import random

from genomicranges import GenomicRanges
from iranges import IRanges

LENGTH = 100_000


def ranges(rows):
    """Ranges of (start, end, strand) on one chromosome, from 1 and with the end in it."""
    starts, ends, strands = zip(*rows, strict=True)
    widths = [e - s + 1 for s, e in zip(starts, ends, strict=True)]
    return GenomicRanges(["chr1"] * len(rows), IRanges(list(starts), widths), strand=list(strands))


def mirrored(rows):
    return [(LENGTH + 1 - end, LENGTH + 1 - start, "-" if strand == "+" else "+") for start, end, strand in rows]


def answers(name, subject, query):
    found = getattr(ranges(subject), name)(ranges(query))
    return [None if i is None else subject[int(i)][0] for i in found]


genes = [(1000, 1200, "-"), (5000, 5200, "-"), (9000, 9200, "-")]
plus = [(start, end, "+") for start, end, _ in genes]
for name in ("precede", "follow"):
    print(name, "of the gene at 5000: on '-'", answers(name, genes, genes[1:2]), "on '+'", answers(name, plus, plus[1:2]))
assert answers("precede", plus, plus[1:2]) == [9000] and answers("follow", plus, plus[1:2]) == [1000]
assert answers("precede", genes, genes[1:2]) == [9000] and answers("follow", genes, genes[1:2]) == [1000], "this changed"

rng = random.Random(0)
same = turned = total = 0
for _ in range(200):
    spots = rng.sample(range(1, 990), 40)
    rows = [(100 * s, 100 * s + rng.randrange(10, 90), rng.choice("+-")) for s in spots]
    subject, query = rows[:20], [row for row in rows[20:] if row[2] == "-"]
    if not query:
        continue
    place = {LENGTH + 1 - end: start for start, end, _ in subject}  # by its start in the mirror, where a range lies
    image = [place.get(start) for start in answers("precede", mirrored(subject), mirrored(query))]
    other = [place.get(start) for start in answers("follow", mirrored(subject), mirrored(query))]
    found = answers("precede", subject, query)
    total += len(found)
    same += sum(a == b is not None for a, b in zip(found, image, strict=True))
    turned += sum(a == b for a, b in zip(found, other, strict=True))
print(f"precede of {total} ranges on '-': {same} as in the mirror, {turned} as follow in the mirror")
assert turned == total > 1000 and same == 0, "this changed"
PY
