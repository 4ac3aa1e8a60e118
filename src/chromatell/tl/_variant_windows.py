"""The sequence about a variant with either allele, from a genome or from windows of regions; random variants."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from chromatell._keys import CHROM, END, START, TRAIN
from chromatell._validate import ChromatellError, examples, region_split_of, warn
from chromatell.genome.regions import normalise_chrom, region_table
from chromatell.genome.sequence import ALPHABET, encode
from chromatell.tl._sequences import N, stored_tokens

if TYPE_CHECKING:
    from chromatell.genome.genome import Genome

_TRIES = 20  # random windows in which a place for a variant is sought


class VariantWindows(ABC):
    """Sequences of variants: a table with `chrom`, `pos`, `at` (0-based), `ref`, `alt` and what `place` adds.

    Parameters
    ----------
    atac
        Regions, with coordinates; None where there are none.
    length
        Bases that the model reads.
    """

    def __init__(self, atac: Any, length: int):
        self.length, self.middle = length, length // 2
        self.table = None if atac is None else region_table(atac)
        self.train = np.zeros(0, np.int64) if atac is None else np.flatnonzero(region_split_of(atac) == TRAIN)

    @abstractmethod
    def place(self, variants: pd.DataFrame) -> pd.DataFrame:
        """Return the variants that have a sequence, with `region`; raise where REF is not what the sequence holds."""

    @abstractmethod
    def pairs(self, variants: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Return the sequences with REF and with ALT, both int8 (n, length)."""

    @abstractmethod
    def context(self, variants: pd.DataFrame) -> np.ndarray:
        """Return the bases before, at and after the first base of REF, int8 (n, 3)."""

    @abstractmethod
    def random_windows(self, rows: np.ndarray) -> np.ndarray:
        """Return the windows of training regions, int8 (n, length)."""

    @abstractmethod
    def random_variant(self, row: int, place: int, like: Any) -> dict[str, Any]:
        """Return where a variant lies that is put at a place of the window of a region."""

    @abstractmethod
    def wanted(self, row: int, like: Any, rng: np.random.Generator) -> tuple[int, int, int]:
        """Return the places of a random window that may be taken, and the one near which to look."""

    def shuffled(self, variants: pd.DataFrame, n: int, rng: np.random.Generator) -> pd.DataFrame:
        """Return `n` random variants: alleles of those given, at random places with the same bases in training windows.

        A substitution is put where the bases before and after are the same, too; where a window has no such place, the
        base alone must be. An insertion or deletion of the same length is put where the first base is the same.
        """
        if not self.train.size:
            raise ChromatellError(
                "The null distribution is drawn from training regions, and mdata.mod['atac'] has none. Leave it out: "
                "n_null=0."
            )
        context, drawn = self.context(variants), []
        alleles = [(encode(r), encode(a)) for r, a in zip(variants["ref"], variants["alt"], strict=True)]
        waiting = rng.integers(len(variants), size=n)
        for _ in range(_TRIES):
            rows = rng.choice(self.train, waiting.size)
            failed = []
            for i, row, window in zip(waiting, rows, self.random_windows(rows), strict=True):
                like = variants.iloc[i]
                low, high, near = self.wanted(row, like, rng)
                ref, alt = alleles[i]
                place = _place(window, ref, context[i], low, min(high, self.length - ref.size + 1), near)
                if place < 0:
                    failed.append(i)
                    continue
                here = window[place : place + ref.size]
                same = next(
                    (k for k, (r, a) in enumerate(zip(ref, alt, strict=False)) if r != a), min(len(ref), len(alt))
                )
                new = np.concatenate([here[:same], alt[same:]])
                if (here == N).any() or np.array_equal(here, new):
                    failed.append(i)
                    continue
                drawn.append({"ref": _text(here), "alt": _text(new), **self.random_variant(int(row), place, like)})
            waiting = np.array(failed, dtype=np.int64)
            if not waiting.size:
                break
        if not drawn:
            raise ChromatellError("No training region holds a base like those of the variants. Leave it out: n_null=0.")
        return pd.DataFrame(drawn)

    def regions_at(self, variants: pd.DataFrame, table: pd.DataFrame) -> np.ndarray:
        """Return the region that holds each variant, of several the one whose middle is nearest; -1 where none."""
        regions = np.full(len(variants), -1, dtype=np.int64)
        chroms, own = normalise_chrom(variants[CHROM]).to_numpy(), normalise_chrom(table[CHROM]).to_numpy()
        at, ends = variants["at"].to_numpy(), variants["at"].to_numpy() + variants["ref"].str.len().to_numpy()
        for chrom in pd.unique(chroms):
            rows = np.flatnonzero(own == chrom)
            rows = rows[np.argsort(table[START].to_numpy()[rows], kind="stable")]
            start, end = table[START].to_numpy()[rows], table[END].to_numpy()[rows]
            if not rows.size:
                continue
            widest = int((end - start).max())
            for i in np.flatnonzero(chroms == chrom):
                near = slice(np.searchsorted(start, at[i] - widest), np.searchsorted(start, at[i], side="right"))
                holds = (start[near] <= at[i]) & (ends[i] <= end[near])
                if holds.any():
                    distance = np.abs((start[near] + end[near]) // 2 - at[i])
                    regions[i] = rows[near][np.argmin(np.where(holds, distance, np.iinfo(np.int64).max))]
        return regions

    def misfits(self, variants: pd.DataFrame, bad: np.ndarray, held: list[str], where: str) -> None:
        """Raise where REF is not what the sequence holds."""
        if not bad.any():
            return
        rows = np.flatnonzero(bad)
        shown = [
            f"{variants[CHROM].iloc[i]}:{variants['pos'].iloc[i]} REF {variants['ref'].iloc[i][:20]}, "
            f"found {held[i][:40] or 'nothing'}"
            for i in rows[:3]
        ]
        raise ChromatellError(
            f"REF of {rows.size} of {len(variants)} variants ({rows.size / len(variants):.1%}) is not what {where} "
            f"holds there ({'; '.join(shown)}{'; ...' if rows.size > 3 else ''}). About three of four differ "
            "where the build is another one, or where positions are 0-based; name them `start` then. If only few do, "
            "leave these out."
        )


class GenomeWindows(VariantWindows):
    """From a FASTA: the variant is at the centre of the window."""

    def __init__(self, genome: Genome, atac: Any, length: int):
        super().__init__(atac, length)
        self.genome = genome
        if self.table is not None:
            self.train = self.train[genome.find(self.table[CHROM])[self.train] >= 0]

    def place(self, variants: pd.DataFrame) -> pd.DataFrame:
        number = self.genome.find(variants[CHROM])
        known = number >= 0
        if not known.any():
            raise ChromatellError(
                f"{self.genome.path.name} has none of the variants' chromosomes "
                f"({examples(variants[CHROM].unique())}); it has {examples(self.genome.chromosomes, 6)}. Give the "
                "FASTA of their build."
            )
        longest = variants[["ref", "alt"]].apply(lambda c: c.str.len()).max(axis=1).to_numpy()
        keep = known & (longest <= self.middle)
        if not keep.all():
            left = variants[~keep]
            shown = examples(f"{c}:{p} {r[:10]}>{a[:10]}" for c, p, r, a in _loci(left[:4]))
            warn(
                f"{len(left)} of {len(variants)} variants are left out: {int((~known).sum())} lie on chromosomes that "
                f"{self.genome.path.name} does not have, {int((known & ~keep).sum())} have an allele of over "
                f"{self.middle} bases, half of what the model reads (such as {shown})."
            )
        names, lengths = np.array(list(self.genome.chromosomes), dtype=object), list(self.genome.chromosomes.values())
        variants = variants.assign(contig=names[number])[keep].reset_index(drop=True)
        if variants.empty:
            raise ChromatellError(f"No variant is left whose alleles have up to {self.middle} bases.")
        held = [
            _text(self.genome.fetch(c, p, p + len(r)))
            for c, p, r in zip(variants["contig"], variants["at"], variants["ref"], strict=True)
        ]
        bad = np.array([_differs(r, h) for r, h in zip(variants["ref"], held, strict=True)])
        length = np.array(lengths)[number[keep]]
        beyond = variants["at"].to_numpy() + variants["ref"].str.len().to_numpy() > length
        for i in np.flatnonzero(beyond):
            held[i] = f"the end of {variants['contig'].iloc[i]}, at {length[i]:,}"
        bad |= beyond
        self.misfits(variants, bad, held, self.genome.path.name)
        region = np.full(len(variants), "", dtype=object)
        if self.table is not None:
            rows = self.regions_at(variants, self.table)
            region[rows >= 0] = self.table.index.to_numpy(dtype=object)[rows[rows >= 0]]
        return variants.assign(region=region)

    def pairs(self, variants: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        ref = self._about(variants, self.length)
        alt = ref.copy()
        for i, (contig, place, r, a) in enumerate(_loci(variants, "contig", "at")):
            if len(r) == len(a) == 1:
                ref[i, self.middle], alt[i, self.middle] = encode(r)[0], encode(a)[0]
                continue
            around = self.genome.fetch(contig, place - self.length, place + len(r) + self.length)
            for row, allele in ((ref[i], encode(r)), (alt[i], encode(a))):
                whole = np.concatenate([around[: self.length], allele, around[self.length + len(r) :]])
                first = self.length + allele.size // 2 - self.middle  # the allele's middle is the window's
                row[:] = whole[first : first + self.length]
        return ref, alt

    def context(self, variants: pd.DataFrame) -> np.ndarray:
        return self._about(variants, 3)

    def _about(self, variants: pd.DataFrame, width: int) -> np.ndarray:
        at = variants["at"].to_numpy()
        return self.genome.windows(pd.DataFrame({CHROM: variants["contig"].array, START: at, END: at + 1}), width)[0]

    def random_windows(self, rows: np.ndarray) -> np.ndarray:
        assert self.table is not None
        return self.genome.windows(self.table.iloc[rows].reset_index(drop=True), self.length)[0]

    def wanted(self, row: int, like: Any, rng: np.random.Generator) -> tuple[int, int, int]:
        assert self.table is not None
        width = int(self.table[END].iloc[row] - self.table[START].iloc[row])
        low, high = max(0, self.middle - width // 2), min(self.length, self.middle + (width + 1) // 2)
        return low, high, int(rng.integers(low, high))

    def random_variant(self, row: int, place: int, like: Any) -> dict[str, Any]:
        assert self.table is not None
        start, end = int(self.table[START].iloc[row]), int(self.table[END].iloc[row])
        return {
            "contig": self.genome.name_of(self.table[CHROM].iloc[row]),
            "at": (start + end) // 2 - self.middle + place,
        }


class RegionWindows(VariantWindows):
    """From stored tokens: the variant lies where it does in the window of the region that is nearest."""

    def __init__(self, atac: Any, tokens: np.ndarray, length: int):
        super().__init__(atac, length)
        self.tokens, self.names = stored_tokens(tokens, length), atac.var_names
        table = region_table(atac)
        first = ((table[START] + table[END]) // 2).to_numpy() - self.middle
        self.windows = pd.DataFrame({CHROM: table[CHROM], START: first, END: first + length})

    def place(self, variants: pd.DataFrame) -> pd.DataFrame:
        changed = (variants["ref"].str.len() != variants["alt"].str.len()).to_numpy()
        if changed.any():
            shown = examples(f"{c}:{p} {r[:10]}>{a[:10]}" for c, p, r, a in _loci(variants[changed][:4]))
            raise ChromatellError(
                f"{int(changed.sum())} of {len(variants)} variants are insertions or deletions (such as {shown}), "
                "which need sequence beyond the windows of the regions. Name the genome, fasta='genome.fa', or leave "
                "them out."
            )
        row = self.regions_at(variants, self.windows)
        if not (row >= 0).any():
            raise ChromatellError(
                f"None of the {len(variants)} variants lies in the window of a region of mdata.mod['atac'] (such as "
                f"{examples(f'{c}:{p}' for c, p, _, _ in _loci(variants[:4]))}; regions such as "
                f"{examples(self.names)}). Name the genome to read any place: fasta='genome.fa'."
            )
        if (row < 0).any():
            warn(
                f"{int((row < 0).sum())} of {len(variants)} variants lie in no region's window and are left out. Name "
                "the genome to read any place: fasta='genome.fa'."
            )
        variants, row = variants[row >= 0].reset_index(drop=True), row[row >= 0]
        place = variants["at"].to_numpy() - self.windows[START].to_numpy()[row]
        variants = variants.assign(region=self.names.to_numpy(dtype=object)[row], row=row, place=place)
        held = [
            _text(self.tokens[r, p : p + len(ref)])
            for r, p, ref in zip(row, variants["place"], variants["ref"], strict=True)
        ]
        bad = np.array([_differs(r, h) for r, h in zip(variants["ref"], held, strict=True)])
        self.misfits(variants, bad, held, "the stored sequence")
        return variants

    def pairs(self, variants: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        ref = self.tokens[variants["row"].to_numpy()].copy()
        alt = ref.copy()
        for i, (place, r, a) in enumerate(zip(variants["place"], variants["ref"], variants["alt"], strict=True)):
            ref[i, place : place + len(r)], alt[i, place : place + len(r)] = encode(r), encode(a)
        return ref, alt

    def context(self, variants: pd.DataFrame) -> np.ndarray:
        padded = np.pad(self.tokens, ((0, 0), (1, 1)), constant_values=N)
        at = variants["place"].to_numpy()[:, None] + np.arange(3)
        return padded[variants["row"].to_numpy()[:, None], at]

    def random_windows(self, rows: np.ndarray) -> np.ndarray:
        return self.tokens[rows]

    def wanted(self, row: int, like: Any, rng: np.random.Generator) -> tuple[int, int, int]:
        return 0, self.length, int(like["place"])

    def random_variant(self, row: int, place: int, like: Any) -> dict[str, Any]:
        return {"row": row, "place": place}


def _place(window: np.ndarray, ref: np.ndarray, context: np.ndarray, low: int, high: int, near: int) -> int:
    """Return the place nearest to `near` whose base is REF's first, for one base also with its neighbours; or -1."""
    hits = window[low:high] == ref[0]
    if ref.size == 1:
        padded = np.concatenate([[N], window, [N]])
        hits_too = hits & (padded[low:high] == context[0]) & (padded[low + 2 : high + 2] == context[2])
        hits = hits_too if hits_too.any() else hits
    at = np.flatnonzero(hits) + low
    return int(at[np.argmin(np.abs(at - near))]) if at.size else -1


def _text(tokens: np.ndarray) -> str:
    return "".join(ALPHABET[t] for t in tokens)


def _differs(ref: str, held: str) -> bool:
    """Return whether two intervals differ at a base that both know."""
    return len(ref) != len(held) or any(r != h and "N" not in (r, h) for r, h in zip(ref, held, strict=True))


def _loci(variants: pd.DataFrame, chrom: str = CHROM, position: str = "pos") -> Any:
    return zip(variants[chrom], variants[position], variants["ref"], variants["alt"], strict=True)
