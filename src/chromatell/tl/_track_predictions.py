"""Predicted tracks: baselines written as if they were models, and which prediction is of which target."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from chromatell._keys import PREDICTIONS, UNS
from chromatell._progress import progress
from chromatell._settings import logger
from chromatell._validate import ChromatellError, examples, one_of, store_key
from chromatell.data._tracks_rows import check_memory
from chromatell.data._tracks_table import ASSAY, PREDICTION, ROLE, SAMPLE, TARGET
from chromatell.data.tracks import BinnedTracks
from chromatell.models._track_baselines import TRACK_BASELINES, TRACK_REFERENCES, TrackBaselines
from chromatell.models._trained_on import STRETCHES, check_bins, trained_stretches

FAMILY = "baseline"


@dataclass(frozen=True)
class TrackPredictor:
    """A prediction by its name.

    Attributes
    ----------
    targets
        Names of the tracks that it predicts.
    predict
        Target, chromosome and int64 bins to predicted values, float32 (bins,).
    """

    name: str
    targets: frozenset[str]
    predict: Callable[[str, str, np.ndarray], np.ndarray]
    is_baseline: bool = False
    is_reference: bool = False
    trained: Any = None  # the bins that it was trained on, of which `check_bins` knows


def track_baseline(
    tracks: BinnedTracks, kind: str, *, key_added: str | None = None, copy: bool = False
) -> BinnedTracks | None:
    """Add a baseline's predictions; see :func:`chromatell.tl.baseline`."""
    one_of(kind, TRACK_BASELINES, "kind")
    key = store_key(kind if key_added is None else key_added)
    held = tracks.uns.get(UNS, {}).get(PREDICTIONS, {}).get(key, {})
    if held and held.get("family") != FAMILY:
        raise ChromatellError(f"{key!r} is a prediction of a model. Choose another name: key_added='other'.")
    fitter = TrackBaselines(tracks)
    names = [f"{target}_{key}" for target in fitter.targets]
    taken = [n for n in names if n in tracks.names and tracks.table.loc[n, ROLE] != PREDICTION]
    if taken:
        raise ChromatellError(f"Tracks {examples(taken)} are there and are no predictions. Pass key_added='other'.")
    check_memory(4 * len(names) * tracks.n_bins, "Take fewer chromosomes: tracks.select(chroms=[...]).")
    values = {}
    with progress("Predicting", total=len(tracks.chroms), unit="chromosomes") as advance:
        for chrom in tracks.chroms:
            values[chrom] = fitter.predict(kind, chrom)
            advance(1)
    described = tracks.table.loc[fitter.targets]
    table = pd.DataFrame(
        {"name": names, ASSAY: list(described[ASSAY]), ROLE: PREDICTION, SAMPLE: list(described[SAMPLE])}
    )
    target = tracks.copy() if copy else tracks
    target.add(values, table, overwrite=True)
    own = target.uns.get(UNS, {})
    said: dict[str, Any] = {
        "tracks": names,
        "family": FAMILY,
        "kind": kind,
        "uses_target_assay": kind in TRACK_REFERENCES,
        STRETCHES: trained_stretches(tracks, fitter.targets),
        **({"penalty": fitter.penalties} if kind == "ridge" else {}),
    }
    target.uns = {**target.uns, UNS: {**own, PREDICTIONS: {**own.get(PREDICTIONS, {}), key: said}}}
    return target if copy else None


def stored_predictors(tracks: BinnedTracks, targets: list[str]) -> list[TrackPredictor]:
    """Return what predicts any of the targets: what `tl` wrote, and tracks of role 'prediction' that nobody lists."""
    predicted = tracks.names_of(role=PREDICTION)
    entries: dict[str, Mapping[str, Any]] = dict(tracks.uns.get(UNS, {}).get(PREDICTIONS, {}))
    listed = {name for said in entries.values() for name in said.get("tracks", [])}
    found = []
    for key, said in entries.items():
        of = _matched(tracks, targets, [n for n in said.get("tracks", []) if n in predicted])
        if of:
            reads_target = bool(said.get("uses_target_assay", False))
            found.append(_stored(tracks, key, of, said.get("family") == FAMILY, reads_target, said.get(STRETCHES)))
    loose: dict[str, dict[str, str]] = {}
    for name in predicted:
        if name not in listed:
            for target, track in _matched(tracks, targets, [name]).items():
                loose.setdefault(name.removeprefix(f"{target}_"), {})[target] = track
    return found + [_stored(tracks, key, of) for key, of in loose.items() if key not in entries]


def _stored(
    tracks: BinnedTracks,
    name: str,
    of: Mapping[str, str],
    is_baseline: bool = False,
    is_reference: bool = False,
    trained: Any = None,
) -> TrackPredictor:
    def predict(target: str, chrom: str, bins: np.ndarray) -> np.ndarray:
        return tracks.values(chrom, of[target])[0][bins]

    return TrackPredictor(name, frozenset(of), predict, is_baseline, is_reference, trained)


def refuse_trained(
    predictors: Sequence[TrackPredictor],
    tracks: BinnedTracks,
    targets: Sequence[str],
    chroms: Sequence[str],
    split: str,
) -> None:
    """Raise where a prediction would be scored in bins that it was trained on."""
    entries = tracks.uns.get(UNS, {}).get(PREDICTIONS, {})
    for predictor in predictors:
        if "hash" in entries.get(predictor.name, {}) and predictor.trained is None:
            logger.info("%s was made by an earlier version, which did not keep its split: not checked.", predictor.name)
        for target in targets:
            if target in predictor.targets:
                check_bins(predictor.trained, tracks, chroms, target=target, name=predictor.name, part=split)


def fitted_predictor(fitter: TrackBaselines, kind: str) -> TrackPredictor:
    """Return a baseline that is computed when it is asked, of all targets at once, which are held for the next."""
    held: dict[tuple[str, int], tuple[np.ndarray, np.ndarray]] = {}

    def predict(target: str, chrom: str, bins: np.ndarray) -> np.ndarray:
        at = (chrom, bins.size)
        if at not in held or not np.array_equal(held[at][0], bins):
            held[at] = bins, fitter.predict(kind, chrom, bins)
        return held[at][1][fitter.targets.index(target)]

    return TrackPredictor(kind, frozenset(fitter.targets), predict, True, kind in TRACK_REFERENCES)


def _matched(tracks: BinnedTracks, targets: list[str], names: list[str]) -> dict[str, str]:
    """Return target to prediction: of the same assay and sample and, where several are, the name that begins alike."""
    table = tracks.table
    of = {}
    for target in targets:
        same = [n for n in names if all(table.loc[n, c] == table.loc[target, c] for c in (ASSAY, SAMPLE))]
        named = [n for n in same if n.startswith(f"{target}_")]
        twins = [t for t in targets if all(table.loc[t, c] == table.loc[target, c] for c in (ASSAY, SAMPLE))]
        chosen = named or (same if len(twins) == 1 else [])
        if chosen:
            of[target] = chosen[0]
    return of


def check_targets(tracks: BinnedTracks, targets: Any) -> list[str]:
    """Return the names of target tracks; None takes those of the role."""
    return tracks.check_names(targets, TARGET if targets is None else None)
