"""Tables in the `uns` of tracks, such as scores, as plain JSON: columns of text, numbers or truth values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from chromatell._validate import ChromatellError
from chromatell.io._limits import REFUSED

_TABLE = "chromatell-table"  # the key that marks one
_DTYPES = {"b": "bool", "i": "int64", "f": "float64", "O": "object"}


def pack_tables(value: Any) -> Any:
    """Return `uns` with each DataFrame as a dict of columns; NaN becomes None. The rest stays as it is.

    Examples
    --------
    >>> import pandas as pd
    >>> packed = pack_tables({"scores": pd.DataFrame({"model": ["a"], "value": [float("nan")]})})
    >>> packed["scores"]["chromatell-table"]
    [['model', 'object', ['a']], ['value', 'float64', [None]]]
    >>> unpack_tables(packed)["scores"]["value"].isna().tolist()
    [True]
    """
    if isinstance(value, pd.DataFrame):
        return {_TABLE: [_packed(str(name), value[name]) for name in value]}
    if isinstance(value, Mapping):
        return {name: pack_tables(item) for name, item in value.items()}
    return value


def _packed(name: str, column: pd.Series) -> list[Any]:
    values = column.to_numpy()
    if values.dtype.kind not in "bif":
        if not all(isinstance(item, str) for item in column):
            raise ChromatellError(
                f"A table in the `uns` of the tracks cannot be stored: its column {name!r} holds neither numbers nor "
                f"text alone. Convert it, table[{name!r}] = table[{name!r}].astype(str), or remove it."
            )
        return [name, "object", [str(item) for item in column]]
    listed = [None if isinstance(item, float) and np.isnan(item) else item for item in values.tolist()]
    return [name, _DTYPES[values.dtype.kind], listed]


def unpack_tables(value: Any) -> Any:
    """Return what `pack_tables` was given; whatever looks like a table and is none is refused."""
    if isinstance(value, dict):
        if _TABLE in value:
            return _table(value[_TABLE])
        return {name: unpack_tables(item) for name, item in value.items()}
    return value


def _table(said: Any) -> pd.DataFrame:
    kinds = {"bool": (bool,), "int64": (int,), "float64": (int, float, type(None)), "object": (str,)}
    columns: list[Any] = said if isinstance(said, list) else [None]
    fit = all(
        isinstance(c, list)
        and len(c) == 3
        and isinstance(c[0], str)
        and isinstance(c[1], str)
        and c[1] in kinds
        and isinstance(c[2], list)
        and len(c[2]) == len(columns[0][2])
        and all(type(item) in kinds[c[1]] for item in c[2])
        for c in columns
    )
    if not fit:
        raise ChromatellError(f"A table in the `uns` of these tracks is not as it is written. {REFUSED}")
    table = pd.DataFrame({name: pd.Series(items, dtype=dtype) for name, dtype, items in columns})
    return table.set_axis(pd.RangeIndex(len(table)).astype(str), axis=0)
