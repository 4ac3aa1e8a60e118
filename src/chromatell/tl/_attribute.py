"""``ctl.tl.attribute``: how much each base of a region contributes to its accessibility."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch
from mudata import MuData
from torch import Tensor, nn

from chromatell._docs import documented, example
from chromatell._keys import ATTRIBUTION
from chromatell._progress import progress
from chromatell._settings import logger, settings
from chromatell._validate import in_range, one_of, result_key, warn
from chromatell.data.named import Modalities, modalities
from chromatell.tl._sequences import Asked, N, Regions, one_hot_of, tangermeme, write_result

METHODS = ("deep_lift_shap", "input_x_gradient")
_REGIONS = 16  # regions of a chunk
_TOLERANCE = 0.01  # share of the difference in log-odds that the contributions may miss

_NOTHING = 1e-4  # log-odds: the model says nothing of sequence, and there is nothing to share out


@modalities
@documented("sequence")
@example("sequence model")
def attribute(
    mdata: MuData,
    regions: Regions,
    *,
    key: str = "xchrom",
    model: Any = None,
    method: str = "deep_lift_shap",
    n_shuffles: int = 20,
    groupby: str | None = "cell_type",
    cells: Any = None,
    window: int | None = None,
    fasta: str | Path | Any = None,
    batch_size: int = 32,
    seed: int | None = None,
    key_added: str = ATTRIBUTION,
    copy: bool = False,
    **more: Unpack[Modalities],
) -> MuData | None:
    r"""Write how much each base of a region contributes to the log-odds of being open, for each group of cells.

    With DeepLIFT/SHAP the contributions of a sequence's own bases sum to its log-odds minus the mean log-odds of its
    dinucleotide-shuffled copies. The last layer is linear in the vector of a group, so at most as many passes are
    needed as the vectors are long, whatever the number of groups; all groups share the shuffles.

    Parameters
    ----------
    method
        'deep_lift_shap'; or 'input_x_gradient', the gradient less its mean over the four bases, which is faster and
        says only what small changes do.
    n_shuffles
        Shuffled copies of each sequence, for DeepLIFT/SHAP.
    window
        Bases about the centre to keep; None for all that the model reads. It costs nothing more.
    batch_size
        Sequences read at a time, each with a shuffled copy.
    seed
        Seed of the shuffles; None follows ``ctl.settings.seed``.

    Returns
    -------
    None, or a new MuData with ``copy=True``. Written:

    ``mdata.uns['ctl'][key_added]`` : dict
        `effect`, float32 (regions, groups, 4, window): the contribution of A, C, G, T were it in that place; that of
        the base that is there (`tokens`) is its own. `regions`, `chrom`, `groups`: names. `start`, int64 (regions,):
        0-based position of the first base of the window. `tokens`, int8 (regions, window): A C G T N = 0 1 2 3 4.
        `method`; with DeepLIFT/SHAP `delta`, float32 (regions, groups): the sum of the contributions over the whole
        sequence, minus what it must be (NaN where the sequence holds an N).

    Raises
    ------
    ChromatellError
        No such model, one that reads no DNA, a region that is not known, no sequence, or no such column. Nothing was
        changed.

    Warns
    -----
    ChromatellWarning
        The contributions miss over 1% of the differences in log-odds.

    Notes
    -----
    Peak memory: the result over all bases that the model reads for 16 regions, and the activations of two batches.

    References
    ----------
    Shrikumar, Greenside and Kundaje, ICML 2017; Lundberg and Lee, NeurIPS 2017; Majdandzic et al., Genome Biology 2023
    (the gradient's mean); Schreiber, tangermeme, 2025.

    Examples
    --------
    >>> ctl.tl.attribute(mdata, mdata.mod["atac"].var_names[:2], groupby=None, n_shuffles=5, window=100)
    >>> mdata.uns["ctl"]["attribution"]["effect"].shape
    (2, 1, 4, 100)
    """
    result_key(key_added)
    one_of(method, METHODS, "method")
    n_shuffles, batch_size = (
        in_range(n_shuffles, 1, 100_000, "n_shuffles"),
        in_range(batch_size, 1, 1_000_000, "batch_size"),
    )
    asked = Asked.read(mdata, regions, key, model, groupby=groupby, cells=cells, window=window, fasta=fasta)
    n, n_groups, *_ = asked.shape
    tokens, vectors = asked.windows.tokens, asked.vectors
    few = n_groups <= vectors.shape[1]  # else the vectors' own directions, combined afterwards
    directions = vectors if few else np.eye(vectors.shape[1], dtype=np.float32)
    head = Along(asked.model.sequence_module(), directions)
    seeds = np.random.SeedSequence(settings.resolve_seed(seed)).generate_state(n) >> 1  # as int32
    effect, delta = np.empty(asked.shape, dtype=np.float32), np.empty((n, n_groups), dtype=np.float32)
    size = np.empty_like(delta)
    with progress("Attributing", n, "regions") as advance:
        for i in range(0, n, _REGIONS):
            rows = slice(i, i + _REGIONS)
            one_hot = one_hot_of(tokens[rows])
            if method == "input_x_gradient":
                attributions = _gradients(head, one_hot, batch_size)
            else:
                attributions, *check = _deep_lift(head, one_hot, seeds[rows], n_shuffles, batch_size)
                delta[rows], size[rows] = check if few else [c @ vectors.T for c in check]
            attributions = attributions[..., asked.part]
            effect[rows] = attributions if few else np.einsum("rkbp,gk->rgbp", attributions, vectors, optimize=True)
            advance(len(one_hot))
    extra = {}
    if method == "deep_lift_shap":
        delta[(tokens == N).any(axis=1)] = np.nan
        _check(delta, size)
        extra["delta"] = delta
    return write_result(mdata, key_added, asked.result(method, effect=effect, **extra), copy=copy)


class Along(nn.Module):
    """The vector of a sequence along some directions: ``(n, 4, length) -> (n, directions)``."""

    directions: Tensor

    def __init__(self, module: nn.Module, directions: np.ndarray):
        super().__init__()
        self.module = module
        self.register_buffer("directions", torch.from_numpy(directions))  # a Linear would draw its first weights
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """One-hot sequences."""
        return self.module(x) @ self.directions.T


def _gradients(head: Along, one_hot: Tensor, batch_size: int) -> np.ndarray:
    """Return the corrected gradients, float32 (n, directions, 4, length)."""
    saliency = tangermeme("saliency").saliency
    with _quiet():
        gradients = [
            saliency(head, one_hot, target=t, batch_size=batch_size, hypothetical=True)
            for t in range(len(head.directions))
        ]
    return torch.stack(gradients, dim=1).float().numpy()


def _deep_lift(
    head: Along, one_hot: Tensor, seeds: np.ndarray, n_shuffles: int, batch_size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return contributions (n, directions, 4, length); what their sums miss and should be, both (n, directions)."""
    shuffle, module = tangermeme("ersatz").dinucleotide_shuffle, tangermeme("deep_lift_shap")
    from tangermeme.predict import predict

    from chromatell.nn.sequence_tower import QuickGELU

    with _quiet():
        references = shuffle(one_hot, n=n_shuffles, random_state=[int(s) for s in seeds], allow_N=True)
        by_direction = [
            module.deep_lift_shap(
                head,
                one_hot,
                target=t,
                batch_size=batch_size,
                references=references,
                hypothetical=True,
                additional_nonlinear_ops={QuickGELU: module._nonlinear},
                warning_threshold=np.inf,
                only_warn=True,  # it takes no N in a sequence, which is all zeros here
            )
            for t in range(len(head.directions))
        ]
        own = predict(head, one_hot, batch_size=batch_size)
        shuffled = predict(head, references.flatten(0, 1), batch_size=batch_size)
    contributions = torch.stack(by_direction, dim=1).float()
    expected = own - shuffled.reshape(len(own), n_shuffles, -1).mean(dim=1)
    total = (contributions * one_hot[:, None]).sum(dim=(2, 3))
    return contributions.numpy(), (total - expected).numpy(), expected.numpy()


def _check(delta: np.ndarray, size: np.ndarray) -> None:
    """Warn where contributions do not sum to the difference that they explain."""
    known = np.isfinite(delta)
    missed, whole = float(np.abs(delta[known]).sum()), float(np.abs(size[known]).sum())
    if whole <= _NOTHING * known.sum():
        logger.info("The model tells these sequences from their shuffled copies by under %g log-odds.", _NOTHING)
        return
    if missed > _TOLERANCE * whole:
        warn(
            f"The contributions miss {missed / max(whole, 1e-12):.1%} of the differences in log-odds between sequences "
            f"and their shuffled copies, over {_TOLERANCE:.0%}: the model has a layer that DeepLIFT has no rule for. "
            "Use ctl.tl.ism, or method='input_x_gradient'."
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Log what tangermeme warns of: a warning a batch; `_check` says it once, with numbers."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for message in caught:
        logger.debug("%s", message.message)
