"""What `ism`, `attribute` and `variant_effect` share: the model, the sequences of regions, the vectors of groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd
from mudata import MuData

from chromatell._keys import ATAC, CHROM, DNA, END, RNA, START, UNS
from chromatell._nearest import names_there
from chromatell._settings import check_fits
from chromatell._validate import ChromatellError, examples, modality
from chromatell.genome.bed import read_bed
from chromatell.genome.regions import misplaced, parse_regions, region_table, unplaced
from chromatell.io._uns_store import in_modality, model_keys
from chromatell.models import load

if TYPE_CHECKING:
    from chromatell.genome.genome import Genome

Regions: TypeAlias = Sequence[str] | pd.Index | pd.DataFrame | str | Path
N = 4  # the token of an unknown base
ALL = "all"  # the one group where cells are not grouped
BASES = "ACGT"


@dataclass(frozen=True)
class Windows:
    """The sequence that the model reads of each region.

    Attributes
    ----------
    names, chrom
        (n,), object.
    start
        int64 (n,): 0-based position of the first token.
    tokens
        int8 (n, length).
    """

    names: np.ndarray
    chrom: np.ndarray
    start: np.ndarray
    tokens: np.ndarray

    def centre(self, width: int | None) -> slice:
        """Return where the central `width` bases lie, or all of them where there are not as many."""
        length = self.tokens.shape[1]
        if width is not None and (isinstance(width, bool) or not isinstance(width, int | np.integer) or width < 1):
            raise ChromatellError(
                f"window={width!r} must be a whole number of bases, such as 200, or None for the {length} that the "
                "model reads."
            )
        width = length if width is None else min(int(width), length)
        first = length // 2 - width // 2
        return slice(first, first + width)


@dataclass(frozen=True)
class Asked:
    """What a verb tells of: regions, in their central bases, and groups of cells.

    Attributes
    ----------
    model
        Trained; it reads DNA.
    windows, part
        What the model reads of each region, and the bases of it that the result holds.
    groups, vectors
        Names, and the mean vector of each one's cells, float32 (groups, K).
    """

    model: Any
    windows: Windows
    part: slice
    groups: list[str]
    vectors: np.ndarray

    @classmethod
    def read(
        cls, mdata: MuData, regions: Regions, key: str, model: Any, *, groupby: Any, cells: Any, window: Any, fasta: Any
    ) -> Asked:
        """Check what the user asked for; the result must fit into ``ctl.settings.dense_limit``."""
        model = sequence_model(mdata, key, model)
        groups, vectors = group_vectors(mdata, model, groupby, cells)
        windows = region_windows(mdata, regions, model, fasta)
        asked = cls(model, windows, windows.centre(window), groups, vectors)
        check_output(asked.shape)
        return asked

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Regions, groups, 4 letters, bases: the shape of the result."""
        return len(self.windows.names), len(self.groups), 4, self.part.stop - self.part.start

    def result(self, method: str, **arrays: np.ndarray) -> dict[str, Any]:
        """Return what is written, as plain arrays and text."""
        return {
            "regions": self.windows.names,
            "chrom": self.windows.chrom,
            "start": self.windows.start + self.part.start,
            "groups": np.array(self.groups, dtype=object),
            "tokens": self.windows.tokens[:, self.part],
            "method": method,
            **arrays,
        }


def stored_model(mdata: MuData, key: str, train: str) -> Any:
    """Return a model of `mdata`; where there is none of that name, say what is there and how to train one."""
    keys = model_keys(mdata)
    if key not in keys:
        raise ChromatellError(
            f"There is no model {key!r} in mdata.uns['ctl']['models']; there: {names_there(keys, key)}."
            f"{in_modality(mdata, key) or f' {train}, name another with key=, or give one with model=.'}"
        )
    return load(mdata, key=key)


def sequence_model(mdata: MuData, key: str, model: Any) -> Any:
    """Return a trained model that reads DNA: the one that is given, else the one that `mdata` carries."""
    if not isinstance(mdata, MuData):
        raise ChromatellError(f"Expected a MuData with modality 'rna' and a model, got {type(mdata).__name__}.")
    if model is None:
        model = stored_model(mdata, key, "Train one that reads DNA with ctl.tl.xchrom(mdata)")
    elif isinstance(model, str | Path | MuData):
        model = _load(model, key)
    if not hasattr(model, "region_vectors") or not hasattr(model, "sequence_module"):
        family = getattr(model, "family", type(model).__name__)
        raise ChromatellError(
            f"The model is of family {family!r}, which reads no DNA sequence. Train one that does, "
            "ctl.tl.xchrom(mdata), and ask for it: key='xchrom', model=None."
        )
    return model


def _load(source: Any, key: str) -> Any:
    """Return the model of a source, or, where it holds several, the one of that name."""
    try:
        return load(source)
    except ChromatellError as first:
        try:
            return load(source, key=key)
        except ChromatellError:
            raise first from None  # which says what the source holds


def group_vectors(
    mdata: MuData, model: Any, groupby: str | None, cells: Any, *, option: str = "groupby"
) -> tuple[list[str], np.ndarray]:
    """Return the groups and the mean vector of each one's cells, float32 (groups, K), at the training mean of depth.

    `option` is what the caller calls the column.
    """
    rna = modality(mdata, RNA)
    chosen = _cells(rna.obs_names, cells)
    if groupby is None:
        labels = pd.Series(ALL, index=rna.obs_names[chosen], dtype=object)
    else:
        labels = _labels(mdata, groupby, option).iloc[chosen]
    groups = [str(g) for g in sorted(pd.unique(labels.dropna()))]
    if not groups:
        raise ChromatellError(
            f"None of the {chosen.size} cells has a label in obs[{groupby!r}]. Choose other cells=, or {option}=None "
            "for their mean."
        )
    labels = labels.dropna()
    # with mdata.obs, whose batches a model may read
    source = mdata if len(labels) == rna.n_obs else mdata[labels.index]
    vectors = model.cell_vectors(source, depth="fixed")
    codes = pd.Categorical(labels[source.mod[RNA].obs_names].astype(str), categories=groups).codes
    sums = np.zeros((len(groups), vectors.shape[1]))
    np.add.at(sums, codes, np.asarray(vectors, dtype=np.float64))
    return groups, (sums / np.bincount(codes, minlength=len(groups))[:, None]).astype(np.float32)


def _labels(mdata: MuData, key: str, option: str) -> pd.Series:
    """Return a column of `obs`, by the barcodes of `rna`."""
    rna = mdata.mod[RNA]
    for obs in (mdata.obs, rna.obs, mdata.mod[ATAC].obs if ATAC in mdata.mod else rna.obs):
        if key in obs:
            values = obs[key].reindex(rna.obs_names).astype(object)
            return values.where(values.isna(), values.astype(str))
    columns = [*mdata.obs.columns, *(c for c in rna.obs.columns if c not in mdata.obs)]
    raise ChromatellError(
        f"Did not find mdata.obs[{key!r}]; columns there: {names_there(columns, key)}. Name one of them with "
        f"{option}=, or take the mean of all cells with {option}=None."
    )


def _cells(names: pd.Index, cells: Any) -> np.ndarray:
    """Return the places of the chosen cells: of a mask, or of names; all where None."""
    if cells is None:
        return np.arange(len(names))
    if isinstance(cells, pd.Series) and cells.dtype == bool and names.isin(cells.index).all():
        cells = cells.reindex(names)  # of mdata.obs, whose cells may stand in another order
    given = np.asarray([cells] if isinstance(cells, str) else cells)
    if given.dtype == bool:
        if given.shape != (len(names),):
            raise ChromatellError(f"cells= is a mask of {given.size}; mdata.mod['rna'] has {len(names)} cells.")
        chosen = np.flatnonzero(given)
    else:
        chosen = names.get_indexer(pd.Index(given.astype(str).ravel()))
        if (chosen < 0).any():
            raise ChromatellError(
                f"{int((chosen < 0).sum())} of {given.size} cells= are not in mdata.mod['rna'] (such as "
                f"{examples(given.ravel()[chosen < 0])}). Names of cells or a mask are needed."
            )
    if not chosen.size:
        raise ChromatellError("cells= chooses no cell. Leave it out for all of them.")
    return chosen


def open_genome(fasta: Any) -> Genome:
    """Return the genome of a path, or the one that was given."""
    from chromatell.genome.genome import Genome

    return fasta if isinstance(fasta, Genome) else Genome(fasta)


def region_windows(mdata: MuData, regions: Regions, model: Any, fasta: Any) -> Windows:
    """Return what a model reads of regions: those of `atac` from `varm`, others from `fasta`."""
    names, table = _named(regions)
    length, stored = model.sequence_length, token_key(model)
    atac = mdata.mod.get(ATAC)
    known = np.full(len(names), -1) if atac is None else atac.var_names.get_indexer(names)
    held = known >= 0
    chrom, middle = np.full(len(names), "", dtype=object), np.zeros(len(names), dtype=np.int64)
    if held.any():
        chrom[held], middle[held] = _middles(region_table(atac).iloc[known[held]])
    if not held.all():
        table = None if table is None else table[~held]
        chrom[~held], middle[~held] = _middles(_coordinates(names[~held], table, atac, fasta))
    tokens = np.empty((len(names), length), dtype=np.int8)
    if held.any() and stored in atac.varm:
        tokens[held] = stored_tokens(atac.varm[stored], length)[known[held]]
        unread = ~held
    else:
        unread = np.ones(len(names), dtype=bool)
    if unread.any():
        if fasta is None:
            raise no_sequence(stored)
        at = middle[unread]
        centred = pd.DataFrame({CHROM: chrom[unread], START: at, END: at + 1}, index=names[unread])
        tokens[unread] = open_genome(fasta).windows(centred, length)[0]
    empty = (tokens == N).all(axis=1)
    if empty.any():
        ends = "" if fasta is None else open_genome(fasta).length_said(str(chrom[empty][0]))
        raise ChromatellError(
            f"{int(empty.sum())} of {len(names)} regions have no known base (such as {examples(names[empty])}{ends}). "
            "Leave them out, or check that the FASTA is of their build."
        )
    return Windows(names.to_numpy(dtype=object), chrom, middle - length // 2, tokens)


def _middles(places: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    return places[CHROM].to_numpy(dtype=object), ((places[START] + places[END]) // 2).to_numpy(dtype=np.int64)


def token_key(model: Any) -> str:
    """Return the key of ``atac.varm`` under which the model found its sequences."""
    return str(getattr(model, "config", {}).get("setup", {}).get("sequence", DNA))


def no_sequence(key: str) -> ChromatellError:
    """Return the error where neither tokens nor a genome are at hand."""
    return ChromatellError(
        f"Did not find mdata.mod['atac'].varm[{key!r}]. Run ctl.pp.add_sequence(mdata, 'genome.fa') first, or name the "
        "genome: fasta='genome.fa'."
    )


def stored_tokens(tokens: Any, length: int) -> np.ndarray:
    """Return the central `length` columns of stored tokens."""
    from chromatell.models.xchrom._regions import checked_tokens

    tokens = checked_tokens(tokens, length)
    first = tokens.shape[1] // 2 - length // 2
    return tokens[:, first : first + length]


def _named(regions: Regions) -> tuple[pd.Index, pd.DataFrame | None]:
    """Return the names of what was asked for, and its table where one was given."""
    if isinstance(regions, Path) or (isinstance(regions, str) and regions.lower().endswith((".bed", ".bed.gz"))):
        regions = read_bed(Path(regions), "regions=")
    if not isinstance(regions, pd.DataFrame):
        names = pd.Index([regions] if isinstance(regions, str) else list(regions)).astype(str)
        table = None
    else:
        missing = [c for c in (CHROM, START, END) if c not in regions]
        if missing:
            raise ChromatellError(f"The table of regions lacks the columns {missing}; there: {examples(regions, 12)}.")
        table = regions[[CHROM, START, END]]
        names = pd.Index([f"{c}:{s}-{e}" for c, s, e in table.itertuples(index=False)])
        table = table.set_axis(names)
    if not len(names):
        raise ChromatellError("regions names no region; give names of mdata.mod['atac'], or 'chrom:start-end'.")
    if not names.is_unique:
        raise ChromatellError(f"regions names {examples(names[names.duplicated()])} more than once. Name each once.")
    return names, table


def _coordinates(names: pd.Index, table: pd.DataFrame | None, atac: Any, fasta: Any) -> pd.DataFrame:
    """Return the coordinates of regions that `atac` does not hold; their sequence comes from `fasta`."""
    if fasta is None:
        hint = "no mdata.mod['atac'] to look in" if atac is None else f"names there: {examples(atac.var_names)}"
        raise ChromatellError(
            f"{len(names)} regions (such as {examples(names)}) are not in mdata.mod['atac'] ({hint}). Use its names, "
            "or name the genome to read their sequence from: fasta='genome.fa'."
        )
    table = parse_regions(names) if table is None else table
    bad = misplaced(table)
    if bad.any():
        raise ChromatellError(
            f"{int(bad.sum())} of {len(table)} regions {unplaced(table[bad])}. Use names of mdata.mod['atac'], or "
            "'chrom:start-end' (0-based, half-open)."
        )
    return table


def check_output(shape: Sequence[int]) -> None:
    """Raise where a float32 result of `shape` would be above ``ctl.settings.dense_limit``."""
    check_fits(
        4 * float(np.prod(shape, dtype=np.float64)),
        f"A result of {' x '.join(map(str, shape))} float32 takes",
        "Ask for fewer regions or groups, or a smaller window.",
    )


def write_result(mdata: MuData, key: str, value: Any, *, copy: bool) -> MuData | None:
    """Write ``mdata.uns['ctl'][key]``; return the new object where a copy was asked for."""
    target = mdata.copy() if copy else mdata
    target.uns[UNS] = {**target.uns.get(UNS, {}), key: value}
    return target if copy else None


def tangermeme(module: str) -> Any:
    """Return a module of tangermeme, or say how to install it."""
    import importlib

    try:
        return importlib.import_module(f"tangermeme.{module}")
    except ModuleNotFoundError as error:
        raise ChromatellError(
            f"This needs {error.name!r}, which is not installed: pip install 'chromatell[sequence]'."
        ) from error


def one_hot_of(tokens: np.ndarray) -> Any:
    """Return int8 one-hot sequences (n, 4, length); an N is all zeros."""
    import torch

    from chromatell.nn.sequence_tower import one_hot

    return one_hot(torch.from_numpy(np.ascontiguousarray(tokens)), torch.int8)
