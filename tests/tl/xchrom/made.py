"""Small made-up data for the tests of ``tl.xchrom``, and the options of a quick model."""

from __future__ import annotations

from pathlib import Path

import mudata as md

import chromatell as ctl

WIDTH, LENGTH = 220, 200  # of the windows, and of what the tower reads
TINY = {"kind": "motifs", "sequence_length": LENGTH, "stem_filters": 8, "n_hidden": 16, "n_embed": 6, "n_pcs": 6}
TINY["covariate_length"] = LENGTH
QUICK = {**TINY, "warm_epochs": 2, "train_kwargs": {"max_epochs": 2}, "seed": 0}


def simulated(fasta_out: Path, n_cells: int, n_regions: int, seed: int = 0) -> md.MuData:
    mdata = ctl.datasets.simulate_sequence_multiome(
        n_cells=n_cells,
        n_regions=n_regions,
        width=WIDTH,
        region_width=200,
        n_genes=60,
        n_types=4,
        n_tfs=4,
        depth=0.13 * n_regions,
        fasta_out=fasta_out,
        seed=seed,
    )
    ctl.pp.split_cells(mdata, seed=0)
    ctl.pp.split_regions(mdata, by="random", seed=0)
    return mdata
