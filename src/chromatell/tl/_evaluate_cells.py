"""How ``ctl.tl.evaluate`` scores cells x regions: new cells, new regions, or both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from chromatell._keys import ATAC_PRED, CURVES, EVALUATION, GAINS, PREDICTABLE, SPLITS, UNS, VAL
from chromatell._progress import progress
from chromatell._settings import logger, settings
from chromatell._validate import ChromatellError, examples, one_of, store_key, warn
from chromatell.data.predictions import prediction_keys
from chromatell.metrics.views import explained_by
from chromatell.tl._evaluation_pairs import (
    CROSS_BOTH,
    CROSS_CELL,
    CROSS_REGION,
    CROSS_SAMPLE,
    HELD_OUT,
    Block,
    thinned,
)
from chromatell.tl._evaluation_result import Result, choose, predictable, score_all
from chromatell.tl._evaluation_scores import DEPTH_VIEWS
from chromatell.tl._evaluation_setting import Predictor, Setting, named
from chromatell.tl._evaluation_tables import stacked

AUROC, AUROC_DEPTH_MATCHED, GAIN = "ctl_auroc", "ctl_auroc_depth_matched", "ctl_gain"
PLACES = {CROSS_CELL: 0, CROSS_SAMPLE: 0, CROSS_REGION: 1, CROSS_BOTH: 2}
_CONFOUNDED = 0.10  # share of the variance of log depth between cell types


def evaluate_cells(
    mdata: MuData,
    models: str | Sequence[str] | None,
    *,
    baselines: str | Sequence[str] | None,
    split: str,
    pairs: str | Sequence[str] | None,
    views: str | Sequence[str] | None,
    labels: str | None,
    depth_key: str | None,
    n_bootstrap: int,
    top: int,
    regions: str | Sequence[str] | None,
    max_regions: int | None,
    seed: int | None,
    key_added: str,
    copy: bool,
) -> MuData | None:
    """Score the predictions of cells; arguments and what is written as in ``ctl.tl.evaluate``."""
    store_key(key_added)
    one_of(split, SPLITS, "split")
    if n_bootstrap < 0 or top < 1:
        raise ChromatellError(f"n_bootstrap={n_bootstrap} must be at least 0 and top={top} at least 1.")
    seed = settings.resolve_seed(seed)
    setting = Setting.read(mdata, split, views, labels, depth_key, top)
    among = named(mdata, setting.regions, regions)
    kinds = _kinds(setting, pairs, split, only_cells=regions is not None)
    stored = setting.stored(models)
    kinds = _scorable(kinds, stored, asked=pairs is not None)
    setting.refuse_trained(stored, kinds, split)
    # two streams a kind, the same for a kind whichever others are scored
    streams = np.random.SeedSequence(seed).spawn(2 * len(PLACES))
    rng = {k: [np.random.default_rng(s) for s in streams[2 * PLACES[k] : 2 * PLACES[k] + 2]] for k in kinds}
    blocks = {k: thinned(setting.splits.block(k, split, among), k, max_regions, rng[k][0]) for k in kinds}
    if not all(b.cols.size for b in blocks.values()):
        raise ChromatellError(
            "All regions asked for are held out (mdata.mod['atac'].var['ctl_split']); regions= takes training regions. "
            "Score the held-out ones with pairs='cross-region' or 'cross-both'."
        )
    chosen_on = {k: _validation(setting, k, blocks[k], max_regions, rng[k][0]) for k in kinds}
    cols = np.concatenate([b.cols for b in (*blocks.values(), *chosen_on.values())])
    predictors = [*stored, *setting.baselines(baselines, kinds, cols, stored, seed)]

    results = {}
    n_scored = sum(p.scores(k) for p in predictors for k in kinds)
    with progress("Scoring", n_scored, "predictions") as advance:
        for kind in kinds:
            here = [p for p in predictors if p.scores(kind)]
            scored = setting.pairs(kind, split, blocks[kind], n_bootstrap, rng[kind][1])
            if kind == kinds[0] and set(setting.views) & set(DEPTH_VIEWS):
                warn_of_confounding(scored.labels, scored.depth, "read the depth-matched scores beside 'within_type'")
            scores = score_all(setting, scored, here, rng[kind][1], advance)
            results[kind] = Result(scored, here, scores, *choose(setting, kind, here, scores, chosen_on[kind]))
    tables = {
        key_added: stacked([r.evaluation(split, k) for k, r in results.items()]),
        beside(key_added, GAINS): stacked([r.gains(split, k) for k, r in results.items()]),
        beside(key_added, CURVES): {k: r.curves() for k, r in results.items()},
    }
    x_key = prediction_keys(mdata)[0]
    own = results.get(setting.splits.cell_kind)
    passed = None if own is None else predictable(own, x_key)
    target = mdata.copy() if copy else mdata
    target.uns[UNS] = {**target.uns.get(UNS, {}), **tables}
    if own is not None and ATAC_PRED in target.mod and regions is None:
        _write_columns(target.mod[ATAC_PRED], own, x_key, passed)
    return target if copy else None


def _kinds(setting: Setting, pairs: str | Sequence[str] | None, split: str, *, only_cells: bool) -> list[str]:
    """Return the kinds of pairs to score; `only_cells` where regions were named, which makes sense for one of them."""
    if only_cells and pairs is None:
        return [setting.splits.cell_kind]
    kinds = setting.splits.kinds(pairs, split)
    if only_cells and set(kinds) & set(HELD_OUT):
        raise ChromatellError(
            f"regions= scores some of the training regions, and pairs={pairs!r} needs held-out ones. Leave one of the "
            "two out."
        )
    if not kinds:
        raise ChromatellError(
            f"None of the {len(setting.regions)} predicted regions is a training region, and there is no cell or "
            f"region that is {split!r}. Split again: ctl.pp.split_cells(mdata), ctl.pp.split_regions(mdata)."
        )
    return kinds


def _scorable(kinds: list[str], stored: list[Predictor], *, asked: bool) -> list[str]:
    """Return the kinds for which there is a prediction, and say which predictions are left out of some."""
    without = [p.name for p in stored if not p.unseen]
    held_out = [k for k in kinds if k in HELD_OUT]
    if not held_out or not without:
        return kinds
    if len(without) < len(stored):
        logger.info("Has read the held-out regions' ATAC, or was made with another split: not scored in %s: %s.",
                    ", ".join(held_out), ", ".join(without))  # fmt: skip
        return kinds
    if asked:
        raise ChromatellError(
            f"pairs={held_out[0]!r} needs a prediction that has not read the ATAC of the held-out regions; "
            f"{examples(without)} has, or was made with another split. Train one with ctl.tl.xchrom(mdata), or predict "
            "again after ctl.pp.split_regions(mdata)."
        )
    logger.info("No prediction was made without the held-out regions' ATAC: %s not scored.", ", ".join(held_out))
    return [k for k in kinds if k not in HELD_OUT]


def _validation(setting: Setting, kind: str, block: Block, max_regions: int | None, rng: np.random.Generator) -> Block:
    """Return the pairs on which the best baseline is chosen: as the scored ones, with 'val' in place of the split."""
    found = setting.splits.block(kind, VAL, np.arange(len(setting.regions)))
    if kind not in HELD_OUT:
        return Block(found.rows, block.cols)
    if kind == CROSS_REGION:
        found = Block(block.rows, found.cols)
    return thinned(found, kind, max_regions, rng)


def _write_columns(pred: AnnData, result: Result, x_key: str, passed: tuple[np.ndarray, np.ndarray] | None) -> None:
    """Write the metrics columns of the model in `X`; those that were not computed this time are removed."""
    scores, rows, cols = result.scores.get(x_key), result.pairs.rows, result.pairs.cols
    curves: dict[str, np.ndarray] = {} if scores is None else scores.curves

    def put(table: pd.DataFrame, name: str, where: np.ndarray, values: Any, fill: float | bool) -> None:
        if values is None:
            if name in table:
                del table[name]
            return
        full = np.full(len(table), fill)
        full[where] = values
        table[name] = full

    gain, found = (None, None) if passed is None else passed
    put(pred.obs, AUROC, rows, curves.get("per_cell"), np.nan)
    put(pred.var, AUROC, cols, curves.get("per_region"), np.nan)
    put(pred.var, AUROC_DEPTH_MATCHED, cols, None if scores is None else scores.depth_matched, np.nan)
    put(pred.var, GAIN, cols, gain, np.nan)
    put(pred.var, PREDICTABLE, cols, found, False)


def warn_of_confounding(labels: np.ndarray | None, depth: np.ndarray, instead: str) -> None:
    """Warn where matching cells by depth removes what is known of their type."""
    share = 0.0 if labels is None else explained_by(labels, np.log1p(depth))
    if share > _CONFOUNDED:
        warn(
            f"Cell type explains {share:.0%} of the variance of log depth: matching cells by depth then removes "
            f"biology too, so {instead}."
        )


def beside(key_added: str, name: str) -> str:
    """Return the name of a table that stands beside the one of scores."""
    return name if key_added == EVALUATION else f"{key_added}_{name}"
