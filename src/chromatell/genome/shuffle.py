"""Backgrounds: sequences shuffled so that what is short stays and what is longer goes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from chromatell._validate import ChromatellError
from chromatell.genome.sequence import check_tokens


def dinucleotide_shuffle(tokens: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shuffle one sequence, keeping how often each pair of neighbouring bases occurs.

    Parameters
    ----------
    tokens
        int8 (width,).
    rng
        Generator.

    Returns
    -------
    numpy.ndarray
        int8 (width,): drawn uniformly from the sequences with the same counts of pairs, which begin and end as
        `tokens` does.

    Raises
    ------
    ChromatellError
        Several sequences, or values other than 0 to 4.

    References
    ----------
    Altschul and Erickson, Significance of nucleotide sequence alignments, Molecular Biology and Evolution 1985.

    Examples
    --------
    >>> import numpy as np
    >>> from chromatell.genome.shuffle import dinucleotide_shuffle
    >>> dinucleotide_shuffle(np.array([0, 0, 1, 0], dtype=np.int8), np.random.default_rng(0)).tolist()
    [0, 1, 0, 0]
    """
    tokens = check_tokens(tokens).astype(np.int8, copy=False)
    if tokens.ndim != 1:
        raise ChromatellError(
            f"tokens has shape {tokens.shape}; one sequence at a time is shuffled, such as tokens[0]."
        )
    if tokens.size < 3:
        return tokens.copy()
    last = int(tokens[-1])
    after = {int(b): tokens[1:][tokens[:-1] == b] for b in np.unique(tokens[:-1])}
    while True:  # a walk that uses up every pair needs last exits that lead from each base to the final one
        exits = {b: int(rng.integers(len(nexts))) for b, nexts in after.items() if b != last}
        if all(_leads_to(last, b, {k: int(after[k][i]) for k, i in exits.items()}) for b in exits):
            break
    queue: dict[int, list[int]] = {}  # what follows each base, the first one last
    for b, nexts in after.items():
        end = exits.get(b)
        rest = rng.permutation(nexts if end is None else np.delete(nexts, end)).tolist()
        queue[b] = rest if end is None else [int(nexts[end]), *rest]
    out = np.empty_like(tokens)
    out[0] = at = int(tokens[0])
    for i in range(1, tokens.size):
        out[i] = at = queue[at].pop()
    return out


def _leads_to(goal: int, start: int, exits: Mapping[int, int]) -> bool:
    at = start
    for _ in range(len(exits) + 1):
        if at == goal:
            return True
        at = exits[at]
    return at == goal
