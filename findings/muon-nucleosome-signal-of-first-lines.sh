#!/usr/bin/env bash
# muon 0.2.0, pysam 0.24.1, atac.tl.nucleosome_signal, Python 3.12 or later (PYTHON names one): "1e4 fragments * number of
# cells", its default, are the first lines of the fragments file, of whatever barcode. The file is sorted by position and
# has the barcodes that are no cells, so the ratio is of the first chromosomes alone, and it hangs on how many
# cells the table has: a table of one cluster gets other values for its cells than the whole one, from the same file.
# A cell of which no fragment was reached gets 1, as if it had been measured.
# Expected: of a cell with 100 fragments of 100 bases on chr1 and 300 of 200 bases on chr2, the ratio 3 in any table.
# Seen: 3 in a table of ten cells, 0 in one of three, and 1, no fragment, in one of its own. Nothing is said.
set -euo pipefail
for python in "${PYTHON:-python3}" python3.14 python3.13 python3.12 "$HOME"/.pyenv/versions/3.1[2-9]*/bin/python none; do
  if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then break; fi
done
[[ "$python" != none ]] || { echo "Python 3.12 or later is needed: PYTHON=/path/to/python $0"; exit 1; }
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/env"
"$folder/env/bin/pip" install -q muon==0.2.0 mudata==0.4.1 anndata==0.13.4 scanpy==1.12.4 pysam==0.24.1
cd "$folder"
env/bin/python -W ignore - 2>log <<'PY' || { tail -n 3 log; exit 1; }
import anndata
import numpy as np
import pysam
from muon import atac

cells = [f"cell{i}" for i in range(10)]
lines = [("chr1", 10 + i, 310 + i, f"empty{i % 500}", 1) for i in range(15_000)]  # droplets that are no cells
lines += [("chr1", 20_000 + 10 * i, 20_100 + 10 * i, cell, 1) for i in range(100) for cell in cells]
lines += [("chr1", 30_000 + i, 30_300 + i, f"empty{i % 500}", 1) for i in range(15_000)]
lines += [("chr2", 20_000 + 10 * i, 20_200 + 10 * i, cell, 1) for i in range(300) for cell in cells]
with open("fragments.tsv", "w") as file:
    file.writelines("\t".join(map(str, line)) + "\n" for line in sorted(lines))
pysam.tabix_index("fragments.tsv", preset="bed", force=True)
own = [end - start for _, start, end, cell, _ in lines if cell == "cell0"]
right = sum(147 <= length < 294 for length in own) / sum(length < 147 for length in own)


def signal(n):
    """The value of cell0 in a table of n cells."""
    data = anndata.AnnData(np.ones((n, 1), dtype="float32"))
    data.obs_names = cells[:n]
    atac.tl.locate_fragments(data, "fragments.tsv.gz")
    atac.tl.nucleosome_signal(data)
    return float(data.obs["nucleosome_signal"].iloc[0])


seen = {n: signal(n) for n in (10, 3, 1)}
print(f"cell0 by hand {right}, in a table of so many cells: {seen}")
assert right == 3 == seen[10]
assert seen[3] == 0, "this changed"
assert seen[1] == 1, "this changed"
PY
