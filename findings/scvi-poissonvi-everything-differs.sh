#!/usr/bin/env bash
# scvi-tools 1.5.1 with torch 2.13.0, POISSONVI.differential_accessibility, Python 3.12 or later (PYTHON names one): the more
# surely a peak does not change, the more surely it is called differential. The test hands over two masks, "changed" and "not
# changed", to code that takes them as "up" and "down" and keeps the larger of the two probabilities, so that none is ever
# below 0.5; with test_mode="two" they are added, which is 1. two_sided=False is the same. Its user guide offers it as the
# test of PeakVI for counts, and PEAKVI of the same release is right.
# Expected: between two random halves of one population no peak passes, for a twofold change (delta=1) at an FDR of 5 %.
# Seen: all 100 peaks pass, with probabilities of 0.85 to 1 and mean log2 changes below 0.1; 1 for each with
# test_mode="two". By hand, of pairs drawn from the model's own normalised accessibility, less than 0.2 of each peak's
# change twofold. PEAKVI gives none above 0.1. No error, no warning.
set -euo pipefail
for python in "${PYTHON:-python3}" python3.14 python3.13 python3.12 "$HOME"/.pyenv/versions/3.1[2-9]*/bin/python none; do
  if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then break; fi
done
[[ "$python" != none ]] || { echo "Python 3.12 or later is needed: PYTHON=/path/to/python $0"; exit 1; }
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/env"
"$folder/env/bin/pip" install -q scvi-tools==1.5.1 torch==2.13.0 lightning==2.6.6 torchmetrics==1.9.0 pyro-ppl==1.9.2 anndata==0.13.4 \
  mudata==0.4.1 scanpy==1.12.4 numba==0.68.1 numpy==2.5.5 pandas==3.1.1 scipy==1.18.1 scikit-learn==1.9.1 xarray==2026.9.0 sparse==0.19.3
cd "$folder"
OMP_NUM_THREADS=1 env/bin/python -W ignore - 2>log <<'PY' || { tail -n 3 log; exit 1; }
import anndata
import numpy as np
import scipy.sparse as sp
import scvi

rng = np.random.default_rng(0)
cells, peaks, delta = 400, 100, 1.0
data = anndata.AnnData(sp.csr_matrix(rng.poisson(rng.uniform(0.3, 0.6, peaks), (cells, peaks)).astype("float32")))
data.obs["half"] = rng.permutation(np.repeat(["a", "b"], cells // 2))
data.var_names = [f"peak{i}" for i in range(peaks)]


def trained(kind):
    scvi.settings.seed = 0
    kind.setup_anndata(data)
    model = kind(data, n_latent=5)
    model.train(max_epochs=50, accelerator="cpu", early_stopping=False, enable_progress_bar=False)
    return model


def tested(model, **options):
    return model.differential_accessibility(
        groupby="half", group1="a", group2="b", delta=delta, fdr_target=0.05, silent=True, **options
    )


model = trained(scvi.external.POISSONVI)
for options in ({}, {"two_sided": False}, {"test_mode": "two"}):
    table = tested(model, **options)
    passed, smallest, change = table["is_de_fdr_0.05"].sum(), table["proba_de"].min(), table["lfc_mean"].abs().max()
    print(f"POISSONVI {options}: {passed} of {peaks} pass, smallest probability {smallest:.2f}, largest mean change {change:.2f}")
    assert change < 0.1
    assert passed == peaks and smallest >= 0.5, "this changed"
    if "test_mode" in options:
        assert smallest == 1, "this changed"

values = [
    model.get_normalized_accessibility(indices=np.flatnonzero(data.obs["half"] == half), n_samples=1, return_numpy=True)
    for half in "ab"
]
first, second = (sample[rng.integers(0, len(sample), 5000)] for sample in values)
by_hand = (np.abs(np.log2(first) - np.log2(second)) >= delta).mean(axis=0)
print(f"by hand: of pairs of cells, at most {by_hand.max():.2f} of a peak change twofold")
assert by_hand.max() < 0.2

table = tested(trained(scvi.model.PEAKVI))
print(f"PEAKVI: {table['is_da_fdr'].sum()} of {peaks} pass, largest probability {table['prob_da'].max():.2f}")
assert table["is_da_fdr"].sum() == 0 and table["prob_da"].max() < 0.1
PY
