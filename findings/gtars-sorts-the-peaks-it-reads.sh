#!/usr/bin/env bash
# gtars 0.10.0, RegionSet(path): a BED file is sorted as it is read, by the text of the chromosome and the start, and
# nothing says so. count_overlaps gives "one per region" and cluster gives IDs "in original region order", so the counts
# are laid beside other peaks by whoever adds them to the table that the file was written from: a narrowPeak by score, or
# one by chr1, chr2, chr10, since chr10 is read before chr2. from_vectors keeps the order.
# Expected: the same counts, in the order of the rows, from the file and from the vectors.
# Seen: of peaks on chr1, chr2 and chr10 with 0, 2 and 0 reads the counts are 0, 0, 2 from the file and 0, 2, 0 from vectors.
# nearest_neighbors has a fault of its own: it looks at the regions before and after only. Of 0-1000, 100-150 and
# 1010-1100 the third has its neighbour at 10 bases, and 860 is given, the distance to the second.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q gtars==0.10.0
cd "$folder"
env/bin/python - <<'PY'
from gtars.models import RegionSet


def from_file(rows):
    with open("peaks.bed", "w") as file:
        file.writelines(f"{chrom}\t{start}\t{end}\n" for chrom, start, end in rows)
    return RegionSet("peaks.bed")


def from_vectors(rows):
    return RegionSet.from_vectors(*map(list, zip(*rows, strict=True)))


def gap(one, other):
    return max(one[1] - other[2], other[1] - one[2], 0)


peaks = [("chr1", 100, 200), ("chr2", 100, 200), ("chr10", 100, 200)]
reads = from_vectors([("chr2", 110, 120), ("chr2", 150, 160)])
by_file, by_vectors = from_file(peaks).count_overlaps(reads), from_vectors(peaks).count_overlaps(reads)
print("peaks on chr1, chr2, chr10; reads in each: from the file", by_file, "from vectors", by_vectors)
assert by_vectors == [0, 2, 0]
assert by_file == [0, 0, 2], "this changed"
print("read back:", [region.chr for region in from_file(peaks)])

nested = [("chr1", 0, 1000), ("chr1", 100, 150), ("chr1", 1010, 1100)]
right = [min(gap(one, other) for other in nested if other is not one) for one in nested]
found = from_vectors(nested).nearest_neighbors()
print("nearest_neighbors", found, "by hand", right)
assert right == [0, 0, 10]
assert found == [0, 0, 860], "this changed"
PY
