"""The tables that `tl.evaluate` wrote of tracks, as plots read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from chromatell._keys import EVALUATION, GAINS, UNS, USES_TARGET_ASSAY, sibling
from chromatell._nearest import names_there
from chromatell._validate import ChromatellError, examples
from chromatell.data.tracks import BinnedTracks
from chromatell.pl._style import call_of, name_ahead

ALL = "all"  # chromosomes together


class TrackEvaluation:
    """Scores of tracks that one call of `tl.evaluate` wrote: of one target, view, resolution and metric.

    Parameters
    ----------
    tracks
        After ``ctl.tl.evaluate(tracks)``.
    key
        `key_added` of that call.
    """

    def __init__(self, tracks: BinnedTracks, key: str = EVALUATION) -> None:
        if not isinstance(tracks, BinnedTracks):
            raise ChromatellError(f"Expected ctl.data.BinnedTracks, got {type(tracks).__name__}.")
        self.call = call_of("ctl.tl.evaluate(tracks)", key, EVALUATION)
        own, names = tracks.uns.get(UNS, {}), (key, sibling(key, GAINS))
        missing = [name for name in names if not isinstance(own.get(name), pd.DataFrame)]
        if missing:
            raise ChromatellError(f"Did not find tracks.uns['ctl'][{missing[0]!r}]. Run {self.call} first.")
        self.table, self.gains = (own[name] for name in names)
        self.targets = [str(t) for t in pd.unique(self.table["target"])]

    def scores(self, target: str, view: str | None, resolution: int | None, metric: str) -> TargetScores:
        """Return the scores of one target; None takes the first view and the finest resolution with that metric."""
        rows = self._only(self.table, "target", target, "target")
        rows = self._only(rows, "metric", metric, "metric")
        view = str(rows["view"].iloc[0]) if view is None else view
        rows = self._only(rows, "view", view, "view")
        resolution = int(rows["resolution"].min()) if resolution is None else resolution
        rows = self._only(rows, "resolution", resolution, "resolution")
        gains = self.gains
        same = (gains["target"] == target) & (gains["view"] == view) & (gains["metric"] == metric)
        return TargetScores(target, view, resolution, metric, rows, gains[same & (gains["resolution"] == resolution)])

    def _only(self, rows: pd.DataFrame, column: str, value: Any, what: str) -> pd.DataFrame:
        scores = rows[(rows[column] == value).to_numpy()]
        if not len(scores):
            listed = names_there(pd.unique(rows[column]), value)
            raise ChromatellError(
                f"No scores of {what} {value!r}; there: {listed}. Run {self.call} with it, or take one."
            )
        return scores


class TargetScores:
    """Scores of one target: a row of the table for each prediction and chromosome."""

    def __init__(
        self, target: str, view: str, resolution: int, metric: str, table: pd.DataFrame, gains: pd.DataFrame
    ) -> None:
        self.target, self.view, self.resolution, self.metric = target, view, resolution, metric
        self.table, self.gains = table, gains
        flags = table.drop_duplicates("model").set_index("model")
        self.baselines = [str(m) for m in flags.index[flags["is_baseline"].astype(bool)]]
        self.models = [str(m) for m in flags.index if m not in self.baselines]
        self.references = {str(m) for m in flags.index[flags[USES_TARGET_ASSAY].astype(bool)]}

    @property
    def what(self) -> str:
        """Return the view for a label, such as 'smoothed, 1 kb'."""
        return f"{self.view}, {base_pairs(self.resolution)}"

    def chosen(self, models: Sequence[str] | None) -> pd.DataFrame:
        """Return the rows of some models and baselines; None takes all."""
        if models is None:
            return self.table
        missing = [m for m in models if m not in (*self.models, *self.baselines)]
        if missing:
            listed = names_there((*self.models, *self.baselines), missing[0])
            raise ChromatellError(f"No scores of {examples(missing)} for {self.target!r}; there: {listed}.")
        return self.table[self.table["model"].isin(list(models))]

    def name(self, model: str) -> str:
        """Return a name for an axis or a legend."""
        return f"{model} (reads targets)" if model in self.references else model

    def best_baseline(self, view: str, metric: str) -> str | None:
        """Return the baseline that was chosen on validation bins."""
        return str(self.gains["baseline"].iloc[0]) if len(self.gains) else None

    def ahead(self, view: str, metric: str) -> str | None:
        """Return the baseline that beats the chosen one on all the scored bins, by more than its interval."""
        return name_ahead(self.gains[(self.gains["chrom"] == ALL).to_numpy()])


def base_pairs(width: int) -> str:
    """Return a width in bp as text.

    Examples
    --------
    >>> base_pairs(50), base_pairs(1000), base_pairs(1050)
    ('50 bp', '1 kb', '1,050 bp')
    """
    return f"{width // 1000:,} kb" if width % 1000 == 0 else f"{width:,} bp"
