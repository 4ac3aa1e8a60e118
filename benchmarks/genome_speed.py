"""Windows of a genome as tokens: chromatell beside a loop over pyfaidx and tangermeme's extract_loci, in one run.

    python benchmarks/genome_speed.py [--windows 100000] [--width 1344] [--megabases 3000]

The genome is chr20 and chr22 of hg19 (bgzip, 114 Mb). ``--megabases`` adds a made-up plain FASTA of that size, to see
what a whole genome takes. Slow ways run on a share of the windows and are scaled up. All give the same tokens, or the
run stops.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyfaidx
import torch
from _data import data_dir, save
from tangermeme.io import extract_loci

import chromatell as ctl
from chromatell.genome.sequence import one_hot

SHARE = 50  # slow ways see one window in fifty
RUNS = 5


def timed(call: Callable[[], Any]) -> tuple[np.ndarray, Any]:
    """Return seconds, (by the clock, of the processor), and what the call gave."""
    start, busy = time.perf_counter(), time.process_time()
    value = call()
    return np.array([time.perf_counter() - start, time.process_time() - busy]), value


def row(way: str, what: str, seconds: np.ndarray) -> str:
    return f"| {way} | {what} | {seconds[0]:.3g} | {seconds[1]:.3g} |"


def windows(sizes: dict[str, int], n: int, width: int, rng: np.random.Generator) -> pd.DataFrame:
    """Return n regions of 500 bp whose window lies inside a chromosome."""
    chrom = rng.choice(list(sizes), n, p=np.array(list(sizes.values())) / sum(sizes.values()))
    start = (rng.random(n) * (np.array([sizes[c] for c in chrom]) - 2 * width)).astype(np.int64) + width
    return pd.DataFrame({"chrom": chrom, "start": start, "end": start + 500})


def by_pyfaidx(fasta: pyfaidx.Fasta, table: pd.DataFrame, width: int) -> np.ndarray:
    low = (table["start"] + table["end"]) // 2 - width // 2
    return ctl.genome.encode([fasta[c][s : s + width] for c, s in zip(table["chrom"], low, strict=True)])


def made_up(path: Path, megabases: int, rng: np.random.Generator) -> None:
    """Write a FASTA of chromosomes of 100 Mb, lines of 60."""
    lines = 100_000_000 // 60
    block = np.full((lines, 61), ord("\n"), dtype=np.uint8)
    with path.open("wb") as handle:
        for i in range(max(1, megabases // 100)):
            block[:, :60] = np.frombuffer(b"ACGTacgt", dtype=np.uint8)[rng.integers(0, 8, (lines, 60), dtype=np.uint8)]
            handle.write(f">chr{i + 1}\n".encode())
            handle.write(block.data)


def ours(name: str, fasta: Path, cache: Path, n: int, width: int, rng: np.random.Generator) -> tuple[list[str], Any]:
    """Return lines of the table, and what was read."""
    encode, _ = timed(lambda: ctl.genome.Genome(fasta, cache_dir=cache))
    opened, genome = timed(lambda: ctl.genome.Genome(fasta, cache_dir=cache))
    table = windows(genome.chromosomes, n, width, rng)
    first, (tokens, _) = timed(lambda: genome.windows(table, width))
    later = np.median([timed(lambda: genome.windows(table, width))[0] for _ in range(RUNS)], axis=0)
    what = f"{name}, {n:,} windows of {width:,} bp"
    lines = [
        row("encode the FASTA, once for all", name, encode),
        row("open the cached tokens", name, opened),
        row("chromatell, first time in a process (sums are checked)", what, first),
        row(f"chromatell, later (median of {RUNS})", what, later),
    ]
    return lines, (table, tokens, what)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--windows", type=int, default=100_000)
    parser.add_argument("--width", type=int, default=1344)
    parser.add_argument("--megabases", type=int, default=0)
    size = parser.parse_args()
    ctl.settings.verbosity = 1
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    fasta = data_dir() / "genome" / "hg19_chr20_chr22.fa.gz"
    lines = ["| way | of what | seconds | of the processor |", "| --- | --- | --- | --- |"]
    with tempfile.TemporaryDirectory() as folder:
        found, (table, tokens, what) = ours("hg19 chr20, chr22", fasta, Path(folder), size.windows, size.width, rng)
        lines += found
        few = slice(None, None, SHARE)
        with pyfaidx.Fasta(str(fasta), as_raw=True, rebuild=False) as reader:
            loop, same = timed(lambda: by_pyfaidx(reader, table.iloc[few], size.width))
        np.testing.assert_array_equal(same, tokens[few])
        known = (tokens[few] < 4).all(axis=1)  # the other refuses N
        part = table.iloc[few][known]
        peer, same = timed(lambda: extract_loci(part, str(fasta), in_window=size.width))
        np.testing.assert_array_equal(np.asarray(same), one_hot(tokens[few][known]))
        lines.append(row(f"a loop over pyfaidx (1 in {SHARE}, scaled)", what, loop * SHARE))
        scaled = peer * len(table) / len(part)
        lines.append(row(f"tangermeme extract_loci, to one-hot (1 in {SHARE}, scaled)", what, scaled))
    if size.megabases:
        with tempfile.TemporaryDirectory() as folder:
            made_up(Path(folder) / "whole.fa", size.megabases, rng)
            name = f"made up, {size.megabases:,} Mb, plain, without .fai"
            lines += ours(name, Path(folder) / "whole.fa", Path(folder) / "cache", size.windows, size.width, rng)[0]
    save("genome_speed", "## Sequence windows as int8 tokens, one thread on a shared machine\n\n" + "\n".join(lines))


if __name__ == "__main__":
    main()
