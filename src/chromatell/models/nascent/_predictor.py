"""What a trained `Nascent`, of any architecture, says of one chromosome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from chromatell.data._tracks_inputs import input_values
from chromatell.data.tracks import BinnedTracks
from chromatell.genome.genome import Genome
from chromatell.models.nascent._bins import scaled_inputs
from chromatell.models.nascent._carry import Densities, Sample, assays_of
from chromatell.models.nascent._config import NascentConfig
from chromatell.models.nascent._evaluation import Predictor, network_predictor, tree_predictor
from chromatell.models.nascent._networks import TrackNetwork
from chromatell.models.nascent._sequence import bin_tokens
from chromatell.models.nascent._stack import ridge_signal
from chromatell.models.nascent._transfer import BlendedTrees, blended_predictor
from chromatell.models.nascent._trees import TreeModule


def chromosome_predictor(
    module: TreeModule | TrackNetwork,
    options: NascentConfig,
    described: Sequence[Mapping[str, str]],
    tracks: BinnedTracks,
    chrom: str,
    inputs: Sequence[str],
    scale: np.ndarray | Sample,
    genome: Genome | None,
    device: torch.device,
    alike: bool,
) -> Predictor:
    """Return what predicts some bins of a chromosome, in standard deviations; `described` are the model's inputs.

    `alike` says whether the sample is like that of training.
    """
    if isinstance(scale, Sample):
        assert isinstance(module, BlendedTrees)  # what is scaled by its sample
        of = input_values(tracks, chrom, inputs), assays_of(described), scale, options.window
        own = ridge_signal(*of) if alike and module.stack is not None else None
        return blended_predictor(module, Densities(*of), options.loss, own)
    scaled = scaled_inputs(tracks, chrom, inputs, scale)
    if isinstance(module, TreeModule):
        return tree_predictor(module.trees, scaled, options.window, options.loss)

    def tokens(first: int, behind: int) -> np.ndarray | None:
        return None if genome is None else bin_tokens(genome, chrom, first, behind, options.bin_size)

    return network_predictor(module, scaled, options.window, device, tokens)
