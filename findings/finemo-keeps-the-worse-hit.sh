#!/usr/bin/env bash
# finemo 0.41 (Fi-NeMo), collapse-hits and postprocessing.collapse_hits, Python 3.11 to 3.13 (PYTHON names one): of hits that
# overlap, the one with the *lowest* similarity is marked is_primary, where the text says the best one. The comparison
# keeps the old hit if the new one is better. What is then filtered by is_primary == 1, as its example has it, is a
# catalogue of the weaker motif at each place where two motifs compete.
# Expected: of two hits, 0-20 and 2-22, with similarities 0.9 and 0.5, the first is primary, whichever order they come in.
# Seen: the one of 0.5, in both orders, and of 0.5, 0.9, 0.5 the last one alone. Of 500 random places with two to four hits
# on the same bases, the best is primary in none, and the worst in all. Exit status 0, no warning.
set -euo pipefail
for python in "${PYTHON:-python3}" python3.11 python3.12 python3.13 "$HOME"/.pyenv/versions/3.1[123]*/bin/python none; do
  if "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then break; fi
done
[[ "$python" != none ]] || { echo "Python 3.11 to 3.13 is needed: PYTHON=/path/to/python $0"; exit 1; }
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/env"
"$folder/env/bin/pip" install -q finemo==0.41 torch==2.13.0 numba==0.68.1 numpy==2.4.6 polars==1.44.2 scipy==1.17.1 h5py==3.16.0 \
  hdf5plugin==7.1.0 pyBigWig==0.3.29 pyfaidx==0.9.2.2 matplotlib==3.11.2 jaxtyping==0.3.11 jinja2==3.1.6 tqdm==4.70.1
cd "$folder"
cat >write.py <<'PY'
import numpy as np

COLUMNS = """chr start end start_untrimmed end_untrimmed motif_name hit_coefficient hit_coefficient_global hit_similarity
hit_correlation hit_importance hit_importance_sq strand peak_name peak_id"""


def write(name, places):
    """Write a table of hits: each place is a list of similarities, of hits that lie two bases apart."""
    with open(name, "w") as file:
        file.write("\t".join(COLUMNS.split()) + "\n")
        for i, place in enumerate(places):
            for j, similarity in enumerate(place):
                start = 1000 * i + 2 * j
                file.write(f"chr1\t{start}\t{start + 20}\t{start}\t{start + 20}\tmotif{j}\t1\t1\t{similarity}\t1\t1\t1\t+\tp\t0\n")


write("pairs.tsv", [[0.9, 0.5], [0.5, 0.9], [0.5, 0.9, 0.5], [0.7]])
rng = np.random.default_rng(0)
write("random.tsv", [rng.permutation(np.arange(1, 100))[: rng.integers(2, 5)] / 100 for _ in range(500)])
PY
env/bin/python write.py
for name in pairs random; do
  env/bin/finemo collapse-hits -i "$name.tsv" -o "$name.out.tsv" >log 2>&1 || { tail -n 3 log; exit 1; }
done
env/bin/python - <<'PY'
import polars as pl


def read(name):
    """Give for each place the similarities and the marks, in the order of the hits."""
    table = pl.read_csv(name, separator="\t").with_columns(place=pl.col("start") // 1000)
    groups = table.group_by("place", maintain_order=True).agg("hit_similarity", "is_primary")
    return [(place, marks) for place, marks in zip(groups["hit_similarity"].to_list(), groups["is_primary"].to_list())]


pairs, places = read("pairs.out.tsv"), read("random.out.tsv")
for similarity, marks in pairs:
    print("similarities", similarity, "is_primary", marks)
best = sum(marks[similarity.index(max(similarity))] for similarity, marks in places)
worst = sum(marks[similarity.index(min(similarity))] for similarity, marks in places)
print(f"of {len(places)} random places the best hit is primary in {best} and the worst in {worst}")
assert pairs[3][1] == [1]
assert [marks for _, marks in pairs[:3]] == [[0, 1], [1, 0], [0, 0, 1]], "this changed"
assert (len(places), best, worst) == (500, 0, 500), "this changed"
PY
