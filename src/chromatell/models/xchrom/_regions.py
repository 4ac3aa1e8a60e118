"""Which regions and cells a prediction is asked for: regions are the model's own, or any others with their sequence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from chromatell._keys import CHROM, END, START
from chromatell._validate import ChromatellError, examples
from chromatell.genome.bed import read_bed
from chromatell.genome.regions import misplaced, normalise_chrom, parse_regions, unplaced
from chromatell.genome.sequence import UNKNOWN

Regions: TypeAlias = Sequence[str] | pd.Index | pd.DataFrame | np.ndarray | str | Path | None


@dataclass(frozen=True)
class Asked:
    """Names in the order asked for; `known` is a place among the model's own regions, -1 where `tokens` has a row.

    `places` has the coordinates of these rows, where they are known.
    """

    names: pd.Index
    known: np.ndarray
    tokens: np.ndarray | None = None
    places: pd.DataFrame | None = None


def resolve_regions(places: pd.DataFrame, regions: Regions | Asked, fasta: Any, width: int) -> Asked:
    """Return what was asked for; a region that the model does not hold takes its sequence from `fasta`.

    `places` has the coordinates of the model's own regions, by name.
    """
    if isinstance(regions, Asked):
        return regions
    own = places.index
    if regions is None:
        return Asked(own, np.arange(len(own)))
    if isinstance(regions, np.ndarray) and regions.dtype.kind in "iu":
        tokens = checked_tokens(regions, width)
        names = pd.Index([f"sequence_{i + 1}" for i in range(len(tokens))])
        return Asked(names, np.full(len(tokens), -1), tokens)
    table = None
    if isinstance(regions, pd.DataFrame):
        table = regions
    elif isinstance(regions, str) and not Path(regions).is_file() and (regions in own or _is_place(regions)):
        regions = [regions]
    elif isinstance(regions, str | Path):
        table = read_bed(Path(regions), "regions=")
    if table is not None:
        missing = [c for c in (CHROM, START, END) if c not in table]
        if missing:
            raise ChromatellError(f"The table of regions lacks the columns {missing}; columns there: {list(table)}.")
        rows = zip(table[CHROM], table[START], table[END], strict=True)
        names = pd.Index([f"{c}:{s}-{e}" for c, s, e in rows])
    else:
        names = pd.Index(regions).astype(str)
    if not len(names):
        raise ChromatellError("regions= names no region. Leave it out for all of the model's.")
    if not names.is_unique:
        raise ChromatellError(f"regions= names {examples(names[names.duplicated()])} more than once. Name each once.")
    known = own.get_indexer(names)
    if (known < 0).any():
        known[known < 0] = _same_place(places, names[known < 0])
    new = np.flatnonzero(known < 0)
    if not new.size:
        return Asked(names, known)
    if fasta is None:
        raise ChromatellError(
            f"{len(new)} of {len(names)} regions (such as {examples(names[new])}) are not among the {len(own)} that "
            "the model holds. Name the genome for their sequence: fasta='genome.fa'."
        )
    table = parse_regions(names[new])
    bad = misplaced(table)
    if bad.any():
        raise ChromatellError(
            f"{int(bad.sum())} of {len(names)} regions {unplaced(table[bad])}. Needed: names like 'chr1:100-600' "
            "(0-based, half-open), or a BED file."
        )
    from chromatell.genome.genome import Genome

    genome = fasta if isinstance(fasta, Genome) else Genome(fasta)
    tokens, _ = genome.windows(table, width)
    empty = tokens.min(axis=1) == UNKNOWN
    if empty.any():
        raise ChromatellError(
            f"{int(empty.sum())} regions (such as {examples(table.index[empty])}"
            f"{genome.length_said(table[CHROM][empty].iloc[0])}) have no sequence in the FASTA. Check their build, or "
            "leave them out."
        )
    return Asked(names, known, tokens, table)


def _is_place(name: str) -> bool:
    """Return whether a name says where a region lies, such as 'chr1:100-600'."""
    return int(parse_regions(pd.Index([name]))[START].iloc[0]) >= 0


def _same_place(places: pd.DataFrame, names: pd.Index) -> np.ndarray:
    """Return where the model has a region of the same coordinates, however it is named; -1 for none."""

    def key(table: pd.DataFrame) -> pd.MultiIndex:
        return pd.MultiIndex.from_arrays([normalise_chrom(table[CHROM]), table[START], table[END]])

    known = key(places)
    rows = np.flatnonzero((places[START] >= 0).to_numpy() & ~known.duplicated())
    matches = known[rows].get_indexer(key(parse_regions(names)))
    return np.where(matches >= 0, rows[matches], -1) if rows.size else matches


def chosen_cells(data: Any, cells: Any) -> Any:
    """Return some cells of a MuData or AnnData, by names, places or a mask; None is all of them."""
    if cells is None or not isinstance(data, AnnData | MuData):  # what is neither is refused where it is read
        return data
    try:
        return data[[cells] if isinstance(cells, str) else cells]
    except (KeyError, IndexError, ValueError) as error:
        unknown = [c for c in np.ravel(cells) if isinstance(c, str) and c not in data.obs_names]
        what = f"names {examples(unknown)}" if unknown else f"does not fit them ({error})"
        raise ChromatellError(
            f"cells= takes names, places or a mask of the {data.n_obs} cells, whose names look like "
            f"{examples(data.obs_names)}; it {what}."
        ) from error


def checked_tokens(tokens: Any, width: int) -> np.ndarray:
    """Return int8 tokens (n, >= width) with values 0 to 4, or say what is wrong."""
    tokens = np.asarray(tokens)
    if tokens.ndim != 2 or tokens.dtype.kind not in "iu" or not len(tokens):
        raise ChromatellError(
            f"Sequences are {tokens.dtype} {tokens.shape}; int8 (sequences, bases) is needed, A C G T N = 0 1 2 3 4. "
            "ctl.pp.add_sequence(mdata, fasta) makes them."
        )
    if tokens.shape[1] < width:
        raise ChromatellError(
            f"Sequences are {tokens.shape[1]} bases long; the model reads {width}. Make longer windows, "
            f"ctl.pp.add_sequence(mdata, fasta, width={width}), or train with sequence_length={tokens.shape[1]}."
        )
    low, high = int(tokens.min()), int(tokens.max())
    if low < 0 or high > 4:
        raise ChromatellError(
            f"Sequences hold tokens from {low} to {high}; A C G T N are 0 1 2 3 4. "
            "ctl.pp.add_sequence(mdata, fasta) makes them; of text, ctl.genome.encode(sequences)."
        )
    return tokens.astype(np.int8, copy=False)
