"""Arrays that come from a file: their shape and type are checked before they are used."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from chromatell._validate import ChromatellError


def stored(arrays: Mapping[str, np.ndarray], name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return an array of floats of a record, which must have the given shape and be finite."""
    value = arrays[name]
    if value.shape != shape or value.dtype.kind != "f" or not np.isfinite(value).all():
        raise ChromatellError(
            f"The stored {name!r} is {value.dtype} {value.shape}; finite numbers of shape {shape} are needed. "
            "Ask for the file again."
        )
    return value


# what schema 2 stores beside an array that schema 1 has too
_SINCE_2 = {
    "scaling.depth": ("scaling.depth_range",),
    "scaling.gene_share": ("scaling.gene_loadings", "scaling.gene_noise"),
}


def check_complete(arrays: Mapping[str, np.ndarray], schema: int) -> None:
    """Raise where a record lacks what one of its schema holds; without it it would be read as an older one."""
    for name, beside in _SINCE_2.items() if schema >= 2 else ():
        for other in beside:
            if name in arrays and other not in arrays:
                raise ChromatellError(f"The model is of schema {schema} but lacks {other!r}. Ask for the file again.")


def stored_index(value: np.ndarray, limit: int, name: str) -> None:
    """Raise where a stored index points outside ``range(limit)``."""
    if value.dtype != np.int64 or (value.size and (value.min() < 0 or value.max() >= limit)):
        raise ChromatellError(f"The stored {name!r} points outside the {limit} it counts. Ask for the file again.")
