"""What AtacFormer reads of an AnnData or a MuData: open bins, labels, context, DNA."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from mudata import MuData

from chromatell._keys import ATAC, REGION_CLASS_FRACTION, RNA, TRAIN, X_PCA
from chromatell._nearest import names_there
from chromatell._settings import logger
from chromatell._validate import ChromatellError, examples, modality, name_list, paired, split_of, warn
from chromatell._values import expressed, nonnegative
from chromatell.data.accessibility import open_matrix, selected
from chromatell.data.cell_embedding import embedding_of, is_scaled
from chromatell.genome.regions import has_coordinates, normalise_chrom, parse_regions, region_table
from chromatell.models._support import type_of

FLOOR = 0.1  # share of the model's bins that a query must hold
_CLIP = 20.0  # numbers of a bin's DNA beyond it, in units of the table's size, are not believed
_FEW = 10  # classes of a label that may be as many as there are cells


def atac_of(data: Any) -> AnnData:
    """Return the cells x bins."""
    if isinstance(data, MuData):
        return modality(data, ATAC)
    if not isinstance(data, AnnData):
        raise ChromatellError(
            f"AtacFormer reads an AnnData of cells x bins, or a MuData with 'atac'; got {type_of(data)}."
        )
    return data


def context_source(data: Any) -> AnnData:
    """Return what the context is read from: `rna` where it is there, else the AnnData itself."""
    if isinstance(data, MuData):
        return data.mod[RNA] if RNA in data.mod else modality(data, ATAC)
    return atac_of(data)


def check_cells(data: AnnData | MuData) -> AnnData:
    """Return the cells x bins, which must be there, be counts or binary, and match `rna` where that is there."""
    atac = paired(data)[1] if isinstance(data, MuData) and RNA in data.mod else atac_of(data)
    nonnegative(atac, ATAC if isinstance(data, MuData) else "")
    return atac


def set_up(family: Any, data: AnnData | MuData, setup_args: dict[str, Any]) -> None:
    """Check what a model is to read of `data`, and register it."""
    from chromatell.models._scvi import register_bins

    atac = check_cells(data)
    rows = np.flatnonzero(split_of(data) == TRAIN)
    keep = selected(atac)
    if not keep.any():
        cure = "Run ctl.pp.select_features(mdata)"
        cure = cure if isinstance(data, MuData) else "Take all of them: del adata.var['ctl_selected']"
        raise ChromatellError(f"var['ctl_selected'] selects no bin. {cure}.")
    region_table(atac)
    names = list(check_labels(data, setup_args["labels"], rows))
    if setup_args["context"] is not None:
        context_key(data, setup_args["context"])
    dna_table(atac, setup_args["dna_key"], keep)
    register_bins(family, data, {**setup_args, "labels": names})


def label_column(data: AnnData | MuData, key: str) -> pd.Series:
    """Return a column of labels as text, NaN where a cell has none; from the bins' `obs`, else that of the MuData."""
    atac = atac_of(data)
    tables = [atac.obs, *([data.obs] if isinstance(data, MuData) else [])]
    for table in tables:
        if key in table:
            column = table[key].reindex(atac.obs_names)
            return column.astype(object).where(column.notna(), None).map(str, na_action="ignore")
    present = dict.fromkeys(str(c) for table in tables for c in table.columns)
    raise ChromatellError(f"labels: did not find {key!r} in obs; columns there: {names_there(present, key)}.")


def written_name(label: str, key: str) -> str:
    """Return the name under which the classes of a label, and their probabilities, are written."""
    return "".join(c if c.isalnum() or c in "_.-" else "_" for c in f"{label}_{key}")  # '/' nests in a file


def check_labels(data: AnnData | MuData, labels: str | Sequence[str] | None, rows: np.ndarray) -> dict[str, list[str]]:
    """Return the classes of each label, as the training cells at `rows` have them."""
    classes_of = {}
    for key in name_list(labels, "labels"):
        classes = sorted(label_column(data, key).iloc[rows].dropna().unique())
        if len(classes) < 2:
            raise ChromatellError(
                f"labels: obs[{key!r}] has {len(classes)} class ({examples(classes) or 'none'}) in the training cells; "
                "two or more are needed to tell them apart. Leave it out, or name another column."
            )
        labelled = int(label_column(data, key).iloc[rows].notna().sum())
        if len(classes) > max(_FEW, labelled / 2):
            raise ChromatellError(
                f"labels: obs[{key!r}] has {len(classes):,} classes ({examples(classes)}) in {labelled:,} training "
                "cells: these are no names of groups. Name another column, such as 'cell_type'."
            )
        classes_of[key] = classes
    written = {key: written_name(key, "") for key in classes_of}
    alike = [key for key, name in written.items() if list(written.values()).count(name) > 1]
    if alike:
        raise ChromatellError(
            f"labels: what is said of {examples(alike)} would be written under one name, of which letters, digits, '_' "
            "'.' and '-' are kept. Rename one of these columns."
        )
    return classes_of


def label_codes(data: AnnData | MuData, classes: Mapping[str, list[str]], rows: np.ndarray) -> np.ndarray | None:
    """Return int64 (cells, labels), -1 where a cell has no label or one that the training cells lack."""
    if not classes:
        return None
    codes = [pd.Categorical(label_column(data, k).iloc[rows], categories=c).codes for k, c in classes.items()]
    return np.column_stack(codes).astype(np.int64)


def context_key(data: AnnData | MuData, context: str) -> str | None:
    """Return the key of `obsm` to read, or None where components of expression are to be computed."""
    source = context_source(data)
    if not isinstance(context, str):
        raise ChromatellError(f"context={context!r}: the name of one key of obsm is needed, such as 'X_pca'.")
    if context in source.obsm:
        embedding_of(source, context)
        return context
    if context == X_PCA and isinstance(data, MuData) and RNA in data.mod:
        if not is_scaled(source):
            nonnegative(source, RNA, smoothed=True)
            expressed(source)
        return None
    where = "rna" if isinstance(data, MuData) and RNA in data.mod else "adata"
    raise ChromatellError(
        f"context: did not find {where}.obsm[{context!r}]; there: {names_there(source.obsm, context)}. Name "
        "one of them, or, with expression in mod['rna'], context='X_pca', which is computed where it is not there."
    )


def dna_table(atac: AnnData, key: str | None, columns: np.ndarray) -> np.ndarray | None:
    """Return ``varm[key]`` of the bins in use, float32 (bins, n), of mean square 1; None without a key.

    All of it is divided by one number, so that leading components stay larger than those of noise, and a bin of zeros,
    whose sequence is not known, keeps them.

    Raises
    ------
    ChromatellError
        It is not there, or holds no finite numbers.
    """
    if key is None:
        return None
    if key not in atac.varm:
        present = names_there(atac.varm, key)
        raise ChromatellError(
            f"dna_key: did not find varm[{key!r}] of the bins; there: {present}. Make one: "
            "ctl.pp.embed_sequence(data, 'genome.fa')."
        )
    table = np.asarray(atac.varm[key])[columns]
    if table.ndim != 2 or not table.shape[1] or table.dtype.kind not in "fiu" or not np.isfinite(table).all():
        raise ChromatellError(f"varm[{key!r}] is {table.dtype} {table.shape}; finite numbers, bins x n, are needed.")
    size = float(np.sqrt(np.square(table, dtype=np.float64).mean()))
    return np.clip(table / (size or 1), -_CLIP, _CLIP).astype(np.float32)


def class_fractions(atac: AnnData, columns: np.ndarray) -> pd.DataFrame:
    """Return ``varm['region_class_fraction']`` of the bins in use, float32 (bins, classes).

    Raises
    ------
    ChromatellError
        It is not there, names no class, or holds what is no share.
    """
    where = f"varm[{REGION_CLASS_FRACTION!r}]"
    if REGION_CLASS_FRACTION not in atac.varm:
        raise ChromatellError(
            f"decoder='region_class' reads the classes of the bins from {where}, which is not there. Run "
            "ctl.pp.annotate_regions(data, annotation) first, or take decoder='chromosome'."
        )
    table = atac.varm[REGION_CLASS_FRACTION]
    names = [str(c) for c in table.columns] if isinstance(table, pd.DataFrame) else []
    if not names or len(set(names)) < len(names):
        raise ChromatellError(
            f"{where} is {type_of(table)} with the classes {names}; a table with a column for each class is needed. "
            "Run ctl.pp.annotate_regions(data, annotation) again."
        )
    values = table.apply(pd.to_numeric, errors="coerce").to_numpy(dtype=np.float32)[columns]
    check_fractions(values)
    return pd.DataFrame(values, index=atac.var_names[columns].astype(str), columns=names)


def check_fractions(values: np.ndarray) -> None:
    """Raise where shares of bins in classes are not between 0 and 1."""
    if not (np.isfinite(values).all() and (values >= 0).all() and (values <= 1 + 1e-4).all()):
        raise ChromatellError(
            "varm['region_class_fraction'] holds values that are no shares between 0 and 1. Run "
            "ctl.pp.annotate_regions(data, annotation) again."
        )


def _by_coordinates(atac: AnnData, bins: pd.Index) -> np.ndarray:
    """Return where each bin of a query lies among the model's, int64, -1 for nowhere; say so where any does.

    Names that are coordinates come first, then the columns of `var`.
    """
    ours, theirs = parse_regions(bins), parse_regions(atac.var_names)
    places = np.full(atac.n_vars, -1)
    if (theirs["start"] < 0).any() and has_coordinates(atac).all():
        theirs = region_table(atac)
    if (ours["start"] < 0).any() or (theirs["start"] < 0).any():
        return places
    own, asked = (
        pd.MultiIndex.from_arrays([normalise_chrom(t["chrom"]), t["start"], t["end"]]) for t in (ours, theirs)
    )
    if own.is_unique and asked.is_unique:
        places = own.get_indexer(asked)
    if (first := np.flatnonzero(places >= 0)).size:
        logger.info(
            "The query's bins are found by their coordinates: %s is the model's %s.",
            *(examples([x]) for x in (atac.var_names[first[0]], bins[places[first[0]]])),
        )
    return places


def align(atac: AnnData, bins: pd.Index, name: str = ATAC) -> sp.csr_matrix:
    """Return the open bins of a query in the model's order, CSR (cells, model's bins); a bin it lacks is closed.

    `name` is that of the modality in which the user has the cells, '' of an AnnData by itself.

    Bins are found by name, or where hardly one is, by coordinates: others write 'chr1-0-500', or '1:0-500'.

    Raises
    ------
    ChromatellError
        The query holds under a tenth of the model's bins.
    """
    nonnegative(atac, name)
    place = bins.get_indexer(atac.var_names.astype(str))
    if (place >= 0).sum() < max(1, FLOOR * len(bins)):
        place = _by_coordinates(atac, bins)
    known = np.flatnonzero(place >= 0)
    if len(known) < max(1, FLOOR * len(bins)):
        raise ChromatellError(
            f"The query holds {len(known)} of the model's {len(bins):,} bins (the model's: {examples(bins, 2)}; the "
            f"query's: {examples(atac.var_names, 2)}); a tenth at least is needed. Are they of the same genome build, "
            "bin size and way of naming? Count the same bins: "
            "query = ctl.pp.bin_genome('fragments.tsv.gz', bins=model.regions)."
        )
    if len(known) < 0.5 * len(bins):
        warn(f"The query holds {len(known):,} of the model's {len(bins):,} bins; the others are taken as closed.")
    elif len(known) < len(bins):
        logger.info(f"The query holds {len(known):,} of the model's {len(bins):,} bins; the others count as closed.")
    x = open_matrix(atac) if len(known) == atac.n_vars else open_matrix(atac, cols=known)
    x = sp.csr_matrix((x.data, place[known][x.indices], x.indptr), shape=(atac.n_obs, len(bins)))
    x.sort_indices()
    return x
