"""What AtacFormer knows of its training cells beside the weights, and the batches that it trains on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from anndata import AnnData
from mudata import MuData
from torch import Tensor
from torch.utils.data import DataLoader

from chromatell._keys import ATAC, RNA, TRAIN, VAL
from chromatell._settings import logger
from chromatell._validate import ChromatellError, split_of
from chromatell.data.accessibility import open_matrix, selected
from chromatell.data.cell_embedding import CellEmbedding
from chromatell.data.depth import DepthModel
from chromatell.data.stored import stored
from chromatell.genome.regions import region_table
from chromatell.models.atacformer._data import (
    atac_of,
    check_labels,
    class_fractions,
    context_key,
    context_source,
    dna_table,
    label_codes,
)
from chromatell.models.atacformer._sentences import Masking, Sentences, sentence_loader
from chromatell.models.atacformer._store import vocabulary_from
from chromatell.models.atacformer._vocabulary import Vocabulary

SHRINK = np.float32(0.8)  # a predicted depth is drawn towards the mean: it is uncertain
_MIN_TOKENS = 1024  # a batch holds so many, where cells are few
_N_PCS = 32  # components of expression, where they are computed here


@dataclass
class Fitted:
    """Words, statistics and labels of the training cells.

    Attributes
    ----------
    frequency
        float64 (bins,): share of training cells in which a bin is open.
    mean_open
        Open bins of a training cell.
    labels
        Classes of each label.
    tables
        Arrays that describe the bins: 'chrom', int64 (bins,), 'dna', float32 (bins, n), and what a decoder reads.
    embedding, depth_model
        Scale of the context, and the number of open bins from it; None without a context.
    """

    vocabulary: Vocabulary
    frequency: np.ndarray
    mean_open: float
    labels: dict[str, list[str]]
    tables: dict[str, np.ndarray]
    embedding: CellEmbedding | None = None
    depth_model: DepthModel | None = None

    @classmethod
    def fit(
        cls,
        data: AnnData | MuData,
        setup: Mapping[str, Any],
        seed: int,
        *,
        decoder: str = "chromosome",
        eos: str = "inside",
    ) -> tuple[Fitted, sp.csr_matrix]:
        """Fit on training cells; nothing of the others is looked at. Return also their open bins."""
        atac = atac_of(data)
        rows, keep = np.flatnonzero(split_of(data) == TRAIN), selected(atac)
        fractions = class_fractions(atac, keep) if decoder == "region_class" else None
        classes = None if fractions is None else list(fractions.columns)
        vocabulary = Vocabulary.of_regions(region_table(atac)[keep], classes=classes, eos_inside=eos != "outside")
        binarized = open_matrix(atac, rows, keep)
        if binarized.nnz == 0:
            raise ChromatellError(
                "No bin is open in any training cell: there is nothing to learn. Check X and obs['ctl_split']."
            )
        tables = {"chrom": vocabulary.chrom}
        if fractions is not None:
            tables["region_class"] = fractions.to_numpy()
        if (dna := dna_table(atac, setup["dna_key"], keep)) is not None:
            tables["dna"] = dna
        fitted = cls(
            vocabulary=vocabulary,
            frequency=np.asarray(binarized.mean(axis=0), dtype=np.float64).ravel(),
            mean_open=float(binarized.sum() / len(rows)),
            labels=check_labels(data, setup["labels"], rows),
            tables=tables,
        )
        if setup["context"] is not None:
            source = context_source(data)
            key = context_key(data, setup["context"])
            if key is None:
                logger.info("rna.obsm['X_pca'] is not there: principal components of the training cells are computed.")
            val = np.flatnonzero(split_of(data) == VAL)
            fitted.embedding = CellEmbedding.fit(source, rows, key=key, n_pcs=_N_PCS, seed=seed, val=val)
            cells, sizes = fitted.embedding.transform(source)
            n_open = np.asarray(binarized.sum(axis=1), dtype=np.float64).ravel()
            spread = fitted.embedding.spread
            fitted.depth_model = DepthModel.fit(cells[rows], sizes[rows], n_open, spread=spread)
        return fitted, binarized

    @property
    def sizes(self) -> dict[str, Any]:
        """Fields of the network that follow the data."""
        return {
            "n_bins": self.vocabulary.n_bins,
            "n_tokens": len(self.vocabulary),
            "n_eos": self.vocabulary.n_eos,
            "n_classes": tuple(len(c) for c in self.labels.values()),
            "n_context": 0 if self.embedding is None else self.embedding.n_components,
            "n_dna": self.tables["dna"].shape[1] if "dna" in self.tables else 0,
        }

    def room(self, max_length: int) -> int:
        """Return how many bins a sentence holds."""
        return self.vocabulary.room(max_length, context=self.embedding is not None)

    def check_room(self, binarized: sp.csr_matrix, max_length: int) -> None:
        """Raise where a sentence has no room for bins, and say how many of these cells have more than fit."""
        room = self.room(max_length)
        if (cut := float((np.diff(binarized.indptr) > room).mean())) > 0:
            logger.info(
                f"{cut:.1%} of the training cells have over {room:,} open bins: a random part of these is read."
            )

    def tensors(self) -> dict[str, Tensor]:
        """Return `tables` for a module."""
        # pandas 3 hands out its own values, which must not be written to, and so does torch: those are copied
        return {
            name: torch.from_numpy(np.require(table, requirements=["C", "W"])) for name, table in self.tables.items()
        }

    def expected_open(self, context: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        """Return the number of open bins of each cell, float32 (cells,), as its context has it."""
        assert self.depth_model is not None  # there is a context
        z = SHRINK * self.depth_model.predict(context, sizes)
        return np.expm1(self.depth_model.mean + self.depth_model.sd * z).clip(0).astype(np.float32)

    def loader(
        self,
        data: AnnData | MuData,
        split: str,
        masking: Masking,
        *,
        max_length: int,
        budget: int,
        steps: int,
        seed: int,
    ) -> DataLoader | None:
        """Return the batches of one split, or None where it holds nothing: at least `steps` an epoch of training."""
        parts, atac = split_of(data), atac_of(data)
        rows = np.flatnonzero(parts == split)
        if rows.size == 0:
            return None
        dataset = Sentences(
            open_matrix(atac, rows, selected(atac)),
            self.vocabulary,
            room=self.room(max_length),
            frequency=self.frequency,
            context=None if self.embedding is None else self.embedding.transform(context_source(data))[0][rows],
            labels=label_codes(data, self.labels, rows),
            masking=masking,
        )
        total = (self.mean_open + dataset.special) * (parts == TRAIN).sum()
        budget = int(min(budget, max(_MIN_TOKENS, total / steps)))
        return sentence_loader(dataset, budget, shuffle=split == TRAIN, seed=seed)

    def class_weights(self, data: AnnData | MuData) -> list[Tensor | None]:
        """Return weights of the classes of each label: one over their number of cells, 1 on average over cells."""
        codes = label_codes(data, self.labels, np.flatnonzero(split_of(data) == TRAIN))
        weights: list[Tensor | None] = []
        for column, classes in zip([] if codes is None else codes.T, self.labels.values(), strict=True):
            count = np.bincount(column[column >= 0], minlength=len(classes))
            weight = count.sum() / (len(classes) * np.maximum(count, 1))
            weights.append(torch.from_numpy(weight.astype(np.float32)))
        return weights

    # ---- the record

    @property
    def var_names(self) -> dict[str, list[str]]:
        """Names of the bins, and of the genes that a context is computed from (none where a query brings it)."""
        genes = [] if self.embedding is None else list(map(str, self.embedding.genes))
        return {RNA: genes, ATAC: list(map(str, self.vocabulary.bins))}

    def plain(self) -> dict[str, Any]:
        """Return what is not an array, for a record's configuration."""
        return {
            "labels": self.labels,
            "chroms": list(self.vocabulary.chroms),
            "eos_names": list(self.vocabulary.eos_names),
            "embedding": None if self.embedding is None else self.embedding.plain(),
        }

    def arrays(self) -> dict[str, np.ndarray]:
        """Return statistics and tables as plain arrays."""
        arrays = {"scaling.frequency": self.frequency, "scaling.mean_open": np.array([self.mean_open])}
        arrays |= {f"bins.{name}": table for name, table in self.tables.items()}
        if self.embedding is not None and self.depth_model is not None:
            arrays |= self.embedding.arrays() | self.depth_model.arrays()
        return arrays

    @classmethod
    def from_record(
        cls, config: Mapping[str, Any], var_names: Mapping[str, list[str]], arrays: Mapping[str, np.ndarray]
    ) -> Fitted:
        """Return it from a record; shapes and values are checked."""
        genes, bins = pd.Index(var_names[RNA]), pd.Index(var_names[ATAC])
        vocabulary = vocabulary_from(bins, config, arrays)
        n_context, embedding, depth_model = int(config["network"]["n_context"]), None, None
        if config["embedding"] is not None:
            embedding = CellEmbedding.from_plain(config["embedding"], genes, n_context, arrays)
            depth_model = DepthModel.from_arrays(n_context, arrays)
        return cls(
            vocabulary=vocabulary,
            frequency=stored(arrays, "scaling.frequency", (len(bins),)),
            mean_open=float(stored(arrays, "scaling.mean_open", (1,))[0]),
            labels={str(k): [str(v) for v in classes] for k, classes in config["labels"].items()},
            tables={k.removeprefix("bins."): v for k, v in arrays.items() if k.startswith("bins.")},
            embedding=embedding,
            depth_model=depth_model,
        )
