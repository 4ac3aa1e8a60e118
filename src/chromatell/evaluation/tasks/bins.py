"""Cells whose own open bins are read: removed bins, labels, neighbours in an embedding."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypedDict

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from mudata import MuData

from chromatell._keys import COMPLETION, EMBEDDING, LABELS, OWN_ATAC, TRAIN, VAL
from chromatell._settings import logger, settings
from chromatell._validate import ChromatellError, examples, in_range, name_list, one_of, warn
from chromatell.data.accessibility import true_depth
from chromatell.data.predictions import prediction_keys
from chromatell.evaluation.predictors import Prediction, Predictor, finite
from chromatell.evaluation.resampling import cell_weights
from chromatell.evaluation.run import Comparison, Request, Task, listed
from chromatell.evaluation.tasks.bin_cells import BinCells, reading_models, remove_bins
from chromatell.evaluation.tasks.splits import check_label_column, warn_of_confounding
from chromatell.evaluation.views.cells import LabelColumn, Labels, Neighbours, neighbour_shares
from chromatell.evaluation.views.pairs import Pairs
from chromatell.io._uns_store import model_keys
from chromatell.metrics.views import label_codes
from chromatell.models import load
from chromatell.models._trained_on import check_cells
from chromatell.models.baselines.bins import (
    COMPLETIONS,
    EMBEDDERS,
    LABELLERS,
    BinBaselines,
    LabelBaselines,
    lsi_dimensions,
    truncated,
)

BASELINES_OF = {COMPLETION: COMPLETIONS, LABELS: LABELLERS, EMBEDDING: EMBEDDERS}  # what stands beside the models
_MOST_CELLS = 10_000  # an embedding is scored on so many
_SUPERVISED = "_supervised"  # follows the name of the label that an embedding was trained with


@dataclass(frozen=True)
class RemovedBins(Pairs):
    """Cells of which some open bins were taken out; `seen`, CSR (cells, all bins), holds those that are left."""

    seen: Any = None

    def read(self, predictor: Predictor) -> Prediction:
        """Return a score of each cell and scored bin, float32, the higher the more likely removed."""
        values = predictor.predict(self.rows, self.seen)
        return Prediction(predictor.name, finite(values, predictor.name, "these pairs", "Train it again"))


class BinOptions(TypedDict, total=False):
    """Keywords of ``ctl.tl.evaluate`` that cells x bins alone have; its docstring says what each is."""

    removed: float


class BinTask(Task):
    """Cells x bins before models that read them, and baselines that read the same; what several kinds need is kept."""

    called = "cells x bins"
    own_options = tuple(BinOptions.__annotations__)

    @classmethod
    def takes(cls, data: Any, request: Request) -> bool:
        """Return whether models that read a cell's own bins are to be scored, and not what is predicted for cells."""
        wanted = set(listed(request.pairs or ()))
        own = wanted & set(OWN_ATAC)
        if isinstance(data, AnnData) or not isinstance(data, MuData):
            return isinstance(data, AnnData)
        if own and wanted - own:
            raise ChromatellError(
                f"pairs={sorted(wanted)}: {sorted(own)} are of models that read a cell's own bins, the others of "
                "predictions in mdata.mod['atac_pred']. Make two calls, the second with key_added='completion'."
            )
        if wanted or prediction_keys(data):
            return bool(own)
        reading = [key for key in model_keys(data) if load(data, key=key).reads_atac]
        if reading:
            logger.info("There is no prediction, but models that read the cells' bins (%s): these are scored.",
                        ", ".join(reading))  # fmt: skip
        return bool(reading)

    def __init__(self, data: AnnData | MuData, request: Request) -> None:
        check_label_column(data, request.labels)
        names = ("bins", "cells", "remove", "validation", "draw", "fit")
        self._streams = dict(zip(names, request.streams(len(names)), strict=True))
        self.request = request
        self.models = reading_models(data, request.models)
        self.cells = BinCells.read(data, self.models)
        self.kinds = OWN_ATAC if request.pairs is None else tuple(listed(request.pairs))
        for kind in self.kinds:
            one_of(kind, OWN_ATAC, "pairs")
        self.views = request.views_of("pairs", own_bins=True)
        self.removed = in_range(request.options.get("removed", 0.2), 0.01, 0.99, "removed", whole=False)
        self.baselines = self._asked_baselines()
        self.cols = self._scored_bins()
        self.rows, self.train, self.val = (self.cells.rows(part) for part in (request.split, TRAIN, VAL))
        self._check_cells()
        make = {COMPLETION: self._completion, LABELS: self._labels, EMBEDDING: self._embedding}
        self._made = [c for kind in OWN_ATAC if kind in self.kinds and (c := make[kind]()) is not None]
        if not self._made:
            raise ChromatellError(
                f"Nothing to score: no model among {examples(self.models) or 'none'} and no baseline for "
                f"{', '.join(self.kinds)}. Leave pairs= and baselines= out for all."
            )

    # ---- what is asked for, against what is there

    def _asked_baselines(self) -> tuple[str, ...]:
        asked = self.request.kinds_of_baselines()
        every = [kind for kinds in BASELINES_OF.values() for kind in kinds]
        if taken := [name for name in self.models if name in every]:
            given = isinstance(self.request.models, Mapping)
            it = f"models[{taken[0]!r}]" if given else f"ctl.models.load(adata, key={taken[0]!r})"
            raise ChromatellError(
                f"The model {taken[0]!r} has the name of a baseline. Name it otherwise: models={{'mine': {it}}}."
            )
        return tuple(every if asked == ["all"] else [one_of(k, every, "baselines") for k in asked])

    def _scored_bins(self) -> np.ndarray:
        """Return the places, among the bins that are read, of those that are scored."""
        regions, known = self.request.regions, self.cells.bins
        if isinstance(regions, str):
            raise ChromatellError(f"regions={regions!r}: of cells x bins, a list of names of bins is needed.")
        cols = np.arange(known.size)
        if regions is not None:
            cols = np.sort(self.cells.atac.var_names[known].get_indexer(pd.Index(name_list(regions, "regions"))))
            if not cols.size or cols[0] < 0 or np.unique(cols).size < cols.size:
                raise ChromatellError(
                    f"regions= names {len(regions)} bins, of which {int((cols < 0).sum())} are not among the "
                    f"{known.size} that are in use and known to the models, or one is named twice. Names are those of "
                    "adata.var_names."
                )
        limit = self.request.max_regions or cols.size
        if limit < cols.size:
            logger.info("Scored are %d of %d bins, drawn at random (max_regions); all are read.", limit, cols.size)
            cols = np.sort(self._stream("bins").choice(cols, limit, replace=False))
        return cols

    def _check_cells(self) -> None:
        split, data = self.request.split, self.cells.data
        if not self.rows.size:
            raise ChromatellError(
                f"obs['ctl_split'] holds no {split!r} cell. Split again with ctl.pp.split_cells(adata, "
                "fractions=(0.7, 0.1, 0.2)), before training."
            )
        name = "mdata" if isinstance(data, MuData) else "adata"
        for key, model in self.models.items():
            barcodes = self.cells.atac.obs_names[self.rows]
            check_cells(model.trained_cells, barcodes, name=key, part=split, object_name=name)
        if not self.val.size and self.baselines:
            warn(
                "There is no validation cell: baselines take usual sizes, and the best one is chosen on the scored "
                "cells themselves, which favours it. Split with some, ctl.pp.split_cells(adata, fractions=(0.7, 0.1, "
                "0.2)), before training."
            )

    @property
    def n_predictions(self) -> int:
        """Predictions of all kinds."""
        return sum(len(c.predictors) for c in self._made)

    def comparisons(self) -> Iterator[Comparison]:
        """Yield removed bins, labels, embeddings."""
        yield from self._made

    def _compared(self, kind: str, scored: Any, validation: Any, predictors: list[Predictor], views: Any) -> Comparison:
        return Comparison(kind, {"pairs": kind}, scored, validation, predictors, views, self._stream("draw"))

    # ---- shared parts

    def _stream(self, name: str) -> np.random.Generator:
        return np.random.default_rng(self._streams[name])

    def _weights(self, rows: np.ndarray) -> np.ndarray:
        request = self.request
        return cell_weights(self.cells.data, rows, request.split, request.n_bootstrap, self._stream("draw"))

    def _predictors(self, models: Mapping[str, Callable[..., Any]], kind: str, baseline: Callable[..., Any]) -> list:
        """Return models and baselines of a kind: all read the cell's own ATAC, and none is an oracle."""

        def of(name: str) -> Callable[..., Any]:
            return lambda *where: baseline(name, *where)

        of_models = [Predictor(name, predict, uses_target_assay=True) for name, predict in models.items()]
        wanted = [k for k in BASELINES_OF[kind] if k in self.baselines]
        return of_models + [Predictor(k, of(k), is_baseline=True, uses_target_assay=True) for k in wanted]

    @cached_property
    def _binarized(self) -> sp.csr_matrix:
        return self.cells.binarized(self.rows)

    @cached_property
    def _said(self) -> dict[str, tuple[np.ndarray | None, dict[str, pd.DataFrame]]]:
        """What models say of the cells, which they read whole: an embedding, and probabilities of labels, if any."""
        query = self.cells.query(self.rows, self._binarized)
        nothing: tuple[None, dict[str, pd.DataFrame]] = (None, {})
        return {
            name: model.embed_and_label(query) if model.declared.cell_columns else nothing
            for name, model in self.models.items()
        }

    @cached_property
    def _validation(self) -> tuple[np.ndarray, sp.csr_matrix, sp.csr_matrix]:
        """Validation cells, as many as one prediction may hold: places, open bins that are left, removed ones."""
        rows = self._thinned(self.val, "validation")
        return rows, *remove_bins(self.cells.binarized(rows), self.removed, self._stream("validation"))

    @cached_property
    def _fitted(self) -> BinBaselines:
        seed = int(self._streams["fit"].generate_state(1)[0])
        return BinBaselines(self.cells.binarized(self.train), self._validation[1:], seed=seed)

    def _thinned(self, rows: np.ndarray, what: str) -> np.ndarray:
        limit = max(1, settings.dense_limit // 4 // self.cols.size)
        if limit >= rows.size:
            return rows
        logger.info("Removed bins: %d of %d %s cells, drawn at random (ctl.settings.dense_limit).",
                    limit, rows.size, what)  # fmt: skip
        return np.sort(self._stream("cells").choice(rows, limit, replace=False))

    def _leave_out(self, kind: str, why: str) -> None:
        """Say why a kind of pairs is not scored; where it was asked for by name, that is an error."""
        if self.request.pairs is not None:
            raise ChromatellError(f"pairs={kind!r} cannot be scored: {why}.")
        logger.info("No scores of pairs %r: %s.", kind, why)

    # ---- removed bins

    def _completion(self) -> Comparison | None:
        names = list(self.cells.atac.var_names[self.cells.bins[self.cols]])

        def of(model: Any) -> Callable[..., np.ndarray]:
            return lambda rows, seen: np.asarray(model.predict(self.cells.query(rows, seen), regions=names))

        def baseline(kind: str, rows: np.ndarray, seen: sp.csr_matrix) -> np.ndarray:
            own = np.where(np.isin(rows, self.train), np.searchsorted(self.train, rows), -1)
            return self._fitted.predict(kind, seen, self.cols, own=own)

        predictors = self._predictors({name: of(m) for name, m in self.models.items()}, COMPLETION, baseline)
        if not predictors:
            return None
        rows = self._thinned(self.rows, self.request.split)
        binarized = self._binarized if rows.size == self.rows.size else self.cells.binarized(rows)
        scored = self._pairs(rows, *remove_bins(binarized, self.removed, self._stream("remove")), self._weights(rows))
        self._tell(scored, binarized)
        validation = None
        if self.val.size and self._validation[2].nnz:
            rows, seen, removed = self._validation
            validation = self._pairs(rows, seen, removed, np.zeros((0, rows.size), dtype=np.float32))
        return self._compared(COMPLETION, scored, validation, predictors, self.views)

    def _pairs(self, rows: np.ndarray, seen: sp.csr_matrix, removed: sp.csr_matrix, weights: np.ndarray) -> RemovedBins:
        depth = true_depth(self.cells.atac, self.request.depth_key)[rows]
        none = np.zeros((0, self.cols.size), dtype=np.float32)
        truth, left_out = removed[:, self.cols], seen[:, self.cols]
        return RemovedBins(rows, self.cols, truth, depth, None, self.request.top, weights, none, left_out, seen=seen)

    def _tell(self, scored: RemovedBins, binarized: sp.csr_matrix) -> None:
        n_open = np.diff(binarized.indptr)
        if not scored.truth.nnz:
            raise ChromatellError(
                f"removed={self.removed:g} takes no scored bin of any of the {n_open.size} {self.request.split!r} "
                f"cells (median {np.median(n_open):g} open bins; a share is rounded). Take a larger share, or cells "
                "with more open bins."
            )
        without = int((np.diff(scored.truth.indptr) == 0).sum())
        if without:
            logger.info("%d of %d cells have too few open bins to remove one: left out of per-cell scores only.",
                        without, n_open.size)  # fmt: skip
        if "depth_matched" in self.views and self.request.labels is not None:
            labels = self.cells.labels(self.request.labels)
            if labels is not None and scored.rows.size == self.rows.size:
                instead = "read the AUROC per cell beside the depth-matched one"
                warn_of_confounding(labels[self.rows], scored.depth, instead)

    # ---- labels

    def _labels(self) -> Comparison | None:
        keys = list(dict.fromkeys(key for _, tables in self._said.values() for key in tables))
        if not keys and self.models:
            self._leave_out(
                LABELS, "no model was trained with labels; train one with ctl.tl.atacformer(data, labels=...)"
            )
            return None
        scored, validation, truths = {}, {}, {}
        for key in keys or ([self.request.labels] if self.request.labels else []):
            column = self.cells.labels(key)
            if problem := self._label_problem(key, column):
                self._leave_out(LABELS, problem)
                continue
            truths[key] = truth = np.asarray(column)
            rows, val = (labelled(truth, r) for r in (self.rows, self.val))
            scored[key] = LabelColumn(rows, truth[rows].astype(str), self._weights(rows))
            if val.size:
                none = np.zeros((0, val.size), dtype=np.float32)
                validation[key] = LabelColumn(val, truth[val].astype(str), none)
        fitted: dict[str, LabelBaselines] = {}

        def baseline(kind: str, key: str, rows: np.ndarray) -> np.ndarray:
            if key not in fitted:
                known = (labelled(truths[key], rows) for rows in (self.train, self.val))
                parts = [(self.cells.binarized(r), truths[key][r].astype(str)) for r in known]
                fitted[key] = LabelBaselines(self._fitted.lsi, *parts)
            return fitted[key].predict(kind, self.cells.binarized(rows))

        def of(tables: dict[str, pd.DataFrame]) -> Callable[..., np.ndarray | None]:
            def predict(key: str, rows: np.ndarray) -> np.ndarray | None:
                if key not in tables:
                    return None
                return tables[key].idxmax(axis=1).to_numpy(dtype=str)[np.searchsorted(self.rows, rows)]

            return predict

        models = {name: of(tables) for name, (_, tables) in self._said.items() if tables}
        predictors = self._predictors(models, LABELS, baseline)
        if not scored or not predictors:
            return None
        return self._compared(LABELS, Labels(scored), Labels(validation) if validation else None, predictors, (LABELS,))

    def _label_problem(self, key: str, column: np.ndarray | None) -> str:
        """Return what a column lacks, '' where nothing; cells of labels that no training cell has are counted."""
        if column is None:
            return f"there is no column {key!r} in obs"
        seen, asked = ({column[r] for r in rows if column[r] is not None} for rows in (self.train, self.rows))
        if not asked or len(seen) < 2:
            n = sum(column[r] is not None for r in self.rows)
            return (
                f"obs[{key!r}] names {len(seen)} label in the training cells and {n} of the {self.request.split!r} "
                "cells; two labels and a cell are needed"
            )
        if asked - seen:
            new = examples(sorted(asked - seen))
            logger.info("%s: no training cell is %s; cells that are count as wrong.", key, new)
        return ""

    # ---- embedding

    def _embedding(self) -> Comparison | None:
        key = self.request.labels
        labels = None if key is None else self.cells.labels(key)
        if key is None or labels is None:
            self._leave_out(EMBEDDING, f"there is no column {key!r} in obs; name one with labels=")
            return None
        codes = label_codes(labels)[0]
        rows = self.rows[codes[self.rows] >= 0]
        if rows.size > _MOST_CELLS:
            logger.info("Embeddings: %d of %d cells, drawn at random.", _MOST_CELLS, rows.size)
            rows = np.sort(self._stream("cells").choice(rows, _MOST_CELLS, replace=False))
        if rows.size < 3 or np.unique(codes[rows]).size < 2:
            problem = f"obs[{key!r}] names {np.unique(codes[rows]).size} label in {rows.size} {self.request.split!r}"
            self._leave_out(EMBEDDING, f"{problem} cells; two labels and three cells are needed")
            return None
        views = {
            n: key + _SUPERVISED if key in tables else key for n, (z, tables) in self._said.items() if z is not None
        }
        models = {}
        for name, view in sorted(views.items(), key=lambda item: item[1] != key):  # those without labels first
            if view != key:
                logger.info("The embedding of %s was trained with %s: it stands in view %r.", name, key, view)
            models[name] = lambda rows, z=self._said[name][0]: np.asarray(z)[np.searchsorted(self.rows, rows)]

        def baseline(kind: str, rows: np.ndarray) -> np.ndarray:
            return truncated(
                self._fitted.lsi.transform(self.cells.binarized(rows), unit_length=False), self._n_lsi(codes)
            )

        predictors = self._predictors(models, EMBEDDING, baseline)
        every = tuple(sorted(set(views.values()) or {key}, key=len))
        truth = Neighbours(rows, codes[rows], self._weights(rows), views, every)
        return self._compared(EMBEDDING, truth, None, predictors, (EMBEDDING,)) if predictors else None

    def _n_lsi(self, codes: np.ndarray) -> int:
        """Return the number of components of LSI whose neighbours share most labels among the validation cells."""
        rows = self.val[codes[self.val] >= 0][:_MOST_CELLS]
        if rows.size < 3:
            return lsi_dimensions(None)
        z = self._fitted.lsi.transform(self.cells.binarized(rows), unit_length=False)
        return lsi_dimensions(lambda d: -float(neighbour_shares(truncated(z, d), codes[rows]).mean()))


def labelled(truth: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return those of the cells that have a label; `truth` holds None where there is none."""
    return rows[np.array([truth[r] is not None for r in rows], dtype=bool)]
