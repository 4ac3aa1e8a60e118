#!/usr/bin/env bash
# liana 1.10.0 with numba 0.68.1, mt.bivariate(local_name="masked_spearman"), Python 3.11 to 3.13 (PYTHON names one): values that
# are alike do not share a rank but get the ranks of their places in the table, the same in both genes. So what is not open or
# not expressed, and most of single-cell data is not, correlates with whatever else is not: where both genes are 0 in all
# neighbours of a cell their local correlation is 1. Of sparse data the score is high where there is nothing.
# Expected: Spearman's coefficient gives those of a tie their mean rank; two genes that are 0 throughout have none. "spearman" of
# the same function, which ranks over all cells, gives 0 there, and scipy.stats.spearmanr NaN.
# Seen: of 200 cells in a row and two genes that are 0 in all but the last 20 cells, 1.0 for each cell whose neighbours are all
# left of those. Of two independent genes that are on in one cell of five, a mean of 0.3 over cells, where "spearman" and scipy on
# the same neighbours have -0.1. No warning.
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
import scipy.stats

CELLS = 200
rng = np.random.default_rng(0)
values = np.zeros((CELLS, 4), dtype=np.float32)
values[-20:, :2] = rng.random((20, 2))
values[:, 2:] = rng.random((CELLS, 2)) < 0.2
adata = ad.AnnData(sp.csr_matrix(values), var=pd.DataFrame(index=["rare1", "rare2", "coin1", "coin2"]),
                   obs=pd.DataFrame(index=[f"c{i}" for i in range(CELLS)]))
adata.obsm["spatial"] = np.column_stack([np.arange(CELLS, dtype=float), np.zeros(CELLS)])
li.ut.spatial_neighbors(adata, bandwidth=20, cutoff=0.1)
near = adata.obsp["spatial_connectivities"].toarray() > 0
empty = [i for i in range(CELLS) if not values[near[i], :2].any()]


def local(name, x, y):
    found = li.mt.bivariate(adata, interactions=[(x, y)], resource_name=None, local_name=name, global_name=None, nz_prop=0,
                            use_raw=False, verbose=False)
    return found.X.toarray()[:, 0]


masked, plain = local("masked_spearman", "rare1", "rare2"), local("spearman", "rare1", "rare2")
print(f"both genes 0 in all neighbours of {len(empty)} cells: masked_spearman",
      f"{masked[empty].min():.2f} to {masked[empty].max():.2f},",
      f"spearman {plain[empty].min():.2f} to {plain[empty].max():.2f}")
assert len(empty) > 100 and (plain[empty] == 0).all()
assert np.allclose(masked[empty], 1), "this changed"

masked, plain = local("masked_spearman", "coin1", "coin2"), local("spearman", "coin1", "coin2")
by_hand = [scipy.stats.spearmanr(values[near[i], 2], values[near[i], 3])[0] for i in range(CELLS)]
print(f"independent genes, mean over cells: masked_spearman {masked.mean():.2f}, spearman {plain.mean():.2f},",
      f"scipy of the neighbours {np.nanmean(by_hand):.2f}")
assert abs(plain.mean()) < 0.15 and abs(np.nanmean(by_hand)) < 0.15
assert masked.mean() > 0.25, "this changed"
PY
