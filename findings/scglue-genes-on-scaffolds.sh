#!/usr/bin/env bash
# scglue 0.4.1 with torch 2.13.0, data.get_gene_annotation, Python 3.11 (PYTHON names it): where a name is in the GTF file more than
# once, the last one by the text of the sequence name is kept, as "typically, scaffolds come first, chromosomes come last". That is
# so of "chr1" and "GL000194.1". Where chromosomes are called as in Ensembl and NCBI, 1 to 22 come before GL000194.1, KI270711.1,
# and HSCHR22_1_CTG1, X and Y after them; of UCSC chr1_KI270706v1_random comes after chr1. So a gene that is on a scaffold or
# alternative locus as well is laid there, away from its peaks, and the guidance graph has no link for it; X goes to Y in all.
# Expected: a gene of a chromosome is on the chromosome, however the sequences are called.
# Seen: with a gene on chromosome 1, 22 and X each, which a scaffold has as well, the names of GENCODE give the three chromosomes,
# those of Ensembl X alone, those of UCSC none. No warning.
set -euo pipefail
for python in "${PYTHON:-python3}" python3.11 "$HOME"/.pyenv/versions/3.11*/bin/python none; do
  if "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then break; fi
done
[[ "$python" != none ]] || { echo "Python 3.11 is needed: PYTHON=/path/to/python $0"; exit 1; }
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/env"
"$folder/env/bin/pip" install -q scglue==0.4.1 torch==2.13.0 anndata==0.12.19 scanpy==1.11.5 muon==0.1.9 mudata==0.3.10 \
  numpy==2.4.6 scipy==1.17.1 pandas==2.3.3 networkx==3.6.1 pybedtools==0.12.1 pyro-ppl==1.9.2 pytorch-ignite==0.5.5 \
  statsmodels==0.15.0 2>/dev/null
cd "$folder"
env/bin/python -W ignore - 2>log <<'PY' || { tail -n 3 log; exit 1; }
import anndata as ad
import numpy as np
import pandas as pd
import scglue

NAMES = {  # of three chromosomes, and of a scaffold or alternative locus of each
    "GENCODE": {"chr1": "KI270711.1", "chr22": "KI270734.1", "chrX": "KI270880.1"},
    "Ensembl": {"1": "KI270711.1", "22": "HSCHR22_1_CTG1", "X": "HSCHRX_1_CTG3"},
    "UCSC": {"chr1": "chr1_KI270711v1_random", "chr22": "chr22_KI270875v1_alt", "chrX": "chrX_KI270880v1_alt"},
}


def placed(names):
    """The sequence that each of the genes is laid on; gene i is on chromosome i at 100,001 and on its scaffold at 501."""
    with open("genes.gtf", "w") as file:
        for i, pair in enumerate(names.items()):
            for seqname, start in zip(pair, (100_001, 501), strict=True):
                attributes = f'gene_id "E{i}{seqname}"; gene_name "GENE{i}";'
                file.write(f"{seqname}\tsource\tgene\t{start}\t{start + 999}\t.\t+\t.\t{attributes}\n")
    adata = ad.AnnData(np.ones((2, len(names)), np.float32), var=pd.DataFrame(index=[f"GENE{i}" for i in range(len(names))]))
    scglue.data.get_gene_annotation(adata, gtf="genes.gtf", gtf_by="gene_name")
    return adata.var["chrom"].tolist()


seen = {"GENCODE": list(NAMES["GENCODE"]), "Ensembl": ["KI270711.1", "HSCHR22_1_CTG1", "X"], "UCSC": list(NAMES["UCSC"].values())}
for source, names in NAMES.items():
    print(f"{source}: genes of {', '.join(names)} are laid on {', '.join(placed(names))}")
    assert placed(names) == seen[source], "this changed"
twice = placed({"chrX": "chrY"})
print("a gene of X and Y both:", *twice)
assert twice == ["chrY"], "this changed"
PY
