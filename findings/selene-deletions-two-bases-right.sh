#!/usr/bin/env bash
# selene-sdk 0.6.0 with torch 2.13.0, AnalyzeSequences.variant_effect_prediction, Python 3.11 or 3.12 (PYTHON names one) and a C
# compiler: of each deletion of a VCF the alternative sequence that the model is given lacks other bases than those deleted. POS
# counts from 1 and the slices that are put together for a deletion count from 0, so the piece left of it ends two bases too
# late: both first bases of REF stay, ALT comes behind them, and the bases are taken out two places further on. Substitutions
# and insertions go another way and are right. ref_match is True, since the sequence of the reference is right as well.
# Expected: of ...GTGG[TAC]CTAG... with TAC to T the sequence GTGGTCTAG.
# Seen: GTGGTATAG. Of 40 random deletions of one to five bases 1 gives an alternative sequence that the genome with the deletion
# has, in a run of equal bases; all 40 are those of the same deletion two bases right of POS. Of 40 substitutions of one base, 40
# of three and 40 insertions all are right. No warning.
set -euo pipefail
for python in "${PYTHON:-python3}" python3.12 python3.11 "$HOME"/.pyenv/versions/3.1[12]*/bin/python none; do
  if "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; then break; fi
done
[[ "$python" != none ]] || { echo "Python 3.11 or 3.12 is needed: PYTHON=/path/to/python $0"; exit 1; }
command -v cc >/dev/null || { echo "A C compiler is needed: selene-sdk and pytabix are built from source"; exit 1; }
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/env"
"$folder/env/bin/pip" install -q torch==2.13.0 numpy==2.4.6 pandas==2.3.3 scipy==1.17.1 scikit-learn==1.9.1 h5py==3.16.0 \
  pyfaidx==0.9.2.2 matplotlib==3.11.2 seaborn==0.13.2 plotly==7.1.0 statsmodels==0.15.0 pyyaml==6.0.4 ruamel.yaml==0.19.1 \
  click==8.5.1 six==1.17.0 cython==3.1.8 wheel==0.48.0 setuptools==80.9.0 2>/dev/null
# without its own torch, which is below 2.3.2
"$folder/env/bin/pip" install -q --no-deps --no-build-isolation selene-sdk==0.6.0 pytabix==0.1 2>/dev/null
cd "$folder"
env/bin/python -W ignore - 2>log <<'PY' || { tail -n 3 log; exit 1; }
import numpy as np
import torch
from selene_sdk.predict import AnalyzeSequences
from selene_sdk.sequences import Genome

LENGTH, EACH = 100, 40
rng = np.random.default_rng(0)
genome = "".join(rng.choice(list("ACGT"), 20_000))
with open("genome.fa", "w") as file:
    file.write(f">chr1\n{genome}\n")


class Listener(torch.nn.Module):
    """A model that keeps the sequences it is given."""

    def __init__(self):
        super().__init__()
        self.weight, self.seen = torch.nn.Parameter(torch.ones(1)), []

    def forward(self, batch):
        self.seen += ["".join("ACGT"[base] for base in one.argmax(dim=0)) for one in batch]
        return self.weight * batch.sum(dim=(1, 2))[:, None]


def sequences(variants):
    """The pair of sequences that the model is given for each variant, its place counted from 0."""
    with open("variants.vcf", "w") as file:
        file.write("##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\n")
        file.writelines(f"chr1\t{at + 1}\t.\t{ref}\t{alt}\n" for at, ref, alt in variants)
    model = Listener()
    torch.save(model.state_dict(), "model.pth")
    analysis = AnalyzeSequences(model, "model.pth", LENGTH, ["feature"], batch_size=1, reference_sequence=Genome("genome.fa"))
    analysis.variant_effect_prediction("variants.vcf", save_data=["predictions"], output_dir="found")
    return list(zip(model.seen[::2], model.seen[1::2], strict=True))


def with_variant(at, ref, alt):
    return genome[:at] + alt + genome[at + len(ref) :]


def others(bases):
    return "".join("ACGT"["ACGT".index(base) - 1] for base in bases)


places = rng.choice(np.arange(1000, 19_000, 20), 4 * EACH, replace=False).tolist()
kinds = {"substitution of one": [(at, genome[at], others(genome[at])) for at in places[:EACH]],
         "substitution of three": [(at, genome[at : at + 3], others(genome[at : at + 3])) for at in places[EACH : 2 * EACH]],
         "insertion": [(at, genome[at], genome[at] + "ACGTA"[: 1 + at // 20 % 5]) for at in places[2 * EACH : 3 * EACH]],
         "deletion": [(at, genome[at : at + 2 + at // 20 % 5], genome[at]) for at in places[3 * EACH :]]}
for kind, variants in kinds.items():
    for at, ref, _ in variants:
        assert genome[at : at + len(ref)] == ref
    found = sequences(variants)
    right = sum(alt in with_variant(*variant) for variant, (_, alt) in zip(variants, found, strict=True))
    later = sum(alt in genome[: at + 2] + new + genome[at + 2 + len(old) :]
                for (at, old, new), (_, alt) in zip(variants, found, strict=True))
    print(f"{kind}: {right} of {EACH} alternative sequences are those of the variant, {later} of it two bases right of POS")
    assert all(reference in genome for reference, _ in found)
    if kind == "deletion":
        assert right <= 4 and later == EACH, "this changed"
    else:
        assert right == EACH
PY
