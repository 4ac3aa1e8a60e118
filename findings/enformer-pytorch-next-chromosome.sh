#!/usr/bin/env bash
# enformer-pytorch 0.8.12 with polars 2.1.0 and pyfaidx 0.9.2.2, GenomeIntervalDataset, Python 3.12 (PYTHON names it): where
# chromosomes are called 1, 2, 3 as Ensembl and NCBI call them, polars reads the first column of the BED file as numbers, and
# pyfaidx takes a number for the place of a record in the file, counted from 0. So peaks of 1 get the bases of 2, peaks of 2
# those of 3. It is so for any BED file of autosomes, and with GRCh38 of Ensembl, whose records are in the order of the numbers.
# Expected: the bases of the peaks, as slicing the text of the FASTA file gives them.
# Seen, 19 chromosomes and X with five peaks on each of the 19: none of 95 sequences is its peak's, and all are those of the
# same places of the next chromosome. chr_bed_to_fasta_map={"1": ...} is not looked at either, since 1 is not "1". With "chr"
# before the names all 95 are right. No error, no warning. No report of it was found; of tangermeme an error on such names is
# reported.
set -euo pipefail
for python in "${PYTHON:-python3}" python3.12 "$HOME"/.pyenv/versions/3.12*/bin/python none; do
  if "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 12))' 2>/dev/null; then break; fi
done
[[ "$python" != none ]] || { echo "Python 3.12 is needed: PYTHON=/path/to/python $0"; exit 1; }
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/env"
"$folder/env/bin/pip" install -q enformer-pytorch==0.8.12 polars==2.1.0 pyfaidx==0.9.2.2 numpy==2.5.5 torch==2.13.0
cd "$folder"
env/bin/python -W ignore - <<'PY'
import random

from enformer_pytorch import GenomeIntervalDataset

rng = random.Random(0)
names = [str(i) for i in range(1, 20)] + ["X"]
genome = {name: "".join(rng.choices("ACGT", k=2000)) for name in names}
peaks = [(name, 100 * i, 100 * i + 50) for name in names[:-1] for i in range(1, 6)]


def sequences(prefix, **options):
    """The sequence of each peak as the dataset gives it, as text."""
    with open("genome.fa", "w") as file:
        file.writelines(f">{prefix}{name}\n{bases}\n" for name, bases in genome.items())
    with open("peaks.bed", "w") as file:
        file.writelines(f"{prefix}{name}\t{start}\t{end}\n" for name, start, end in peaks)
    data = GenomeIntervalDataset(bed_file="peaks.bed", fasta_file="genome.fa", **options)
    return ["".join("ACGT"[i] for i in data[row].argmax(-1).tolist()) for row in range(len(data))]


own = [genome[name][start:end] for name, start, end in peaks]
of_next = [genome[names[names.index(name) + 1]][start:end] for name, start, end in peaks]
assert sequences("chr") == own
plain = sequences("")
print("right:", sum(map(str.__eq__, plain, own)), "of", len(own), "; of the next chromosome:", sum(map(str.__eq__, plain, of_next)))
assert plain == of_next, "this changed"
mapped = sequences("", chr_bed_to_fasta_map={name: "X" for name in names})
print("with every chromosome mapped to X:", mapped == [genome["X"][start:end] for name, start, end in peaks])
assert mapped == of_next, "this changed: the map is looked at"
PY
