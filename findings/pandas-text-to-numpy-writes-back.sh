#!/usr/bin/env bash
# pandas 3.1.1 without pyarrow, Python 3.12 or later (PYTHON names one): Series.to_numpy() of a text column hands out the
# column's own memory and lets it be written to, past copy-on-write. A new DataFrame made of that array shares it too:
# setting a cell of the new table by iloc changes the old one, as here the chromosomes of a table of peaks.
# Expected: as for numbers, whose array is read-only, or as with pyarrow installed, where it is a copy.
# Seen: the first table's column is changed, with no error and no warning, by `array[0] =` and by `new.iloc[0, 0] =`.
# The array that to_numpy() gives of integers refuses to be written to.
set -euo pipefail
for python in "${PYTHON:-python3}" python3.14 python3.13 python3.12 "$HOME"/.pyenv/versions/3.1[2-9]*/bin/python none; do
  if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then break; fi
done
[[ "$python" != none ]] || { echo "Python 3.12 or later is needed: PYTHON=/path/to/python $0"; exit 1; }
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/env"
"$folder/env/bin/pip" install -q pandas==3.1.1 numpy==2.5.5
cat >"$folder/write.py" <<'PY'
import pandas as pd


def peaks():
    return pd.DataFrame({"chrom": ["chr1", "chr2"], "start": [10, 20]})


def by_array():
    table = peaks()
    table["chrom"].to_numpy()[0] = "chr9"
    return table["chrom"].tolist()


def by_new_table():
    table = peaks()
    new = pd.DataFrame({"chrom": table["chrom"].to_numpy(), "end": [30, 40]})
    new.iloc[0, 0] = "chr9"
    return table["chrom"].tolist()


def refused(array):
    try:
        array[0] = 9
    except ValueError as error:
        return "read-only" in str(error)
    return False


assert refused(peaks()["start"].to_numpy())
print(by_array(), by_new_table())
PY
without=$("$folder/env/bin/python" "$folder/write.py")
"$folder/env/bin/pip" install -q pyarrow==26.0.1
with=$("$folder/env/bin/python" "$folder/write.py")
echo "without pyarrow: $without"
echo "with pyarrow:    $with"
[[ "$without" == "['chr9', 'chr2'] ['chr9', 'chr2']" ]] || { echo "this changed"; exit 1; }
[[ "$with" == "['chr1', 'chr2'] ['chr1', 'chr2']" ]] || { echo "this changed with pyarrow"; exit 1; }
