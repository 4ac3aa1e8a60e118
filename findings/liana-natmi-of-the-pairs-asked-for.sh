#!/usr/bin/env bash
# liana 1.10.0, mt.natmi with groupby_pairs, Python 3.11 to 3.13 (PYTHON names one): how specific a ligand is to a cell type is its
# mean there by the sum of its means in all types, and that sum is taken over the pairs that were asked for, not over the cell
# types in the data. Of one pair of types every ligand and receptor is so wholly specific: spec_weight is 1 for each of them, for
# genes of one type and for those of all. mt.rank_aggregate ranks by it, too. Connectome's scaled_weight moves as well, as the
# cells of other types are left out before it is standardised; the means and their product are the same.
# Expected: a pair of types has the same weights whether others are asked for with it; groupby_pairs is "to be used to subset the
# possible combinations of interacting cell types".
# Seen: of five types and four pairs of genes, from A to B, the pair that is on in A and B alone has a weight of 0.8 or more and the
# three that are on in all types 0.03 to 0.05; with groupby_pairs of A and B all four have 1. No warning.
set -euo pipefail
for python in "${PYTHON:-python3}" python3.11 python3.12 python3.13 "$HOME"/.pyenv/versions/3.1[123]*/bin/python none; do
  if "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then break; fi
done
[[ "$python" != none ]] || { echo "Python 3.11 to 3.13 is needed: PYTHON=/path/to/python $0"; exit 1; }
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/env"
"$folder/env/bin/pip" install -q liana==1.10.0 anndata==0.12.19 mudata==0.3.10 scanpy==1.11.5 numba==0.68.1 numpy==2.4.6 \
  scipy==1.17.1 pandas==2.3.3 plotnine==0.15.9 docrep==0.3.2 2>/dev/null
cd "$folder"
env/bin/python -W ignore - 2>log <<'PY' || { tail -n 3 log; exit 1; }
import anndata as ad
import liana as li
import numpy as np
import pandas as pd
import scipy.sparse as sp

rng = np.random.default_rng(0)
types = np.repeat(list("ABCDE"), 60)
mean = np.full((300, 8), 3.0)
mean[types != "A", 0] = mean[types != "B", 4] = 0.05  # the first ligand is of A, its receptor of B
names = [f"L{i}" for i in range(4)] + [f"R{i}" for i in range(4)]
adata = ad.AnnData(sp.csr_matrix(np.log1p(rng.poisson(mean)).astype(np.float32)), var=pd.DataFrame(index=names),
                   obs=pd.DataFrame({"type": pd.Categorical(types)}, index=[f"c{i}" for i in range(300)]))


def weights(pairs):
    """The specificity of A to B, and the product of the means."""
    found = li.mt.natmi(adata, groupby="type", resource_name=None, interactions=[(f"L{i}", f"R{i}") for i in range(4)],
                        groupby_pairs=pairs, expr_prop=0, use_raw=False, inplace=False, verbose=False)
    found = found[(found["source"] == "A") & (found["target"] == "B")].set_index("ligand").sort_index()
    return found["spec_weight"].to_numpy(), found["expr_prod"].to_numpy()


every, one = weights(None), weights(pd.DataFrame({"source": ["A"], "target": ["B"]}))
means = np.array([[adata.X.toarray()[types == name, gene].mean() for gene in range(8)] for name in "ABCDE"])
by_hand = means[0, :4] / means[:, :4].sum(axis=0) * means[1, 4:] / means[:, 4:].sum(axis=0)
print("spec_weight of A to B, all pairs of types:", every[0].round(3), "; by hand:", by_hand.round(3))
print("spec_weight of A to B, asked for alone:", one[0].round(3))
assert np.allclose(every[0], by_hand, rtol=1e-4) and np.allclose(every[1], one[1], rtol=1e-4)
assert every[0][0] > 0.5 > 0.06 > every[0][1:].max()
assert (one[0] == 1).all(), "this changed"
PY
