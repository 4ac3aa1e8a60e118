#!/usr/bin/env bash
# memento-de 0.1.3 (`import memento`), ht_2d_moments and get_2d_ht_result, Python 3.12 to 3.14 (PYTHON names one): a pair of a gene
# with itself is not tested, and the results of all pairs behind it move up by one place. The results are laid down one after
# the other, without a place for the pair that was skipped, and are read out beside the list of all pairs. A factor against all
# genes, itself among them, as itertools.product writes it, or all genes against all, have such pairs.
# Expected: each pair has the coefficient and p-value that it has without the pairs of one gene, which have none.
# Seen: of 1,600 cells where g0 and g1 are correlated under treatment alone, g0 with g1 has a p-value below 1e-10 if it is tested
# with g2 to g5; behind g0 with g0, that one is given to g0 and g0 themselves, g0 with g1 gets that of g0 with g2, above 0.3, and
# the last pair has none. No warning.
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
treated, replicate = np.repeat([0, 1], 800), np.tile(np.repeat([1, 2], 400), 2)
activity = rng.gamma(2, 0.5, (1600, 40))
activity[:, 1] = np.where(treated == 1, activity[:, 0], activity[:, 1])
counts = rng.poisson(2 * rng.gamma(20, 0.05, (1600, 1)) * activity).astype(float)
cells = pd.DataFrame({"treated": treated, "replicate": replicate, "q": 0.1}, index=[f"c{i}" for i in range(1600)])


def tested(partners):
    """The table of the differences in correlation of g0 with the partners."""
    adata = ad.AnnData(sp.csr_matrix(counts), obs=cells.copy(), var=pd.DataFrame(index=[f"g{i}" for i in range(40)]))
    memento.setup_memento(adata, q_column="q")
    memento.create_groups(adata, label_columns=["treated", "replicate"])
    memento.compute_1d_moments(adata)
    memento.compute_2d_moments(adata, [("g0", f"g{i}") for i in partners])
    memento.ht_2d_moments(adata, treatment=memento.get_groups(adata)[["treated"]], num_boot=2000, verbose=0)
    return memento.get_2d_ht_result(adata).set_index("gene_2")


right, shifted = tested([1, 2, 3, 4, 5]), tested([0, 1, 2, 3, 4, 5])
for name in shifted.index:
    row = shifted.loc[name]
    by_itself = f"{right.loc[name, 'corr_coef']:.3f}, p {right.loc[name, 'corr_pval']:.1g}" if name in right.index else "no test"
    print(f"g0 with {name}: coefficient {row['corr_coef']:.3f}, p {row['corr_pval']:.1g}; without g0 with g0: {by_itself}")
assert right.loc["g1", "corr_pval"] < 1e-10 and right["corr_pval"].iloc[1:].min() > 0.01
assert np.allclose(shifted["corr_coef"].iloc[:5], right["corr_coef"]), "this changed"
assert shifted.loc["g0", "corr_pval"] < 1e-10 and shifted.loc["g1", "corr_pval"] > 0.3, "this changed"
assert np.isnan(shifted.loc["g5", "corr_pval"]), "this changed"
PY
