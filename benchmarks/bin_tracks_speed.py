"""BigWig into 50-bp bins: `pp.bin_tracks` beside the published way, `pyBigWig.stats` once a bin, in one run.

    python benchmarks/bin_tracks_speed.py [--share 1] [--genome RECORDS]

On K562 chr21 (plus strand: one base a read; H3K4me3: whole intervals). All give the same values, to float32 rounding,
or the run stops. ``--share 20`` lets the slow way see one interval in 20 and scales it up. ``--genome 10000000`` makes
two strands of a human genome with so many intervals each, and measures time and peak memory of binning them, in a
process of its own. Needs pyBigWig (pip install pyBigWig), which the package does not.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pybigtools
from _data import data_dir, save

import chromatell as ctl
from chromatell.genome.builds import BUILDS

RUNS = 5
CHROM, BIN = "chr21", 50


def by_pybigwig(path: Path, bins: range) -> np.ndarray:
    """The loop of published notebooks: one call a bin, nothing where there is no read."""
    import pyBigWig

    file = pyBigWig.open(str(path))
    size = file.chroms(CHROM)
    found = [file.stats(CHROM, i * BIN, min((i + 1) * BIN, size))[0] for i in bins]
    return np.array([0.0 if v is None else v for v in found], dtype=np.float32)


def by_pybigtools(path: Path, bins: range) -> np.ndarray:
    """The same loop over pybigtools, which no longer needs the C library but is no faster this way."""
    file = pybigtools.open(str(path))
    size = file.chroms(CHROM)
    how = {"bins": 1, "exact": True, "fillna": 0.0}
    return np.array([file.values(CHROM, i * BIN, min((i + 1) * BIN, size), **how)[0] for i in bins], dtype=np.float32)


def timed(call, *args: object) -> tuple[np.ndarray, np.ndarray]:
    start, busy = time.perf_counter(), time.process_time()
    value = call(*args)
    return np.array([time.perf_counter() - start, time.process_time() - busy]), value


def compare(name: str, path: Path, share: int) -> list[str]:
    def ours() -> np.ndarray:
        return ctl.pp.bin_tracks({name: {"path": path, "strand": "."}}, stat="mean_covered").values(CHROM)[0]

    runs = [timed(ours) for _ in range(RUNS)]
    seconds, values = np.median([r[0] for r in runs], axis=0), runs[0][1]
    n = values.size
    lines = [f"| {name} | `pp.bin_tracks` (median of {RUNS}) | {seconds[0]:.3g} | {seconds[1]:.3g} | 1 |"]
    for way, call, part in (
        ("`pyBigWig.stats` a bin (published)", by_pybigwig, share),
        ("`pybigtools` `values` a bin", by_pybigtools, max(share, 20)),
    ):
        bins = range(n - n // part, n)  # the end of the chromosome, where the genes are
        slow, same = timed(call, path, bins)
        np.testing.assert_allclose(same, values[bins.start :], rtol=2e-7, atol=0)
        slow = slow * part
        scaled = f" (1 in {part}, scaled)" if part > 1 else ""
        lines.append(f"| {name} | {way}{scaled} | {slow[0]:.3g} | {slow[1]:.3g} | {slow[1] / seconds[1]:,.0f} |")
    return lines


def made_up(path: Path, sign: int, n: int, rng: np.random.Generator) -> Path:
    """Write reads of one base, 1 to 9, at random places of every chromosome of hg38."""
    sizes = BUILDS["hg38"]
    total = sum(sizes.values())

    def entries() -> Iterator[tuple[str, int, int, float]]:
        for chrom in sorted(sizes):
            at = np.unique(rng.integers(0, sizes[chrom], round(n * sizes[chrom] / total)))
            value = sign * rng.integers(1, 10, at.size).astype(np.float64)
            yield from zip([chrom] * at.size, at.tolist(), (at + 1).tolist(), value.tolist(), strict=True)

    pybigtools.open(str(path), "w").write(sizes, entries())
    return path


GENOME = """
import json, resource, sys, time
import chromatell as ctl
ctl.settings.verbosity = 0
start, busy = time.perf_counter(), time.process_time()
out = sys.argv[3] if len(sys.argv) > 3 else None
tracks = ctl.pp.bin_tracks({"plus": sys.argv[1], "minus": sys.argv[2]}, n_jobs=2, out=out)
seconds = time.perf_counter() - start, time.process_time() - busy
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
print(json.dumps([*seconds, peak, tracks.n_bins]))
"""


def genome(n: int) -> list[str]:
    lines = ["", f"Two strands of hg38, {n:,} intervals each, made up:", ""]
    lines += [
        "| to | bins | seconds | of the processor | peak memory of the process, GB |",
        "| --- | --- | --- | --- | --- |",
    ]
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        paths = [str(made_up(Path(folder) / f"{s}.bw", int(f"{s}1"), n, rng)) for s in "+-"]
        for what, out in (("memory", []), ("a Zarr store", [f"{folder}/t.zarr"])):
            run = subprocess.run(
                [sys.executable, "-c", GENOME, *paths, *out], check=True, capture_output=True, text=True
            )
            wall, busy, peak, bins = json.loads(run.stdout)
            lines.append(f"| {what} | {bins:,} | {wall:.3g} | {busy:.3g} | {peak:.2f} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=int, default=1)
    parser.add_argument("--genome", type=int, default=0)
    size = parser.parse_args()
    ctl.settings.verbosity = 0
    folder = data_dir() / "nascent" / "k562_chr21"
    lines = ["| file | way | seconds | of the processor | times as long |", "| --- | --- | --- | --- | --- |"]
    for name in ("plus", "H3K4me3"):
        lines += compare(name, folder / f"{name}.bw", size.share)
    if size.genome:
        lines += genome(size.genome)
    head = "## BigWig of chr21 (48.1 Mb) into 962,598 bins of 50 bp, one thread on a shared machine"
    save("bin_tracks_speed", f"{head}\n\n" + "\n".join(lines))


if __name__ == "__main__":
    main()
