#!/usr/bin/env bash
# biopython 1.88, Bio.motifs.parse(handle, "minimal"): probabilities of a MEME motif come back as counts of `nsites`,
# rounded to whole numbers, so that with few sites the motif is another one.
# Expected: a row 0.9 0.05 0.03 0.02 of a motif with nsites= 7 gives these probabilities again.
# Seen: counts 6 0 0 0, so probabilities 1 0 0 0; rows no longer hold the same number of counts (8, 6, 7).
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q "biopython==1.88" "numpy==2.2.6"
"$folder/env/bin/python" - <<'PY'
import io
from Bio import motifs

text = """MEME version 4

ALPHABET= ACGT

strands: + -

Background letter frequencies
A 0.25 C 0.25 G 0.25 T 0.25

MOTIF A
letter-probability matrix: alength= 4 w= 3 nsites= 7 E= 1e-3
0.25 0.25 0.25 0.25
0.9 0.05 0.03 0.02
0.1 0.2 0.3 0.4
"""
motif = motifs.parse(io.StringIO(text), "minimal")[0]
p = [[round(float(motif.counts.normalize()[b][i]), 3) for b in "ACGT"] for i in range(3)]
print({b: list(map(float, motif.counts[b])) for b in "ACGT"}, p)
assert p[1] == [1.0, 0.0, 0.0, 0.0], "the probabilities are kept now"
PY
