#!/usr/bin/env bash
# circe-py 0.4.0, add_ccans, Python 3.12 or later (PYTHON names one): the network of co-accessible peaks (CCAN) that is written
# into .var stands beside other peaks than those that are in it. find_ccans gives its table network by network; the numbers are
# taken out of the table and laid on the peaks in the order of .var, which is that of the genome, without their names.
# Expected: the CCAN of a peak in .var is the one that find_ccans, with the same links, cutoff and seed, has beside its name.
# Seen: three networks of four, five and six neighbouring peaks, with links of 0.5, 0.9 and 0.7, become runs of five, six and
# four peaks. Of 40 networks of five peaks that lie among each other, 2 % of the pairs of peaks that have one number are linked,
# as many as by chance. No warning. No report of it was found.
set -euo pipefail
for python in "${PYTHON:-python3}" python3.14 python3.13 python3.12 "$HOME"/.pyenv/versions/3.1[2-9]*/bin/python none; do
  if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then break; fi
done
[[ "$python" != none ]] || { echo "Python 3.12 or later is needed: PYTHON=/path/to/python $0"; exit 1; }
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/env"
"$folder/env/bin/pip" install -q circe-py==0.4.0 anndata==0.13.4 scanpy==1.12.4 networkx==3.7 numpy==2.5.5 pandas==3.1.1 scipy==1.18.1
cd "$folder"
env/bin/python -W ignore - <<'PY'
import contextlib
import io

import anndata
import circe
import numpy as np
import pandas as pd
import scipy.sparse


def networks(group, strength):
    """The true group of each peak, what find_ccans says of it, and what add_ccans writes beside it."""
    group = np.asarray(group)
    names = [f"chr1_{1000 * i}_{1000 * i + 500}" for i in range(len(group))]
    links = np.where(group[:, None] == group, np.asarray(strength)[group], 0)
    np.fill_diagonal(links, 0)
    data = anndata.AnnData(np.ones((2, len(group)), "float32"), var=pd.DataFrame(index=names))
    data.varp["atac_network"] = scipy.sparse.csr_matrix(links)
    with contextlib.redirect_stdout(io.StringIO()):
        table = circe.find_ccans(circe.extract_atac_links(data), coaccess_cutoff_override=0.1, seed=0)
        data = circe.add_ccans(data, coaccess_cutoff_override=0.1, seed=0)
    return table.set_index("Peak")["CCAN"].reindex(names).to_numpy(), data.var["CCAN"].to_numpy().astype(int)


group = np.repeat([0, 1, 2], [4, 5, 6])
found, written = networks(group, [0.5, 0.9, 0.7])
print("groups     ", *group)
print("find_ccans ", *found)
print("add_ccans  ", *written)
assert len(set(zip(group, found, strict=True))) == 3  # find_ccans has each group as one network
order, sizes = np.unique(written, return_counts=True)
assert not np.array_equal(found, written), "this changed: the numbers stand beside their peaks"
assert len(set(zip(group, written, strict=True))) > 3, "this changed: no network is torn"

rng = np.random.default_rng(0)
group = rng.permutation(np.repeat(np.arange(40), 5))
found, written = networks(group, rng.uniform(0.3, 1, 40))
assert len(set(zip(group, found, strict=True))) == 40
same = written[:, None] == written
np.fill_diagonal(same, False)
linked = group[:, None] == group
right = (same & linked).sum() / same.sum()
print(f"40 mixed networks of five peaks: of the pairs of peaks with one number {right:.0%} are linked")
assert right < 0.5, "this changed"
PY
