#!/usr/bin/env bash
# genomepy 0.16.4, Genome.get_random_sequences (gimmemotifs draws its backgrounds by it), Python 3.11 to 3.13 (PYTHON names one):
# the start of a region is drawn between 0 and the length of the chromosome less its bases N, wherever those lie, so as many
# bases as there are N, counted from the right end, are never drawn from. The acrocentric chromosomes of human and all of the
# mouse begin with millions of N, and lose as many real bases at their other ends; the bases between are drawn too often.
# Expected: each base that is not N is drawn about as often, as drawing over the whole chromosome and leaving out the N gives.
# Seen: of a chromosome of 40,000 N and 60,000 bases, 2,000 regions of 200 bases all end by 60,000: two thirds of its bases are
# never drawn. Of one whose ends differ in GC (0.3 on the left, 0.6 on the right) the regions have the GC 0.3, and the bases
# 0.5. With the same N at the right end the regions lie everywhere, and the GC is right. No error, no warning.
set -euo pipefail
for python in "${PYTHON:-python3}" python3.11 python3.12 python3.13 "$HOME"/.pyenv/versions/3.1[123]*/bin/python none; do
  if "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then break; fi
done
[[ "$python" != none ]] || { echo "Python 3.11 to 3.13 is needed: PYTHON=/path/to/python $0"; exit 1; }
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/env"
"$folder/env/bin/pip" install -q genomepy==0.16.4 pyfaidx==0.9.2.2 numpy==2.4.6 pandas==2.3.3 2>/dev/null
cd "$folder"
env/bin/python -W ignore - 2>log <<'PY' || { tail -n 3 log; exit 1; }
import random
from pathlib import Path

import numpy as np
from genomepy import Genome

GAP, BASES, WIDTH, REGIONS = 40_000, 60_000, 200, 2000
rng = np.random.default_rng(0)
random.seed(0)


def bases(length, gc):
    return "".join(rng.choice(list("ACGT"), length, p=[(1 - gc) / 2, gc / 2, gc / 2, (1 - gc) / 2]))


def gc_of(text):
    return sum(text.count(base) for base in "GC") / sum(text.count(base) for base in "ACGT")


def draw(name, sequence):
    """The starts of random regions, and those of regions that are drawn over the whole chromosome and have no N."""
    Path(name).mkdir()
    Path(name, f"{name}.fa").write_text(f">chr1\n{sequence}\n")
    drawn = Genome(f"{name}/{name}.fa").get_random_sequences(n=REGIONS, length=WIDTH, max_n=0)
    right = [at for at in rng.integers(0, len(sequence) - WIDTH, 4 * REGIONS) if "N" not in sequence[at : at + WIDTH]]
    return [start for _, start, _ in drawn], right[:REGIONS]


sequence = bases(BASES // 3, 0.3) + bases(2 * BASES // 3, 0.6)
for name, whole in (("left", "N" * GAP + sequence), ("right", sequence + "N" * GAP)):
    gap = range(GAP) if name == "left" else range(BASES, BASES + GAP)
    seen, wanted = draw(name, whole)
    seen_gc, wanted_gc = (np.mean([gc_of(whole[at : at + WIDTH]) for at in starts]) for starts in (seen, wanted))
    print(f"N at {gap[0]}-{gap[-1] + 1}: regions lie in {min(seen)}-{max(seen) + WIDTH},",
          f"over the whole {min(wanted)}-{max(wanted) + WIDTH};",
          f"GC of the regions {seen_gc:.2f}, over the whole {wanted_gc:.2f}, of the bases {gc_of(whole):.2f}")
    assert abs(wanted_gc - gc_of(whole)) < 0.02
    if name == "right":
        assert max(seen) + WIDTH > BASES - 500 and abs(seen_gc - gc_of(whole)) < 0.02
    else:
        assert max(wanted) + WIDTH > GAP + BASES - 500
        assert max(seen) + WIDTH <= BASES, "this changed"
        assert seen_gc < 0.32, "this changed"
PY
