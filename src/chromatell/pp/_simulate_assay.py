"""``ctl.pp.simulate_assay``: a run-on signal as another assay, or fewer reads, would have seen it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from anndata import AnnData

from chromatell._arguments import arguments
from chromatell._docs import documented
from chromatell._settings import logger, settings
from chromatell._validate import ChromatellError, in_range, one_of
from chromatell.data._other_assays import changed, drawn, one_read
from chromatell.data._tracks_inputs import input_values
from chromatell.data._tracks_rows import check_memory
from chromatell.data._tracks_table import INPUT, STRAND
from chromatell.data.tracks import BinnedTracks, as_tracks

_KINDS = {"PRO-cap": "cap", "sharp PRO-cap": "sites", "GRO-seq": "run-on"}


@arguments
@documented("tracks")
def simulate_assay(
    tracks: BinnedTracks | AnnData,
    assay: str | None = None,
    *,
    share: float | None = None,
    inputs: str | Sequence[str] | None = None,
    seed: int | None = None,
) -> BinnedTracks:
    """Return the inputs of tracks as another assay would have seen them, such as PRO-seq as PRO-cap.

    It is what `Nascent` trains on beside the signal as it is, and what ``ctl.tl.call_regions(calibrate_on=)`` can set a
    threshold by where the sample in which you call is of another assay.

    Parameters
    ----------
    assay
        'PRO-cap': reads where there is more signal than around, each place with an efficiency of its own. 'sharp
        PRO-cap': reads at the highest bins of a strand and little elsewhere. 'GRO-seq': less paused, moved upstream by
        up to 200 bp, with background, and genes at other levels. None is the assay as it is, with fewer reads.
    share
        Reads that are left, as a share of those there are, from above 0 to 1. None draws it, as training does; without
        `assay` it is needed.
    inputs
        Names of the tracks that are seen otherwise; None takes those of role 'input'.
    seed
        Seed of how the assay was done and of its reads; None follows ``ctl.settings.seed``.

    Returns
    -------
    BinnedTracks
        `inputs` alone, of the same names, masks and split: float32 whole numbers of reads, 0 where the signal is
        unknown or blacklisted. The tracks that were given stay as they are.

    Raises
    ------
    ChromatellError
        No such inputs, negative ones, or none with signal; another assay; a share out of range, or neither of both.

    Notes
    -----
    One read is what the tenth percentile of the usable bins with signal holds, whatever the unit. How sharp, efficient
    and deep an assay is differs between laboratories, so it is drawn, once for all chromosomes: take several seeds. A
    simulation is not the assay: trees that gain on all of these do not gain on a real PRO-cap
    (``benchmarks/results/nascent_transfer.md``). Peak memory: 4 bytes a bin and input, and 60 more of one chromosome.

    Examples
    --------
    >>> import numpy as np
    >>> import chromatell as ctl
    >>> signal = np.repeat([0.0, 50.0], 500)
    >>> tracks = ctl.data.BinnedTracks({"chr1": [signal, signal]}, ["plus", "minus"], chrom_sizes={"chr1": 50_000})
    >>> tracks.table["role"], tracks.table["strand"] = "input", ["+", "-"]
    >>> fewer = ctl.pp.simulate_assay(tracks, share=1)
    >>> float(fewer.values("chr1").max())
    1.0
    >>> ctl.pp.simulate_assay(tracks, "PRO-cap", seed=0).names
    ['plus', 'minus']
    """
    held = as_tracks(tracks)
    names = held.check_names(inputs, INPUT)
    kind = "thin" if assay is None else _KINDS[one_of(assay, _KINDS, "assay")]
    if assay is None and share is None:
        raise ChromatellError("Nothing says what is simulated. Name an assay, assay='PRO-cap', or a share, share=0.1.")
    kept = None if share is None else in_range(share, 1e-6, 1, "share", whole=False)
    simulated = held.select(names)
    check_memory(4 * len(names) * held.n_bins, "Simulate some chromosomes: tracks.select(chroms=...).")
    totals = [input_values(held, c, names)[:, held.usable(c)].sum(axis=0, dtype=np.float64) for c in held.chroms]
    signal = np.concatenate(totals)
    if not (signal > 0).any():
        raise ChromatellError(f"The inputs {names} have no signal in the usable bins. Check the files and the mask.")
    protocol, *streams = np.random.SeedSequence(settings.resolve_seed(seed)).spawn(1 + len(held.chroms))
    how = drawn(kind, np.random.default_rng(protocol)) | ({} if kept is None else {"depth": kept})
    kind = f"thin {kept}" if assay is None else kind
    read, strands = one_read(signal), [str(s) for s in held.table.loc[names, STRAND]]
    values = {}
    for chrom, stream in zip(held.chroms, streams, strict=True):
        rng = np.random.default_rng(stream)
        values[chrom] = changed(input_values(held, chrom, names), kind, strands, read, held.bin_size, rng, how)
    simulated.replace(values, names, keep=None)
    n_reads = sum(float(v.sum(dtype=np.float64)) for v in values.values())
    logger.info("%s: %.4g reads simulated.", assay or "Fewer reads", n_reads)
    return simulated
