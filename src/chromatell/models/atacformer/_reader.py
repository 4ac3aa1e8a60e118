"""Whole cells read by a trained module, block by block: embeddings, labels, probabilities of bins."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from mudata import MuData

from chromatell._keys import ATAC, RNA, X_ATACFORMER
from chromatell._validate import ChromatellError
from chromatell.data.cells import row_blocks
from chromatell.models._support import observed_atac
from chromatell.models.atacformer._batch import SentenceBatch
from chromatell.models.atacformer._data import align, atac_of, context_source, written_name
from chromatell.models.atacformer._fitted import Fitted
from chromatell.models.atacformer._module import AtacFormerModule
from chromatell.models.atacformer._sentences import Sentences
from chromatell.models.atacformer._vocabulary import Vocabulary

CELLS, TOKENS = 512, 65_536  # read at a time, at most
COLUMNS = 4096  # bins of a block
_GRID = 262_144  # cells x bins decoded in one go: what the decoder holds of them fits the cache


@dataclass
class Reader:
    """Cells of a query in the words of a model.

    Attributes
    ----------
    binarized
        CSR (cells, bins), or None for empty sentences.
    context
        float32 (cells, n_context), or None.
    sizes
        float32 (cells, s): log library size and the like of the expression behind the context, or None.
    """

    module: AtacFormerModule
    vocabulary: Vocabulary
    room: int
    binarized: sp.csr_matrix | None
    context: np.ndarray | None
    sizes: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.binarized is None:
            assert self.context is not None  # a model without a context always reads sentences
            self.binarized = sp.csr_matrix((len(self.context), self.vocabulary.n_bins), dtype=np.float32)
        self.sentences = Sentences(
            self.binarized, self.vocabulary, room=self.room, frequency=np.zeros(0), context=self.context
        )

    def __len__(self) -> int:
        return len(self.sentences)

    @property
    def by_row(self) -> dict[str, Any]:
        """What is read of each cell, by name."""
        return {"binarized": self.binarized, "context": self.context, "sizes": self.sizes}

    @property
    def n_open(self) -> np.ndarray:
        """Open bins of each cell, float32."""
        return self.sentences.n_open.astype(np.float32)

    @property
    def of_context(self) -> tuple[np.ndarray, np.ndarray]:
        """The context of each cell, and the sizes of the expression behind it."""
        assert self.context is not None and self.sizes is not None  # noqa: PT018  # asked only where there is one
        return self.context, self.sizes

    def cells(self) -> tuple[np.ndarray, list[np.ndarray]]:
        """Return `<cls>` of each cell, float32 (cells, d), and the probabilities of each label's classes."""
        c = self.module.config
        cls = np.empty((len(self), c.d), dtype=np.float32)
        labels = [np.empty((len(self), n), dtype=np.float32) for n in c.n_classes]
        with torch.inference_mode():
            for rows in self._row_blocks():
                for part in self._by_length(rows):
                    encoded = self.module.encode(self._batch(part))
                    cls[part] = encoded.cls.float().cpu().numpy()
                    for out, logits in zip(labels, self.module.label_logits(encoded), strict=True):
                        out[part] = logits.softmax(dim=1).cpu().numpy()
        return cls, labels

    def probabilities(self, bins: np.ndarray, looked_for: np.ndarray) -> Iterator[tuple[slice, slice, np.ndarray]]:
        """Yield (rows, columns, block) of the probability that each bin, were it not seen, is open.

        Parameters
        ----------
        bins
            int64 (columns,): places of the bins in the vocabulary.
        looked_for
            float32 (cells,): open bins beyond those of the sentence.
        """
        device = next(self.module.parameters()).device
        token = torch.from_numpy(bins.astype(np.int64)).to(device)
        for rows in self._row_blocks():
            with torch.inference_mode():
                encoded = [(part, batch, self.module.encode(batch)) for part, batch in self._batches(rows)]
            for cols in row_blocks(len(bins), COLUMNS):
                block = np.empty((rows.stop - rows.start, cols.stop - cols.start), dtype=np.float32)
                with torch.inference_mode():
                    for part, batch, state in encoded:
                        n = torch.from_numpy(looked_for[part]).to(device)
                        p = self.module.probability(state, token[cols], batch.n_seen, n)
                        block[part - rows.start] = p.float().cpu().numpy()
                yield rows, cols, block

    def _batch(self, rows: np.ndarray) -> SentenceBatch:
        return self.sentences[rows, [0]].to(next(self.module.parameters()).device)

    def _batches(self, rows: slice) -> Iterator[tuple[np.ndarray, SentenceBatch]]:
        for part in self._by_length(rows):
            yield part, self._batch(part)

    def _row_blocks(self) -> Iterator[slice]:
        """Yield rows in order: at most `CELLS` of them, and no more than `TOKENS` (or one cell)."""
        end = np.cumsum(self.sentences.n_open + self.sentences.special)
        start = 0
        while start < len(end):
            before = end[start - 1] if start else 0
            stop = max(start + 1, min(start + CELLS, int(np.searchsorted(end, before + TOKENS, side="right"))))
            yield slice(start, stop)
            start = stop

    def _by_length(self, rows: slice) -> Iterator[np.ndarray]:
        """Yield the rows in parts of similar length, which one grid of cells x bins can take."""
        order = rows.start + np.argsort(self.sentences.n_open[rows], kind="stable")
        for part in row_blocks(len(order), max(1, _GRID // COLUMNS)):
            yield order[part]


def open_reader(module: AtacFormerModule, fitted: Fitted, data: Any, *, sentence: bool, max_length: int) -> Reader:
    """Return a reader of the cells of a query: of their own bins (with the context, if any), or of the context alone.

    Raises
    ------
    ChromatellError
        The bins or the context are not there, or there is no context to read alone.
    """
    if fitted.embedding is None and not sentence:
        raise ChromatellError(
            "sentence=False reads the context alone, and this model was trained without one. Train with one, "
            "AtacFormer.setup_mudata(mdata, context='X_pca'), or leave sentence= out."
        )
    whole = isinstance(data, MuData)
    binarized = align(atac_of(data), fitted.vocabulary.bins, ATAC if whole else "") if sentence else None
    context = sizes = None
    if fitted.embedding is not None:
        context, sizes = fitted.embedding.transform(context_source(data), RNA if whole else "")
    return Reader(module.eval(), fitted.vocabulary, fitted.room(max_length), binarized, context, sizes)


def looked_for(fitted: Fitted, reader: Reader, data: Any, *, read: bool, depth: str) -> np.ndarray:
    """Return how many open bins are looked for in each cell, beyond those of its sentence, float32 (cells,).

    Parameters
    ----------
    read
        Whether the sentence holds the cell's own bins: then as many again, or the training mean.
    depth
        'predicted' from the context, 'fixed' at the training mean, 'observed', the cell's own.
    """
    if depth == "fixed":
        return np.full(len(reader), fitted.mean_open, dtype=np.float32)
    if read:
        return reader.n_open
    if depth == "predicted":
        return fitted.expected_open(*reader.of_context)
    return np.diff(align(observed_atac(data), fitted.vocabulary.bins).indptr).astype(np.float32)


def named_columns(
    key: str, embedding: np.ndarray, tables: dict[str, pd.DataFrame]
) -> tuple[dict[str, pd.Categorical], dict[str, np.ndarray]]:
    """Return embedding and labels under the names by which they are written: columns of `obs`, arrays of `obsm`."""
    obs = {}
    obsm = {X_ATACFORMER if key == "atacformer" else f"X_{key}": embedding}
    for label, table in tables.items():
        name = written_name(label, key)
        probability = table.to_numpy()
        obs[name] = pd.Categorical.from_codes(probability.argmax(axis=1), categories=list(table.columns))
        obsm[name] = probability
    return obs, obsm
