"""Tracks: predicted ones beside observed targets, in the usable bins of a split."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypedDict

import numpy as np
import pandas as pd

from chromatell._keys import BASELINE, PREDICTIONS, TRAIN, UNS, USES_TARGET_ASSAY, VAL
from chromatell._nearest import names_there, nearest
from chromatell._settings import logger
from chromatell._validate import ChromatellError, examples, in_range, one_of, warn
from chromatell.data._tracks_info import OUTSIDE
from chromatell.data._tracks_table import ASSAY, PREDICTION, SAMPLE, TARGET
from chromatell.data.tracks import BinnedTracks
from chromatell.evaluation.predictors import Predictor
from chromatell.evaluation.run import Comparison, Request, Task, listed
from chromatell.evaluation.tables import TRACKS
from chromatell.evaluation.views.tracks import PEAKS, SMOOTHED, TrackBins, is_smoothed
from chromatell.metrics.tracks import FEWEST, RESOLUTIONS, blocks_held
from chromatell.models._trained_on import INTERVALS, check_bins
from chromatell.models.baselines.tracks import TRACK_BASELINES, TRACK_ORACLES, TrackBaselines
from chromatell.pp._mask_bins import mark_regions

_MOST = 2_000_000  # bins on which thresholds and baselines are chosen


class TrackOptions(TypedDict, total=False):
    """Keywords of ``ctl.tl.evaluate`` that tracks alone have; its docstring says what each is."""

    targets: str | Sequence[str]
    resolutions: Sequence[int]
    threshold: float | Mapping[str, float]
    within: str | os.PathLike[str] | pd.DataFrame | Sequence[str]
    block: int


class TrackTask(Task):
    """Each target is a comparison; thresholds and the best baseline are chosen on validation bins."""

    called = "tracks"
    about = TRACKS
    order = None
    own_options = tuple(TrackOptions.__annotations__)
    no_options = ("pairs", "labels", "depth_key", "top", "max_regions", "rna", "atac", "layer")
    has_curves = False

    @classmethod
    def takes(cls, data: Any, request: Request) -> bool:
        """Return whether the data is tracks."""
        return isinstance(data, BinnedTracks)

    def __init__(self, data: BinnedTracks, request: Request) -> None:
        options = request.options
        self.request = request
        self.targets = data.check_names(options.get("targets"), TARGET)
        self.views = self._checked_views(data)
        self.block, self.resolutions = self._checked_sizes(data.bin_size)
        self.peak_above = self._checked_thresholds(data)
        within = options.get("within")
        self.tracks = data if within is None else _inside(data, within)
        self.chroms = self._scored_chroms()
        has_val = any(self.tracks.usable(c, VAL).any() for c in data.chroms)
        self._chosen_in = VAL if has_val else TRAIN
        self._chosen_on = _enough(self.tracks, self._chosen_in)
        self._unmatched = _of_no_target(data, self.targets)
        stored = self._stored(data)
        self.predictors = [*stored, *self._baselines(data, {p.name for p in stored})]
        if not self.predictors:
            cure = next(
                iter(self._unmatched.values()), "Train a model first, ctl.tl.nascent(tracks), or name baselines."
            )
            raise ChromatellError(f"There is no prediction of these targets. {cure}")
        for left_out in self._unmatched.values() if request.models is None else ():
            warn(left_out)
        if not has_val and request.split != TRAIN:
            warn(
                "There is no validation bin: thresholds and the best baseline are chosen on the training bins. Split "
                "with some, ctl.pp.split_regions(tracks, by='blocks', fractions=(0.6, 0.1, 0.3))."
            )

    # ---- what is asked for, against what is there

    def _checked_views(self, tracks: BinnedTracks) -> tuple[str, ...]:
        wanted = self.request.views_of("tracks")
        raw = [t for t in self.targets if not is_smoothed(tracks, t)]
        if self.request.views is not None and SMOOTHED in wanted and raw:
            raise ChromatellError(
                f"views={self.request.views!r}: {examples(raw)} are not smoothed. Call "
                "ctl.pp.smooth_tracks(tracks) before training, or take views=['raw', 'peaks']."
            )
        return wanted

    def _checked_sizes(self, size: int) -> tuple[int, tuple[int, ...]]:
        """Return the block and the resolutions, in bp."""
        block = in_range(self.request.options.get("block", 1_000_000), size, 1_000_000_000, "block")
        given = self.request.options.get("resolutions")
        if given is None:
            given = (size, *(r for r in RESOLUTIONS if r > size and r % size == 0 and block % r == 0))
        resolutions = tuple(sorted({in_range(r, 1, block, "resolutions") for r in given}))
        if not resolutions or any(r % size or block % r for r in resolutions) or block % size:
            raise ChromatellError(
                f"resolutions={tuple(given)} must be multiples of the bin size ({size} bp) that divide "
                f"block={block:,} bp, itself a multiple. Try resolutions={(size, 20 * size, 200 * size)} and "
                f"block={20_000 * size}."
            )
        return block, resolutions

    def _checked_thresholds(self, tracks: BinnedTracks) -> dict[str, float]:
        if PEAKS not in self.views and "threshold" in self.request.options:
            raise ChromatellError(
                "threshold= would be read by nothing: it is for the view 'peaks'. Take that, or leave threshold= out."
            )
        threshold = self.request.options.get("threshold", 0.0)
        per_target = threshold if isinstance(threshold, Mapping) else dict.fromkeys(self.targets, threshold)
        unknown = [t for t in per_target if t not in tracks.names]
        if unknown:
            raise ChromatellError(f"threshold names {examples(unknown)}; the targets are {examples(self.targets, 8)}.")
        return {t: in_range(per_target.get(t, 0.0), -1e300, 1e300, "threshold", whole=False) for t in self.targets}

    def _scored_chroms(self) -> list[str]:
        """Return the chromosomes with bins to score."""
        tracks, split, regions = self.tracks, self.request.split, self.request.regions
        asked = tracks.chroms if regions is None else listed(regions)
        chroms = [c for c in asked if tracks.usable(c, split).any()]
        if not chroms:
            how = "are split otherwise" if tracks.splits else "are not split, which makes all of them 'train'"
            raise ChromatellError(
                f"No usable bin of {examples(asked)} is {split!r}: the bins {how}. Run ctl.pp.split_regions(tracks, "
                "by='blocks'), or score another part: split='train'."
            )
        return chroms

    def _stored(self, tracks: BinnedTracks) -> list[Predictor]:
        """Return the stored predictions asked for, none of which was trained on the bins to score."""
        models, split = self.request.models, self.request.split
        if isinstance(models, Mapping):
            raise ChromatellError("models= as a dict is for cells x bins; of tracks it names stored predictions.")
        present = {p.name: p for p in stored_predictors(tracks, self.targets)}
        wanted = list(present) if models is None else listed(models)
        if missing := [m for m in wanted if m not in present]:
            make = "Make them with ctl.tl.nascent(tracks, key_added=...) or tracks = ctl.tl.predict(tracks, model=...)."
            raise ChromatellError(
                f"No predictions {examples(missing)} of these targets; there: {names_there(present, missing[0])}. "
                f"{self._unmatched.get(missing[0], make)}"
            )
        entries = tracks.uns.get(UNS, {}).get(PREDICTIONS, {})
        for name in wanted:
            said = entries.get(name, {})
            if "hash" in said and said.get(INTERVALS) is None:
                logger.info("%s was made by an earlier version, which did not keep its split: not checked.", name)
            for target in self.targets:
                if present[name].stands_in(target):
                    check_bins(said.get(INTERVALS), self.tracks, self.chroms, target=target, name=name, part=split)
        return [present[m] for m in wanted]

    def _baselines(self, tracks: BinnedTracks, taken: set[str]) -> list[Predictor]:
        """Return the baselines to compute: those that are stored already are scored as they are."""
        asked = self.request.kinds_of_baselines()
        if not asked:
            return []
        fitter = TrackBaselines(tracks, self.targets, also=tracks.names_of(role=TARGET))
        for kind in asked if asked != ["all"] else []:
            one_of(kind, TRACK_BASELINES, "baselines")
            if kind not in fitter.possible():
                raise ChromatellError(f"baselines={kind!r}: these tracks allow {fitter.possible()}. Leave it out.")
        wanted = fitter.possible() if asked == ["all"] else asked
        return [_fitted(fitter, kind) for kind in wanted if kind not in taken]

    # ---- comparisons

    @property
    def n_predictions(self) -> int:
        """Predictions of all targets."""
        return sum(p.stands_in(t) for p in self.predictors for t in self.targets)

    def comparisons(self) -> Iterator[Comparison]:
        """Yield the targets."""
        for target, stream in zip(self.targets, self.request.streams(len(self.targets)), strict=True):
            scored = self._bins(target, self.chroms, self.request.split, self.request.n_bootstrap, stream)
            if not scored.peak.size:
                warn(
                    f"{target!r} is unknown in the {self.request.split!r} bins: its scores are NaN. Split so that some "
                    "are known, ctl.pp.split_regions(tracks, by='blocks', seed=...), or leave it out, targets=[...]."
                )
            self._say_without_interval(scored)
            chosen = self._choosing(target, stream)
            if PEAKS in self.views and not chosen.peak.any():
                logger.info("%s has no peak in the %s bins: no threshold was chosen.", target, chosen.split)
            views = tuple(v for v in self.views if v != SMOOTHED or is_smoothed(self.tracks, target))
            here = [p for p in self.predictors if p.stands_in(target)]
            rng = np.random.default_rng(stream)
            yield Comparison(target, {"target": target}, scored, chosen, here, views, rng)

    def _say_without_interval(self, scored: TrackBins) -> None:
        """Say it where intervals were asked for and too few blocks hold a scored bin, and which blocks would do."""

        def n_blocks(block: int) -> int:
            return int(blocks_held(scored.keep, block // self.tracks.bin_size).sum())

        if not self.request.n_bootstrap or not scored.peak.size or n_blocks(self.block) >= FEWEST:
            return
        coarsest = max(self.resolutions)
        smaller = [self.block // k for k in (2, 4, 5, 10, 20, 50, 100) if self.block % (k * coarsest) == 0]
        will_do = next((block for block in smaller if n_blocks(block) >= FEWEST), None)
        logger.info(
            "%s: %d blocks of %s bp hold %s bins, too few to resample: there are no intervals. Five are needed: "
            "%ssplit off more, ctl.pp.split_regions(tracks, by='blocks', fractions=(0.6, 0.1, 0.3)).",
            scored.target, n_blocks(self.block), f"{self.block:,}", scored.split,
            "" if will_do is None else f"take smaller ones, block={will_do:_}, or ",
        )  # fmt: skip

    def _choosing(self, target: str, stream: np.random.SeedSequence) -> TrackBins:
        """Return the bins that choose; of a target that no validation bin knows, training bins, with a warning."""
        bins = self._bins(target, self._chosen_on, self._chosen_in, 0, stream)
        if bins.peak.size or not any(self.tracks.usable(c, TRAIN).any() for c in self.tracks.chroms):
            return bins
        training = self._bins(target, _enough(self.tracks, TRAIN), TRAIN, 0, stream)
        if training.peak.size:
            warn(
                f"{target!r} is unknown in the validation bins: its threshold and best baseline are chosen on training "
                "bins. Split so that some are known, ctl.pp.split_regions(tracks, by='blocks', seed=...)."
            )
        return training

    def _bins(
        self, target: str, chroms: Sequence[str], split: str, n_bootstrap: int, stream: np.random.SeedSequence
    ) -> TrackBins:
        above = self.peak_above[target] if PEAKS in self.views else None
        sizes = self.resolutions, above, self.block
        return TrackBins(self.tracks, target, chroms, split, *sizes, n_bootstrap, stream)


def stored_predictors(tracks: BinnedTracks, targets: list[str]) -> list[Predictor]:
    """Return what predicts any of the targets: what `tl` wrote, and tracks of role 'prediction' that nobody lists."""
    predicted = tracks.names_of(role=PREDICTION)
    entries: dict[str, Mapping[str, Any]] = dict(tracks.uns.get(UNS, {}).get(PREDICTIONS, {}))
    known = {name for said in entries.values() for name in said.get("tracks", [])}
    predictors = []
    for key, said in entries.items():
        of = _matches(tracks, targets, [n for n in said.get("tracks", []) if n in predicted])
        if of:
            oracle = bool(said.get(USES_TARGET_ASSAY, False))
            predictors.append(_stored(tracks, key, of, said.get("family") == BASELINE, oracle))
    loose: dict[str, dict[str, str]] = {}
    for name in predicted:
        if name not in known:
            for target, track in _matches(tracks, targets, [name]).items():
                loose.setdefault(name.removeprefix(f"{target}_"), {})[target] = track
    return predictors + [_stored(tracks, key, of) for key, of in loose.items() if key not in entries]


def _of_no_target(tracks: BinnedTracks, asked: list[str]) -> dict[str, str]:
    """Return models and lone predictions that are of none of the tracks' targets, and what is to be done about it."""
    targets = list(dict.fromkeys([*asked, *tracks.names_of(role=TARGET)]))
    predicted = tracks.names_of(role=PREDICTION)
    entries: dict[str, Mapping[str, Any]] = dict(tracks.uns.get(UNS, {}).get(PREDICTIONS, {}))
    own = {key: [n for n in said.get("tracks", []) if n in predicted] for key, said in entries.items()}
    own |= {n: [n] for n in predicted if not any(n in names for names in own.values())}
    messages = {}
    for key, names in own.items():
        if names and not _matches(tracks, targets, names):
            target = nearest(names[0], targets) or targets[0]
            stated, meant = (tracks.table.loc[n, [ASSAY, SAMPLE]].tolist() for n in (names[0], target))
            messages[key] = (
                f"{key!r} predicts none of the targets: assay and sample of {names[0]!r} are {stated}, those of "
                f"{target!r} are {meant}. Where both are the same, say so: tracks.table.loc[{names[0]!r}, "
                f"['assay', 'sample']] = {meant}."
            )
    return messages


def _stored(
    tracks: BinnedTracks, name: str, of: Mapping[str, str], is_baseline: bool = False, oracle: bool = False
) -> Predictor:
    def predict(target: str, chrom: str, bins: np.ndarray) -> np.ndarray:
        return tracks.values(chrom, of[target])[0][bins]

    return Predictor(name, predict, is_baseline, oracle, oracle, among=frozenset(of))


def _fitted(fitter: TrackBaselines, kind: str) -> Predictor:
    """Return a baseline that is computed when it is asked, of all targets at once, which are held for the next."""
    held: dict[tuple[str, int], tuple[np.ndarray, np.ndarray]] = {}

    def predict(target: str, chrom: str, bins: np.ndarray) -> np.ndarray:
        at = (chrom, bins.size)
        if at not in held or not np.array_equal(held[at][0], bins):
            held[at] = bins, fitter.predict(kind, chrom, bins)
        return held[at][1][fitter.targets.index(target)]

    oracle = kind in TRACK_ORACLES
    return Predictor(kind, predict, True, oracle, oracle, among=frozenset(fitter.targets))


def _matches(tracks: BinnedTracks, targets: list[str], names: list[str]) -> dict[str, str]:
    """Return target to prediction: of the same assay and sample and, where several are, the name that begins alike."""
    table = tracks.table
    of = {}
    for target in targets:
        same = [n for n in names if all(table.loc[n, c] == table.loc[target, c] for c in (ASSAY, SAMPLE))]
        begins = [n for n in same if n.startswith(f"{target}_")]
        twins = [t for t in targets if all(table.loc[t, c] == table.loc[target, c] for c in (ASSAY, SAMPLE))]
        chosen = begins or (same if len(twins) == 1 else [])
        if chosen:
            of[target] = chosen[0]
    return of


def _inside(tracks: BinnedTracks, within: Any) -> BinnedTracks:
    """Return the same tracks of which bins outside of some regions are masked."""
    inside = {c: np.zeros(tracks.n_bins_of(c), dtype=np.uint8) for c in tracks.chroms}
    mark_regions(inside, tracks, within, 1, "within")
    masked = tracks.select()
    masked.masks = {
        c: np.where(inside[c] > 0, tracks.masks.get(c, np.uint8(0)), OUTSIDE).astype(np.uint8) for c in tracks.chroms
    }
    return masked


def _enough(tracks: BinnedTracks, split: str) -> list[str]:
    """Return chromosomes of a part, from the shortest, until they hold enough bins to choose on."""
    counts = {c: int(tracks.usable(c, split).sum()) for c in tracks.chroms}
    chroms: list[str] = []
    for chrom in sorted((c for c in counts if counts[c]), key=lambda c: counts[c]):
        if sum(counts[c] for c in chroms) < _MOST:
            chroms.append(chrom)
    if not chroms:
        raise ChromatellError("No usable bin is 'val' or 'train'. Run ctl.pp.split_regions(tracks, by='blocks').")
    return sorted(chroms, key=tracks.chroms.index)
