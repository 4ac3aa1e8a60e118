#!/usr/bin/env bash
# epiScanpy 0.4.0, ct.peak_mtx (ct.window_mtx and ct.gene_activity_mtx count by the same walk), Python 3.11 or 3.12 (PYTHON
# names one): peaks are put in the order of the text, chr1, chr10, ..., chr19, chr2, and walked through together with the file of
# fragments, forwards only. Where the file has chr1, chr2, ..., chr10, as a genome of UCSC or a BAM sorted by it gives, the walk
# has left chr10 behind when it comes to its fragments. All that the text asks is that "the fragments file needs to be sorted".
# Expected: the same counts for both orders of the chromosomes.
# Seen: with 3 fragments in a peak of each of chr1 to chr22 and chrX, 69 in one order and 30 in the other: chr10 to chr22 have
# none. So for sparse and for fast=True. Of 300 random peaks with 6,000 fragments those of chr1 to chr9 and chrX are right and
# the others are 0, and cells that differ on chr12 alone are the same. No error, no warning.
set -euo pipefail
for python in "${PYTHON:-python3}" python3.12 python3.11 "$HOME"/.pyenv/versions/3.1[12]*/bin/python none; do
  if "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; then break; fi
done
[[ "$python" != none ]] || { echo "Python 3.11 or 3.12 is needed: PYTHON=/path/to/python $0"; exit 1; }
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/env"
"$folder/env/bin/pip" install -q --no-deps episcanpy==0.4.0 2>/dev/null  # without tbb, which is not used here
"$folder/env/bin/pip" install -q numpy==1.26.4 pandas==2.2.3 scipy==1.16.3 anndata==0.11.4 scanpy==1.11.5 matplotlib==3.10.9 \
  numba==0.61.2 scikit-learn==1.9.1 pysam==0.24.1 bamnostic==1.3 intervaltree==3.2.1 kneed==0.9.0 setuptools==80.9.0 2>/dev/null
cd "$folder"
env/bin/python -W ignore - 2>log <<'PY' || { tail -n 3 log; exit 1; }
import episcanpy as epi
import numpy as np

CHROMS = [f"chr{number}" for number in range(1, 23)] + ["chrX"]
CELLS = ["one", "other"]


def counts(peaks, fragments, order, fast):
    """Counts of both cells by peak, from a file with the chromosomes in the given order."""
    with open("peaks.bed", "w") as file:
        file.writelines(f"{chrom}\t{start}\t{start + 500}\n" for chrom, start in peaks)
    with open("fragments.tsv", "w") as file:
        for chrom, start, cell in sorted(fragments, key=lambda row: (order.index(row[0]), row[1])):
            file.write(f"{chrom}\t{start}\t{start + 100}\t{cell}\t1\n")
    found = epi.ct.peak_mtx("fragments.tsv", "peaks.bed", CELLS, fast=fast)
    table = dict(zip(found.var_names, found.X.toarray().T.astype(int).tolist(), strict=True))
    return np.array([table[f"{chrom}_{start}_{start + 500}"] for chrom, start in peaks])


def by_hand(peaks, fragments):
    return np.array([[sum(chrom == row[0] and start <= row[1] + 100 and row[1] <= start + 500 and row[2] == cell
                          for row in fragments) for cell in CELLS] for chrom, start in peaks])


peaks = [(chrom, 1000) for chrom in CHROMS]
fragments = [(chrom, 1100 + step, "one") for chrom in CHROMS for step in range(3)]
for fast in (False, True):
    by_text, by_number = (counts(peaks, fragments, order, fast)[:, 0] for order in (sorted(CHROMS), CHROMS))
    none = [chrom for chrom, count in zip(CHROMS, by_number, strict=True) if not count]
    print(f"fast={fast}: {by_text.sum()} of 69 with the file by text, {by_number.sum()} by number; none on {none[0]} to {none[-1]}")
    assert by_text.sum() == 69
    assert by_number.sum() == 30 and none == CHROMS[9:22], "this changed"

rng = np.random.default_rng(0)
places = zip(rng.choice(CHROMS, 300).tolist(), (1000 * rng.integers(1, 200, 300)).tolist(), strict=True)
peaks = sorted(set(places))
columns = rng.choice(CHROMS, 6000), rng.integers(0, 200_000, 6000), rng.choice(CELLS, 6000)
fragments = list(zip(*(column.tolist() for column in columns), strict=True))
right = by_hand(peaks, fragments)
lost = np.array([chrom in CHROMS[9:22] for chrom, _ in peaks])
seen = counts(peaks, fragments, CHROMS, False)
print(f"{len(peaks)} random peaks: {np.all(seen == right, axis=1).sum()} right, {(~lost).sum()} are on chr1 to chr9 and chrX")
assert np.array_equal(counts(peaks, fragments, sorted(CHROMS), False), right)
assert np.array_equal(seen[~lost], right[~lost])
assert seen[lost].sum() == 0 < right[lost].sum(), "this changed"
PY
