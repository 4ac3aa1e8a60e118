#!/usr/bin/env bash
# epiScanpy 0.4.0, ct.gene_activity_mtx, Python 3.11 or 3.12 (PYTHON names one): `upstream`, "number of bp to consider upstream of
# TSS", is laid left of each gene and `downstream` right of it, whatever the strand, which it reads and keeps in .var. So the
# promoter of a gene on "-" is not counted, and 2,000 bases behind its end are. tl.geneactivity of the same package, which sums
# peaks, reads the strand. And of genes in another gene only the first is counted right: the search for further genes ends at
# the first one that a fragment does not touch, where they are sorted by their start.
# Expected: two genes that mirror each other, with 5 fragments before the start and 3 behind the end, have 5 each by default.
# Seen: 5 on "+" and 3 on "-". Of three genes in the intron of a long one, with 4 fragments in each, 4, 0 and 0. Of 200 random
# genes on random strands the counts of all that are on "+" and in no other gene are right, and those of 9 in 10 on "-" wrong.
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


def activity(genes, fragments, upstream):
    """Fragments of one cell for each gene, in the order of the genes."""
    with open("genes.gtf", "w") as file:
        for number, (start, end, strand) in enumerate(genes):
            name = f'gene_id "gene{number}"; gene_type "protein_coding"; gene_name "gene{number}";'
            file.write(f"chr1\tHAVANA\tgene\t{start + 1}\t{end}\t.\t{strand}\t.\t{name}\n")
    with open("fragments.tsv", "w") as file:
        for start in sorted(fragments):
            file.write(f"chr1\t{start}\t{start + 100}\tcell\t1\n")
    found = epi.ct.gene_activity_mtx("fragments.tsv", "genes.gtf", ["cell"], upstream=upstream)
    counts = dict(zip(found.var_names, found.X.toarray()[0].astype(int).tolist(), strict=True))
    return [counts[f"gene{number}"] for number in range(len(genes))]


def by_hand(genes, fragments, upstream):
    counts = []
    for start, end, strand in genes:
        low, high = (start - upstream, end) if strand == "+" else (start, end + upstream)
        counts.append(sum(low < at + 100 and at < high for at in fragments))
    return counts


pair = [(10_000, 12_000, "-"), (40_000, 42_000, "+")]
fragments = [at + step for at, times in ((9_000, 3), (13_000, 5), (39_000, 5), (43_000, 3)) for step in range(times)]
seen = activity(pair, fragments, 2000)
print('on "-" and "+": seen', seen, "by hand", by_hand(pair, fragments, 2000))
assert by_hand(pair, fragments, 2000) == [5, 5]
assert seen == [3, 5], "this changed"

nested = [(20_000, 60_000, "+"), (30_000, 31_000, "+"), (40_000, 41_000, "+"), (50_000, 51_000, "+")]
fragments = [at + step for at in (30_500, 40_500, 50_500) for step in range(4)]
seen = activity(nested, fragments, 0)
print("a long gene and three in it: seen", seen, "by hand", by_hand(nested, fragments, 0))
assert by_hand(nested, fragments, 0) == [12, 4, 4, 4]
assert seen == [12, 4, 0, 0], "this changed"

rng = np.random.default_rng(0)
genes = [(start, start + 3000, strand) for start, strand in zip(range(10_000, 2_010_000, 10_000), rng.choice(["+", "-"], 200))]
fragments = rng.integers(0, 2_020_000, 20_000).tolist()
off = np.array(activity(genes, fragments, 2000)) != by_hand(genes, fragments, 2000)
minus = np.array([strand == "-" for *_, strand in genes])
print(f'200 genes: {off[minus].sum()} of {minus.sum()} on "-" have another count than by hand, and {off[~minus].sum()} on "+"')
assert off[~minus].sum() <= 2
assert off[minus].mean() > 0.85, "this changed"
PY
