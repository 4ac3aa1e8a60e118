"""Motifs: reading them, scoring sequences with them, drawing sites from them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from chromatell._validate import ChromatellError, examples
from chromatell.genome._motif_files import (
    CURE,
    from_jaspar,
    looks_like_a_path,
    of_families,
    of_vertebrates,
    probabilities,
    read_meme,
)
from chromatell.genome.sequence import check_tokens

_FLOOR = 1e-3  # share of background in a motif's probabilities, so that no base is impossible
_STEP = 0.01  # bits; log-odds are rounded to it, which makes the distribution of scores exact
_WORD = 5  # bases scored by one look-up
Motifs = str | Path | Iterable[str] | Mapping[str, Any]


def read_motifs(source: Motifs, *, release: str | None = None) -> dict[str, np.ndarray]:
    """Motifs as position probability matrices.

    Parameters
    ----------
    source
        - Names or ids of JASPAR, one or several: ``'CTCF'``, ``'MA0139.2'``; an id without version takes the latest.
          They are read from the database that pyjaspar brings along, without network. A name that several matrices
          bear takes that of vertebrates with the lowest id.
        - The path of a file in MEME text format, minimal or as MEME, STREME and DREME write it.
        - A mapping of name to (length, 4) array: probabilities or counts of A, C, G, T.
    release
        Release of JASPAR: ``'JASPAR2024'`` or ``'2024'``; None takes the latest that the installed
        pyjaspar brings along (4.0: JASPAR 2026). Versions of a matrix and the choice among several of one name differ
        between releases; a log line says which was read.

    Returns
    -------
    dict of str to numpy.ndarray
        Name -> (length, 4) probabilities, float32, rows sum to 1, columns A C G T, 5' to 3'. In names every character
        but letters, digits, '_', '-' and '.' is replaced by '-' (``FOS::JUN`` becomes ``FOS-JUN``), so that they can
        be keys of an `.h5mu` or `.zarr`; names of JASPAR are as in JASPAR, names in MEME files the alternative name
        where there is one, and a name that repeats is followed by the id.

    Raises
    ------
    ChromatellError
        A motif or a release that JASPAR does not have, a file that is not MEME text, an array of another shape or with
        values that are not probabilities or counts, pyjaspar not installed.

    References
    ----------
    Rauluseviciute et al., JASPAR 2024, Nucleic Acids Research 2024. Bailey et al., The MEME Suite, Nucleic Acids
    Research 2015 (the file format).

    Examples
    --------
    >>> from chromatell.genome.motifs import read_motifs
    >>> read_motifs({"half": [[2, 2, 0, 0], [0, 0, 0, 8]]})["half"].tolist()
    [[0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
    """
    if isinstance(source, Mapping):
        rows = [(str(name), "", value) for name, value in source.items()]
    elif isinstance(source, Path) or (isinstance(source, str) and looks_like_a_path(source)):
        rows = read_meme(Path(source).expanduser())
    else:
        names = [source] if isinstance(source, str) else list(source)
        if not all(isinstance(n, str) for n in names):
            raise ChromatellError(f"Motifs must be named by text; found {examples(names)}. {CURE}")
        rows = from_jaspar(names, release)
    if not rows:
        raise ChromatellError(f"No motif was given or found in {source!r}. {CURE}")
    seen = Counter(name for name, _, _ in rows)
    motifs: dict[str, np.ndarray] = {}
    for name, identifier, value in rows:
        key = safe_name(f"{name}_{identifier}" if seen[name] > 1 and identifier else name)
        if key in motifs:
            raise ChromatellError(f"Two motifs are named {key!r}. Give each its own name.")
        motifs[key] = probabilities(value, name)
    return motifs


def vertebrate_motifs(genes: Iterable[str], *, release: str | None = None) -> dict[str, np.ndarray]:
    """Motifs of JASPAR's vertebrate core of those factors that are among some genes.

    Parameters
    ----------
    genes
        Symbols, in upper or lower case (``GATA1``, ``Gata1``). Both parts of a dimer, such as ``FOS::JUN``, are needed.
    release
        Release of JASPAR, as for `read_motifs`.

    Returns
    -------
    dict of str to numpy.ndarray
        As from `read_motifs`, by name; of several matrices of a factor the one with the lowest id. Empty where there is
        none.

    Raises
    ------
    ChromatellError
        pyjaspar is not installed.

    Examples
    --------
    >>> from chromatell.genome.motifs import vertebrate_motifs
    >>> sorted(vertebrate_motifs(["Ctcf", "SPI1", "ACTB", "Fos", "Jun"]))
    ['CTCF', 'FOS', 'FOS-JUN', 'JUN', 'SPI1']
    """
    return {safe_name(name): probabilities(matrix, name) for name, _, matrix in of_vertebrates(genes, release)}


def family_motifs(*, release: str | None = None) -> dict[str, np.ndarray]:
    """One motif of each family of factors in JASPAR's vertebrate core: about a hundred that differ.

    Parameters
    ----------
    release
        Release of JASPAR, as for `read_motifs`.

    Returns
    -------
    dict of str to numpy.ndarray
        As from `read_motifs`. Each family that JASPAR names gives its motif with the most bits.

    Raises
    ------
    ChromatellError
        pyjaspar is not installed.

    Notes
    -----
    Factors of a family mostly bind the same words, so that one motif stands for all. All of the core are read, which
    takes a few seconds.

    Examples
    --------
    >>> from chromatell.genome.motifs import family_motifs
    >>> len(family_motifs(release="2024")) > 80
    True
    """
    return {safe_name(name): probabilities(matrix, name) for name, _, matrix in of_families(release)}


def safe_name(name: str) -> str:
    """Return a name that can be a key of an `.h5mu` or `.zarr`: ``FOS::JUN`` becomes ``FOS-JUN``."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.") or "motif"


def log_odds(pwm: np.ndarray, *, background: Iterable[float] = (0.25, 0.25, 0.25, 0.25)) -> np.ndarray:
    """Log-odds of a motif against a background, in bits.

    Parameters
    ----------
    pwm
        Probabilities (length, 4), columns A C G T.
    background
        Frequencies of A, C, G, T elsewhere.

    Returns
    -------
    numpy.ndarray
        float64 (length, 4): ``log2((p + 0.001 b) / (1.001 b))``, rounded to 0.01 bit. The thousandth of background
        keeps an unseen base at about -8 bits; the rounding makes `score_threshold` exact.

    Examples
    --------
    >>> from chromatell.genome.motifs import log_odds
    >>> log_odds([[1.0, 0.0, 0.0, 0.0]]).tolist()
    [[2.0, -9.97, -9.97, -9.97]]
    """
    p, b = np.asarray(pwm, dtype=np.float64), _background(background)
    return np.round(np.log2((p + _FLOOR * b) / ((1 + _FLOOR) * b)) / _STEP) * _STEP


def scan(tokens: np.ndarray, pwm: np.ndarray, *, background: Iterable[float] = (0.25, 0.25, 0.25, 0.25)) -> np.ndarray:
    """Log-odds score of a motif at every place of every sequence, on both strands.

    Parameters
    ----------
    tokens
        int8 (n, width): A C G T N = 0 1 2 3 4.
    pwm
        Probabilities (length, 4), as `read_motifs` returns them.
    background
        Frequencies of A, C, G, T.

    Returns
    -------
    numpy.ndarray
        float32 (2, n, width - length + 1), bits: on the + strand, and on the - strand. ``[s, i, j]`` belongs to the
        bases ``j`` to ``j + length`` of sequence i, whatever the strand; -inf where one of them is N.

    Raises
    ------
    ChromatellError
        Tokens of another type, or sequences shorter than the motif.

    Notes
    -----
    Five bases are scored by one look-up. Memory: 14 bytes for each base of `tokens`; call it in blocks for more.

    Examples
    --------
    >>> import numpy as np
    >>> from chromatell.genome.motifs import read_motifs, scan
    >>> pwm = read_motifs({"AC": [[1, 0, 0, 0], [0, 1, 0, 0]]})["AC"]
    >>> scores = scan(np.array([[0, 1, 2, 3, 4]], dtype=np.int8), pwm)  # ACGTN; GT is AC on the other strand
    >>> scores[:, 0].astype(float).round(2).tolist()
    [[4.0, -19.94, -19.94, -inf], [-19.94, -19.94, 4.0, -inf]]
    """
    weights = log_odds(pwm, background=background)
    tokens = check_tokens(tokens).astype(np.int8, copy=False)
    length = len(weights)
    if tokens.ndim != 2:
        raise ChromatellError(f"tokens has shape {tokens.shape}; (n, width) is needed. One sequence is tokens[None].")
    if tokens.shape[1] < length:
        raise ChromatellError(f"Sequences of {tokens.shape[1]} bases are shorter than the motif ({length} bases).")
    word = min(_WORD, length)
    n_places = tokens.shape[1] - length + 1
    codes = np.zeros((len(tokens), tokens.shape[1] - word + 1), dtype=np.int16)  # a word as a number of base 5
    for i in range(word):
        codes = codes * np.int16(5) + tokens[:, i : i + codes.shape[1]]
    out = np.empty((2, len(tokens), n_places), dtype=np.float32)
    for strand, w in enumerate((weights, weights[::-1, ::-1])):
        for i, (at, table) in enumerate(_words(w, word)):
            part = table[codes[:, at : at + n_places]]
            out[strand] = part if i == 0 else out[strand] + part
    return out


def score_threshold(
    pwm: np.ndarray, pvalue: float = 1e-4, *, background: Iterable[float] = (0.25, 0.25, 0.25, 0.25)
) -> float:
    """Lowest score that a random sequence reaches with at most a given probability.

    Parameters
    ----------
    pwm
        Probabilities (length, 4).
    pvalue
        For one place on one strand.
    background
        Frequencies of A, C, G, T: of the random sequence, and of the log-odds.

    Returns
    -------
    float
        Bits, for scores of `scan` with the same background; half a rounding step (0.005) below the lowest score that
        qualifies, so that float32 sums on the score itself count. ``inf`` where even the best sequence is not so rare.

    Raises
    ------
    ChromatellError
        `pvalue` is not between 0 and 1.

    Notes
    -----
    Exact: scores are multiples of 0.01 bit, and their distribution is the convolution of the columns'.

    References
    ----------
    Touzet and Varre, Efficient and accurate P-value computation for position weight matrices, Algorithms for Molecular
    Biology 2007.

    Examples
    --------
    >>> from chromatell.genome.motifs import score_threshold
    >>> pwm = [[1, 0, 0, 0], [0, 1, 0, 0]]  # AC, one in 16
    >>> score_threshold(pwm, 1 / 16), score_threshold(pwm, 1 / 17)
    (3.995, inf)
    """
    if not 0 < pvalue < 1:
        raise ChromatellError(f"pvalue={pvalue!r} must lie between 0 and 1.")
    b = _background(background)
    steps = np.rint(log_odds(pwm, background=b) / _STEP).astype(np.int64)
    lowest = steps.min(axis=1)
    mass = np.ones(1)  # probability of each score above the lowest possible one
    for row, low in zip(steps, lowest, strict=True):
        longer = np.zeros(mass.size + int(row.max() - low))
        for base in range(4):
            at = int(row[base] - low)
            longer[at : at + mass.size] += b[base] * mass
        mass = longer
    tail = np.cumsum(mass[::-1])  # from the best score downwards
    enough = int(np.searchsorted(tail, pvalue * (1 + 1e-9), side="right"))  # so many of the best scores are rare enough
    if enough == 0:
        return float("inf")
    best = mass.size - enough
    best += int(np.argmax(mass[best:] > 0))  # the lowest one that some sequence has
    return float(np.round((best + int(lowest.sum()) - 0.5) * _STEP, 3))


def find_hits(
    tokens: np.ndarray,
    motifs: Mapping[str, np.ndarray],
    *,
    pvalue: float = 1e-4,
    thresholds: Mapping[str, float] | None = None,
    background: Iterable[float] = (0.25, 0.25, 0.25, 0.25),
) -> pd.DataFrame:
    """Where motifs occur: one row for each place and strand at or above the motif's threshold.

    Parameters
    ----------
    tokens
        int8 (n, width).
    motifs
        As `read_motifs` returns them.
    pvalue
        p-value of one place on one strand, see `score_threshold`.
    thresholds
        Bits, by motif, in place of `pvalue`.
    background
        Frequencies of A, C, G, T.

    Returns
    -------
    pandas.DataFrame
        `sequence` (int64, row of `tokens`), `motif`, `start`, `end` (int64; 0-based, half-open, from the first base of
        the window), `strand` ('+' or '-'), `score` (float32, bits); by motif, then sequence, then start.

    Examples
    --------
    >>> import numpy as np
    >>> from chromatell.genome.motifs import find_hits, read_motifs
    >>> motifs = read_motifs({"AC": [[1, 0, 0, 0], [0, 1, 0, 0]]})
    >>> find_hits(np.array([[0, 1, 2, 3]], dtype=np.int8), motifs, pvalue=0.1)[["start", "strand"]].values.tolist()
    [[0, '+'], [2, '-']]
    """
    background = _background(background)
    tables = []
    for name, pwm in motifs.items():
        least = score_threshold(pwm, pvalue, background=background) if thresholds is None else thresholds[name]
        scores = scan(tokens, pwm, background=background)
        row, start, strand = np.nonzero(np.moveaxis(scores, 0, 2) >= least)
        tables.append(
            pd.DataFrame(
                {
                    "sequence": row,
                    "motif": name,
                    "start": start,
                    "end": start + len(pwm),
                    "strand": np.array(["+", "-"], dtype=object)[strand],
                    "score": scores[strand, row, start],
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def sample_sites(pwm: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return n sites drawn from a motif, int8 (n, length), bases independent."""
    edges = np.cumsum(np.asarray(pwm, dtype=np.float64), axis=1)
    draw = rng.random((n, len(edges))) * edges[:, -1]
    return (draw[:, :, None] >= edges[None, :, :3]).sum(axis=2).astype(np.int8)


def consensus(pwm: np.ndarray) -> np.ndarray:
    """Return the most probable site of a motif, int8 (length,)."""
    return np.argmax(np.asarray(pwm), axis=1).astype(np.int8)


def _words(weights: np.ndarray, word: int) -> list[tuple[int, np.ndarray]]:
    """Cut a motif into words: (offset, score of each word as a number of base 5); every column counts once."""
    length = len(weights)
    starts = list(range(0, length - word + 1, word))
    if starts[-1] + word < length:
        starts.append(length - word)
    done, parts = 0, []
    for start in starts:
        table = np.zeros(1)
        for column in range(start, start + word):
            own = np.append(weights[column] if column >= done else np.zeros(4), -np.inf)
            table = (table[:, None] + own).reshape(-1)
        parts.append((start, table.astype(np.float32)))
        done = start + word
    return parts


def _background(values: Iterable[float]) -> np.ndarray:
    b = np.asarray(values if isinstance(values, np.ndarray) else list(values), dtype=np.float64)
    if b.shape != (4,) or not np.isfinite(b).all() or (b <= 0).any():
        raise ChromatellError(f"background={b.tolist()} must be four positive frequencies, of A, C, G and T.")
    return b / b.sum()
