"""Checks of the user's input: each error names the object, what was found, what is needed and the cure."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import fields
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from chromatell._errors import ChromatellError as ChromatellError
from chromatell._errors import ChromatellWarning as ChromatellWarning
from chromatell._keys import ATAC, ATAC_PRED, ENTRIES, OWN_ARRAYS, OWN_COLUMNS, RNA, SPLIT, SPLITS, TRAIN
from chromatell._nearest import did_you_mean, names_there
from chromatell._nearest import examples as examples
from chromatell._settings import file_name
from chromatell._sparse import check_sparse

_REGION = re.compile(r".+[:_-][\d,]+[-_][\d,]+")
_OWN_NAMES = (RNA, ATAC, ATAC_PRED)
SWAP = "Swap them: mdata.mod['rna'], mdata.mod['atac'] = mdata.mod['atac'], mdata.mod['rna']; mdata.update()."


_heard: ContextVar[list[str] | None] = ContextVar("_heard", default=None)


def warn(message: str) -> None:
    """Warn as the package does, pointing at the line outside of it that called."""
    if (texts := _heard.get()) is not None:
        texts.append(message)
        return
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "chromatell":
        frame, level = frame.f_back, level + 1
    warnings.warn(message, ChromatellWarning, stacklevel=level)


def heard(function: Callable[..., Any], *arguments: Any) -> tuple[Any, list[str]]:
    """Return what a function returns, and the texts of its warnings, which are not given: for whoever asked for it."""
    texts: list[str] = []
    before = _heard.set(texts)
    try:
        return function(*arguments), texts
    finally:
        _heard.reset(before)


def check_writable(data: MuData | AnnData) -> None:
    """Raise where `data` is a view of cells whose matrices lie in a file: anndata and mudata let none be written."""
    if not (isinstance(data, MuData | AnnData) and data.is_view and data.isbacked):
        return
    file = file_name(data.filename or "")
    if isinstance(data, AnnData):
        raise ChromatellError(
            f"adata is a view of cells whose matrices lie in a file ({file}), and nothing can be written into such a "
            "view. Read its part of the file first: adata = adata.to_memory()."
        )
    raise ChromatellError(
        f"mdata is a view of cells whose matrices lie in a file ({file}), and nothing can be written into such a view. "
        "Give it a file of its own first: mdata = mdata.copy(filename='part.h5mu')."
    )


def check_tables(data: Any) -> None:
    """Raise, before any work, where a modality, into whose tables a verb writes, is a view of matrices in a file."""
    held = data.mod.items() if isinstance(data, MuData) else ()
    views = [name for name, adata in held if adata.is_view and adata.isbacked]
    if views:
        lines = "; ".join(f"mdata.mod[{name!r}] = mdata.mod[{name!r}].to_memory()" for name in views)
        raise ChromatellError(
            f"mdata.mod[{views[0]!r}] is a view of cells whose matrices lie in a file "
            f"({file_name(data.mod[views[0]].filename or '')}), and nothing can be written into such a view. Read its "
            f"part of the file first: {lines}."
        )


def modality(mdata: MuData, name: str) -> AnnData:
    """Return ``mdata.mod[name]``, which must be there and hold at least one cell and one variable."""
    if not isinstance(mdata, MuData):
        raise ChromatellError(
            f"Expected a MuData with modalities 'rna' and 'atac', got {type(mdata).__name__}. "
            "Make one: mdata = mudata.MuData({'rna': rna, 'atac': atac})."
        )
    if name not in mdata.mod:
        raise ChromatellError(_no_modality(mdata, name))
    adata = mdata.mod[name]
    if adata.n_obs == 0 or adata.n_vars == 0:
        raise ChromatellError(
            f"mdata.mod[{name!r}] is empty ({adata.n_obs} cells x {adata.n_vars} variables). Check the filters before "
            "this call."
        )
    unique_names(adata, name)
    return adata


def _no_modality(mdata: MuData, name: str) -> str:
    """Return that a modality is not there, and how to say which it is; by its variables where that can be told."""
    others = [n for n in sorted(mdata.mod) if n not in _OWN_NAMES]
    message = f"The MuData has no modality {name!r}; it has {names_there(sorted(mdata.mod), name, guesses=others)}."
    if name == ATAC and ATAC_PRED in mdata.mod and not others:
        return (
            f"The MuData has no modality 'atac'; {ATAC_PRED!r} is what was predicted, and measured ATAC of these cells "
            f"is needed: mdata = MuData({{'atac': measured, **mdata.mod}})."
        )
    own = next(
        (n for n, a in mdata.mod.items() if n not in _OWN_NAMES and are_regions(a.var_names) == (name == ATAC)), None
    )
    rename = f"mdata.mod[{name!r}] = mdata.mod.pop({own or 'its name'!r}); mdata.update()"
    if own is None or name not in (RNA, ATAC):
        return f"{message} Rename yours with {rename}."
    return f"{message} Name yours in the call, {name}={own!r}, or rename it: {rename}."


def called(name: str) -> str:
    """Return how the user's call names a modality, or where `name` is '' an AnnData that is by itself."""
    return f"mdata.mod[{name!r}]" if name else "adata"


def unique_names(adata: AnnData, name: str) -> None:
    """Raise where barcodes or variable names repeat; `name` is that of a modality, '' of an AnnData by itself."""
    where = called(name)
    for index, what, cure in (
        (adata.obs_names, "barcodes", "obs_names_make_unique"),
        (adata.var_names, "names of variables", "var_names_make_unique"),
    ):
        if not index.is_unique:
            repeated = index[index.duplicated()].unique()
            raise ChromatellError(
                f"{where} has {len(repeated)} repeated {what} (such as {examples(repeated)}). "
                f"They must be unique: {where}.{cure}()."
            )


def paired(mdata: MuData) -> tuple[AnnData, AnnData]:
    """Return (rna, atac), which must hold the same barcodes in the same order.

    Raises
    ------
    ChromatellError
        A modality is absent or empty, the two are swapped, a barcode repeats, they do not name the same cells in the
        same order, or a sparse matrix does not fit itself.
    """
    rna, atac = modality(mdata, RNA), modality(mdata, ATAC)
    if are_regions(rna.var_names) and not are_regions(atac.var_names):
        raise ChromatellError(
            f"mdata.mod['rna'] holds regions ({examples(rna.var_names)}) and mdata.mod['atac'] does not "
            f"({examples(atac.var_names)}): the two are swapped. {SWAP}"
        )
    if not same_names(rna.obs_names, atac.obs_names):
        shared = rna.obs_names.intersection(atac.obs_names)
        if len(shared) == rna.n_obs == atac.n_obs:
            actual = "the same barcodes in a different order"
        else:
            actual = f"{rna.n_obs} and {atac.n_obs} barcodes, {len(shared)} shared"
        raise ChromatellError(
            f"mdata.mod['rna'] and mdata.mod['atac'] must hold the same cells in the same order; found {actual}. "
            "Keep the shared cells: rna, atac = mdata.mod['rna'], mdata.mod['atac']; "
            "shared = rna.obs_names.intersection(atac.obs_names); "
            "mdata = mudata.MuData({'rna': rna[shared].copy(), 'atac': atac[shared].copy()})."
        )
    if not same_names(mdata.obs_names, rna.obs_names):
        raise ChromatellError(
            f"mdata.obs ({mdata.n_obs} cells) is not in step with its modalities ({rna.n_obs} cells), or holds them in "
            "another order. Call mdata.update(); mdata = mdata[mdata.mod['rna'].obs_names].copy()."
        )
    for adata, name in ((rna, RNA), (atac, ATAC)):
        check_sparse(adata.X, f"{called(name)}.X")
    return rna, atac


def are_regions(names: pd.Index) -> bool:
    """Return whether names are those of regions, such as ``chr1:100-600``; some hundreds of them are looked at."""
    some = [str(name) for name in names[:: max(1, len(names) // 500)]]
    return bool(some) and sum(_REGION.fullmatch(name) is not None for name in some) > 0.9 * len(some)


def same_names(a: pd.Index, b: pd.Index) -> bool:
    """Return whether two indices hold the same names in the same order, whatever their dtype: object, string, ..."""
    return len(a) == len(b) and bool((np.asarray(a, dtype=object) == np.asarray(b, dtype=object)).all())


def split_of(mdata: MuData, require: Iterable[str] = (TRAIN,)) -> np.ndarray:
    """Return ``mdata.obs['ctl_split']`` as an object array; each of `require` must be present."""
    name = "mdata" if isinstance(mdata, MuData) else "adata"
    if SPLIT not in mdata.obs:
        raise ChromatellError(f"Did not find {name}.obs[{SPLIT!r}]. Run ctl.pp.split_cells({name}) first.")
    column = mdata.obs[SPLIT]
    present = set(pd.unique(column.dropna().astype(str)))
    if column.isna().any() or not present <= set(SPLITS):
        renamed = f" If cells were renamed, carry it over: {name}.obs[{SPLIT!r}] = before.obs[{SPLIT!r}].values."
        raise ChromatellError(
            f"{name}.obs[{SPLIT!r}] must hold only 'train', 'val' and 'test'; found {sorted(present)}"
            f"{' and missing values' if column.isna().any() else ''}. Run ctl.pp.split_cells({name}) again."
            f"{'' if present else renamed}"
        )
    for part in require:
        if part not in present:
            raise ChromatellError(
                f"{name}.obs[{SPLIT!r}] holds no {part!r} cell; found {sorted(present)}. "
                f"Run ctl.pp.split_cells({name}, fractions=(0.7, 0.1, 0.2))."
            )
    return column.astype(str).to_numpy(dtype=object)


def region_split_of(atac: AnnData) -> np.ndarray:
    """Return ``atac.var['ctl_split']`` as an object array; all 'train' where regions were not split."""
    if SPLIT not in atac.var:
        return np.full(atac.n_vars, TRAIN, dtype=object)
    column = atac.var[SPLIT]
    present = set(pd.unique(column.dropna().astype(str)))
    if column.isna().any() or not present <= set(SPLITS) or TRAIN not in present:
        raise ChromatellError(
            f"mdata.mod['atac'].var[{SPLIT!r}] must hold 'train', and else only 'val' and 'test'; found "
            f"{sorted(present)}{' and missing values' if column.isna().any() else ''}. Run ctl.pp.split_regions(mdata) "
            f"again, or remove the column: del mdata.mod['atac'].var[{SPLIT!r}]."
        )
    return column.astype(str).to_numpy(dtype=object)


def column(table: pd.DataFrame, key: str, where: str) -> pd.Series:
    """Return a column of `obs` or `var`, or say which ones there are."""
    if key not in table:
        raise ChromatellError(f"Did not find {where}[{key!r}]; columns there: {names_there(table.columns, key)}.")
    return table[key]


def labelled(labels: pd.Series, key: str, of: str = "mdata") -> pd.Series:
    """Return a column of labels, which must hold one for every cell; `of` is how the user's call names the object."""
    missing = int(labels.isna().sum())
    if missing:
        where = f"{of}.obs[{key!r}]"
        raise ChromatellError(
            f"{missing} of {len(labels)} cells have no {key!r}. Give them a label of their own: "
            f"{where} = {where}.astype(object).fillna('unknown')."
        )
    return labels


def one_of(value: str, allowed: Iterable[str], argument: str) -> str:
    """Return `value`, which must be one of `allowed`."""
    allowed = list(allowed)
    if value not in allowed:
        raise ChromatellError(
            f"{argument}={value!r} is not known; choose one of {allowed}.{did_you_mean(value, allowed)}"
        )
    return value


def name_list(value: Any, argument: str) -> list[str]:
    """Return a list of names, of one name or of several; None is none of them."""
    if value is None:
        return []
    names = [value] if isinstance(value, str) else list(value) if isinstance(value, Iterable) else [value]
    if other := [name for name in names if not isinstance(name, str)]:
        raise ChromatellError(
            f"{argument}={value!r} holds {other[0]!r}, a {type(other[0]).__name__}; one name or several are needed."
        )
    return names


def in_range(value: Any, low: float, high: float, argument: str, *, whole: bool = True) -> Any:
    """Return a number as Python's own, which must lie between `low` and `high`, both included."""
    number = isinstance(value, Integral if whole else Real) and not isinstance(value, bool)
    if not number or not low <= value <= high:
        kind = "whole number" if whole else "number"
        raise ChromatellError(f"{argument}={value!r} is out of range: a {kind} from {low:,} to {high:,} is needed.")
    return int(value) if whole else float(value)


def own_types(config: Any) -> None:
    """Turn NumPy's numbers in a dataclass into Python's own, and raise where a switch is neither True nor False.

    Text such as 'False' would be taken as true, and a record in JSON holds no number of NumPy's.
    """
    for field in fields(config):
        value = getattr(config, field.name)
        if isinstance(value, np.generic):
            value = value.item()
            object.__setattr__(config, field.name, value)  # as for a frozen one
        if field.type == "bool" and not isinstance(value, bool):
            raise ChromatellError(f"{field.name}={value!r}: True or False is needed.")


def split_fractions(
    fractions: Sequence[float] | Mapping[str, float], usual: tuple[float, float, float], of: str
) -> np.ndarray:
    """Return (train, val, test) shares of cells or regions (`of`), float64 (3,); `usual` ones are the cure.

    By name, ``{'train': .8, 'test': .2}``, a part that is not named gets none.
    """
    if isinstance(fractions, Mapping):
        for name in fractions:
            one_of(name, SPLITS, "fractions")
        fractions = [fractions.get(name, 0.0) for name in SPLITS]
    numbers = all(isinstance(f, Real) and not isinstance(f, bool) for f in fractions)
    parts = np.array(fractions if numbers else [], dtype=np.float64)
    if parts.shape != (3,):
        raise ChromatellError(f"fractions={fractions!r} must be three numbers: (train, val, test), such as {usual}.")
    if not np.isfinite(parts).all() or (parts < 0).any() or abs(parts.sum() - 1) > 1e-6:
        raise ChromatellError(
            f"fractions={fractions!r} must not be negative and must sum to 1; they sum to {parts.sum():g}. Try {usual}."
        )
    if parts[0] == 0:
        raise ChromatellError(f"fractions={fractions!r} leaves no {of} to train on. Try {usual}.")
    return parts


def result_key(key: str, *own: str) -> str:
    """Return a key for ``mdata.uns['ctl']``, or say why it cannot be one; `own` is what the verb itself keeps there."""
    if store_key(key) in ENTRIES and key not in own:
        raise ChromatellError(f"key_added={key!r} is what another tool of this package writes; choose another.")
    return key


def free_entry(key: str, table: Any, where: str, *, mine: bool) -> None:
    """Raise where a verb may not write the entry `key` of the user's table: it is read elsewhere, or the user's own.

    `mine` says whether what is there under this name came from the verb.
    """
    if key in OWN_ARRAYS | OWN_COLUMNS:
        raise ChromatellError(f"{where}[{key!r}] is what other tools of this package read; choose another key_added=.")
    if key in table and not mine:
        raise ChromatellError(
            f"{where}[{key!r}] is there already, and not from this function. Choose another key_added=."
        )


def free_split(key: str, table: pd.DataFrame, where: str) -> None:
    """Raise where a split may not be written into the column `key`, other than the package's own."""
    if key != SPLIT:
        held = set(table[key].dropna().unique()) if key in table else set()
        free_entry(key, table, where, mine=held <= set(SPLITS))


def store_key(key: str) -> str:
    """Return a key that survives in `.h5mu` and `.zarr`: letters, digits, '_', '-' and '.' only."""
    plain = isinstance(key, str) and bool(key) and all(c.isalnum() and c.isascii() or c in "_-." for c in key)
    if not plain or key in (".", ".."):
        raise ChromatellError(f"key {key!r} cannot be stored; use letters, digits, '_', '-' and '.' only.")
    return key
