"""``ctl.tl.ism``: what each single-base change in a region does to its accessibility."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from mudata import MuData

from chromatell._docs import documented, example
from chromatell._keys import ISM
from chromatell._progress import progress
from chromatell._settings import logger
from chromatell._validate import in_range, result_key
from chromatell.data.named import Modalities, modalities
from chromatell.tl._sequences import Asked, Regions, one_hot_of, tangermeme, write_result

_CHANGES = 50_000  # sequences of a chunk: their vectors are held at once


@modalities
@documented("sequence")
@example("sequence model")
def ism(
    mdata: MuData,
    regions: Regions,
    *,
    key: str = "xchrom",
    model: Any = None,
    groupby: str | None = "cell_type",
    cells: Any = None,
    window: int | None = 200,
    fasta: str | Path | Any = None,
    batch_size: int = 64,
    key_added: str = ISM,
    copy: bool = False,
    **more: Unpack[Modalities],
) -> MuData | None:
    r"""Change every base of a region to each other one, and write how the log-odds of being open change.

    For the vector :math:`w(s)` of a sequence and :math:`\bar v_g` of a group, the mean over its cells,

    .. math:: \text{effect}_{g, b, i} = \left(w(s_{i \to b}) - w(s)\right) \cdot \bar v_g .

    The sequences are read once, whatever the number of groups. Depth is the training mean.

    Parameters
    ----------
    window
        Bases about the centre to change, at most those that the model reads; None for all of these.
    batch_size
        Memory is that of reading so many sequences at a time; the result depends on it by rounding only.

    Returns
    -------
    None, or a new MuData with ``copy=True``. Written:

    ``mdata.uns['ctl'][key_added]`` : dict
        `effect`, float32 (regions, groups, 4, window): change in log-odds with A, C, G, T in that place, 0 for the base
        that is there. `regions`, `chrom`, `groups`: names. `start`, int64 (regions,): 0-based position of the first
        base of the window. `tokens`, int8 (regions, window): A C G T N = 0 1 2 3 4. `method`: 'ism'.

    Raises
    ------
    ChromatellError
        No such model, one that reads no DNA, a region that is not known, no sequence, or no such column. Nothing was
        changed.

    Notes
    -----
    Each layer of an `XChrom` computes only what a change can reach (as by Nair et al., Bioinformatics 2022): 100
    regions of 200 bases take 1.8 s of one core with the default model. Another model that reads DNA is read by
    tangermeme, 3 x `window` sequences a region. Peak memory: the result, and the vectors of 50,000 sequences.

    References
    ----------
    Zhou and Troyanskaya, Nature Methods 2015; Schreiber, tangermeme, 2025.

    Examples
    --------
    >>> ctl.tl.ism(mdata, mdata.mod["atac"].var_names[:2], groupby=None, window=20)
    >>> mdata.uns["ctl"]["ism"]["effect"].shape
    (2, 1, 4, 20)
    """
    result_key(key_added)
    batch_size = in_range(batch_size, 1, 1_000_000, "batch_size")
    asked = Asked.read(mdata, regions, key, model, groupby=groupby, cells=cells, window=window, fasta=fasta)
    n, *_, width = asked.shape
    effect = np.empty(asked.shape, dtype=np.float32)
    module = asked.model.sequence_module()
    step = max(1, _CHANGES // (4 * width))
    with progress("Mutating", n, "regions") as advance:
        for i in range(0, n, step):
            change = saturation(module, asked.windows.tokens[i : i + step], asked.part, batch_size)
            effect[i : i + step] = np.einsum("rbpk,gk->rgbp", change, asked.vectors, optimize=True)
            advance(len(change))
    return write_result(mdata, key_added, asked.result(ISM, effect=effect), copy=copy)


def saturation(module: Any, tokens: np.ndarray, part: slice, batch_size: int) -> np.ndarray:
    """Return how the vector of each sequence changes with each base in each place, float32 (n, 4, width, K)."""
    if hasattr(module, "change_effects"):
        import torch

        device = next(module.parameters()).device
        return module.change_effects(torch.from_numpy(tokens).to(device), part, batch_size).cpu().numpy()
    sm, one_hot = tangermeme("saturation_mutagenesis"), one_hot_of(tokens)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        before, after = sm.saturation_mutagenesis(
            module, one_hot, start=part.start, end=part.stop, batch_size=batch_size, raw_outputs=True
        )
    for message in caught:  # says why each sequence is read whole: slower, the same result
        logger.debug("%s", message.message)
    return (after - before[:, None, None]).float().cpu().numpy()
