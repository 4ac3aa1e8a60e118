"""What a model or a prediction was trained on, in a few bytes: so that a score of the same cells or bins is refused.

Whoever scores stored predictions calls `check_cells` (cells: MuData or AnnData) or `check_bins` (tracks), with what the
model's record (`model.trained_cells`) or the prediction's provenance holds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from chromatell._keys import SPLITS, TRAIN, VAL
from chromatell._settings import logger
from chromatell._validate import ChromatellError, examples, split_of, warn
from chromatell.data._tracks_table import SAMPLE
from chromatell.data.tracks import BinnedTracks
from chromatell.genome.regions import normalise_chrom

CELLS = {TRAIN: "cells_train", VAL: "cells_val"}  # in a record's arrays and in a prediction's provenance
COUNTS = "trained_cells"  # in a record's configuration: how many hashes of each part
INTERVALS = "trained_on"  # in a tracks model's configuration and in a prediction's provenance
BY_CHANCE = 0.05  # two 10x runs share a few percent of their barcodes, of a list of 700,000
_MOST_INTERVALS = 20_000


def cell_hashes(names: Iterable[Any]) -> np.ndarray:
    """Return a 64-bit BLAKE2b hash of each barcode, uint64 (cells,), in the given order.

    Examples
    --------
    >>> [hex(h) for h in cell_hashes(["AAAC-1"])]
    ['0x1e2645262a7357f2']
    """
    digests = b"".join(hashlib.blake2b(str(name).encode(), digest_size=8).digest() for name in names)
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)


def trained_cells(data: Any, before: Mapping[str, np.ndarray] | None = None) -> dict[str, np.ndarray]:
    """Return sorted hashes of the barcodes marked 'train' and 'val', 8 bytes a cell; with those of a model `before`.

    Training went on from `before`, so the new one was trained on the same too. Tracks have no cells: nothing.
    """
    if not isinstance(data, MuData | AnnData):
        return {}
    split = split_of(data)
    marked = {key: cell_hashes(data.obs_names[split == part]) for part, key in CELLS.items()}
    return {key: np.union1d(hashes, (before or {}).get(key, hashes)) for key, hashes in marked.items()}


def subset(trained: Mapping[str, np.ndarray], names: Iterable[Any]) -> dict[str, np.ndarray]:
    """Return of the hashes only those of these cells: all that a prediction for them has to say."""
    hashes = cell_hashes(names)
    return {key: np.intersect1d(trained[key], hashes) for key in CELLS.values() if key in trained}


def counts(trained: Mapping[str, np.ndarray]) -> dict[str, int]:
    """Return how many hashes there are of each part, which a record's configuration says."""
    return {key: int(hashes.size) for key, hashes in trained.items()}


def stored_cells(arrays: Mapping[str, Any], where: str, sizes: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Return the hashes that a record or a provenance holds, as many as `sizes` say; none where it is older."""
    stored = {key: np.asarray(arrays[key]) for key in CELLS.values() if key in arrays}
    for key in {*stored, *sizes}:
        hashes = stored.get(key, np.zeros(0))
        n = sizes.get(key, hashes.size)
        if hashes.dtype != np.uint64 or hashes.shape != (n,):
            raise ChromatellError(
                f"{key!r} of {where} is {hashes.dtype} {hashes.shape}; uint64 hashes of {n} barcodes are needed. Ask "
                "for the file again, or train anew."
            )
    return stored


def check_cells(
    trained: Mapping[str, Any], names: pd.Index, *, name: str, part: str, object_name: str = "mdata"
) -> int:
    """Return how many of the cells to score the model was trained on; raise where these are not a few by chance.

    Parameters
    ----------
    trained
        ``model.trained_cells``, or the provenance of a prediction.
    names
        Barcodes of the cells to score.
    name
        Name of the model or prediction.
    part
        'test': a model's training and validation cells may not be among them. 'val': its training cells. 'train': any
        may.

    Raises
    ------
    ChromatellError
        More than 5% of them were trained on. Fewer are a warning: barcodes of different runs may be alike.
    """
    used = {"test": tuple(CELLS), VAL: (TRAIN,)}.get(part, ())
    if not used:
        return 0
    stored = stored_cells(trained, repr(name), {})
    if not stored:
        logger.info("%s was made by an earlier version, which did not keep what it was trained on: not checked.", name)
        return 0
    known = np.concatenate([stored[CELLS[u]] for u in used if CELLS[u] in stored])
    seen = np.isin(cell_hashes(names), known)
    n = int(seen.sum())
    if n == 0:
        return 0
    what = (
        f"{n} of the {len(names)} {part!r} cells (such as {examples(names[seen])}) are among those that {name!r} was "
        "trained or tuned on"
    )
    if n <= BY_CHANCE * len(names):
        warn(f"{what}: leave them out, unless they are other cells with the same barcodes.")
        return n
    raise ChromatellError(
        f"{what}, so its scores would be too high: {object_name}.obs['ctl_split'] has changed since. Split "
        f"all the cells of then in their order, ctl.pp.split_cells({object_name}, seed=...), or train again with this "
        "split, or, in an evaluation, leave it out with models=. If they are other cells with the same barcodes, "
        f"rename them: {object_name}.obs_names = {object_name}.obs_names + '_2'."
    )


def trained_intervals(tracks: BinnedTracks, targets: Sequence[str]) -> dict[str, Any]:
    """Return the intervals marked 'train' and 'val' and the samples of the targets, JSON-able; {} where too many.

    Intervals are [start, end] in bp, 0-based, half-open, by chromosome; one without a usable bin of the part is left
    out.
    """
    by_part: dict[str, Any] = {part: {} for part in CELLS}
    for chrom in tracks.chroms:
        code = tracks.splits[chrom] if tracks.splits else np.zeros(tracks.n_bins_of(chrom), dtype=np.int8)
        for part in CELLS:
            if tracks.usable(chrom, part).any():
                inside = np.concatenate([[False], np.asarray(code) == SPLITS.index(part), [False]])
                borders = np.flatnonzero(np.diff(inside)) * tracks.bin_size
                by_part[part][chrom] = borders.reshape(-1, 2).tolist()
    n = sum(len(intervals) for chroms in by_part.values() for intervals in chroms.values())
    if n > _MOST_INTERVALS:
        logger.info("The bins are split into %d intervals: too many to be kept with the model.", n)
        return {}
    return {**by_part, "samples": sorted(set(tracks.table.loc[list(targets), SAMPLE].astype(str)))}


def check_bins(trained: Any, tracks: BinnedTracks, chroms: Sequence[str], *, target: str, name: str, part: str) -> int:
    """Return how many of the bins to score the model was trained on; raise where they are of the same sample.

    Parameters
    ----------
    trained
        ``model.config['trained_on']`` or that of a prediction's provenance; None or {} is not known.
    chroms
        Those that are scored, in their usable bins of `part`.
    target
        The track that is scored: of another sample than in training, the same bins are a warning.
    name, part
        As for `check_cells`.

    Raises
    ------
    ChromatellError
        A bin of `part` was trained on, in the same sample.
    """
    used = {"test": tuple(CELLS), VAL: (TRAIN,)}.get(part, ())
    if not used or not trained:
        return 0
    intervals = _intervals(trained, used, name)
    plain = normalise_chrom(chroms)
    n = total = 0
    where = []
    for chrom, key in zip(chroms, plain, strict=True):
        scored = tracks.usable(chrom, part)
        inside = np.zeros(scored.size, dtype=bool)
        for start, end in intervals.get(key, ()):
            inside[start // tracks.bin_size : -(-end // tracks.bin_size)] = True
        total += int(scored.sum())
        both = int((scored & inside).sum())
        n += both
        where += [chrom] if both else []
    if n == 0:
        return 0
    what = f"{n:,} of the {total:,} {part!r} bins (on {examples(where)}) are among those that {name!r} was trained on"
    sample = str(tracks.table.loc[target, SAMPLE])
    if sample not in trained.get("samples", [sample]):
        warn(f"{what}, in sample {examples(trained['samples'])}: of {sample!r} this scores a new sample, not new bins.")
        return n
    raise ChromatellError(
        f"{what}, so its scores would be too high: tracks.splits have changed since. Split as then, "
        "ctl.pp.split_regions(tracks, by=..., seed=...), or train again with this split, or leave it out with models=. "
        "If the tracks are of another sample, say so: tracks.table['sample'] = 'its name'."
    )


def _intervals(trained: Any, used: Sequence[str], name: str) -> dict[str, list[tuple[int, int]]]:
    """Return intervals of the named parts by plain name of the chromosome, which may come from a stranger's file."""
    intervals: dict[str, list[tuple[int, int]]] = {}
    try:
        for part in used:
            chroms = list(trained[part])
            for key, chrom in zip(normalise_chrom(chroms), chroms, strict=True):
                pairs = [(int(start), int(end)) for start, end in trained[part][chrom]]
                if any(not 0 <= start < end for start, end in pairs):
                    raise ValueError(f"an interval of {chrom!r} does not begin before it ends")
                intervals.setdefault(key, []).extend(pairs)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ChromatellError(
            f"What {name!r} was trained on is not as it is written ({error!r}). Ask for the file again, or train anew."
        ) from error
    return intervals
