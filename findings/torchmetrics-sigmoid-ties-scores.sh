#!/usr/bin/env bash
# torchmetrics 1.9.0 with torch 2.13.0, functional.classification.multilabel_auroc and multilabel_average_precision: scores
# outside of 0 to 1 are passed through a sigmoid, in float32, where all above 16.6 become 1. Ranks are lost: whole numbers
# from 0 to 19, such as counts, logits of a sure model or -log10 of p-values, get other areas than scikit-learn gives, with
# no warning. Half of each score, which orders them alike, gives the right ones.
# Expected: an area under a curve depends on the order of the scores alone.
set -euo pipefail
for python in "${PYTHON:-python3}" python3.11 python3.12 python3.13 "$HOME"/.pyenv/versions/3.1[123]*/bin/python none; do
  if "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then break; fi
done
[[ "$python" != none ]] || { echo "Python 3.11 to 3.13 is needed: PYTHON=/path/to/python $0"; exit 1; }
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/env"
"$folder/env/bin/pip" install -q torch==2.13.0 torchmetrics==1.9.0 scikit-learn==1.8.0 numpy==2.4.6
cd "$folder"
env/bin/python -W ignore - 2>log <<'PY' || { tail -n 3 log; exit 1; }
import numpy as np
import torch
from sklearn.metrics import average_precision_score, roc_auc_score
from torchmetrics.functional.classification import multilabel_auroc, multilabel_average_precision

rng = np.random.default_rng(0)
score = rng.integers(0, 20, (500, 3))
truth = (rng.random((500, 3)) < 0.05 + 0.04 * score).astype(int)
for name, ours, theirs in (
    ("AUROC", roc_auc_score, multilabel_auroc),
    ("average precision", average_precision_score, multilabel_average_precision),
):
    right = np.array([ours(truth[:, i], score[:, i]) for i in range(3)])
    given = {}
    for what, scale in (("as they are", 1.0), ("halved", 0.5)):
        preds = torch.tensor(score * scale, dtype=torch.float32)
        given[what] = theirs(preds, torch.tensor(truth), num_labels=3, average="none", thresholds=None).numpy()
        print(name, what, "off by at most", f"{np.abs(given[what] - right).max():.1e}")
    assert np.abs(given["halved"] - right).max() < 1e-5
    assert np.abs(given["as they are"] - right).max() > 1e-3
PY
