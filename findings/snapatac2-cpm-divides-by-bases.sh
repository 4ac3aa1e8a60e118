#!/usr/bin/env bash
# snapatac2 2.10.0 (2.9.0 alike), ex.export_coverage, Python 3.12 or later (PYTHON names one): with normalization="RPKM",
# the default, or "CPM", and counting_strategy="fragment", the default, the values are divided by the number of bases in
# the fragments, not by the number of reads, as its text says. Tracks of groups with longer fragments are lower by the
# ratio of the mean lengths.
# Expected: two groups of 100 fragments each, 50 and 500 bp long, both have 1 fragment in a covered bin, so a CPM of
# 10,000 (5,000 if both ends are reads) and the same height.
# Seen: 200 and 20. The raw counts (normalization=None) are 1 and 1, and with "insertion" both are 5,000, as expected. CPM
# is "BPM" divided by the width of a bin, for any data, so the two are no two normalisations.
set -euo pipefail
for python in "${PYTHON:-python3}" python3.14 python3.13 python3.12 "$HOME"/.pyenv/versions/3.1[2-9]*/bin/python none; do
  if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then break; fi
done
[[ "$python" != none ]] || { echo "Python 3.12 or later is needed: PYTHON=/path/to/python $0"; exit 1; }
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/env"
"$folder/env/bin/pip" install -q --no-deps snapatac2==2.10.0  # without MACS3, which is built from source and not needed here
"$folder/env/bin/pip" install -q pandas==2.3.3 anndata==0.12.19 numpy==2.4.6 polars==1.44.2 pyarrow==24.0.0 \
  "scverse-misc[datasets]==0.1.2" natsort==8.4.0 pooch==1.9.0 rustworkx==0.18.1 tqdm==4.70.1 typeguard==4.6.1
cd "$folder"
env/bin/python -W ignore - 2>log <<'PY' || { tail -n 3 log; exit 1; }
import snapatac2

with open("fragments.tsv", "w") as file:
    for start in range(0, 150_000, 1500):
        for cell, length in (("short", 50), ("long", 500)):
            file.write(f"chr1\t{start}\t{start + length}\t{cell}\t1\n")
data = snapatac2.pp.import_fragments("fragments.tsv", {"chr1": 200_000}, min_num_fragments=0, sorted_by_barcode=False)
assert data.obs["n_fragment"].tolist() == [100, 100]


def height(normalization, strategy):
    """The highest value of each group's track."""
    made = snapatac2.ex.export_coverage(data, groupby=list(data.obs_names), suffix=".bedgraph", bin_size=10, n_jobs=1,
                                        normalization=normalization, counting_strategy=strategy)
    return {group: max(float(line.split("\t")[3]) for line in open(path)) for group, path in sorted(made.items())}


seen = {}
for strategy in ("insertion", "fragment"):
    for normalization in (None, "CPM", "RPKM", "BPM"):
        seen[strategy, normalization] = height(normalization, strategy)
        print(strategy, normalization, seen[strategy, normalization])
assert seen["fragment", None] == {"long": 1, "short": 1}
assert seen["insertion", "CPM"] == {"long": 5000, "short": 5000}
assert seen["fragment", "CPM"] == {"long": 1e6 / (100 * 500), "short": 1e6 / (100 * 50)}, "this changed"
assert seen["fragment", "RPKM"] == {"long": 2000, "short": 20000}, "this changed"
assert seen["fragment", "BPM"] == {"long": 200, "short": 2000}
PY
