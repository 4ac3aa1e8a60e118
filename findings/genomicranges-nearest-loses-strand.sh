#!/usr/bin/env bash
# genomicranges 0.9.0, GenomicRanges.nearest with ignore_strand=False, its default: it takes the nearest range of any strand
# and then throws the pair away if the strands differ, so a range whose nearest neighbour lies on the other strand has
# none, even where there is one on its own strand. Its text says None "if there are no matches".
# Expected: the nearest of the ranges on the same strand, as nearest() of the Bioconductor package of that name does.
# Seen: of a gene on "+" at 1001-2000 and one on "-" at 5001-6000, a start site on "+" at 4801 has none; without the other
# gene in the table it has the first. Of 300 random sites, each with a gene on its own strand and chromosome, 174
# have none, and no other one is wrong. Run-on transcripts and their genes are joined so.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q genomicranges==0.9.0 iranges==0.7.3 biocframe==0.8.1 biocutils==0.5.0 numpy==2.4.6
"$folder/env/bin/python" -W ignore - <<'PY'
import numpy as np
from genomicranges import GenomicRanges
from iranges import IRanges


def ranges(starts, widths, strands):
    return GenomicRanges(["chr1"] * len(starts), IRanges(list(starts), list(widths)), strand=list(strands))


site = ranges([4801], [1], "+")
alone = ranges([1001], [1000], "+").nearest(site)
both = ranges([1001, 5001], [1000, 1000], "+-").nearest(site)
print("the gene on + alone:", alone.tolist(), "; with a gene on - that is nearer:", both.tolist())
assert alone.tolist() == [0]
assert both.tolist() == [None], "this changed"

rng = np.random.default_rng(0)
genes = (rng.integers(1, 1_000_000, 200).tolist(), rng.integers(500, 5000, 200).tolist(), rng.choice(["+", "-"], 200).tolist())
sites = (rng.integers(1, 1_000_000, 300).tolist(), [1] * 300, rng.choice(["+", "-"], 300).tolist())
found = ranges(*genes).nearest(ranges(*sites))
lost = wrong = 0
for hit, at, strand in zip(found, sites[0], sites[2], strict=True):
    gaps = {
        i: max(start - at, at - (start + width - 1), 0)
        for i, (start, width, own) in enumerate(zip(*genes, strict=True))
        if own == strand
    }
    lost += hit is None
    wrong += hit is not None and gaps[int(hit)] > max(min(gaps.values()), 1)
print(f"300 sites: {lost} without a gene, {wrong} with one that is not the nearest of its strand")
assert lost > 50, "this changed"
assert wrong == 0
PY
