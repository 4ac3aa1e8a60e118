#!/usr/bin/env bash
# memento-de 0.1.3 (`import memento`), compute_2d_moments, Python 3.12 to 3.14 (PYTHON names one): where the variance of a gene that
# is left after the noise of counting is below zero, so that there is no correlation, the pair is given the correlation 1. Places
# without a value hold 5 for a while, and everything above 1 is then set to 1. get_corr_matrix of the same package sets them to
# NaN. A gene is kept if its variance is above zero in more than 70% of the groups (min_perc_group), so that in other groups
# of the same data it is at or below zero is nothing rare; genes with few counts are so half of the time.
# Expected: NaN, as in get_corr_matrix, or an error.
# Seen: of four donors, in one of which a gene has 1 or 2 counts in every cell by turns, so less than Poisson noise has, and
# ten genes that are independent of it, its correlation with each is 1 in that donor, and below 0.7 in the others.
set -euo pipefail
for python in "${PYTHON:-python3}" python3.12 python3.13 python3.14 "$HOME"/.pyenv/versions/3.1[2-9]*/bin/python none; do
  if "$python" -c 'import sys; sys.exit(not (3, 12) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null; then break; fi
done
[[ "$python" != none ]] || { echo "Python 3.12 to 3.14 is needed: PYTHON=/path/to/python $0"; exit 1; }
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/env"
"$folder/env/bin/pip" install -q memento-de==0.1.3 anndata==0.13.4 numpy==2.4.6 scipy==1.17.1 pandas==2.3.3 statsmodels==0.15.0 \
  scikit-learn==1.9.1 joblib==1.6.0
cd "$folder"
env/bin/python -W ignore - 2>log <<'PY' || { tail -n 3 log; exit 1; }
import anndata as ad
import memento
import numpy as np
import pandas as pd
import scipy.sparse as sp

rng = np.random.default_rng(0)
donor = np.repeat(["a", "b", "c", "d"], 400)
counts = rng.poisson(rng.uniform(0.5, 3, 60) * rng.gamma(5, 0.2, (1600, 60))).astype(float)
counts[donor == "c", 59] = np.tile([1, 2], 200)
adata = ad.AnnData(sp.csr_matrix(counts), obs=pd.DataFrame({"donor": donor, "q": 0.1}, index=[f"c{i}" for i in range(1600)]),
                   var=pd.DataFrame(index=[f"g{i}" for i in range(60)]))
memento.setup_memento(adata, q_column="q")
memento.create_groups(adata, label_columns=["donor"])
memento.compute_1d_moments(adata)
last = adata.var_names.get_loc("g59")
partners = [name for name in adata.var_names if name != "g59"][:10]
memento.compute_2d_moments(adata, [(name, "g59") for name in partners])
found = memento.get_2d_moments(adata)[0]
for name in "abcd":
    variance = adata.uns["memento"]["1d_moments"][f"sg^{name}"][1][last]
    values = found[f"sg^{name}"]
    matrix = memento.get_corr_matrix(adata, f"sg^{name}")[last, [adata.var_names.get_loc(partner) for partner in partners]]
    by_hand = np.corrcoef(counts[donor == name, 59], counts[donor == name, int(partners[0][1:])])[0, 1]
    print(f"donor {name}: variance {variance:.1g}, correlations {values.min():.2f} to {values.max():.2f},",
          f"{np.isnan(matrix).sum()} of 10 NaN in get_corr_matrix, counts of the first pair {by_hand:.2f}")
    assert abs(by_hand) < 0.15
    if name == "c":
        assert variance < 0 and np.isnan(matrix).all()
        assert (values == 1).all(), "this changed"
    else:
        assert variance > 0 and values.max() < 0.7 and not np.isnan(matrix).any()
PY
