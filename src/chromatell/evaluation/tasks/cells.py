"""Cells whose regions are predicted: new cells, new regions, or both, in `atac_pred` or in stores beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, TypedDict

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from scipy.stats import false_discovery_control

from chromatell._keys import (
    ATAC_PRED,
    AUROC,
    AUROC_DEPTH_MATCHED,
    GAIN,
    INPUT_GAINS,
    OWN_ATAC,
    PREDICTABLE,
    TRAIN,
    VAL,
)
from chromatell._settings import logger, settings
from chromatell._validate import ChromatellError, check_tables, examples, one_of, paired, region_split_of, warn
from chromatell.data.accessibility import open_matrix, true_depth
from chromatell.data.predictions import check_cells_in_order, predicted_regions, prediction_keys
from chromatell.evaluation.predictors import (
    Predictor,
    fitted_predictor,
    inputs_of,
    refuse_trained,
    stored_predictor,
)
from chromatell.evaluation.resampling import cell_weights, region_weights
from chromatell.evaluation.run import Compared, Comparison, Request, Task, listed
from chromatell.evaluation.tables import ALL, KIND, input_gains
from chromatell.evaluation.tasks.splits import (
    CROSS_BOTH,
    CROSS_CELL,
    CROSS_REGION,
    CROSS_SAMPLE,
    HELD_OUT,
    KINDS,
    Block,
    asked_regions,
    beside_matched,
    check_label_column,
    labels_or_none,
    read_splits,
    thinned,
    warn_of_confounding,
)
from chromatell.evaluation.views.pairs import Pairs
from chromatell.evaluation.views.registry import score_by_view, view_names
from chromatell.genome.motifs import Motifs
from chromatell.metrics.delong import paired_auroc_test
from chromatell.models.baselines.cells import (
    BASELINES,
    SEQUENCE_BASELINES,
    UNSEEN,
    BaselineFitter,
)

_PLACES = {CROSS_CELL: 0, CROSS_SAMPLE: 0, CROSS_REGION: 1, CROSS_BOTH: 2}
_FALSE_DISCOVERY = 0.05
_CHOSEN_ON = 2_000  # cells on which the best baseline is chosen
_TRAINING_REGIONS = frozenset(KINDS) - frozenset(HELD_OUT)


class CellOptions(TypedDict, total=False):
    """Keywords of ``ctl.tl.evaluate`` that cells alone have; its docstring says what each is."""

    motifs: Motifs


class CellTask(Task):
    """Cells x regions: stored predictions beside baselines of expression and, for held-out regions, of sequence."""

    called = "cells"
    own_options = tuple(CellOptions.__annotations__)
    _ridges: Mapping[str, Predictor] = {}  # what `input_gains` compares; none where expression alone is read

    @classmethod
    def takes(cls, data: Any, request: Request) -> bool:
        """Return whether predictions for cells are scored: of a MuData, unless models of its bins are asked for."""
        return isinstance(data, MuData) and not (set(listed(request.pairs or ())) & set(OWN_ATAC))

    def __init__(self, data: MuData, request: Request) -> None:
        if isinstance(request.models, Mapping):
            raise ChromatellError(
                "models= as a dict is for cells x bins; here it names stored predictions. Store what you have, and "
                "name it: ctl.tl.add_prediction(mdata, values, key='mine'); ctl.tl.evaluate(mdata, models=['mine'])."
            )
        check_tables(data)
        check_label_column(data, request.labels)
        self.mdata, self.request = data, request
        self._seed = settings.resolve_seed(request.seed)
        self._read_regions(paired(data)[1])
        self._read_views()
        self._read_pairs()
        cols = np.concatenate([b.cols for b in (*self._blocks.values(), *self._chosen_on.values())])
        self.predictors = [*self._stored, *self._baselines(np.unique(cols))]
        self._own: Compared | None = None
        self._gain: tuple[np.ndarray, np.ndarray] | None = None

    # ---- what is asked for, against what is there

    def _read_regions(self, atac: AnnData) -> None:
        mdata = self.mdata
        self.regions = predicted_regions(mdata)
        check_cells_in_order(mdata)
        unknown = self.regions[~self.regions.isin(atac.var_names)]
        if len(unknown):
            raise ChromatellError(
                f"{len(unknown)} of {len(self.regions)} predicted regions (such as {examples(unknown)}) are not in "
                "mdata.mod['atac'], so their truth is not known. Predict its regions: del "
                "mdata.mod['atac_pred'], then ctl.tl.dense(mdata)."
            )
        self.atac = atac
        self.places = atac.var_names.get_indexer(self.regions)
        split = region_split_of(atac)[self.places]
        self.splits = read_splits(mdata, self.regions, split, self.request.split, self.request.labels)
        self.depth = true_depth(atac, self.request.depth_key)

    def _read_views(self) -> None:
        views, of_labels = self.request.views_of("pairs"), set(view_names("pairs", needs="labels"))
        self.labels = labels_or_none(self.mdata, self.request.labels) if set(views) & of_labels else None
        if self.labels is None and self.request.labels is not None and set(views) & of_labels:
            logger.info("No column %r in obs: views %s are left out; name one with labels=.",
                        self.request.labels, ", ".join(v for v in views if v in of_labels))  # fmt: skip
        self.views = tuple(v for v in views if self.labels is not None or v not in of_labels)

    def _read_pairs(self) -> None:
        request = self.request
        places = asked_regions(self.mdata, self.regions, request.regions)
        kinds = self._kinds(only_cells=request.regions is not None)
        self._stored = self._stored_predictors()
        self.kinds = self._scorable(kinds)
        if not set(self.kinds) <= {CROSS_REGION}:  # whose cells are training cells
            cells = self.mdata.obs_names[self.splits.cells == request.split]
            for predictor in self._stored:
                refuse_trained(self.mdata, predictor.name, cells, request.split)
        # two streams a kind, the same for a kind whichever others are scored
        streams = request.streams(2 * (max(_PLACES.values()) + 2))
        self._rng = {k: [np.random.default_rng(s) for s in streams[2 * _PLACES[k] :][:2]] for k in self.kinds}
        self._blocks = {
            k: thinned(self.splits.block(k, request.split, places), k, request.max_regions, self._rng[k][0])
            for k in self.kinds
        }
        if not all(b.cols.size for b in self._blocks.values()):
            raise ChromatellError(
                "All regions asked for are held out (mdata.mod['atac'].var['ctl_split']); regions= takes training "
                "regions. Score the held-out ones with pairs='cross-region' or 'cross-both'."
            )
        self._chosen_on = {k: self._validation_block(k, self._blocks[k]) for k in self.kinds}

    def _kinds(self, *, only_cells: bool) -> list[str]:
        """Return the kinds of pairs to score; `only_cells` where regions were named, which suits one of them alone."""
        pairs, split = self.request.pairs, self.request.split
        if only_cells and pairs is None:
            return [self.splits.cell_kind]
        kinds = self.splits.kinds(pairs, split)
        if only_cells and set(kinds) & set(HELD_OUT):
            raise ChromatellError(
                f"regions= scores some of the training regions, and pairs={pairs!r} needs held-out ones. Leave one of "
                "the two out."
            )
        if not kinds:
            raise ChromatellError(
                f"None of the {len(self.regions)} predicted regions is a training region, and there is no cell or "
                f"region that is {split!r}. Split again: ctl.pp.split_cells(mdata), ctl.pp.split_regions(mdata)."
            )
        return kinds

    def _scorable(self, kinds: list[str]) -> list[str]:
        """Return the kinds for which there is a prediction, and say which predictions are left out of some."""
        without = [p.name for p in self._stored if p.reads_region_atac]
        held_out = [k for k in kinds if k in HELD_OUT]
        if not held_out or not without:
            return kinds
        if len(without) < len(self._stored):
            logger.info("Has read the held-out regions' ATAC, or was made with another split: not scored in %s: %s.",
                        ", ".join(held_out), ", ".join(without))  # fmt: skip
            return kinds
        if self.request.pairs is not None:
            raise ChromatellError(
                f"pairs={held_out[0]!r} needs a prediction that has not read the ATAC of the held-out regions; "
                f"{examples(without)} has, or was made with another split, or does not say. Train one with "
                "ctl.tl.xchrom(mdata), or predict again after ctl.pp.split_regions(mdata)."
            )
        logger.info("No prediction was made without the held-out regions' ATAC: %s not scored.", ", ".join(held_out))
        return [k for k in kinds if k not in HELD_OUT]

    def _validation_block(self, kind: str, block: Block) -> Block:
        """Return the pairs on which the best baseline is chosen: those scored, with 'val' in place of the split.

        Where there are more than 2,000 cells, 2,000 are drawn at random.
        """
        validation = self.splits.block(kind, VAL, np.arange(len(self.regions)))
        rows = block.rows if kind == CROSS_REGION else validation.rows
        if rows.size > _CHOSEN_ON:
            rows = np.sort(np.random.default_rng(self._seed).choice(rows, _CHOSEN_ON, replace=False))
        if kind not in HELD_OUT:
            return Block(rows, block.cols)
        return thinned(Block(rows, validation.cols), kind, self.request.max_regions, self._rng[kind][0])

    # ---- predictors

    def _stored_predictors(self) -> list[Predictor]:
        names = prediction_keys(self.mdata) if self.request.models is None else listed(self.request.models)
        return [stored_predictor(self.mdata, name, _TRAINING_REGIONS) for name in dict.fromkeys(names)]

    def _baselines(self, cols: np.ndarray) -> list[Predictor]:
        """Return the baselines asked for beside the stored predictions; `cols` are all regions that are scored."""
        asked = self.request.kinds_of_baselines()
        if not asked:
            return []
        if not (self.splits.cells == TRAIN).any():
            raise ChromatellError(
                "Baselines are fitted on training cells, and mdata.obs['ctl_split'] holds no 'train' cell. Give the "
                "whole mdata, or score the predictions alone: ctl.tl.evaluate(mdata, baselines=None)."
            )
        key = self.request.labels
        if key is not None and self.labels is None and labels_or_none(self.mdata, key) is None:
            key = None

        def fitter_of(inputs: Sequence[str]) -> BaselineFitter:
            return BaselineFitter(
                self.mdata,
                self.regions[cols],
                labels_key=key,
                depth_key=self.request.depth_key,
                seed=self._seed,
                motifs=self.request.options.get("motifs"),
                inputs=inputs,
                views=self.views,
            )

        fitter = fitter_of(self.inputs)
        every = asked == ["all"]
        # on training regions the sequence baselines are far below svd_ridge: shown where they are asked for
        seen = [k for k in fitter.available() if k not in SEQUENCE_BASELINES] if every else asked
        unseen = fitter.available(held_out=True) if every else [k for k in seen if k in UNSEEN]
        wanted = list(dict.fromkeys([*seen, *unseen]))
        if len(self.inputs) > 1:
            fitters = {ALL: fitter} | {n: fitter_of([m for m in self.inputs if m != n]) for n in self.inputs[1:]}
            self._ridges = {name: fitted_predictor(f, KIND, cols) for name, f in fitters.items()}
        if every:
            wanted.sort(key=list(BASELINES).index)
        predictors = [self._baseline(fitter, kind, cols, kind in seen, kind in unseen) for kind in wanted]
        return [p for p in predictors if p is not None]

    def _baseline(
        self, fitter: BaselineFitter, kind: str, cols: np.ndarray, seen: bool, unseen: bool
    ) -> Predictor | None:
        """Return one baseline, fitted when it is first asked; None where a stored one has its name."""
        one_of(kind, BASELINES, "baselines")
        stored = {p.name: p for p in self._stored}.get(kind)
        if stored is not None and not stored.is_baseline:
            raise ChromatellError(
                f"The prediction {kind!r} in mdata.mod['atac_pred'] has the name of a baseline. Name it otherwise: "
                f"mdata.mod['atac_pred'].layers['mine'] = mdata.mod['atac_pred'].layers.pop({kind!r})."
            )
        if stored is not None:
            return None
        if not unseen and all(name in HELD_OUT for name in self.kinds):
            raise ChromatellError(
                f"baselines={kind!r} knows a region by its ATAC, which is held out in the pairs {self.kinds}. "
                f"Choose among {', '.join(UNSEEN)}, or baselines='all'."
            )

        among = (_TRAINING_REGIONS if seen else frozenset()) | (frozenset(HELD_OUT) if unseen else frozenset())
        return fitted_predictor(fitter, kind, cols, reads_region_atac=not unseen, among=among)

    @cached_property
    def inputs(self) -> list[str]:
        """Modalities that the scored predictions read, `rna` first; the baselines read the same."""
        return inputs_of(self.mdata, [p.name for p in self._stored])

    # ---- comparisons

    @property
    def n_predictions(self) -> int:
        """Predictions of all kinds of pairs."""
        return sum(p.stands_in(k) for p in self.predictors for k in self.kinds)

    def comparisons(self) -> Iterator[Comparison]:
        """Yield the kinds of pairs."""
        for kind in self.kinds:
            here = [p for p in self.predictors if p.stands_in(kind)]
            rng = self._rng[kind][1]
            scored = self._pairs(kind, self.request.split, self._blocks[kind], rng)
            if kind == self.kinds[0] and set(self.views) & set(view_names("pairs", needs="depth")):
                warn_of_confounding(scored.labels, scored.depth, beside_matched(scored.labels))
            yield Comparison(kind, {"pairs": kind}, scored, self._validation(kind, here), here, self.views, rng)

    def _validation(self, kind: str, here: Sequence[Predictor]) -> Pairs | None:
        """Return the pairs on which the best baseline is chosen; None, with a warning, where there are none."""
        if all(p.is_baseline for p in here) or not any(p.may_be_best for p in here):
            return None
        block = self._chosen_on[kind]
        problem = ""
        if block.rows.size and block.cols.size:
            try:
                return self._pairs(kind, VAL, block, None)
            except ChromatellError:
                problem = "no pair that can be ranked in the validation cells"
        else:
            problem = "no validation region" if block.rows.size else "no validation cell"
        warn(
            f"There is {problem}: the best baseline is chosen on the scored {kind} pairs themselves, and regions are "
            "not tested. Split again with ctl.pp.split_cells(mdata, fractions=(0.7, 0.1, 0.2))"
            f"{', ctl.pp.split_regions(mdata)' if kind in HELD_OUT else ''}."
        )
        return None

    def _pairs(self, kind: str, part: str, block: Block, rng: np.random.Generator | None) -> Pairs:
        """Return the pairs of a block with their truth; with `rng`, as for the scored ones, the resamples."""
        rows, cols = block.rows, block.cols
        truth = open_matrix(self.atac, rows, self.places[cols])
        if truth.nnz == 0 or truth.nnz == truth.shape[0] * truth.shape[1]:
            raise ChromatellError(
                f"In the {rows.size} {TRAIN if kind == CROSS_REGION else part!r} cells "
                f"{'no' if truth.nnz == 0 else 'every'} one of the {cols.size} predicted regions is open (pairs "
                f"{kind!r}): nothing can be ranked. Split again with more cells, ctl.pp.split_cells(mdata, "
                "fractions=(0.6, 0.1, 0.3), seed=1), or select other regions, ctl.pp.select_features(mdata)."
            )
        silent = int((np.diff(truth.indptr) == 0).sum())
        if silent and rng is not None:
            logger.info("%d of %d cells have no open region: left out of per-cell scores only.", silent, rows.size)
        by_cell = np.zeros((0, rows.size), dtype=np.float32)
        by_region = np.zeros((0, cols.size), dtype=np.float32)
        n = 0 if rng is None else self.request.n_bootstrap
        if n and rng is not None:
            if kind != CROSS_REGION:
                by_cell = cell_weights(self.mdata, rows, part, n, rng.spawn(1)[0])
            if kind in HELD_OUT:
                by_region = region_weights(self.atac, self.places[cols], n, rng.spawn(1)[0])
        labels = None if self.labels is None else self.labels[rows]
        return Pairs(rows, cols, truth, self.depth[rows], labels, self.request.top, by_cell, by_region)

    # ---- columns of the model in X

    @cached_property
    def _x_key(self) -> str:
        return prediction_keys(self.mdata)[0]

    def collect(self, compared: Compared) -> None:
        """Keep what is found of training regions in new cells: columns are about these."""
        if compared.comparison.name == self.splits.cell_kind:
            self._own = compared

    def finish(self) -> dict[str, pd.DataFrame]:
        """Test which regions are predictable; return what each input adds, where there are several."""
        if self._own is None:
            return {}
        own = self._own.comparison
        if own.validation is not None:
            every = Block(np.flatnonzero(self.splits.cells == VAL), self._blocks[own.name].cols)
            pairs = self._pairs(own.name, VAL, every, None)
            self._gain = predictable(self._own, pairs, self._x_key)
        if not self._ridges:
            return {}
        scores = {name: score_by_view(own.scored, ridge, own.views) for name, ridge in self._ridges.items()}
        return {INPUT_GAINS: input_gains(scores, own.scored.of, self.request.split, own.name)}

    def write(self, data: MuData) -> None:
        """Write the metrics columns of the model in `X`; those that were not computed this time are removed."""
        pred = data.mod.get(ATAC_PRED)
        if self._own is None or pred is None or self.request.regions is not None:
            return
        pairs: Any = self._own.comparison.scored
        scores = self._own.scores.get(self._x_key)
        curves, columns = ({}, {}) if scores is None else (scores.curves, scores.columns)
        gain, passed = (None, None) if self._gain is None else self._gain

        def put(table: pd.DataFrame, name: str, where: np.ndarray, values: Any, fill: float | bool) -> None:
            if values is None:
                if name in table:
                    del table[name]
                return
            full = np.full(len(table), fill)
            full[where] = values
            table[name] = full

        put(pred.obs, AUROC, pairs.rows, curves.get("per_cell"), np.nan)
        put(pred.var, AUROC, pairs.cols, curves.get("per_region"), np.nan)
        put(pred.var, AUROC_DEPTH_MATCHED, pairs.cols, columns.get("depth_matched"), np.nan)
        put(pred.var, GAIN, pairs.cols, gain, np.nan)
        put(pred.var, PREDICTABLE, pairs.cols, passed, False)


def predictable(compared: Compared, pairs: Pairs, x_key: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the gain of each region, and whether it stands up to a false-discovery rate of 5%; on validation cells."""
    by_name = {p.name: p for p in compared.comparison.predictors}
    best = compared.best.get(("per_region", 0, "auroc"))
    if best is None or x_key not in by_name or by_name[x_key].is_baseline:
        return None
    both = [by_name[name].by_view(["per_region"])[0][0] for name in (x_key, best)]
    gain, p = paired_auroc_test(pairs.by_region, *(pairs.read(predictor).values for predictor in both))
    tested = p < 1
    passed = np.zeros(p.size, dtype=bool)
    if tested.any():  # Benjamini & Hochberg, J. R. Stat. Soc. B 57, 1995
        passed[tested] = false_discovery_control(p[tested]) <= _FALSE_DISCOVERY
    return gain, passed & (gain > 0)
