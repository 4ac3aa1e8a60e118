"""`tl.call_regions(calibrate=)` beside known start sites of transcription: dREG's of K562, chosen on chr21, chr22 once.

    python benchmarks/call_regions_dreg.py [--max-bins 20000] [--shuffled]

PRO-seq of K562 on chr21, PRO-cap on chr22, hg19. A called region is right where it holds a site, and a site is found
where a region holds it. A model is trained on every other 1-Mb block of chr21, with the peaks of two marks and the
sites themselves as targets, and predicts the other blocks, both ways; on these predictions, of blocks that did not
train, the threshold of each target is calibrated at fdr 0.15 and 0.1, for two widths of smoothing. The target, width
and fdr that find most there at a precision of 0.85 call on chr22, with a model of all blocks. `--shuffled` adds the
default, fdr 0.05 by shuffled signal, without sites.
"""

from __future__ import annotations

import argparse
import itertools
import time

import numpy as np
import pandas as pd
from _data import save
from nascent_transfer import load, peak_file

import chromatell as ctl
from chromatell.tl._call_regions import _touch

NAMES = ("H3K4me3", "H3K27ac", "dREG")
RATES = (0.15, 0.1)
WIDTHS = (3, 5)  # bins
LEAST = 0.85  # precision
SITES = peak_file("K562_dREG_positive")
BLOCK = 20_000  # bins: 1 Mb


def training_tracks() -> ctl.data.BinnedTracks:
    mark = SITES.parent.parent / "k562_chr21" / "H3K4me3.bw"
    tracks = load("chr21", {"H3K4me3": mark, "H3K27ac": peak_file("K562_H3K27ac"), "dREG": SITES})
    ctl.pp.smooth_tracks(tracks, sigma=10)
    return tracks


def trained(tracks: ctl.data.BinnedTracks, left_out: int | None, max_bins: int | None) -> ctl.models.Nascent:
    """A model of the blocks of chr21, but for every other one: the even ones (0) or the odd ones (1)."""
    mine = tracks.copy()
    block = np.arange(mine.values("chr21").shape[1]) // BLOCK
    part = np.where(block % 10 == (5 if left_out is None else (left_out + 5) % 10), 1, 0)  # some choose the trees
    mine.splits["chr21"] = np.where(block % 2 == left_out, 2, part).astype(np.int8)
    model = ctl.models.Nascent(mine, **({} if max_bins is None else {"max_bins": max_bins}))
    model.train(seed=0)
    print(f"trained, {time.process_time():.0f} s of the processor", flush=True)
    return model


def out_of_fold(tracks: ctl.data.BinnedTracks, max_bins: int | None) -> ctl.data.BinnedTracks:
    """The tracks with predictions of blocks by the model that did not see them, and no split: all bins are judged."""
    block = np.arange(tracks.values("chr21").shape[1]) // BLOCK
    found = np.zeros((len(NAMES), block.size), dtype=np.float32)
    for left_out in (0, 1):
        predicted = trained(tracks, left_out, max_bins).predict(tracks, depth="predicted")
        values = np.vstack([predicted.values("chr21", f"{name}_nascent") for name in NAMES])
        found[:, block % 2 == left_out] = values[:, block % 2 == left_out]
    home = tracks.copy()
    home.add({"chr21": found}, [f"{name}_nascent" for name in NAMES])
    return home


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
    parser.add_argument("--max-bins", type=int, help="training bins of each version of the sample")
    parser.add_argument("--shuffled", action="store_true")
    args = parser.parse_args()
    tracks = training_tracks()
    home = out_of_fold(tracks, args.max_bins)
    head = ["| | precision | recall | calls | mean length, bp |", "|" + " --- |" * 5]
    lines = ["# call_regions beside dREG sites", "", (__doc__ or "").split("\n\n")[2].replace("\n", " ").strip(), ""]
    lines += [
        "Chr21, each block by the model that did not see it, on all of which the threshold was calibrated:",
        "",
        *head,
    ]
    best, most, cuts = ("dREG", WIDTHS[0], RATES[0]), -1.0, {}
    for name, sigma, fdr in itertools.product(NAMES, WIDTHS, RATES):
        try:
            called = ctl.tl.call_regions(home, f"{name}_nascent", calibrate=SITES, fdr=fdr, sigma=sigma)
        except ctl.ChromatellError:  # at no height are so few wrong
            lines.append(f"| {name}, sigma {sigma}, fdr {fdr:g} | at no height | | 0 | |")
            continue
        score = judged(called, "chr21", tracks.usable("chr21"))
        lines.append(row(f"{name}, sigma {sigma}, fdr {fdr:g}", score))
        cuts[name, sigma, fdr] = called.attrs["threshold"]
        if score[0] >= LEAST and score[1] > most:
            best, most = (name, sigma, fdr), score[1]
    name, sigma, fdr = best
    model = trained(tracks, None, args.max_bins)
    there = ctl.tl.predict(load("chr22", {}), model, key="nascent")
    lines += ["", f"Chr22, with {name}, sigma {sigma}; chosen on chr21: fdr {fdr:g}:", "", *head]
    for rate in RATES:
        if (name, sigma, rate) in cuts:
            called = ctl.tl.call_regions(there, f"{name}_nascent", threshold=cuts[name, sigma, rate], sigma=sigma)
            lines.append(row(f"calibrated on chr21, fdr {rate:g}", judged(called, "chr22", there.usable("chr22"))))
    if args.shuffled:
        called = ctl.tl.call_regions(there, f"{name}_nascent", model=model, seed=0)
        lines.append(row("shuffled signal, fdr 0.05", judged(called, "chr22", there.usable("chr22"))))
    at = ctl.tl.call_regions(there, f"{name}_nascent", calibrate=SITES, fdr=1 - LEAST, sigma=sigma).attrs["calibration"]
    lines += [
        "",
        f"With the threshold that chr22's own sites give at a precision of {LEAST}, which is no test of it, recall ",
    ]
    lines[-1] += f"there would be {at['recall']:.3f}, in {at['called']} calls."
    save("call_regions_dreg", "\n".join(lines))


if __name__ == "__main__":
    main()
