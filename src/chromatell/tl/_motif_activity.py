"""``ctl.tl.motif_activity``: chromVAR's deviations, from predicted or measured accessibility."""

from __future__ import annotations

from numbers import Number
from typing import Any, Unpack

import numpy as np
import pandas as pd
import scipy.sparse as sp
from mudata import MuData
from scipy.spatial import cKDTree

from chromatell._docs import documented
from chromatell._keys import ATAC, DNA, MOTIF_ACTIVITY, RNA, UNS
from chromatell._progress import progress
from chromatell._settings import logger, settings
from chromatell._validate import ChromatellError, check_tables, examples, free_entry, in_range, result_key, warn
from chromatell.data.chosen import Accessibility, accessibility, coordinates
from chromatell.data.named import Modalities, modalities
from chromatell.genome.motifs import Motifs, read_motifs, scan, score_threshold, vertebrate_motifs
from chromatell.tl._sequences import no_sequence

_ROWS = 1024  # regions scanned at a time
_NEAREST = 100  # regions from which the backgrounds of one are drawn
_WIDTH = 0.1  # sd of their weights, in whitened units of GC and log mean, as in chromVAR


@modalities
@documented("result")
def motif_activity(
    mdata: MuData,
    motifs: Motifs | None = None,
    *,
    key: str | None = None,
    matches: pd.DataFrame | None = None,
    pvalue: float = 5e-5,
    window: int | None = None,
    n_backgrounds: int = 50,
    backgrounds: np.ndarray | None = None,
    release: str | None = None,
    seed: int | None = None,
    key_added: str = MOTIF_ACTIVITY,
    copy: bool = False,
    **more: Unpack[Modalities],
) -> MuData | None:
    r"""Deviation of accessibility at the regions that hold a motif, from what the cell's depth lets expect.

    .. math:: y_{cf} = \frac{\sum_r m_{rf} x_{cr}}{\sum_r m_{rf} e_{cr}} - 1, \qquad
              e_{cr} = \textstyle\sum_s x_{cs} \sum_d x_{dr} \big/ \sum_{d,s} x_{ds}

    with :math:`m_{rf} = 1` where region r holds motif f. The activity is
    :math:`(y_{cf} - \mathrm{mean}_b\, y^b_{cf}) / \mathrm{sd}_b\, y^b_{cf}` over backgrounds b, in which another region
    of like GC content and mean accessibility stands for each one that holds the motif.

    Parameters
    ----------
    mdata
        With `atac_pred` or `atac`, and ``atac.varm['dna_code']`` (``ctl.pp.add_sequence``) or `matches`.
    motifs
        What `chromatell.genome.motifs.read_motifs` takes. None takes JASPAR's vertebrate motifs of the factors that
        are genes of `rna`.
    key
        Which prediction; 'atac' takes what was measured (open or closed), None the latest prediction.
    matches
        In place of motifs and sequence: regions x motifs, true or a number other than 0 where the region holds the
        motif; a missing value is no match. Rows are found by name.
    pvalue
        p-value of a hit at one place on one strand.
    window
        Bases around the middle of a region that are scanned, and whose GC counts; None takes the regions' median
        width.
    n_backgrounds
        Number of backgrounds.
    backgrounds
        Positions of regions, int (n regions, n_backgrounds), in place of a draw: row r holds what stands for region r.
    release
        Release of JASPAR where motifs are named, such as '2024'; None takes the latest that the installed pyjaspar
        brings along. A log line says which was read.
    seed
        Seed of the backgrounds; None follows ``ctl.settings.seed``.

    Returns
    -------
    None, or a new MuData with ``copy=True``. Written:

    ``mdata.mod['rna'].obsm[key_added]`` : pandas.DataFrame
        float32 (n_obs, motifs): activity in standard deviations over the backgrounds. In ``mod['atac']`` where there is
        no `rna`.
    ``mdata.uns['ctl'][key_added]`` : dict
        `motifs`, a DataFrame: `motif`, `n_regions` that hold it, `variability`, the standard deviation over cells (1
        is chance). `settings`, one row: `key`, `matched` ('gc and mean' or 'mean'), `n_backgrounds`, `seed`.

    Raises
    ------
    ChromatellError
        No such prediction, neither sequences nor matches, matches that are text, backgrounds of another shape or kind,
        or no motif in any region.

    Notes
    -----
    On the same matches and backgrounds it is the z-score of chromVAR in R (but for its ``threshold``, which leaves out
    cells of which less than one read is expected). pychromvar reads backgrounds the other way round, a region counts
    where what stands for it holds the motif; its values differ. A prediction lacks the noise of single cells, so
    that activities are larger than on measured ATAC; compare cells or groups within one source. A motif tells a family
    of factors. :func:`chromatell.tl.tf_activity` asks a model of sequence instead, without regions. Peak memory: one
    block of cells x regions, and cells x motifs three times in float64.

    References
    ----------
    Schep et al., chromVAR, Nature Methods 2017.

    Examples
    --------
    >>> import chromatell as ctl
    >>> mdata = ctl.datasets.simulate_sequence_multiome(n_cells=100, n_regions=120, seed=0)
    >>> ctl.tl.motif_activity(mdata, ["SPI1", "EBF1"], key="atac", pvalue=1e-3, n_backgrounds=10)
    >>> mdata.mod["rna"].obsm["motif_activity"].shape
    (100, 2)
    """
    check_tables(mdata)
    result_key(key_added)
    n_backgrounds = in_range(n_backgrounds, 2, 10_000, "n_backgrounds")
    seed = settings.resolve_seed(seed)
    source = accessibility(mdata, key)
    host = RNA if RNA in mdata.mod else ATAC
    if host not in mdata.mod or not mdata.mod[host].obs_names.equals(mdata.obs_names):
        raise ChromatellError(f"mdata.mod[{host!r}] must have the cells of mdata, in their order: its obsm is written.")
    free_entry(key_added, mdata.mod[host].obsm, f"mdata.mod[{host!r}].obsm", mine=key_added in mdata.uns.get(UNS, {}))
    tokens = _tokens(mdata, source, window)
    held = (
        _given(matches, source.regions, key)
        if matches is not None
        else _scanned(mdata, motifs, tokens, pvalue, release)
    )
    held = _with_regions(held, given=matches is not None)
    share = np.zeros(len(source.regions))
    for _, block in source.blocks():
        share += np.asarray(block.sum(axis=0), dtype=np.float64).ravel()
    share /= max(share.sum(), 1e-12)
    gc = None if tokens is None else _gc(tokens)
    if backgrounds is None:
        backgrounds = matched_backgrounds(share, gc, n_backgrounds, np.random.default_rng(seed))
    else:
        backgrounds = _given_backgrounds(np.asarray(backgrounds), len(share))
    activity = deviations(source, held.to_numpy(np.float32), share, backgrounds)

    table = pd.DataFrame(
        {"motif": held.columns, "n_regions": held.sum(axis=0).to_numpy(), "variability": activity.std(axis=0)}
    ).sort_values("variability", ascending=False, ignore_index=True)
    about = {
        "key": source.key,
        "matched": "mean" if gc is None else "gc and mean",
        "n_backgrounds": int(backgrounds.shape[1]),
        "seed": seed,
    }
    target = mdata.copy() if copy else mdata
    target.mod[host].obsm[key_added] = pd.DataFrame(activity, index=mdata.obs_names, columns=list(held.columns))
    written = {"motifs": table, "settings": pd.DataFrame([about], index=["0"])}
    target.uns[UNS] = {**target.uns.get(UNS, {}), key_added: written}
    return target if copy else None


def deviations(source: Accessibility, held: np.ndarray, share: np.ndarray, backgrounds: np.ndarray) -> np.ndarray:
    """Return the z-scores, float32 (cells, motifs).

    Parameters
    ----------
    held
        float32 (regions, motifs), 1 where a region holds a motif.
    share
        (regions,): of all accessibility, in each region.
    backgrounds
        Positions of regions, (regions, n).
    """
    n_backgrounds = backgrounds.shape[1]
    out = np.empty((source.values.shape[0], held.shape[1]), dtype=np.float32)
    blocks = list(range(n_backgrounds))
    with progress("Backgrounds", source.values.shape[0], "cells") as advance:
        for rows, block in source.blocks(4096):
            depth = np.asarray(block.sum(axis=1), dtype=np.float64).ravel()
            own = _deviation(block, held, depth, share)
            mean, square = np.zeros_like(own), np.zeros_like(own)
            for i in blocks:  # Welford: no array of cells x motifs x backgrounds
                step = _deviation(block, _instead(held, backgrounds[:, i]), depth, share)
                change = step - mean
                mean += change / (i + 1)
                square += change * (step - mean)
            sd = np.sqrt(square / (n_backgrounds - 1))
            flat = sd <= 1e-9
            out[rows] = np.where(flat, 0.0, (own - mean) / np.where(flat, 1.0, sd))
            advance(len(depth))
    return out


def _instead(held: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Return how often each region stands for one that holds a motif, float32 (regions, motifs).

    chromVAR draws a background of each region *with* the motif, so that a background has as many regions as the motif.
    """
    each = np.arange(background.size)
    drawn = sp.csr_matrix((np.ones(each.size, dtype=np.float32), (background, each)), shape=(each.size, each.size))
    return drawn @ held


def _deviation(block: Any, held: np.ndarray, depth: np.ndarray, share: np.ndarray) -> np.ndarray:
    expected = np.outer(depth, share @ held)
    observed = np.asarray(block @ held, dtype=np.float64)
    return np.where(expected > 0, observed / np.where(expected > 0, expected, 1.0) - 1, 0.0)


def matched_backgrounds(share: np.ndarray, gc: np.ndarray | None, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return for each region n others of like mean accessibility and GC, int64 (regions, n), drawn with replacement.

    The two are whitened; of the 100 nearest regions each is drawn with a Gaussian weight of its distance (sd 0.1).
    """
    mean = np.log10(np.maximum(share, share[share > 0].min(initial=1.0) / 2))
    points = mean[:, None] if gc is None else np.column_stack([mean, gc])
    points = points - points.mean(axis=0)
    spread = np.atleast_2d(np.cov(points.T)) + 1e-12 * np.eye(points.shape[1])
    white = np.linalg.solve(np.linalg.cholesky(spread), points.T).T
    if len(white) < 3:
        raise ChromatellError(f"{len(white)} regions are too few to draw backgrounds from; hundreds are needed.")
    k = min(_NEAREST, len(white) - 1)
    distance, near = cKDTree(white).query(white, k=k + 1)
    itself = near == np.arange(len(white))[:, None]
    # the region itself may be any of equal points; it goes, or else the furthest
    drop = np.where(itself.any(axis=1), itself.argmax(axis=1), k)
    keep = np.ones_like(near, dtype=bool)
    keep[np.arange(len(near)), drop] = False
    distance, near = distance[keep].reshape(-1, k), near[keep].reshape(-1, k)
    weight = np.exp(-0.5 * ((distance - distance.min(axis=1, keepdims=True)) / _WIDTH) ** 2)
    edges = np.cumsum(weight, axis=1)
    draw = rng.random((len(near), n)) * edges[:, -1:]
    at = np.stack([np.searchsorted(e, d, side="right") for e, d in zip(edges, draw, strict=True)])
    return np.take_along_axis(near, np.minimum(at, k - 1), axis=1)


def _tokens(mdata: MuData, source: Accessibility, window: int | None) -> np.ndarray | None:
    """Return the sequence of each region, int8 (regions, window), or None where there is none."""
    atac = mdata.mod.get(ATAC)
    if atac is None or DNA not in atac.varm or not source.regions.isin(atac.var_names).all():
        return None
    table = coordinates(mdata, source.regions)
    width = int(np.median(table["end"] - table["start"])) if window is None else in_range(window, 5, 1e6, "window")
    tokens = np.asarray(atac.varm[DNA])[atac.var_names.get_indexer(source.regions)]
    if tokens.shape[1] < width:
        logger.info("Sequences have %d bases; so many are scanned, not %d.", tokens.shape[1], width)
        width = tokens.shape[1]
    first = tokens.shape[1] // 2 - width // 2
    return tokens[:, first : first + width]


def _gc(tokens: np.ndarray) -> np.ndarray:
    known = (tokens < 4).sum(axis=1)
    return np.where(known > 0, ((tokens == 1) | (tokens == 2)).sum(axis=1) / np.maximum(known, 1), 0.5)


def _given(matches: pd.DataFrame, regions: pd.Index, key: str | None) -> pd.DataFrame:
    if not matches.index.is_unique:
        raise ChromatellError(
            f"matches has several rows of {examples(matches.index[matches.index.duplicated()])}. Make one of them: "
            "matches = matches.groupby(level=0).max()."
        )
    missing = regions[~regions.isin(matches.index)]
    if len(missing):
        names = "mdata.mod['atac']" if key == ATAC else "ctl.get.prediction(mdata)"
        raise ChromatellError(
            f"matches has no row of its own for {len(missing)} of {len(regions)} regions, such as {examples(missing)}. "
            "Its index must be the names of the regions; of rows in their order: matches.index = "
            f"list({names}.var_names)."
        )
    return matches.loc[regions].apply(_held)


def _held(column: pd.Series) -> pd.Series:
    """Return where a column of matches says that a region holds the motif, float32; a missing value says no."""
    known = column.notna()
    if not all(isinstance(v, bool | np.bool_ | Number) for v in column[known]):
        raise ChromatellError(
            f"matches[{column.name!r}] holds {column[known].iloc[0]!r}; true and false, or numbers, are needed: "
            "matches = matches.isin(['True', 'true', '1'])."
        )
    return (known & (column.astype(object).where(known, 0).astype(float) != 0)).astype(np.float32)


def _given_backgrounds(backgrounds: np.ndarray, n_regions: int) -> np.ndarray:
    """Return the positions that the user gave, int64 (regions, n)."""
    if backgrounds.shape[:1] != (n_regions,) or backgrounds.ndim != 2:
        raise ChromatellError(
            f"backgrounds has shape {backgrounds.shape}; ({n_regions}, n_backgrounds) is needed, a row a region."
        )
    if backgrounds.dtype.kind not in "iuf" or (backgrounds % 1 != 0).any():
        raise ChromatellError(
            f"backgrounds is of dtype {backgrounds.dtype}, and holds {backgrounds.flat[0]!r}; positions of regions, "
            "whole numbers, are needed."
        )
    if backgrounds.shape[1] < 2 or backgrounds.min() < 0 or backgrounds.max() >= n_regions:
        raise ChromatellError(
            f"backgrounds must hold two or more positions a region, from 0 to {n_regions - 1}; found "
            f"{backgrounds.shape[1]} from {backgrounds.min(initial=0)} to {backgrounds.max(initial=0)}."
        )
    return backgrounds.astype(np.int64)


def _scanned(
    mdata: MuData, motifs: Motifs | None, tokens: np.ndarray | None, pvalue: float, release: str | None
) -> pd.DataFrame:
    """Return which regions hold which motifs, float32 (regions, motifs)."""
    if tokens is None:
        raise no_sequence(DNA)
    if motifs is not None:
        pwms = read_motifs(motifs, release=release)
    else:
        pwms = vertebrate_motifs(mdata.mod[RNA].var_names, release=release) if RNA in mdata.mod else {}
        if not pwms:
            raise ChromatellError("No gene of `rna` is a factor with a motif in JASPAR. Name motifs: ['CTCF', 'SPI1'].")
    least = {name: score_threshold(pwm, pvalue) for name, pwm in pwms.items()}
    never = [name for name, value in least.items() if not np.isfinite(value) or len(pwms[name]) > tokens.shape[1]]
    if len(never) == len(pwms):
        raise ChromatellError(
            f"All {len(pwms)} motifs are too short for pvalue={pvalue:g}, or longer than the {tokens.shape[1]} bases "
            f"of a region: {examples(never)}. Take a higher pvalue=, such as 1e-3, or a wider window=."
        )
    if never:
        warn(f"{len(never)} motifs are too short for pvalue={pvalue:g}, or longer than the regions: {examples(never)}.")
    held = {name: np.zeros(len(tokens), dtype=np.float32) for name in pwms if name not in never}
    with progress("Scanning motifs", len(held), "motifs") as advance:
        for name, hits in held.items():
            for start in range(0, len(tokens), _ROWS):
                scores = scan(np.ascontiguousarray(tokens[start : start + _ROWS]), pwms[name])
                hits[start : start + _ROWS] = (scores >= least[name]).any(axis=(0, 2))
            advance(1)
    return pd.DataFrame(held)


def _with_regions(held: pd.DataFrame, *, given: bool) -> pd.DataFrame:
    n = held.sum(axis=0)
    if given and not (n > 0).any():
        raise ChromatellError(f"matches says of none of its {held.shape[1]} motifs that any of the regions holds it.")
    if not (n > 0).any():
        raise ChromatellError(
            f"None of the {held.shape[1]} motifs occurs in any of the {len(held)} regions. Try a higher pvalue=, such "
            "as 1e-3, and check that the sequences are of the regions' build."
        )
    if (n == 0).any():
        logger.info("In no region, left out: %s.", examples(held.columns[n == 0], 5))
    return held.loc[:, n > 0]
