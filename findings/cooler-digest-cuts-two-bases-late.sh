#!/usr/bin/env bash
# cooler 0.11.0 (`cooler digest`) and bioframe 0.8.0 (digest) with biopython 1.88: each restriction fragment begins and ends two
# bases late. Biopython's search gives the first base after the cut, counted from 1, so the cut lies one less in a BED; both
# packages add one in place of taking one off. Contacts are laid on fragments by such a table, and a read that begins at the
# cut, as the reads of a digested end do, falls on the fragment before its own.
# Expected: EcoRI cuts G^AATTC, so with the site at base 100 (from 0) fragments of 0-101 and 101-..., the second of which begins
# with AATTC, as Biopython's own catalyse cuts them.
# Seen: 0-103 and 103-..., which begins with TTC; the table of `cooler digest` is the same. Of 40,000 random bases and three
# enzymes with overhangs of either kind and none, no cut of either package is right and each is two bases late.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q cooler==0.11.0 bioframe==0.8.0 biopython==1.88 pandas==2.3.3 numpy==2.4.6 scipy==1.17.1 \
  h5py==3.16.0 pyfaidx==0.9.2.2 matplotlib==3.11.2
cd "$folder"
env/bin/python -W ignore - <<'PY'
import subprocess

import bioframe
import cooler
import numpy as np
from Bio import Restriction
from Bio.Seq import Seq

rng = np.random.default_rng(0)
filler = "".join(rng.choice(list("CT"), 400))  # no site of its own
bases = filler[:100] + "GAATTC" + filler[106:]
with open("genome.fa", "w") as file:
    file.write(f">chr1\n{bases}\n")
with open("sizes", "w") as file:
    file.write("chr1\t400\n")
subprocess.run(["env/bin/cooler", "digest", "--out", "fragments.bed", "sizes", "genome.fa", "EcoRI"], check=True)
written = [tuple(map(int, line.split()[1:3])) for line in open("fragments.bed")]
print("a site of EcoRI at", bases.find("GAATTC"), "- cooler digest:", written, "- by its cut: [(0, 101), (101, 400)]")
assert written == [(0, 103), (103, 400)], "this changed"

genome = "".join(rng.choice(list("ACGT"), 40_000))
for name, site, cut in (("EcoRI", "GAATTC", 1), ("AluI", "AGCT", 2), ("SacI", "GAGCTC", 5)):
    right = [at + cut for at in range(len(genome)) if genome.startswith(site, at)]
    pieces = getattr(Restriction, name).catalyse(Seq(genome))
    assert right == np.cumsum([len(piece) for piece in pieces])[:-1].tolist()
    for package, digest in (("cooler", cooler.util.digest), ("bioframe", bioframe.digest)):
        seen = digest({"chr1": genome}, name)["start"].tolist()[1:]
        late = sorted(set(np.subtract(seen, right).tolist()))
        print(f"{package} {name}: {len(right)} cuts, late by {late}")
        assert len(right) > 2 and late == [2], "this changed"
PY
