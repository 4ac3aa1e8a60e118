"""What a model reads of the cells of a query, in a form that is cut by cells: a part of it predicts alone, anywhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse as sp

from chromatell._rows import read


@dataclass(frozen=True)
class Query:
    """Arguments of a family's ``_blocks``.

    Attributes
    ----------
    by_row
        Name -> matrix or array with a row for each cell (also on disk), or None.
    shared
        Name -> what all cells have in common, such as the places of the regions.
    """

    by_row: Mapping[str, Any]
    shared: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return next(value.shape[0] for value in self.by_row.values() if value is not None)

    def part(self, rows: slice) -> dict[str, Any]:
        """Return the arguments that belong to the cells of a slice, in memory."""
        return {name: None if value is None else read(value[rows]) for name, value in self.by_row.items()}

    def parts(self, size: int) -> Iterator[slice]:
        """Yield slices of at most `size` cells."""
        for start in range(0, len(self), size):
            yield slice(start, min(start + size, len(self)))

    def first_and_last(self, n: int = 64) -> Iterator[bytes]:
        """Yield the values of the first and the last `n` cells as bytes, by which a query is known again."""
        for rows in (slice(0, n), slice(max(0, len(self) - n), len(self))):
            for name, value in sorted(self.part(rows).items()):
                yield name.encode()
                if sp.issparse(value):
                    value = sp.csr_matrix(value)
                    yield np.asarray(value.indices, dtype=np.int64).tobytes()
                    value = value.data
                if value is not None:
                    yield np.ascontiguousarray(value, dtype=np.float64).tobytes()
