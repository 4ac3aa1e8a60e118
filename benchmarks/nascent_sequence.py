"""Nascent signal, sequence, or both, on chr22 of K562: the CNN with and without ``context='sequence'``.

    python benchmarks/nascent_sequence.py [--epochs 30] [--keep FOLDER]

Blocks as in nascent_numbers.py. 'sequence' alone is the model of both, its signal the same number in every bin. The
FASTA holds islands of chr22, N between them, and where they lie may tell of the targets: bins without sequence neither
train nor score.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from _data import data_dir, save
from nascent_numbers import load, score

import chromatell as ctl

SET = "k562_chr22"
FASTA = "hg19_chr20_chr22.fa.gz"


def silent(tracks: ctl.data.BinnedTracks) -> ctl.data.BinnedTracks:
    """The tracks with inputs that tell nothing."""
    inputs = tracks.names_of(role="input")
    found = tracks.copy()
    found.replace({c: np.ones((len(inputs), found.n_bins_of(c)), dtype=np.float32) for c in found.chroms}, inputs)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--bootstrap", type=int, default=200)
    parser.add_argument("--keep", type=Path, default=Path("nascent_sequence"))
    parser.add_argument("--cache", type=Path, default=None, help="folder for the tokens of the FASTA")
    args = parser.parse_args()
    tracks = load(data_dir() / "nascent" / SET)
    chrom, targets = tracks.chroms[0], tracks.names_of(role="target")
    genome = ctl.genome.Genome(data_dir() / "genome" / FASTA, cache_dir=args.cache)
    n = tracks.chrom_sizes[chrom] // tracks.bin_size
    known = np.zeros(tracks.n_bins, dtype=bool)
    known[:n] = (genome.fetch(chrom, 0, n * tracks.bin_size).reshape(n, -1) < 4).mean(axis=1) > 0.9
    share = known[tracks.usable(chrom)].mean()
    tracks.masks[chrom][~known] |= 2  # as an assembly gap
    usable = tracks.usable(chrom, "test")
    both = {"context": "sequence", "fasta": genome}
    found, laps = {}, {}
    for name, data, options in (
        ("nascent", tracks, {}),
        ("sequence", silent(tracks), both),
        ("nascent and sequence", tracks, both),
    ):
        folder = args.keep / name.replace(" ", "_")
        if not (folder / "laps.json").exists():
            start = time.process_time()
            model = ctl.models.Nascent(data, architecture="cnn", **options)
            model.train(max_epochs=args.epochs, seed=0)
            model.predict().save(folder / "predicted.zarr", overwrite=True)
            (folder / "laps.json").write_text(json.dumps(time.process_time() - start))
        values = ctl.data.BinnedTracks.open(folder / "predicted.zarr")
        found[name] = values.values(chrom, [f"{t}_nascent" for t in targets])
        laps[name] = json.loads((folder / "laps.json").read_text())
    lines = [
        "# Nascent signal and sequence: chr22",
        "",
        f"`python benchmarks/nascent_sequence.py --epochs {args.epochs}`. CNN; Pearson on {usable.sum():,} test bins "
        "of 50 bp whose sequence is known, smoothed targets; in brackets 95%, resampling 1-Mb blocks. The FASTA at "
        f"hand knows {share:.0%} of the usable bins; the others neither train nor score.",
        "",
        f"| target | {' | '.join(found)} |",
        "|" + " --- |" * (len(found) + 1),
    ]
    for i, target in enumerate(targets):
        observed = tracks.values(chrom, target)[0]
        lines.append(
            f"| {target} | {' | '.join(score(observed, v[i], usable, args.bootstrap) for v in found.values())} |"
        )
    lines.append(f"| seconds of processor | {' | '.join(f'{x:.0f}' for x in laps.values())} |")
    save("nascent_sequence", "\n".join(lines))


if __name__ == "__main__":
    main()
