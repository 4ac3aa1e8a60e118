#!/usr/bin/env bash
# snapatac2 2.10.0, tl.add_cor_scores and tl.add_regr_scores, Python 3.12 or later (PYTHON names one): where the network has as
# many peaks as the matrix has columns, that is all of them, the matrix is taken as it is, its columns in their order, for the
# peaks in the order of the network's nodes; genes alike. init_network_from_annotation makes the nodes gene by gene, so a link
# from a peak to a gene gets the correlation of another peak. With one column that is not in the network they are looked up by
# name, and all is right.
# Expected: the edge between a peak and a gene has Spearman's correlation of the two columns with their names, as SciPy gives
# it, and the elastic net of a gene on its one peak finds that peak.
# Seen: of 60 genes, each with one peak that is its copy and with the others random, 60 edges of 1 if a peak on a chromosome
# without genes is added, and 1 without it, where the others are the scores of any two columns. The same by add_regr_scores. No
# error, no warning; the peaks that were called near genes, or the links of one chromosome, are such a set. No report of it was
# found.
set -euo pipefail
for python in "${PYTHON:-python3}" python3.14 python3.13 python3.12 "$HOME"/.pyenv/versions/3.1[2-9]*/bin/python none; do
  if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then break; fi
done
[[ "$python" != none ]] || { echo "Python 3.12 or later is needed: PYTHON=/path/to/python $0"; exit 1; }
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/env"
"$folder/env/bin/pip" install -q --no-deps snapatac2==2.10.0  # without MACS3, which is built from source and not needed here
"$folder/env/bin/pip" install -q pandas==2.3.3 anndata==0.12.19 numpy==2.4.6 polars==1.44.2 pyarrow==24.0.0 \
  "scverse-misc[datasets]==0.1.2" natsort==8.4.0 pooch==1.9.0 rustworkx==0.18.1 tqdm==4.70.1 typeguard==4.6.1 \
  scikit-learn==1.9.1 scipy==1.18.1
cd "$folder"
env/bin/python -W ignore - 2>log <<'PY' || { tail -n 3 log; exit 1; }
import anndata
import numpy as np
import snapatac2
from scipy.stats import spearmanr

GENES, CELLS = 60, 100
rng = np.random.default_rng(0)
tag = 'gene_id "{0}"; transcript_id "{0}.1"; gene_name "{0}"; gene_type "protein_coding"; transcript_type "protein_coding";'
with open("genes.gtf", "w") as file:
    for i in range(GENES):
        for kind in ("gene", "transcript"):
            start = 100_001 + 100_000 * i
            file.write(f"chr1\tx\t{kind}\t{start}\t{start + 999}\t.\t+\t.\t{tag.format(f'G{i}')}\n")

values = rng.normal(size=(CELLS, GENES))  # of gene i, and of the peak in it
order = {"peaks": rng.permutation(GENES), "genes": rng.permutation(GENES)}
starts = 100_000 * np.arange(1, GENES + 1)
names = {"peaks": [f"chr1:{start + 500}-{start + 900}" for start in starts], "genes": [f"G{i}" for i in range(GENES)]}


def table(kind, further):
    """The columns in random order, and with `further` one more that is not in the network."""
    columns = values[:, order[kind]]
    data = anndata.AnnData(np.c_[columns, rng.normal(size=CELLS)] if further else columns)
    data.var_names = [names[kind][i] for i in order[kind]] + ([{"peaks": "chr9:1-100", "genes": "other"}[kind]] if further else [])
    return data


def right(score, peaks, genes, **options):
    """How many of the 60 edges have the score of a peak that is the copy of its gene."""
    network = snapatac2.tl.init_network_from_annotation(names["peaks"], "genes.gtf", upstream=5000, downstream=5000)
    getattr(snapatac2.tl, f"add_{score}_scores")(network, peak_mat=peaks, gene_mat=genes, **options)
    edges = network.weighted_edge_list()
    assert len(edges) == GENES
    for peak, gene, _ in edges:  # by hand
        assert spearmanr(peaks[:, network[peak].id].X.ravel(), genes[:, network[gene].id].X.ravel()).statistic > 0.999
    return sum(getattr(link, f"{score}_score") > 0.9 for *_, link in edges)


for score, options in (("cor", {}), ("regr", {"alpha": 1e-3})):
    full = right(score, table("peaks", True), table("genes", True), **options)
    exact = right(score, table("peaks", False), table("genes", False), **options)
    print(f"add_{score}_scores: {full} of {GENES} edges are right with a further column, {exact} without")
    assert full == GENES
    assert exact < 10, "this changed"
PY
