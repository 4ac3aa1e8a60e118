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
    "scaling.gene_share": (
        "scaling.gene_loadings",
        "scaling.gene_noise",
        "scaling.scale",
        *(f"scaling.range_{name}" for name in ("means", "factor", "log_weights", "units")),
    ),
}


def check_complete(arrays: Mapping[str, np.ndarray], schema: int) -> None:
    """Raise where a record lacks what one of its schema holds; without it it would be read as an older one."""
    for name, beside in _SINCE_2.items() if schema >= 2 else ():
        for other in beside:
            if name in arrays and other not in arrays:
                raise ChromatellError(f"The model is of schema {schema} but lacks {other!r}. Ask for the file again.")


def check_stored(arrays: Mapping[str, np.ndarray], var_names: Mapping[str, list[str]]) -> None:
    """Raise where what a record of any family holds cannot be a model: whoever makes a file can hash anything.

    Raises
    ------
    ChromatellError
        A weight or statistic that is not finite, a history that is no list of numbers, or a name that repeats.
    """
    for name, value in arrays.items():
        if name.startswith("history."):
            if value.ndim != 1 or value.dtype.kind not in "fiu":
                raise ChromatellError(
                    f"The stored {name!r} is {value.dtype} {value.shape}; a number for each epoch is needed. Ask for "
                    "the file again, or train anew."
                )
        elif value.dtype.kind == "f" and not np.isfinite(value).all():
            n = int((~np.isfinite(value)).sum())
            raise ChromatellError(
                f"The stored {name!r} holds {n} values that are NaN or infinite, of {value.size}; nothing can be "
                "predicted with them. Ask for the file again, or train anew."
            )
    for modality, names in var_names.items():
        if len(set(names)) < len(names):
            repeated = next(name for name in names if names.count(name) > 1)
            raise ChromatellError(
                f"The model names {len(names) - len(set(names))} variables of {modality!r} twice (such as "
                f"{repeated!r}). Ask for the file again, or train anew."
            )


def stored_index(value: np.ndarray, limit: int, name: str) -> None:
    """Raise where a stored index points outside ``range(limit)``."""
    if value.dtype != np.int64 or (value.size and (value.min() < 0 or value.max() >= limit)):
        raise ChromatellError(f"The stored {name!r} points outside the {limit} it counts. Ask for the file again.")
