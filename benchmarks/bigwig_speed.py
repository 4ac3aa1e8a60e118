"""Writing a bigWig of 962,000 dense bins, beside pyBigWig's fixedStep (pip install pyBigWig): seconds and bytes."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pyBigWig
from _data import data_dir
from _table import in_pairs, spread, write_table

import chromatell as ctl
from chromatell.io import _bigwig_bins, bigwig

BINS, BIN = 962_000, 50


def main(pairs: int = 7) -> None:
    ctl.settings.verbosity = 1
    real = bigwig.read(data_dir() / "nascent" / "k562_chr22" / "plus.bw", chroms="chr22")["chr22"][:BINS]
    sets = {
        "gamma noise": np.random.default_rng(0).gamma(1.0, 1.0, BINS).astype(np.float32),
        "PRO-seq, mean of 11 bins": np.convolve(real, np.ones(11) / 11, "same").astype(np.float32),
    }
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        ours, alone, peers = (str(Path(folder) / name) for name in ("ours.bw", "alone.bw", "peer.bw"))
        for name, values in sets.items():
            size = values.size * BIN
            tracks = ctl.data.BinnedTracks({"chr22": values[None]}, ["a"], chrom_sizes={"chr22": size})
            run = values.size / len(_bigwig_bins.run_starts(values))

            def peer(values=values, size=size) -> None:
                with pyBigWig.open(peers, "w") as file:
                    file.addHeader([("chr22", size)])
                    file.addEntries("chr22", 0, values=values, span=BIN, step=BIN)

            work = {
                "pyBigWig, fixedStep": peer,
                "chromatell, read again and compared": lambda t=tracks: bigwig.write(t, ours, overwrite=True),
                "chromatell, its writer alone": lambda v=values, n=size, r=run: _bigwig_bins.write_bins(
                    Path(alone), {"chr22": n}, BIN, r, lambda chrom: iter([v])
                ),
            }
            found = in_pairs(work, pairs)
            base = found["pyBigWig, fixedStep"]
            places = dict(zip(work, (peers, ours, alone), strict=True))
            rows += [
                {
                    "values": name,
                    "writer": who,
                    "s": spread(seconds),
                    "of pyBigWig": spread(seconds / base),
                    "MB": f"{Path(places[who]).stat().st_size / 1e6:.2f}",
                }
                for who, seconds in found.items()
            ]
    note = (
        f"{BINS:,} bins of {BIN} bp, zeros written, zoom levels included; seconds of the processor, median and "
        f"range of {pairs} runs in turn; pyBigWig {pyBigWig.__version__}."
    )
    write_table("bigwig_speed", rows, note)


if __name__ == "__main__":
    main()
