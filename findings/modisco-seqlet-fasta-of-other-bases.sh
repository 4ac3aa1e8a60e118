#!/usr/bin/env bash
# modisco-lite 3.0.0, seqlet-fasta and seqlet-bed, Python 3.12 or later (PYTHON names one): `modisco motifs` keeps the middle
# of the sequences, the 400 bases of its default --window, and counts the places of seqlets from there. seqlet-fasta
# reads the same file of sequences by these places but from its first base, so that of longer sequences it writes bases of a
# flank, under the coordinates of the motif. Both commands also begin one base late: start is 0-based and has 1 added to it,
# so each interval and each sequence lacks its first base, in a BED too.
# Expected: 50 bases a seqlet, as in the file of results, with the motif in each of them.
# Seen, 400 sequences of 1,000 bases with a motif near the middle: all seqlets of the results have 50 bases and the motif; in the
# FASTA they have 49 and none has it. Of the same sequences cut to 400 bases beforehand, each is the seqlet less its first
# base. The BED begins at the second base of each. Exit status 0, no warning.
set -euo pipefail
for python in "${PYTHON:-python3}" python3.14 python3.13 python3.12 "$HOME"/.pyenv/versions/3.1[2-9]*/bin/python none; do
  if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then break; fi
done
[[ "$python" != none ]] || { echo "Python 3.12 or later is needed: PYTHON=/path/to/python $0"; exit 1; }
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/env"
"$folder/env/bin/pip" install -q modisco-lite==3.0.0 leidenalg==0.11.0 igraph==1.0.0 numba==0.68.1 numpy==2.5.5 scipy==1.18.1 \
  scikit-learn==1.9.1 h5py==3.16.0 hdf5plugin==7.1.0 pandas==3.1.1 memelite==0.5.0 logomaker==0.8.7 numba-progress==1.2.0
cd "$folder"
cat >make.py <<'PY'
import numpy as np

rng = np.random.default_rng(0)
peaks, length, window, motif = 400, 1000, 400, "TGACTCATGCGCAT"
codes = rng.integers(0, 4, (peaks, length))
scores = rng.normal(0, 0.001, (peaks, 4, length)).astype("float32")
for i, start in enumerate(length // 2 + rng.integers(-120, 100, peaks)):
    codes[i, start : start + len(motif)] = ["ACGT".index(base) for base in motif]
    scores[i][codes[i, start : start + len(motif)], np.arange(start, start + len(motif))] += 1
onehot = (codes[:, None] == np.arange(4)[:, None]).astype("int8")
middle = slice((length - window) // 2, (length + window) // 2)
np.savez("long.npz", onehot)
np.savez("scores.npz", scores)
np.savez("cut.npz", onehot[:, :, middle])
with open("peaks.bed", "w") as file:
    for i in range(peaks):
        file.write(f"chr1\t{5000 * (i + 1) - length // 2}\t{5000 * (i + 1) + length // 2}\tpeak{i}\t0\t.\n")
PY
modisco() { NUMBA_NUM_THREADS=1 env/bin/modisco "$@" >log 2>&1 || { tail -n 3 log; exit 1; }; }
env/bin/python make.py
modisco motifs -s long.npz -a scores.npz -n 400 -o results.h5
modisco seqlet-bed -i results.h5 -p peaks.bed -c '*' -q -o out.bed
for name in long cut; do modisco seqlet-fasta -i results.h5 -p peaks.bed -s "$name.npz" -c '*' -q -o "$name.fa"; done
env/bin/python - <<'PY'
import h5py
import numpy as np

MOTIF, WINDOW = "TGACTCATGCGCAT", 400
wanted, rows = [], []
codes = np.load("long.npz")["arr_0"].argmax(axis=1)
with h5py.File("results.h5") as file:
    assert list(file) == ["pos_patterns"] and list(file["pos_patterns"]) == ["pattern_0"]
    seqlets = {key: values[:] for key, values in file["pos_patterns/pattern_0/seqlets"].items()}
assert not seqlets["is_revcomp"].any()
for example, start, end, onehot in zip(*(seqlets[key] for key in ("example_idx", "start", "end", "sequence"))):
    wanted.append("".join("ACGT"[code] for code in onehot.argmax(axis=1)))
    first = 5000 * (example + 1) - WINDOW // 2 + start  # of the genome, 0-based
    rows.append((first, first + end - start))
    own = codes[example, 300 + start : 300 + end]  # the window begins at base 300 of 1,000
    assert wanted[-1] == "".join("ACGT"[code] for code in own)
total = len(wanted)
assert total >= 100 and {len(sequence) for sequence in wanted} == {50} and all(MOTIF in sequence for sequence in wanted)

long, cut = ([line.strip() for line in open(f"{name}.fa") if line.strip() and line[0] != ">"] for name in ("long", "cut"))
with_motif = sum(MOTIF in sequence for sequence in long)
print(f"results: {total} seqlets of 50 bases, all with the motif; FASTA: {sorted({len(s) for s in long})} bases, {with_motif} have it")
print("FASTA of the cut sequences: each lacks the first base:", cut == [sequence[1:] for sequence in wanted])
bed = [line.split("\t") for line in open("out.bed") if line.startswith("chr1")]
bed = [(int(fields[1]), int(fields[2])) for fields in bed]
print("BED:", bed[0], "for", tuple(map(int, rows[0])))
assert len(long) == total and {len(sequence) for sequence in long} == {49}, "this changed"
assert with_motif <= total // 50, "this changed"
assert cut == [sequence[1:] for sequence in wanted], "this changed"
assert bed == [(start + 1, end) for start, end in rows], "this changed"
PY
