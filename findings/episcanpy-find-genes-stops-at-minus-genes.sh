#!/usr/bin/env bash
# epiScanpy 0.4.0, tl.find_genes, Python 3.11 or 3.12 (PYTHON names one): peaks in the promoter of a gene on "+" are called
# "intergenic" where a gene on "-" begins a little left of it. The genes of a GTF file are sorted by their left ends; `upstream`
# is then taken off the ends on "+" alone, and the search ends at the first gene that lies right of the peak, which is the one on
# "-", though the promoter of a later one reaches back over it. The names lose letters too: all of g, e, n, _, a and m are
# taken off their left ends, by which the words gene_name are meant.
# Expected: of genes at 10,000-20,000 on "-" and 12,000-20,000 on "+" a peak at 8,000 lies upstream of the second (upstream=5000,
# the default); and gata1 is called gata1.
# Seen: intergenic; and ta1, as mt-Nd1 of the mouse is t-Nd1, egr1 r1 and engrailed railed. Of 2,000 random peaks among 300
# genes, all names in capital letters, 62 lack one of their genes, and none has another one. No warning.
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
import anndata
import episcanpy as epi
import numpy as np
import pandas as pd


def annotate(genes, peaks):
    """What find_genes writes beside each peak, as a set of names."""
    with open("genes.gtf", "w") as file:
        for start, end, strand, name in sorted(genes):
            file.write(f'chr1\tHAVANA\tgene\t{start + 1}\t{end}\t.\t{strand}\t.\tgene_id "{name}"; gene_name "{name}";\n')
    var = pd.DataFrame(index=[f"chr1_{start}_{end}" for start, end in peaks])
    data = anndata.AnnData(np.ones((2, len(peaks)), "float32"), var=var)
    epi.tl.find_genes(data, "genes.gtf", upstream=5000)
    return [set(names.split(";")) - {"intergenic"} for names in data.var["gene_annotation"]]


def by_hand(genes, peaks):
    reach = [(start - 5000, end, name) if strand == "+" else (start, end + 5000, name) for start, end, strand, name in genes]
    return [{name for low, high, name in reach if low < end and start < high} for start, end in peaks]


genes, peaks = [(10_000, 20_000, "-", "LEFT"), (12_000, 20_000, "+", "RIGHT")], [(8_000, 8_500), (10_500, 11_000)]
seen = annotate(genes, peaks)
print("peaks at 8,000 and 10,500: seen", [*map(sorted, seen)], "by hand", [*map(sorted, by_hand(genes, peaks))])
assert by_hand(genes, peaks) == [{"RIGHT"}, {"LEFT", "RIGHT"}]
assert seen == [set(), {"LEFT", "RIGHT"}], "this changed"
assert annotate(genes[1:], peaks) == [{"RIGHT"}, {"RIGHT"}]

names = ["gata1", "mt-Nd1", "egr1", "engrailed", "Sox2"]
genes = [(at, at + 1000, "+", name) for at, name in zip(range(10_000, 60_000, 10_000), names, strict=True)]
seen = [found.pop() for found in annotate(genes, [(start, end) for start, end, *_ in genes])]
print("names", names, "become", seen)
assert seen == ["ta1", "t-Nd1", "r1", "railed", "Sox2"], "this changed"

rng = np.random.default_rng(0)
starts, strands = rng.integers(10_000, 3_000_000, 300), rng.choice(["+", "-"], 300)
genes = [(int(at), int(at) + 4000, strand, f"X{number}") for number, (at, strand) in enumerate(zip(starts, strands, strict=True))]
peaks = [(int(at), int(at) + 500) for at in np.unique(rng.integers(0, 3_000_000, 2000))]
seen, right = annotate(genes, peaks), by_hand(genes, peaks)
less = sum(found < wanted for found, wanted in zip(seen, right, strict=True))
more = sum(not found <= wanted for found, wanted in zip(seen, right, strict=True))
print(f"{len(peaks)} random peaks: {less} lack a gene and {more} have another one")
assert more == 0
assert less > 40, "this changed"
PY
