#!/usr/bin/env bash
# muon 0.1.9 (the newest for Python 3.11), pysam 0.24.1, atac.tl.count_fragments_features(stranded=True): it compares the
# *chromosome* of a gene with "-", so no gene is ever on the minus strand, and the 2 kb upstream of those that are lie at
# their ends. With stranded=False, the default, the same table is refused, KeyError: None, if its column is called
# "Strand", and taken if it is called "strand". muon 0.2.0, which wants Python 3.12, reads the strand.
# Expected: of a gene at 10,000-12,000 on "-", the 3 fragments at 12,500 are counted and not the 5 at 8,500.
# Seen: 5 for either strand.
set -euo pipefail
for python in "${PYTHON:-python3}" python3.11 "$HOME"/.pyenv/versions/3.11*/bin/python none; do
  if "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then break; fi
done
[[ "$python" != none ]] || { echo "Python 3.11 is needed: PYTHON=/path/to/python $0"; exit 1; }
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/env"
"$folder/env/bin/pip" install -q muon==0.1.9 mudata==0.3.10 anndata==0.12.19 scanpy==1.11.5 pysam==0.24.1 numpy==2.4.6 pandas==2.3.3
cd "$folder"
env/bin/python -W ignore - 2>log <<'PY' || { tail -n 3 log; exit 1; }
import anndata
import muon
import numpy as np
import pandas as pd
import pysam

lines = [f"chr1\t{start}\t{start + 100}\tcell\t1\n" for start in [8500 + 10 * i for i in range(5)] + [12500, 12510, 12520]]
with open("fragments.tsv", "w") as file:
    file.writelines(lines)
pysam.tabix_index("fragments.tsv", preset="bed")
cells = anndata.AnnData(np.ones((1, 1), "float32"), obs=pd.DataFrame(index=["cell"]))
muon.atac.tl.locate_fragments(cells, "fragments.tsv.gz")
place = {"Chromosome": ["chr1", "chr1"], "Start": [10_000, 10_000], "End": [12_000, 12_000]}
genes = pd.DataFrame({**place, "Strand": ["+", "-"]}, index=["plus", "minus"])
options = {"extend_upstream": 2000, "count_reads": False}
stranded = muon.atac.tl.count_fragments_features(cells, genes, stranded=True, **options).X.toarray()[0]
print("stranded: plus", stranded[0], "minus", stranded[1])
assert stranded.tolist() == [5, 5]  # 5 and 3 by the strands
try:
    muon.atac.tl.count_fragments_features(cells, genes, stranded=False, **options)
except KeyError as error:
    print("not stranded: KeyError", error)
else:
    raise SystemExit("the default takes a column Strand now")
lower = muon.atac.tl.count_fragments_features(cells, genes.rename(columns={"Strand": "strand"}), **options).X.toarray()[0]
assert lower.tolist() == [5, 5]
PY
