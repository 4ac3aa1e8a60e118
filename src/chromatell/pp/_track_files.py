"""What `bin_tracks` is told of its files, and whether they are of one genome and their strands as they say."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from chromatell._keys import CHROM
from chromatell._settings import logger
from chromatell._validate import ChromatellError, examples, warn
from chromatell.data._tracks_table import (
    INPUT,
    NAME,
    ROLE,
    SAMPLE,
    STRAND,
    STRAND_WORDS,
    TARGET,
    one_region,
    track_table,
)
from chromatell.genome.builds import ChromSizes, chromosome_sizes, identify
from chromatell.genome.regions import normalise_chrom, parse_regions
from chromatell.io.bigwig import BigWig
from chromatell.pp._peak_files import PeakFile, is_peaks

PATH = "path"
# a scaffold, an alternative locus, the mitochondrion: not what None of `chroms` asks for
_ASIDE = re.compile(r".*[_.*:].*|(chr)?(M|MT|EBV)", re.IGNORECASE)


def file_table(files: Any) -> pd.DataFrame:
    """Return the table of tracks with their paths, from a dict, a list of dicts or a table."""
    if isinstance(files, Mapping):
        rows = [{NAME: n, **(f if isinstance(f, Mapping) else {PATH: f})} for n, f in files.items()]
        given = pd.DataFrame(rows)
    elif isinstance(files, pd.DataFrame):
        given = files.reset_index(names=NAME) if NAME not in files else files.copy()
    elif isinstance(files, Sequence) and not isinstance(files, str) and all(isinstance(f, Mapping) for f in files):
        given = pd.DataFrame(list(files))
    else:
        raise ChromatellError(
            f"files must be a dict of name to path, a list of dicts, or a table; found {type(files).__name__}. Try "
            "{'plus': 'plus.bw', 'minus': 'minus.bw', 'H3K4me3': 'H3K4me3.bw'}."
        )
    if NAME not in given or PATH not in given or len(given) == 0:
        raise ChromatellError(
            f"files has the columns {examples(given.columns, 8) or 'none'}; each track needs 'name' and 'path', and "
            "may have 'strand' ('+', '-', '.'), 'role' ('input', 'target'), 'assay' and 'sample'."
        )
    bad = [n for n, p in zip(given[NAME], given[PATH], strict=True) if not isinstance(p, str | os.PathLike) or not p]
    if bad:
        raise ChromatellError(f"Tracks {examples(bad)} have no path. Name a bigWig, or a list of peaks, for each.")
    return _with_defaults(given)


def _with_defaults(given: pd.DataFrame) -> pd.DataFrame:
    """Fill in strand and role where they are not said: 'plus' and 'minus' in a name, and stranded is input."""
    guessed = [
        next((STRAND_WORDS[w] for w in re.split(r"[^a-z]+", str(n).lower()) if w in STRAND_WORDS), ".")
        for n in given[NAME]
    ]
    strand = given[STRAND] if STRAND in given else pd.Series([None] * len(given), index=given.index)
    given[STRAND] = [g if pd.isna(s) or s == "" else s for s, g in zip(strand, guessed, strict=True)]
    role = given[ROLE] if ROLE in given else pd.Series([None] * len(given), index=given.index)
    by_strand = np.where(given[STRAND] == ".", TARGET, INPUT)
    given[ROLE] = [g if pd.isna(r) or r == "" else r for r, g in zip(role, by_strand, strict=True)]
    table = track_table(given)
    paths: dict[Path, str] = {}
    for name, path in zip(table.index, table[PATH], strict=True):
        other = paths.setdefault(Path(path).resolve(), name)
        if other != name:
            raise ChromatellError(f"Tracks {other!r} and {name!r} are one file, {str(path)!r}. Name the right one.")
    return table


def open_files(
    table: pd.DataFrame, stack: Any, chrom_sizes: ChromSizes | None = None, peak_width: int | None = None
) -> dict[str, BigWig | PeakFile]:
    """Return each track's file, open; their chromosomes must have the same lengths.

    Peaks, which do not say how long chromosomes are, take `chrom_sizes`, or those of the first bigWig.
    """
    peaks = {str(name): path for name, path in zip(table.index, table[PATH], strict=True) if is_peaks(path)}
    _check_peaks(table.loc[list(peaks)])
    files: dict[str, BigWig | PeakFile] = {}
    for name, path in zip(table.index, table[PATH], strict=True):
        if name not in peaks:
            files[name] = stack.enter_context(BigWig(path))
    sizes = chromosome_sizes(chrom_sizes) if chrom_sizes is not None else next((f.sizes for f in files.values()), None)
    if sizes is None:
        raise ChromatellError(
            f"{examples(peaks)} are peaks, which do not say how long chromosomes are, and no bigWig is beside them. "
            "Name the build: chrom_sizes='hg38'."
        )
    for name, path in peaks.items():
        files[name] = PeakFile(path, sizes, peak_width)
    files = {name: files[name] for name in table.index}
    seen: dict[str, tuple[str, int]] = {}
    for name, file in files.items():
        for chrom, size in zip(_plain(file.sizes), file.sizes.values(), strict=True):
            other, known = seen.setdefault(chrom, (name, size))
            if known != size:
                builds = [identify(files[n].sizes) or "an unknown build" for n in (other, name)]
                raise ChromatellError(
                    f"The files are of different builds: {chrom} has {known:,} bp in {other!r} ({builds[0]}) and "
                    f"{size:,} bp in {name!r} ({builds[1]}). Use files of one build, or lift one over "
                    "(CrossMap bigwig)."
                )
    return files


def _check_peaks(peaks: pd.DataFrame) -> None:
    """Raise where a model would read peaks: they are learned."""
    read = peaks.index[(peaks[ROLE] != TARGET) | (peaks[STRAND] != ".")]
    if len(read):
        raise ChromatellError(
            f"{examples(read)} are lists of peaks, which a model learns and does not read. Give the bigWig of the "
            "signal, or say what they are: {'path': 'peaks.bed', 'role': 'target', 'strand': '.'}."
        )


def intervals(chroms: str | Iterable[str] | None) -> tuple[list[str] | None, dict[str, str]]:
    """Return the chromosomes asked for, and of those of which a part is wanted, such as 'chr21:0-1,000,000', that."""
    if chroms is None:
        return None, {}
    wanted = [chroms] if isinstance(chroms, str) else [str(c) for c in chroms]
    parts = {name: parse_regions([name])[CHROM].iloc[0] for name in wanted if ":" in name}
    parts = {name: chrom for name, chrom in parts.items() if chrom}
    return [parts.get(name, name) for name in wanted], {chrom: name for name, chrom in parts.items()}


def bins_of(parts: Mapping[str, str], sizes: Mapping[str, int], bin_size: int) -> dict[str, slice]:
    """Return the bins that each part touches, by the name of its chromosome in `sizes`."""
    bins = {}
    for text in parts.values():
        chrom, start, end = one_region(text, sizes)
        bins[chrom] = slice(start // bin_size, -(-end // bin_size))
    return bins


def shared_chroms(
    files: Mapping[str, BigWig | PeakFile], chroms: str | Iterable[str] | None
) -> dict[str, dict[str, str]]:
    """Return the chromosomes to bin, in order: the first file's name of each to every track's own name of it."""
    own = {name: dict(zip(_plain(f.sizes), f.sizes, strict=True)) for name, f in files.items()}
    first = next(iter(own))
    if chroms is not None:
        wanted = [chroms] if isinstance(chroms, str) else list(chroms)
        plain = _plain(wanted)
        for chrom, asked in zip(plain, wanted, strict=True):
            lacking = [n for n, names in own.items() if chrom not in names]
            if lacking:
                raise ChromatellError(
                    f"Chromosome {asked!r} is not in {examples(lacking)}, which has "
                    f"{examples(files[lacking[0]].sizes, 8)}. Leave the chromosome or the track out."
                )
        if not plain or len(set(plain)) < len(plain):
            raise ChromatellError(f"chroms={chroms!r} must name chromosomes, each once.")
    else:
        plain = _choose(own)
    styles = [n for n, names in own.items() if any(names[c] != own[first][c] for c in plain)]
    if styles:
        logger.info("Chromosome names of %s differ in style from those of %r, which are used.", examples(styles), first)
    return {own[first][c]: {name: names[c] for name, names in own.items()} for c in plain}


def _choose(own: Mapping[str, Mapping[str, str]]) -> list[str]:
    shared = [c for c in next(iter(own.values())) if all(c in names for names in own.values())]
    if not shared:
        listed = "; ".join(f"{n}: {examples(names.values(), 4)}" for n, names in own.items())
        raise ChromatellError(f"The files share no chromosome ({listed}). Use files of one genome.")
    main = [c for c in shared if not _ASIDE.fullmatch(c)] or shared
    every = {c for names in own.values() for c in names if not _ASIDE.fullmatch(c)}
    lost = sorted(every - set(shared), key=_natural)
    if lost:
        lacking = sorted({n for n, names in own.items() if any(c not in names for c in lost)})
        warn(f"{examples(lacking)} lack some chromosomes of the others, which are left out: {examples(lost, 8)}.")
    if len(main) < len(shared):
        logger.info("Left out %d scaffolds and such; name them, chroms=[...], to have them.", len(shared) - len(main))
    return sorted(main, key=_natural)


def sign_of(
    name: str, file: BigWig | PeakFile, strand: str, role: str, allow_negative: bool, chroms: Iterable[str]
) -> int:
    """Return 1, or -1 where a strand is stored as negative values; raise for signs that cannot be.

    The header tells whether there are values below 0 at all. Its largest value is not believed: pyBigWig writes a wrong
    one where the first value is the least so far, so the values themselves are looked at, on `chroms`.
    """
    if np.isnan(file.low):
        raise ChromatellError(f"{file.name} holds no value at all. Make it again, or leave track {name!r} out.")
    if file.low >= 0:
        return 1
    low, high = file.extremes(chroms)
    if np.isnan(low) or low >= 0:
        return 1
    if strand == "-" and high <= 0:
        logger.info("%s stores the minus strand as negative values; their absolute values are taken.", file.name)
        return -1
    if strand == "+" and high <= 0:
        raise ChromatellError(
            f"{file.name} is the plus strand and holds negative values (down to {low:g}), as files of the minus strand "
            "do. Were plus and minus swapped? Give each its own."
        )
    check_signs(name, file, low, high, role, allow_negative)
    return 1


def check_signs(name: str, file: BigWig | PeakFile, low: float, high: float, role: str, allow_negative: bool) -> None:
    """Raise where there are values below 0 and there can be none."""
    if role == INPUT or not allow_negative:
        right = "If they are right (a log ratio): allow_negative=True."
        cure = "Give a file of read counts." if role == INPUT else right
        raise ChromatellError(
            f"{file.name} ({name!r}) holds values of both signs or below 0 ({low:g} to {high:g}), where there can be "
            f"none. {cure}"
        )


def check_pairs(table: pd.DataFrame) -> None:
    """Say where a sample has one strand alone."""
    for sample, part in table[table[ROLE] == INPUT].groupby(SAMPLE):
        strands = set(part[STRAND])
        if strands in ({"+"}, {"-"}):
            of = f" of sample {sample!r}" if sample else ""
            warn(
                f"The inputs{of} are one strand alone ({examples(part.index)}). Give the other one too if there is one."
            )


def _plain(names: Iterable[str]) -> list[str]:
    return normalise_chrom(names).astype(str).tolist()


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (10**9, part) for part in re.split(r"(\d+)", name) if part]
