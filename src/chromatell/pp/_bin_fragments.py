"""Fragments of a file to counts by cell and bin, gathered block by block."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp

from chromatell._dask import in_order, shared
from chromatell._keys import CHROM, END, N_FRAGMENTS, SAMPLE, START
from chromatell._settings import logger, settings
from chromatell._validate import ChromatellError, examples, warn
from chromatell.genome.builds import build_name, identify
from chromatell.genome.chromosome_ends import Ends
from chromatell.io.fragments import BARCODE, fragment_blocks, fragment_header
from chromatell.pp._genome_bins import ENDS_CURE

_PENDING = 8_000_000  # pairs that wait to be merged, at least
_OTHERS = 1000
_MISSING = 0.1  # a larger share of cells without a fragment is a warning
_RUN = re.compile("[ACGTN]{6,}(?:[-+_][ACGTN]{6,})*")  # a barcode, of one or of several rounds
_BUILD = re.compile(r"\b(GRCh3[78]|GRCm3[89]|hg19|hg38|mm9|mm10|mm39)\b", re.IGNORECASE)


class Counted(NamedTuple):
    """Counts of cells x all bins, and how many fragments or peaks were read and used."""

    x: sp.csr_matrix
    obs: pd.DataFrame
    obsm: dict[str, Any]
    n_read: int
    n_used: int


class PairCounts:
    """How often each pair of a cell and a bin was seen; memory grows with the pairs that differ, not with the file.

    Parameters
    ----------
    n_bins
        Bins are 0 to `n_bins` - 1; cells any int from 0.
    """

    def __init__(self, n_bins: int):
        self._total = sp.csr_matrix((0, n_bins), dtype=np.float32)
        self._pending: list[tuple[np.ndarray, np.ndarray]] = []
        self._n = 0

    def add(self, cell: np.ndarray, bins: np.ndarray) -> None:
        """Count each pair once."""
        self._pending.append((cell.astype(np.int32), bins.astype(np.int32)))
        self._n += cell.size
        if self._n > max(_PENDING, self._total.nnz):  # so that each pair is moved a few times at most
            self._merge()

    def result(self, n_cells: int) -> sp.csr_matrix:
        """Return the counts, float32 CSR (n_cells, n_bins); indices are sorted, no zero is stored."""
        self._merge()
        self._total.resize((n_cells, self._total.shape[1]))
        return self._total

    def _merge(self) -> None:
        if not self._n:
            return
        cell, bins = (np.concatenate(part) for part in zip(*self._pending, strict=True))
        self._pending, self._n = [], 0
        shape = (max(int(cell.max()) + 1, self._total.shape[0]), self._total.shape[1])
        new = sp.coo_matrix((np.ones(cell.size, dtype=np.float32), (cell, bins)), shape=shape).tocsr()
        self._total.resize(shape)
        self._total = self._total + new if self._total.nnz else new


class Barcodes:
    """Names of cells to their numbers, and each one's fragments.

    Parameters
    ----------
    asked
        The barcodes to look for, numbered in this order; None numbers all that come.

    Attributes
    ----------
    fragments
        int64 (cells,): of each number.
    others
        A few barcodes that were not asked for, for a message.
    """

    def __init__(self, asked: list[str] | None):
        self.number = {} if asked is None else {name: i for i, name in enumerate(asked)}
        self.fragments = np.zeros(len(self.number), dtype=np.int64)
        self.others: list[str] = []
        self._open = asked is None

    def numbers(self, barcodes: pd.Series) -> np.ndarray:
        """Return the number of each barcode, a categorical, int64; -1 where it was not asked for."""
        code, names = barcodes.cat.codes.to_numpy(), barcodes.cat.categories
        if self._open:
            number = [self.number.setdefault(name, len(self.number)) for name in names]
        else:
            number = [self.number.get(name, -1) for name in names]
            if len(self.others) < _OTHERS:
                self.others += [name for name, n in zip(names, number, strict=True) if n < 0][:_OTHERS]
        return np.array(number, dtype=np.int64)[code]

    def count(self, number: np.ndarray) -> None:
        """Add one fragment for each number given."""
        n = np.bincount(number, minlength=len(self.number))
        n[: self.fragments.size] += self.fragments
        self.fragments = n


def count_fragments(
    path: Path, places: Any, sizes: Mapping[str, int] | None, wanted: list[str] | None, least: int, way: str
) -> Counted:
    """Return counts of the cells in `wanted`, or of all barcodes of at least `least` fragments.

    Parameters
    ----------
    places
        `GenomeBins`, or what has `names`, `lengths`, `code_of` and `assign` as they do.
    sizes
        Lengths of the chromosomes, where they are known.
    way
        ``'midpoint'``, ``'overlap'`` or ``'cut_sites'``.
    """
    _check_build(path, sizes)
    ends, lengths = Ends("fragments", "chrom_sizes", sizes or {}, ENDS_CURE), places.lengths.astype(np.float64)
    pairs, cells, elsewhere, n_read = PairCounts(len(places)), Barcodes(wanted), Counter[str](), 0
    for block in fragment_blocks(path):
        n_read += len(block)
        chrom, start, end = block[CHROM].cat, block[START].to_numpy(), block[END].to_numpy()
        code = places.code_of(chrom.categories)[chrom.codes.to_numpy()]
        number = cells.numbers(block[BARCODE])
        if (code < 0).any():
            elsewhere.update(block[CHROM][code < 0].astype(str).value_counts().to_dict())
        kept = np.flatnonzero(code >= 0)
        kept = kept[ends.add(places.names, code[kept], start[kept], end[kept], lengths)]
        kept = kept[number[kept] >= 0]
        number = number[kept]
        cells.count(number)
        which, place = places.assign(code[kept], start[kept], end[kept], way)
        pairs.add(number[which], place)
    n_elsewhere = sum(elsewhere.values())
    if n_elsewhere == n_read:
        raise ChromatellError(
            f"{str(path)!r}: none of its chromosomes ({examples(elsewhere, 6)}) is among those to bin "
            f"({examples(places.names, 6)}). Is it of another species or build?"
        )
    ends.finish("they are left out")
    if n_elsewhere:
        common = ", ".join(f"{name} {n:,}" for name, n in elsewhere.most_common(4))
        logger.info("Left out %s fragments on other chromosomes: %s.", f"{n_elsewhere:,}", common)
    names = np.array(list(cells.number), dtype=object)
    if wanted is None:
        rows = _deep_enough(names, cells.fragments, least)
    else:
        _check_found(path, wanted, cells)
        rows = np.arange(len(wanted))
    obs = pd.DataFrame({N_FRAGMENTS: cells.fragments[rows]}, index=pd.Index(names[rows], dtype=object))
    return Counted(pairs.result(names.size)[rows], obs, {}, n_read, int(cells.fragments[rows].sum()))


def count_samples(
    files: Mapping[str, Path],
    places: Any,
    sizes: Mapping[str, int] | None,
    wanted: list[str] | None,
    least: int,
    way: str,
    client: Any = None,
) -> Counted:
    """Return what `count_fragments` does of several files, each by itself: cells are named ``'sample:barcode'``."""
    own: dict[str, list[str] | None] = {name: None if wanted is None else [] for name in files}
    for cell in wanted or ():
        sample, _, barcode = cell.partition(":")
        if (cells := own.get(sample)) is None:
            raise ChromatellError(
                f"barcodes: {cell!r} is of none of the samples {examples(files, 6)}. Where there are several "
                "files, write each as 'sample:barcode', the sample named as in source={'sample': path}."
            )
        cells.append(barcode)
    if empty := [name for name, cells in own.items() if cells == []]:
        raise ChromatellError(f"barcodes names no cell of {examples(empty)}. Leave these files out of source.")
    shared_places = shared(client, places)
    work = ((path, shared_places, sizes, own[name], least, way) for name, path in files.items())
    counts = list(in_order(client, count_fragments, work, settings.n_jobs))
    obs = pd.concat([c.obs.set_axis(f"{name}:" + c.obs.index) for name, c in zip(files, counts, strict=True)])
    obs[SAMPLE] = pd.Categorical(np.repeat(list(files), [len(c.obs) for c in counts]), categories=list(files))
    rows = np.arange(len(obs)) if wanted is None else obs.index.get_indexer(wanted)
    x = sp.csr_matrix(sp.vstack([c.x for c in counts], format="csr"))
    return Counted(x[rows], obs.iloc[rows], {}, sum(c.n_read for c in counts), sum(c.n_used for c in counts))


def _check_build(path: Path, sizes: Mapping[str, int] | None) -> None:
    """Raise where the comment lines of the file name another build than that of the sizes."""
    known = identify(sizes) if sizes else ""
    said = {
        build_name(b) for line in fragment_header(path) if line.startswith("reference") for b in _BUILD.findall(line)
    }
    if known and len(said) == 1 and known not in said:
        raise ChromatellError(
            f"{str(path)!r} says that it is of {said.pop()}; chrom_sizes is that of {known}. Give the right one."
        )


def _deep_enough(names: np.ndarray, fragments: np.ndarray, least: int) -> np.ndarray:
    """Return the numbers of the barcodes with enough fragments, by name."""
    rows = np.flatnonzero(fragments >= least)
    if not rows.size:
        raise ChromatellError(
            f"None of {names.size:,} barcodes has {least:,} fragments; the most is {int(fragments.max(initial=0)):,}. "
            "Lower min_fragments, or name the cells: barcodes=rna.obs_names."
        )
    return rows[np.argsort(names[rows].astype(str), kind="stable")]


def _check_found(path: Path, wanted: list[str], cells: Barcodes) -> None:
    empty = np.flatnonzero(cells.fragments == 0)
    if empty.size == len(wanted):
        hint = _suffix_hint(wanted, cells.others)
        raise ChromatellError(
            f"{str(path)!r} holds no fragment of the {len(wanted):,} cells: they look like {examples(wanted)}, its "
            f"barcodes like {examples(cells.others) or 'none of them on these chromosomes'}. "
            f"{hint or 'Take the file of the same sample.'}"
        )
    if empty.size:
        text = (
            f"{empty.size:,} of {len(wanted):,} cells have no fragment in {path.name} (such as "
            f"{examples(wanted[i] for i in empty[:4])})"
        )
        if empty.size > _MISSING * len(wanted):
            warn(f"{text}; they stay, without a count. Is it the file of all samples?")
        else:
            logger.info("%s; they stay, without a count.", text)


def _suffix_hint(wanted: list[str], others: list[str]) -> str:
    """Return the cure where the names differ in what stands before or after the barcode: a sample, or ``-1``."""
    n = Counter(core for name in others for core in _cores(name))
    own = {core: name for name in others for core in _cores(name) if n[core] == 1}  # not what names a sample
    shared = [(name, core) for name in wanted for core in _cores(name) if core in own]
    if not shared:
        return ""
    (name, core), made, example = shared[0], "", ""
    in_file = own[core]
    if _RUN.search(name):
        before, after = in_file.split(core, 1)
        made = f"rna.obs_names.str.findall(r'{_RUN.pattern}').str[0]"
        example = "".join((f"{before!r} + " if before else "", made, f" + {after!r}" if after else ""))
    return (
        f"They differ in what stands before or after the barcode alone (a sample, or '-1'; {name!r} is {in_file!r}): "
        "pass barcodes=[...] written as in the file"
        f"{f', such as barcodes=({example}).tolist()' if made else ''}, then set .obs_names of what comes back."
    )


def _cores(name: str) -> list[str]:
    """Return the bases of a barcode; of one without bases, the parts of its name."""
    match = _RUN.search(name)
    return [match[0]] if match else list(dict.fromkeys(p for p in re.split(r"[#:_\-.+/ ]", name) if p))
