"""The networks of `Nascent` by their names in the table of architectures."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from chromatell._validate import ChromatellError
from chromatell.models.nascent._config import NascentConfig
from chromatell.models.nascent._networks import DenseNetwork, DilatedNetwork, TrackNetwork
from chromatell.models.nascent._published import OnePerTarget, PublishedNetwork

NETWORKS: dict[str, Callable[..., TrackNetwork]] = {
    "dense": DenseNetwork,
    "dilated": DilatedNetwork,
    "published": PublishedNetwork,
}


def build_network(options: NascentConfig, n_inputs: int, n_targets: int, swap: Sequence[int]) -> TrackNetwork:
    """Return the network of the options, untrained."""
    network = options.kind.network
    if network is None:
        raise ChromatellError(f"architecture={options.architecture!r} has no network.")
    if options.multi_task:
        return NETWORKS[network](options, n_inputs, n_targets, swap)
    return OnePerTarget(NETWORKS[network], options, n_inputs, n_targets, swap)
