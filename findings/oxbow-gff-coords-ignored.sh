#!/usr/bin/env bash
# oxbow 0.8.2, from_gff(coords="01"), Python 3.11 to 3.13 (PYTHON names one): "01", starts counted from 0 as in BED, is taken
# and thrown away, so starts are those of the file, counted from 1, and regions="chr1:200-210" is read as counted from 1, its
# end included. from_gtf beside it hands it on. Lengths that are taken as end - start are one short, and a start site is a base
# off.
# Expected: by oxbow's guide "01" is a "0-based start, 1-based end" of any format, so 101-200 of the file is 100 and 200, as the
# same line in a GTF is and as a BED of the same feature has it, and chr1:200-210 begins behind it.
# Seen: 101 and 200, and chr1:200-210 holds the feature; of the GTF 100 and 200, and it does not. Of 300 random features none of
# the GFF has the start of the BED and all of the GTF have it; with "11" both have those of the file. No error, no warning.
# coords came in 2026 by pull request 173; no report of it was found.
set -euo pipefail
for python in "${PYTHON:-python3}" python3.11 python3.12 python3.13 "$HOME"/.pyenv/versions/3.1[123]*/bin/python none; do
  if "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then break; fi
done
[[ "$python" != none ]] || { echo "Python 3.11 to 3.13 is needed: PYTHON=/path/to/python $0"; exit 1; }
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/env"
"$folder/env/bin/pip" install -q oxbow==0.8.2 pysam==0.24.1 pandas==2.3.3 numpy==2.4.6 pyarrow==24.0.0
cd "$folder"
env/bin/python -W ignore - <<'PY'
import numpy as np
import oxbow
import pysam

READ = {"gff3": oxbow.from_gff, "gtf": oxbow.from_gtf, "bed": oxbow.from_bed}


def store(name, features):
    """Features with 0-based starts, in a bgzipped and indexed file of each format."""
    lines = {"gff3": "{0}\tx\tgene\t{1}\t{2}\t.\t+\t.\tID=g{3}\n", "gtf": '{0}\tx\tgene\t{1}\t{2}\t.\t+\t.\tgene_id "g{3}";\n'}
    lines["bed"] = "{0}\t{1}\t{2}\n"
    for kind, line in lines.items():
        with open(f"{name}.{kind}", "w") as file:
            for i, (start, end) in enumerate(features):
                file.write(line.format("chr1", start + (kind != "bed"), end, i))
        pysam.tabix_compress(f"{name}.{kind}", f"{name}.{kind}.gz")
        pysam.tabix_index(f"{name}.{kind}.gz", preset="bed" if kind == "bed" else "gff")


def read(name, kind, **options):
    return READ[kind](f"{name}.{kind}.gz", **options).pd()[["start", "end"]].to_numpy().tolist()


store("one", [(100, 200)])
seen = {kind: (read("one", kind, coords="01"), read("one", kind, coords="01", regions="chr1:200-210")) for kind in READ}
for kind, (whole, behind) in seen.items():
    print(f"{kind}: {whole}, in chr1:200-210: {behind}")
assert seen["gtf"] == seen["bed"] == ([[100, 200]], [])
assert seen["gff3"] == ([[101, 200]], [[101, 200]]), "this changed"

rng = np.random.default_rng(0)
starts = np.sort(rng.integers(0, 50_000, 300))
features = list(zip(starts.tolist(), (starts + rng.integers(1, 2000, 300)).tolist(), strict=True))
store("many", features)
found = {kind: np.array(read("many", kind, coords="01")) for kind in READ}
right = {kind: int((table[:, 0] == starts).sum()) for kind, table in found.items()}
print("of 300 features with the right start:", right)
assert right["gtf"] == right["bed"] == 300
assert right["gff3"] == 0, "this changed"
assert read("many", "gff3", coords="11") == read("many", "gtf", coords="11") == [[start + 1, end] for start, end in features]
PY
