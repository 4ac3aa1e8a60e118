"""A trained `Nascent` as plain arrays, and back: checked before it is used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from chromatell._validate import ChromatellError
from chromatell.data._tracks_table import ASSAY, SIGMA, STAT, STRAND
from chromatell.models.nascent._build import build_network
from chromatell.models.nascent._carried_network import CarriedNetwork
from chromatell.models.nascent._carry import _TAILS, Sample, n_carried, ranked_of
from chromatell.models.nascent._config import NascentConfig
from chromatell.models.nascent._networks import TrackNetwork
from chromatell.models.nascent._signal import segments
from chromatell.models.nascent._stack import Stack
from chromatell.models.nascent._transfer import Blend, BlendedTrees
from chromatell.models.nascent._trees import TreeModule, Trees

_TREES, _BLEND, _CNN, _NETWORK = "weights.trees.", "weights.blend.", "weights.cnn.", "weights.network."
_STACK = "weights.stack."


def n_features(options: NascentConfig, inputs: Sequence[Mapping[str, str]]) -> int:
    """Return what trees read of a bin."""
    if options.carries:
        return n_carried(inputs, options.window, options.ranks)
    return len(inputs) * len(segments(options.window))


def module_arrays(module: torch.nn.Module) -> dict[str, np.ndarray]:
    """Return the arrays of trees or of a network."""
    if isinstance(module, BlendedTrees):
        trees = {_TREES + name: array for name, array in module.trees.arrays().items()}
        blend = {_BLEND + name: array for name, array in module.blend.arrays().items()}
        stack = {} if module.stack is None else {_STACK + k: array for k, array in module.stack.arrays().items()}
        return trees | blend | stack | ({} if module.network is None else _weights(module.network, _CNN))
    if isinstance(module, TreeModule):
        return {_TREES + name: array for name, array in module.trees.arrays().items()}
    return _weights(module, _NETWORK)


def module_from(
    arrays: dict[str, np.ndarray],
    options: NascentConfig,
    inputs: Sequence[Mapping[str, str]],
    n_targets: int,
    swap: Sequence[int],
) -> TreeModule | TrackNetwork:
    """Return the trees or the network of arrays; raise where they are not of these options."""
    if options.kind.network is None:
        trees = Trees(**_part(arrays, _TREES))
        trees.check(n_features(options, inputs), n_targets)
        if not options.carries:
            return TreeModule(trees)
        blend, n_read = Blend.from_arrays(_part(arrays, _BLEND), n_targets), n_features(options, inputs)
        own, network, stack = _part(arrays, _STACK), None, None
        if blend.network.any():
            network = CarriedNetwork.from_arrays(_part(arrays, _CNN), n_read, n_targets)
        if own:
            n_ridge = len(inputs) * len(segments(options.window))
            stack = Stack.from_arrays(own, n_read, n_ridge, n_targets)
        return BlendedTrees(trees, blend, network, stack)
    state = {name: torch.from_numpy(w.copy()) for name, w in _part(arrays, _NETWORK).items()}
    if any(w.dtype != torch.float32 for w in state.values()):
        raise ChromatellError("The stored weights are not float32. Ask for the file again.")
    with torch.device("meta"):  # a wrong shape is refused, not allocated
        network = build_network(options, len(inputs), n_targets, swap)
    network.load_state_dict(state, strict=True, assign=True)
    return network


def check_tracks(config: Mapping[str, Any]) -> None:
    """Raise where what a record says of its inputs and targets is not a list of dicts of text and numbers."""
    for name, text, number in (("input_tracks", (ASSAY, STRAND), ()), ("target_tracks", (ASSAY,), (SIGMA,))):
        tracks = config[name]
        fit = isinstance(tracks, list) and all(
            isinstance(t, dict)
            and all(isinstance(t.get(key), str) for key in text)
            and isinstance(t.get(STAT, ""), str)
            and all(isinstance(t.get(key), int | float) and np.isfinite(t[key]) for key in number)
            for t in tracks
        )
        if not fit:
            raise ChromatellError(
                f"What the model says of its {name.replace('_', ' ')} is {str(tracks)[:80]!r}; for each its "
                f"{', '.join((*text, *number))} are needed. Ask for the file again."
            )


def check_scaling(stats: Sequence[np.ndarray], n_inputs: int, n_targets: int, names: dict[str, list[str]]) -> None:
    """Raise where stored means of inputs, deviations and least values of targets are not usable."""
    sizes = (n_inputs,), (n_targets,), (n_targets,)
    fit = all(a.shape == size and np.isfinite(a).all() for a, size in zip(stats, sizes, strict=True))
    if not fit or not (stats[0] > 0).all() or not (stats[1] > 0).all() or not 0 < n_inputs <= 64:
        raise ChromatellError(f"The stored scales are not those of {names}. Ask for the file again.")


def stored_sample(arrays: Mapping[str, np.ndarray], n_assays: int, options: NascentConfig) -> Sample:
    """Return the stored scale of the sample of training; raise where it is not usable."""
    shapes: dict[str, tuple[int, ...]] = {"scaling.sample": (n_assays, 3)}
    if options.ranks:
        shapes["scaling.ranks"] = (n_assays, sum(map(len, ranked_of(options.window))), _TAILS.size)
    for name, shape in shapes.items():
        array = arrays[name]
        fit = array.shape == shape and array.dtype == np.float64 and np.isfinite(array).all()
        if not fit or not ((array > 0).all() if name == "scaling.sample" else (np.diff(array) >= 0).all()):
            raise ChromatellError("The stored scale of the sample is not usable. Ask for the file again.")
    return Sample(arrays["scaling.sample"], arrays.get("scaling.ranks"))


def _weights(module: torch.nn.Module, prefix: str) -> dict[str, np.ndarray]:
    return {prefix + name: w.detach().cpu().numpy() for name, w in module.state_dict().items()}


def _part(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
