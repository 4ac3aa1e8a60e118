"""What Nascent knows of its training bins beside the weights: the tracks, and the scales of inputs and targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chromatell._validate import ChromatellError
from chromatell.data._tracks_inputs import input_values
from chromatell.data._tracks_table import ASSAY, INPUT, TARGET
from chromatell.data.tracks import BinnedTracks
from chromatell.models.nascent._bins import target_scale
from chromatell.models.nascent._carry import Sample, assays_of
from chromatell.models.nascent._config import NascentConfig
from chromatell.models.nascent._sample import SIGNAL, check_signal
from chromatell.models.nascent._signal import mean_signal
from chromatell.models.nascent._store import check_scaling, check_tracks, stored_sample

_SCALED_BY = 4_000_000  # bins that tell the scale of a sample; of more, each so-manieth


@dataclass
class Fitted:
    """Names of tracks, and their scales in the training bins.

    Attributes
    ----------
    inputs, targets
        Names of the tracks that are read and predicted.
    scale
        float (inputs,): mean of each input.
    deviation, low
        float (targets,): standard deviation and least value of each target.
    sample
        The scale of the sample, as 'transfer' takes it; None for the others.
    """

    inputs: list[str]
    targets: list[str]
    scale: np.ndarray
    deviation: np.ndarray
    low: np.ndarray
    sample: Sample | None = None

    @classmethod
    def fit(
        cls,
        data: BinnedTracks,
        inputs: list[str],
        targets: list[str],
        described: Sequence[Mapping[str, Any]],
        options: NascentConfig,
    ) -> tuple[Fitted, tuple[list[float], list[float]]]:
        """Return it, and where training starts: mean of each target in the training bins, and share that is not 0.

        Inputs are scaled over all usable bins, as those of a query are: what is read is no target, and `depth` then
        changes nothing for the tracks that were trained on. `described` says assay and strand of each input.
        """
        scale = target_scale(data, targets, options)
        fitted = cls(inputs, targets, mean_signal(data, inputs, _assays(described)), scale.deviation, scale.low)
        if options.carries:
            fitted.sample = sample_of(data, inputs, described, options)
        return fitted, (scale.mean.tolist(), scale.share.tolist())

    @property
    def read_scale(self) -> np.ndarray | Sample:
        """The scale on which inputs are read."""
        return self.scale if self.sample is None else self.sample

    # ---- the record

    @property
    def var_names(self) -> dict[str, list[str]]:
        """Names of the tracks read and of those predicted."""
        return {INPUT: list(self.inputs), TARGET: list(self.targets)}

    def plain(self) -> dict[str, Any]:
        """Return nothing: all that is not an array is an option, or was said of the data."""
        return {}

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the scales as plain arrays."""
        stats = {"scaling.input": self.scale, "scaling.target": self.deviation, "scaling.low": self.low}
        return stats if self.sample is None else stats | self.sample.arrays()

    @classmethod
    def from_record(
        cls,
        config: Mapping[str, Any],
        options: NascentConfig,
        var_names: Mapping[str, list[str]],
        arrays: Mapping[str, np.ndarray],
    ) -> Fitted:
        """Return it from a record; shapes and values are checked."""
        fitted = cls(
            list(var_names[INPUT]),
            list(var_names[TARGET]),
            arrays["scaling.input"],
            arrays["scaling.target"],
            arrays["scaling.low"],
        )
        check_tracks(config)
        check_signal(config.get(SIGNAL))
        names, tracks = fitted.var_names, config["input_tracks"]
        n_inputs, n_targets = len(fitted.inputs), len(fitted.targets)
        if (len(tracks), len(config["target_tracks"])) != (n_inputs, n_targets):
            raise ChromatellError(f"The stored tracks are not those of {names}. Ask for the file again.")
        check_scaling((fitted.scale, fitted.deviation, fitted.low), n_inputs, n_targets, names)
        if options.carries:
            fitted.sample = stored_sample(arrays, len(assays_of(tracks)), options)
        return fitted


def scale_of(
    tracks: BinnedTracks, inputs: Sequence[str], described: Sequence[Mapping[str, Any]], options: NascentConfig
) -> np.ndarray | Sample:
    """Return the scale on which tracks are read at their own depth: the mean of each input, or for 'transfer' more."""
    if options.carries:
        return sample_of(tracks, inputs, described, options)
    return mean_signal(tracks, inputs, _assays(described))


def sample_of(
    tracks: BinnedTracks, inputs: Sequence[str], described: Sequence[Mapping[str, Any]], options: NascentConfig
) -> Sample:
    """Return the scale of a sample over its usable bins, as 'transfer' takes it."""
    step = -(-tracks.n_bins // _SCALED_BY)
    parts = ((input_values(tracks, c, inputs), tracks.usable(c)) for c in tracks.chroms)
    return Sample.of(parts, assays_of(described), options.window, options.ranks, step)


def _assays(described: Sequence[Mapping[str, Any]]) -> list[str]:
    return [one[ASSAY] for one in described]
