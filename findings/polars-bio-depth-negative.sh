#!/usr/bin/env bash
# polars-bio 0.36.2, depth(): the depth is a 16-bit integer that wraps, so a place with more than 32,767 reads gets a
# negative depth and one with more than 65,535 a small one. Mitochondria of an ATAC library, rRNA of a run-on one and
# amplicons are that deep; a maximum, a mean or a threshold on the column then drops the deepest place of the genome.
# Expected: the number of reads, as samtools depth and pysam count them, or an error.
# Seen: 32,767 reads give 32767, 32,768 give -32768, 70,000 give 4464; the same with dense_mode="disable". No warning.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q polars-bio==0.36.2 polars==1.44.2 pysam==0.24.1 numpy==2.4.6
cd "$folder"
env/bin/python -W ignore - 2>log <<'PY' || { tail -n 3 log; exit 1; }
import polars_bio
import pysam

header = {"HD": {"VN": "1.6", "SO": "coordinate"}, "SQ": [{"SN": "chr1", "LN": 1000}, {"SN": "chrM", "LN": 500}]}


def library(reads):
    """Write so many reads of 10 bases at chrM:100-110, and one at chr1:50-60."""
    with pysam.AlignmentFile("reads.bam", "wb", header=header) as out:
        read = pysam.AlignedSegment(out.header)
        read.query_name, read.query_sequence, read.flag, read.mapping_quality = "r", "A" * 10, 0, 60
        read.cigar, read.query_qualities = [(0, 10)], pysam.qualitystring_to_array("I" * 10)
        read.reference_id, read.reference_start = 0, 50
        out.write(read)
        read.reference_id, read.reference_start = 1, 100
        for i in range(reads):
            read.query_name = f"r{i}"
            out.write(read)
    pysam.index("reads.bam")


for reads, wrong in ((32_767, 32_767), (32_768, -32_768), (70_000, 70_000 - 65_536)):
    library(reads)
    true = int(pysam.depth("-d", "0", "-r", "chrM:105-105", "reads.bam").split()[2])
    assert true == reads
    for mode in ("auto", "disable"):
        table = polars_bio.depth("reads.bam", use_zero_based=True, dense_mode=mode, output_type="polars.DataFrame")
        print(f"{reads} reads, samtools {true}, dense_mode={mode}:", table.rows(), table["coverage"].dtype)
        assert ("chr1", 50, 60, 1) in table.rows()
        found = [row[3] for row in table.rows() if row[:2] == ("chrM", 100)]
        assert found == [wrong], "this changed"
PY
