#!/usr/bin/env bash
# enformer-pytorch 0.8.12 with torch 2.13.0, seq_indices_reverse_complement and FastaInterval(return_seq_indices=True,
# rc_aug=True), Python 3.11 to 3.13 (PYTHON names one): what lies beyond the end of a chromosome is written as -1 and becomes a
# quarter of each base; turned over it is looked up as the last entry of a table of five, which is N, and becomes 0 of each. So
# a peak near a chromosome end has another sequence on the two strands. And the letters of IUPAC for two bases, R, Y, M, are A
# as indices, and nothing as one-hot.
# Expected: turning the indices over and encoding them is the same as encoding them and turning that over by
# one_hot_reverse_complement, and both ways to one-hot are the same for one text, as they are for A, C, G, T, N and the padding
# forwards.
# Seen: of "..ACGN" the two pads are 0.25 each forwards, 0.25 turned over as one-hot, 0 turned over as indices. FastaInterval
# with a context of 40 on a chromosome of 20 bases has 20 rows of a quarter without rc_aug or turned over as one-hot, and none
# turned over as indices. "RYM" is AAA by indices and zeros by str_to_one_hot. No error, no warning. No report of it was found.
set -euo pipefail
for python in "${PYTHON:-python3}" python3.11 python3.12 python3.13 "$HOME"/.pyenv/versions/3.1[123]*/bin/python none; do
  if "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then break; fi
done
[[ "$python" != none ]] || { echo "Python 3.11 to 3.13 is needed: PYTHON=/path/to/python $0"; exit 1; }
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/env"
"$folder/env/bin/pip" install -q --no-deps enformer-pytorch==0.8.12  # its data.py alone is used, which needs no transformers
"$folder/env/bin/pip" install -q torch==2.13.0 polars==1.44.2 pyfaidx==0.9.2.2 numpy==2.4.6
cd "$folder"
env/bin/python -W ignore - <<'PY'
import importlib.metadata
import importlib.util
import random

import torch

path = next(file for file in importlib.metadata.files("enformer-pytorch") if file.name == "data.py").locate()
spec = importlib.util.spec_from_file_location("data", path)
data = importlib.util.module_from_spec(spec)
spec.loader.exec_module(data)

indices = data.str_to_seq_indices("..ACGN")
forwards = data.seq_indices_to_one_hot(indices)
by_one_hot = data.one_hot_reverse_complement(forwards)
by_indices = data.seq_indices_to_one_hot(data.seq_indices_reverse_complement(indices))
print("the pads: forwards", forwards[:2].tolist(), "turned over", by_one_hot[-2:].tolist(), "as indices", by_indices[-2:].tolist())
assert torch.equal(forwards, data.str_to_one_hot("..ACGN"))
assert (forwards[:2] == 0.25).all()
assert torch.equal(by_one_hot[:4], by_indices[:4])
assert (by_one_hot[-2:] == 0.25).all()
assert (by_indices[-2:] == 0).all(), "this changed"

with open("one.fa", "w") as file:
    file.write(">chr1\n" + "ACGTT" * 4 + "\n")


def padded(as_indices, turned):
    """How many of 40 rows are a quarter of each base."""
    interval = data.FastaInterval(fasta_file="one.fa", context_length=40, return_seq_indices=as_indices, rc_aug=turned)
    random.seed(next(seed for seed in range(100) if random.Random(seed).random() > 0.5))  # the coin that turns over
    rows = interval("chr1", 5, 15)
    return int(((data.seq_indices_to_one_hot(rows) if as_indices else rows) == 0.25).all(dim=1).sum())


found = {(as_indices, turned): padded(as_indices, turned) for as_indices in (False, True) for turned in (False, True)}
print("rows of a quarter, by (as indices, turned over):", found)
assert [found[key] for key in ((False, False), (False, True), (True, False))] == [20, 20, 20]
assert found[True, True] == 0, "this changed"

letters = data.seq_indices_to_one_hot(data.str_to_seq_indices("RYM"))
print("RYM:", letters.tolist(), "and", data.str_to_one_hot("RYM").tolist())
assert (data.str_to_one_hot("RYM") == 0).all()
assert torch.equal(letters, data.str_to_one_hot("AAA")), "this changed"
PY
