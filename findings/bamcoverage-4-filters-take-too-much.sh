#!/usr/bin/env bash
# deepTools 4.0.0 bamCoverage and multiBamSummary (the new core), Python 3.12 or later (PYTHON names one): two filters take
# more than their help says. --minFragmentLength, "for filtering mono- or di-nucleosome fragments" of ATAC-seq, keeps no read
# at all if --maxFragmentLength is not given too: its default, 0, is a limit then. --blackListFileName drops every read
# that touches a region, where the help says that only the portion that overlaps is left out.
# Expected: of pairs of 80, 180 and 400 bases, --minFragmentLength 150 keeps four reads; and of a read of 30 bases whose first
# 10 are blacklisted, 20 bases are counted.
# Seen: a track of zeros, with exit status 0, and the four reads with a maximum of 10,000 beside it; no base of the read.
# bamCoverage_old of the same package does as expected.
set -euo pipefail
for python in "${PYTHON:-python3}" python3.12 python3.13 python3.14 "$HOME"/.pyenv/versions/3.1[2-9]*/bin/python none; do
  if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then break; fi
done
[[ "$python" != none ]] || { echo "Python 3.12 or later is needed: PYTHON=/path/to/python $0"; exit 1; }
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/env"
"$folder/env/bin/pip" install -q deeptools==4.0.0 deeptoolsintervals==0.1.9 py2bit==1.0.1 pysam==0.24.1 pyBigWig==0.3.29 \
  numpy==2.4.6 scipy==1.17.1 matplotlib==3.11.2
cd "$folder"
env/bin/python - <<'PY'
import pysam

header = {"HD": {"VN": "1.6", "SO": "coordinate"}, "SQ": [{"SN": "chr1", "LN": 100000}]}
with pysam.AlignmentFile("pairs.bam", "wb", header=header) as out:
    for at, length in ((1000, 80), (2000, 180), (3000, 400)):
        for start, flag, mate, size in ((at, 99, at + length - 30, length), (at + length - 30, 147, at, -length)):
            read = pysam.AlignedSegment(out.header)
            read.query_name, read.query_sequence, read.flag, read.mapping_quality = f"p{length}", "A" * 30, flag, 60
            read.query_qualities, read.cigar = pysam.qualitystring_to_array("I" * 30), [(0, 30)]
            read.reference_id, read.reference_start = 0, start
            read.next_reference_id, read.next_reference_start, read.template_length = 0, mate, size
            out.write(read)
pysam.index("pairs.bam")
open("black.bed", "w").write("chr1\t900\t1010\n")
open("all.bed", "w").write("chr1\t0\t100000\n")
PY
bases() { # TOOL OPTIONS: the covered bases of the track
  env/bin/"$1" -b pairs.bam -o track.bw -p 1 --binSize 1 "${@:2}" >log 2>&1 || { tail -n 3 log; exit 1; }
  env/bin/python -c "
import pyBigWig
print(int(sum((e - s) * v for s, e, v in pyBigWig.open('track.bw').intervals('chr1'))))"
}
reads() { # OPTIONS: the count of multiBamSummary
  env/bin/multiBamSummary BED-file --BED all.bed -b pairs.bam pairs.bam -o sums.npz --outRawCounts sums.tsv "$@" >log 2>&1 \
    || { tail -n 3 log; exit 1; }
  tail -n 1 sums.tsv | cut -f 4
}
expect() { # VALUE COMMAND
  local found
  found=$("${@:2}")
  echo "${*:2}: $found"
  [[ "$found" == "$1" ]] || { echo "this changed"; exit 1; }
}
expect 180 bases bamCoverage # six reads of 30 bases
expect 0 bases bamCoverage --minFragmentLength 150 # 120, four reads, is right
expect 120 bases bamCoverage --minFragmentLength 150 --maxFragmentLength 10000
expect 120 bases bamCoverage_old --minFragmentLength 150
expect 6 reads
expect 0 reads --minFragmentLength 150
expect 4 reads --minFragmentLength 150 --maxFragmentLength 10000
expect 150 bases bamCoverage --blackListFileName black.bed # 170 is right
expect 170 bases bamCoverage_old --blackListFileName black.bed
