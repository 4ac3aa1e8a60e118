"""`tl.baseline` of tracks: predictions written as if they were a model's."""

from __future__ import annotations

from typing import Any

import pandas as pd

from chromatell._dask import in_order, shared
from chromatell._keys import BASELINE, PREDICTIONS, UNS, USES_TARGET_ASSAY
from chromatell._progress import progress
from chromatell._validate import ChromatellError, examples, one_of, store_key
from chromatell.data._tracks_rows import check_memory
from chromatell.data._tracks_table import ASSAY, PREDICTION, ROLE, SAMPLE, with_own_columns
from chromatell.data._tracks_together import tracks_together
from chromatell.data.tracks import BinnedTracks
from chromatell.models._trained_on import INTERVALS, trained_intervals
from chromatell.models.baselines.tracks import TRACK_BASELINES, TRACK_ORACLES, TrackBaselines


def track_baseline(
    tracks: BinnedTracks, kind: str, client: Any = None, *, key_added: str | None = None, copy: bool = False
) -> BinnedTracks | None:
    """Add a baseline's predictions; see :func:`chromatell.tl.baseline`."""
    one_of(kind, TRACK_BASELINES, "kind")
    key = store_key(kind if key_added is None else key_added)
    held = tracks.uns.get(UNS, {}).get(PREDICTIONS, {}).get(key, {})
    if held and held.get("family") != BASELINE:
        raise ChromatellError(f"{key!r} is a prediction of a model. Choose another name: key_added='other'.")
    fitter = TrackBaselines(tracks)
    names = [f"{target}_{key}" for target in fitter.targets]
    taken = [n for n in names if n in tracks.names and tracks.table.loc[n, ROLE] != PREDICTION]
    if taken:
        raise ChromatellError(f"Tracks {examples(taken)} are there and are no predictions. Pass key_added='other'.")
    check_memory(4 * len(names) * tracks.n_bins, "Take fewer chromosomes: tracks.select(chroms=[...]).")
    values = {}
    fitter.check(kind)
    fitted = shared(client, (fitter, kind), _fitted)
    predictions = in_order(client, TrackBaselines.predict, ((fitted, kind, chrom) for chrom in tracks.chroms))
    with progress("Predicting", total=len(tracks.chroms), unit="chromosomes") as advance:
        for chrom in tracks.chroms:
            values[chrom] = next(predictions)
            advance(1)
    (chosen,) = in_order(client, _chosen, [(fitted, kind)])
    described = tracks.table.loc[fitter.targets]
    table = pd.DataFrame(
        {"name": names, ASSAY: list(described[ASSAY]), ROLE: PREDICTION, SAMPLE: list(described[SAMPLE])}
    )
    target = tracks.copy() if copy else tracks
    with tracks_together(target):
        target.add(values, with_own_columns(table, tracks.table, fitter.targets), overwrite=True)
        own = target.uns.get(UNS, {})
        said: dict[str, Any] = {
            "tracks": names,
            "family": BASELINE,
            "kind": kind,
            USES_TARGET_ASSAY: kind in TRACK_ORACLES,
            INTERVALS: trained_intervals(tracks, fitter.targets),
            **chosen,
        }
        target.uns = {**target.uns, UNS: {**own, PREDICTIONS: {**own.get(PREDICTIONS, {}), key: said}}}
    return target if copy else None


def _fitted(asked: tuple[TrackBaselines, str]) -> TrackBaselines:
    fitter, kind = asked
    fitter.baseline(kind).ready()
    return fitter


def _chosen(fitter: TrackBaselines, kind: str) -> dict[str, Any]:
    return {name: fitter.chosen(kind, name) for name in fitter.baseline(kind).tuned}
