#!/usr/bin/env bash
# deepTools 3.5.6 bamCoverage: a bin's value is the number of reads that touch it, so the sum over a file is no number of
# reads. Three reads of 30 bases, the default bins of 50 bp: the sum over bases is the reads' length rounded up to bins.
# Expected, of a track that run-on models read: one count a read, at its end.
# Seen: sum over bases 200 by default, 90 with --binSize 1 (one a base of the reads), and 3, one base a read, with
# --binSize 1 --Offset 1 alone. --filterRNAstrand forward keeps reads on the reverse strand (dUTP libraries), so a
# library of the read's own strand is turned over.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q "deeptools==3.5.6" "pysam==0.24.1" "pyBigWig==0.3.24" "numpy==2.2.6" \
  "matplotlib==3.11.2" "scipy==1.17.1"
cd "$folder"
env/bin/python - <<'PY'
import pysam

header = {"HD": {"VN": "1.6", "SO": "coordinate"}, "SQ": [{"SN": "chr1", "LN": 10000}]}
with pysam.AlignmentFile("reads.bam", "wb", header=header) as out:
    for i, (start, flag) in enumerate([(40, 0), (1010, 0), (2000, 16)]):  # the first touches two bins; one is reverse
        read = pysam.AlignedSegment(out.header)
        read.query_name, read.query_sequence, read.flag = f"r{i}", "A" * 30, flag
        read.reference_id, read.reference_start, read.mapping_quality = 0, start, 60
        read.cigar, read.query_qualities = [(0, 30)], pysam.qualitystring_to_array("I" * 30)
        out.write(read)
pysam.index("reads.bam")
PY
sum() { env/bin/python -c "
import sys, pyBigWig
b = pyBigWig.open(sys.argv[1])
print(int(sum((e - s) * v for s, e, v in b.intervals('chr1') or [])))" "$1"; }
make() { out=$1; shift; env/bin/bamCoverage -b reads.bam -o "$out" -p 1 --normalizeUsing None "$@" >log 2>&1 || { cat log; exit 1; }; }
make default.bw; make one.bw --binSize 1; make offset.bw --binSize 1 --Offset 1
make forward.bw --binSize 1 --Offset 1 --filterRNAstrand forward
echo "default $(sum default.bw), --binSize 1 $(sum one.bw), --binSize 1 --Offset 1 $(sum offset.bw), forward $(sum forward.bw)"
[[ $(sum default.bw) == 200 && $(sum one.bw) == 90 && $(sum offset.bw) == 3 && $(sum forward.bw) == 1 ]]
env/bin/python -c "
import pyBigWig
found = [(s, e) for s, e, v in pyBigWig.open('forward.bw').intervals('chr1') if v]
print('kept by --filterRNAstrand forward:', found)
assert found == [(2029, 2030)], found"
