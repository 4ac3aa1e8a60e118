#!/usr/bin/env bash
# pychromvar 0.0.4, get_genome("mm10"): it asks GENCODE for release M1, NCBIM37.genome.fa.gz, which is the assembly mm9,
# and saves it as mm10.fa; mm10 is GRCm38. Peaks of mm10 then get the bases of other places of the genome, so GC,
# backgrounds and motif matches are those of other sequences, and nothing says so: almost all positions lie on a sequence.
# Its docstring names "mm9" among the genomes instead, which the call refuses.
# Expected: an address of GRCm38, as "hg38" has one of GRCh38 and "mm39" one of GRCm39. No network is used: the call to
# wget is replaced by one that writes its address down.
set -euo pipefail
for python in "${PYTHON:-python3}" python3.11 "$HOME"/.pyenv/versions/3.11*/bin/python none; do
  if "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then break; fi
done
[[ "$python" != none ]] || { echo "Python 3.11 is needed: PYTHON=/path/to/python $0"; exit 1; }
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/env"
"$folder/env/bin/pip" install -q pychromvar==0.0.4 anndata==0.12.19 mudata==0.3.10 numpy==2.4.6 scipy==1.17.1 pandas==2.3.3
cd "$folder"
env/bin/python -W ignore - 2>log <<'PY' || { tail -n 3 log; exit 1; }
import gzip
from pathlib import Path

import pychromvar
import wget

asked = []


def written_down(address, path):
    asked.append(address)
    Path(path).write_bytes(gzip.compress(b">chr1\nACGT\n"))


wget.download = written_down
Path("genomes").mkdir()
for name in ("hg38", "mm10", "mm39"):
    pychromvar.get_genome(name, "genomes")
    print(name, "->", asked[-1].rsplit("/", 2)[1:], "saved as", sorted(p.name for p in Path("genomes").iterdir())[-1])
assert "GRCh38" in asked[0] and "GRCm39" in asked[2]  # as their names say
assert "release_M1/NCBIM37" in asked[1]  # mm9
assert Path("genomes/mm10.fa").exists()
try:
    pychromvar.get_genome("mm9", "genomes")
except AssertionError as error:
    print("mm9 ->", error)
else:
    raise SystemExit("mm9 is taken now")
PY
