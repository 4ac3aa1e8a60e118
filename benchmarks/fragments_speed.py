"""Five million fragments into 5-kb bins: by words of 8 bytes and isal, each alone, and as before; in pairs.

``python benchmarks/fragments_speed.py [FRAGMENTS]``; isal is the extra `fast`.
"""

from __future__ import annotations

import gzip
import sys
import tempfile
from pathlib import Path

import numpy as np
from _table import in_pairs, spread, write_table
from bin_genome_speed import made_up

import chromatell as ctl
from chromatell.io import fragments


def main(n: int = 5_000_000, n_cells: int = 10_000, pairs: int = 5) -> None:
    ctl.settings.verbosity = 1
    rng = np.random.default_rng(0)
    barcodes = np.array(["".join(row) + "-1" for row in rng.choice(list("ACGT"), (n_cells + 200_000, 16))])
    words, isal = fragments.parse_lines, fragments.gunzip

    with tempfile.TemporaryDirectory() as folder:
        path = made_up(Path(folder) / "f.tsv.gz", n, barcodes, n_cells, ordered=True)
        shapes = set()

        def run(parse, unpack):
            def work() -> None:
                fragments.parse_lines, fragments.gunzip = parse, unpack
                binned = ctl.pp.bin_genome(path, chrom_sizes="hg38", barcodes=barcodes[:n_cells].tolist())
                shapes.add((binned.shape, float(binned.X.sum())))

            return work

        def no_words(text: bytes, name: str) -> None:
            return None

        work = {
            "as before: pandas, gzip": run(no_words, gzip),
            "words, gzip": run(words, gzip),
            "words, isal": run(words, isal),
        }
        found = in_pairs(work, pairs)
    base = found["as before: pandas, gzip"]
    rows = [{"way": k, "s": spread(v), "before / it": spread(base / v)} for k, v in found.items()]
    same = "; all ways gave the same sums" if len(shapes) == 1 else "; THE WAYS DIFFER"
    write_table(
        "fragments_speed",
        rows,
        f"{n:,} fragments of {n_cells:,} cells and 200,000 other barcodes over hg38, gzipped, into 5-kb bins; seconds "
        f"of the processor, median and range of {pairs} runs in turn{same}. SnapATAC2 took 18.2 s for five million "
        "once, on such a machine and not in this run: it has no wheel for these versions.",
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
