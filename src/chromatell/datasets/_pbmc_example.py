"""The packaged example."""

from __future__ import annotations

from importlib.resources import as_file, files

import numpy as np
from mudata import MuData, read_h5mu

from chromatell._arguments import arguments
from chromatell._compat import no_pull, plain_axis
from chromatell._keys import ATAC, RNA


@arguments
def pbmc_example() -> MuData:
    """Real paired cells that come with the package: 3,200 blood cells x 51 genes x 1,000 regions (GRCh38).

    Small enough to train on in seconds. Two things to know before trusting a score on it: its source **smoothed the
    expression over neighbouring cells, test cells included** (values are normalised, not counts; none is zero, some are
    slightly negative), and it has **51 genes**, with all regions near them. The regions are the most open ones in cells
    that are not in the example.

    Returns
    -------
    mudata.MuData
        - ``mod['rna'].X``: smoothed, normalised expression, float32 (3200, 51); `var`: `gene_id`, `chrom`, `tss`
          (0-based), `strand`.
        - ``mod['atac'].X``: counts, float32 CSR (3200, 1000); `var`: `chrom`, `start`, `end` (0-based, half-open;
          500 bp).
        - `obs`: `cell_type` (13 types); of each modality also `n_counts` and `n_genes` of the full transcriptome.

    Notes
    -----
    10x Genomics, CC BY 4.0, by way of the MIT-licensed package chromatinhd; ``datasets/_files/ATTRIBUTION.md`` in the
    package says what was changed.

    Examples
    --------
    >>> import chromatell as ctl
    >>> mdata = ctl.datasets.pbmc_example()
    >>> mdata.n_obs
    3200
    """
    packaged = files("chromatell.datasets") / "_files" / "pbmc_example.h5mu"
    with as_file(packaged) as path, no_pull():
        mdata = plain_axis(read_h5mu(path))
    for name in (RNA, ATAC):
        mdata.mod[name].X = mdata.mod[name].X.astype(np.float32)
    return mdata
