#!/usr/bin/env bash
# genomepy 0.16.4, Genome.track2fasta, Python 3.11 to 3.13 (PYTHON names one): of the block lists of a BED12 the text behind the
# last comma is thrown away. The specification of the format has that comma optional: UCSC writes "50,60,70,", and bedtools
# (bamtobed -bed12) and pybedtools write "50,60,70". Of such a file each transcript loses its rightmost exon: its 3' end on "+",
# its 5' end, the start codon with it, on "-". One with a single exon is left out, which is logged as one "that cannot be parsed".
# Expected: the same sequences with the comma and without it, which are those of the exons.
# Seen: of three exons of 50, 60 and 70 bases 180 bases with the comma and 110 without. Of 200 random transcripts with two to
# six exons all are shorter, by their right exon, and right with the comma. Nothing is said of these.
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
from pathlib import Path

import numpy as np
from genomepy import Genome

rng = np.random.default_rng(0)
sequence = "".join(rng.choice(list("ACGT"), 300_000))
Path("toy").mkdir()
Path("toy/toy.fa").write_text(f">chr1\n{sequence}\n")
genome = Genome("toy/toy.fa")


def spliced(transcripts, comma):
    """The sequences of transcripts, given as strand and exons, from a BED12 with or without the last comma."""
    with open("transcripts.bed", "w") as file:
        for number, (strand, exons) in enumerate(transcripts):
            start, end = exons[0][0], exons[-1][1]
            sizes = ",".join(str(right - left) for left, right in exons) + comma
            starts = ",".join(str(left - start) for left, _ in exons) + comma
            row = "chr1", start, end, f"tx{number}", 0, strand, start, end, 0, len(exons), sizes, starts
            file.write("\t".join(map(str, row)) + "\n")
    return [found.seq for found in genome.track2fasta("transcripts.bed", stranded=True)]


def by_hand(strand, exons):
    joined = "".join(sequence[left:right] for left, right in exons)
    return joined if strand == "+" else joined[::-1].translate(str.maketrans("ACGT", "TGCA"))


one = [("+", [(50_000, 50_050), (50_100, 50_160), (50_230, 50_300)])]
lengths = [len(spliced(one, comma)[0]) for comma in (",", "")]
print("three exons of 50, 60 and 70 bases, with the comma and without:", lengths)
assert len(by_hand(*one[0])) == lengths[0] == 180
assert lengths[1] == 110, "this changed"

transcripts = []
for start in range(1000, 281_000, 1400):
    ends = start + np.sort(rng.choice(1000, 2 * rng.integers(2, 7), replace=False))
    transcripts.append((str(rng.choice(["+", "-"])), ends.reshape(-1, 2).tolist()))
right = [by_hand(*transcript) for transcript in transcripts]
less = [by_hand(strand, exons[:-1]) for strand, exons in transcripts]
bare = spliced(transcripts, "")
print(f"{len(right)} transcripts: {sum(map(str.__eq__, bare, right))} right without the comma,",
      f"{sum(map(str.__eq__, bare, less))} are those without the right exon")
assert spliced(transcripts, ",") == right
assert bare == less, "this changed"
PY
