"""What the families that read cells share: expression in, the probability of each region out."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from chromatell._arguments import arguments
from chromatell._keys import ATAC, RNA, SPLIT, TRAIN
from chromatell._validate import ChromatellError, examples
from chromatell.data.expression import Expression
from chromatell.genome.regions import parse_regions
from chromatell.models._base import ChromatinModel
from chromatell.models._outputs import Wanted, collect
from chromatell.models._query import Query
from chromatell.models._support import expression_of

DEPTHS = ("predicted", "fixed", "observed")


class CellModel(ChromatinModel):
    """A model of cells x regions.

    A family writes `_query` and `_blocks`, too; one that takes other options in `predict` has a `predict` of its own,
    which ends with `_collected`.
    """

    @abstractmethod
    def _query(self, data: Any, regions: Any, *args: Any, **kwargs: Any) -> Query:
        """Check the cells of a query and return what `_blocks` reads of them."""

    @abstractmethod
    def _blocks(self, *args: Any, **query: Any) -> Iterator[tuple[slice, slice, np.ndarray]]:
        """Yield (rows, columns, float32 block) until every row of a query, or of a part, and column is covered."""

    @property
    def regions(self) -> pd.Index:
        """Names of the model's own regions or bins."""
        return pd.Index(self.var_names.get(ATAC, []))

    @property
    def trained_regions(self) -> pd.Index:
        """Names of the regions whose ATAC it was trained on."""
        return self.regions

    @property
    def read_regions(self) -> pd.DataFrame:
        """The regions whose ATAC it was trained or tuned on: `chrom`, `start`, `end` (-1: not known), `ctl_split`."""
        return parse_regions(self.trained_regions).assign(**{SPLIT: TRAIN})

    @arguments
    def predict(
        self,
        data: MuData | AnnData | None = None,
        *,
        regions: list[str] | pd.Index | None = None,
        depth: str = "predicted",
        depth_key: str | None = None,
        out: str | Path | None = None,
        dtype: Literal["float32", "float16"] = "float32",
        **more: Any,
    ) -> np.ndarray | Path:
        """Return the probability that each region is open in each cell.

        Parameters
        ----------
        data
            Cells with expression: an AnnData, or a MuData whose modality `rna` is read. None takes the training data.
            Genes may be in any order, with others among them.
        regions
            Names of regions, as in training; None for all.
        depth
            'predicted' from expression; 'fixed' at the training mean; 'observed', the cell's own (reads its ATAC: an
            upper bound).
        out
            Path of a Zarr store to write instead, block by block; needed above ``ctl.settings.dense_limit``.
        dtype
            Number type of the store: 'float32' or 'float16'.
        more
            `top_k`, `groups` (label of each cell) and `client`, as in ``ctl.tl.predict``.

        Returns
        -------
        numpy.ndarray, scipy.sparse.csr_matrix or pathlib.Path
            float32 (cells, regions), CSR with `top_k`, (groups, regions) with `groups`; or the path of the store, which
            holds a valid AnnData. Peak memory grows with the matrix, or, with `out`, with a block of cells x regions.
        """
        source = self._given(data)
        names = self.region_names(regions)

        def query() -> Query:
            return self._query(source, names, depth=depth, depth_key=depth_key)

        return self._collected(query, expression_of(source).obs_names, names, out, dtype, more)

    def _given(self, data: Any) -> Any:
        """Return the cells to predict: those of training where none are given."""
        self._require_trained()
        return self._adata if data is None else data

    def _collected(
        self, query: Callable[[], Query], cells: pd.Index, regions: pd.Index, out: Any, dtype: Any, more: dict[str, Any]
    ) -> Any:
        """Return or write the predictions of a query, which is asked for once they are known to fit."""
        wanted = Wanted(out, dtype, **more)
        wanted.check(len(cells), len(regions))
        return collect(self, query(), cells, regions, wanted)

    def _describe(self, data: Any) -> dict[str, Any]:
        """Return what the card says, with how far cells may lie from those of training."""
        card, read = super()._describe(data), self.read_expression
        return card if read is None or read.range is None else {**card, "out_of_range": read.range.described}

    def region_names(self, regions: Any = None) -> pd.Index:
        """Return the names of the regions that ``predict(regions=...)`` gives, or raise where it cannot."""
        names = pd.Index(self.var_names[ATAC])
        if regions is None:
            return names
        if isinstance(regions, str | Path | pd.DataFrame):
            raise ChromatellError(
                f"A {type(self).__name__} model takes regions= as a list of names. New regions, from a BED file or a "
                "table, need a model that reads sequence: XChrom."
            )
        columns = pd.Index(regions)
        if not len(columns):
            raise ChromatellError("regions= names no region. Name some, or leave regions= out for all of them.")
        missing = columns.difference(names)
        if len(missing):
            raise ChromatellError(
                f"{len(missing)} of the {len(columns)} regions are not among the {len(names)} that the model was "
                f"trained on (such as {missing[0]!r}). This family predicts the regions of its training: "
                "model.var_names['atac']."
            )
        if not columns.is_unique:
            twice = columns[columns.duplicated()]
            raise ChromatellError(f"regions= names {examples(twice)} more than once. Name each once.")
        return columns

    @property
    def read_expression(self) -> Expression | None:
        """What the model reads of a cell's expression, gene by gene; None where it reads none, or an embedding."""
        return None

    @arguments
    def out_of_range(self, data: MuData | AnnData) -> np.ndarray | None:
        """Return how far each cell lies from the training cells in what the model reads of its expression.

        Returns
        -------
        numpy.ndarray or None
            float32 (cells,), over a threshold that 5% of the validation cells exceed: above 1 a cell is out of range.
            None where the model reads no genes (an embedding of the user's, open bins), or its record is of schema 1.
        """
        expression = self.read_expression
        rna = data.mod.get(RNA) if isinstance(data, MuData) else data
        return None if expression is None or rna is None else expression.out_of_range(rna)
