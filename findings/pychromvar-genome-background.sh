#!/usr/bin/env bash
# pychromvar 0.0.4, match_motif(background="genome", genome_file=...): the bases of the genome are never read. "To use the
# whole genome", as the docstring has it, gives the same matches as background="even", a quarter of each base, for any
# genome; background="subject", which counts the bases of the peaks, differs.
# Expected: thresholds for the composition of the file, here 80% A and T, as background="subject" has them where the peaks
# are of that composition.
set -euo pipefail
for python in "${PYTHON:-python3}" python3.11 "$HOME"/.pyenv/versions/3.11*/bin/python none; do
  if "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then break; fi
done
[[ "$python" != none ]] || { echo "Python 3.11 is needed: PYTHON=/path/to/python $0"; exit 1; }
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/env"
"$folder/env/bin/pip" install -q pychromvar==0.0.4 anndata==0.12.19 mudata==0.3.10 numpy==2.4.6 scipy==1.17.1 pandas==2.3.3 biopython==1.86
cd "$folder"
env/bin/python -W ignore - 2>log <<'PY' || { tail -n 3 log; exit 1; }
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pychromvar
from Bio import motifs

rng = np.random.default_rng(0)
genome = "".join(rng.choice(list("ACGT"), 100_000, p=[0.4, 0.1, 0.1, 0.4]))
Path("genome.fa").write_text(f">chr1\n{genome}\n")
starts = np.arange(0, 99_000, 250)
peaks = anndata.AnnData(np.ones((2, starts.size), "float32"), var=pd.DataFrame(index=[f"chr1-{s}-{s + 200}" for s in starts]))
pychromvar.add_peak_seq(peaks, "genome.fa")
counts = {"A": [8, 1, 1, 1, 8, 1], "C": [1, 8, 1, 1, 1, 1], "G": [1, 1, 8, 1, 1, 8], "T": [1, 1, 1, 8, 1, 1]}
motif = motifs.Motif(alphabet="ACGT", counts=counts)
motif.matrix_id, motif.name = "M1", "made"
matched = {}
for background in ("even", "genome", "subject"):
    pychromvar.match_motif(peaks, [motif], p_value=1e-3, background=background, genome_file="genome.fa")
    matched[background] = peaks.varm["motif_match"][:, 0].copy()
    print(background, "->", int(matched[background].sum()), "of", starts.size, "peaks with the motif")
assert (matched["genome"] == matched["even"]).all()  # the file made no difference
assert (matched["subject"] != matched["even"]).any()  # though its composition does
PY
