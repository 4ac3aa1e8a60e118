#!/usr/bin/env bash
# scvi-tools 1.5.1 with genomepy 0.16.4 and pyfaidx 0.9.2.2, data.add_dna_sequence, Python 3.12 or later (PYTHON names one): the
# sequence of each peak begins one base left of it and lacks its last base. Starts of peaks count from 0, in BED and in the
# tables of Cell Ranger and snapatac2; get_seq takes positions that count from 1, and the start is handed over as it is. It is
# what SCBASSET learns from, so a variant or a motif sought in dna_code by position is found one place further on.
# Expected: with seq_len as wide as the peak, the bases of the peak, as slicing the text of the FASTA file gives them.
# Seen: of a peak that is the site TGACGTCA, CTGACGTC. Of 200 random peaks of any width, with 500, 501 and 1,344 bases asked for,
# all begin one base early. Starts that count from 1, with ends included, are no way out: peaks of 500 bases are one base off.
set -euo pipefail
for python in "${PYTHON:-python3}" python3.14 python3.13 python3.12 "$HOME"/.pyenv/versions/3.1[2-9]*/bin/python none; do
  if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then break; fi
done
[[ "$python" != none ]] || { echo "Python 3.12 or later is needed: PYTHON=/path/to/python $0"; exit 1; }
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/env"
"$folder/env/bin/pip" install -q scvi-tools==1.5.1 torch==2.13.0 lightning==2.6.6 torchmetrics==1.9.0 pyro-ppl==1.9.2 anndata==0.13.4 \
  mudata==0.4.1 scanpy==1.12.4 numba==0.68.1 numpy==2.5.5 pandas==3.1.1 scipy==1.18.1 scikit-learn==1.9.1 xarray==2026.9.0 \
  sparse==0.19.3 genomepy==0.16.4 pyfaidx==0.9.2.2 2>"$folder/log" || { tail -n 3 "$folder/log"; exit 1; }
cd "$folder"
export HOME=$folder  # genomepy keeps a configuration there
env/bin/python -W ignore - 2>log <<'PY' || { tail -n 3 log; exit 1; }
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import scvi

SIZE, SITE, AT = 50_000, "TGACGTCA", 10_000
rng = np.random.default_rng(0)
bases = "".join(rng.choice(list("ACGT"), SIZE))
bases = bases[: AT - 1] + "C" + SITE + bases[AT + len(SITE) :]
assert bases.count(SITE) == 1 and len(bases) == SIZE
Path("genomes/toy").mkdir(parents=True)
Path("genomes/toy/toy.fa").write_text(">chr1\n" + "\n".join(bases[i : i + 60] for i in range(0, SIZE, 60)) + "\n")


def sequences(starts, ends, length):
    """What add_dna_sequence finds for the peaks, as text."""
    var = pd.DataFrame({"chr": "chr1", "start": starts, "end": ends}, index=[f"peak{i}" for i in range(len(starts))])
    data = anndata.AnnData(np.zeros((2, len(var)), dtype="float32"), var=var)
    scvi.data.add_dna_sequence(data, seq_len=length, genome_name="toy", genome_dir=Path("genomes"), install_genome=False)
    return ["".join(row) for row in data.varm["dna_sequence"].values]


[seen] = sequences([AT], [AT + len(SITE)], len(SITE))
print(f"the peak {AT}-{AT + len(SITE)} is {bases[AT : AT + len(SITE)]} in the file, and {seen}")
assert seen == "C" + SITE[:-1], "this changed"

starts = rng.integers(2000, SIZE - 4000, 200)
widths = rng.integers(200, 1200, 200)
for length in (500, 501, 1344):
    begins = starts + widths // 2 - length // 2
    early = {begin - bases.find(got) for begin, got in zip(begins.tolist(), sequences(starts, starts + widths, length))}
    print(f"200 peaks, {length} bases about the middle: begin {early} early")
    assert early == {1}, "this changed"

# the same places told in the other way: from 1, with the end included
early = {start - bases.find(got) for start, got in zip(starts.tolist(), sequences(starts + 1, starts + 500, 500))}
print(f"200 peaks of 500 bases, counted from 1: begin {early} early")
assert early == {1}, "this changed"
PY
