"""Which pieces of signal `tl.call_regions` should shuffle: precision and recall of called bins in validation blocks.

    python benchmarks/call_regions_null.py [--set k562_chr22] [--rounds 60]

The split has 1-Mb blocks of training, validation and test; test blocks are not looked at.
"""

from __future__ import annotations

import argparse

import numpy as np
from _data import data_dir, save
from nascent_numbers import load

import chromatell as ctl

PIECES = (50, 200, 1000, 10_000)  # bp


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", default="k562_chr22")
    parser.add_argument("--rounds", type=int, default=60)
    args = parser.parse_args()
    tracks = load(data_dir() / "nascent" / args.set)
    ctl.pp.split_regions(tracks, by="blocks", fractions=(0.5, 0.25, 0.25), block=1_000_000, seed=0)
    ctl.tl.nascent(tracks, seed=0, train_kwargs={"max_epochs": args.rounds})
    chrom = tracks.chroms[0]
    held_out = tracks.usable(chrom, "val")
    lines = [
        f"# What call_regions shuffles: {args.set}",
        "",
        f"`python benchmarks/call_regions_null.py --set {args.set} --rounds {args.rounds}`: boosted trees, "
        f"false-discovery rate 5%, {held_out.sum():,} validation bins. Share of called bins that are in a peak, and of "
        "bins in peaks that are called, by the length of the pieces of signal that change places.",
        "",
        "| target | bins in peaks | " + " | ".join(f"{p:,} bp" for p in PIECES) + " |",
        "| " + " | ".join(["---"] * (2 + len(PIECES))) + " |",
    ]
    for target in tracks.names_of(role="target"):
        peak = tracks.values(chrom, target, layer="raw")[0] > 0
        cells = []
        for piece in PIECES:
            regions = ctl.tl.call_regions(tracks, f"{target}_nascent", shuffle=piece, seed=0)
            called = np.zeros(peak.size, dtype=bool)
            for start, end in zip(regions["start"] // 50, regions["end"] // 50, strict=True):
                called[start:end] = True
            both = (called & peak)[held_out].sum()
            precision = both / max(called[held_out].sum(), 1)
            cells.append(f"{precision:.2f} / {both / max(peak[held_out].sum(), 1):.2f}")
        lines.append(f"| {target} | {peak[held_out].mean():.3f} | " + " | ".join(cells) + " |")
    save(f"call_regions_null_{args.set}", "\n".join(lines))


if __name__ == "__main__":
    main()
