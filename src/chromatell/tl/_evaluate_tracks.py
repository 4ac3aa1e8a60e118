"""`tl.evaluate` on tracks: predictions beside the baselines that they must beat, in bins that were held out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from chromatell._keys import EVALUATION, GAINS, SPLITS, TRAIN, UNS, VAL
from chromatell._progress import progress
from chromatell._settings import logger, settings
from chromatell._validate import ChromatellError, examples, in_range, one_of, store_key, warn
from chromatell.data._tracks_info import OUTSIDE
from chromatell.data._tracks_table import TARGET
from chromatell.data.tracks import BinnedTracks
from chromatell.metrics.tracks import RESOLUTIONS
from chromatell.models._track_baselines import TRACK_BASELINES, TrackBaselines
from chromatell.pp._mask_bins import mark_regions
from chromatell.tl._track_predictions import (
    TrackPredictor,
    check_targets,
    fitted_predictor,
    refuse_trained,
    stored_predictors,
)
from chromatell.tl._track_scores import PEAKS, SMOOTHED, VIEWS, How, Part, Scores, is_smoothed
from chromatell.tl._track_tables import (
    EVALUATION_COLUMNS,
    GAIN_COLUMNS,
    as_table,
    best_baselines,
    gain_rows,
    score_rows,
)

Rows = list[tuple[Any, ...]]
_MOST = 2_000_000  # bins on which thresholds and baselines are chosen


def evaluate_tracks(
    tracks: BinnedTracks,
    models: str | Sequence[str] | None = None,
    *,
    baselines: str | Sequence[str] | None = "all",
    split: str = "test",
    views: str | Sequence[str] | None = None,
    regions: str | Sequence[str] | None = None,
    targets: str | Sequence[str] | None = None,
    resolutions: Sequence[int] | None = None,
    threshold: float | Mapping[str, float] = 0.0,
    within: Any = None,
    block: int = 1_000_000,
    n_bootstrap: int = 200,
    seed: int | None = None,
    key_added: str = EVALUATION,
    copy: bool = False,
) -> BinnedTracks | None:
    """Score predicted tracks; parameters and what is written as in :func:`chromatell.tl.evaluate`."""
    store_key(key_added)
    one_of(split, SPLITS, "split")
    chosen = check_targets(tracks, targets)
    how = _how(tracks, chosen, views, resolutions, threshold, block, n_bootstrap)
    seen = tracks if within is None else _inside(tracks, within)
    chroms = _chroms(seen, split, regions)
    tuned_on = VAL if any(seen.usable(c, VAL).any() for c in tracks.chroms) else TRAIN
    tuning = _enough(seen, tuned_on)
    stored = _named(stored_predictors(tracks, chosen), models)
    refuse_trained(stored, seen, chosen, chroms, split)
    predictors = [*stored, *_baselines(tracks, chosen, baselines, {p.name for p in stored})]
    if not predictors:
        raise ChromatellError(
            "There is no prediction of these targets. Train a model first, ctl.tl.nascent(tracks), or name baselines."
        )
    if tuned_on == TRAIN and split != TRAIN:
        warn(
            "There is no validation bin: thresholds and the best baseline are chosen on the training bins. Split with "
            "some, ctl.pp.split_regions(tracks, by='blocks', fractions=(0.6, 0.1, 0.3))."
        )
    seeds = np.random.SeedSequence(settings.resolve_seed(seed)).spawn(len(chosen))
    rows: Rows = []
    gains: Rows = []
    with progress("Scoring", len(chosen) * len(predictors), "predictions") as advance:
        for target, stream in zip(chosen, seeds, strict=True):
            here = [p for p in predictors if target in p.targets]
            part = Part(seen, target, chroms, split, how, stream)
            tune = Part(seen, target, tuning, tuned_on, replace(how, n_bootstrap=0), stream)
            found = _score(part, tune, here, advance)
            rows += found[0]
            gains += found[1]
    tables = {
        key_added: as_table(rows, EVALUATION_COLUMNS),
        GAINS if key_added == EVALUATION else f"{key_added}_{GAINS}": as_table(gains, GAIN_COLUMNS),
    }
    into = tracks.copy() if copy else tracks
    into.uns = {**into.uns, UNS: {**into.uns.get(UNS, {}), **tables}}
    return into if copy else None


def _how(
    tracks: BinnedTracks,
    targets: list[str],
    views: str | Sequence[str] | None,
    resolutions: Sequence[int] | None,
    threshold: float | Mapping[str, float],
    block: int,
    n_bootstrap: int,
) -> How:
    """Return what to score, checked."""
    smoothed = [t for t in targets if is_smoothed(tracks, t)]
    wanted = VIEWS if views is None else (views,) if isinstance(views, str) else tuple(views)
    for view in wanted:
        one_of(view, VIEWS, "views")
    if views is not None and SMOOTHED in wanted and len(smoothed) < len(targets):
        raise ChromatellError(
            f"views={views!r}: {examples(t for t in targets if t not in smoothed)} are not smoothed. Call "
            "ctl.pp.smooth_tracks(tracks) before training, or take views=['raw', 'peaks']."
        )
    block = in_range(block, tracks.bin_size, 1_000_000_000, "block")
    size = tracks.bin_size
    default = (size, *(r for r in RESOLUTIONS if r > size and r % size == 0 and block % r == 0))
    given = default if resolutions is None else resolutions
    found = tuple(sorted({in_range(r, 1, block, "resolutions") for r in given}))
    if not found or any(r % size or block % r for r in found) or block % size:
        raise ChromatellError(
            f"resolutions={tuple(given)} must be multiples of the bin size ({size} bp) that divide block={block:,} bp, "
            "itself a multiple. Try resolutions=(50, 1000, 10_000), block=1_000_000."
        )
    per_target = threshold if isinstance(threshold, Mapping) else dict.fromkeys(targets, threshold)
    unknown = [t for t in per_target if t not in tracks.names]
    if unknown:
        raise ChromatellError(f"threshold names {examples(unknown)}; the targets are {examples(targets, 8)}.")
    cuts = {t: in_range(per_target.get(t, 0.0), -1e300, 1e300, "threshold", whole=False) for t in targets}
    n_bootstrap = in_range(n_bootstrap, 0, 1_000_000, "n_bootstrap")
    return How(tuple(v for v in VIEWS if v in wanted), found, cuts, block, n_bootstrap)


def _score(
    part: Part, tune: Part, predictors: list[TrackPredictor], advance: Callable[[int], None]
) -> tuple[Rows, Rows]:
    """Return rows of both tables for one target; thresholds and the best baseline are chosen in `tune`."""
    scores: dict[str, Scores] = {}
    tuned: dict[str, Scores] = {}
    rows: Rows = []
    for predictor in predictors:
        predicted = tune.read(predictor)
        cut = tune.cut(predicted)
        if predictor.is_baseline and not predictor.is_reference:
            tuned[predictor.name] = tune.score(predicted, cut)
        scores[predictor.name] = part.score(part.read(predictor), cut)
        rows += score_rows(predictor, scores[predictor.name], part.split, part.target)
        advance(1)
    if PEAKS in part.how.views and not tune.peak.any():
        logger.info("%s has no peak in the %s bins: no threshold was chosen.", part.target, tune.split)
    best = best_baselines(tuned, tuned)
    gains: Rows = []
    for predictor in predictors:
        if not predictor.is_baseline:
            gains += gain_rows(predictor.name, scores, best, part.split, part.target)
    return rows, gains


def _chroms(tracks: BinnedTracks, split: str, regions: str | Sequence[str] | None) -> list[str]:
    """Return the chromosomes with bins to score."""
    named = tracks.chroms if regions is None else [regions] if isinstance(regions, str) else list(regions)
    found = [c for c in named if tracks.usable(c, split).any()]
    if not found:
        how = "are split otherwise" if tracks.splits else "are not split, which makes all of them 'train'"
        raise ChromatellError(
            f"No usable bin of {examples(named)} is {split!r}: the bins {how}. Run ctl.pp.split_regions(tracks, "
            "by='blocks'), or score another part: split='train'."
        )
    return found


def _inside(tracks: BinnedTracks, within: Any) -> BinnedTracks:
    """Return the same tracks of which bins outside of some regions are masked."""
    inside = {c: np.zeros(tracks.n_bins_of(c), dtype=np.uint8) for c in tracks.chroms}
    mark_regions(inside, tracks, within, 1, "within")
    found = tracks.select()
    found.masks = {
        c: np.where(inside[c] > 0, tracks.masks.get(c, np.uint8(0)), OUTSIDE).astype(np.uint8) for c in tracks.chroms
    }
    return found


def _enough(tracks: BinnedTracks, split: str) -> list[str]:
    """Return chromosomes of a part, from the shortest, until they hold enough bins to choose on."""
    counts = {c: int(tracks.usable(c, split).sum()) for c in tracks.chroms}
    found: list[str] = []
    for chrom in sorted((c for c in counts if counts[c]), key=lambda c: counts[c]):
        if sum(counts[c] for c in found) < _MOST:
            found.append(chrom)
    if not found:
        raise ChromatellError("No usable bin is 'val' or 'train'. Run ctl.pp.split_regions(tracks, by='blocks').")
    return sorted(found, key=tracks.chroms.index)


def _named(stored: list[TrackPredictor], models: str | Sequence[str] | None) -> list[TrackPredictor]:
    if models is None:
        return stored
    wanted = [models] if isinstance(models, str) else list(models)
    there = {p.name: p for p in stored}
    missing = [m for m in wanted if m not in there]
    if missing:
        raise ChromatellError(
            f"No predictions {examples(missing)} of these targets; there: {examples(there, 12) or 'none'}. Make them "
            "with ctl.tl.nascent(tracks, key_added=...) or ctl.tl.predict(tracks, model=...)."
        )
    return [there[m] for m in wanted]


def _baselines(
    tracks: BinnedTracks, targets: list[str], baselines: str | Sequence[str] | None, taken: set[str]
) -> list[TrackPredictor]:
    """Return the baselines to compute: those that are stored already are scored as they are."""
    asked = [baselines] if isinstance(baselines, str) else list(baselines or ())
    if not asked:
        return []
    fitter = TrackBaselines(tracks, list(dict.fromkeys([*tracks.names_of(role=TARGET), *targets])))
    for kind in asked if asked != ["all"] else []:
        one_of(kind, TRACK_BASELINES, "baselines")
        if kind not in fitter.kinds:
            raise ChromatellError(f"baselines={kind!r}: these tracks allow {fitter.kinds}. Leave it out.")
    return [fitted_predictor(fitter, k) for k in (fitter.kinds if asked == ["all"] else asked) if k not in taken]
