"""Options of `Nascent`, and the table of its architectures: a new one is a line here and its network in `_build`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from typing import Any

from chromatell._unread import Readers, refuse_unread
from chromatell._validate import ChromatellError, in_range, one_of, own_types
from chromatell.models._train_config import TrainConfig
from chromatell.models.nascent._losses import OF_NETWORKS, OF_TREES, TASKS

CONTEXTS = ("signal", "sequence")


@dataclass(frozen=True)
class Architecture:
    """One way from signal to targets.

    Attributes
    ----------
    network
        Its name in `_build.NETWORKS`; None is boosted trees.
    plan
        How it is fitted.
    options
        Fields of `NascentConfig` that differ from those written there.
    by_window
        Whether it is trained on single windows, drawn at random, in place of intervals.
    """

    network: str | None
    plan: TrainConfig
    options: dict[str, Any] = field(default_factory=dict)
    by_window: bool = False


_ADAM: dict[str, Any] = {"optimizer": "adam", "weight_decay": 0.0, "patience": 3}
ARCHITECTURES: dict[str, dict[str, Architecture]] = {
    "transfer": {
        "default": Architecture(
            None,
            TrainConfig(max_epochs=100, lr=0.1, patience=30),
            {"window": 501, "min_child_weight": 40.0, "max_depth": 4},
        )
    },
    "xgboost": {"default": Architecture(None, TrainConfig(max_epochs=100, lr=0.08, patience=30))},  # epochs: rounds
    "dense": {
        "default": Architecture(
            "dense",
            TrainConfig(max_epochs=10, batch_size=1024, lr=1e-3, **_ADAM),
            {"window": 201, "n_hidden": 256, "dropout": 0.1},
            by_window=True,
        ),
        "stanford2019": Architecture(
            "dense",
            TrainConfig(max_epochs=10, batch_size=1024, lr=1e-3, schedule="none", **_ADAM),
            {"window": 201, "n_hidden": 128, "dropout": 0.0, "multi_task": False},
            by_window=True,
        ),
    },
    "cnn": {
        "default": Architecture(
            "dilated",
            TrainConfig(max_epochs=30, batch_size=4, lr=3e-3, gradient_clip=1.0),
            {"dropout": 0.1, "strand_flip": True, "depth_jitter": 0.5},
        ),
        "stanford2019": Architecture(
            "published",
            TrainConfig(max_epochs=15, batch_size=4, lr=1e-3, schedule="none", **_ADAM),
            {"dropout": 0.2, "multi_task": False},
        ),
    },
}


@dataclass(frozen=True)
class NascentConfig:
    """Options of the model; every field is stored with it."""

    architecture: str = "transfer"
    preset: str = "default"
    task: str = "regression"
    loss: str = ""  # '' is 'mse', or 'logistic' for classification
    threshold: float = 0.0  # classification calls a bin positive where its unsmoothed target is above
    window: int = 2561  # bins, odd; 501 for 'transfer', 201 for 'dense'
    bin_size: int = 50  # in bp
    context: str = "signal"  # or 'sequence': both are read
    multi_task: bool = True  # one network for all targets
    strand_flip: bool = False  # networks also see each interval from the other strand
    depth_jitter: float = 0.0  # networks see each interval at depths that vary by this (standard deviation of the log)
    stretch: int = 4096  # bins of a training interval
    max_bins: int = 400_000  # training bins of trees and 'dense' at most; more are drawn at random
    augment: bool = True  # 'transfer' also trains on the signal as other depths and assays would see it
    blend: float = 0.35  # share of the smoothed log signal in the predictions of 'transfer'
    ranks: bool = True  # 'transfer' also reads how high a bin ranks among those of its sample
    smooth: bool = True  # 'transfer' smooths what it predicts, over a width that validation bins choose
    stack: bool = True  # 'transfer' predicts samples like that of training by more: second trees and ridge
    cnn: bool = False  # 'transfer' predicts the mean of its trees and a small CNN where validation bins gain by it
    max_depth: int = 6  # depth of a tree; 4 for 'transfer'
    min_child_weight: float = 100.0  # least bins in a leaf
    subsample: float = 0.8  # share of the bins that a tree sees
    colsample: float = 0.5  # share of the features that a tree sees
    n_hidden: int = 256  # width of each dense layer
    n_layers: int = 5  # dense layers before the last
    n_filters: int = 32  # filters of each convolution
    dropout: float = 0.1

    def __post_init__(self) -> None:
        own_types(self)
        one_of(self.architecture, ARCHITECTURES, "architecture")
        one_of(self.preset, ARCHITECTURES[self.architecture], "preset")
        one_of(self.task, TASKS, "task")
        one_of(self.context, CONTEXTS, "context")
        if self.loss == "":
            object.__setattr__(self, "loss", TASKS[self.task][0])
        known = OF_TREES if self.kind.network is None else OF_NETWORKS
        one_of(self.loss, [x for x in TASKS[self.task] if x in known], "loss")
        for name, low, high in (
            ("window", 1, 1_000_001),
            ("bin_size", 1, 10_000_000),
            ("stretch", 16, 1_000_000),
            ("max_bins", 100, 1_000_000_000),
            ("max_depth", 1, 16),
            ("n_hidden", 1, 65_536),
            ("n_layers", 1, 64),
            ("n_filters", 1, 4096),
        ):
            in_range(getattr(self, name), low, high, name)
        in_range(self.threshold, -1e30, 1e30, "threshold", whole=False)
        in_range(self.min_child_weight, 0, 1e9, "min_child_weight", whole=False)
        in_range(self.subsample, 0.01, 1, "subsample", whole=False)
        in_range(self.colsample, 0.01, 1, "colsample", whole=False)
        in_range(self.dropout, 0, 0.95, "dropout", whole=False)
        in_range(self.blend, 0, 1, "blend", whole=False)
        in_range(self.depth_jitter, 0, 5, "depth_jitter", whole=False)
        if self.window % 2 == 0:
            raise ChromatellError(
                f"window={self.window} bins has no bin in its middle. Take an odd number: window={self.window + 1}."
            )
        if self.strand_flip and self.kind.network is None:
            raise ChromatellError("strand_flip=True is for networks; leave it out, or take architecture='cnn'.")
        if self.context == "sequence" and self.kind.network != "dilated":
            raise ChromatellError(
                f"context='sequence' is for architecture='cnn' with preset='default'; found {self.architecture!r} with "
                f"preset={self.preset!r}. Name those, or leave context= out."
            )

    @property
    def carries(self) -> bool:
        """Whether it is the architecture that is made for other samples."""
        return self.architecture == "transfer"

    @property
    def kind(self) -> Architecture:
        """The line of the table."""
        return ARCHITECTURES[self.architecture][self.preset]


def options_for(architecture: str, preset: str, bin_size: int, changes: dict[str, Any]) -> NascentConfig:
    """Return options: those of the table, then those that the user names."""
    one_of(architecture, ARCHITECTURES, "architecture")
    one_of(preset, ARCHITECTURES[architecture], "preset")
    fixed: dict[str, Any] = {"architecture": architecture, "preset": preset, "bin_size": bin_size}
    kind = ARCHITECTURES[architecture][preset]
    named = {**kind.options, **changes}
    classes = named.get("task") == "classification"
    refuse_unread(changes, NascentConfig(**fixed, **kind.options), _readers(architecture, kind, classes))
    if isinstance(named.get("window"), str):
        named["window"] = window_bins(named["window"], bin_size)
    return NascentConfig(**fixed, **named)


def _readers(architecture: str, kind: Architecture, classes: bool) -> Readers:
    """Return which options some architectures, or classes, alone read, see `refuse_unread`."""
    network = kind.network
    return [
        (("threshold",), classes, "task='classification'"),
        (
            ("blend", "augment", "ranks", "smooth", "stack", "cnn"),
            architecture == "transfer",
            "architecture='transfer'",
        ),
        (
            ("max_depth", "min_child_weight", "subsample", "colsample"),
            network is None,
            "trees, architecture='transfer' or 'xgboost'",
        ),
        (("dropout", "depth_jitter"), network is not None, "networks, architecture='dense' or 'cnn'"),
        (("n_hidden", "n_layers"), network == "dense", "architecture='dense'"),
        (("n_filters",), network == "dilated", "architecture='cnn'"),
        (("stretch",), network is not None and not kind.by_window, "architecture='cnn'"),
        (("max_bins",), network is None or kind.by_window, "trees and architecture='dense'"),
    ]


_READ_BY_TREES = ("max_epochs", "lr", "early_stopping", "patience")
UNREAD_BY_TREES: Readers = [
    (
        [f.name for f in fields(TrainConfig) if f.name not in _READ_BY_TREES],
        False,
        "the training of networks, architecture='dense' or 'cnn'",
    )
]


def window_bins(window: str, bin_size: int) -> int:
    """Return a window such as '128kb' in bins, the one in its middle added.

    Examples
    --------
    >>> window_bins("128kb", 50)
    2561
    """
    match = re.fullmatch(r"\s*([0-9]{1,7})\s*(bp|kb)\s*", window.lower())
    if match is None:
        raise ChromatellError(f"window={window!r} is no length. Needed: bins, such as 2561, or text such as '128kb'.")
    length = int(match[1]) * (1000 if match[2] == "kb" else 1)
    if length % bin_size:
        nearest = max(1, round(length / bin_size)) * bin_size
        raise ChromatellError(
            f"window={window!r} is no multiple of the bin size, {bin_size} bp. Take one that is: window='{nearest}bp'."
        )
    return length // bin_size // 2 * 2 + 1
