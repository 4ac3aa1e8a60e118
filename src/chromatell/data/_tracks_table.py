"""The table of tracks, the checks of what `BinnedTracks` is made of, and how it is shown."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from chromatell._keys import CHROM, END, START
from chromatell._nearest import did_you_mean, names_there
from chromatell._validate import ChromatellError, examples
from chromatell.genome.builds import ChromSizes, chromosome_sizes
from chromatell.genome.regions import normalise_chrom, parse_regions, plain_chrom

NAME, ASSAY, STRAND, ROLE, SAMPLE, STAT, SIGMA = "name", "assay", "strand", "role", "sample", "stat", "sigma"
INPUT, TARGET, PREDICTION = "input", "target", "prediction"
ROLES = (INPUT, TARGET, PREDICTION)
STRANDS = ("+", "-", ".")
STRAND_WORDS = {
    **dict.fromkeys(("plus", "fwd", "forward", "pos"), "+"),
    **dict.fromkeys(("minus", "rev", "reverse", "neg"), "-"),
}
_STRAND_WORD = re.compile(rf"(?<![a-z])({'|'.join(STRAND_WORDS)})(?![a-z])", re.IGNORECASE)
_EDGES = re.compile(r"^[\W_]+|[\W_]+$")  # what stands around the words of a name
_SIGNAL = "signal"  # the assay that nothing names
_MAX_TEXT = 512  # characters of a name
_MAX_CHROM = 2_000_000_000  # bp; the longest known chromosomes are about as long


def track_table(given: pd.DataFrame | Sequence[str]) -> pd.DataFrame:
    """Return the table of tracks with all its columns, one row a track, indexed by name.

    Names may be the index or the column `name`; a list of dicts is a table, a list of text are names.
    """
    if isinstance(given, Sequence) and not isinstance(given, str) and given and isinstance(given[0], Mapping):
        given = pd.DataFrame(list(given))
    if isinstance(given, pd.DataFrame):
        if NAME not in given and given.index.dtype.kind in "iufb":
            raise ChromatellError(
                f"The table of tracks has the columns {examples(given.columns, 8) or 'none'} and no names. Give it "
                "some: table['name'] = [...]."
            )
        table = given.set_index(NAME) if NAME in given else given.copy()
    elif isinstance(given, str):
        raise ChromatellError(f"table={given!r} must be a list of names of tracks, or a table.")
    else:
        table = pd.DataFrame(index=pd.Index(list(given), dtype=object))
    table.index = pd.Index([str(n) for n in table.index], name=NAME, dtype=object)
    bad = [n for n in table.index if not n.strip() or not n.isprintable() or len(n) > _MAX_TEXT]
    if len(table) == 0 or bad or not table.index.is_unique:
        shown = "none" if len(table) == 0 else examples(bad or table.index[table.index.duplicated()])
        raise ChromatellError(
            f"Tracks need names that are printable and differ; found {shown}. Name them in the table."
        )
    given_assay = table[ASSAY].astype(object) if ASSAY in table else pd.Series("", index=table.index, dtype=object)
    given_assay = given_assay.where(given_assay.notna(), "").astype(str)
    defaults = {ASSAY: list(table.index), STRAND: ".", ROLE: TARGET, SAMPLE: "", STAT: "", SIGMA: 0.0}
    for column, default in defaults.items():
        if column not in table:
            table[column] = default
        elif column != SIGMA:
            text = table[column].astype(object)
            table[column] = text.where(text.notna(), "" if isinstance(default, list) else default).astype(str)
    _name_assays(table, given_assay)
    check_words(table)
    sigma = pd.to_numeric(table[SIGMA], errors="coerce").fillna(0.0).astype(np.float64)
    table[SIGMA] = sigma
    for column in (ASSAY, STRAND, ROLE, SAMPLE, STAT):
        table[column] = table[column].astype(object)
    return table[[*defaults, *(c for c in table if c not in defaults)]]


def check_words(table: pd.DataFrame) -> None:
    """Raise where a track has a role or a strand that is not known; the user may have changed the table."""
    for column, allowed in ((ROLE, ROLES), (STRAND, STRANDS)):
        unknown = sorted(set(table[column].astype(str)) - set(allowed))
        if unknown:
            raise ChromatellError(
                f"Column {column!r} of the table of tracks holds {examples(unknown)}; each is one of {list(allowed)}."
            )


def with_own_columns(table: pd.DataFrame, tracks: pd.DataFrame, like: Sequence[str]) -> pd.DataFrame:
    """Return a table of new tracks with the user's own columns too, as they are of other tracks, row by row.

    Parameters
    ----------
    table
        The new tracks, by name.
    tracks
        The table of those that are there.
    like
        For each new track the name of the one that it follows, such as the target that it predicts.
    """
    described = (NAME, ASSAY, STRAND, ROLE, SAMPLE, STAT, SIGMA)
    for column in [c for c in tracks if c not in described and c not in table]:
        table[column] = tracks.loc[list(like), column].array  # whole numbers and booleans stay what they are
    return table


def _name_assays(table: pd.DataFrame, given: pd.Series) -> None:
    """Fill in the assay where none is given: the name, and of two strands what their names share, so that they meet.

    A sample that is told is no part of it, so that one mark of several samples is one assay.
    """
    own = [_without_sample(n, s) or _SIGNAL for n, s in zip(table.index, table[SAMPLE], strict=True)]
    table[ASSAY] = given.where(given != "", pd.Series(own, index=table.index))
    lone = table[(given == "") & table[STRAND].isin(["+", "-"]) & (table[ROLE] != PREDICTION)]
    stem = pd.Series([_EDGES.sub("", _STRAND_WORD.sub("", name)) for name in lone[ASSAY]], lone.index)
    for _, sample in lone.groupby(SAMPLE):
        if sorted(sample[STRAND]) == ["+", "-"] and stem[sample.index].nunique() > 1:
            stem[sample.index] = _SIGNAL  # two strands and no other, whatever their names
        for name, pair in sample.groupby(stem[sample.index]):
            if sorted(pair[STRAND]) == ["+", "-"]:
                table.loc[pair.index, ASSAY] = str(name) or _SIGNAL


def _without_sample(name: str, sample: str) -> str:
    """Return a name without the sample, where that stands in it as a word of its own."""
    word = rf"(?<![^\W_]){re.escape(sample)}(?![^\W_])"
    parts = re.split(word, name, flags=re.IGNORECASE) if sample else [name]
    return name if len(parts) == 1 else "_".join(p for p in (_EDGES.sub("", part) for part in parts) if p)


def check_sizes(values: Mapping[str, Any], chrom_sizes: ChromSizes) -> dict[str, int]:
    """Return the length of each chromosome of the values, in their order."""
    if not isinstance(chrom_sizes, Mapping):
        chrom_sizes = chromosome_sizes(chrom_sizes)
    if not isinstance(values, Mapping) or not values:
        raise ChromatellError("values must be a dict of chromosome to array (tracks, bins), and not empty.")
    unknown = [c for c in values if c not in chrom_sizes]
    if unknown:
        raise ChromatellError(
            f"chrom_sizes lacks {examples(unknown)}; it has {examples(chrom_sizes, 8)}. Take it from the bigWig, or "
            "from ctl.genome.builds.chromosome_sizes('hg38')."
        )
    sizes = {}
    for chrom in values:
        size = chrom_sizes[chrom]
        number = isinstance(size, int | np.integer | float | np.floating) and not isinstance(size, bool)
        whole = number and size % 1 == 0
        if not whole or not 0 < size <= _MAX_CHROM or not chrom.isprintable() or not 0 < len(chrom) <= _MAX_TEXT:
            raise ChromatellError(f"chrom_sizes[{chrom[:60]!r}]={size!r} is not the length of a chromosome in bp.")
        sizes[str(chrom)] = int(size)
    return sizes


def check_values(values: Mapping[str, Any], names: Sequence[str], n_bins: Mapping[str, int]) -> dict[str, Any]:
    """Return arrays of (tracks, bins), float32, in memory or as they are on disk; shapes must fit."""
    missing = [c for c in n_bins if c not in values]
    if missing:
        raise ChromatellError(f"values lacks the chromosomes {examples(missing)}. Give an array for each.")
    arrays = {}
    for chrom, n in n_bins.items():
        array = values[chrom]
        if isinstance(array, np.ndarray) or not hasattr(array, "shape"):
            try:
                array = np.asanyarray(array)
            except ValueError as error:
                lengths = sorted({np.size(track) for track in array})
                raise ChromatellError(
                    f"values[{chrom!r}] holds tracks of {examples(lengths)} bins; {len(names)} tracks x {n} bins are "
                    "needed."
                ) from error
            if array.dtype.kind not in "biuf":
                raise ChromatellError(f"values[{chrom!r}] holds {array.dtype}, not numbers.")
            array = array.astype(np.float32, copy=False)
        if tuple(array.shape) != (len(names), n):
            raise ChromatellError(
                f"values[{chrom!r}] has shape {tuple(array.shape)}; {len(names)} tracks x {n} bins are needed (the "
                "last bin of a chromosome may be shorter and counts)."
            )
        if np.dtype(array.dtype) != np.float32:
            raise ChromatellError(f"values[{chrom!r}] on disk is {array.dtype}; float32 is needed. Convert it.")
        arrays[chrom] = array
    return arrays


def missing_names(table: pd.DataFrame, wanted: Sequence[Any], role: str | None) -> str:
    """Return what is wrong with names of tracks, and which there are."""
    known = ", ".join(f"{n} ({r})" for n, r in zip(table.index[:12], table[ROLE], strict=False))
    unknown = [n for n in wanted if n not in table.index]
    if unknown:
        return (
            f"There is no track {examples(unknown)}; there: {known}.{did_you_mean(unknown[0], table.index)} Name those."
        )
    if not wanted:
        of, model = (f" of role {role!r}", f", or for a model {role}s=[...]") if role else ("", "")
        return f"There is no track{of}; there: {known or 'none'}. Name some: names=[...]{model}."
    return f"Tracks are named more than once: {examples(wanted, 8)}. Name each once."


def own_chrom(chrom: str, chroms: Collection[str]) -> str:
    """Return the name of a chromosome among `chroms`, as `1` and `chr1` are the same; its own where it is not there."""
    if chrom in chroms:
        return chrom
    known = dict(zip(normalise_chrom(chroms), chroms, strict=True))
    return known.get(plain_chrom(chrom), chrom)


def one_region(region: str, chrom_sizes: Mapping[str, int]) -> tuple[str, int, int]:
    """Return chromosome, start and end of a region in text, which must lie on a chromosome that is there."""
    text = str(region).strip()
    if text in chrom_sizes:
        return text, 0, chrom_sizes[text]
    chrom, start, end = parse_regions([text]).iloc[0][[CHROM, START, END]]
    if chrom == "" or not isinstance(region, str):
        raise ChromatellError(
            f"region={region!r} does not parse. Needed: 'chrom:start-end', such as 'chr21:35,000,000-35,200,000' "
            f"(0-based, half-open), or one of {examples(chrom_sizes, 8)}."
        )
    chrom = own_chrom(chrom, chrom_sizes)
    if chrom not in chrom_sizes:
        raise ChromatellError(
            f"region={region!r}: no chromosome {chrom!r}; there: {names_there(chrom_sizes, chrom, 8)}."
        )
    length = chrom_sizes[chrom]
    if not 0 <= start < end:
        raise ChromatellError(f"region={region!r} must begin before it ends, such as '{chrom}:0-{min(10**6, length)}'.")
    if end > length:
        raise ChromatellError(
            f"region={region!r} goes beyond the end of {chrom}, at {length:,}. Take '{chrom}:{min(start, length - 1)}-"
            f"{length}', or is it of another build?"
        )
    return str(chrom), int(start), int(end)
