#!/usr/bin/env bash
# memelite 0.5.0, fimo(dim=1): "one dataframe for each example" leaves out the examples without a hit, so table i belongs
# to some later example, and with a FASTA file the tables come in the order of the sorted names, not of the file.
# Expected: as many tables as sequences, in their order, an empty one where nothing was found, as dim=0 gives for motifs.
# Seen: of 5 one-hot sequences with the motif in the 2nd and 4th, two tables, [0] of sequence 1 and [1] of sequence 3. Of
# the file chr2, chr10, chr1, which all have it, the tables are chr1, chr10, chr2. Counts of hits that are joined to
# peaks by position stand beside other peaks.
set -euo pipefail
for python in "${PYTHON:-python3}" python3.11 python3.12 python3.13 "$HOME"/.pyenv/versions/3.1[123]*/bin/python none; do
  if "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then break; fi
done
[[ "$python" != none ]] || { echo "Python 3.11 to 3.13 is needed: PYTHON=/path/to/python $0"; exit 1; }
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/env"
"$folder/env/bin/pip" install -q memelite==0.5.0 numba==0.68.1 numpy==2.4.6 pandas==2.3.3
cd "$folder"
env/bin/python -W ignore - 2>log <<'PY' || { tail -n 3 log; exit 1; }
from pathlib import Path

import numpy as np
from memelite import fimo

site = "ACGTACGA"
motif = {"m": np.eye(4)[["ACGT".index(base) for base in site]].T, "none": np.eye(4)[[1] * 8].T}
texts = ["T" * 30] * 5
for i in (1, 3):
    texts[i] = "T" * 10 + site + "T" * 12
onehot = np.stack([np.eye(4, dtype="int8")[["ACGT".index(base) for base in text]].T for text in texts])
by_motif = fimo(motif, onehot)
by_example = fimo(motif, onehot, dim=1)
found = [table["sequence_name"].unique().tolist() for table in by_example]
print("5 sequences, dim=0:", [len(table) for table in by_motif], "hits of 2 motifs; dim=1: tables of the sequences", found)
assert len(by_motif) == 2 and len(by_motif[1]) == 0  # a motif without a hit keeps its place
assert found == [[1], [3]], "this changed"
Path("some.fa").write_text("".join(f">{name}\n{texts[1]}\n" for name in ("chr2", "chr10", "chr1")))
names = [table["sequence_name"].iloc[0] for table in fimo(motif, "some.fa", dim=1)]
print("FASTA of chr2, chr10, chr1, dim=1: tables of", names)
assert names == ["chr1", "chr10", "chr2"], "this changed"
PY
