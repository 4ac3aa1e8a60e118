#!/usr/bin/env bash
# muon 0.2.0 (scanpy 1.12.4), atac.tl.rank_peaks_groups, Python 3.12 or later (PYTHON names one): the genes that it puts
# beside the ranked peaks are one short and shifted where the annotation lacks a peak, because the ranked names are
# joined to the annotation and the peaks that are not in it fall out.
# Expected: genes[i] belongs to names[i], empty where a peak has no gene, and both are as long as each other.
# Seen: the first peak, which is not in the annotation, stands beside the gene of the second, and so on down the list.
# No error and no warning: every group lacks the same peaks, so all lists are of one length.
set -euo pipefail
for python in "${PYTHON:-python3}" python3.14 python3.13 python3.12 "$HOME"/.pyenv/versions/3.1[2-9]*/bin/python none; do
  if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then break; fi
done
[[ "$python" != none ]] || { echo "Python 3.12 or later is needed: PYTHON=/path/to/python $0"; exit 1; }
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/env"
"$folder/env/bin/pip" install -q muon==0.2.0 mudata==0.4.1 anndata==0.13.4 scanpy==1.12.4
cd "$folder"
env/bin/python -W ignore - <<'PY'
import anndata
import numpy as np
import pandas as pd
from muon import atac

rng = np.random.default_rng(0)
data = anndata.AnnData(rng.random((60, 4)).astype("float32"))
data.var_names = [f"chr1:{i}00-{i}50" for i in (1, 3, 5, 7)]
data.X[:30] += [9, 6, 3, 0]  # the ranks of the peaks in group a
data.obs["group"] = pd.Categorical(["a"] * 30 + ["b"] * 30)
annotation = pd.DataFrame({"peak": ["chr1_300_350", "chr1_500_550", "chr1_700_750"], "gene": ["G3", "G5", "G7"]})
annotation["distance"], annotation["peak_type"] = 0, "promoter"
atac.tl.add_peak_annotation(data, annotation)
atac.tl.rank_peaks_groups(data, "group", method="t-test")
ranked = data.uns["rank_genes_groups"]
for group in "ab":
    print(group, list(ranked["names"][group]), list(ranked["genes"][group]))
assert list(ranked["names"]["a"]) == list(data.var_names)
assert list(ranked["genes"]["a"]) == ["G3", "G5", "G7"], "this changed: the genes are lined up with the peaks"
assert list(ranked["genes"]["b"]) == ["G7", "G5", "G3"]
PY
