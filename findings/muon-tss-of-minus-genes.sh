#!/usr/bin/env bash
# muon 0.2.0, pysam 0.24.1, atac.tl.tss_enrichment, Python 3.12 or later (PYTHON names one): it takes the column Start as
# the transcription start site of every gene, also where the table has Strand and the gene is on "-". What muon makes
# of a 10x file (the column `interval`) has no strand at all, so half of the sites that are piled up are gene ends.
# count_fragments_features of the same module does read Strand.
# Expected: the score of a cell whose fragments stand at the starts of all genes does not hang on the genes' strands.
# Seen: 6.99 if all genes are on "+", or Start is set to End by hand for those on "-"; 4.00 if half of them are on "-".
# A threshold on the score then drops other cells than one on a score that reads the strand.
set -euo pipefail
for python in "${PYTHON:-python3}" python3.14 python3.13 python3.12 "$HOME"/.pyenv/versions/3.1[2-9]*/bin/python none; do
  if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then break; fi
done
[[ "$python" != none ]] || { echo "Python 3.12 or later is needed: PYTHON=/path/to/python $0"; exit 1; }
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/env"
"$folder/env/bin/pip" install -q muon==0.2.0 mudata==0.4.1 anndata==0.13.4 scanpy==1.12.4 pysam==0.24.1
cd "$folder"
env/bin/python -W ignore - 2>log <<'PY' || { tail -n 3 log; exit 1; }
import anndata
import numpy as np
import pandas as pd
import pysam
from muon import atac


def score(strands, mended=False):
    genes = pd.DataFrame({"Chromosome": "chr1", "Start": [10_000 + 20_000 * i for i in range(20)], "Strand": strands})
    genes["End"] = genes.Start + 8000
    sites = genes.Start.where(genes.Strand == "+", genes.End)
    lines = [("chr1", t - 50, t + 50, "cell", 1) for t in sites for _ in range(30)]
    lines += [("chr1", s + k, s + k + 100, "cell", 1) for s in genes.Start for k in range(-2000, 10_001, 200)]
    with open("fragments.tsv", "w") as file:
        file.writelines("\t".join(map(str, line)) + "\n" for line in sorted(lines))
    pysam.tabix_index("fragments.tsv", preset="bed", force=True)
    data = anndata.AnnData(np.ones((1, 1), dtype="float32"))
    data.obs_names = ["cell"]
    atac.tl.locate_fragments(data, "fragments.tsv.gz")
    if mended:
        genes["Start"] = sites
    atac.tl.tss_enrichment(data, genes)
    return round(float(data.obs["tss_score"].iloc[0]), 2)


plus, mixed, mended = score(["+"] * 20), score(["+", "-"] * 10), score(["+", "-"] * 10, mended=True)
print(f"all genes on +: {plus}; half on -: {mixed}; half on -, Start set to the start site by hand: {mended}")
assert plus == mended > 6.5
assert mixed < 4.5, "this changed: the strand is read"
PY
