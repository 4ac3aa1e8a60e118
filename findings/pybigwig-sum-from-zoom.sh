#!/usr/bin/env bash
# pyBigWig 0.3.29: stats(type="sum"), as it is by default (exact=False), adds up one mean for each record of a zoom level,
# not each record's sum, wherever a zoom level is used, so that the total of a chromosome is too small by the number of
# bases in a record. Total signal of a chromosome, for a size factor or a depth, is what one asks it for.
# Expected: about the exact sum, as for the mean; pybigtools 0.3.0 with exact=False gives it from the same zoom records.
# Seen, 5,000 intervals of 20 bp with the value 2 (200,000 in all): 1250 of a file that pybigtools wrote and 200,000 with
# exact=True; the mean is right in both. A window small enough to be read base by base is right, so the factor changes
# with the window and the number of bins: 50 bins of 2,000 bp make 1200, 1,000 bins of 100 bp make 200,000.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q "pyBigWig==0.3.29" "pybigtools==0.3.0" "numpy==2.2.6"
cd "$folder"
env/bin/python -W ignore - <<'PY'
import pyBigWig
import pybigtools

n, width = 5000, 20
length, true = n * width, 2.0 * n * width
pybigtools.open("x.bw", "w").write({"chr1": length}, (("chr1", i * width, (i + 1) * width, 2.0) for i in range(n)))
file, other = pyBigWig.open("x.bw"), pybigtools.open("x.bw")
default = file.stats("chr1", type="sum")[0]
exact = file.stats("chr1", type="sum", exact=True)[0]
witness = float(other.values("chr1", 0, length, bins=1, summary="sum", exact=False)[0])
wide = sum(file.stats("chr1", type="sum", nBins=50))
narrow = sum(file.stats("chr1", type="sum", nBins=1000))
print(f"sum {default}, exact {exact}, pybigtools from the zoom {witness}; mean {file.stats('chr1')[0]}")
print(f"summed over 50 bins {wide}, over 1000 bins {narrow}")
assert exact == witness == true and file.stats("chr1")[0] == 2
assert default == 1250, "this changed: the default sum is another one"
assert wide == 1200 and narrow == true, "this changed: the bins make another sum"
PY
