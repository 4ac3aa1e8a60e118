#!/usr/bin/env bash
# seqdata 0.2.2, BAM reader with count_method="tn5-fragment", Python 3.11 (PYTHON names it): a fragment that begins left of a region
# and has both of its reads in it covers no base of it. Its start, relative to the region, is below zero and goes into a slice as
# it is, where NumPy counts from the end: the slice is empty. If only its left read touches the region, because the fragment
# ends right of it, its last bases are counted alone. Fragments that stick out on the right are right.
# Expected: of the region 1,000-1,500, the fragment 980-1,130 covers the 130 bases from 1,000, and 980-1,600 all 500.
# Seen: none, and the 20 bases from 1,480. The mirror image, 1,370-1,520, covers its 130. Of 20 regions under 4,000 random fragments
# of 60 to 150 bases the left 50 bases have 0.58 of the coverage that they should have, so that each region rises from its
# left side, and the bases from 150 on have all of it. offset_tn5=True loses the same. No error, no warning.
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

READ, WIDTH, SIZE = 50, 500, 50_000


def coverage(fragments, starts, offset=False):
    """The coverage of the regions, one row each, from a BAM of these fragments."""
    reads = []
    for i, (start, end) in enumerate(fragments):
        for at, mate, flag, sign in ((start, end - READ, 99, 1), (end - READ, start, 147, -1)):
            reads.append((at, mate, flag, sign * (end - start), f"f{i}"))
    header = {"HD": {"VN": "1.6", "SO": "coordinate"}, "SQ": [{"SN": "chr1", "LN": SIZE}]}
    with pysam.AlignmentFile("reads.bam", "wb", header=header) as file:
        for at, mate, flag, length, name in sorted(reads):
            read = pysam.AlignedSegment(file.header)
            read.query_name, read.flag, read.reference_id, read.reference_start = name, flag, 0, int(at)
            read.mapping_quality, read.cigartuples, read.next_reference_id = 60, [(0, READ)], 0
            read.next_reference_start, read.template_length = int(mate), int(length)
            read.query_sequence, read.query_qualities = "A" * READ, pysam.qualitystring_to_array("I" * READ)
            file.write(read)
    pysam.index("reads.bam")
    bed = pl.DataFrame({"chrom": "chr1", "chromStart": starts, "chromEnd": [start + WIDTH for start in starts]})
    reader = seqdata.BAM("cuts", "reads.bam", "s", batch_size=8, offset_tn5=offset, count_method="tn5-fragment")
    data = seqdata.from_region_files(reader, path="out.zarr", fixed_length=WIDTH, bed=bed, overwrite=True)
    return data["cuts"].values[:, 0].astype(int)


for fragment, places in (((980, 1130), []), ((1370, 1520), [*range(370, 500)]), ((1100, 1250), [*range(100, 250)]),
                         ((980, 1600), [*range(480, 500)])):
    got = np.flatnonzero(coverage([fragment], [1000])[0])
    print(f"the fragment {fragment} covers {len(got)} bases of 1000-1500, and {min(1500, fragment[1]) - max(1000, fragment[0])} lie in it")
    assert got.tolist() == places, "this changed"

rng = np.random.default_rng(0)
begins = rng.integers(0, SIZE - 300, 4000)
fragments = [(int(start), int(start + length)) for start, length in zip(begins, rng.integers(60, 150, 4000))]
starts = list(range(2000, 42_000, 2000))
for offset in (False, True):
    truth = np.zeros(SIZE)
    for start, end in fragments:
        truth[start + 4 * offset : end - 5 * offset] += 1
    truth = np.array([truth[start : start + WIDTH] for start in starts])
    got = coverage(fragments, starts, offset)
    left, right = got[:, :50].sum() / truth[:, :50].sum(), got[:, 150:].sum() / truth[:, 150:].sum()
    print(f"offset_tn5={offset}: of the coverage of the left 50 bases {left:.2f} is there, of the bases from 150 on {right:.2f}")
    assert abs(right - 1) < 0.001 and (offset or (got[:, 150:] == truth[:, 150:]).all())
    assert left < 0.65, "this changed"
PY
