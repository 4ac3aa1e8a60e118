"""Fragments into 5-kb bins: `pp.bin_genome` beside the plain way (the whole file into pandas, then groupby).

    python benchmarks/bin_genome_speed.py [--fragments 10000000] [--cells 10000]

Made-up files: fragments all over hg38, 85% of them of the cells, the rest of 200,000 other barcodes; sorted by position
as Cell Ranger leaves them, and in no order. And the real file of pbmc10k. Each is read in a process of its own, whose
time and peak memory are given; both ways must give the same counts, or the run stops.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from _data import data_dir, save

from chromatell.genome.builds import BUILDS

OTHERS = 200_000
HEAD = """
import json, resource, sys, time
import numpy as np, pandas as pd, scipy.sparse as sp
import chromatell as ctl
ctl.settings.verbosity = 0
ctl.pp.bin_genome  # imported before the clock starts
path, barcodes = sys.argv[1], open(sys.argv[2]).read().split()
start, busy = time.perf_counter(), time.process_time()
"""
OURS = """
x = ctl.pp.bin_genome(path, chrom_sizes="hg38", barcodes=barcodes).X
"""
PLAIN = """
t = pd.read_csv(path, sep="\\t", header=None, names=["c", "s", "e", "b", "n"])
t = t[t["b"].isin(barcodes)]
n = t.groupby(["b", "c", (t["s"] + t["e"]) // 2 // 5000]).size()
row = pd.Index(barcodes).get_indexer(n.index.get_level_values(0))
col, names = pd.factorize(n.index.droplevel(0), sort=True)
x = sp.csr_matrix((n.to_numpy(dtype=np.float32), (row, col)), shape=(len(barcodes), len(names)))
"""
TAIL = """
seconds = time.perf_counter() - start, time.process_time() - busy
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
by_cell = np.asarray(x.sum(axis=1)).ravel() @ np.arange(len(barcodes))
check = [int(x.nnz), int(x.shape[1]), float(by_cell), float((x.data**2).sum())]
print(json.dumps([*seconds, peak, check]))
"""


def made_up(path: Path, n: int, barcodes: np.ndarray, n_cells: int, *, ordered: bool) -> Path:
    """Write `n` fragments, gzipped; the first `n_cells` barcodes have 85% of them."""
    rng = np.random.default_rng(0)
    sizes = BUILDS["hg38"]
    names, lengths = np.array(list(sizes)), np.array(list(sizes.values()))
    share = lengths / lengths.sum()
    pieces = np.round(share * n).astype(int) if ordered else np.full(24, n // 24)
    with gzip.open(path, "wb", compresslevel=1) as file:
        for i, m in enumerate(pieces):
            chrom = np.full(m, i) if ordered else rng.choice(lengths.size, m, p=share)
            start = (rng.random(m) * (lengths[chrom] - 1000)).astype(np.int64)
            start = np.sort(start) if ordered else start
            cell = np.where(rng.random(m) < 0.85, rng.integers(0, n_cells, m), rng.integers(n_cells, barcodes.size, m))
            columns = {"c": names[chrom], "s": start, "e": start + rng.integers(30, 600, m), "b": barcodes[cell]}
            table = pd.DataFrame(columns).assign(n=rng.integers(1, 5, m))
            table.to_csv(file, sep="\t", header=False, index=False)
    return path


def run(code: str, path: Path, barcodes: Path) -> tuple[float, float, float, list[float]]:
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    script = HEAD + code + TAIL
    found = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, str(path), str(barcodes)],
        check=True,
        capture_output=True,
        text=True,
        env=env,
    )
    return json.loads(found.stdout)


def compare(name: str, n: int, path: Path, barcodes: Path) -> list[str]:
    lines, seen = [], []
    for way, code in (("`pp.bin_genome`", OURS), ("pandas, the whole file, `groupby`", PLAIN)):
        wall, busy, peak, check = run(code, path, barcodes)
        seen.append(check)
        size = path.stat().st_size / 1e6
        lines.append(f"| {name} | {n:,} | {size:,.0f} | {way} | {wall:.1f} | {busy:.1f} | {peak:.2f} |")
        print(lines[-1], flush=True)
    if seen[0] != seen[1]:
        raise SystemExit(f"{name}: the two ways differ: {seen}")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fragments", type=int, default=10_000_000)
    parser.add_argument("--cells", type=int, default=10_000)
    size = parser.parse_args()
    rng = np.random.default_rng(1)
    letters = rng.choice(list("ACGT"), (size.cells + OTHERS, 16))
    barcodes = np.unique(["".join(row) + "-1" for row in letters]).astype(object)
    rng.shuffle(barcodes)
    lines = [
        "| file | fragments | MB | way | seconds | of the processor | peak memory of the process, GB |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    with tempfile.TemporaryDirectory() as folder:
        names = Path(folder) / "barcodes.txt"
        real = data_dir() / "multiome" / "pbmc10k_fragments.tsv.gz"
        table = pd.read_csv(real, sep="\t", header=None, usecols=[3])[3].value_counts()
        names.write_text("\n".join(sorted(table.index[table >= 20])))
        lines += compare("pbmc10k, near 51 genes", int(table.sum()), real, names)
        names.write_text("\n".join(barcodes[: size.cells]))
        for what, ordered in (("made up, sorted", True), ("made up, in no order", False)):
            path = made_up(Path(folder) / "f.tsv.gz", size.fragments, barcodes, size.cells, ordered=ordered)
            lines += compare(what, size.fragments, path, names)
    head = "## Fragments of hg38 into 5-kb bins, gzipped files; a shared machine of 2 cores"
    load = (
        f"Load average at the end: {os.getloadavg()[1]:.0f}. Above 2, seconds are mostly waiting: read the processor's."
    )
    save("bin_genome_speed", f"{head}\n\n" + "\n".join([*lines, "", load]))


if __name__ == "__main__":
    main()
