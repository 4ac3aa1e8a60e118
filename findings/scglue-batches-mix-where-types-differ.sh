#!/usr/bin/env bash
# scglue 0.4.1 with torch 2.13.0, metrics.avg_silhouette_width_batch, Python 3.11 (PYTHON names it): the silhouette by batch is
# taken within each cell type, and a type that is in one batch alone, which has none, is given the width 0, the best score, 1.
# So the less batches have in common, the better they are said to be mixed. It "follows the definition in OpenProblems", whose
# code (scib, silhouette_batch) leaves such types out.
# Expected: types that are in one batch alone say nothing of mixing; where there are no others, there is no score.
# Seen: of two batches that lie far apart, 0.2 or less for the type that both have; with nine types more that one of them has alone
# 0.9 or more; and 1, perfectly mixed, where the batches have no type in common. No warning.
set -euo pipefail
for python in "${PYTHON:-python3}" python3.11 "$HOME"/.pyenv/versions/3.11*/bin/python none; do
  if "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then break; fi
done
[[ "$python" != none ]] || { echo "Python 3.11 is needed: PYTHON=/path/to/python $0"; exit 1; }
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/env"
"$folder/env/bin/pip" install -q scglue==0.4.1 torch==2.13.0 anndata==0.12.19 scanpy==1.11.5 muon==0.1.9 mudata==0.3.10 \
  numpy==2.4.6 scipy==1.17.1 pandas==2.3.3 networkx==3.6.1 pybedtools==0.12.1 pyro-ppl==1.9.2 pytorch-ignite==0.5.5 \
  statsmodels==0.15.0 2>/dev/null
cd "$folder"
env/bin/python -W ignore - 2>log <<'PY' || { tail -n 3 log; exit 1; }
import numpy as np
import scglue.metrics
import sklearn.metrics

rng = np.random.default_rng(0)


def cells(types, batch, number=50):
    """Random cells of each type, ten apart by batch."""
    place = rng.normal(size=(len(types) * number, 5)) + 10 * (batch == "b")
    return place, np.repeat(types, number), np.repeat(batch, len(types) * number)


def score(first, second):
    place, kind, batch = (np.concatenate(parts) for parts in zip(cells(first, "a"), cells(second, "b"), strict=True))
    found = scglue.metrics.avg_silhouette_width_batch(place, batch, kind)
    shared = [kind == name for name in np.unique(kind) if len(set(batch[kind == name])) == 2]
    widths = [1 - np.abs(sklearn.metrics.silhouette_samples(place[mask], batch[mask])).mean() for mask in shared]
    return found, np.mean(widths) if widths else None


one, ten, none = score(["t0"], ["t0"]), score([f"t{i}" for i in range(10)], ["t0"]), score(["t0", "t1"], ["t2", "t3"])
for name, (found, right) in {"one type, in both": one, "ten types, one in both": ten, "four types, none in both": none}.items():
    print(f"{name}: {found:.2f}; of the types in both: {right if right is None else round(right, 2)}")
assert abs(one[0] - one[1]) < 1e-6 and one[0] < 0.2 and ten[1] < 0.2 and none[1] is None
assert ten[0] > 0.9, "this changed"
assert none[0] == 1, "this changed"
PY
