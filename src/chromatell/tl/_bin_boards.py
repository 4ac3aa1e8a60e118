"""The boards of `tl.evaluate` on cells x bins: removed bins, labels, an embedding, each beside what must be beaten."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd
import scipy.sparse as sp
from mudata import MuData

from chromatell._keys import COMPLETION, EMBEDDING, LABELS, TRAIN, VAL
from chromatell._settings import logger, settings
from chromatell._validate import ChromatellError, examples, warn
from chromatell.data.accessibility import true_depth
from chromatell.metrics.views import label_codes
from chromatell.models._base import ChromatinModel
from chromatell.models._bin_baselines import COMPLETIONS, EMBEDDERS, LABELLERS, BinBaselines, cut, fit_labels
from chromatell.models._trained_on import check_cells
from chromatell.tl._bin_cells import BinCells, remove_bins
from chromatell.tl._bin_scores import Removed, curves, embedding_scores, label_scores, neighbour_shares
from chromatell.tl._evaluate_cells import warn_of_confounding
from chromatell.tl._evaluation_pairs import cell_weights
from chromatell.tl._evaluation_scores import Scores
from chromatell.tl._evaluation_tables import best_baselines, evaluation_table, gain_table

BASELINES_OF = {COMPLETION: COMPLETIONS, LABELS: LABELLERS, EMBEDDING: EMBEDDERS}  # what stands beside the models
_DIMENSIONS = (5, 10, 20, 30, 50)  # of LSI as an embedding
_MOST_CELLS = 10_000  # of an embedding
_SUPERVISED = "_supervised"  # follows the name of the label that an embedding was trained with


@dataclass(frozen=True)
class How:
    """What the user asked for, checked."""

    split: str
    kinds: tuple[str, ...]
    asked: bool  # for these kinds by name
    views: tuple[str, ...]
    label: str | None
    removed: float
    n_bootstrap: int
    top: int
    depth_key: str | None
    baselines: tuple[str, ...]
    cols: np.ndarray  # places of the scored bins among those that are read


@dataclass
class Board:
    """Scores of models and baselines on one kind of pairs, and of baselines on the validation cells."""

    scores: dict[str, Scores] = field(default_factory=dict)
    validation: dict[str, Scores] = field(default_factory=dict)
    curves: dict[str, object] | None = None

    def tables(self, split: str, kind: str) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return scores and gains; all read the cell's own ATAC."""
        baselines = {name for name in self.scores if name in BASELINES_OF[kind]}
        candidates = self.validation or {name: self.scores[name] for name in baselines}
        return (
            evaluation_table(self.scores, baselines, set(self.scores), split, kind),
            gain_table(self.scores, baselines, best_baselines(candidates), split, kind),
        )


class Task:
    """The cells of a split before models and baselines; what several kinds of pairs need is made once."""

    def __init__(
        self, cells: BinCells, models: Mapping[str, ChromatinModel], how: How, streams: Sequence[np.random.SeedSequence]
    ) -> None:
        self.cells, self.models, self.how = cells, models, how
        self.rows, self.train, self.val = (cells.rows(part) for part in (how.split, TRAIN, VAL))
        if not self.rows.size:
            raise ChromatellError(
                f"obs['ctl_split'] holds no {how.split!r} cell. Split again with ctl.pp.split_cells(adata, "
                "fractions=(0.7, 0.1, 0.2)), before training."
            )
        name = "mdata" if isinstance(cells.data, MuData) else "adata"
        for key, model in models.items():
            barcodes = cells.atac.obs_names[self.rows]
            check_cells(model.trained_cells, barcodes, name=key, part=how.split, object_name=name)
        self._streams = dict(zip(("cells", "remove", "validation", "draw", "fit"), streams, strict=True))
        if not self.val.size and how.baselines:
            warn(
                "There is no validation cell: baselines take usual sizes, and the best one is chosen on the scored "
                "cells themselves, which favours it. Split with some, ctl.pp.split_cells(adata, fractions=(0.7, 0.1, "
                "0.2)), before training."
            )

    def board(self, kind: str) -> Board | None:
        """Return the scores of a kind of pairs; None where there is nothing to score."""
        return {COMPLETION: self._completion, LABELS: self._labels, EMBEDDING: self._embedding}[kind]()

    # ---- shared parts

    def _rng(self, name: str) -> np.random.Generator:
        return np.random.default_rng(self._streams[name])

    @cached_property
    def _seed(self) -> int:
        return int(self._streams["fit"].generate_state(1)[0])

    def _weights(self, rows: np.ndarray) -> np.ndarray:
        return cell_weights(self.cells.data, rows, self.how.split, self.how.n_bootstrap, self._rng("draw"))

    def _kinds(self, among: Mapping[str, str]) -> list[str]:
        return [k for k in among if k in self.how.baselines]

    @cached_property
    def _opened(self) -> sp.csr_matrix:
        return self.cells.opened(self.rows)

    @cached_property
    def _said(self) -> dict[str, tuple[np.ndarray | None, dict[str, pd.DataFrame]]]:
        """What each model says of the cells, which it reads whole: an embedding, and probabilities of labels."""
        query = self.cells.query(self.rows, self._opened)
        return {name: model.embed_and_label(query) for name, model in self.models.items()}

    @cached_property
    def _validation(self) -> tuple[np.ndarray, sp.csr_matrix, sp.csr_matrix]:
        """Validation cells, as many as one prediction may hold: places, open bins that are left, removed ones."""
        rows = self._thinned(self.val, "validation")
        return rows, *remove_bins(self.cells.opened(rows), self.how.removed, self._rng("validation"))

    @cached_property
    def _fitted(self) -> BinBaselines:
        _, seen, removed = self._validation
        return BinBaselines(self.cells.opened(self.train), (seen, removed), seed=self._seed)

    def _thinned(self, rows: np.ndarray, what: str) -> np.ndarray:
        limit = max(1, settings.dense_limit // 4 // self.how.cols.size)
        if limit >= rows.size:
            return rows
        logger.info("Removed bins: %d of %d %s cells, drawn at random (ctl.settings.dense_limit).",
                    limit, rows.size, what)  # fmt: skip
        return np.sort(self._rng("cells").choice(rows, limit, replace=False))

    # ---- removed bins

    def _completion(self) -> Board | None:
        how, kinds = self.how, self._kinds(COMPLETIONS)
        if not self.models and not kinds:
            return None
        board = Board()
        rows = self._thinned(self.rows, how.split)
        opened = self._opened if rows.size == self.rows.size else self.cells.opened(rows)
        seen, removed = remove_bins(opened, how.removed, self._rng("remove"))
        scored = self._removed(rows, seen, removed, self._weights(rows))
        self._tell(scored, opened)
        query, names = self.cells.query(rows, seen), self.cells.atac.var_names[self.cells.bins[how.cols]]
        makers: dict[str, Callable[[], np.ndarray]] = {
            name: lambda model=model: np.asarray(model.predict(query, regions=list(names)))  # type: ignore[misc]
            for name, model in self.models.items()
        }
        own = np.where(np.isin(rows, self.train), np.searchsorted(self.train, rows), -1)
        for kind in kinds:
            makers[kind] = lambda kind=kind: self._fitted.predict(kind, seen, how.cols, own=own)  # type: ignore[misc]
        for name, make in makers.items():
            board.scores[name] = scored.score(_finite(make(), name), how.views)
        if self.models and self.val.size:
            rows, seen, removed = self._validation
            tuning = self._removed(rows, seen, removed, np.zeros((0, rows.size), dtype=np.float32))
            for kind in kinds if removed.nnz else []:
                board.validation[kind] = tuning.score(self._fitted.predict(kind, seen, how.cols), how.views)
        board.curves = curves(board.scores, scored)
        return board

    def _removed(self, rows: np.ndarray, seen: sp.csr_matrix, removed: sp.csr_matrix, weights: np.ndarray) -> Removed:
        depth = true_depth(self.cells.atac, self.how.depth_key)[rows]
        return Removed(seen[:, self.how.cols], removed[:, self.how.cols], depth, self.how.top, weights)

    def _tell(self, scored: Removed, opened: sp.csr_matrix) -> None:
        n_open = np.diff(opened.indptr)
        if not scored.removed.nnz:
            raise ChromatellError(
                f"removed={self.how.removed:g} takes no scored bin of any of the {n_open.size} {self.how.split!r} "
                f"cells (median {np.median(n_open):g} open bins; a share is rounded). Take a larger share, or cells "
                "with more open bins."
            )
        without = int((np.diff(scored.removed.indptr) == 0).sum())
        if without:
            logger.info("%d of %d cells have too few open bins to remove one: left out of per-cell scores only.",
                        without, n_open.size)  # fmt: skip
        if "depth_matched" in self.how.views and self.how.label is not None:
            found = self.cells.labels(self.how.label)
            rows = self.rows
            if found is not None and scored.depth.size == rows.size:
                warn_of_confounding(found[rows], scored.depth, "read the AUROC per cell beside the depth-matched one")

    # ---- labels

    def _labels(self) -> Board | None:
        keys = list(dict.fromkeys(key for _, tables in self._said.values() for key in tables))
        board = Board()
        for key in keys or ([self.how.label] if self.how.label and not self.models else []):
            problem = self._of_label(board, key)
            if problem:
                self._leave_out(LABELS, problem)
        if not keys and self.models:
            self._leave_out(LABELS, "no model was trained with labels; train one with ctl.tl.atacformer(labels=...)")
        return board if board.scores else None

    def _of_label(self, board: Board, key: str) -> str:
        """Add the scores of one column; return what is missing, '' where nothing is."""
        found = self.cells.labels(key)
        if found is None:
            return f"there is no column {key!r} in obs"
        known = np.array([v is not None for v in found])
        rows, train, val = (r[known[r]] for r in (self.rows, self.train, self.val))
        if not rows.size or len(set(found[train])) < 2:
            return (
                f"obs[{key!r}] names {len(set(found[train]))} label in the training cells and {rows.size} of the "
                f"{self.how.split!r} cells; two labels and a cell are needed"
            )
        new = sorted(set(found[rows]) - set(found[train]))
        if new:
            logger.info("%s: no training cell is %s; cells that are count as wrong.", key, examples(new))
        weights, here = self._weights(rows), known[self.rows]
        truth = found[rows].astype(str)
        for name, (_, tables) in self._said.items():
            if key in tables:
                guess = tables[key].idxmax(axis=1).to_numpy(dtype=str)[here]
                label_scores(board.scores.setdefault(name, Scores()), key, truth, guess, weights)
        none = np.zeros((0, val.size), dtype=np.float32)
        opened = [(self.cells.opened(r), found[r].astype(str)) for r in (train, val)]
        for kind in self._kinds(LABELLERS):
            guess_of = fit_labels(kind, self._fitted.lsi, opened[0], opened[1])
            guess = guess_of(self._opened[here])
            label_scores(board.scores.setdefault(kind, Scores()), key, truth, guess, weights)
            if val.size:
                into = board.validation.setdefault(kind, Scores())
                label_scores(into, key, opened[1][1], guess_of(opened[1][0]), none)
        return ""

    # ---- embedding

    def _embedding(self) -> Board | None:
        key, found = self.how.label, None if self.how.label is None else self.cells.labels(self.how.label)
        if key is None or found is None:
            self._leave_out(EMBEDDING, f"there is no column {key!r} in obs; name one with labels=")
            return None
        codes = label_codes(found)[0]
        here = np.flatnonzero(codes[self.rows] >= 0)
        if here.size > _MOST_CELLS:
            logger.info("Embeddings: %d of %d cells, drawn at random.", _MOST_CELLS, here.size)
            here = np.sort(self._rng("cells").choice(here, _MOST_CELLS, replace=False))
        rows = self.rows[here]
        if here.size < 3 or np.unique(codes[rows]).size < 2:
            problem = f"obs[{key!r}] names {np.unique(codes[rows]).size} label in {here.size} {self.how.split!r} cells"
            self._leave_out(EMBEDDING, f"{problem}; two labels and three cells are needed")
            return None
        board, weights = Board(), self._weights(rows)
        views = {
            name: key + _SUPERVISED if key in tables else key
            for name, (z, tables) in self._said.items()
            if z is not None
        }
        for name, view in sorted(views.items(), key=lambda item: item[1] != key):  # those without labels first
            if view != key:
                logger.info("The embedding of %s was trained with %s: it stands in view %r.", name, key, view)
            z = np.asarray(self._said[name][0])[here]
            embedding_scores(board.scores.setdefault(name, Scores()), view, z, codes[rows], weights)
        for kind in self._kinds(EMBEDDERS):
            z = cut(self._fitted.lsi.transform(self._opened[here], unit_length=False), self._n_lsi(codes))
            for view in sorted(set(views.values()) or {key}, key=len):
                embedding_scores(board.scores.setdefault(kind, Scores()), view, z, codes[rows], weights)
        return board if board.scores else None

    def _n_lsi(self, codes: np.ndarray) -> int:
        """Return the number of components of LSI whose neighbours share most labels among the validation cells."""
        rows = self.val[codes[self.val] >= 0][:_MOST_CELLS]
        if rows.size < 3:
            return 30
        z = self._fitted.lsi.transform(self.cells.opened(rows), unit_length=False)
        found = [float(neighbour_shares(cut(z, d), codes[rows]).mean()) for d in _DIMENSIONS]
        logger.debug("Baseline lsi: label shares %s with %s components.", np.round(found, 3), _DIMENSIONS)
        return _DIMENSIONS[int(np.argmax(found))]

    def _leave_out(self, kind: str, why: str) -> None:
        """Say why a kind of pairs is not scored; where it was asked for by name, that is an error."""
        if self.how.asked:
            raise ChromatellError(f"pairs={kind!r} cannot be scored: {why}.")
        logger.info("No scores of pairs %r: %s.", kind, why)


def _finite(values: np.ndarray, name: str) -> np.ndarray:
    values = np.ascontiguousarray(values, dtype=np.float32)
    if not np.isfinite(values).all():
        raise ChromatellError(
            f"{name!r} predicts NaN or infinite values for {int((~np.isfinite(values)).sum())} pairs. Train it again, "
            "or leave it out: models=[...]."
        )
    return values
