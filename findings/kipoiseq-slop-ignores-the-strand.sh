#!/usr/bin/env bash
# kipoiseq 0.7.1, Interval.slop and Interval.truncate, Python 3.11 or 3.12 (PYTHON names one): slop takes upstream, downstream and
# use_strand=True, and lays upstream on the left whatever the strand and whatever use_strand is. shift, resize and trim of the
# same class read the strand. So a promoter made by slop of a gene on "-" lies behind its end. truncate and is_valid take the
# last base of a chromosome as lying outside: an interval that ends with the chromosome is not valid and loses that base.
# Expected: 1,000 bases upstream of 5,000-6,000 on "-" make 5,000-7,000; and 900-1,000 of 1,000 bases is valid and stays.
# Seen: 4,000-6,000, as for "+"; not valid, and 900-999, as is 900-1,200. Of 200 random genes the sequence upstream, taken by the
# package's own extractor of FASTA, is the one of the right bases for all on "+" and for none on "-". No warning.
set -euo pipefail
for python in "${PYTHON:-python3}" python3.11 python3.12 "$HOME"/.pyenv/versions/3.1[12]*/bin/python none; do
  if "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; then break; fi
done
[[ "$python" != none ]] || { echo "Python 3.11 or 3.12 is needed: PYTHON=/path/to/python $0"; exit 1; }
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/env"
"$folder/env/bin/pip" install -q kipoiseq==0.7.1 kipoi==0.8.6 pyranges==0.1.7 pyfaidx==0.9.2.2 numpy==2.4.6 pandas==2.3.3 \
  setuptools==80.9.0 six==1.17.0 2>/dev/null
cd "$folder"
env/bin/python -W ignore - 2>log <<'PY' || { tail -n 3 log; exit 1; }
import numpy as np
from kipoiseq import Interval
from kipoiseq.extractors import FastaStringExtractor


def ends(interval):
    return interval.start, interval.end


for strand, right in (("+", (4000, 6000)), ("-", (5000, 7000))):
    gene = Interval("chr1", 5000, 6000, strand=strand)
    seen = [ends(gene.slop(upstream=1000, use_strand=use_strand)) for use_strand in (True, False)]
    print(f'1,000 bases upstream of 5,000-6,000 on "{strand}": {seen[0]}, with use_strand=False {seen[1]}; right {right}')
    assert seen[1] == (4000, 6000)
    assert (seen[0] == right) == (strand == "+"), "this changed"
    assert ends(gene.shift(-1000)) == ((4000, 5000) if strand == "+" else (6000, 7000))

last, past = Interval("chr1", 900, 1000), Interval("chr1", 900, 1200)
print("of a chromosome of 1,000 bases:", last, "valid", last.is_valid(1000), "truncated", last.truncate(1000), past.truncate(1000))
assert not last.is_valid(1000), "this changed"
assert ends(last.truncate(1000)) == ends(past.truncate(1000)) == (900, 999), "this changed"

rng = np.random.default_rng(0)
sequence = "".join(rng.choice(list("ACGT"), 200_000))
with open("genome.fa", "w") as file:
    file.write(f">chr1\n{sequence}\n")
fasta, hits = FastaStringExtractor("genome.fa", use_strand=True), {"+": [], "-": []}
for start, strand in zip(rng.integers(1000, 190_000, 200).tolist(), rng.choice(["+", "-"], 200), strict=True):
    end = start + 500
    upstream = fasta.extract(Interval("chr1", start, end, strand=str(strand)).slop(upstream=100))[:100]
    right = sequence[start - 100 : start]
    if strand == "-":
        right = sequence[end : end + 100][::-1].translate(str.maketrans("ACGT", "TGCA"))
    hits[strand].append(upstream == right)
print("upstream sequences that are right:", {strand: f"{sum(found)} of {len(found)}" for strand, found in hits.items()})
assert all(hits["+"])
assert not any(hits["-"]), "this changed"
PY
