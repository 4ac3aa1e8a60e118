#!/usr/bin/env bash
# deepTools 4.0.0 bamCoverage (the new core), Python 3.12 or later (PYTHON names one): with --scaleFactor other than 1,
# --normalizeUsing is dropped without a word. The help says that the computed factor is multiplied by --scaleFactor, which
# is how spike-in factors are applied on top of CPM. And all values are rounded to two decimals, bigWig too, so a
# factor of 0.004 alone leaves an empty track.
# Expected: of 20 reads one is 50,000 CPM, so 25,000 with --scaleFactor 0.5; and 0.004 for a read with 0.004 alone.
# Seen: 0.5, for CPM, RPKM, and BPM alike, the same as without normalisation; and 0. bamCoverage_old of the same package
# gives 25000 and 0.004.
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
with pysam.AlignmentFile("reads.bam", "wb", header=header) as out:
    for i in range(20):
        read = pysam.AlignedSegment(out.header)
        read.query_name, read.query_sequence, read.flag, read.mapping_quality = f"r{i}", "A" * 30, 0, 60
        read.reference_id, read.reference_start, read.cigar = 0, 1000 * i, [(0, 30)]
        read.query_qualities = pysam.qualitystring_to_array("I" * 30)
        out.write(read)
pysam.index("reads.bam")
PY
height() { # TOOL OPTIONS: the highest value of the track
  env/bin/"$1" -b reads.bam -o track.bw -p 1 --binSize 10 "${@:2}" >log 2>&1 || { tail -n 3 log; exit 1; }
  env/bin/python -c "
import pyBigWig
print(f\"{max(v for s, e, v in pyBigWig.open('track.bw').intervals('chr1')):.6g}\")"
}
expect() { # VALUE TOOL OPTIONS
  local found
  found=$(height "${@:2}")
  echo "${*:2}: $found"
  [[ "$found" == "$1" ]] || { echo "this changed"; exit 1; }
}
expect 50000 bamCoverage --normalizeUsing CPM
expect 0.5 bamCoverage --normalizeUsing CPM --scaleFactor 0.5 # 25000 by the help
expect 0.5 bamCoverage --normalizeUsing RPKM --scaleFactor 0.5
expect 0.5 bamCoverage --normalizeUsing BPM --scaleFactor 0.5
expect 0.5 bamCoverage --scaleFactor 0.5
expect 25000 bamCoverage_old --normalizeUsing CPM --scaleFactor 0.5
expect 0 bamCoverage --scaleFactor 0.004
expect 0.004 bamCoverage_old --scaleFactor 0.004
