"""`tl.call_regions(calibrate=)` beside known start sites of transcription: dREG's of K562, chosen on chr21, chr22 once.

    python benchmarks/call_regions_dreg.py [--max-bins 20000] [--shuffled]

PRO-seq of K562 on chr21, PRO-cap on chr22, hg19. A called region is right where it holds a site, and a site is found
where a region holds it. A model is trained on half of the 1-Mb blocks of chr21, with the peaks of two marks and the
sites themselves as targets; the threshold of each is calibrated on the sites of a quarter, at fdr 0.15 and 0.1, and
judged on the last quarter. The pair of target and fdr that finds most there at a precision of 0.85 calls on chr22.
`--shuffled` adds the default, fdr 0.05 by shuffled signal, without sites.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import pandas as pd
from _data import save
from nascent_transfer import load, peak_file

import chromatell as ctl
from chromatell.tl._call_regions import _touch

NAMES = ("H3K4me3", "H3K27ac", "dREG")
RATES = (0.15, 0.1)
LEAST = 0.85  # precision
SITES = peak_file("K562_dREG_positive")


def training_tracks() -> ctl.data.BinnedTracks:
    mark = SITES.parent.parent / "k562_chr21" / "H3K4me3.bw"
    tracks = load("chr21", {"H3K4me3": mark, "H3K27ac": peak_file("K562_H3K27ac"), "dREG": SITES})
    ctl.pp.smooth_tracks(tracks, sigma=10)
    ctl.pp.split_regions(tracks, by="blocks", fractions=(0.5, 0.25, 0.25), seed=0)
    return tracks


def sites_of(chrom: str) -> np.ndarray:
    table = pd.read_csv(SITES, sep="\t", header=None)
    mine = table[table[0] == chrom]
    return np.column_stack([mine[1] // 50, -(-mine[2] // 50)])


def judged(called: pd.DataFrame, chrom: str, where: np.ndarray) -> tuple[float, float, int, float]:
    """Precision, recall, calls and their mean length in bp, in some bins."""
    there = np.append(0, np.cumsum(where))
    regions = np.column_stack([called["start"] // 50, -(-called["end"] // 50)])
    regions, sites = (x[there[np.minimum(x[:, 1], where.size)] > there[x[:, 0]]] for x in (regions, sites_of(chrom)))
    right, found = _touch(regions[:, 0], regions[:, 1], sites), _touch(sites[:, 0], sites[:, 1], regions)
    length = float(np.diff(regions).mean() * 50) if len(regions) else float("nan")
    return float(right.mean()) if len(right) else float("nan"), float(found.mean()), len(regions), length


def row(name: str, of: tuple[float, float, int, float]) -> str:
    line = f"| {name} | {of[0]:.3f} | {of[1]:.3f} | {of[2]} | {of[3]:.0f} |"
    print(line, f"{time.process_time():.0f} s of the processor", flush=True)
    return line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--max-bins", type=int, default=20_000, help="training bins of each version of the sample")
    parser.add_argument("--shuffled", action="store_true")
    args = parser.parse_args()
    tracks = training_tracks()
    model = ctl.models.Nascent(tracks, max_bins=args.max_bins)
    model.train(seed=0)
    print(f"trained, {time.process_time():.0f} s of the processor", flush=True)
    home = ctl.tl.predict(tracks, model, key="nascent")
    head = ["| | precision | recall | calls | mean length, bp |", "|" + " --- |" * 5]
    lines = ["# call_regions beside dREG sites", "", (__doc__ or "").split("\n\n")[2].replace("\n", " ").strip(), ""]
    lines += [f"Chr21, blocks that neither trained nor calibrated (`--max-bins {args.max_bins}`):", "", *head]
    best, most = ("dREG", RATES[0]), -1.0
    for name in NAMES:
        for fdr in RATES:
            try:
                called = ctl.tl.call_regions(home, f"{name}_nascent", calibrate=SITES, fdr=fdr)
            except ctl.ChromatellError:  # at no height are so few wrong
                lines.append(f"| {name}, fdr {fdr:g} | at no height | | 0 | |")
                continue
            score = judged(called, "chr21", tracks.usable("chr21", "test"))
            lines.append(row(f"{name}, fdr {fdr:g}", score))
            if score[0] >= LEAST and score[1] > most:
                best, most = (name, fdr), score[1]
    name, fdr = best
    there = ctl.tl.predict(load("chr22", {}), model, key="nascent")
    cut = ctl.tl.call_regions(home, f"{name}_nascent", calibrate=SITES, fdr=fdr).attrs["threshold"]
    called = ctl.tl.call_regions(there, f"{name}_nascent", threshold=cut)
    lines += ["", f"Chr22, with {name} at fdr {fdr:g}, looked at once:", "", *head]
    lines.append(row("calibrated on chr21", judged(called, "chr22", there.usable("chr22"))))
    if args.shuffled:
        called = ctl.tl.call_regions(there, f"{name}_nascent", model=model, seed=0)
        lines.append(row("shuffled signal, fdr 0.05", judged(called, "chr22", there.usable("chr22"))))
    save("call_regions_dreg", "\n".join(lines))


if __name__ == "__main__":
    main()
