#!/usr/bin/env bash
# MIRA (mira-multiome 2.1.0) with lisa2 2.3.2 and torch 2.13.0, tl.get_distance_to_TSS, Python 3.12 (PYTHON names it): its
# text says that the distance between a gene and a peak in the promoter of another gene is set to infinity, so that a model of
# regulatory potential does not take other genes' promoters for enhancers. The masked matrix is computed and thrown away: the one
# that is returned has all distances below max_distance / 2, and promoter_width changes nothing.
# Expected: of two genes 100,000 bases apart, each with a peak on its start site, no distance between a gene and the other's peak.
# Seen: 100,000 and -100,000. Of 60 random genes with a peak on each start site and 100 elsewhere all pairs that should be masked
# have a distance, the same for promoters of 2 bases and of 3,000, the default. No warning.
set -euo pipefail
for python in "${PYTHON:-python3}" python3.12 "$HOME"/.pyenv/versions/3.12*/bin/python none; do
  if "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 12))' 2>/dev/null; then break; fi
done
[[ "$python" != none ]] || { echo "Python 3.12 is needed: PYTHON=/path/to/python $0"; exit 1; }
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/env"
# without its own torch, which is below 2
"$folder/env/bin/pip" install -q --no-deps mira-multiome==2.1.0 lisa2==2.3.2 pyro-ppl==1.9.1 pyro-api==0.1.2 \
  optuna==2.10.1 2>/dev/null
"$folder/env/bin/pip" install -q torch==2.13.0 numpy==1.26.4 pandas==2.2.3 scipy==1.16.3 anndata==0.11.4 matplotlib==3.8.4 \
  zarr==2.18.7 numcodecs==0.15.1 scikit-learn==1.9.1 h5py==3.16.0 MOODS-python==1.9.4.1 pyfaidx==0.9.2.2 networkx==3.7 \
  requests==2.34.2 tqdm==4.70.1 opt_einsum==3.4.0 alembic==1.20.1 cliff==4.17.0 colorlog==6.12.0 cmaes==0.13.1 \
  sqlalchemy==2.1.9 tensorboard==2.21.0 setuptools==80.9.0 pyyaml==6.0.4 2>/dev/null
cd "$folder"
env/bin/python -W ignore - 2>log <<'PY' || { tail -n 3 log; exit 1; }
import anndata
import mira
import numpy as np
import pandas as pd

LENGTH, REACH = 3_000_000, 300_000
with open("genome.sizes", "w") as file:
    file.write(f"chr1\t{LENGTH}\n")


def distances(sites, peaks, promoter_width=3000):
    """Distances by gene and peak, 0 where there is none; all genes are on "+" and peaks are 400 bases wide."""
    names = [f"gene{number}" for number in range(len(sites))]
    genes = pd.DataFrame({"chrom": "chr1", "txStart": sites, "txEnd": np.add(sites, 5000), "strand": "+", "geneSymbol": names})
    var = pd.DataFrame({"chr": "chr1", "start": np.subtract(peaks, 200), "end": np.add(peaks, 200)})
    data = anndata.AnnData(np.ones((2, len(peaks)), "float32"), var=var.set_index(var.index.astype(str)))
    mira.tl.get_distance_to_TSS(data, tss_data=genes, genome_file="genome.sizes", promoter_width=promoter_width)
    found = data.varm["distance_to_TSS"].toarray().T
    return found[[list(data.uns["distance_to_TSS_genes"]).index(name) for name in names]]


seen = distances([100_000, 200_000], [100_000, 200_000])
print("two genes and the peaks on their start sites:", seen.tolist())
assert seen[0, 0] and seen[1, 1]
assert (seen[0, 1], seen[1, 0]) == (100_000, -100_000), "this changed"

rng = np.random.default_rng(0)
sites = np.sort(rng.choice(np.arange(10_000, LENGTH - 10_000, 10_000), 60, replace=False))
peaks = np.concatenate([sites, rng.integers(10_000, LENGTH - 10_000, 100)])
seen = distances(sites, peaks)
gaps = peaks - sites[:, None]
inside = np.abs(gaps) < 1000  # most of the peak lies in the promoter
others = inside.any(axis=0) & ~inside & (np.abs(gaps) < REACH - 5000)
print(f"{others.sum()} pairs of a gene and a peak in another promoter: {np.count_nonzero(seen[others])} have a distance")
assert others.sum() > 500
assert np.all(np.abs(seen[others] - gaps[others]) <= 1), "this changed"
assert np.array_equal(distances(sites, peaks, promoter_width=2)[others], seen[others]), "this changed"
PY
