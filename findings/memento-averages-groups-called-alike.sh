#!/usr/bin/env bash
# memento-de 0.1.3 (`import memento`), get_1d_moments and get_2d_moments with groupby=, Python 3.12 to 3.14 (PYTHON names one):
# which groups belong to a value of the column is found by whether the text of the value stands anywhere in the name of the group,
# "sg^" and all labels joined by "^". So the mean of d1 takes in d10 to d19, that of "stim" all of "unstim", and that of a cell
# type "s" or "T" whatever has the letter in it. The numbers are weighted by cells, so a small group can be lost in a large one.
# Expected: "take the mean of the moments weighted by cell counts" of the groups with that value; with one group for each value,
# as here, the moments that get_1d_moments gives without groupby.
# Seen: of donors d1, d2 and d10 with 400 cells each, ten genes of which are four times as high in d10, d2 and d10 have their own
# log means and d1 has the mean of d1 and d10, 0.69 above its own for those ten, half of the log of 4. No warning.
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
donor = np.repeat(["d1", "d2", "d10"], 400)
mean = np.tile(rng.uniform(0.5, 3, 60), (1200, 1))
mean[donor == "d10", :10] *= 4
counts = rng.poisson(mean * rng.gamma(5, 0.2, mean.shape)).astype(float)
adata = ad.AnnData(sp.csr_matrix(counts), obs=pd.DataFrame({"donor": donor, "q": 0.1}, index=[f"c{i}" for i in range(1200)]),
                   var=pd.DataFrame(index=[f"g{i}" for i in range(60)]))
memento.setup_memento(adata, q_column="q")
memento.create_groups(adata, label_columns=["donor"])
memento.compute_1d_moments(adata)
of_groups, of_donors = memento.get_1d_moments(adata)[0], memento.get_1d_moments(adata, groupby="donor")[0]
high = [name in {f"g{i}" for i in range(10)} for name in of_groups["gene"]]
off = {name: of_donors[f"donor_{name}"] - of_groups[f"sg^{name}"] for name in ("d1", "d2", "d10")}
for name, values in off.items():
    print(f"{name}: log means of the ten genes {values[high].mean():.2f} off, of the others {values[np.invert(high)].mean():.2f}")
both = (of_groups["sg^d1"] + of_groups["sg^d10"]) / 2
assert np.allclose(off["d2"], 0) and np.allclose(off["d10"], 0)
assert np.allclose(of_donors["donor_d1"], both), "this changed"
assert 0.5 < off["d1"][high].mean() < 0.9, "this changed"
PY
