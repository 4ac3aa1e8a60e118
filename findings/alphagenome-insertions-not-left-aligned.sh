#!/usr/bin/env bash
# alphagenome 0.10.0, data.genome.normalize_variant ("left-aligning the reference and alternate bases", by the algorithm of vt),
# Python 3.11 to 3.13 (PYTHON names one): an insertion into a run that is written at the last base of the run stays there. The
# bases of the genome behind it are taken as a third allele whose end has to be the same as well, and behind the run it is not.
# Deletions are right.
# Expected: of GGCAAATGG an A more after the third A, 6 A>AA, is 3 C>CA, as vt and bcftools norm write it.
# Seen: 6 A>AA, while the deletion of an A, 5 AA>A, becomes 3 CA>C. Of 500 random insertions that repeat the bases before them,
# written as far right as they go, as HGVS has them, none is left-aligned and 437 stay where they are; of the same written as
# far left as they go, and of 500 deletions as far right as they go, all are what the algorithm gives by hand. So one variant
# has two names, and a look-up by position and alleles misses it. No error, no warning. No report of it was found.
set -euo pipefail
for python in "${PYTHON:-python3}" python3.11 python3.12 python3.13 "$HOME"/.pyenv/versions/3.1[123]*/bin/python none; do
  if "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then break; fi
done
[[ "$python" != none ]] || { echo "Python 3.11 to 3.13 is needed: PYTHON=/path/to/python $0"; exit 1; }
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/env"
"$folder/env/bin/pip" install -q --no-deps alphagenome==0.10.0  # its data module needs these alone
"$folder/env/bin/pip" install -q numpy==2.4.6 protobuf==7.36.2 typing-extensions
cd "$folder"
env/bin/python -W ignore - <<'PY'
import random

from alphagenome.data import genome


class Text:
    """The genome as normalize_variant asks for it."""

    def __init__(self, bases):
        self.bases = bases

    def extract(self, interval):
        return self.bases[interval.start : interval.end]


def normalised(bases, position, reference, alternate):
    found = genome.normalize_variant(genome.Variant("chr1", position, reference, alternate), Text(bases))
    return found.position, found.reference_bases, found.alternate_bases


def by_hand(bases, position, reference, alternate):
    """Tan, Abecasis and Kang 2015: cut equal ends, go left where an allele is empty, cut equal beginnings."""
    changed = True
    while changed:
        changed = False
        if reference and alternate and reference[-1] == alternate[-1]:
            reference, alternate, changed = reference[:-1], alternate[:-1], True
        if not reference or not alternate:
            position -= 1
            base = bases[position - 1]
            reference, alternate, changed = base + reference, base + alternate, True
    while min(len(reference), len(alternate)) > 1 and reference[0] == alternate[0]:
        position, reference, alternate = position + 1, reference[1:], alternate[1:]
    return position, reference, alternate


def changed(bases, position, reference, alternate):
    assert bases[position - 1 : position - 1 + len(reference)] == reference
    return bases[: position - 1] + alternate + bases[position - 1 + len(reference) :]


bases = "GGCAAATGGTACGT"
for variant in ((6, "A", "AA"), (5, "AA", "A")):
    print(variant, "becomes", normalised(bases, *variant), "; by hand", by_hand(bases, *variant))
assert by_hand(bases, 6, "A", "AA") == (3, "C", "CA")
assert normalised(bases, 5, "AA", "A") == by_hand(bases, 5, "AA", "A") == (3, "CA", "C")
assert normalised(bases, 6, "A", "AA") == (6, "A", "AA"), "this changed"

rng, stays = random.Random(0), 0
right = dict.fromkeys(["insertions from the left", "insertions from the right", "deletions from the right"], 0)
for _ in range(500):
    unit = rng.choice(["A", "C", "G", "T", "AC", "GT", "CAG"])
    run = unit * rng.randrange(2, 6)
    before = "".join(rng.choices("ACGT", k=20)) + rng.choice([b for b in "ACGT" if b != unit[-1]])
    after = rng.choice([b for b in "ACGT" if b != unit[0]]) + "".join(rng.choices("ACGT", k=20))
    bases, first, last = before + run + after, len(before), len(before) + len(run)
    variants = {
        "insertions from the left": (first, before[-1], before[-1] + unit),
        "insertions from the right": (last, run[-1], run[-1] + unit),
        "deletions from the right": (last - len(unit), bases[last - len(unit) - 1 : last], bases[last - len(unit) - 1]),
    }
    for name, variant in variants.items():
        expected, found = by_hand(bases, *variant), normalised(bases, *variant)
        assert changed(bases, *expected) == changed(bases, *found) == changed(bases, *variant)
        stays += name == "insertions from the right" and found == variant and expected[0] < found[0]
        right[name] += found == expected
print("left-aligned of 500:", right, "; of the insertions from the right stay where they are:", stays)
assert right["insertions from the left"] == right["deletions from the right"] == 500
assert stays > 300 and right["insertions from the right"] < 100, "this changed"
PY
