"""What Nascent knows of its training bins beside the weights: the tracks, and the scales of inputs and targets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from chromatell._validate import ChromatellError
from chromatell.data._tracks_table import INPUT, TARGET
from chromatell.models.nascent._carry import Sample, assays_of
from chromatell.models.nascent._config import NascentConfig
from chromatell.models.nascent._sample import SIGNAL, check_signal
from chromatell.models.nascent._store import check_scaling, check_tracks, stored_sample


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
