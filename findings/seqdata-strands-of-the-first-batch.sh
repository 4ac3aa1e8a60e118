#!/usr/bin/env bash
# seqdata 0.2.2, read_bam with fixed_length=False, Python 3.11 (PYTHON names it): where there are more regions than batch_size, the
# coverage of region number i is turned by the strand of region i modulo batch_size, the strands of the first batch. The bases
# beside it are turned by their own strand, so from the second batch on half of the sequences have the coverage of the other
# direction: base by base, a model learns from what lies at the mirrored place. Regions of one length are right.
# Expected: the same coverage for every batch_size, "as many as you can fit in memory".
# Seen: of 200 regions on random strands all are right with batch_size=200, 129 with 50 and 101 with 10, as often as by chance;
# all 200 sequences are right each time, and with fixed_length=200 the coverage too. No error, no warning.
set -euo pipefail
for python in "${PYTHON:-python3}" python3.11 "$HOME"/.pyenv/versions/3.11*/bin/python none; do
  if "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then break; fi
done
[[ "$python" != none ]] || { echo "Python 3.11 is needed: PYTHON=/path/to/python $0"; exit 1; }
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/env"
"$folder/env/bin/pip" install -q --no-deps seqdata==0.2.2 pandera==0.22.1 2>/dev/null  # with wheels where its pins must be built
"$folder/env/bin/pip" install -q --only-binary :all: numpy==1.26.4 pandas==1.5.3 polars==1.44.2 pysam==0.24.1 zarr==2.18.7 \
  numcodecs==0.11.0 xarray==2024.3.0 dask==2023.12.1 seqpro==0.1.16 more-itertools==11.2.1 joblib==1.6.0 natsort==8.4.0 \
  pyBigWig==0.3.29 cyvcf2==0.31.4 pybedtools==0.12.1 pyranges==0.1.7 pyarrow==17.0.0 pooch==1.9.0 tqdm==4.70.1 \
  typeguard==4.6.1 typing-inspect==0.9.0 pydantic==2.14.4 2>"$folder/log" || { tail -n 3 "$folder/log"; exit 1; }
cd "$folder"
env/bin/python -W ignore - 2>log <<'PY' || { tail -n 3 log; exit 1; }
import numpy as np
import polars as pl
import pysam
import seqdata

READ, SIZE, REGIONS, PAIRS = 50, 50_000, 200, str.maketrans("ACGT", "TGCA")
rng = np.random.default_rng(0)
genome = "".join(rng.choice(list("ACGT"), SIZE))
with open("genome.fa", "w") as file:
    file.write(f">chr1\n{genome}\n")
pysam.faidx("genome.fa")
reads, depth = [], np.zeros(SIZE, dtype=int)
for i, (start, width) in enumerate(zip(rng.integers(0, SIZE - 300, 4000).tolist(), rng.integers(110, 301, 4000).tolist())):
    last = start + width - READ
    reads += [(start, last, 99, width, f"f{i}"), (last, start, 147, -width, f"f{i}")]
    depth[start : start + READ] += 1
    depth[last : last + READ] += 1
header = {"HD": {"VN": "1.6", "SO": "coordinate"}, "SQ": [{"SN": "chr1", "LN": SIZE}]}
with pysam.AlignmentFile("reads.bam", "wb", header=header) as file:
    for at, mate, flag, width, name in sorted(reads):
        read = pysam.AlignedSegment(file.header)
        read.query_name, read.flag, read.reference_id, read.reference_start, read.mapping_quality = name, flag, 0, at, 60
        read.cigartuples, read.next_reference_id, read.next_reference_start, read.template_length = [(0, READ)], 0, mate, width
        read.query_sequence, read.query_qualities = genome[at : at + READ], pysam.qualitystring_to_array("I" * READ)
        file.write(read)
pysam.index("reads.bam")

starts = np.sort(rng.integers(0, SIZE - 1000, REGIONS))
strands = rng.choice(["+", "-"], REGIONS)
for kind, widths in {"of 200 to 599 bases": rng.integers(200, 600, REGIONS), "of 200 bases": np.full(REGIONS, 200)}.items():
    ends = starts + widths
    bed = pl.DataFrame({"chrom": ["chr1"] * REGIONS, "chromStart": starts, "chromEnd": ends, "strand": strands})
    fixed = 200 if kind == "of 200 bases" else False
    for batch in (REGIONS, 50, 10):
        data = seqdata.read_bam("seq", "depth", "out.zarr", "genome.fa", ["reads.bam"], ["s"], bed, batch, fixed, overwrite=True)
        right = {"bases": 0, "depth": 0}
        for start, end, strand, bases, got in zip(starts, ends, strands, data["seq"].values, data["depth"].values[:, 0]):
            bases = (bases if isinstance(bases, bytes) else b"".join(bases.tolist())).decode()
            forward = strand == "+"
            right["bases"] += bases == (genome[start:end] if forward else genome[start:end].translate(PAIRS)[::-1])
            right["depth"] += np.array_equal(got, depth[start:end] if forward else depth[start:end][::-1])
        print(f"{REGIONS} regions {kind}, batch_size {batch}: {right['bases']} sequences are right, {right['depth']} coverages")
        assert right["bases"] == REGIONS and (right["depth"] == REGIONS or not (fixed or batch == REGIONS))
        if not fixed and batch < REGIONS:
            assert right["depth"] <= 140, "this changed"
PY
