"""`tl.call_regions` beside known start sites of transcription: dREG's of K562, chosen on chr21, reported on chr22.

    python benchmarks/call_regions_dreg.py [--part folds test] [--max-bins 100000]

PRO-seq of K562, hg19. A called region is right where it holds a site, and a site is found where a region holds it.
`folds`: models trained on one half of the 1-Mb blocks of chr21, both ways, call on the other: by the shuffled signal
at several rates, and by `calibrate` with the sites of half of the blocks there; all are judged on the rest of them.
`test`: trained on chr21, calibrated on its validation blocks, called on chr22.
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd
from _data import save
from nascent_transfer import MARKS, load, peak_file

import chromatell as ctl
from chromatell.tl._call_regions import _touch

RATES = (0.05, 0.1, 0.2, 0.4)
SITES = peak_file("K562_dREG_positive")


def tracks_of(chrom: str, targets: bool) -> ctl.data.BinnedTracks:
    folder = SITES.parent.parent / "k562_chr21"
    marks = {m: folder / f"{m}.bw" for m in MARKS if m != "H3K27ac"} | {"H3K27ac": peak_file("K562_H3K27ac")}
    tracks = load(chrom, {**marks, "dREG": SITES} if targets else {})
    if targets:
        ctl.pp.smooth_tracks(tracks, sigma=10)
    return tracks


def sites_of(chrom: str) -> np.ndarray:
    table = pd.read_csv(SITES, sep="\t", header=None)
    mine = table[table[0] == chrom]
    return np.column_stack([mine[1] // 50, -(-mine[2] // 50)])


def judged(called: pd.DataFrame, chrom: str, where: np.ndarray) -> tuple[float, float, int]:
    """Precision, recall and calls in some bins."""
    there = np.append(0, np.cumsum(where))
    regions = np.column_stack([called["start"] // 50, -(-called["end"] // 50)])
    regions, sites = (x[there[np.minimum(x[:, 1], where.size)] > there[x[:, 0]]] for x in (regions, sites_of(chrom)))
    right, found = _touch(regions[:, 0], regions[:, 1], sites), _touch(sites[:, 0], sites[:, 1], regions)
    return float(right.mean()) if len(right) else float("nan"), float(found.mean()), len(regions)


def trained(tracks: ctl.data.BinnedTracks, max_bins: int) -> ctl.models.Nascent:
    model = ctl.models.Nascent(tracks, max_bins=max_bins)
    model.train(seed=0)
    return model


def ways(fdr_calibrated: float) -> list[tuple[str, dict]]:
    return [
        *((f"shuffled, fdr {r:g}", {"fdr": r}) for r in RATES),
        (f"calibrate, fdr {fdr_calibrated:g}", {"fdr": fdr_calibrated, "calibrate": SITES}),
    ]


def show(name: str, of: list[tuple[float, float, int]]) -> str:
    return f"| {name} | " + " | ".join(f"{p:.2f} / {r:.2f} ({n})" for p, r, n in of) + " |"


def folds(max_bins: int) -> list[str]:
    tracks, chrom = tracks_of("chr21", True), "chr21"
    names = [*MARKS, "dREG"]
    ctl.pp.split_regions(tracks, by="blocks", fractions=(0.5, 0.25, 0.25), seed=0)
    first = tracks.splits[chrom].copy()
    block = np.arange(first.size) // 20_000  # 1 Mb
    other = np.where(first == 0, 1 + block % 2, 0).astype(first.dtype)
    found: dict[tuple[str, str], list[tuple[float, float, int]]] = {}
    for half in (first, other):
        tracks.splits[chrom] = half
        model = trained(tracks, max_bins)
        predicted = ctl.tl.predict(tracks, model, key="nascent")
        for name in names:
            for way, options in ways(0.15):
                try:
                    called = ctl.tl.call_regions(predicted, f"{name}_nascent", model=model, seed=0, **options)
                except ctl.ChromatellError:
                    continue
                score = judged(called, chrom, tracks.usable(chrom, "test"))
                found.setdefault((way, name), []).append(score)
                print(way, name, score, flush=True)
    lines = ["", "chr21, halves by blocks: precision / recall (calls), mean of both.", ""]
    lines += [f"| | {' | '.join(names)} |", "|" + " --- |" * (len(names) + 1)]
    for way, _ in ways(0.15):
        cells = [np.mean(found[way, n], axis=0) if (way, n) in found else (np.nan, np.nan, 0) for n in names]
        lines.append(show(way, [(p, r, int(c)) for p, r, c in cells]))
    return lines


def test(max_bins: int, name: str) -> list[str]:
    tracks = tracks_of("chr21", True)
    ctl.pp.split_regions(tracks, by="blocks", fractions=(0.6, 0.4, 0), seed=0)
    model = trained(tracks, max_bins)
    at_home = ctl.tl.predict(tracks, model, key="nascent")
    there = ctl.tl.predict(tracks_of("chr22", False), model, key="nascent")
    lines = ["", f"chr22, of {name}: precision / recall (calls).", "", "| | chr22 |", "| --- | --- |"]
    for way, options in ways(0.15):
        if "calibrate" in options:
            table = ctl.tl.call_regions(at_home, f"{name}_nascent", model=model, seed=0, **options)
            lines.append(f"| (calibrated on chr21: {table.attrs['calibration']}) | |")
            options = {"threshold": table.attrs["threshold"]}
        called = ctl.tl.call_regions(there, f"{name}_nascent", model=model, seed=0, **options)
        lines.append(show(way, [judged(called, "chr22", there.usable("chr22"))]))
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", nargs="+", default=["folds", "test"], choices=["folds", "test"])
    parser.add_argument("--max-bins", type=int, default=100_000)
    parser.add_argument("--target", default="dREG", help="called on chr22")
    args = parser.parse_args()
    lines = ["# call_regions beside dREG sites", "", (__doc__ or "").split("\n\n")[2].replace("\n", " ")]
    for part in args.part:
        lines += folds(args.max_bins) if part == "folds" else test(args.max_bins, args.target)
        save("call_regions_dreg" if len(args.part) == 2 else f"call_regions_dreg_{part}", "\n".join(lines))


if __name__ == "__main__":
    main()
