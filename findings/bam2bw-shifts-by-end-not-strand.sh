#!/usr/bin/env bash
# bam2bw 0.5.1 with -3p (3' ends, as of a run-on library): --pos_shift, "a shift to apply to positive strand reads", is
# added to the leftmost base of every read and --neg_shift to the rightmost, whatever the strand. The 3' end of a read on
# "+" is its rightmost base, so it moves by --neg_shift and not at all by --pos_shift; on "-" the other way round.
# A .bed or .bed.gz, which is taken without a word as well, has its strand column ignored: all reads are laid on "+", each
# by the end that it would have there, and the file of "-" is empty.
# Expected: with --pos_shift 1, the 3' end of the read on "+" moves by 1 and that of the read on "-" stays, and the BED6 of
# the same reads gives the same two files.
# Seen, reads at 100-130 on "+" and 200-230 on "-", whose 3' ends are 129 and 200: --pos_shift 1 gives 129 and 201; of the
# BED6 without a shift both are on "+", at 129 and 229.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q bam2bw==0.5.1 pysam==0.24.1 pyBigWig==0.3.29 pyfaidx==0.9.2.2 numpy==2.4.6 joblib==1.6.0
cd "$folder"
env/bin/python - <<'PY'
import pysam

header = {"HD": {"VN": "1.6", "SO": "coordinate"}, "SQ": [{"SN": "chr1", "LN": 1000}]}
with pysam.AlignmentFile("reads.bam", "wb", header=header) as out, open("reads.bed", "w") as bed:
    for start, flag, strand in ((100, 0, "+"), (200, 16, "-")):
        read = pysam.AlignedSegment(out.header)
        read.query_name, read.query_sequence, read.flag, read.mapping_quality = strand, "A" * 30, flag, 60
        read.reference_id, read.reference_start, read.cigar = 0, start, [(0, 30)]
        out.write(read)
        bed.write(f"chr1\t{start}\t{start + 30}\t{strand}\t60\t{strand}\n")
open("sizes", "w").write("chr1\t1000\n")
PY
positions() { # OPTIONS: where the two files have counts
  env/bin/bam2bw -s sizes -n out "$@" >log 2>&1 || { tail -n 3 log; exit 1; }
  env/bin/python -c "
import pyBigWig
print(*('+-'[i] + ':' + ','.join(str(s) for s, e, v in pyBigWig.open(f'out.{\"+-\"[i]}.bw').intervals('chr1') or ())
        for i in range(2)))"
}
expect() { # WHAT OPTIONS
  local found what=$1; shift
  found=$(positions "$@")
  echo "$*: $found"
  [[ "$found" == "$what" ]] || { echo "this changed"; exit 1; }
}
expect "+:129 -:200" reads.bam -3p
expect "+:129 -:201" reads.bam -3p --pos_shift 1
expect "+:130 -:200" reads.bam -3p --neg_shift 1
expect "+:101 -:229" reads.bam --pos_shift 1 # of 5' ends it is as the help says
expect "+:129,229 -:" reads.bed -3p
