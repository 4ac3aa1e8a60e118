"""Text as every release of anndata reads it: NumPy arrays of str, and categories where values are missing.

pandas 3 keeps text in a dtype of its own, which anndata writes as `nullable-string-array`: anndata before 0.11 reads no
such file, and anndata 0.12 reads it but does not write it again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from chromatell._compat import own_text_dtype, plain_axis
from chromatell._errors import ChromatellError


def is_own_dtype(dtype: Any) -> bool:
    """Return whether pandas keeps text in a dtype of its own, not in NumPy's `object`."""
    return isinstance(dtype, pd.StringDtype)


def plain_text(value: Any) -> Any:
    """Return a table, an index, an array or a dict of them with its text as `object`; itself where nothing changes.

    A column of text with missing values turns into categories, which have a code for them.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"a": pd.array(["x", None], dtype="string"), "b": [1, 2]})
    >>> [str(dtype) for dtype in plain_text(table).dtypes]
    ['category', 'int64']
    """
    if isinstance(value, pd.DataFrame):
        return _plain_table(value)
    if isinstance(value, pd.Index):
        return pd.Index(value.to_numpy(dtype=object), dtype=object, name=value.name) if _own_text(value) else value
    if isinstance(value, pd.Categorical):
        plain = plain_text(value.categories)
        return value if plain is value.categories else value.rename_categories(plain)
    if _own_text(value):
        return _of_objects(value.to_numpy(dtype=object, na_value=None))
    if isinstance(value, Mapping) and not isinstance(value, AnnData | MuData):
        new = {k: plain_text(v) for k, v in value.items()}
        return value if all(new[k] is value[k] for k in new) else new
    return value


def _plain_table(table: pd.DataFrame) -> pd.DataFrame:
    new = {i: plain_text(table.iloc[:, i].array) for i, dtype in enumerate(table.dtypes) if _holds_own(dtype)}
    index = plain_text(table.index)
    if not new and index is table.index:
        return table
    plain = table.copy(deep=False)
    for i, values in new.items():
        _put(plain, i, values)
    plain.index = index
    return plain


def _put(table: pd.DataFrame, i: int, values: Any) -> None:
    """Set a column; pandas 3 makes its own text of an array of objects, unless it comes as a series of objects."""
    plain = isinstance(values, np.ndarray) and values.dtype == object
    table.isetitem(i, pd.Series(values, dtype=object, index=table.index) if plain else values)


def _own_text(value: Any) -> bool:
    return isinstance(value, pd.Index | pd.api.extensions.ExtensionArray) and is_own_dtype(value.dtype)


def _holds_own(dtype: Any) -> bool:
    return is_own_dtype(dtype) or (isinstance(dtype, pd.CategoricalDtype) and is_own_dtype(dtype.categories.dtype))


def _of_objects(values: np.ndarray) -> np.ndarray | pd.Categorical:
    if not pd.isna(values).any():
        return values
    present = values[~pd.isna(values)]
    return pd.Categorical(values, categories=pd.Index(np.unique(present.astype(str)).astype(object), dtype=object))


def make_plain(data: MuData | AnnData) -> MuData | AnnData:
    """Give data that were just read text as `object`, and return them."""
    for table in _tables(data):  # all found first: anndata compares the dtype of an index when one is asked for
        _set(table, plain_text(table))
    for part in (data, *_mods(data)):
        plain = plain_text(part.uns)
        if plain is not part.uns:
            part.uns = plain
    return data


def check_columns(data: MuData | AnnData, where: str) -> None:
    """Raise where a table that was just read has names or categories that are no single values.

    pandas takes categories of two dimensions for tuples, and fails at them much later, with no word on the file.

    Raises
    ------
    ChromatellError
        Names the column.
    """
    for table in _tables(data):
        for i, name in enumerate(table.columns):
            column = table.iloc[:, i].array
            _check_values(
                column.categories if isinstance(column, pd.Categorical) else column, f"column {name!r}", where
            )
        _check_values(table.index, "index", where)


def _check_values(values: Any, what: str, where: str) -> None:
    if values.dtype == object or isinstance(values, pd.MultiIndex):
        odd = next((v for v in values if isinstance(v, tuple | list | bytes | np.ndarray | dict)), None)
        if odd is not None:
            raise ChromatellError(
                f"{where} has a table whose {what} holds {str(odd)[:60]!r}, a {type(odd).__name__} where text or a "
                "number is needed. The file is damaged or was made by hand: copy it again, or write it with "
                "ctl.io.write(mdata, path)."
            )


def as_this_stack(data: MuData | AnnData) -> MuData | AnnData:
    """Return data that were just read as anndata, mudata and pandas of this stack can write them again."""
    if isinstance(data, MuData):
        plain_axis(data)
    return data if own_text_dtype() else make_plain(data)


@contextmanager
def text_as_before(data: MuData | AnnData) -> Iterator[None]:
    """Make text plain for the time of writing; then the user's own object is as it was.

    The writers of anndata and mudata turn columns of text into categories in the user's own object, too.
    """
    _own_tables(data)
    own = _tables(data)
    tables = [table.copy(deep=False) for table in own]
    uns = [(part, part.uns) for part in (data, *_mods(data))]
    try:
        make_plain(data)
        yield
    finally:
        for table, before in zip(own, tables, strict=True):
            _set(table, before)
        for part, entries in uns:
            if part.uns is not entries:
                part.uns = entries


def _mods(data: MuData | AnnData) -> list[AnnData]:
    return list(data.mod.values()) if isinstance(data, MuData) else []


def _own_tables(data: MuData | AnnData) -> None:
    """Make tables of `obsm` and `varm` plain ones that are views still: so anndata's `to_memory()` leaves them."""
    for part in (data, *_mods(data)):
        for held in () if part.is_view else (part.obsm, part.varm):
            for key, value in list(held.items()):
                if isinstance(value, pd.DataFrame) and hasattr(value, "_view_args"):
                    held[key] = pd.DataFrame(value)


def _tables(data: MuData | AnnData) -> list[pd.DataFrame]:
    parts = [data, *_mods(data)]
    raws = [part.raw for part in parts if getattr(part, "raw", None) is not None]
    held = [value for part in parts for name in ("obsm", "varm") for value in getattr(part, name).values()]
    tables = [value for value in held if isinstance(value, pd.DataFrame)]
    return [*tables, *(table for part in parts for table in (part.obs, part.var)), *(raw.var for raw in raws)]


def _set(table: pd.DataFrame, wanted: pd.DataFrame) -> None:
    """Give a table, in its place, the columns and the index of another with the same names."""
    if wanted is table:
        return
    for i, (name, dtype) in enumerate(wanted.dtypes.items()):
        if i >= table.shape[1] or table.columns[i] != name:
            table[name] = wanted[name].array
        elif table.dtypes.iloc[i] != dtype:
            values = wanted.iloc[:, i].array
            _put(table, i, values.to_numpy() if pd.api.types.is_object_dtype(dtype) else values)
    if table.index is not wanted.index:
        table.index = wanted.index
