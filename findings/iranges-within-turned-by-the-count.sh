#!/usr/bin/env bash
# iranges 0.7.3 (BiocPy's port of Bioconductor) and genomicranges 0.9.0 on top of it, find_overlaps, Python 3.11 to 3.13 (PYTHON
# names one): where there are fewer ranges in the subject than in the query, the index is made of the query and searched with
# the subject, and query_type and select are handed over as they are. So "within", which asks for queries that lie in a subject,
# gives queries that have a subject in them, and select="first" gives one hit for each subject in place of one for each query.
# Expected: the same queries whatever the numbers; select is to say "what hit to choose when there are multiple hits for a query
# range".
# Seen: of reads at 120-130 and 90-250 the second is "within" a peak of 100-200; with a peak more, far away, it is the first. Of
# 3,000 random reads and 300 wide peaks none of those that lie in a peak is found by find_overlaps or count_overlaps, of the
# same reads and 3,001 peaks, all; select="first" gives one hit for each of 283 peaks where 824 reads have one. No warning.
set -euo pipefail
for python in "${PYTHON:-python3}" python3.11 python3.12 python3.13 "$HOME"/.pyenv/versions/3.1[123]*/bin/python none; do
  if "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then break; fi
done
[[ "$python" != none ]] || { echo "Python 3.11 to 3.13 is needed: PYTHON=/path/to/python $0"; exit 1; }
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/env"
"$folder/env/bin/pip" install -q iranges==0.7.3 genomicranges==0.9.0 biocframe==0.8.1 biocutils==0.5.0 numpy==2.4.6
cd "$folder"
env/bin/python -W ignore - <<'PY'
import numpy as np
from genomicranges import GenomicRanges
from iranges import IRanges


def hits(subject, query, **kwargs):
    """The queries that are found, of each hit."""
    return np.sort(np.asarray(subject.find_overlaps(query, **kwargs).get_column("query_hits"))).tolist()


def on_chr1(ranges):
    return GenomicRanges(["chr1"] * len(ranges), ranges)


reads = IRanges([120, 90], [11, 161])
for name, peaks in (("one peak", IRanges([100], [101])), ("two peaks", IRanges([100, 5000], [101, 101]))):
    found = hits(peaks, reads, query_type="within"), hits(on_chr1(peaks), on_chr1(reads), query_type="within")
    print(f"reads 120-130 and 90-250 within 100-200, {name}: number", *found)
    assert found == (([1], [1]) if name == "one peak" else ([0], [0])), "this changed"

rng = np.random.default_rng(0)
starts = rng.integers(1, 1_000_000, 3000)
reads = IRanges(starts, np.full(3000, 50))
wide = np.sort(rng.choice(1000, 300, replace=False)) * 1000
few = IRanges(wide + 1, np.full(300, 900))
many = IRanges(np.concatenate([wide + 1, 2_000_000 + np.arange(2701) * 10]), np.concatenate([np.full(300, 900), np.full(2701, 5)]))
inside = [i for i, start in enumerate(starts) if np.any((wide + 1 <= start) & (start + 49 <= wide + 900))]
touched = [i for i, start in enumerate(starts) if np.any((wide + 1 <= start + 49) & (start <= wide + 900))]
counted = int(few.count_overlaps(reads, query_type="within").sum())
print(f"3,000 reads: {len(inside)} lie in a peak by hand;", "found of 300 peaks:", len(hits(few, reads, query_type="within")),
      "; of 3,001:", len(hits(many, reads, query_type="within")), "; counted of 300:", counted)
assert hits(many, reads, query_type="within") == inside and hits(few, reads) == touched
assert hits(few, reads, query_type="within") == [], "this changed"
assert counted == 0, "this changed"
first = hits(few, reads, select="first"), hits(many, reads, select="first")
print(f"select='first': {len(touched)} reads touch a peak; of 300 peaks {len(first[0])} hits, of 3,001 {len(first[1])}")
assert first[1] == touched
assert len(first[0]) <= 300, "this changed"
PY
